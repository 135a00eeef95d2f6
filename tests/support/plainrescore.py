"""Re-scoring as plain loops over sets and permutations, written from the papers: slow."""

from collections.abc import Sequence
from itertools import permutations
from typing import Any

import numpy as np


def matched_edge(edges: Any) -> tuple[int | None, float]:
    """Return who is matched to row 0, and the largest edge, of the heaviest matching there is.

    ``edges`` (A, B); every row or every column is matched, whichever are fewer.
    """
    a, b = edges.shape
    if a <= b:
        tries = [list(enumerate(columns)) for columns in permutations(range(b), a)]
    else:
        tries = [[(r, c) for c, r in enumerate(rows)] for rows in permutations(range(a), b)]
    best = max(tries, key=lambda pairs: sum(edges[r, c] for r, c in pairs))
    mine = [c for r, c in best if r == 0]
    return (mine[0] if mine else None), max(float(edges[r, c]) for r, c in best)


def k_reciprocal(
    features: Any, embeddings: Any, *, k1: int = 20, k2: int = 6, weight: float = 0.3
) -> Any:
    """Return 1 - d* (Q, N) of queries (Q, D) and detections (N, D) ranked together."""
    everyone = [np.asarray(row, np.float64) for row in (*features, *embeddings)]
    total, n_queries = len(everyone), len(features)
    distance = [[2 - 2 * float(np.dot(p, g)) for g in everyone] for p in everyone]
    distance = [[value / max(row) for value in row] for row in distance]
    order = [
        sorted(range(total), key=lambda g, p=p: (g != p, distance[p][g])) for p in range(total)
    ]

    def near(p: int, k: int) -> list[int]:
        return order[p][: k + 1]

    def mutual(p: int, k: int) -> set[int]:
        return {g for g in near(p, k) if p in near(g, k)}

    vectors = []
    for p in range(total):
        base = mutual(p, k1)
        robust = set(base)
        for candidate in base:
            half = mutual(candidate, round(k1 / 2))
            if 3 * len(half & base) > 2 * len(half):
                robust |= half
        weights = {g: float(np.exp(-distance[p][g])) for g in robust}
        vectors.append({g: value / sum(weights.values()) for g, value in weights.items()})
    averaged = [_mean([vectors[g] for g in order[p][:k2]]) for p in range(total)]
    out = np.zeros((n_queries, total - n_queries))
    for q in range(n_queries):
        for g in range(n_queries, total):
            jaccard = _jaccard(averaged[q], averaged[g])
            out[q, g - n_queries] = 1 - ((1 - weight) * jaccard + weight * distance[q][g])
    return out


def _mean(vectors: Sequence[dict[int, float]]) -> dict[int, float]:
    places = {place for vector in vectors for place in vector}
    return {
        place: sum(vector.get(place, 0.0) for vector in vectors) / len(vectors) for place in places
    }


def _jaccard(a: dict[int, float], b: dict[int, float]) -> float:
    places = set(a) | set(b)
    least = sum(min(a.get(place, 0.0), b.get(place, 0.0)) for place in places)
    most = sum(max(a.get(place, 0.0), b.get(place, 0.0)) for place in places)
    return 1 - least / most
