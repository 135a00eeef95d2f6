"""One step: gradients that add up over iterations, clipping, and no tensor on a wrong device."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from train.config import FitConfig, make_config
from train.distributed import World, choose_device
from train.errors import ConfigError, TrainingDivergedError
from train.fit import fit
from train.learner import Learner
from train.models.losses import total_loss
from train.optimise import Stepper
from train.run import Run, open_run


def tiny(data: Path, out: Path, **changes: object) -> FitConfig:
    settings = {"optimiser": "sgd", "iterations": 4, **changes}
    return make_config("tiny", data=(data,), out=out, **settings)


def stepper(run: Run) -> Stepper:
    return Stepper(run.config, run.learner, run.optimiser, run.feed.source.pictures)


def weights(learner: Learner) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in learner.named_parameters()}


def gradient(run: Run, iteration: int) -> dict[str, Tensor]:
    """Return the gradient of an iteration's total loss, and leave the weights alone."""
    batch = run.feed.source.batch(iteration)
    generator = torch.Generator().manual_seed(run.config.seed * 1_000_003 + iteration)
    frames = batch.frames.contiguous(memory_format=torch.channels_last)
    losses = run.learner(frames, batch.targets, generator)
    total_loss(losses, run.config.loss).backward()
    found = {k: v.grad.clone() for k, v in run.learner.named_parameters() if v.grad is not None}
    run.learner.zero_grad()
    return found


def test_a_step_takes_the_mean_gradient_of_its_iterations(stripes: Path, tmp_path: Path) -> None:
    config = tiny(stripes, tmp_path, accumulate=2, weight_decay=0, losses="olp+softmax")
    run, plain = open_run(config, False, World()), open_run(config, False, World())
    before = weights(plain.learner)
    first, second = gradient(plain, 0), gradient(plain, 1)
    steps = stepper(run)
    taken = [steps.take(0, run.feed.source.batch(0))]
    assert all(torch.equal(v, before[k]) for k, v in weights(run.learner).items())
    taken.append(steps.take(1, run.feed.source.batch(1)))
    assert taken[0].gradient is None
    after = weights(run.learner)
    for name, begun in before.items():
        wanted = begun - config.lr * (first[name] + second[name]) / 2
        torch.testing.assert_close(after[name], wanted, msg=name)
    norm = torch.stack([(first[k] + second[k]).div(2).square().sum() for k in first]).sum().sqrt()
    assert taken[1].gradient == pytest.approx(float(norm), rel=1e-5)


def test_clipping_shortens_the_whole_gradient(stripes: Path, tmp_path: Path) -> None:
    config = tiny(stripes, tmp_path, clip=0.01, weight_decay=0, losses="softmax")
    run = open_run(config, False, World())
    before = weights(run.learner)
    taken = stepper(run).take(0, run.feed.source.batch(0))
    moved = [after - before[name] for name, after in weights(run.learner).items()]
    length = torch.stack([step.square().sum() for step in moved]).sum().sqrt()
    assert taken.gradient is not None
    assert taken.gradient > 0.01
    assert float(length) == pytest.approx(0.01 * config.lr, rel=1e-2)


def test_a_run_that_would_end_within_a_step_is_refused(stripes: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="iterations 4 is no multiple of accumulate 3"):
        fit(tiny(stripes, tmp_path / "run", accumulate=3))


def test_a_run_is_saved_and_stopped_between_steps_alone(stripes: Path, tmp_path: Path) -> None:
    seen: list[int] = []
    config = tiny(stripes, tmp_path / "run", accumulate=2, iterations=6, save_every=3)
    result = fit(config, progress=lambda now: seen.append(now.iteration), stop=lambda: seen[-1] > 2)
    assert result.iterations == 4
    assert seen == [1, 2, 3, 4]


def test_a_gradient_that_is_not_finite_moves_nothing(stripes: Path, tmp_path: Path) -> None:
    run = open_run(tiny(stripes, tmp_path, losses="none"), False, World())
    before = weights(run.learner)
    run.learner.net.rpn.logits.weight.register_hook(lambda found: found * torch.inf)
    with pytest.raises(TrainingDivergedError, match=r"iteration 0: the gradient is not finite"):
        stepper(run).take(0, run.feed.source.batch(0))
    assert all(torch.equal(v, before[k]) for k, v in weights(run.learner).items())


FACTORIES = {
    torch.arange, torch.empty, torch.eye, torch.full, torch.linspace, torch.ones, torch.rand,
    torch.randn, torch.randint, torch.randperm, torch.tensor, torch.zeros,
}  # fmt: skip


class Undecided(TorchFunctionMode):
    """Notes every tensor that is made without a word on which device."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in FACTORIES and kwargs.get("device") is None:
            self.found.append(f"{func.__name__}{args}")
        return func(*args, **kwargs)


@pytest.fixture
def undecided() -> Iterator[list[str]]:
    mode = Undecided()
    with mode:
        yield mode.found


@pytest.mark.parametrize(
    "network",
    [
        {"model": "dc-i-net"},
        {"model": "i-net"},
        {"model": "oim"},
        {"model": "separate"},
        {"backbone": "mobilenet_v3_large_fpn", "width": 1.0},
    ],
    ids=lambda network: network.get("model", "pyramid"),
)
def test_every_tensor_of_a_step_says_on_which_device_it_is(
    network: dict[str, object], stripes: Path, tmp_path: Path, undecided: list[str]
) -> None:
    losses = "olp+hep+c2hep+oim+softmax+triplet+contrastive"
    run = open_run(tiny(stripes, tmp_path, losses=losses, **network), False, World())
    batches = [run.feed.source.batch(number) for number in range(2)]
    steps = stepper(run)
    undecided.clear()
    for number, batch in enumerate(batches):
        steps.take(number, batch)
    assert undecided == []
    torch.zeros(1)
    assert undecided == ["zeros(1,)"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_asked_for_in_vain(stripes: Path, tmp_path: Path) -> None:
    assert choose_device("auto") == choose_device("cpu") == torch.device("cpu")
    with pytest.raises(ConfigError, match="device cuda: process 0 has no GPU, torch sees 0 here"):
        fit(tiny(stripes, tmp_path / "run", device="cuda"))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("amp", [False, True])
@pytest.mark.parametrize("model", ["dc-i-net", "i-net", "oim", "separate"])
def test_a_gpu_trains_every_network(model: str, amp: bool, stripes: Path, tmp_path: Path) -> None:
    losses = "olp+hep+c2hep+oim+softmax+triplet+contrastive"
    told = {}
    for device in ("cpu", "cuda"):
        config = tiny(
            stripes, tmp_path / device, model=model, losses=losses, amp=amp, device=device,
            log_every=1,
        )  # fmt: skip
        told[device] = fit(config, stop=lambda: True).losses
    assert told["cuda"] == pytest.approx(told["cpu"], rel=0.05 if amp else 0.01, abs=0.01)
    config = config.model_copy(update={"device": "cpu"})
    assert fit(config, resume=True).iterations == 4
