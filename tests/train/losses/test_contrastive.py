"""Contrastive loss against a slow loop written from Hadsell et al., Eq. 4."""

import math
from collections.abc import Callable
from itertools import combinations

import pytest
import torch
from torch import Tensor

from train.losses.contrastive import ContrastiveLoss
from train.losses.embedded import Embedded

Make = Callable[..., Embedded]
Unit = Callable[..., Tensor]
LABELS = [0, 0, 1, 1, 2, -1, 0, -1]


def slow_pairs(batch: Embedded, margin: float) -> list[float]:
    rows = list(zip(batch.features, batch.labels.tolist(), strict=True))
    costs = []
    for (first, label), (second, other) in combinations(rows, 2):
        distance = math.dist(first.tolist(), second.tolist())
        if label >= 0 and label == other:
            costs.append(distance**2 / 2)
        elif label >= 0 or other >= 0:
            costs.append(max(0.0, margin - distance) ** 2 / 2)
    return costs


@pytest.mark.parametrize("margin", [1.4, 1.8])
def test_agrees_with_a_loop_over_all_pairs(embedded: Make, margin: float) -> None:
    batch = embedded(LABELS)
    term = ContrastiveLoss(margin=margin)(batch, batch, None)
    costs = slow_pairs(batch, margin)
    assert sum(cost > 0 for cost in costs) > 5
    assert int(term.count) == 2 * len(costs)
    assert term.mean().item() == pytest.approx(sum(costs) / len(costs))


def test_gradient_agrees_with_finite_differences(embedded: Make, unit: Unit) -> None:
    def loss(features: Tensor) -> Tensor:
        batch = embedded(LABELS, features=features)
        return ContrastiveLoss(margin=1.5)(batch, batch, None).mean()

    assert torch.autograd.gradcheck(loss, unit(len(LABELS)).requires_grad_())


def test_gradient_reaches_both_ends(embedded: Make, unit: Unit) -> None:
    features = unit(2).requires_grad_()
    anchor = embedded([0], [0], features=features[:1])
    batch = embedded([0, 0], [0, 1], features=features)
    ContrastiveLoss()(anchor, batch, None).total.backward()
    a, b = features.detach()
    torch.testing.assert_close(features.grad, torch.stack([a - b, b - a]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_two_persons_in_one_place_have_a_finite_gradient(
    embedded: Make, dtype: torch.dtype
) -> None:
    features = torch.eye(8, dtype=dtype)[[3, 3]].requires_grad_()
    batch = embedded([0, 1], features=features)
    term = ContrastiveLoss()(batch, batch, None)
    term.mean().backward()
    assert term.mean().item() == pytest.approx(0.5, abs=1e-3)
    assert features.grad.isfinite().all()


@pytest.mark.parametrize("labels", [[0], [-1, -1], [-1]])
def test_without_a_pair_it_costs_nothing(embedded: Make, labels: list[int]) -> None:
    batch = embedded(labels)
    term = ContrastiveLoss()(batch, batch, None)
    assert term.total.item() == pytest.approx(0.0, abs=1e-12)
    assert int(term.count) == 0
