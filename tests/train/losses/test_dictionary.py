"""The feature dictionary: a ring that forgets the oldest first."""

from collections.abc import Callable

import torch
from torch import Tensor

from train.losses.dictionary import EMPTY, FeatureDictionary

Unit = Callable[..., Tensor]


def test_it_begins_empty() -> None:
    assert FeatureDictionary(3, 8).labels.tolist() == [EMPTY] * 3


def test_it_forgets_the_oldest_first_and_across_its_end(unit: Unit) -> None:
    dictionary = FeatureDictionary(4, 8).double()
    dictionary.store(unit(3), torch.tensor([0, 1, 2]))
    dictionary.store(unit(2, seed=7), torch.tensor([3, 4]))
    assert dictionary.labels.tolist() == [4, 1, 2, 3]
    assert int(dictionary.position) == 1
    torch.testing.assert_close(dictionary.features[0], unit(2, seed=7)[1])


def test_a_batch_larger_than_the_dictionary_leaves_its_last_ones(unit: Unit) -> None:
    dictionary = FeatureDictionary(2, 8).double()
    dictionary.store(unit(5), torch.tensor([0, 1, 2, 3, 4]))
    assert sorted(dictionary.labels.tolist()) == [3, 4]
    features = dictionary.features[dictionary.labels.argsort()]
    torch.testing.assert_close(features, unit(5)[3:])


def test_what_is_stored_has_no_gradient(unit: Unit) -> None:
    dictionary = FeatureDictionary(2, 8).double()
    features = unit(1).requires_grad_()
    dictionary.store(features, torch.tensor([0]))
    assert not dictionary.features.requires_grad


def test_cosines_may_be_used_after_the_slots_have_changed(unit: Unit) -> None:
    dictionary = FeatureDictionary(2, 8).double()
    dictionary.store(unit(2), torch.tensor([0, 1]))
    anchor = unit(1, seed=3).requires_grad_()
    cosines = dictionary.similarities(anchor)
    dictionary.store(unit(2, seed=4), torch.tensor([2, 3]))
    cosines.sum().backward()
    torch.testing.assert_close(anchor.grad, unit(2).sum(dim=0, keepdim=True))
