"""The Makefile on machines that lack something: it names what and what to type."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Make = Callable[..., subprocess.CompletedProcess[str]]


def _program(folder: Path, name: str, script: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def make(root: Path, tmp_path: Path) -> Make:
    """Run make in a folder that holds the Makefile and no virtual environment."""
    programs = tmp_path / "programs"
    programs.mkdir()
    _program(programs, "id", "echo 1000")
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(root / name, tmp_path / name)

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["make", *words], cwd=tmp_path, env={"PATH": f"{programs}:/usr/bin:/bin"},
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    return run


def test_old_python_is_refused_with_the_version_that_was_found(make: Make, tmp_path: Path) -> None:
    old = _program(tmp_path, "python3.9", '[ "$1" = --version ] && echo Python 3.9.2 || exit 1')
    ended = make("demo", f"PYTHON={old}")
    assert ended.returncode == 2
    assert "needs Python 3.11 or later" in ended.stderr
    assert "Python 3.9.2" in ended.stderr


def test_no_python_at_all_is_told(make: Make) -> None:
    ended = make("demo", "PYTHON=")
    assert ended.returncode == 2
    assert "make PYTHON=" in ended.stderr


def test_python_without_ensurepip_names_the_package(make: Make, tmp_path: Path) -> None:
    script = f'case "$2" in *ensurepip*) exit 1;; esac; exec {sys.executable} "$@"'
    bare = _program(tmp_path, "python3", script)
    ended = make("test", f"PYTHON={bare}")
    assert ended.returncode == 2
    assert "apt-get install python3-venv" in ended.stderr
    assert not (tmp_path / ".venv").exists()


def test_demo_installs_no_torch(make: Make) -> None:
    planned = make("--dry-run", "demo", f"PYTHON={sys.executable}").stdout
    assert "pip" in planned
    assert "[dev,train]" not in planned
    assert "sightline demo" in planned


def test_help_lists_every_target(make: Make, root: Path) -> None:
    text = (root / "Makefile").read_text("utf-8")
    listed = make("help").stdout
    for target in re.findall(r"^([a-z-]+):", text, re.MULTILINE):
        assert f"make {target}" in listed
