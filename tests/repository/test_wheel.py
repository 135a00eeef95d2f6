"""The wheel: what a person gets who installs Sightline without the repository."""

import tomllib
from pathlib import Path
from zipfile import ZipFile

import pytest
from hatchling.builders.wheel import WheelBuilder

PACKAGES = ("streamer", "engines", "train", "gallery", "cli")


@pytest.fixture(scope="module")
def names(root: Path, tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The files of a wheel that is built here."""
    folder = tmp_path_factory.mktemp("wheel")
    (wheel,) = WheelBuilder(str(root)).build(directory=str(folder))
    return set(ZipFile(wheel).namelist())


def test_it_holds_every_package_and_nothing_else(names: set[str]) -> None:
    tops = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert tops == set(PACKAGES)


def test_it_holds_every_module(names: set[str], tracked: tuple[Path, ...], root: Path) -> None:
    inside = {path.relative_to(root) for path in tracked}
    wanted = {path.as_posix() for path in inside if path.parts[0] in PACKAGES}
    assert wanted - names == set()


def test_it_holds_the_shipped_engine(names: set[str], root: Path) -> None:
    bundle = root / "engines" / "bundles" / "sightline-small"
    files = {path.relative_to(root).as_posix() for path in bundle.iterdir() if path.is_file()}
    assert "engines/bundles/sightline-small/manifest.json" in files
    assert files <= names


def test_it_says_that_it_is_typed(names: set[str]) -> None:
    assert {f"{package}/py.typed" for package in PACKAGES} <= names


def test_it_holds_the_licence_and_the_command(root: Path, names: set[str]) -> None:
    version = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    info = f"sightline-{version}.dist-info"
    assert f"{info}/licenses/LICENSE" in names
    assert f"{info}/entry_points.txt" in names
