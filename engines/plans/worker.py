"""Make a plan in a process of its own: ``python -m engines.plans.worker BUNDLE BACKEND …``.

A compiler takes minutes, memory and sometimes the whole process with it; the process that serves
shall feel nothing of it, and can end this one whenever it likes. Progress comes as lines on
stdout; what went wrong as the last line of stderr, with exit code 1.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from engines.bundle import open_bundle
from engines.errors import EngineError
from engines.plans.build import build_plan
from engines.plans.cache import PlanCache


def main(argv: Sequence[str] | None = None) -> int:
    """Build what the arguments name and return the exit code."""
    parser = argparse.ArgumentParser(prog="engines.plans.worker")
    parser.add_argument("bundle", type=Path)
    parser.add_argument("backend")
    parser.add_argument("precision")
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--device", type=int, default=0)
    given = parser.parse_args(argv)
    try:
        build_plan(
            open_bundle(given.bundle),
            given.backend,
            given.precision,
            cache=PlanCache(given.cache),
            progress=lambda line: print(line, flush=True),
            device=given.device,
        )
    except EngineError as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
