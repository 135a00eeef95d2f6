from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from gallery.errors import InvalidQueryError
from gallery.limits import Limits
from gallery.search import SearchQuery, best_hits, cosines
from gallery.store import FlushPolicy, VectorStore
from gallery.values import Sighting

Make = Callable[..., Sighting]
Vectors = Callable[[np.random.Generator, int], NDArray[np.float32]]
CAMERAS = ("cam1", "cam2", "hall-1", "hall-2")
DAY_MS = 86_400_000
ROWS = 420


class Crowd(list[Sighting]):
    """Many sightings, told briefly when a test fails."""

    def __repr__(self) -> str:
        return f"{len(self)} sightings"


@pytest.fixture(scope="module")
def crowd() -> list[Sighting]:
    """Sightings over three days and four cameras; a third are copies of another's vector."""
    rng = np.random.default_rng(11)
    rows = rng.standard_normal((ROWS, 256))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    rows[ROWS // 3 : 2 * ROWS // 3] = rows[: ROWS // 3]
    start = 1_772_409_600_000 - DAY_MS
    made = []
    for index, row in enumerate(rows.astype(np.float32)):
        camera = CAMERAS[int(rng.integers(len(CAMERAS)))]
        at_ms = start + int(rng.integers(3 * DAY_MS))
        name = f"{index:032x}"
        made.append(
            Sighting(name, camera, at_ms, f"{camera}/1-1", (0, 0, 1, 1), 1, 1, row, "", "m")
        )
    return Crowd(made)


@pytest.fixture(scope="module")
def store(crowd: list[Sighting], tmp_path_factory: pytest.TempPathFactory) -> Iterator[VectorStore]:
    folder = tmp_path_factory.mktemp("search") / "s.db"
    opened = VectorStore(folder, flush=FlushPolicy(rows=10**9, seconds=1e9))
    opened.upsert(crowd[: ROWS // 2])
    opened.flush()
    opened.upsert(crowd[ROWS // 3 :])
    yield opened
    opened.close()


def brute_force(
    crowd: list[Sighting], query: SearchQuery, limits: Limits
) -> list[tuple[str, float]]:
    """Every sighting compared, then sorted: what the answer must be."""
    scored = []
    for one in crowd:
        if limits.holds(one.camera, one.captured_at_ms) and one.id not in query.exclude:
            dots = query.embeddings.astype(np.float64) @ one.embedding.astype(np.float64)
            norms = np.linalg.norm(query.embeddings.astype(np.float64), axis=1)
            score = float((dots / norms / np.linalg.norm(one.embedding.astype(np.float64))).max())
            scored.append((-round(score, 9), one.captured_at_ms, one.id))
    return [(name, -score) for score, _, name in sorted(scored)[: query.top]]


moments = st.none() | st.integers(1_772_409_600_000 - 2 * DAY_MS, 1_772_409_600_000 + 3 * DAY_MS)


@dataclass(frozen=True)
class Asked:
    """What a search is drawn from: whose vectors, how noisy, and the limits."""

    seed: int
    known: list[int]
    noisy: bool
    since: int | None
    until: int | None
    cameras: tuple[str, ...] | None
    top: int
    excluded: frozenset[int]

    def query(self, crowd: list[Sighting]) -> SearchQuery:
        rng = np.random.default_rng(self.seed)
        rows = [crowd[index].embedding for index in self.known] or [rng.standard_normal(256)]
        mixed = np.stack(rows) + 0.02 * self.noisy * rng.standard_normal((len(rows), 256))
        mixed /= np.linalg.norm(mixed, axis=1, keepdims=True)
        since, until = self.interval()
        exclude = frozenset(f"{index:032x}" for index in self.excluded)
        return SearchQuery(mixed.astype(np.float32), (), since, until, self.top, exclude)

    def interval(self) -> tuple[int | None, int | None]:
        if self.since is not None and self.until is not None and self.since >= self.until:
            return None, self.since
        return self.since, self.until


asked = st.builds(
    Asked,
    seed=st.integers(0, 10**6),
    known=st.lists(st.integers(0, ROWS - 1), max_size=2),
    noisy=st.booleans(),
    since=moments,
    until=moments,
    cameras=st.none() | st.lists(st.sampled_from(CAMERAS), unique=True).map(tuple),
    top=st.integers(1, 60),
    excluded=st.frozensets(st.integers(0, ROWS - 1), max_size=8),
)


@settings(max_examples=60, deadline=None, database=None)
@given(asked=asked)
def test_every_answer_is_that_of_brute_force(
    store: VectorStore, crowd: list[Sighting], asked: Asked
) -> None:
    query = asked.query(crowd)
    limits = Limits(asked.cameras, *asked.interval())
    hits = best_hits(store, query, limits)
    expected = brute_force(crowd, query, limits)
    assert [hit.score for hit in hits] == pytest.approx([score for _, score in expected], abs=1e-9)
    assert [hit.sighting.id for hit in hits] == [name for name, _ in expected]


def test_equal_scores_come_by_time_and_then_by_id(
    tmp_path: Path, make_sighting: Make, make_vectors: Vectors
) -> None:
    row, other = make_vectors(np.random.default_rng(1), 2)
    twins = [make_sighting("cam1", at, row, name=f"{n:032x}") for n, at in enumerate([9, 5, 5, 7])]
    store = VectorStore(tmp_path / "s.db")
    store.upsert([*twins, make_sighting("cam1", 1, other)])
    for top in (1, 2, 3, 4):
        hits = best_hits(store, SearchQuery(row[None], top=top), Limits())
        assert [int(hit.sighting.id, 16) for hit in hits] == [1, 2, 3, 0][:top]
    store.close()


def test_several_embeddings_score_by_the_best(
    tmp_path: Path, make_sighting: Make, make_vectors: Vectors
) -> None:
    rows = make_vectors(np.random.default_rng(2), 6)
    store = VectorStore(tmp_path / "s.db")
    store.upsert(make_sighting("cam1", at, row) for at, row in enumerate(rows))
    hits = best_hits(store, SearchQuery(rows[[4, 2]], top=2), Limits())
    assert [hit.sighting.captured_at_ms for hit in hits] == [2, 4]
    assert [hit.score for hit in hits] == pytest.approx([1.0, 1.0])
    store.close()


def test_cosines_do_not_depend_on_length() -> None:
    rows = np.array([[2.0, 0.0], [0.0, 0.0]], np.float32)
    assert cosines(rows, np.array([[3.0, 4.0]], np.float32)).tolist() == [[0.6], [0.0]]


UNIT = np.eye(1, 256, dtype=np.float32)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"embeddings": np.zeros((0, 256), np.float32)}, "one or more embeddings"),
        ({"embeddings": UNIT[0]}, "one or more embeddings"),
        ({"embeddings": UNIT * np.nan}, "query: the embedding holds NaN"),
        ({"embeddings": UNIT * 2}, "query: the embedding has length 2"),
        ({"top": 0}, "top is 0, want 1 to 10000"),
        ({"top": 10_001}, "top is 10001"),
        ({"since_ms": 5, "until_ms": 5}, "the interval is empty"),
        ({"exclude": frozenset(['"'])}, "is not the id of a sighting"),
        ({"exclude": frozenset(f"{n:032x}" for n in range(10_001))}, "10001 sightings excluded"),
    ],
)
def test_question_that_cannot_be_asked(change: dict[str, object], words: str) -> None:
    with pytest.raises(InvalidQueryError, match=words):
        SearchQuery(**{"embeddings": UNIT, **change})  # type: ignore[arg-type]
