"""Every command has help with an example, and an entry in the README; start-up stays light."""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from cli.app import app

ROOT = Path(__file__).parents[2]
HEAVY = (
    "torch", "tensorrt", "pycuda", "openvino", "onnx", "pymilvus", "milvus_lite", "onnxruntime",
    "av", "scipy", "redis",
)  # fmt: skip


def leaves(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield every command that does something, with its words."""
    children = getattr(command, "commands", None)
    if children is None:
        yield path, command
        return
    for name, child in children.items():
        yield from leaves(child, (*path, name))


COMMANDS = list(leaves(typer.main.get_command(app)))
WORDS = [" ".join(path) for path, _ in COMMANDS]


def test_the_table_holds_the_commands_of_the_manual() -> None:
    assert sorted(WORDS) == sorted([
        "bench scoring", "bench tracks", "bench train", "cameras check", "cameras probe", "deliver",
        "demo", "doctor", "engine bench", "engine build", "engine forget", "engine info",
        "engine lint", "engine plans", "engine verify", "gallery info", "ingest", "redis",
        "search", "status", "track", "train check", "train eval", "train export", "train fit",
        "train init", "train synth", "train table",
    ])  # fmt: skip


@pytest.mark.parametrize(("path", "command"), COMMANDS, ids=WORDS)
def test_every_command_explains_itself(path: tuple[str, ...], command: Any) -> None:
    summary, *rest = (command.help or "").split("\n\n")
    assert summary.endswith("."), "the first paragraph is one sentence or two"
    assert rest, "the help says more than the summary"
    assert f"sightline {' '.join(path)}" in (command.epilog or ""), "an example that can be pasted"
    for parameter in command.params:
        assert getattr(parameter, "help", None), f"{parameter.name} has no help"


@pytest.mark.parametrize("words", WORDS)
def test_every_command_stands_in_the_readme(words: str) -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    assert f"sightline {words}" in readme


@pytest.mark.parametrize(("path", "command"), COMMANDS, ids=WORDS)
def test_every_command_can_answer_a_program(path: tuple[str, ...], command: Any) -> None:
    options = {option for parameter in command.params for option in parameter.opts}
    assert "--json" in options


@pytest.mark.parametrize(("path", "command"), COMMANDS, ids=WORDS)
def test_examples_use_options_that_exist(path: tuple[str, ...], command: Any) -> None:
    options = {option for parameter in command.params for option in parameter.opts}
    words = " ".join(path)
    for line in re.findall(rf"^ +sightline {words}.*$", command.epilog, re.MULTILINE):
        assert set(re.findall(r"--[a-z-]+", line)) <= options, line


def test_help_goes_to_stdout_and_fits_eighty_columns(sightline: Callable[..., Any]) -> None:
    outcome = sightline("search", "--help", env={"COLUMNS": "80"})
    assert (outcome.code, outcome.err) == (0, "")
    assert "--since" in outcome.out
    assert max(len(line) for line in outcome.out.splitlines()) <= 80


def test_importing_the_table_loads_no_runtime() -> None:
    script = f"import sys, cli.app; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_click_is_never_imported_by_name() -> None:
    for path in (ROOT / "cli").rglob("*.py"):
        assert not re.search(r"^\s*(import|from) click\b", path.read_text("utf-8"), re.MULTILINE)
