"""The rules of the priority pool, and that it is the same for every process."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from train.errors import TrainError
from train.losses.dictionary import FeatureDictionary
from train.losses.embedded import Embedded
from train.losses.pool import columns, priority_pool, required

Make = Callable[..., Embedded]
Unit = Callable[..., Tensor]


@pytest.fixture
def pool_of(embedded: Make, unit: Unit) -> Any:
    """Make pools where the stored embeddings are similar to every anchor, the first one most."""

    def make(labels: list[int], stored: list[int], size: int, hard: int, seed: int = 0) -> Any:
        dictionary = FeatureDictionary(max(1, len(stored)), 8).double()
        anchor, away = unit(1), unit(1, seed=5)
        shares = torch.linspace(1, 0, len(stored), dtype=torch.float64)[:, None]
        near = normalize(shares * anchor + (1 - shares) * away, dim=1)
        dictionary.store(near, torch.tensor(stored, dtype=torch.int64))
        return priority_pool(
            embedded(labels, features=anchor.expand(len(labels), -1)),
            dictionary,
            identities=50,
            size=size,
            hard=hard,
            generator=torch.Generator().manual_seed(seed),
        ).tolist()

    return make


def slow_rivals(batch: Embedded, dictionary: FeatureDictionary, hard: int) -> list[int]:
    found: list[tuple[float, int]] = []
    for feature, label in zip(batch.features, batch.labels.tolist(), strict=True):
        ranked = [
            (float(feature @ slot), other)
            for slot, other in zip(dictionary.features, dictionary.labels.tolist(), strict=True)
            if other >= 0 and other != label and label >= 0
        ]
        found += sorted(ranked, reverse=True)[:hard]
    ordered = dict.fromkeys(identity for _, identity in sorted(found, reverse=True))
    return [identity for identity in ordered if identity not in batch.labels.tolist()]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("size", [4, 7, 10])
def test_agrees_with_a_loop_over_the_rules(
    embedded: Make, unit: Unit, size: int, seed: int
) -> None:
    batch = embedded([3, 3, 8, -1], seed=seed)
    dictionary = FeatureDictionary(30, 8).double()
    stored = torch.arange(25) % 14 - 1
    dictionary.store(unit(25, seed=seed + 50), stored)
    pool = priority_pool(
        batch, dictionary, identities=40, size=size, hard=4, generator=torch.Generator()
    ).tolist()
    wanted = {3, 8, *slow_rivals(batch, dictionary, 4)[: size - 2]}
    assert wanted <= set(pool)
    assert len(pool) == size
    assert pool == sorted(set(pool))


def test_holds_the_batch_then_the_most_similar_then_random_ones(pool_of: Any) -> None:
    pool = pool_of([7], stored=[30, 31, 7, -1, 32, 33], size=10, hard=2)
    assert {7, 30, 31} <= set(pool)
    assert len(pool) == 10
    assert pool == sorted(set(pool))


def test_hard_identities_are_cut_least_similar_first(pool_of: Any) -> None:
    assert pool_of([7], stored=[30, 31, 32, 33], size=3, hard=4) == [7, 30, 31]


def test_an_identity_stored_often_uses_up_the_hardest_of_an_anchor(pool_of: Any) -> None:
    pools = [pool_of([7], [30, 30, 31], size=4, hard=2, seed=seed) for seed in range(20)]
    assert all(30 in pool for pool in pools)
    assert not all(31 in pool for pool in pools)


def test_the_batch_is_never_cut(pool_of: Any) -> None:
    assert pool_of([1, 2, 3, 4], stored=[30], size=2, hard=5) == [1, 2, 3, 4]


@pytest.mark.parametrize("stored", [[30], []])
def test_a_pool_as_large_as_all_identities_holds_each_once(pool_of: Any, stored: list[int]) -> None:
    assert pool_of([7, -1], stored=stored, size=99, hard=5) == list(range(50))


@pytest.mark.parametrize("labels", [[-1, -1], []])
def test_a_batch_without_identities_draws_all_at_random(pool_of: Any, labels: list[int]) -> None:
    pool = pool_of(labels, stored=[30, 31], size=6, hard=5)
    assert len(set(pool)) == 6
    assert pool != pool_of(labels, stored=[30, 31], size=6, hard=5, seed=1)


def test_equal_generators_draw_equal_pools(pool_of: Any) -> None:
    assert pool_of([7], [30], size=9, hard=1) == pool_of([7], [30], size=9, hard=1)


def test_columns_say_where_an_identity_stands() -> None:
    pool = torch.tensor([1, 4, 6, 9])
    assert columns(torch.tensor([9, 1, 6]), pool).tolist() == [3, 0, 2]


@pytest.mark.parametrize("label", [0, 5, 10])
def test_an_identity_outside_the_pool_is_refused(label: int) -> None:
    with pytest.raises(TrainError, match=rf"lacks identities \[{label}\]"):
        columns(torch.tensor([4, label]), torch.tensor([1, 4, 6, 9]))


def test_a_pool_that_is_needed_and_not_given_is_refused() -> None:
    with pytest.raises(TrainError, match="the loss 'hep' needs a priority pool"):
        required(None, "hep")
