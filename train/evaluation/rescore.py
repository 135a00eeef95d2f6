"""Re-scoring by name: what changes the similarities of a search before they are ranked.

``cws`` multiplies each gallery similarity with the detection's own score (class weighted
similarity, Zheng et al. 2017, PRW). ``cbgm`` and ``k-reciprocal`` have modules of their own.
``cws+cbgm`` matches contexts of weighted embeddings, as SeqNet's published figures do.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from train.errors import ConfigError
from train.evaluation.cbgm import PRW, CbgmSizes, Context, ContextMatching
from train.evaluation.pool import Pool
from train.evaluation.reciprocal import PUBLISHED, KReciprocal, ReciprocalSizes
from train.evaluation.search import Rescore, Search, Similarities


@dataclass(frozen=True, slots=True)
class RescoreSettings:
    """The numbers that re-scoring needs."""

    cbgm: CbgmSizes = PRW
    reciprocal: ReciprocalSizes = PUBLISHED


@dataclass(frozen=True, slots=True)
class Rescoring:
    """One way to re-score, and the words that a result file states it with."""

    how: str
    rescore: Rescore


class DetectionWeights:
    """CWS: similarity times detection score."""

    def __init__(self, pool: Pool) -> None:
        self._scores = pool.scores

    def __call__(
        self, number: int, similarities: Similarities, counts: NDArray[np.int64]
    ) -> Similarities:
        """Return the weighted similarities of a query."""
        return similarities * self._scores


def _cws(search: Search, contexts: Sequence[Context], settings: RescoreSettings) -> Rescoring:
    return Rescoring("gallery similarity x detection score", DetectionWeights(search.pool))


def _cbgm(search: Search, contexts: Sequence[Context], settings: RescoreSettings) -> Rescoring:
    return Rescoring(str(settings.cbgm), _matching(search, contexts, settings, weighted=False))


def _cws_cbgm(search: Search, contexts: Sequence[Context], settings: RescoreSettings) -> Rescoring:
    how = f"gallery similarity x detection score, then {settings.cbgm}"
    return Rescoring(how, _matching(search, contexts, settings, weighted=True))


def _matching(
    search: Search, contexts: Sequence[Context], settings: RescoreSettings, *, weighted: bool
) -> ContextMatching:
    return ContextMatching(search.pool, search.features, contexts, settings.cbgm, weighted=weighted)


def _reciprocal(
    search: Search, contexts: Sequence[Context], settings: RescoreSettings
) -> Rescoring:
    ranks = KReciprocal(search.features, search.pool.embeddings, settings.reciprocal)
    return Rescoring(ranks.how, ranks)


_Maker = Callable[[Search, Sequence[Context], RescoreSettings], Rescoring]

RESCORINGS: Mapping[str, _Maker] = {
    "cws": _cws,
    "cbgm": _cbgm,
    "cws+cbgm": _cws_cbgm,
    "k-reciprocal": _reciprocal,
}
"""Every way to re-score, by the name that it is asked for and reported with."""

NEEDS_CONTEXT = frozenset({"cbgm", "cws+cbgm"})
"""Those that look at the other persons of the query's frame."""


def rescoring_names(asked: str | Sequence[str]) -> tuple[str, ...]:
    """Return the names that are asked for, each once; ``"none"`` is no name.

    Raises:
        ConfigError: there is no such way to re-score.
    """
    names = (asked,) if isinstance(asked, str) else tuple(asked)
    names = tuple(dict.fromkeys(name for name in names if name != "none"))
    for name in names:
        if name not in RESCORINGS:
            choices = ", ".join(("none", *RESCORINGS))
            raise ConfigError(f"no re-scoring {name!r}: choose from {choices}")
    return names


def make_rescoring(
    name: str,
    search: Search,
    contexts: Sequence[Context],
    settings: RescoreSettings | None = None,
) -> Rescoring:
    """Return a way to re-score a search; ``contexts`` are read by those of NEEDS_CONTEXT alone.

    Raises:
        ConfigError: there is no such way to re-score.
    """
    (name,) = rescoring_names(name) or ("none",)
    if name == "none":
        raise ConfigError("re-scoring 'none' changes nothing")
    return RESCORINGS[name](search, contexts, settings or RescoreSettings())
