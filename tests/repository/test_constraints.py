"""constraints.txt: names and versions only, and enough of them."""

import re
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

EXTRAS = ("train", "dev")


@pytest.fixture(scope="module")
def lines(root: Path) -> list[str]:
    """The lines of constraints.txt."""
    return (root / "constraints.txt").read_text("utf-8").splitlines()


@pytest.fixture(scope="module")
def pins(lines: list[str]) -> dict[str, str]:
    """Canonical name to pinned version."""
    split = [line.split("==") for line in lines]
    return {canonicalize_name(name): pinned for name, pinned in split}


@pytest.fixture(scope="module")
def direct(root: Path) -> list[Requirement]:
    """What pyproject.toml asks for, the extra for GPUs aside: it is pinned by the machine."""
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    rows = [*project["dependencies"]]
    for extra in EXTRAS:
        rows += project["optional-dependencies"][extra]
    return [Requirement(row) for row in rows]


def _installed_requirements(name: str, extras: frozenset[str]) -> Iterator[Requirement]:
    for row in requires(name) or ():
        requirement = Requirement(row)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": e}) for e in extras or {""}):
            yield requirement


def test_every_line_is_a_name_and_a_version(lines: list[str]) -> None:
    pattern = re.compile(r"[a-z0-9][a-z0-9._-]*==\d+(\.\d+)*((a|b|rc|\.post)\d+)?")
    assert [line for line in lines if not pattern.fullmatch(line)] == []


def test_lines_are_sorted_and_unique(lines: list[str]) -> None:
    names = [line.split("==")[0] for line in lines]
    assert names == sorted(set(names))


def test_every_dependency_is_pinned_within_its_range(
    direct: list[Requirement], pins: dict[str, str]
) -> None:
    for requirement in direct:
        pinned = pins.get(canonicalize_name(requirement.name))
        assert pinned is not None, f"{requirement.name} is not pinned"
        assert requirement.specifier.contains(pinned), f"{requirement} is pinned to {pinned}"


def test_what_the_dependencies_need_is_pinned_too(
    direct: list[Requirement], pins: dict[str, str]
) -> None:
    waiting = [(canonicalize_name(r.name), frozenset(r.extras)) for r in direct]
    seen = set(waiting)
    while waiting:
        name, extras = waiting.pop()
        try:
            version(name)
        except PackageNotFoundError:
            continue
        for requirement in _installed_requirements(name, extras):
            needed = canonicalize_name(requirement.name)
            assert needed in pins, f"{name} needs {requirement}, which is not pinned"
            following = (needed, frozenset(requirement.extras))
            if following not in seen:
                seen.add(following)
                waiting.append(following)


def test_what_is_installed_here_is_what_is_pinned(pins: dict[str, str]) -> None:
    differing = {}
    for name, pinned in pins.items():
        try:
            installed = version(name)
        except PackageNotFoundError:
            continue
        if installed.split("+")[0] != pinned:
            differing[name] = (installed, pinned)
    assert differing == {}, "run `make test` in the project's own .venv"
