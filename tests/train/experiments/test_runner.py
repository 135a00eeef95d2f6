"""A small table is trained, killed, resumed, shared and written beside the published figures."""

import json
import math
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from train.errors import ConfigError, DatasetError, TrainingDivergedError
from train.experiments import runs, tables
from train.experiments.results import Cell
from train.experiments.runner import TableProgress, run_table
from train.experiments.runs import TrainingStoppedError

SUPPORT = Path(__file__).parents[2] / "support"


@pytest.fixture(autouse=True)
def _mini_tables(mini: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    for chosen in (mini.MINI, mini.CURVES):
        monkeypatch.setitem(tables.TABLES, chosen.name, chosen)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def small(mini: ModuleType) -> dict[str, Any]:
    """Arguments of `run_table` that train a row in a second."""
    return {"preset": "tiny", "overrides": mini.SMALL}


@pytest.fixture(scope="module")
def finished(
    site: Path, mini: ModuleType, small: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The folder of the mini table, with two seeds."""
    out = tmp_path_factory.mktemp("tables") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(tables.TABLES, "mini", mini.MINI)  # type: ignore[arg-type]
        run_table("mini", [site], out, seeds=2, **small)
    return out


def progress_of(site: Path, out: Path, **arguments: Any) -> list[TableProgress]:
    told: list[TableProgress] = []
    run_table("mini", [site], out, progress=told.append, **arguments)
    return told


def test_the_table_stands_beside_the_published_figures(finished: Path) -> None:
    text = (finished / "tablemini.md").read_text()
    assert "# Table mini: Two rows" in text
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert lines[0].split(" | ")[1:5] == [
        "mAP, published", "top-1, published", "mAP, here", "top-1, here",
    ]  # fmt: skip
    assert lines[2].startswith("| another's | 12.3 | 45.6 | – | – | – | – |")
    assert lines[3].startswith("| olp | 81.3 | 82.9 | ")
    assert lines[3].endswith(" | 2 |")
    assert lines[3].count(" ± ") == 3
    assert lines[4].startswith("| contrastive ¹ | – | – | ")
    assert "sample standard deviation over the seeds" in text
    assert "- iterations: 4" in text
    assert "- begun from: a run of 3 iterations for each network, seed 0" in text
    assert "width=0.125" in text
    assert "queries, gallery all" in text


def test_the_csv_has_every_seed(finished: Path) -> None:
    lines = (finished / "tablemini.csv").read_text().splitlines()
    assert lines[0].startswith("row,seed,run,iterations,seconds,map_published")
    assert [line.split(",")[:2] for line in lines[1:]] == [
        ["another's", ""], ["olp", "0"], ["olp", "1"], ["contrastive", "0"], ["contrastive", "1"],
    ]  # fmt: skip


def test_what_is_finished_is_not_repeated(
    site: Path, finished: Path, small: dict[str, Any]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in (finished / "runs").rglob("*")}
    text = (finished / "tablemini.md").read_text()
    told = progress_of(site, finished, seeds=2, **small)
    assert [progress.stage for progress in told] == ["kept"] * 5
    assert [progress.label for progress in told] == [
        "start of dc-i-net", "olp", "olp", "contrastive", "contrastive",
    ]  # fmt: skip
    assert {path: path.stat().st_mtime_ns for path in (finished / "runs").rglob("*")} == before
    assert (finished / "tablemini.md").read_text() == text


def test_a_lost_score_is_scored_again_without_training(
    site: Path, finished: Path, small: dict[str, Any]
) -> None:
    (lost, *_) = (finished / "runs").glob("*/scores/*.json")
    before = json.loads(lost.read_text())
    lost.unlink()
    told = progress_of(site, finished, seeds=2, **small)
    assert "training" not in {progress.stage for progress in told}
    again = json.loads(lost.read_text())
    assert again["report"]["search"] == before["report"]["search"]


def test_a_killed_table_goes_on_to_the_same_scores(
    site: Path, finished: Path, small: dict[str, Any], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    program = (
        "import sys, time; from pathlib import Path\n"
        f"sys.path.insert(0, {str(SUPPORT)!r})\n"
        "import mini_tables as t; from train.experiments import tables\n"
        "from train.experiments.runner import run_table\n"
        "tables.TABLES['mini'] = t.MINI\n"
        "def slow(p):\n"
        "    print(p.stage, p.run, p.done, flush=True)\n"
        "    time.sleep(60 if (p.stage, p.run, p.done) == ('training', 2, 2) else 0)\n"
        f"run_table('mini', [Path({str(site)!r})], Path({str(out)!r}), preset='tiny', seeds=2,"
        " overrides=t.SMALL, progress=slow)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if line.startswith("training 2 2"):
                break
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
    told = progress_of(site, out, seeds=2, **small)
    begun = [p for p in told if p.run == 1]
    assert [p.stage for p in begun] == ["kept"]
    resumed = [p.done for p in told if p.run == 2 and p.stage == "training"]
    assert resumed[:2] == [0, 2] or resumed[:2] == [0, 3]  # not from the first iteration
    assert scores_of(out) == scores_of(finished)


def scores_of(out: Path) -> dict[str, Any]:
    return {
        path.parent.parent.name: json.loads(path.read_text())["report"]["search"]
        for path in (out / "runs").glob("*/scores/*.json")
    }


def test_asked_to_stop_it_stops_after_a_checkpoint_and_goes_on(
    site: Path, small: dict[str, Any], tmp_path: Path
) -> None:
    told: list[TableProgress] = []

    def stop() -> bool:
        return bool(told) and (told[-1].run, told[-1].done) == (2, 2)

    with pytest.raises(TrainingStoppedError, match="stopped at iteration 2 of 4 of run"):
        run_table("mini", [site], tmp_path, progress=told.append, stop=stop, **small)
    assert not (tmp_path / "tablemini.md").exists()
    told.clear()
    run_table("mini", [site], tmp_path, progress=told.append, **small)
    assert [p.done for p in told if p.run == 2 and p.stage == "training"] == [0, 3, 4]


def test_a_training_that_diverges_is_a_result(
    site: Path, small: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = runs.fit

    def fit(config: Any, **arguments: Any) -> Any:
        if config.loss.losses == ("contrastive",):
            raise TrainingDivergedError("iteration 2: the loss is not finite")
        return real(config, **arguments)

    monkeypatch.setattr(runs, "fit", fit)
    report = run_table("mini", [site], tmp_path, **small)
    line = report.markdown.read_text().splitlines()[6]
    assert line.startswith("| contrastive ¹ | – | – | diverged | diverged | diverged | 1 |")
    assert report.as_json()["rows"][2]["scores"]["map"]["mean"] is None


def test_figures_have_curves_and_their_numbers(
    site: Path, small: dict[str, Any], tmp_path: Path
) -> None:
    report = run_table("figmini", [site], tmp_path, **small)
    assert [path.name for path in report.pictures] == [
        "figmini-gallery.png", "figmini-training.png", "figmini-weights.png",
    ]  # fmt: skip
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in report.pictures)
    lines = [line.split(",") for line in (tmp_path / "figmini-curves.csv").read_text().splitlines()]
    assert [line[:3] for line in lines if line[0] == "training"] == [
        ["training", "alpha = 1", str(at)] for at in (1, 2, 3, 4)
    ]
    assert [line[2] for line in lines if line[0] == "weights"] == ["1", "0.5"]
    assert [line[2] for line in lines if line[1] == "alpha = 1" and line[0] == "gallery"] == [
        "25",
        "30",
    ]


def test_a_bundle_scores_as_its_network(
    site: Path, finished: Path, mini: ModuleType, small: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    one_row = replace(mini.MINI, name="one", rows=mini.MINI.rows[1:2])
    monkeypatch.setitem(tables.TABLES, "one", one_row)  # type: ignore[arg-type]
    run_table("one", [site], finished, bundles=True, **small)
    (file,) = (finished / "runs").glob("*/scores/*-bundle.json")
    exported = json.loads(file.read_text())["report"]
    network = json.loads(Path(str(file).replace("-bundle", "")).read_text())["report"]
    assert exported["search"]["map"] == pytest.approx(network["search"]["map"], abs=0.02)
    assert exported["detection"]["recall"] == pytest.approx(
        network["detection"]["recall"], abs=0.02
    )
    assert exported["protocol"]["model"] != network["protocol"]["model"]


def test_jobs_train_at_the_same_time_and_to_the_same_scores(
    site: Path, finished: Path, small: dict[str, Any], tmp_path: Path
) -> None:
    told = progress_of(site, tmp_path, jobs=2, **small)
    assert sorted((p.run, p.stage) for p in told) == [(1, "done"), (2, "done"), (3, "done")]
    wanted = scores_of(finished)
    assert scores_of(tmp_path) == {key: wanted[key] for key in scores_of(tmp_path)}


def test_arguments_that_cannot_be(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="no table '9'"):
        run_table("9", [site], tmp_path)
    with pytest.raises(ValueError, match="seeds and jobs must be at least 1, got 0 and 1"):
        run_table("5", [site], tmp_path, seeds=0)
    with pytest.raises(DatasetError, match="no folder to train on"):
        run_table("5", [], tmp_path)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="a table runs without torchrun"):
        run_table("5", [site], tmp_path)


def test_mean_and_spread() -> None:
    assert (Cell((0.2, 0.4)).mean, Cell((0.2,)).spread) == (pytest.approx(0.3), 0.0)
    assert Cell((0.2, 0.4, 0.9)).spread == pytest.approx(0.3605551275)
    assert math.isnan(Cell(()).mean)


def test_one_run_is_scored_in_every_way_that_rows_ask_for(
    site: Path, finished: Path, mini: ModuleType, small: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    olp = mini.MINI.rows[1]
    rows = (
        olp,
        replace(olp, label="true boxes", boxes="truth"),
        replace(olp, label="whole", boxes="frame", query="frame"),
    )
    ways = replace(mini.MINI, name="ways", rows=rows)
    monkeypatch.setitem(tables.TABLES, "ways", ways)  # type: ignore[arg-type]
    report = run_table("ways", [site], finished, **small).as_json()
    assert len({row["runs"][0] for row in report["rows"]}) == 1
    text = (finished / "tableways.md").read_text()
    assert "one and the same run" not in text  # one run, but not one way to score it
    scores = {row["label"]: row["scores"]["map"]["mean"] for row in report["rows"]}
    assert scores["true boxes"] > 0
    assert scores["whole"] > 0
