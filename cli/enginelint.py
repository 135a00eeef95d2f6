"""Hold graphs to the rules that every runtime's compiler needs."""

from collections.abc import Iterator
from pathlib import Path

import typer

from cli import errors
from cli.errors import CliError
from cli.options import engine_path, plan_cache
from cli.output import show, show_json
from engines.bundle import Bundle, open_bundle
from engines.lint import lint_graph
from engines.manifest import MAX_FILE_BYTES, QUERY_GRAPH, SEARCH_GRAPH
from engines.precision import fp16_graph
from engines.values import Precision


def run_lint(path: Path | None, *, precision: Precision, as_json: bool) -> None:
    """Print every rule that the graphs break.

    Raises:
        Exit: there is one (code 4).
    """
    named = engine_path(path)
    faults = {name: lint_graph(graph, precision) for name, graph in _graphs(named, precision)}
    if as_json:
        graphs = [{"graph": name, "broken": broken} for name, broken in faults.items()]
        clean = not any(faults.values())
        show_json({
            "path": str(named.absolute()), "precision": precision, "clean": clean, "graphs": graphs
        })  # fmt: skip
    else:
        show(*_lines(faults, precision))
    if any(faults.values()):
        raise typer.Exit(errors.ENGINE)


def _lines(faults: dict[str, list[str]], precision: Precision) -> Iterator[str]:
    for name, broken in faults.items():
        count = f"{len(broken)} rules broken" if broken else f"keeps every rule ({precision})"
        yield f"{name}: {count}"
        yield from (f"  {fault}" for fault in broken)


def _graphs(path: Path, precision: Precision) -> Iterator[tuple[str, bytes]]:
    """Yield each graph with its name: of a file that graph, of a bundle those it runs from.

    The graphs of a bundle are float32; those of a lower precision are made from them.

    Raises:
        CliError: the file cannot be read, or no int8 graph of the bundle was made yet.
        EngineError: the bundle is damaged, or a graph cannot be lowered.
    """
    if path.is_file():
        yield path.name, _read(path)
        return
    bundle = open_bundle(path)
    if precision == "int8":
        yield from _quantised(bundle)
        return
    lower = fp16_graph if precision == "fp16" else bytes
    yield SEARCH_GRAPH, lower(bundle.search_graph())
    yield QUERY_GRAPH, lower(bundle.query_graph())


def _quantised(bundle: Bundle) -> Iterator[tuple[str, bytes]]:
    """Yield the int8 graphs that lie in the cache of plans."""
    found = False
    for plan in plan_cache().plans():
        if plan.key.model != bundle.manifest.model or plan.key.precision != "int8":
            continue
        for name in plan.files:
            if name in (SEARCH_GRAPH, QUERY_GRAPH):
                found = True
                yield f"{plan.key.backend} {name}", plan.read(name)
    if not found:
        raise CliError(
            f"no int8 graph of {bundle.path} was made yet; run: sightline engine build "
            f"{bundle.path} --precision int8 --data DIR"
        )


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise CliError(f"{path} is larger than {MAX_FILE_BYTES >> 20} MB")
        return path.read_bytes()
    except OSError as error:
        raise CliError(f"cannot read {path}: {error.strerror}") from error
