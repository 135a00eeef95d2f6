"""The example of a site: it loads, and needs exactly the variables of the example beside it."""

import re
from pathlib import Path

import pytest

from streamer.errors import SiteError
from streamer.site import load_site


@pytest.fixture(scope="module")
def environment(root: Path) -> dict[str, str]:
    """The variables of sightline.env.example."""
    text = (root / "deploy" / "sightline.env.example").read_text("utf-8")
    rows = [line.split("=", 1) for line in text.splitlines() if line and line[0] != "#"]
    return {row[0]: row[1] for row in rows}


def test_it_loads_with_the_example_environment(root: Path, environment: dict[str, str]) -> None:
    site = load_site(root / "deploy" / "site.yaml", environment)
    assert site.name == "corner shop"
    assert site.cameras["aisle"].detect_fps == 3
    assert site.cameras["entrance"].detect_fps == 5
    assert not site.cameras["yard"].enabled
    assert {(link.source, link.target) for link in site.links} >= {("entrance", "aisle")}


def test_without_the_environment_every_missing_variable_is_told(root: Path) -> None:
    with pytest.raises(SiteError, match="CAMERA_PASSWORD") as raised:
        load_site(root / "deploy" / "site.yaml", {})
    assert len(raised.value.faults) == 3


def test_no_variable_is_left_over(root: Path, environment: dict[str, str]) -> None:
    text = (root / "deploy" / "site.yaml").read_text("utf-8")
    assert set(re.findall(r"\$\{(\w+)\}", text)) == set(environment)


def test_it_holds_no_password(root: Path) -> None:
    text = (root / "deploy" / "site.yaml").read_text("utf-8")
    assert re.findall(r"//[^/@\s:]+:([^@\s]+)@", text) == ["${CAMERA_PASSWORD}"] * 3
