"""``sightline train eval`` from outside: what is deployed is what is scored."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engines.pictures import read_picture

ROOT = Path(__file__).parents[2]
Run = Callable[..., Any]
SCORES = {"map", "top1", "top5", "top10"}


@pytest.fixture
def score(inside: Run, bundle: Path, world: Path) -> Run:
    """Score the tiny engine on the world."""

    def run(*options: str | Path) -> Any:
        return inside("train", "eval", "--data", world, "--engine", bundle, *options)

    return run


def test_the_scores_of_a_compiled_engine(sightline: Run, bundle: Path, world: Path) -> None:
    outcome = sightline("train", "eval", "--data", world, "--engine", bundle, "--json")
    assert (outcome.code, outcome.err) == (0, "")
    found = outcome.document
    assert set(found["detection"]) == {"ap", "recall"}
    assert set(found["search"]) == {*SCORES, "gallery", "queries"}
    assert found["search"]["gallery"] == "cross-camera"
    assert found["search"]["queries"] > 0


def test_people_read_the_scores_and_the_rules(score: Run) -> None:
    text = score().out
    assert "search mAP" in text
    assert "gallery: cross-camera" in text
    assert "overlap of at least min(0.5" in text


def test_a_gallery_goes_by_two_names(score: Run) -> None:
    one = score("--protocol", "all", "--json").document
    other = score("--gallery", "all", "--json").document
    assert one["search"] == other["search"]
    assert one["search"]["gallery"] == "all"


def test_annotated_boxes_are_found_perfectly(score: Run) -> None:
    found = score("--boxes", "truth", "--min-score", "0.9", "--json").document
    assert found["detection"] == {"ap": 1.0, "recall": 1.0}
    assert found["protocol"]["boxes"] == "annotated boxes, score 1"
    assert found["protocol"]["det_thresh"] == 0.9


def test_whole_frames_are_searched_for_whole_frames(score: Run) -> None:
    found = score("--boxes", "frame", "--query", "frame", "--protocol", "all", "--json").document
    assert found["protocol"]["query_feature"] == "query graph, the whole frame"


def test_rescoring_stands_beside_the_plain_scores(score: Run) -> None:
    names = ("cws", "cbgm", "cws+cbgm", "k-reciprocal")
    options = [word for name in names for word in ("--rescore", name)]
    found = score("--boxes", "truth", *options, "--json").document
    assert tuple(found["rescored"]) == names
    assert found["rescored"]["cws"] == {
        **{name: found["search"][name] for name in SCORES},
        "re_scoring": "gallery similarity x detection score",
    }, "every annotated box has score 1"
    text = score("--boxes", "truth", "--rescore", "k-reciprocal").out
    assert "k1=20, k2=6" in text


def test_sizes_and_plots(score: Run, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="plots need the extra train")
    plots = tmp_path / "deep" / "plots"
    found = score("--boxes", "truth", "--sizes", "--plots", plots, "--json").document
    sizes = [point["size"] for point in found["sizes"]]
    assert sizes == sorted(sizes)
    assert found["sizes"][-1]["map"] == pytest.approx(found["search"]["map"])
    names = ["precision-recall.png", "retrieval.png", "gallery-sizes.png"]
    assert found["plots"] == [str(plots / name) for name in names]
    for path in found["plots"]:
        assert min(read_picture(Path(path)).shape[:2]) > 300


def test_a_folder_for_plots_that_cannot_be_made_is_told_first(score: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    outcome = score("--plots", tmp_path / "file")
    assert (outcome.code, outcome.out) == (2, "")
    assert "--plots: cannot make" in outcome.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--protocol", "nearby"], "--protocol: no gallery 'nearby': choose all, cross-camera"),
        (["--rescore", "magic"], "Invalid value for '--rescore'"),
        (["--people", "x"], "name one thing to score on"),
        (["--run", "x"], "name either --engine BUNDLE or --run RUN"),
        (["--boxes", "frame", "--rescore", "cbgm"], "boxes 'frame' have no persons to match"),
    ],
)
def test_what_does_not_fit_is_2(score: Run, options: list[str], said: str) -> None:
    outcome = score(*options)
    assert (outcome.code, outcome.out) == (2, "")
    assert said in outcome.err


@pytest.mark.parametrize(("name", "said"), [("nowhere", "no such folder"), ("", "no data set")])
def test_no_data_set_is_2(inside: Run, bundle: Path, tmp_path: Path, name: str, said: str) -> None:
    outcome = inside("train", "eval", "--data", tmp_path / name, "--engine", bundle)
    assert (outcome.code, outcome.out) == (2, "")
    assert str(tmp_path) in outcome.err
    assert said in outcome.err


def test_a_picture_that_cannot_be_decoded_is_named(
    inside: Run, bundle: Path, coco_folder: Any, tmp_path: Path
) -> None:
    folder = coco_folder(tmp_path / "people")
    folder.person(folder.image("a.jpg"), [3, 4, 10, 20])
    folder.write()
    (tmp_path / "people" / "a.jpg").write_bytes(b"no picture")
    outcome = inside("train", "eval", "--people", "people", "--engine", bundle)
    assert (outcome.code, outcome.out) == (2, "")
    assert "people/a.jpg" in outcome.err


def test_pictures_of_people_score_detection(
    inside: Run, bundle: Path, coco_folder: Any, tmp_path: Path
) -> None:
    folder = coco_folder(tmp_path / "people")
    folder.person(folder.image("a.jpg"), [3, 4, 10, 20])
    folder.person(folder.image("b.jpg"), [3, 4, 10, 20])
    folder.write()
    outcome = inside("train", "eval", "--people", "people", "--engine", bundle, "--json")
    assert (outcome.code, outcome.err) == (0, "")
    assert (outcome.document["pictures"], outcome.document["detection"]["persons"]) == (2, 2)
    assert set(outcome.document["recall_at_precision"]) == {"0.5", "0.8", "0.9", "0.95"}


def _annotated(path: Path, boxes: list[list[float]]) -> Path:
    """Write the annotations of frame 0 of the clip."""
    image = {"id": 1, "frame": 0, "width": 96, "height": 64}
    rows = [
        {"id": number, "image_id": 1, "bbox": box, "iscrowd": 0} for number, box in enumerate(boxes)
    ]
    path.write_text(json.dumps({"images": [image], "annotations": rows}))
    return path


def test_a_clip_scores_detection(inside: Run, bundle: Path, clip: Path, tmp_path: Path) -> None:
    """Of frame 0 red is annotated, green is not, and a third block is not there."""
    file = _annotated(tmp_path / "clip.json", [[0, 8, 8, 8], [80, 40, 8, 8]])
    command = ("train", "eval", "--clip", clip, "--annotations", file, "--engine", bundle)
    found = inside(*command, "--json").document
    assert (found["detection"]["recall"], found["detection"]["precision"]) == (0.5, 0.5)
    assert (found["data"], found["pictures"]) == (str(clip), 1)
    text = inside(*command).out
    assert "1 with 2 persons" in text
    assert "most recall" in text


def test_a_run_is_scored_through_torch(
    inside: Run, write_people: Callable[..., Path], world: Path, tmp_path: Path
) -> None:
    pytest.importorskip("torch", reason="a run needs the extra train")
    data = write_people(tmp_path / "set")
    fit = ("train", "fit", "--data", data, "--out", "run", "--preset", "tiny")
    assert inside(*fit, "--iterations", "1").code == 0
    named = inside("train", "eval", "--data", world, "--run", "run", "--json")
    assert named.code == 0, named.err
    file = inside("train", "eval", "--data", world, "--run", "run/checkpoint.safetensors", "--json")
    assert file.document["search"] == named.document["search"]
    nothing = inside("train", "eval", "--data", world, "--run", "nowhere")
    assert nothing.code == 2
    assert "no checkpoint nowhere/checkpoint.safetensors" in nothing.err


@pytest.mark.parametrize("command", ["check", "eval"])
def test_neither_a_check_nor_a_bundles_scores_load_torch(
    bundle: Path, world: Path, tmp_path: Path, command: str
) -> None:
    words = {
        "check": ["train", "check", str(world)],
        "eval": ["train", "eval", "--data", str(world), "--engine", str(bundle), "--sizes"],
    }[command]
    script = f"import sys\nfrom cli.main import main\nmain({words})\nprint('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == "False"
