"""Softmax cross-entropy against a slow loop."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from train.losses.embedded import Embedded
from train.losses.softmax import SoftmaxLoss

Make = Callable[..., Embedded]
Unit = Callable[..., Tensor]


@pytest.fixture
def loss() -> SoftmaxLoss:
    """A classifier of 5 identities with weights that matter."""
    made = SoftmaxLoss(5, 8, scale=3.0).double()
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        made.classifier.weight.normal_(generator=generator)
        made.classifier.bias.normal_(generator=generator)
    return made


def test_agrees_with_a_loop(embedded: Make, loss: SoftmaxLoss) -> None:
    batch, losses = embedded([0, 4, -1, 4]), []
    weight, bias = loss.classifier.weight.detach(), loss.classifier.bias.detach()
    for feature, label in zip(batch.features, batch.labels.tolist(), strict=True):
        if label >= 0:
            scores = [float(3 * feature @ weight[j] + bias[j]) for j in range(5)]
            total = sum(math.exp(score) for score in scores)
            losses.append(-math.log(math.exp(scores[label]) / total))
    term = loss(batch, batch, None)
    assert int(term.count) == len(losses) == 3
    assert term.total.item() == pytest.approx(sum(losses))


def test_gradient_agrees_with_finite_differences(
    embedded: Make, unit: Unit, loss: SoftmaxLoss
) -> None:
    def value(features: Tensor) -> Tensor:
        batch = embedded([0, -1, 2, 2], features=features)
        return loss(batch, batch, None).mean()

    assert torch.autograd.gradcheck(value, unit(4).requires_grad_())


def test_starts_at_the_log_of_the_identities(embedded: Make) -> None:
    torch.manual_seed(0)
    made, batch = SoftmaxLoss(50, 8).double(), embedded(range(10))
    assert made(batch, batch, None).mean().item() == pytest.approx(math.log(50), abs=0.02)
