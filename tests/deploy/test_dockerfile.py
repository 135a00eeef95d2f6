"""The Dockerfile, as far as no container engine is needed."""

import json
import re
import shlex
import shutil
import tomllib
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from hatchling.builders.wheel import WheelBuilder
from packaging.specifiers import SpecifierSet

INSTRUCTIONS = {
    "FROM", "RUN", "COPY", "ENV", "USER", "WORKDIR", "HEALTHCHECK", "ENTRYPOINT", "CMD",
}  # fmt: skip


@pytest.fixture(scope="module")
def steps(root: Path) -> list[tuple[str, str]]:
    """Every instruction with its argument, continued lines joined."""
    text = (root / "deploy" / "Dockerfile").read_text("utf-8")
    joined = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE))
    return [(line.split()[0], line.split(None, 1)[1]) for line in joined.splitlines() if line]


@pytest.fixture(scope="module")
def sources(steps: list[tuple[str, str]]) -> list[str]:
    """What is copied from the repository into the image."""
    words = [shlex.split(value) for name, value in steps if name == "COPY"]
    return [source for row in words if not row[0].startswith("--") for source in row[:-1]]


def test_every_instruction_is_known(steps: list[tuple[str, str]]) -> None:
    assert {name for name, _ in steps} <= INSTRUCTIONS
    assert steps[0][0] == "FROM"


def test_base_image_has_a_python_that_the_project_takes(
    root: Path, steps: list[tuple[str, str]]
) -> None:
    wanted = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    versions = [re.match(r"python:([\d.]+)-slim", value) for name, value in steps if name == "FROM"]
    assert versions
    for version in versions:
        assert version is not None
        assert version[1] in SpecifierSet(wanted["requires-python"])


def test_copied_files_exist_and_reach_the_builder(root: Path, sources: list[str]) -> None:
    ignore = (root / ".dockerignore").read_text("utf-8").split("\n")
    admitted = [line[1:] for line in ignore if line.startswith("!")]
    for source in sources:
        assert (root / source).exists()
        assert source in admitted


def test_the_copied_files_alone_build_the_wheel(
    root: Path, sources: list[str], tmp_path: Path
) -> None:
    for source in sources:
        copy = shutil.copytree if (root / source).is_dir() else shutil.copy
        copy(root / source, tmp_path / source)
    (wheel,) = WheelBuilder(str(tmp_path)).build(directory=str(tmp_path / "dist"))
    names = ZipFile(wheel).namelist()
    packages = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]
    for package in packages["build"]["targets"]["wheel"]["packages"]:
        assert f"{package}/__init__.py" in names


def test_it_runs_the_command_as_a_plain_user(
    root: Path, steps: list[tuple[str, str]], parse: Callable[..., dict[str, Any]]
) -> None:
    last = dict(steps)
    scripts = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]["scripts"]
    assert json.loads(last["ENTRYPOINT"])[0] in scripts
    assert last["USER"] not in {"root", "0"}
    created = [value for name, value in steps if name == "RUN" and "useradd" in value]
    assert created
    assert created[0].split()[-1] == last["USER"]
    check = json.loads(last["HEALTHCHECK"].split("CMD", 1)[1])
    assert check[0] in scripts
    parse(check[1:])


def test_its_variables_are_ones_that_the_program_reads(
    steps: list[tuple[str, str]], known_variables: frozenset[str]
) -> None:
    pairs = [pair for name, value in steps if name == "ENV" for pair in shlex.split(value)]
    ours = {pair.split("=")[0] for pair in pairs if pair.startswith("SIGHTLINE_")}
    assert ours
    assert ours <= known_variables


def test_it_installs_the_pinned_versions_without_torch(steps: list[tuple[str, str]]) -> None:
    installs = [value for name, value in steps if name == "RUN" and "pip install" in value]
    assert installs
    for install in installs:
        assert "-c constraints.txt" in install
        assert not fnmatch(install, "*[[]*train*]*")
