"""The demo: what it prints, what it leaves, and that it leaves nothing when it is stopped."""

import json
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cli import demo
from cli.demo_truth import Person, choose, first_sighting, load_people, shows
from cli.errors import CliError
from cli.main import main
from engines.bundle import shipped_bundle
from gallery.journey_scores import TruthVisit
from gallery.values import Sighting
from train.synthetic import WorldSpec, write_world

Run = Callable[..., Any]
SMALL = ("--people", "6", "--seconds", "24", "--seed", "5")


@pytest.fixture(scope="module")
def engine() -> Path:
    """Give the shipped engine."""
    return shipped_bundle()


@pytest.fixture(scope="module")
def made(engine: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Give the folder of a small demo, and what it printed; an older one lay there."""
    folder = tmp_path_factory.mktemp("demo")
    (folder / "d" / "gallery").mkdir(parents=True)
    (folder / "d" / "gallery" / "old").touch()
    (folder / "d" / demo.RESULT).write_text("{}")
    printed: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "FPS", 1.0)
        patch.setattr(demo, "ANNOTATE_EVERY_S", 4.0)
        patch.chdir(folder)
        patch.setattr("sys.stdout.write", printed.append)
        assert main(["demo", "--out", "d", "--engine", str(engine), *SMALL]) == 0
    return folder / "d", "".join(printed)


def test_it_tells_the_steps_the_journey_and_the_scores(made: tuple[Path, str]) -> None:
    _, out = made
    for step in ("render", "ingest", "track", "score", "report"):
        assert re.search(rf"\d+\.\d s +{step} ", out), out
    assert re.search(r"Person \d+ was in \d cameras\. Asked for by one sighting: cam\d", out)
    for score in ("journey precision", "mean recall", "search mAP", "detection AP"):
        assert re.search(rf"{score} +\d+(\.\d)?%", out), out
    assert "4 cameras were watched all the time" in out
    assert "  d/report.html" in out


def test_it_leaves_a_page_a_gallery_a_world_and_nothing_else(made: tuple[Path, str]) -> None:
    folder, _ = made
    assert {path.name for path in folder.iterdir()} == {
        "demo.json", "gallery", "report.html", "world",
    }  # fmt: skip
    assert not (folder / "gallery" / "old").exists()
    assert [path.name for path in folder.parent.iterdir()] == ["d"]
    page = (folder / "report.html").read_text("utf-8")
    assert "data:image/jpeg;base64," in page
    assert not re.search(r"(src|href)=\"?(https?:|//|file:)", page)
    document = json.loads((folder / "demo.json").read_text("utf-8"))
    assert set(document["scores"]) == {
        "journey", "journeys", "search", "detection", "frames_per_s",
    }  # fmt: skip
    assert document["coverage"]["complete"] is True
    assert document["truth"]


def test_the_printed_commands_work(made: tuple[Path, str], sightline: Run) -> None:
    folder, out = made
    commands = [line.strip() for line in out.splitlines() if "--sighting" in line]
    assert len(commands) == 2
    for line in commands:
        words = shlex.split(line)
        start = words.index("--gallery") - 1
        outcome = sightline(*words[start:], "--json", cwd=folder.parent)
        assert outcome.code == 0, outcome.err
        assert outcome.document["query"]["sighting"]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_as_it_comes_it_takes_less_than_three_minutes_on_two_cores(
    sightline: Run, engine: Path, tmp_path: Path
) -> None:
    outcome = sightline("demo", "--engine", engine, "--json", timeout=500)
    assert (outcome.code, outcome.err) == (0, "")
    document = outcome.document
    assert document["out"] == str(tmp_path / "demo-out")
    assert len({visit["camera"] for visit in document["truth"]}) == 4
    assert sum(document["took_s"].values()) < 180


def test_a_folder_that_no_demo_made_is_refused(
    sightline: Run, bundle: Path, tmp_path: Path
) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "diary.txt").write_text("dear diary")
    outcome = sightline("demo", "--out", "d", "--engine", bundle)
    assert (outcome.code, outcome.out) == (2, "")
    assert f"{tmp_path / 'd'} holds things that no demo made" in outcome.err
    assert (tmp_path / "d" / "diary.txt").read_text() == "dear diary"
    (tmp_path / "file").write_text("x")
    assert sightline("demo", "--out", "file", "--engine", bundle).code == 2


def test_a_bad_engine_is_told_before_anything_is_rendered(sightline: Run, tmp_path: Path) -> None:
    outcome = sightline("demo", "--out", "d", "--engine", "nope")
    assert (outcome.code, outcome.out) == (4, "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_it_leaves_nothing(
    start: Callable[..., subprocess.Popen[str]], bundle: Path, tmp_path: Path,
    number: signal.Signals, code: int,
) -> None:  # fmt: skip
    with start("demo", "--out", "d", "--engine", bundle, "--seconds", "600") as process:
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob(".d.*/.world*")):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        time.sleep(2)
        process.send_signal(number)
        process.communicate(timeout=90)
    assert process.returncode == code
    assert list(tmp_path.iterdir()) == []


def test_a_failure_keeps_the_older_demo(tmp_path: Path) -> None:
    out = tmp_path / "d"
    out.mkdir()
    (out / demo.RESULT).write_text("{}")

    def fail() -> None:
        with demo.made_whole(out) as folder:
            (folder / "half").write_text("half")
            raise CliError("no")

    with pytest.raises(CliError, match="no"):
        fail()
    assert [path.name for path in tmp_path.rglob("*")] == ["d", demo.RESULT]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, WorldSpec]:
    """Give a small world with truth."""
    spec = WorldSpec(2, 4, 12, 2, seed=4, width=320, height=180)
    write_world(tmp_path_factory.mktemp("world") / "w", spec, workers=1)
    return next(tmp_path_factory.getbasetemp().glob("world*/w")), spec


def look(
    camera: str, at_ms: int, box: tuple[float, float, float, float], quality: float
) -> Sighting:
    vector = np.eye(1, 256, dtype=np.float32)[0]
    name = f"{at_ms:032x}"
    return Sighting(name, camera, at_ms, f"{camera}/0-0", box, 0.9, quality, vector, "", "0" * 64)


def test_the_truth_knows_where_everybody_was(world: tuple[Path, WorldSpec]) -> None:
    root, spec = world
    people = load_people(root, spec.start, spec.fps)
    start_ms = round(spec.start.timestamp() * 1000)
    assert people
    for person in people:
        for visit in person.visits:
            assert start_ms <= visit.enter_ms <= visit.leave_ms <= start_ms + 12_000
            assert visit.boxes[0][0] == visit.enter_ms
            assert visit.boxes[-1][0] == visit.leave_ms
    assert sorted(one.number for one in choose(people)) == sorted(one.number for one in people)


def test_who_stays_in_more_cameras_is_followed_first() -> None:
    def visit(camera: str, start: int, end: int) -> TruthVisit:
        return TruthVisit(camera, start, end, ((start, (0, 0, 9, 9)), (end, (0, 0, 9, 9))))

    glimpsed = Person(1, (visit("a", 0, 9000), visit("b", 20_000, 20_400)))
    walker = Person(2, (visit("a", 0, 3000), visit("b", 9000, 12_000)))
    assert [one.number for one in choose([glimpsed, walker])] == [2, 1]
    assert walker.cameras == glimpsed.cameras == 2


def test_a_sighting_shows_the_person_only_where_the_person_was(
    world: tuple[Path, WorldSpec],
) -> None:
    root, spec = world
    person = choose(load_people(root, spec.start, spec.fps))[0]
    visit = person.visits[0]
    at_ms, (x1, y1, x2, y2) = visit.boxes[0]
    there = look(visit.camera, at_ms, (x1, y1, x2, y2), 0.5)
    assert shows(visit, there)
    assert not shows(visit, look("roof", at_ms, (x1, y1, x2, y2), 0.5))
    assert not shows(visit, look(visit.camera, at_ms, (x1 + 500, y1, x2 + 500, y2), 0.5))
    assert not shows(visit, look(visit.camera, at_ms - 5000, (x1, y1, x2, y2), 0.5))
    better = look(visit.camera, at_ms + 1, (x1, y1, x2, y2), 0.9)
    assert first_sighting(person, [there, better]) is better
    assert first_sighting(person, []) is None
