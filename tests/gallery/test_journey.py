import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from gallery.chain import best_chain, conflict
from gallery.errors import InvalidQueryError
from gallery.gallery import Gallery
from gallery.journey import JourneyAnswer, JourneySettings, track
from gallery.journey_scores import TruthVisit, iou, score_journey
from gallery.search import SearchQuery
from gallery.topology import Topology
from gallery.tracklets import Tracklet, tracklets_of
from gallery.values import CameraState, CoverageSpan, Link, Sighting

Make = Callable[..., Sighting]
Vectors = Callable[[np.random.Generator, int], NDArray[np.float32]]
LINKS = (Link("cam1", "cam2", 4, 20), Link("cam2", "cam3", 10, 30))


class Story:
    """Writes tracklets that are more or less like one person."""

    def __init__(self, gallery: Gallery, make: Make, rows: NDArray[np.float32], start_ms: int):
        self.gallery = gallery
        self._make = make
        self.person, *self._others = rows
        self._start_ms = start_ms
        self._count = 0
        gallery.set_links(LINKS)

    def like(self, score: float, other: int = 0) -> NDArray[np.float32]:
        """An embedding whose cosine to the person is ``score``."""
        away = self._others[other] - self._others[other] @ self.person * self.person
        away /= np.linalg.norm(away)
        return (score * self.person + np.sqrt(1 - score**2) * away).astype(np.float32)

    def sees(
        self, camera: str, start_s: float, end_s: float, score: float, *, other: int | None = None
    ) -> str:
        """A tracklet of shots every 2 s; each its own direction away unless ``other`` is given."""
        self._count += 1
        name = f"{camera}/{self.at(start_s)}-{self._count}"
        direction = self._count if other is None else other
        times = [*np.arange(start_s, end_s, 2.0), end_s]
        row = self.like(score, direction)
        self.gallery.write([self._make(camera, self.at(t), row, tracklet=name) for t in times])
        return name

    def at(self, second: float) -> int:
        return self._start_ms + round(1000 * second)

    def seconds(self, ms: int) -> float:
        return (ms - self._start_ms) / 1000

    def follow(self, **settings: float) -> JourneyAnswer:
        query = SearchQuery(self.person[None])
        return track(self.gallery, query, settings=JourneySettings(**settings))  # type: ignore[arg-type]

    def told(self, answer: JourneyAnswer) -> list[tuple[str, float, float]]:
        return [
            (one.camera, self.seconds(one.enter_ms), self.seconds(one.leave_ms))
            for one in answer.journey
        ]


@pytest.fixture
def story(gallery: Gallery, make_sighting: Make, make_vectors: Vectors, morning_ms: int) -> Story:
    rows = make_vectors(np.random.default_rng(4), 40)
    return Story(gallery, make_sighting, rows, morning_ms)


def reasons(answer: JourneyAnswer) -> dict[str, str]:
    return {one.tracklet: one.reason for one in answer.rejected}


def test_person_is_followed_in_order_of_time(story: Story) -> None:
    story.sees("cam3", 40, 50, 0.8)
    story.sees("cam1", 0, 10, 0.9)
    story.sees("cam2", 16, 26, 0.7)
    stranger = story.sees("cam1", 30, 40, 0.1)
    story.gallery.record(CoverageSpan("cam1", CameraState.WATCHED, story.at(0), story.at(60)))
    answer = story.follow(rounds=0)
    assert story.told(answer) == [("cam1", 0, 10), ("cam2", 16, 26), ("cam3", 40, 50)]
    assert [one.score for one in answer.journey] == pytest.approx([0.9, 0.7, 0.8], abs=1e-4)
    assert answer.exhaustive
    assert answer.coverage.cameras[0].watched_ms == 60_000
    assert stranger not in reasons(answer)
    first = answer.journey[0].sightings
    assert [story.seconds(hit.sighting.captured_at_ms) for hit in first] == [0, 2, 4, 6, 8, 10]


