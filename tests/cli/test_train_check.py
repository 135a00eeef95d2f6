"""``sightline train check``: counts, all faults at once, exit code 2 when there are some."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]


@pytest.fixture
def data(write_people: Callable[..., Path], tmp_path: Path) -> Path:
    """A sound data set; it has a training split alone."""
    return write_people(tmp_path / "set")


def test_a_sound_set_is_counted(inside: Run, data: Path) -> None:
    outcome = inside("train", "check", data)
    assert (outcome.code, outcome.err) == (0, "")
    assert "PRW, and synthetic worlds" in outcome.out
    assert "note: no test split" in outcome.out
    assert "published with 5704" in outcome.out
    assert "No fault" in outcome.out
    found = inside("train", "check", data, "--json").document
    assert (found["ok"], found["layout"], found["faults"]) == (True, "prw", [])
    assert found["counts"]["train"]["frames"] == 10
    assert found["counts"]["train"]["identities"] == 5


def test_a_world_claims_no_published_counts(inside: Run, world: Path) -> None:
    assert "published" not in inside("train", "check", world).out


def test_every_fault_is_told_with_its_file(inside: Run, data: Path) -> None:
    (data / "annotations" / "c1s1_000000.jpg.mat").write_bytes(b"rubbish")
    (data / "frames" / "c2s1_000001.jpg").write_bytes(b"no picture")
    (data / "frames" / "c1s1_000002.jpg").unlink()
    outcome = inside("train", "check", data)
    assert (outcome.code, outcome.err) == (2, "")
    faults = [line for line in outcome.out.splitlines() if line.startswith("fault: ")]
    for said in (
        "c1s1_000000.jpg.mat: cannot be read",
        "c2s1_000001.jpg: cannot be decoded",
        "frame 'c1s1_000002' has no image",
    ):
        assert any(said in line for line in faults), outcome.out
    found = inside("train", "check", data, "--json")
    assert found.code == 2
    assert len(found.document["faults"]) == len(faults) == 3


def test_damage_behind_the_header_needs_pixels(inside: Run, data: Path) -> None:
    path = data / "frames" / "c1s1_000000.jpg"
    path.write_bytes(path.read_bytes()[:-400])
    assert inside("train", "check", data).code == 0
    outcome = inside("train", "check", data, "--pixels")
    assert outcome.code == 2
    assert f"fault: {path}: cannot be decoded" in outcome.out


def test_nobody_to_tell_apart_is_a_fault(
    inside: Run, write_people: Callable[..., Path], tmp_path: Path
) -> None:
    outcome = inside("train", "check", write_people(tmp_path / "set", labelled=False))
    assert outcome.code == 2
    assert "no person has an identity: nothing to tell apart" in outcome.out


def test_pictures_of_people_are_known(inside: Run, coco_folder: Any, tmp_path: Path) -> None:
    folder = coco_folder(tmp_path / "people")
    folder.person(folder.image("a.jpg"), [3, 4, 10, 20])
    folder.write()
    outcome = inside("train", "check", tmp_path / "people", "--json")
    assert (outcome.code, outcome.document["layout"]) == (0, "people")
    assert outcome.document["counts"]["all"]["boxes"] == 1
    folder.person(1, [3, 4, 0, 20])
    folder.write()
    outcome = inside("train", "check", tmp_path / "people")
    assert outcome.code == 2
    assert "annotations[1] (id 101)" in outcome.out


@pytest.mark.parametrize(("name", "said"), [("nowhere", "no such folder"), (".", "no data set")])
def test_a_wrong_folder_is_an_error(inside: Run, tmp_path: Path, name: str, said: str) -> None:
    outcome = inside("train", "check", tmp_path / name)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith("error: ")
    assert said in outcome.err
    assert str(tmp_path) in outcome.err
