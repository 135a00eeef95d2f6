"""Written worlds: every file is read back with other tools than those that wrote it."""

import json
import re
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import yaml
from scipy.io import loadmat

from train.errors import WorldError
from train.synthetic import OutputNotEmptyError, WorldFiles, WorldSpec, tracks, write_world

SPEC = WorldSpec(
    cameras=2, people=10, seconds=24.0, fps=2.0, seed=5, width=320, height=180,
    start=datetime(2026, 3, 2, 9, 30, 15, tzinfo=UTC),
)  # fmt: skip
EVERY_S = 1.0


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> WorldFiles:
    out = tmp_path_factory.mktemp("synthetic") / "world"
    return write_world(out, SPEC, workers=1, annotate_every_s=EVERY_S)


def mot_rows(world: WorldFiles, camera: str) -> list[list[float]]:
    text = (world.root / "ground_truth" / "mot" / camera / "gt" / "gt.txt").read_text()
    return [[float(v) for v in line.split(",")] for line in text.splitlines()]


def journeys(world: WorldFiles) -> list[dict[str, Any]]:
    loaded: list[dict[str, Any]] = json.loads(world.journeys.read_text())["journeys"]
    return loaded


def split_names(root: Path, split: str) -> list[str]:
    cells = loadmat(root / f"frame_{split}.mat")[f"img_index_{split}"]
    assert cells.size == 0 or cells.shape[1] == 1
    return [str(cell[0][0]) for cell in cells]


def test_videos_hold_all_frames_at_a_constant_rate_and_tell_their_start(
    world: WorldFiles,
) -> None:
    assert sorted(world.videos) == ["cam1", "cam2"]
    for path in world.videos.values():
        with av.open(str(path)) as container:
            created = container.metadata["creation_time"]
            stream = container.streams.video[0]
            times = [frame.time for frame in container.decode(video=0)]
            assert stream.codec_context.name == "h264"
            assert stream.average_rate == Fraction(2)
            assert (stream.width, stream.height) == (320, 180)
        assert datetime.fromisoformat(created) == SPEC.start
        assert times == pytest.approx(np.arange(48) / 2.0)


def test_site_file_names_videos_relative_to_itself(world: WorldFiles) -> None:
    site = yaml.safe_load(world.site.read_text())
    assert site["name"] == "synthetic-5"
    assert list(site["cameras"]) == ["cam1", "cam2"]
    for camera in site["cameras"].values():
        assert (world.root / camera["url"]).is_file()
        assert camera["start"] == SPEC.start
    ends = {(link["from"], link["to"]) for link in site["links"]}
    assert ends == {("cam1", "cam2"), ("cam2", "cam1")}


def test_every_true_transition_lies_inside_its_link_limits(world: WorldFiles) -> None:
    site = yaml.safe_load(world.site.read_text())
    limits = {(k["from"], k["to"]): (k["min_s"], k["max_s"]) for k in site["links"]}
    seen = 0
    for person in journeys(world):
        visits = person["visits"]
        for one, two in pairwise(visits):
            gap = datetime.fromisoformat(two["enter"]) - datetime.fromisoformat(one["leave"])
            low, high = limits[one["camera"], two["camera"]]
            assert low <= gap.total_seconds() <= high
            seen += 1
    assert seen >= 2


def test_journeys_match_the_labelled_frames(world: WorldFiles) -> None:
    for person in journeys(world):
        for visit in person["visits"]:
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", visit["enter"])
            moments = [
                SPEC.start + timedelta(seconds=(row[0] - 1) / SPEC.fps)
                for row in mot_rows(world, visit["camera"])
                if row[1] == person["id"]
            ]
            assert datetime.fromisoformat(visit["enter"]) in moments
            assert datetime.fromisoformat(visit["leave"]) in moments


def test_mot_rows_have_nine_columns_and_boxes_inside_the_frame(world: WorldFiles) -> None:
    for camera in world.videos:
        rows = mot_rows(world, camera)
        assert rows
        for frame, track, x, y, w, h, scored, kind, visible in rows:
            assert 1 <= frame <= 48
            assert scored == (1 if track <= 8 else 0)
            assert kind == 1
            assert 0 <= x <= x + w <= 320
            assert 0 <= y <= y + h <= 180
            assert 0.3 <= visible <= 1.0
            assert w >= 4
            assert h >= 12
    ini = (world.root / "ground_truth/mot/cam1/seqinfo.ini").read_text()
    assert "seqLength=48" in ini
    assert "frameRate=2" in ini


def test_ai_city_rows_are_the_mot_rows_of_identities(world: WorldFiles) -> None:
    text = (world.root / "ground_truth" / "aicity.txt").read_text()
    rows = [[float(v) for v in line.split()] for line in text.splitlines()]
    assert {len(row) for row in rows} == {9}
    for number, camera in enumerate(("cam1", "cam2"), start=1):
        here = [(frame, pid, *box) for c, pid, frame, *box, _, _ in rows if c == number]
        scored = [tuple(row[:6]) for row in mot_rows(world, camera) if row[6] == 1]
        assert here == scored


