"""The check lists all that is wrong with a data set at once, and counts it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from train.data.check import CheckProgress, CheckReport, check_set
from train.errors import DatasetError

A, B, C, D = "c1s1_000001", "c2s1_000002", "c1s1_000003", "c2s1_000004"


def texts(report: CheckReport) -> list[str]:
    return [str(fault) for fault in report.faults]


def says(lines: Any, *parts: str) -> bool:
    """Tell whether one of the lines holds all of these parts."""
    return any(all(part in str(line) for part in parts) for line in lines)


@pytest.fixture
def world(folder: Any) -> Any:
    """A sound PRW folder that says that it is a synthetic one."""
    folder.frame(A, [(3, 1, 1, 10, 20), (-2, 30, 1, 10, 20)])
    folder.frame(B, [(3, 1, 1, 10, 20), (8, 40, 1, 10, 20)])
    folder.frame(C, [(5, 1, 1, 10, 20)])
    folder.frame(D, [(5, 1, 1, 10, 20), (6, 30, 1, 10, 20)])
    folder.split("train", [A, B], [3, 8])
    folder.split("test", [C, D], [5, 6])
    folder.queries([f"5 1 1 10 20 {C}"])
    (folder.root / "world.json").write_text("{}")
    return folder


def test_a_sound_set_has_counts_and_no_faults(world: Any) -> None:
    report = check_set(world.root, pixels=True)
    assert report.ok
    assert report.layout == "prw"
    assert report.faults == ()
    train = {"frames": 2, "boxes": 4, "ignored_regions": 0, "unlabelled_share": 0.25}
    assert report.counts["train"] == {
        **train, "persons_per_frame": 2.0, "identities": 2, "queries": 0,
    }  # fmt: skip
    assert report.counts["test"]["queries"] == 1
    assert report.notes == ("train: 1 of 2 identities are in one frame only: 8",)


def test_all_faults_are_listed_at_once(world: Any) -> None:
    (world.root / "annotations" / f"{A}.jpg.mat").write_bytes(b"rubbish")
    (world.root / "frames" / f"{B}.jpg").unlink()
    (world.root / "frames" / f"{D}.jpg").write_bytes(b"no picture")
    world.frame(C, [(5, 1, 1, 10, 20), (5.5, 1, 1, 3, 3), (6, 2, 2, 0, 9), (7, 64, 2, 5, 5)])
    world.queries([f"5 1 1 10 20 {C}", "5 1 1 10", f"77 1 1 10 20 {C}"])
    report = check_set(world.root)
    assert not report.ok
    expected = [
        f"cannot be read: 7 bytes are too few for a MATLAB file|{A}.jpg.mat",
        f"frame_train.mat: row 2: frame '{B}' has no image",
        f"{D}.jpg: cannot be decoded",
        f"{C}.jpg.mat: row 2: id is 5.5, want an integer",
        f"{C}.jpg.mat: row 3: box without area in the picture",
        f"{C}.jpg: box x1 y1 x2 y2 = (64, 2, 69, 7), identity 7: lies outside|64 x 48 pixels",
        "query_info.txt: line 2: want 'pid x y w h frame'",
        "query 2, person 77: no frame of the gallery shows the person",
        "train: no person has an identity: nothing to tell apart",
    ]
    for parts in expected:
        assert says(report.faults, *parts.split("|")), (parts, texts(report))
    assert len(report.faults) == len(expected), texts(report)


def test_damage_behind_the_header_needs_the_pixels(world: Any) -> None:
    path = world.root / "frames" / f"{A}.jpg"
    path.write_bytes(path.read_bytes()[:-30])
    assert check_set(world.root).ok
    report = check_set(world.root, pixels=True)
    assert says(report.faults, str(path), "cannot be decoded")
    assert len(report.faults) == 1


def test_identities_in_both_splits(world: Any) -> None:
    world.split("test", [C, D], [5, 8, 3])
    faults = check_set(world.root).faults
    assert [str(fault) for fault in faults] == [
        f"{world.root}: train and test: 2 identities are in both splits: 3, 8"
    ]


def test_a_training_split_must_hold_pairs(world: Any) -> None:
    world.frame(B, [(8, 40, 1, 10, 20)])
    report = check_set(world.root)
    assert texts(report) == [f"{world.root}: train: no identity is in two frames: nothing to pair"]
    assert says(report.notes, "2 of 2 identities are in one frame only: 3, 8")


def test_a_training_split_must_hold_identities(world: Any) -> None:
    world.split("train", [A, B], [77])
    report = check_set(world.root)
    assert says(report.faults, "train: no person has an identity: nothing to tell apart")
    assert says(report.notes, "train: 1 listed identities are in no frame: 77")


def test_a_test_split_must_hold_queries(world: Any) -> None:
    world.queries([])
    assert says(check_set(world.root).faults, "test: no queries: nothing to search for")


def test_the_query_s_own_frame_is_no_answer(world: Any) -> None:
    world.queries([f"5 1 1 10 20 {C}", f"6 30 1 10 20 {D}"])
    (fault,) = texts(check_set(world.root))
    assert says([fault], f"{D}.jpg: query 2, person 6: no frame of the gallery shows the person")


def test_one_split_alone_is_a_set_and_none_is_not(world: Any) -> None:
    world.split("test", [], [])
    report = check_set(world.root)
    assert report.ok
    assert says(report.notes, "no test split", "frame_test.mat")
    world.split("train", [], [])
    assert says(check_set(world.root).faults, "no train split", "no test split")


def test_queries_that_one_camera_alone_answers_are_counted(world: Any) -> None:
    world.frame("c1s1_000009", [(6, 1, 1, 5, 5)])
    world.frame("c1s1_000010", [(6, 1, 1, 5, 5)])
    world.frame(D, [(5, 1, 1, 10, 20)])
    world.split("test", [C, D, "c1s1_000009", "c1s1_000010"], [5, 6])
    world.queries([f"5 1 1 10 20 {C}", "6 1 1 5 5 c1s1_000009"])
    report = check_set(world.root)
    assert report.ok
    assert says(report.notes, "test: 1 of 2 queries have answers at their own camera alone")


def test_boxes_over_the_edge_are_noted(world: Any) -> None:
    world.frame(C, [(5, 1, 1, 10, 80)])
    assert "1 boxes reach over the edge of their picture" in check_set(world.root).notes


def test_a_set_that_claims_to_be_prw_is_compared(world: Any) -> None:
    (world.root / "world.json").unlink()
    notes = check_set(world.root).notes
    assert "train frames: 2, published with 5704" in notes
    assert "test queries: 1, published with 2057" in notes
    assert "train and test boxes: 7, published with 43110" in notes


def test_progress_is_told(world: Any) -> None:
    seen: list[CheckProgress] = []
    check_set(world.root, progress=seen.append)
    assert CheckProgress("train pictures", 2, 2) in seen
    assert [step.stage for step in seen if step.done == 0] == ["reading train", "reading test"]


def test_a_report_is_plain_json(world: Any) -> None:
    world.queries([])
    report = json.loads(json.dumps(check_set(world.root).as_json()))
    assert (report["layout"], report["ok"]) == ("prw", False)
    assert report["faults"] == [
        {"file": str(world.root), "where": "test", "text": "no queries: nothing to search for"}
    ]
    assert report["counts"]["train"]["frames"] == 2


def test_a_folder_that_is_no_data_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="is no data set that is known"):
        check_set(tmp_path)


@pytest.mark.parametrize("missing", ["frames", "annotations"])
def test_a_folder_of_the_set_is_missing(world: Any, missing: str) -> None:
    (world.root / missing).rename(world.root / "elsewhere")
    assert says(check_set(world.root).faults, f"no folder {world.root / missing}")


def test_cuhk_sysu_has_every_gallery_checked(cuhk: Any) -> None:
    report = check_set(cuhk.root, pixels=True)
    assert texts(report) == []
    assert report.counts["test"]["gallery"] == 3
    assert "train frames: 3, published with 11206" in report.notes
    assert "test queries: 2, published with 2900" in report.notes
    assert says(report.notes, "Images.mat: box without area, left out", "Img, row 1, box 3")
    (cuhk.annotation / "test" / "train_test" / "TestG4000.mat").write_bytes(b"x" * 200)
    (cuhk.annotation / "test" / "subset" / "Occlusion.mat").unlink()
    cuhk.queries("train_test/TestG50.mat", "TestG50", [("t1.jpg", (3, 3, 10, 20), [("x", None)])])
    cuhk.train([[("s3.jpg", (9, 9, 10, 21)), ("t1.jpg", (3, 3, 10, 20))]])
    report = check_set(cuhk.root)
    assert says(report.faults, "TestG4000.mat: cannot be read: not a MATLAB 5 file")
    assert says(report.faults, "TestG50.mat: TestG50, row 1, Gallery 1: 'x' is not one of the test")
    assert says(report.faults, "t1.jpg: query 1, person 1: no frame of the gallery")
    assert says(report.faults, "Train, row 1, scene 1: 's3.jpg' has no person with the box")
    assert says(report.faults, "Train, row 1, scene 2: 't1.jpg' is not a picture of this split")
    assert says(report.faults, "train: no person has an identity")
    assert len(report.faults) == 6, texts(report)
    assert says(report.notes, "gallery occlusion cannot be scored: no such file")


def test_cuhk_sysu_with_a_missing_picture_names_it_once(cuhk: Any) -> None:
    cuhk.path("t2.jpg").unlink()
    cuhk.path("s1.jpg").write_bytes(b"")
    faults = texts(check_set(cuhk.root))
    assert len(faults) == 2, faults
    assert says(faults, "Img, row 4: picture 't2.jpg' has no image")
    assert says(faults, "s1.jpg: cannot be decoded")


def _coco(sets: Any, root: Path) -> Any:
    made = sets.CocoFolder(root)
    for name, split in (("a", "train"), ("b", "train"), ("c", "test"), ("d", "test")):
        image = made.image(f"{name}.jpg", split=split, camera=name)
        made.person(image, [1, 1, 10, 20], identity=1 if split == "train" else 2)
    return made


def test_own_coco_data(sets: Any, tmp_path: Path) -> None:
    made = _coco(sets, tmp_path)
    made.write()
    assert check_set(tmp_path).ok
    made.images[0].update(width=640, height=480)
    made.annotations[1]["bbox"] = [0, 0, 0, 1]
    made.annotations[2]["image_id"] = 99
    made.person(4, [2, 1, 10, 20], identity=2)
    made.write()
    faults = texts(check_set(tmp_path))
    assert says(faults, "images[0] (id 1): says 640 x 480 pixels, but", "has 64 x 48 pixels")
    assert says(faults, "annotations[1] (id 101): box x y w h = (0, 0, 0, 1) has no area")
    assert says(faults, "annotations[2] (id 102): image_id 99 is no id of images")
    assert says(faults, "identity 2 is on 'd.jpg' already, annotations[3]")
    assert says(faults, "no identity is in two frames")
    assert says(faults, "no queries")
    assert len(faults) == 6, faults


def test_pictures_of_people_need_no_identities(sets: Any, tmp_path: Path) -> None:
    made = sets.CocoFolder(tmp_path)
    made.person(made.image("a.jpg"), [1, 1, 10, 20])
    made.person(1, [1, 1, 10, 10], iscrowd=1)
    made.write()
    report = check_set(tmp_path)
    assert (report.ok, report.layout) == (True, "people")
    assert report.counts["all"]["boxes"] == 1
    assert report.counts["all"]["ignored_regions"] == 1
    made.annotations[0].pop("bbox")
    (tmp_path / "a.jpg").write_bytes(b"")
    made.write()
    assert len(check_set(tmp_path).faults) == 2


def _break(path: str, content: str) -> Callable[[Path], object]:
    return lambda root: (root / path).write_text(content)


@pytest.mark.parametrize(
    ("damage", "parts"),
    [
        (_break("train/hall/gt/gt.txt", "1,1,1\nx\n"), ("line 1: want 9", "line 2: want 9")),
        (_break("train/hall/seqinfo.ini", ""), ("no section [Sequence]",)),
        (_break("train/hall/img1/000001.jpg", ""), ("000001.jpg: cannot be decoded",)),
    ],
)
def test_motchallenge_cameras(
    sets: Any, tmp_path: Path, damage: Callable[[Path], object], parts: tuple[str, ...]
) -> None:
    rows = ["1,1,1,1,10,20,1,1,1", "2,1,1,1,10,20,1,1,1"]
    sets.mot_camera(tmp_path / "train" / "hall", rows, 2)
    sound = check_set(tmp_path)
    assert sound.ok
    assert says(sound.notes, "no test split")
    damage(tmp_path)
    faults = texts(check_set(tmp_path))
    for part in parts:
        assert says(faults, part), faults


def test_tattoos_are_compared_with_the_published_set(sets: Any, tmp_path: Path) -> None:
    made = sets.TattooFolder(tmp_path / "webtattoo")
    made.split("train", ["a.jpg,1,1,1,10,20,", "b.jpg,1,1,1,10,20,"])
    made.split("test", ["q.jpg,2,1,1,10,20,query", "g.jpg,3,1,1,10,20,gallery"])
    report = check_set(made.root)
    (fault,) = texts(report)
    assert says([fault], "q.jpg: query 1, person 2: no frame of the gallery shows the person")
    assert "test gallery: 1, published with 355" in report.notes
