"""What every identity loss keeps to, whatever its equation."""

from collections.abc import Callable, Iterable
from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from train.errors import TrainError
from train.losses.c2hep import ClassCentreLoss
from train.losses.contrastive import ContrastiveLoss
from train.losses.dictionary import FeatureDictionary
from train.losses.embedded import Embedded, IdentityLoss, Term
from train.losses.hep import HardExamplePriorityLoss
from train.losses.oim import OIMLoss
from train.losses.olp import OnlinePairingLoss
from train.losses.pool import priority_pool
from train.losses.softmax import SoftmaxLoss
from train.losses.triplet import TripletLoss

Make = Callable[..., Embedded]
LABELS = [0, 0, 1, -1, 1, 2, -1, 0, 4]
FRAMES = [0, 1, 0, 0, 1, 1, 2, 2, 2]
L, D = 6, 8

MAKERS: dict[str, Callable[[FeatureDictionary], IdentityLoss]] = {
    "olp": lambda dictionary: OnlinePairingLoss(dictionary, scale=4.0),
    "hep": lambda _: HardExamplePriorityLoss(L, D, scale=4.0),
    "c2hep": lambda _: ClassCentreLoss(L, D, scale=10.0, momentum=0.5, norm=True),
    "oim": lambda _: OIMLoss(L, D, queue=5, scale=10.0, momentum=0.5),
    "softmax": lambda _: SoftmaxLoss(L, D, scale=4.0),
    "triplet": lambda _: TripletLoss(margin=0.2),
    "contrastive": lambda _: ContrastiveLoss(margin=1.0),
}


class Learner(nn.Module):
    """One loss with the dictionary that it may read, as a training run keeps them."""

    def __init__(self, name: str) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.dictionary = FeatureDictionary(7, D)
        self.loss = MAKERS[name](self.dictionary)
        self.double()

    def forward(self, anchors: Embedded, batch: Embedded) -> Term:
        pool = priority_pool(
            batch,
            self.dictionary,
            identities=L,
            size=5,
            hard=2,
            generator=torch.Generator().manual_seed(1),
        )
        return self.loss(anchors, batch, pool if self.loss.needs_pool else None)

    def remember(self, batch: Embedded) -> None:
        self.loss.remember(batch)
        self.dictionary.store(batch.features, batch.labels)


@pytest.fixture(params=MAKERS)
def learner(request: pytest.FixtureRequest, embedded: Make) -> Learner:
    """A loss that has seen two batches."""
    made = Learner(request.param)
    for seed in (11, 12):
        made.remember(embedded(LABELS, FRAMES, seed=seed))
    return made


def state(learner: Learner) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in learner.state_dict().items()}


def part(batch: Embedded, rows: Iterable[int]) -> Embedded:
    chosen = torch.tensor(list(rows), dtype=torch.int64)
    return Embedded(*(field[chosen] for field in batch))


def gradients(learner: Learner, terms: Callable[[Embedded], list[Term]], make: Any) -> list[Tensor]:
    """Return total, count and the gradients that ``terms`` sum to."""
    learner.zero_grad()
    features = make(LABELS, FRAMES, seed=13).features.requires_grad_()
    found = terms(make(LABELS, FRAMES, features=features))
    total, count = sum(t.total for t in found), sum(t.count for t in found)
    total.backward()
    learnt = [parameter.grad.clone() for parameter in learner.parameters()]
    return [total.detach(), count, features.grad, *learnt]


@pytest.mark.parametrize("cut", [0, 1, 4, 8])
def test_processes_add_up_to_one(learner: Learner, embedded: Make, cut: int) -> None:
    whole = gradients(learner, lambda batch: [learner(batch, batch)], embedded)
    halves = (range(cut), range(cut, len(LABELS)))
    parts = gradients(
        learner, lambda batch: [learner(part(batch, half), batch) for half in halves], embedded
    )
    assert whole[0] > 0
    assert int(whole[1]) > 0
    assert whole[2].any()
    for one, added in zip(whole, parts, strict=True):
        torch.testing.assert_close(added, one)


@pytest.mark.parametrize("labels", [[-1, -1, -1], []])
def test_a_batch_without_identities_costs_nothing(
    learner: Learner, embedded: Make, labels: list[int]
) -> None:
    batch = embedded(labels)
    batch.features.requires_grad_()
    term = learner(batch, batch)
    term.mean().backward()
    assert (term.total.item(), int(term.count)) == (0.0, 0)
    learnt = [batch.features.grad, *(p.grad for p in learner.parameters())]
    assert all(gradient is not None and not gradient.any() for gradient in learnt)
    learner.remember(batch)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_keeps_the_type_of_the_features(
    learner: Learner, embedded: Make, dtype: torch.dtype
) -> None:
    exact = embedded(LABELS, FRAMES, seed=13)
    batch = embedded(LABELS, FRAMES, features=exact.features.to(dtype))
    wanted = learner(exact, exact)
    term = learner.to(dtype)(batch, batch)
    learner.remember(batch)
    assert term.total.dtype == dtype
    torch.testing.assert_close(term.mean().double(), wanted.mean(), rtol=1e-4, atol=1e-5)


def test_makes_no_tensor_on_another_device(learner: Learner, embedded: Make) -> None:
    twin, batch = deepcopy(learner), embedded(LABELS, FRAMES, seed=13)
    wanted = twin(batch, batch)
    twin.remember(batch)
    with torch.device("meta"):  # where a tensor goes that is made without a device
        term = learner(batch, batch)
        learner.remember(batch)
    assert torch.equal(term.total, wanted.total)
    assert torch.equal(term.count, wanted.count)
    for name, tensor in state(twin).items():
        assert torch.equal(tensor, learner.state_dict()[name]), name


def test_state_stays_as_it_is_forwards_and_backwards(learner: Learner, embedded: Make) -> None:
    before, batch = state(learner), embedded(LABELS, FRAMES, seed=13)
    batch.features.requires_grad_()
    learner(batch, batch).mean().backward()
    for name, tensor in state(learner).items():
        assert torch.equal(tensor, before[name]), name


def test_the_gradient_is_of_the_state_before_the_batch_is_remembered(
    learner: Learner, embedded: Make
) -> None:
    found = []
    for remember in (False, True):
        batch = embedded(LABELS, FRAMES, seed=13)
        batch.features.requires_grad_()
        total = learner(batch, batch).total
        if remember:
            learner.remember(batch)
        total.backward()
        found.append(batch.features.grad)
    assert torch.equal(*found)


def test_a_resumed_run_continues_bit_for_bit(
    learner: Learner, embedded: Make, request: pytest.FixtureRequest
) -> None:
    resumed = Learner(request.node.callspec.params["learner"])
    resumed.load_state_dict(state(learner))
    for seed in range(20, 24):
        batch = embedded(LABELS, FRAMES, seed=seed)
        assert torch.equal(learner(batch, batch).total, resumed(batch, batch).total)
        learner.remember(batch)
        resumed.remember(batch)
    for name, tensor in state(resumed).items():
        assert torch.equal(tensor, state(learner)[name]), name


def test_no_state_is_saved_twice(learner: Learner) -> None:
    pointers = [tensor.data_ptr() for tensor in learner.state_dict().values()]
    assert len(set(pointers)) == len(pointers)


@pytest.mark.parametrize("name", ["hep", "c2hep"])
def test_the_pool_is_asked_for(embedded: Make, name: str) -> None:
    batch = embedded([0, 0])
    with pytest.raises(TrainError, match=f"the loss '{name}' needs a priority pool"):
        Learner(name).loss(batch, batch, None)