def test_impossible_hop_is_explained(story: Story) -> None:
    story.sees("cam1", 0, 10, 0.9)
    story.sees("cam2", 18, 28, 0.9)
    early = story.sees("cam3", 31, 36, 0.8)
    answer = story.follow(rounds=0)
    assert story.told(answer) == [("cam1", 0, 10), ("cam2", 18, 28)]
    assert reasons(answer) == {
        early: "3 s from cam2 to cam3 is under the least travel time of 10 s"
    }


def test_hop_that_took_too_long_is_explained(story: Story) -> None:
    story.sees("cam1", 0, 10, 0.9)
    story.sees("cam2", 18, 28, 0.9)
    slow = story.sees("cam3", 80, 90, 0.8)
    answer = story.follow(rounds=0)
    assert story.told(answer) == [("cam1", 0, 10), ("cam2", 18, 28)]
    assert reasons(answer) == {
        slow: "52 s from cam2 to cam3 is over the longest travel time of 30 s"
    }
    assert len(story.follow(rounds=0, shot_slack_s=22).journey) == 3


def test_hop_past_a_camera_needs_the_time_of_both_ways(story: Story) -> None:
    story.sees("cam1", 0, 10, 0.9)
    early = story.sees("cam3", 20, 30, 0.8)
    answer = story.follow(rounds=0)
    assert reasons(answer) == {
        early: "10 s from cam1 to cam3 is under the least travel time of 14 s (by way of cam2)"
    }
    story.sees("cam3", 300, 310, 0.8)
    assert story.told(story.follow(rounds=0)) == [("cam1", 0, 10), ("cam3", 300, 310)]


def test_nobody_is_in_two_places_at_once(story: Story) -> None:
    story.sees("cam1", 0, 10, 0.9)
    elsewhere = story.sees("hall", 5, 15, 0.8)
    beside = story.sees("cam1", 4, 9, 0.8)
    answer = story.follow(rounds=0)
    assert story.told(answer) == [("cam1", 0, 10)]
    assert reasons(answer) == {
        elsewhere: "seen in cam1 at the same time",
        beside: "somebody else: in cam1 beside the person at the same time",
    }


def test_without_links_only_time_limits(story: Story) -> None:
    story.gallery.set_links([])
    story.sees("cam1", 0, 10, 0.9)
    story.sees("cam2", 10, 20, 0.9)
    late = story.sees("cam3", 19.5, 30, 0.8)
    over = story.sees("cam1", 15, 17, 0.8)
    answer = story.follow(rounds=0)
    assert story.told(answer) == [("cam1", 0, 10), ("cam2", 10, 20), ("cam3", 19.5, 30)]
    assert late in answer.journey[2].tracklets
    assert reasons(answer) == {over: "seen in cam2 at the same time"}


def test_best_total_beats_the_greedy_choice(story: Story) -> None:
    """The likest tracklet contradicts two others that agree with all the rest."""
    story.sees("cam1", 0, 10, 0.65)
    story.sees("cam2", 16, 26, 0.65)
    story.sees("cam3", 38, 48, 0.65)
    likest = story.sees("cam3", 12, 40, 0.69)
    answer = story.follow(rounds=0)
    assert [camera for camera, *_ in story.told(answer)] == ["cam1", "cam2", "cam3"]
    assert reasons(answer) == {likest: "seen in cam2 at the same time"}


def test_anchor_is_not_outvoted_by_weak_visits(story: Story) -> None:
    story.sees("cam1", 0, 10, 0.56)
    story.sees("cam2", 16, 26, 0.56)
    story.sees("cam3", 38, 48, 0.56)
    anchor = story.sees("cam3", 12, 40, 0.71)
    answer = story.follow(rounds=0)
    assert [one.tracklets for one in answer.journey] == [(anchor,)]
    answer = story.follow(rounds=0, anchor_bonus=0, accept=0.2, consider=0.1)
    assert len(answer.journey) == 3


def test_pieces_of_one_stay_are_one_visit(story: Story) -> None:
    story.sees("cam1", 0, 10, 0.9)
    story.sees("cam1", 13, 20, 0.6)
    story.sees("cam1", 40, 44, 0.6)
    answer = story.follow(rounds=0)
    assert story.told(answer) == [("cam1", 0, 20), ("cam1", 40, 44)]
    assert [len(one.tracklets) for one in answer.journey] == [2, 1]
    assert answer.journey[0].score == pytest.approx(0.9, abs=1e-4)


