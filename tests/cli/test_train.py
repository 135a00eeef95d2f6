"""``sightline train`` from outside."""

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli.errors import CliError
from cli.fitting import parse_settings
from streamer.site import load_site

Run = Callable[..., Any]
SMALL = ("--cameras", "2", "--people", "4", "--seconds", "3", "--fps", "2", "--seed", "11")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a small world that has queries."""
    from train.synthetic import WorldSpec, write_world

    out = tmp_path_factory.mktemp("world") / "w"
    spec = WorldSpec(2, 8, 24, 1, seed=3, width=320, height=180)
    write_world(out, spec, workers=1, annotate_every_s=1)
    return out


def test_synth_writes_a_world_that_can_be_ingested(sightline: Run, tmp_path: Path) -> None:
    outcome = sightline("train", "synth", "world", *SMALL, "--difficulty", "easy", "--json")
    assert (outcome.code, outcome.err) == (0, "")
    found = outcome.document
    assert (found["people"], found["seed"], found["difficulty"]) == (4, 11, "easy")
    assert set(load_site(Path(found["site"])).cameras) == {"cam1", "cam2"}
    assert json.loads(Path(found["journeys"]).read_text())["journeys"]
    assert [path.name for path in tmp_path.iterdir()] == ["world"]


def test_synth_does_not_write_over_things(sightline: Run, tmp_path: Path) -> None:
    (tmp_path / "world").mkdir()
    (tmp_path / "world" / "diary.txt").write_text("dear diary")
    outcome = sightline("train", "synth", "world", *SMALL)
    assert (outcome.code, outcome.out) == (2, "")
    assert "not an empty folder" in outcome.err
    assert [path.name for path in tmp_path.rglob("*")] == ["world", "diary.txt"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_synth_stopped_leaves_nothing(start: Run, tmp_path: Path, number: signal.Signals) -> None:
    with start("train", "synth", "world", "--cameras", "1", "--seconds", "600") as process:
        deadline = time.monotonic() + 60
        while not any(tmp_path.iterdir()):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        time.sleep(0.5)
        process.send_signal(number)
        process.communicate(timeout=60)
    assert process.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143}[number]
    assert list(tmp_path.iterdir()) == []


def test_eval_prints_the_scores(sightline: Run, bundle: Path, world: Path) -> None:
    outcome = sightline("train", "eval", "--data", world, "--engine", bundle, "--json")
    assert (outcome.code, outcome.err) == (0, "")
    found = outcome.document
    assert set(found["detection"]) == {"ap", "recall"}
    assert set(found["search"]) == {"map", "top1", "top5", "top10", "gallery", "queries"}
    assert found["search"]["gallery"] == "cross-camera"
    assert found["search"]["queries"] > 0
    text = sightline("train", "eval", "--data", world, "--engine", bundle).out
    assert "search mAP" in text
    assert "gallery: cross-camera" in text


def test_eval_of_no_data_set_is_2(sightline: Run, bundle: Path, tmp_path: Path) -> None:
    outcome = sightline("train", "eval", "--data", tmp_path, "--engine", bundle)
    assert (outcome.code, outcome.out) == (2, "")
    assert str(tmp_path) in outcome.err


def test_fit_refuses_settings_that_do_not_exist(sightline: Run, world: Path) -> None:
    command = ("train", "fit", "--data", world, "--out", "run")
    outcome = sightline(*command, "--preset", "tyni")
    assert (outcome.code, outcome.out) == (2, "")
    assert "unknown preset 'tyni'; there are paper, strong, small, tiny" in outcome.err
    outcome = sightline(*command, "--preset", "tiny", "--set", "speed=3")
    assert outcome.code == 2
    assert "unknown training setting 'speed'" in outcome.err


def test_settings_of_a_run_are_json_or_text() -> None:
    assert parse_settings(["lr=0.5", "init=imagenet", "amp=true", "input_hw=[96, 160]"]) == {
        "lr": 0.5, "init": "imagenet", "amp": True, "input_hw": [96, 160],
    }  # fmt: skip


@pytest.mark.parametrize("pair", ["lr", "=3", "lr="])
def test_a_setting_without_name_or_value_is_refused(pair: str) -> None:
    with pytest.raises(CliError, match="want NAME=VALUE"):
        parse_settings([pair])


def test_fit_trains_and_resumes_and_export_makes_an_engine(sightline: Run, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="training needs the extra train")
    assert sightline("train", "synth", "w", *SMALL, "--split", "train").code == 0
    command = ("train", "fit", "--data", "w", "--out", "run", "--preset", "tiny", "--json")
    first = sightline(*command, "--iterations", "2")
    assert first.code == 0, first.err
    assert first.document["iterations"] == 2
    assert Path(first.document["checkpoint"]).is_file()
    again = sightline(*command, "--iterations", "3")
    assert again.code == 2
    assert "holds a run already" in again.err
    more = sightline(*command, "--iterations", "3", "--resume")
    assert more.code == 0, more.err
    assert more.document["iterations"] == 3
    done = sightline("train", "export", "run", "b", "--made-by", "sightline train fit", "--json")
    assert done.code == 0, done.err
    engine = sightline("engine", "info", "b", "--json").document
    assert (engine["model"], engine["training"]["iterations"]) == (done.document["model"], 3)
    assert engine["training"]["command"] == "sightline train fit"


def test_export_sizes_calibrates_and_scores(sightline: Run, world: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="training needs the extra train")
    assert sightline("train", "synth", "w", *SMALL, "--split", "train").code == 0
    fit = ("train", "fit", "--data", "w", "--out", "run", "--preset", "tiny")
    assert sightline(*fit, "--iterations", "1").code == 0
    export = ("train", "export", "run", "b", "--calibrate", world, "--score", world, "--json")
    done = sightline(*export, "--size", "112", "192")
    assert done.code == 0, done.err
    engine = sightline("engine", "info", "b", "--json").document
    assert engine["input_hw"] == [112, 192]
    assert engine["training"]["calibration"]["data"] == [world.name]
    assert engine["metrics"] == done.document["metrics"]
    assert engine["metrics"][world.name]["search"]["queries"] > 0
    taken = sightline(*export)
    assert (taken.code, taken.out) == (4, "")
    assert "the folder is not empty" in taken.err
    odd = sightline("train", "export", "run", "c", "--size", "100", "192")
    assert odd.code == 2
    assert "multiples of 16" in odd.err
    assert not (tmp_path / "c").exists()
