"""OLP against a slow loop written from Eq. 1, its gradient against Eq. 2, and its bounds."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from train.losses.dictionary import EMPTY, FeatureDictionary
from train.losses.olp import olp_loss


def unit(count: int, dim: int = 16, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return normalize(torch.randn(count, dim, generator=generator, dtype=torch.float64), dim=1)


def filled(labels: list[int], dim: int = 16, slots: int | None = None) -> FeatureDictionary:
    dictionary = FeatureDictionary(slots or len(labels), dim).double()
    dictionary.store(unit(len(labels), dim, seed=1), torch.tensor(labels))
    return dictionary


def slow_olp(
    features: Tensor,
    labels: list[int],
    frames: list[int],
    dictionary: FeatureDictionary,
    scale: float,
) -> float:
    losses = []
    for a, anchor in enumerate(features):
        for p, positive in enumerate(features):
            if labels[a] < 0 or labels[a] != labels[p] or frames[a] == frames[p]:
                continue
            top = math.exp(scale * float(anchor @ positive))
            rest = sum(
                math.exp(scale * float(anchor @ slot))
                for slot, label in zip(dictionary.features, dictionary.labels.tolist(), strict=True)
                if label not in (EMPTY, labels[a])
            )
            losses.append(-math.log(top / (top + rest)))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("scale", [1.0, 16.0])
def test_agrees_with_a_loop_over_equation_1(scale: float) -> None:
    labels, frames = [0, 0, 1, 1, 2, -1, 0], [0, 1, 0, 1, 0, 1, 0]
    features = unit(len(labels))
    dictionary = filled([0, 1, -1, 5, 2], slots=8)
    loss = olp_loss(features, torch.tensor(labels), torch.tensor(frames), dictionary, scale=scale)
    assert loss.item() == pytest.approx(slow_olp(features, labels, frames, dictionary, scale))


def test_gradient_is_that_of_equation_2_and_reaches_the_anchor_alone() -> None:
    features = unit(2).requires_grad_()
    dictionary = filled([3, 4, -1])
    loss = olp_loss(features, torch.tensor([0, 0]), torch.tensor([0, 1]), dictionary)
    loss.backward()
    negatives = dictionary.features
    for a, p in ((0, 1), (1, 0)):
        anchor, positive = features[a].detach(), features[p].detach()
        exps = torch.cat([torch.exp(anchor @ positive)[None], torch.exp(negatives @ anchor)])
        shares = exps / exps.sum()
        wanted = (shares[0] - 1) * positive + (shares[1:, None] * negatives).sum(dim=0)
        # two subgroups, so that each anchor carries half of the mean
        torch.testing.assert_close(features.grad[a], wanted / 2)  # type: ignore[index]


def test_starts_at_the_log_of_one_more_than_the_negatives_when_nothing_is_known() -> None:
    dictionary = FeatureDictionary(40, 16).double()
    orthogonal = torch.eye(16, dtype=torch.float64)
    dictionary.store(orthogonal[2:3].expand(40, -1), torch.full((40,), 9))
    features = torch.stack([orthogonal[0], orthogonal[1]])
    loss = olp_loss(features, torch.tensor([0, 0]), torch.tensor([0, 1]), dictionary)
    assert loss.item() == pytest.approx(math.log(41))


@pytest.mark.parametrize("labels", [[-1, -1, -1], [0, 1, 2], []])
def test_a_batch_without_pairs_costs_nothing(labels: list[int]) -> None:
    features = unit(len(labels)).requires_grad_()
    loss = olp_loss(
        features, torch.tensor(labels, dtype=torch.int64), torch.arange(len(labels)), filled([5])
    )
    loss.backward()
    assert loss.item() == 0.0
    assert features.grad is not None
    assert not features.grad.any()


def test_a_pair_in_one_frame_is_no_pair() -> None:
    loss = olp_loss(unit(2), torch.tensor([0, 0]), torch.tensor([0, 0]), filled([5]))
    assert loss.item() == 0.0


def test_the_dictionary_forgets_the_oldest_first_and_across_its_end() -> None:
    dictionary = FeatureDictionary(4, 16).double()
    dictionary.store(unit(3), torch.tensor([0, 1, 2]))
    dictionary.store(unit(2, seed=7), torch.tensor([3, 4]))
    assert dictionary.labels.tolist() == [4, 1, 2, 3]
    assert int(dictionary.position) == 1
    torch.testing.assert_close(dictionary.features[0], unit(2, seed=7)[1])


def test_a_batch_larger_than_the_dictionary_leaves_its_last_ones() -> None:
    dictionary = FeatureDictionary(2, 16).double()
    dictionary.store(unit(5), torch.tensor([0, 1, 2, 3, 4]))
    assert sorted(dictionary.labels.tolist()) == [3, 4]