def test_after_a_long_time_people_come_back_by_any_way(story: Story) -> None:
    story.sees("cam1", 0, 10, 0.9)
    story.sees("cam2", 10 + 601, 630, 0.9)
    assert len(story.follow(rounds=0).journey) == 2
    assert len(story.follow(rounds=0, return_after_s=700).journey) == 1


def test_other_side_of_the_person_is_found_by_way_of_an_anchor(story: Story) -> None:
    """cam3 is unlike the query, but like what cam1 and cam2 saw."""
    side = 7
    story.sees("cam1", 0, 10, 0.75, other=side)
    story.sees("cam2", 16, 26, 0.72, other=side)
    other_side = story.sees("cam3", 40, 50, 0.45, other=side)
    stranger = story.sees("cam3", 60, 66, 0.45, other=9)
    likeness = {"accept": 0.55, "strong": 0.7, "expansion": 0.6}
    assert len(story.follow(rounds=0, **likeness).journey) == 2
    answer = story.follow(rounds=2, **likeness)
    assert answer.journey[-1].tracklets == (other_side,)
    assert "score 0." in reasons(answer)[stranger]
    assert "is under the 0.55 needed" in reasons(answer)[stranger]


def test_limits_of_the_query_limit_the_journey(story: Story) -> None:
    story.sees("cam1", 0, 10, 0.9)
    story.sees("cam2", 16, 26, 0.9)
    story.sees("cam3", 40, 50, 0.9)
    query = SearchQuery(story.person[None], ("cam[23]",), until_ms=story.at(45), top=1)
    answer = track(story.gallery, query)
    assert story.told(answer) == [("cam2", 16, 26), ("cam3", 40, 44)]
    assert [one.camera for one in answer.coverage.cameras] == ["cam2", "cam3"]
    shot = answer.journey[0].sightings[0].sighting
    without = SearchQuery(story.person[None], ("cam2",), exclude=frozenset([shot.id]))
    assert len(track(story.gallery, without).journey[0].sightings) == 5


def test_many_sightings_are_looked_at_until_they_are_unlike(story: Story) -> None:
    for number in range(12):
        story.sees("cam1", 100 * number, 100 * number + 8, 0.8)
    answer = story.follow(rounds=0, candidates=3)
    assert len(answer.journey) == 12
    assert answer.exhaustive
    answer = story.follow(rounds=0, candidates=3, most_candidates=12)
    assert not answer.exhaustive
    assert answer.note.startswith("only the 12 sightings most like the query were looked at")


def test_same_question_same_answer(story: Story) -> None:
    for second in (0, 12, 24):
        for camera in ("cam1", "cam2", "cam3"):
            story.sees(camera, second, second + 6, 0.7)
    first, second = story.follow(), story.follow()
    assert [one.tracklets for one in first.journey] == [one.tracklets for one in second.journey]
    assert reasons(first) == reasons(second)


def test_empty_gallery(gallery: Gallery) -> None:
    with pytest.raises(InvalidQueryError, match="holds no sightings"):
        track(gallery, SearchQuery(np.eye(1, 256, dtype=np.float32)))


def test_settings_that_contradict() -> None:
    with pytest.raises(ValueError, match=r"consider 0\.35 <= accept 0\.9 <= strong 0\.85"):
        JourneySettings(accept=0.9)


def lived(camera: str, enter_s: float, leave_s: float, number: int) -> Tracklet:
    mean = np.eye(1, 256, dtype=np.float32)[0]
    ms = (round(1000 * enter_s), round(1000 * leave_s))
    return Tracklet(f"{camera}/{ms[0]}-{number}", camera, *ms, (), mean)


