"""Curves and retrieval sheets as PNG files: what is in them, and that they are whole."""

import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from engines.errors import BackendUnavailableError
from engines.pictures import read_picture
from train.errors import ConfigError, DatasetError
from train.evaluation.answers import Answer, best_answers
from train.evaluation.average import Curve, precision_recall
from train.evaluation.canvas import BLUE, COLOURS, GREEN, RED
from train.evaluation.engine import load_test
from train.evaluation.galleries import GalleryPoint
from train.evaluation.plots import (
    NamedCurve,
    ScorePoint,
    plot_gallery_curves,
    plot_loss_weights,
    plot_precision_recall,
    plot_training_curves,
)
from train.evaluation.protocol import SearchProtocol
from train.evaluation.search import Search
from train.evaluation.sheets import draw_sheet

SYSTEMS = ("DC-I-Net", "I-Net", "OIM")


def has(path: Path, colour: str, at_least: int = 40) -> bool:
    """Tell whether a picture has pixels of exactly this colour."""
    wanted = [int(colour[k : k + 2], 16) for k in (1, 3, 5)]
    return int((read_picture(path) == wanted).all(axis=2).sum()) >= at_least


def curves() -> list[NamedCurve]:
    rng = np.random.default_rng(0)
    out = []
    for name in SYSTEMS:
        hits = rng.random(200) < 0.5
        curve = precision_recall(hits, rng.normal(size=200) + hits, 120)
        out.append(NamedCurve(name, curve, 0.5))
    return out


POINTS = [ScorePoint(at, at / 100, at / 50, 0.01) for at in (10, 20, 30)]


def draw(kind: str, path: Path) -> None:
    if kind == "precision-recall":
        plot_precision_recall(path, {"search": curves(), "detection": curves()[:2]})
    elif kind == "gallery":
        points = [GalleryPoint(size, size, 1 / size, {1: 0.5}) for size in (10, 100)]
        plot_gallery_curves(path, dict.fromkeys(SYSTEMS, points))
    elif kind == "training":
        plot_training_curves(path, {name: [*POINTS, *POINTS[:n]] for n, name in enumerate(SYSTEMS)})
    else:
        plot_loss_weights(path, {"α": POINTS, "β": POINTS[:2]})


KINDS = ("precision-recall", "gallery", "training", "loss weights")


