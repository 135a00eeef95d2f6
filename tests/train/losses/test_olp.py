"""OLP against a slow loop written from Eq. 1, its gradient against Eq. 2, and its bounds."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from train.losses.dictionary import EMPTY, FeatureDictionary
from train.losses.embedded import Embedded
from train.losses.olp import OnlinePairingLoss

Make = Callable[..., Embedded]
Unit = Callable[..., Tensor]


def slow_olp(batch: Embedded, dictionary: FeatureDictionary, scale: float) -> list[float]:
    labels, frames = batch.labels.tolist(), batch.frames.tolist()
    losses = []
    for a, anchor in enumerate(batch.features):
        for p, positive in enumerate(batch.features):
            if labels[a] < 0 or labels[a] != labels[p] or frames[a] == frames[p]:
                continue
            top = math.exp(scale * float(anchor @ positive))
            rest = sum(
                math.exp(scale * float(anchor @ slot))
                for slot, label in zip(dictionary.features, dictionary.labels.tolist(), strict=True)
                if label not in (EMPTY, labels[a])
            )
            losses.append(-math.log(top / (top + rest)))
    return losses


@pytest.fixture
def filled(unit: Unit) -> Any:
    def make(labels: list[int], slots: int | None = None) -> FeatureDictionary:
        dictionary = FeatureDictionary(slots or len(labels), 8).double()
        dictionary.store(unit(len(labels), seed=1), torch.tensor(labels))
        return dictionary

    return make


@pytest.mark.parametrize("scale", [1.0, 16.0])
def test_agrees_with_a_loop_over_equation_1(embedded: Make, filled: Any, scale: float) -> None:
    batch = embedded([0, 0, 1, 1, 2, -1, 0, -1], [0, 1, 0, 1, 0, 1, 0, 0])
    dictionary = filled([0, 1, -1, 5, 2], slots=8)
    term = OnlinePairingLoss(dictionary, scale=scale)(batch, batch, None)
    losses = slow_olp(batch, dictionary, scale)
    assert int(term.count) == len(losses) == 6
    assert term.total.item() == pytest.approx(sum(losses))
    assert term.mean().item() == pytest.approx(sum(losses) / 6)


def test_gradient_is_that_of_equation_2_and_reaches_the_anchor_alone(
    embedded: Make, unit: Unit, filled: Any
) -> None:
    features = unit(2).requires_grad_()
    batch = embedded([0, 0], features=features)
    dictionary = filled([3, 4, -1])
    OnlinePairingLoss(dictionary)(batch, batch, None).mean().backward()
    negatives = dictionary.features
    for a, p in ((0, 1), (1, 0)):
        anchor, positive = features[a].detach(), features[p].detach()
        exps = torch.cat([torch.exp(anchor @ positive)[None], torch.exp(negatives @ anchor)])
        shares = exps / exps.sum()
        wanted = (shares[0] - 1) * positive + (shares[1:, None] * negatives).sum(dim=0)
        # two subgroups, so that each anchor carries half of the mean
        torch.testing.assert_close(features.grad[a], wanted / 2)


def test_gradient_agrees_with_finite_differences(embedded: Make, unit: Unit, filled: Any) -> None:
    labels, frames = [0, 0, 1, 1, -1, 0], [0, 1, 0, 1, 0, 2]
    batch, loss = embedded(labels, frames), OnlinePairingLoss(filled([3, 0, -1]), scale=16.0)
    assert torch.autograd.gradcheck(
        lambda x: loss(embedded(labels, frames, features=x), batch, None).mean(),
        unit(6).requires_grad_(),
    )


def test_starts_at_the_log_of_one_more_than_the_negatives_when_nothing_is_known(
    embedded: Make,
) -> None:
    dictionary = FeatureDictionary(50, 8).double()
    orthogonal = torch.eye(8, dtype=torch.float64)
    dictionary.store(orthogonal[2:3].expand(40, -1), torch.full((40,), 9))
    batch = embedded([0, 0], features=orthogonal[:2])
    term = OnlinePairingLoss(dictionary)(batch, batch, None)
    assert term.mean().item() == pytest.approx(math.log(41))


@pytest.mark.parametrize("stored", [[7], [7, 7, 7]])
def test_with_none_but_its_own_identity_in_the_dictionary_it_costs_nothing(
    embedded: Make, unit: Unit, filled: Any, stored: list[int]
) -> None:
    features = unit(2).requires_grad_()
    batch = embedded([7, 7], features=features)
    term = OnlinePairingLoss(filled(stored, slots=4), scale=30.0)(batch, batch, None)
    term.total.backward()
    assert (term.total.item(), int(term.count)) == (0.0, 2)
    torch.testing.assert_close(features.grad, torch.zeros_like(features))


def test_a_pair_in_one_frame_is_no_pair(embedded: Make, filled: Any) -> None:
    batch = embedded([0, 0, 1, 2], [0, 0, 1, 2])
    term = OnlinePairingLoss(filled([5]))(batch, batch, None)
    assert (term.total.item(), int(term.count)) == (0.0, 0)


def test_the_dictionary_stays_its_owners(embedded: Make, filled: Any) -> None:
    dictionary = filled([3, 4, -1])
    loss, batch = OnlinePairingLoss(dictionary), embedded([0, 0])
    loss.remember(batch)
    assert dictionary.labels.tolist() == [3, 4, -1]
    assert not loss.state_dict()