def test_chain_is_the_best_of_all_chains() -> None:
    """Against trying every subset."""
    rng = np.random.default_rng(8)
    topology, settings = Topology(LINKS), JourneySettings()
    for _ in range(60):
        starts = np.sort(rng.uniform(0, 80, 9))
        made = [
            lived(f"cam{rng.integers(1, 4)}", start, start + rng.uniform(1, 12), index)
            for index, start in enumerate(starts)
        ]
        made.sort(key=lambda one: (one.enter_ms, one.leave_ms, one.name))
        weights = rng.uniform(0.01, 1, 9).tolist()

        def total(chosen: list[int], made: list[Tracklet] = made,
                  weights: list[float] = weights) -> float:  # fmt: skip
            pairs = itertools.pairwise(chosen)
            if any(conflict(made[a], made[b], topology, settings) for a, b in pairs):
                return 0.0
            return sum(weights[index] for index in chosen)

        subsets = [[i for i in range(9) if bits >> i & 1] for bits in range(1, 2**9)]
        chain = best_chain(made, weights, topology, settings)
        assert total(chain) == pytest.approx(max(map(total, subsets)))
    assert best_chain([], [], topology, settings) == []


def test_beginning_comes_from_the_name_when_it_can_be_true(make_sighting: Make) -> None:
    for began, enter in ((5_000, 5_000), (9_001, 9_000), (0, 0)):
        (one,) = tracklets_of([make_sighting("a", 9_000, tracklet=f"a/{began}-3")])
        assert (one.enter_ms, one.leave_ms) == (enter, 9_000)
    (one,) = tracklets_of([make_sighting("a", 900_000, tracklet="a/5000-3")])
    assert one.enter_ms == 900_000
    (one,) = tracklets_of([make_sighting("a", 9_000, tracklet="other")])
    assert one.enter_ms == 9_000


def test_scores_beside_the_truth(story: Story) -> None:
    story.sees("cam1", 0, 10, 0.9)
    story.sees("cam2", 16, 26, 0.9)
    story.sees("cam3", 40, 50, 0.9)
    visits = story.follow(rounds=0).journey
    truth = [
        TruthVisit("cam1", story.at(0), story.at(11)),
        TruthVisit("cam2", story.at(15), story.at(25)),
        TruthVisit("cam3", story.at(70), story.at(80)),
        TruthVisit("hall", story.at(40), story.at(50)),
    ]
    scores = score_journey(visits, truth)
    assert scores.precision == pytest.approx(2 / 3)
    assert scores.recall == pytest.approx(2 / 4)
    assert scores.right == (True, True, False)
    assert scores.found == (True, True, False, False)
    asked = visits[0].sightings[1].sighting.id
    assert score_journey(visits, truth, given=asked).precision == pytest.approx(1 / 2)
    assert score_journey(visits, truth, given=asked).recall == pytest.approx(1 / 3)
    assert score_journey([], truth).precision == 1.0
    assert score_journey([], truth).recall == 0.0
    assert score_journey(visits, []).precision == 0.0


def test_somebody_beside_the_person_does_not_count(story: Story) -> None:
    story.sees("cam1", 0, 10, 0.9)
    visits = story.follow(rounds=0).journey
    mine, beside = (10.0, 20.0, 30.0, 80.0), (100.0, 20.0, 120.0, 80.0)

    def truth(box: tuple[float, float, float, float]) -> list[TruthVisit]:
        boxes = tuple((story.at(second / 5), box) for second in range(51))
        return [TruthVisit("cam1", story.at(0), story.at(10), boxes)]

    assert score_journey(visits, truth(mine)).precision == 1.0
    assert score_journey(visits, truth(beside)).precision == 0.0
    assert score_journey(visits, truth(beside)).recall == 0.0


def test_iou() -> None:
    assert iou((0, 0, 2, 2), (1, 0, 3, 2)) == pytest.approx(1 / 3)
    assert iou((0, 0, 1, 1), (5, 5, 6, 6)) == 0.0
    assert iou((0, 0, 0, 0), (0, 0, 0, 0)) == 0.0


def test_visits_of_another_gallery_folder(tmp_path: Path, model: str) -> None:
    with (
        Gallery.open(tmp_path / "other", model=model, create=True) as empty,
        pytest.raises(InvalidQueryError, match="no camera matches 'cam9'"),
    ):
        empty.hits(SearchQuery(np.eye(1, 256, dtype=np.float32), ("cam9",)))
