"""OIM against slow loops written from Eq. 1 and 3, and the rules of its table and queue."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from train.losses.embedded import Embedded
from train.losses.oim import OIMLoss

Make = Callable[..., Embedded]
Unit = Callable[..., Tensor]


@pytest.fixture
def loss(embedded: Make) -> OIMLoss:
    """Six identities of which 2 and 5 were never seen; two of four slots of the queue are full."""
    made = OIMLoss(6, 8, queue=4).double()
    made.remember(embedded([0, 1, -1, 3, 4, -1], seed=3))
    return made


def slow_probabilities(loss: OIMLoss, feature: Tensor) -> list[float]:
    """Eq. 1 for each identity: zero rows compete, empty slots do not."""
    stored = [
        slot
        for slot, label in zip(loss.queue.features, loss.queue.labels.tolist(), strict=True)
        if label == -1
    ]
    exps = [math.exp(loss.scale * float(feature @ known)) for known in [*loss.table, *stored]]
    return [value / sum(exps) for value in exps[: len(loss.table)]]


def test_agrees_with_a_loop_over_equations_1_and_3(embedded: Make, loss: OIMLoss) -> None:
    batch, losses = embedded([0, 2, -1, 3]), []
    for feature, label in zip(batch.features, batch.labels.tolist(), strict=True):
        if label >= 0:
            losses.append(-math.log(slow_probabilities(loss, feature)[label]))
    term = loss(batch, batch, None)
    assert int(term.count) == len(losses) == 3
    assert term.total.item() == pytest.approx(sum(losses))


def test_gradient_agrees_with_finite_differences(embedded: Make, unit: Unit, loss: OIMLoss) -> None:
    def value(features: Tensor) -> Tensor:
        batch = embedded([0, -1, 2, 3], features=features)
        return loss(batch, batch, None).mean()

    assert torch.autograd.gradcheck(value, unit(4).requires_grad_())


def test_gradient_is_that_of_equation_4(embedded: Make, unit: Unit, loss: OIMLoss) -> None:
    features = unit(1).requires_grad_()
    batch = embedded([3], features=features)
    loss(batch, batch, None).total.backward()
    known = torch.cat([loss.table, loss.queue.features[:2]])
    shares = torch.softmax(10 * known @ features[0].detach(), dim=0)
    others = (shares[:, None] * known).sum(dim=0) - shares[3] * known[3]
    wanted = 10 * (others - (1 - shares[3]) * known[3])
    torch.testing.assert_close(features.grad[0], wanted)


def test_starts_at_the_log_of_the_identities(embedded: Make) -> None:
    made, batch = OIMLoss(40, 8, queue=9).double(), embedded([0, 1, 39])
    assert made(batch, batch, None).mean().item() == pytest.approx(math.log(40))


def test_a_full_queue_of_strangers_competes(embedded: Make) -> None:
    made, axes = OIMLoss(4, 8, queue=3).double(), torch.eye(8, dtype=torch.float64)
    made.remember(embedded([-1, -1, -1], features=axes[:3]))
    batch = embedded([0], features=axes[5:6])
    assert made(batch, batch, None).mean().item() == pytest.approx(math.log(4 + 3))


def test_a_row_moves_with_momentum_and_stays_on_the_unit_sphere(embedded: Make, unit: Unit) -> None:
    made = OIMLoss(3, 8, queue=2, momentum=0.75).double()
    first, second = unit(2)
    made.remember(embedded([1], features=first[None]))
    torch.testing.assert_close(made.table[1], first)
    made.remember(embedded([1], features=second[None]))
    torch.testing.assert_close(made.table[1], normalize(0.75 * first + 0.25 * second, dim=0))
    assert not made.table[[0, 2]].any()


def test_several_features_of_an_identity_move_its_row_one_after_the_other(
    embedded: Make,
) -> None:
    labels = [2, 0, 2, -1, 1, 2, 0]
    made, batch = OIMLoss(4, 8, queue=2).double(), embedded(labels)
    wanted = torch.zeros(4, 8, dtype=torch.float64)
    for feature, label in zip(batch.features, labels, strict=True):
        if label >= 0:
            wanted[label] = normalize(0.5 * wanted[label] + 0.5 * feature, dim=0)
    made.remember(batch)
    torch.testing.assert_close(made.table, wanted)


def test_the_queue_takes_persons_without_identity_alone_and_wraps_around(embedded: Make) -> None:
    made = OIMLoss(3, 8, queue=3).double()
    first, second = embedded([-1, 0, -1]), embedded([-1, -1, 1], seed=7)
    made.remember(first)
    made.remember(second)
    torch.testing.assert_close(made.queue.features[0], second.features[1])
    torch.testing.assert_close(made.queue.features[1], first.features[2])
    torch.testing.assert_close(made.queue.features[2], second.features[0])
    assert int(made.queue.position) == 1
