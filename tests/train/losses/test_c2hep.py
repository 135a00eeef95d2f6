"""C2HEP against slow loops written from Eq. 7-9."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from train.losses.c2hep import ClassCentreLoss
from train.losses.embedded import Embedded

Make = Callable[..., Embedded]
Unit = Callable[..., Tensor]


@pytest.fixture
def centres(embedded: Make) -> Any:
    def make(seen: list[int], identities: int = 6) -> ClassCentreLoss:
        made = ClassCentreLoss(identities, 8).double()
        made.remember(embedded(seen, seed=3))
        return made

    return make


def test_agrees_with_a_loop_over_equations_8_and_9(embedded: Make, centres: Any) -> None:
    made = centres([0, 1, 3, 4])
    batch = embedded([0, 1, 2, -1, 3])
    pool = torch.tensor([0, 1, 2, 3, 5])
    losses = []
    for feature, label in zip(batch.features, batch.labels.tolist(), strict=True):
        if label < 0 or not made.seen[label]:
            continue
        logits = {
            j: 10 * float(feature @ made.centres[j]) if made.seen[j] else 0.0 for j in pool.tolist()
        }
        total = sum(math.exp(v) for v in logits.values())
        losses.append(-math.log(math.exp(logits[label]) / total))
    term = made(batch, batch, pool)
    assert int(term.count) == len(losses) == 3
    assert term.total.item() == pytest.approx(sum(losses))


def test_gradient_agrees_with_finite_differences(embedded: Make, unit: Unit, centres: Any) -> None:
    made, pool = centres([0, 1, 2, 4]), torch.arange(6)

    def loss(features: Tensor) -> Tensor:
        batch = embedded([0, 4, 2, -1], features=features)
        return made(batch, batch, pool).mean()

    assert torch.autograd.gradcheck(loss, unit(4).requires_grad_())


def test_an_identity_not_seen_before_costs_nothing(embedded: Make, centres: Any) -> None:
    batch = embedded([5, 5])
    term = centres([0])(batch, batch, torch.arange(6))
    assert (term.total.item(), int(term.count)) == (0.0, 0)


def test_starts_at_the_log_of_the_pool_when_no_centre_is_nearer(embedded: Make) -> None:
    made, axes = ClassCentreLoss(6, 8).double(), torch.eye(8, dtype=torch.float64)
    made.remember(embedded([0, 1], features=axes[:2]))
    batch = embedded([0, 1], features=axes[2:4])
    term = made(batch, batch, torch.tensor([0, 1, 2, 4, 5]))
    assert term.mean().item() == pytest.approx(math.log(5))


def test_centres_move_as_equation_7_once_an_identity(embedded: Make, unit: Unit) -> None:
    made = ClassCentreLoss(3, 8, momentum=0.75, norm=False).double()
    first, second, third = unit(3)
    made.remember(embedded([1], features=first[None]))
    torch.testing.assert_close(made.centres[1], first)
    made.remember(embedded([1, 1, -1], features=torch.stack([second, third, first])))
    torch.testing.assert_close(made.centres[1], 0.75 * first + 0.25 * (second + third) / 2)
    assert made.seen.tolist() == [False, True, False]
    assert not made.centres[[0, 2]].any()


def test_each_centre_moves_by_its_own_features(embedded: Make) -> None:
    made, batch = ClassCentreLoss(9, 8, norm=False).double(), embedded([7, 2, 7, -1, 2, 5, 7])
    made.remember(batch)
    for identity in (2, 5, 7):
        mean = batch.features[batch.labels == identity].mean(dim=0)
        torch.testing.assert_close(made.centres[identity], mean)


def test_centres_stay_on_the_unit_sphere(embedded: Make) -> None:
    made = ClassCentreLoss(3, 8).double()
    for seed in range(4):
        made.remember(embedded([1, 2], seed=seed))
    torch.testing.assert_close(made.centres[1:].norm(dim=1), torch.ones(2, dtype=torch.float64))
