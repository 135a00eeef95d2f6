"""What the checks of the repository itself share."""

import importlib.util
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def parse() -> Callable[..., dict[str, Any]]:
    """Read a ``sightline`` command line as the program would (words after ``sightline``)."""
    path = ROOT / "tests" / "support" / "commandline.py"
    spec = importlib.util.spec_from_file_location("support_commandline", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    reader: Callable[..., dict[str, Any]] = module.parse
    return reader


@pytest.fixture(scope="session")
def tracked() -> tuple[Path, ...]:
    """The files of the repository as git would commit them."""
    command = [
        "git",
        "-c",
        "safe.directory=*",
        "ls-files",
        "--cached",
        "--others",
        "--exclude-standard",
        "-z",
    ]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git checkout: nothing says which files belong to it")
    names = sorted(set(listed.stdout.split("\0")) - {""})
    return tuple(ROOT / name for name in names if (ROOT / name).is_file())
