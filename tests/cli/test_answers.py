"""``sightline search`` and ``sightline track`` from outside."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gallery.gallery import Gallery

Run = Callable[..., Any]
RED, GREEN, BLUE, GREY = (230, 20, 20), (20, 220, 40), (20, 40, 230), (40, 40, 40)
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


@pytest.fixture
def ask(sightline: Run, site_gallery: Path, bundle: Path) -> Run:
    """Ask the gallery of the test site by an image."""

    def run(*arguments: str | Path) -> Any:
        return sightline(*arguments, "--gallery", site_gallery, "--engine", bundle)

    return run


@pytest.fixture
def stored(site_gallery: Path) -> str:
    """Give the id of a sighting of the red person at the door."""
    with Gallery.open(site_gallery) as gallery:
        door = gallery.sightings(cameras=["door"])
    return next(one.id for one in door if one.embedding[0] > 0.9)


def test_search_by_a_box_on_a_frame(ask: Run, frame: Run) -> None:
    outcome = ask("search", "--image", frame(RED, GREEN), "--box", "40,8,8,8", "--json")
    assert (outcome.code, outcome.err) == (0, "")
    document = outcome.document
    assert set(document) == {"query", "results", "coverage", "exhaustive", "note"}
    assert document["exhaustive"] is True
    assert document["query"]["box"] == [40, 8, 8, 8]
    assert {one["camera"] for one in document["results"][:9]} == {"door", "hall", "yard"}
    for one in document["results"]:
        assert {"sighting", "camera", "captured_at", "score", "box", "crop"} <= set(one)
        assert re.fullmatch("[0-9a-f]{32}", one["sighting"])
        assert TIME.fullmatch(one["captured_at"])
        assert [one["box"][2], one["box"][3]] == [8, 8]
        assert Path(one["crop"]).is_absolute()
        assert Path(one["crop"]).is_file()
    scores = [one["score"] for one in document["results"]]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > 0.99


def test_limits_of_camera_time_and_number(ask: Run, frame: Run) -> None:
    red = frame(RED)
    found = ask("search", "--image", red, "--camera", "ha*", "--camera", "yard", "--json").document
    assert {one["camera"] for one in found["results"]} == {"hall", "yard"}
    assert set(found["coverage"]["cameras"]) == {"hall", "yard"}
    found = ask(
        "search", "--image", red, "--since", "2026-03-02 14:00:20", "--until",
        "2026-03-02T15:00:25+01:00", "--json",
    ).document  # fmt: skip
    assert {one["camera"] for one in found["results"]} == {"hall"}
    assert found["query"]["since"] == found["coverage"]["since"] == "2026-03-02T14:00:20.000Z"
    assert found["query"]["until"] == "2026-03-02T14:00:25.000Z"
    assert len(ask("search", "--image", red, "--top", "2", "--json").document["results"]) == 2


def test_people_get_a_table_and_the_coverage(ask: Run, frame: Run) -> None:
    outcome = ask("search", "--image", frame(RED), "--top", "3")
    assert outcome.code == 0
    assert re.search(r"1 +[0-9a-f]{32} +door +2026-03-02 14:00:0\d\.\d +1\.000", outcome.out)
    assert "0 of 3 cameras were watched all the time" in outcome.out
    assert "Every stored sighting within the limits was compared" in outcome.out


def test_search_by_a_sighting_leaves_itself_out(
    sightline: Run, site_gallery: Path, stored: str
) -> None:
    outcome = sightline("search", "--gallery", site_gallery, "--sighting", stored, "--json")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.document["query"]["sighting"] == stored
    assert stored not in [one["sighting"] for one in outcome.document["results"]]
    assert outcome.document["results"][0]["score"] > 0.99


def test_without_a_box_the_engine_looks_and_says_whom_it_took(ask: Run, frame: Run) -> None:
    outcome = ask("search", "--image", frame(RED, GREEN), "--json")
    assert outcome.code == 0
    assert outcome.document["query"]["box"] == [40, 8, 8, 8]
    assert "2 persons" in outcome.err
    assert "the others: --box 40,32,8,8" in outcome.err


def test_a_crop_is_the_person(ask: Run, tmp_path: Path, write_crop: Run) -> None:
    outcome = ask("search", "--image", write_crop(GREEN), "--crop", "--json")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.document["query"]["box"] == [0, 0, 24, 40]
    assert outcome.document["results"][0]["camera"] == "door"


def test_track_follows_through_the_cameras(sightline: Run, site_gallery: Path, stored: str) -> None:
    command = ("track", "--gallery", site_gallery, "--sighting", stored)
    outcome = sightline(*command, "--json")
    assert (outcome.code, outcome.err) == (0, "")
    document = outcome.document
    assert {"query", "journey", "rejected", "coverage", "exhaustive"} <= set(document)
    assert [visit["camera"] for visit in document["journey"]] == ["door", "hall", "yard"]
    for visit in document["journey"]:
        assert set(visit) == {"camera", "enter", "leave", "score", "sightings"}
        assert TIME.fullmatch(visit["enter"])
        assert visit["enter"] < visit["leave"]
        assert visit["sightings"]
    for visit in document["rejected"]:
        assert visit["reason"]
    people = sightline(*command)
    assert re.search(r"door.*\n.*hall.*\n.*yard", people.out)


def test_nobody_is_an_answer_and_carries_its_coverage(ask: Run, frame: Run) -> None:
    red = frame(RED)
    outcome = ask("search", "--image", red, "--since", "2026-03-02 15:00", "--until", "2026-03-03",
                  "--json")  # fmt: skip
    assert outcome.code == 0
    assert outcome.document["results"] == []
    assert outcome.document["coverage"]["complete"] is False
    outcome = ask("track", "--image", red, "--since", "2026-03-02 15:00", "--until", "2026-03-03")
    assert outcome.code == 0
    assert "Nobody like that was found." in outcome.out
    assert "not watched at all" in outcome.out


@pytest.mark.parametrize("command", ["search", "track"])
def test_an_image_without_a_person_is_2(ask: Run, frame: Run, command: str) -> None:
    outcome = ask(command, "--image", frame(GREY))
    assert (outcome.code, outcome.out) == (2, "")
    assert "no person found in" in outcome.err
    assert "(96 x 64 pixels)" in outcome.err
    assert "--box x,y,w,h" in outcome.err


@pytest.mark.parametrize("box", ["-1,0,8,8", "0,-1,8,8", "90,0,8,8", "0,60,8,8", "900,900,5,5"])
def test_a_box_outside_the_frame_is_2(ask: Run, frame: Run, box: str) -> None:
    outcome = ask("search", "--image", frame(RED), "--box", box)
    assert (outcome.code, outcome.out) == (2, "")
    assert f"--box: {box} reaches outside" in outcome.err
    assert "96 x 64 pixels" in outcome.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--image", "nope.jpg"], "--image: cannot read picture nope.jpg: no such file"),
        (["--image", "list.jpg"], "--image: cannot read picture list.jpg: not a picture"),
        (["--sighting", "0" * 32], "no sighting 00000000000000000000000000000000 in gallery"),
        (["--sighting", "x", "--since", "soonish"], "--since: cannot read the time 'soonish'"),
        (["--sighting", "x", "--until", "99:99"], "--until: cannot read the time '99:99'"),
    ],
)
def test_what_cannot_be_asked_is_2(
    sightline: Run, site_gallery: Path, tmp_path: Path, arguments: list[str], said: str
) -> None:
    (tmp_path / "list.jpg").write_text("eggs, milk")
    outcome = sightline("search", *arguments, "--gallery", site_gallery)
    assert (outcome.code, outcome.out) == (2, "")
    assert said in outcome.err


def test_a_camera_that_does_not_exist_is_5(ask: Run, frame: Run) -> None:
    outcome = ask("search", "--image", frame(RED), "--camera", "roof*")
    assert (outcome.code, outcome.out) == (5, "")
    assert "no camera matches 'roof*'; known cameras: door, hall, yard" in outcome.err


@pytest.mark.parametrize("command", ["search", "track"])
def test_no_gallery_is_5(sightline: Run, bundle: Path, frame: Run, command: str) -> None:
    picture = frame(RED)
    outcome = sightline(command, "--image", picture, "--engine", bundle)
    assert (outcome.code, outcome.out) == (5, "")
    assert "sightline-gallery" in outcome.err


@pytest.mark.parametrize("command", ["search", "track"])
@pytest.mark.parametrize("by", ["image", "sighting"])
def test_an_empty_gallery_is_5(
    sightline: Run, bundle: Path, frame: Run, tmp_path: Path, command: str, by: str
) -> None:
    from engines.bundle import open_bundle

    Gallery.open(tmp_path / "g", model=open_bundle(bundle).manifest.model, create=True).close()
    who = {"image": ["--image", frame(RED)], "sighting": ["--sighting", "0" * 32]}[by]
    outcome = sightline(command, *who, "--gallery", "g", "--engine", bundle)
    assert (outcome.code, outcome.out) == (5, "")
    assert "holds no sightings" in outcome.err


def test_a_gallery_of_another_model_is_5(
    sightline: Run, tiny: Any, site_gallery: Path, frame: Run, tmp_path: Path
) -> None:
    other = tiny.write_tiny(tmp_path / "other", search=tiny.search_graph(persons=3), max_persons=3)
    outcome = sightline(
        "search", "--image", frame(RED), "--gallery", site_gallery, "--engine", other
    )
    assert (outcome.code, outcome.out) == (5, "")
    assert "model" in outcome.err
