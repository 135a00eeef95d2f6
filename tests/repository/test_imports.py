"""Whose names we import by, what we import, and in which direction."""

import ast
import importlib.util
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PACKAGES = ("streamer", "engines", "train", "gallery", "cli")
# Modules of the extra for GPUs, which is not installed where the tests run.
MODULES_OF_GPU = {"tensorrt": "tensorrt-cu13", "pycuda": "pycuda"}


@pytest.fixture(scope="module")
def owners() -> dict[str, set[str]]:
    """Import name to the distributions that install it."""
    return {name: set(values) for name, values in packages_distributions().items()}


@pytest.mark.parametrize("package", PACKAGES)
def test_no_other_distribution_owns_our_name(
    package: str, owners: dict[str, set[str]], root: Path
) -> None:
    assert owners.get(package, set()) <= {"sightline"}
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    assert Path(spec.origin).is_relative_to(root)


@pytest.mark.parametrize("package", PACKAGES)
def test_the_package_says_that_it_is_typed(package: str, root: Path) -> None:
    assert (root / package / "py.typed").is_file()


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split(".")[0]


def test_every_import_is_declared(root: Path, owners: dict[str, set[str]]) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    declared = {canonicalize_name(Requirement(row).name) for rows in groups for row in rows}
    known = {*sys.stdlib_module_names, *PACKAGES}
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            for name in set(_imports(path)) - known:
                owning = owners.get(name, {MODULES_OF_GPU.get(name, name)})
                assert {canonicalize_name(owner) for owner in owning} & declared, (
                    f"{path.relative_to(root)} imports {name}, which pyproject.toml does not name"
                )


def test_packages_import_only_from_floors_below(root: Path) -> None:
    program = Path(sys.executable).with_name("lint-imports")
    checked = subprocess.run(
        [program, "--no-cache"], cwd=root, capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert re.search(r"[1-9]\d* kept, 0 broken", checked.stdout)
