"""Tracklets: scored on simulated walkers, and the rules one by one."""

import numpy as np
import pytest

from engines.values import EMBEDDING_DIM, Detections
from streamer.tracker import Tracker, TrackerSettings


def who(*persons: int) -> np.ndarray:
    """Return one unit embedding a person number; numbers differ wholly."""
    return np.eye(EMBEDDING_DIM, dtype=np.float32)[list(persons)]


def found(boxes, persons, scores=None) -> Detections:
    scores = [0.9] * len(boxes) if scores is None else scores
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(scores, np.float32),
        who(*persons).reshape(-1, EMBEDDING_DIM),
    )


def at(x: float, y: float = 100) -> list[float]:
    """Return a box 40 wide and 100 high with its left edge at x."""
    return [x, y, x + 40, y + 100]


def ids(step) -> list[str]:
    return [track.id for track, _ in sorted(step.matches, key=lambda match: match[1])]


@pytest.mark.parametrize("fps", [2, 3, 5, 10])
@pytest.mark.parametrize("noise", [0.6, 1.0])
def test_identity_f1_on_crossing_walkers(walkers, fps: int, noise: float) -> None:
    scores = []
    for seed in range(4):
        people = walkers.crowd(seed, 14, seconds=40)
        rng = np.random.default_rng(seed + 99)
        tracker = Tracker("c", TrackerSettings(lost_after_s=max(0.8, 1.5 / fps)))
        pairs = []
        for i in range(40 * fps):
            detections, persons = walkers.detect(people, i / fps, rng, noise=noise)
            step = tracker.step(detections, round(i * 1000 / fps))
            pairs += [(persons[row], t.id) for t, row in step.matches if persons[row] >= 0]
        scores.append(walkers.identity_f1(pairs))
    assert np.mean(scores) >= 0.96, scores
    assert min(scores) >= 0.92, scores


def test_each_detection_has_at_most_one_track_and_each_track_one_detection(walkers) -> None:
    rng = np.random.default_rng(5)
    people = walkers.crowd(5, 20, seconds=10)
    tracker = Tracker("c")
    for i in range(50):
        detections, _ = walkers.detect(people, i / 5, rng, noise=1.0)
        step = tracker.step(detections, i * 200)
        rows = [row for _, row in step.matches]
        assert len(rows) == len(set(rows))
        assert len(ids(step)) == len(set(ids(step)))
        assert all(0 <= row < len(detections) for row in rows)


def test_ids_name_camera_first_shot_and_place() -> None:
    tracker = Tracker("hall")
    step = tracker.step(found([at(300), at(10)], [1, 2]), 5000)
    assert ids(step) == ["hall/5000-1", "hall/5000-0"]
    step = tracker.step(found([at(10), at(300), at(600)], [2, 1, 3]), 5200)
    assert ids(step) == ["hall/5000-0", "hall/5000-1", "hall/5200-0"]


def test_ids_do_not_hang_on_the_last_bits_of_scores() -> None:
    runs = []
    for scores in ([0.9, 0.9], [0.9 - 1e-6, 0.9]):
        order = np.argsort(scores)[::-1]
        boxes, persons = [at(300), at(10)], [1, 2]
        step = Tracker("c").step(
            found([boxes[i] for i in order], [persons[i] for i in order], sorted(scores)[::-1]), 0
        )
        runs.append({tuple(track.box): track.id for track, _ in step.matches})
    assert runs[0] == runs[1]


def test_a_step_of_more_than_a_box_is_followed() -> None:
    """1.5 m/s seen at 2 fps: 44 px a step for a box 40 wide; no overlap from box to box."""
    tracker = Tracker("c")
    tracks = {ids(tracker.step(found([at(44 * i)], [1]), 500 * i))[0] for i in range(10)}
    assert tracks == {"c/0-0"}


def test_nobody_flies() -> None:
    tracker = Tracker("c")
    tracker.step(found([at(0)], [1]), 0)
    assert ids(tracker.step(found([at(800)], [1]), 200)) == ["c/200-0"]


def test_people_who_cross_keep_their_names() -> None:
    tracker = Tracker("c")
    for i in range(11):
        step = tracker.step(found([at(40 * i), at(400 - 40 * i)], [1, 2]), 200 * i)
        assert ids(step) == ["c/0-0", "c/0-1"]


def test_likeness_decides_where_places_do_not() -> None:
    """Two people of some likeness (cosine 0.4) step into each other's place between two frames."""
    one, two = who(1, 2)
    common = who(3)[0]
    vectors = np.stack([one + 0.8 * common, two + 0.8 * common]) / np.sqrt(1.64)
    tracker = Tracker("c")
    for at_ms, order in ((0, [0, 1]), (200, [0, 1]), (400, [1, 0])):
        boxes = np.array([at(100), at(112)], np.float32)
        scores = np.array([0.9, 0.9], np.float32)
        step = tracker.step(Detections(boxes, scores, vectors[order].astype(np.float32)), at_ms)
        assert ids(step) == [f"c/0-{i}" for i in order]


def test_weak_detections_carry_on_and_start_nothing() -> None:
    tracker = Tracker("c", TrackerSettings(high_score=0.5))
    assert tracker.step(found([at(0)], [1], [0.4]), 0).matches == ()
    tracker.step(found([at(0)], [1], [0.6]), 200)
    assert ids(tracker.step(found([at(5), at(300)], [1, 2], [0.4, 0.3]), 400)) == ["c/200-0"]


def test_a_track_ends_by_age_and_a_short_absence_is_bridged() -> None:
    tracker = Tracker("c", TrackerSettings(max_age_s=2.0))
    nobody = found([], [])
    tracker.step(found([at(0)], [1]), 0)
    tracker.step(nobody, 1000)
    assert ids(tracker.step(found([at(10)], [1]), 1900)) == ["c/0-0"]
    assert tracker.step(nobody, 3900).ended == ()
    (ended,) = tracker.step(nobody, 3901).ended
    assert (ended.id, ended.hits, ended.first_ms, ended.last_ms) == ("c/0-0", 2, 0, 1900)
    assert tracker.tracks == ()


def test_another_person_in_the_place_of_a_lost_one_is_new() -> None:
    tracker = Tracker("c")
    tracker.step(found([at(0)], [1]), 0)
    assert ids(tracker.step(found([at(0)], [2]), 1500)) == ["c/1500-0"]


def test_time_that_steps_back_ends_all_tracks() -> None:
    tracker = Tracker("c")
    tracker.step(found([at(0)], [1]), 10_000)
    step = tracker.step(found([at(0)], [1]), 5_000)
    assert [track.id for track in step.ended] == ["c/10000-0"]
    assert ids(step) == ["c/5000-0"]


def test_closing_ends_all() -> None:
    tracker = Tracker("c")
    tracker.step(found([at(0), at(200)], [1, 2]), 0)
    assert len(tracker.close()) == 2
    assert tracker.close() == ()
