"""HEP against a slow loop written from Eq. 5."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from train.losses.embedded import Embedded
from train.losses.hep import HardExamplePriorityLoss

Make = Callable[..., Embedded]
Unit = Callable[..., Tensor]


@pytest.fixture
def loss() -> Any:
    """Make a classifier of 6 identities with weights that matter."""

    def make(scale: float = 1.0) -> HardExamplePriorityLoss:
        made = HardExamplePriorityLoss(6, 8, scale=scale).double()
        generator = torch.Generator().manual_seed(2)
        with torch.no_grad():
            made.classifier.weight.normal_(generator=generator)
            made.classifier.bias.normal_(generator=generator)
        return made

    return make


@pytest.mark.parametrize("scale", [1.0, 16.0])
def test_agrees_with_a_loop_over_equation_5(embedded: Make, loss: Any, scale: float) -> None:
    made, pool = loss(scale), torch.tensor([0, 2, 3, 5])
    batch = embedded([0, 2, -1, 2, 5])
    weight, bias = made.classifier.weight.detach(), made.classifier.bias.detach()
    losses = []
    for feature, label in zip(batch.features, batch.labels.tolist(), strict=True):
        if label < 0:
            continue
        scores = {j: float(scale * feature @ weight[j] + bias[j]) for j in [*pool.tolist(), 6]}
        total = sum(math.exp(score) for score in scores.values())
        losses.append(-math.log(math.exp(scores[label]) / total))
    term = made(batch, batch, pool)
    assert int(term.count) == len(losses) == 4
    assert term.total.item() == pytest.approx(sum(losses))


def test_gradient_agrees_with_finite_differences(embedded: Make, unit: Unit, loss: Any) -> None:
    made, pool = loss(), torch.tensor([0, 2, 4])

    def value(features: Tensor) -> Tensor:
        batch = embedded([0, -1, 2, 2], features=features)
        return made(batch, batch, pool).mean()

    assert torch.autograd.gradcheck(value, unit(4).requires_grad_())


def test_only_rows_of_the_pool_and_of_background_learn(embedded: Make, loss: Any) -> None:
    made, batch = loss(), embedded([0, 2])
    made(batch, batch, torch.tensor([0, 2, 4])).mean().backward()
    learnt = made.classifier.weight.grad.abs().sum(dim=1) > 0
    assert learnt.tolist() == [True, False, True, False, True, False, True]


def test_starts_at_the_log_of_the_pool_and_background(embedded: Make) -> None:
    torch.manual_seed(0)
    made, batch = HardExamplePriorityLoss(50, 8).double(), embedded(range(10))
    term = made(batch, batch, torch.arange(19))
    assert term.mean().item() == pytest.approx(math.log(20), abs=0.02)