@pytest.mark.parametrize("kind", KINDS)
def test_every_system_is_drawn_in_its_colour(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "plot.png"
    draw(kind, path)
    assert path.read_bytes().startswith(b"\x89PNG")
    assert [p.name for p in tmp_path.iterdir()] == ["plot.png"]
    drawn = 2 if kind == "loss weights" else len(SYSTEMS)
    # Gallery and training lines of the test lie upon each other: the last one and the legend show.
    assert [has(path, colour) for colour in COLOURS[: drawn + 1]] == [*[True] * drawn, False]


def test_each_panel_of_training_shows_its_own_score(tmp_path: Path) -> None:
    other = [point._replace(top1=point.top1 * 0.9) for point in POINTS]
    for name, points in (("a.png", POINTS), ("b.png", other)):
        plot_training_curves(tmp_path / name, {"A": points})
    a, b = (read_picture(tmp_path / name) for name in ("a.png", "b.png"))
    middle = a.shape[1] // 2
    assert (a[:, :middle] == b[:, :middle]).all()
    assert not (a[:, middle:] == b[:, middle:]).all()


def test_drawing_twice_gives_the_same_picture(tmp_path: Path) -> None:
    draw("gallery", tmp_path / "a.png")
    draw("gallery", tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_a_curve_without_answers_is_drawn(tmp_path: Path) -> None:
    none = np.zeros(0)
    path = tmp_path / "empty.png"
    plot_precision_recall(path, {"search": [NamedCurve("blind", Curve(none, none, none), 0.0)]})
    assert path.is_file()


def test_nothing_to_draw_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing to draw in .*x\.png$"):
        plot_gallery_curves(tmp_path / "x.png", {})
    with pytest.raises(ConfigError, match=r"nothing to draw in .*x\.png: no points for 'OIM'"):
        plot_training_curves(tmp_path / "x.png", {"I-Net": POINTS, "OIM": []})
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"cannot write picture .*x\.png: No such file"):
        draw("gallery", tmp_path / "no" / "x.png")


def test_without_matplotlib_the_command_that_installs_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(BackendUnavailableError, match=r"matplotlib is not installed.*\.\[train\]"):
        draw("gallery", tmp_path / "x.png")


@pytest.fixture
def sheet(example_folder: Any, example_found: Any, prwfolder: ModuleType) -> Any:
    """The worked example, ready to be drawn, with the answers to its query."""
    test, rule = load_test(example_folder.root, "all")
    features = prwfolder.query_feature()[None]
    search = Search(test.images, example_found, test.queries, features, SearchProtocol(rule))
    return test, best_answers(search, [0], count=4)


@pytest.mark.parametrize("zoom", [False, True])
def test_a_sheet_shows_right_and_wrong_answers(sheet: Any, tmp_path: Path, zoom: bool) -> None:
    test, answers = sheet
    path = tmp_path / "sheet.png"
    # The first two answers are wrong, the third is right.
    for count, drawn in ((2, [True, False, True]), (3, [True, True, True])):
        draw_sheet(path, test.images, test.queries, {"A": answers}, count=count, zoom=zoom)
        assert [has(path, colour) for colour in (BLUE, GREEN, RED)] == drawn
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["sheet.png"]


def test_a_sheet_of_two_systems_is_wider(sheet: Any, tmp_path: Path) -> None:
    test, answers = sheet
    draw_sheet(tmp_path / "one.png", test.images, test.queries, {"A": answers}, count=1)
    draw_sheet(
        tmp_path / "two.png", test.images, test.queries, {"A": answers, "B": answers}, count=1
    )
    one, two = (read_picture(tmp_path / name).shape for name in ("one.png", "two.png"))
    assert one[0] == two[0]
    assert one[1] * 1.4 < two[1] < one[1] * 2


def test_missing_answers_leave_their_place_empty(sheet: Any, tmp_path: Path) -> None:
    test, answers = sheet
    draw_sheet(tmp_path / "full.png", test.images, test.queries, {"A": answers}, count=2)
    draw_sheet(tmp_path / "few.png", test.images, test.queries, {"A": [answers[0][:1]]}, count=2)
    full, few = (read_picture(tmp_path / name) for name in ("full.png", "few.png"))
    assert full.shape == few.shape
    third = full.shape[1] * 3 // 5
    assert (full[:, :third] == few[:, :third]).all()
    assert not (full[:, third:] == few[:, third:]).all()


def test_a_box_at_the_edge_of_its_picture_is_zoomed_into(sheet: Any, tmp_path: Path) -> None:
    test, _ = sheet
    corner = Answer(1, np.array([600, 440, 700, 700], np.float32), 0.5, True)
    draw_sheet(tmp_path / "edge.png", test.images, test.queries, {"A": [(corner,)]}, zoom=True)
    assert has(tmp_path / "edge.png", GREEN)


def test_faults_of_a_sheet(sheet: Any, tmp_path: Path) -> None:
    test, answers = sheet
    with pytest.raises(ConfigError, match=r"nothing to draw in .*x\.png"):
        draw_sheet(tmp_path / "x.png", test.images, [], {"A": []})
    with pytest.raises(ConfigError, match=r"x\.png: A answers 2 of 1 queries"):
        draw_sheet(tmp_path / "x.png", test.images, test.queries, {"A": answers * 2})
    test.images[answers[0][0].frame].path.write_bytes(b"no picture")
    with pytest.raises(DatasetError, match="cannot read picture"):
        draw_sheet(tmp_path / "x.png", test.images, test.queries, {"A": answers})


def test_scoring_and_pictures_load_neither_torch_nor_matplotlib() -> None:
    root = Path(__file__).parents[3]
    modules = sorted(p.stem for p in (root / "train" / "evaluation").glob("*.py"))
    names = [f"train.evaluation.{name}" for name in modules if name not in ("__init__", "network")]
    script = (
        f"import importlib, sys; [importlib.import_module(name) for name in {names}]; "
        "print([name for name in ('torch', 'matplotlib') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True
    )
    assert len(names) > 15
    assert done.stdout.strip() == "[]"
