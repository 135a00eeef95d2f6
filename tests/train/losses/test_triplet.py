"""Triplet loss against a slow loop over all triplets."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from train.losses.embedded import Embedded
from train.losses.triplet import TripletLoss

Make = Callable[..., Embedded]
Unit = Callable[..., Tensor]
LABELS = [0, 0, 1, 1, 2, -1, 0, -1]
FRAMES = [0, 1, 0, 1, 0, 1, 0, 0]


def slow_triplets(batch: Embedded, margin: float) -> list[float]:
    labels, frames = batch.labels.tolist(), batch.frames.tolist()
    costs = []
    for a, anchor in enumerate(batch.features):
        for p, positive in enumerate(batch.features):
            if labels[a] < 0 or labels[p] != labels[a] or frames[p] == frames[a]:
                continue
            for n, negative in enumerate(batch.features):
                if labels[n] != labels[a]:
                    near = float(((anchor - positive) ** 2).sum())
                    far = float(((anchor - negative) ** 2).sum())
                    costs.append(max(0.0, near - far + margin))
    return costs


@pytest.mark.parametrize("margin", [0.2, 1.5])
def test_agrees_with_a_loop_over_all_triplets(embedded: Make, margin: float) -> None:
    batch = embedded(LABELS, FRAMES)
    term = TripletLoss(margin=margin)(batch, batch, None)
    costs = slow_triplets(batch, margin)
    assert any(cost == 0 for cost in costs)
    assert int(term.count) == len(costs)
    assert term.total.item() == pytest.approx(sum(costs))


def test_gradient_agrees_with_finite_differences(embedded: Make, unit: Unit) -> None:
    def loss(features: Tensor) -> Tensor:
        batch = embedded(LABELS, FRAMES, features=features)
        return TripletLoss()(batch, batch, None).mean()

    assert torch.autograd.gradcheck(loss, unit(len(LABELS)).requires_grad_())


def test_gradient_reaches_all_three_ends(embedded: Make, unit: Unit) -> None:
    features = unit(3).requires_grad_()
    anchor = embedded([0], [0], features=features[:1])
    batch = embedded([0, 0, -1], [0, 1, 1], features=features)
    TripletLoss(margin=9.0)(anchor, batch, None).total.backward()
    a, p, n = features.detach()
    wanted = torch.stack([2 * (n - p), 2 * (p - a), 2 * (a - n)])
    torch.testing.assert_close(features.grad, wanted)


def test_far_apart_it_costs_nothing_and_near_by_the_margin(embedded: Make) -> None:
    axes = torch.eye(8, dtype=torch.float64)
    apart = embedded([0, 0, 1], features=torch.stack([axes[0], axes[0], axes[1]]))
    assert TripletLoss()(apart, apart, None).mean().item() == 0.0
    together = embedded([0, 0, 1], features=axes[:1].expand(3, -1))
    assert TripletLoss()(together, together, None).mean().item() == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("labels", "frames"), [([0, 0, 1], [0, 0, 1]), ([0, 0], [0, 1]), ([0, -1], [0, 1])]
)
def test_without_a_triplet_it_costs_nothing(
    embedded: Make, labels: list[int], frames: list[int]
) -> None:
    batch = embedded(labels, frames)
    term = TripletLoss()(batch, batch, None)
    assert (term.total.item(), int(term.count)) == (0.0, 0)