def test_world_positions_project_to_the_foot_of_the_boxes(world: WorldFiles) -> None:
    cameras = json.loads((world.root / "world.json").read_text())["cameras"]
    for line in (world.root / "ground_truth" / "aicity.txt").read_text().splitlines():
        number, _, _, x, y, w, h, xworld, yworld = map(float, line.split())
        camera = cameras[f"cam{int(number)}"]
        ground = np.array([xworld, yworld, 0.0]) - [*camera["world_offset_m"], 0.0]
        u, v, depth = np.array(camera["K"]) @ (np.array(camera["R"]) @ ground + camera["t"])
        if v / depth < 175 and 5 < x < x + w < 315:
            assert x - 0.35 * h <= u / depth <= x + w + 0.35 * h
            assert abs(v / depth - (y + h)) < 0.12 * h + 3


def test_prw_files_read_back_like_the_real_ones(world: WorldFiles) -> None:
    names = split_names(world.root, "test")
    assert names[:2] == ["c1s1_000001", "c1s1_000003"]
    assert len(names) == 48
    assert split_names(world.root, "train") == []
    ids = loadmat(world.root / "ID_test.mat")["ID_test2"]
    assert ids.shape[0] == 1
    assert set(ids.ravel()) <= set(range(1, 9))
    assert loadmat(world.root / "ID_train.mat")["ID_train"].size == 0
    found: set[int] = set()
    for name in names:
        boxes = loadmat(world.root / "annotations" / f"{name}.jpg.mat")["box_new"]
        assert boxes.shape == (len(boxes), 5)
        found |= {int(pid) for pid in boxes[:, 0]}
    assert found - {-2} == {int(pid) for pid in ids.ravel()}
    assert -2 in found


def test_annotations_agree_with_the_tracks_of_their_frame(world: WorldFiles) -> None:
    for name in split_names(world.root, "test"):
        match = re.fullmatch(r"c(\d)s1_(\d{6})", name)
        assert match is not None
        boxes = loadmat(world.root / "annotations" / f"{name}.jpg.mat")["box_new"]
        rows = [r for r in mot_rows(world, f"cam{match[1]}") if r[0] == int(match[2])]
        expected = [[r[1] if r[6] else -2, *r[2:6]] for r in rows]
        np.testing.assert_allclose(boxes, np.array(expected).reshape(-1, 5))


def test_pictures_are_the_decoded_video_frames(world: WorldFiles) -> None:
    with av.open(str(world.videos["cam2"])) as container:
        frames = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
    with av.open(str(world.root / "frames" / "c2s1_000005.jpg")) as container:
        picture = next(container.decode(video=0)).to_ndarray(format="rgb24")
    gaps = [np.abs(frame.astype(int) - picture).mean() for frame in frames]
    assert int(np.argmin(gaps)) == 4
    assert gaps[4] < 3.0


def test_queries_are_boxes_of_people_seen_by_two_cameras(world: WorldFiles) -> None:
    lines = (world.root / "query_info.txt").read_text().splitlines()
    assert lines
    cameras: dict[int, list[str]] = {}
    for line in lines:
        pid, *box, name = line.split()
        boxes = loadmat(world.root / "annotations" / f"{name}.jpg.mat")["box_new"]
        assert [float(pid), *(float(v) for v in box)] in boxes.tolist()
        cameras.setdefault(int(pid), []).append(name[:2])
    assert all(len(set(c)) == len(c) for c in cameras.values())


def test_same_seed_writes_the_same_bytes_in_processes_of_its_own(
    world: WorldFiles, tmp_path: Path
) -> None:
    calls: list[tuple[int, int]] = []
    again = write_world(
        tmp_path / "again", SPEC, workers=2, annotate_every_s=EVERY_S,
        progress=lambda done, total: calls.append((done, total)),
    )  # fmt: skip
    files = sorted(p.relative_to(world.root) for p in world.root.rglob("*") if p.is_file())
    assert files == sorted(p.relative_to(again.root) for p in again.root.rglob("*") if p.is_file())
    for name in files:
        assert (again.root / name).read_bytes() == (world.root / name).read_bytes(), name
    assert calls[-1] == (96, 96)


def test_split_both_shares_people_and_time(tmp_path: Path) -> None:
    spec = WorldSpec(
        cameras=1, people=8, seconds=24, fps=1, seed=1, width=160, height=96, split="both"
    )
    root = write_world(tmp_path / "both", spec, workers=1).root
    train, test = split_names(root, "train"), split_names(root, "test")
    assert (len(train), len(test)) == (12, 12)
    assert max(train) < min(test)
    train_ids = set(loadmat(root / "ID_train.mat")["ID_train"].ravel())
    test_ids = set(loadmat(root / "ID_test.mat")["ID_test2"].ravel())
    assert len(train_ids) > 0
    assert len(test_ids) > 0
    assert max(train_ids) <= 3 < min(test_ids)


def test_non_empty_folder_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(OutputNotEmptyError, match="not an empty folder"):
        write_world(tmp_path, SPEC)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]
    assert issubclass(OutputNotEmptyError, WorldError)


def test_failure_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(tracks, "write_aicity", full_disk)
    small = WorldSpec(cameras=1, people=2, seconds=1, fps=1, width=160, height=96)
    with pytest.raises(OSError, match="no space left"):
        write_world(tmp_path / "world", small, workers=1)
    assert list(tmp_path.iterdir()) == []


def test_annotation_step_must_be_positive(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"annotate_every_s must be above 0, not 0\.0"):
        write_world(tmp_path / "world", SPEC, annotate_every_s=0.0)
