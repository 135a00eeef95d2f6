"""Which looks become sightings, and how good a look is."""

from itertools import pairwise

import numpy as np
import pytest

from engines.values import EMBEDDING_DIM, Frame
from streamer.quality import look_quality, overlap
from streamer.sampler import Look, Sampler, SamplerSettings, crop_with_margin
from streamer.tracker import Track

RNG = np.random.default_rng(3)
SHARP = RNG.integers(0, 255, (240, 320, 3), np.uint8)
NOBODY = np.zeros((0, 4), np.float32)
VECTOR = np.eye(1, EMBEDDING_DIM, dtype=np.float32)[0]


def frame(at_ms: int, pixels: np.ndarray = SHARP) -> Frame:
    return Frame("cam", at_ms // 200, pixels, at_ms, 0.0, "file")


def box(height: float = 100, x: float = 100, y: float = 60) -> np.ndarray:
    return np.array([x, y, x + 0.4 * height, y + height], np.float32)


def track(first_ms: int = 0, hits: int = 2, score: float = 0.9) -> Track:
    return Track(f"cam/{first_ms}-0", box(), VECTOR, first_ms, first_ms, score, hits)


def live(sampler: Sampler, who: Track, until_ms: int, *, step_ms: int = 200, height=None):
    """Let a track live from its first shot on; return (due time, shot) pairs."""
    out = []
    for at_ms in range(who.first_ms, until_ms, step_ms):
        look = Look(box(height(at_ms) if height else 100), 0.9, VECTOR)
        out += [(at_ms, shot) for shot in sampler.observe(who, frame(at_ms), look, NOBODY)]
    return out


def test_shots_come_while_a_tracklet_lives_and_at_its_end() -> None:
    sampler = Sampler()
    who = track(1000)
    shots = live(sampler, who, 20_000)
    assert [due for due, _ in shots] == [3000, 7000, 15_000]
    (last,) = sampler.end(who)
    times = [shot.captured_at_ms for _, shot in shots] + [last.captured_at_ms]
    assert len(times) == 4
    assert all(b - a >= 1000 for a, b in pairwise(times))
    assert sampler.tracklets == 1
    assert sampler.end(who) == []


def test_the_best_look_of_each_stretch_is_taken() -> None:
    sampler = Sampler()
    who = track()
    ((_, shot),) = live(sampler, who, 4000, height=lambda at_ms: 150 if at_ms == 1200 else 60)
    assert shot.captured_at_ms == 1200
    assert shot.box[3] - shot.box[1] == 150


def test_somebody_who_stays_is_renewed_for_ever() -> None:
    sampler = Sampler(SamplerSettings(renew_s=30))
    shots = live(sampler, track(), 200_000, step_ms=500)
    gaps = np.diff([due for due, _ in shots])
    assert gaps.max() <= 30_000
    assert len(shots) == 3 + 6


def test_a_short_visit_gives_one_shot_at_its_end() -> None:
    sampler = Sampler()
    who = track()
    assert live(sampler, who, 1500) == []
    assert sampler.pending_since_ms() == 0
    assert len(sampler.end(who)) == 1
    assert sampler.pending_since_ms() is None


def test_a_single_weak_hit_is_nobody_and_a_single_strong_one_is_somebody() -> None:
    for score, shots in ((0.6, 0), (0.9, 1)):
        sampler = Sampler(SamplerSettings(strong_score=0.75))
        who = track(hits=1, score=score)
        look = Look(box(), score, VECTOR)
        assert sampler.observe(who, frame(0), look, NOBODY) == []
        assert len(sampler.end(who)) == shots
        assert sampler.tracklets == shots


def test_a_look_that_is_not_sure_never_becomes_a_shot() -> None:
    sampler = Sampler(SamplerSettings(min_score=0.5))
    who = track()
    for at_ms, score in ((0, 0.6), (200, 0.49), (400, 0.4)):
        height = 60 if score > 0.5 else 160
        sampler.observe(who, frame(at_ms), Look(box(height), score, VECTOR), NOBODY)
    (shot,) = sampler.end(who)
    assert shot.captured_at_ms == 0


def test_a_poor_last_look_is_left_out() -> None:
    sampler = Sampler()
    who = track()
    assert len(live(sampler, who, 4000, height=lambda at_ms: 150 if at_ms < 2100 else 8)) == 1
    assert sampler.end(who) == []


def test_pending_is_the_oldest_tracklet_without_a_shot() -> None:
    sampler = Sampler()
    first, second = track(0), track(5000)
    live(sampler, second, 5400)
    assert sampler.pending_since_ms() == 5000
    live(sampler, first, 1000)
    assert sampler.pending_since_ms() == 0
    live(sampler, first, 2400)
    assert sampler.pending_since_ms() == 5000


def test_what_a_shot_holds() -> None:
    sampler = Sampler()
    who = track()
    pixels = SHARP.copy()
    sampler.observe(who, frame(0, pixels), Look(box(), 0.9, VECTOR), NOBODY)
    pixels[:] = 0
    (shot,) = sampler.end(who)
    assert (shot.camera, shot.tracklet, shot.captured_at_ms) == ("cam", "cam/0-0", 0)
    assert shot.box == (100, 60, 140, 160)
    assert shot.frame_wh == (320, 240)
    assert shot.crop.shape == (120, 48, 3)
    assert np.array_equal(shot.crop, SHARP[50:170, 96:144])
    assert 0 < shot.quality <= 1


@pytest.mark.parametrize(
    ("place", "size"),
    [
        ((100, 60, 140, 160), (120, 48)),
        ((0, 0, 40, 100), (110, 44)),
        ((300, 200, 320, 240), (44, 22)),
        ((319, 239, 320, 240), (2, 2)),
    ],
)
def test_crops_stay_inside_the_frame(place, size) -> None:
    assert crop_with_margin(SHARP, place, 0.1).shape == (*size, 3)


def quality(pixels=SHARP, where=None, score=0.9, others=NOBODY) -> float:
    return look_quality(pixels, box() if where is None else where, score, others)


def test_each_fault_lowers_quality() -> None:
    best = quality()
    flat = np.full_like(SHARP, 128)
    neighbour = (box() + np.array([10, 0, 10, 0], np.float32))[None]
    worse = {
        "small": quality(where=box(30)),
        "unsure": quality(score=0.5),
        "cut by the border": quality(where=box(x=0)),
        "hidden": quality(others=neighbour),
        "wide": quality(where=np.array([50, 60, 200, 160], np.float32)),
        "thin": quality(where=np.array([100, 60, 108, 160], np.float32)),
        "blurred": quality(pixels=flat),
    }
    assert all(0 < value < best for value in worse.values()), (best, worse)
    assert quality(where=np.array([5, 5, 5.5, 50], np.float32)) == 0


def test_overlap_is_the_covered_share() -> None:
    assert overlap(box(), NOBODY) == 0
    assert overlap(box(), box()[None]) == 1
    half = np.array([[100, 60, 120, 160]], np.float32)
    assert overlap(box(), half) == pytest.approx(0.5)
