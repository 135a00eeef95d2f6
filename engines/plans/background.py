"""Make a plan in another process, and open it here when it is done."""

import subprocess
import sys
import tempfile
import threading
from contextlib import suppress

from engines.backends import Opening, backend_named
from engines.bundle import Bundle
from engines.engine import Engine
from engines.errors import BuildError
from engines.plans.build import find_plan, plan_key
from engines.plans.cache import PlanCache
from engines.values import Precision

LOOK_S = 0.1
END_S = 5.0
"""How long a builder that was told to end may take before it is killed."""


def make_in_background(
    bundle: Bundle,
    backend: str,
    precision: Precision,
    cache: PlanCache,
    stop: threading.Event,
    *,
    device: int = 0,
    python: tuple[str, ...] = (sys.executable, "-m", "engines.plans.worker"),
) -> Engine:
    """Build a plan in a process of its own, open it, and return the engine.

    Raises:
        BuildError: the plan cannot be made, or ``stop`` was set before it was.
        EngineError: the plan cannot be opened.
    """
    words = [bundle.path.absolute(), backend, precision, "--cache", cache.folder]
    reason = _run([*python, *map(str, words), "--device", str(device)], stop)
    plan = find_plan(cache, plan_key(bundle, backend, precision, device=device))
    if plan is None:
        raise BuildError(reason or f"the builder of {backend} {precision} left no plan")
    return backend_named(backend).open(Opening(bundle, precision, plan, device=device))


def _run(command: list[str], stop: threading.Event) -> str:
    """Run a builder to its end, or end it when told to; return what went wrong, if anything."""
    try:
        return _watch(command, stop)
    except OSError as error:
        raise BuildError(f"cannot start its builder: {error.strerror or error}") from error


def _watch(command: list[str], stop: threading.Event) -> str:
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
        ) as process,
    ):
        while process.poll() is None:
            if stop.wait(LOOK_S):
                _end(process)
                raise BuildError("it was told to stop before it was done")
        said.seek(0)
        lines = said.read().decode("utf-8", "replace").strip().splitlines()
    if process.returncode == 0:
        return ""
    return lines[-1] if lines else f"its builder ended with {process.returncode}"


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(END_S)
    process.kill()
