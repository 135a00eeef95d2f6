"""C2HEP against slow loops written from Eq. 7-9, and the rules of the priority pool."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from train.losses.c2hep import ClassCentres, priority_pool
from train.losses.dictionary import FeatureDictionary


def unit(count: int, dim: int = 8, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return normalize(torch.randn(count, dim, generator=generator, dtype=torch.float64), dim=1)


def centres(seen: list[int], identities: int = 6) -> ClassCentres:
    made = ClassCentres(identities, 8).double()
    made.update(unit(len(seen), seed=3), torch.tensor(seen))
    return made


def test_agrees_with_a_loop_over_equations_8_and_9() -> None:
    made = centres([0, 1, 3, 4])
    features, labels = unit(5), [0, 1, 2, -1, 3]
    pool = torch.tensor([0, 1, 2, 3, 5])
    losses = []
    for feature, label in zip(features, labels, strict=True):
        if label < 0 or not made.seen[label]:
            continue
        logits = {
            j: 10 * float(feature @ made.centres[j]) if made.seen[j] else 0.0 for j in pool.tolist()
        }
        total = sum(math.exp(v) for v in logits.values())
        losses.append(-math.log(math.exp(logits[label]) / total))
    loss = made.loss(features, torch.tensor(labels), pool, scale=10.0)
    assert loss.item() == pytest.approx(sum(losses) / len(losses))


def test_gradient_agrees_with_finite_differences() -> None:
    made = centres([0, 1, 2, 3, 4, 5])
    labels, pool = torch.tensor([0, 4, 2]), torch.arange(6)
    assert torch.autograd.gradcheck(
        lambda x: made.loss(x, labels, pool, scale=10.0), unit(3).requires_grad_()
    )


@pytest.mark.parametrize("labels", [[-1, -1], [5], []])
def test_without_a_known_identity_it_costs_nothing(labels: list[int]) -> None:
    made = centres([0])
    features = unit(len(labels)).requires_grad_()
    loss = made.loss(features, torch.tensor(labels, dtype=torch.int64), torch.arange(6), scale=10.0)
    loss.backward()
    assert loss.item() == 0.0


def test_centres_move_as_equation_7_once_an_identity() -> None:
    made = ClassCentres(3, 8, norm=False).double()
    first, second, third = unit(3)
    made.update(first[None], torch.tensor([1]))
    torch.testing.assert_close(made.centres[1], first)
    made.update(torch.stack([second, third, first]), torch.tensor([1, 1, -1]))
    torch.testing.assert_close(made.centres[1], 0.5 * first + 0.5 * (second + third) / 2)
    assert made.seen.tolist() == [False, True, False]


def test_centres_stay_on_the_unit_sphere() -> None:
    made = ClassCentres(3, 8).double()
    for seed in range(4):
        made.update(unit(2, seed=seed), torch.tensor([1, 2]))
    torch.testing.assert_close(made.centres[1:].norm(dim=1), torch.ones(2, dtype=torch.float64))


def pool_of(labels: list[int], stored: list[int], size: int, hard: int) -> list[int]:
    dictionary = FeatureDictionary(len(stored), 8).double()
    anchor = unit(1)
    away = unit(1, seed=5)
    shares = torch.linspace(1, 0, len(stored), dtype=torch.float64)[:, None]
    dictionary.store(normalize(shares * anchor + (1 - shares) * away, dim=1), torch.tensor(stored))
    pool = priority_pool(
        anchor.expand(len(labels), -1),
        torch.tensor(labels),
        dictionary,
        identities=50,
        size=size,
        hard=hard,
        generator=torch.Generator().manual_seed(0),
    )
    return [int(i) for i in pool]


def test_the_pool_holds_the_batch_then_the_most_similar_then_random_ones() -> None:
    pool = pool_of([7], stored=[30, 31, 7, -1, 32, 33], size=10, hard=2)
    assert {7, 30, 31} <= set(pool)
    assert len(pool) == 10
    assert pool == sorted(set(pool))


def test_hard_identities_are_cut_least_similar_first() -> None:
    assert pool_of([7], stored=[30, 31, 32, 33], size=3, hard=4) == [7, 30, 31]


def test_the_batch_is_never_cut() -> None:
    assert pool_of([1, 2, 3, 4], stored=[30], size=2, hard=5) == [1, 2, 3, 4]


def test_a_pool_as_large_as_all_identities_holds_each_once() -> None:
    assert pool_of([7, -1], stored=[30], size=99, hard=5) == list(range(50))
