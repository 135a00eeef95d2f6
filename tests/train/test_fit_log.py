"""What a run leaves to be read: whole lines, none twice, and the same for TensorBoard."""

import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from train.checkpoint import CHECKPOINT, load_checkpoint
from train.config import FitConfig, make_config
from train.errors import CheckpointError
from train.fit import fit
from train.pace import Pace
from train.runlog import EVENTS, LOG, RunLog


def tiny(data: Path, out: Path, **changes: object) -> FitConfig:
    settings = {"iterations": 4, "log_every": 1, **changes}
    return make_config("tiny", data=(data,), out=out, **settings)


def lines(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / LOG).read_text().splitlines()]


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Let no file of this process grow larger."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def timeless(line: dict[str, Any]) -> dict[str, Any]:
    times = {"seconds", "iteration_s", "frames_per_s", "waiting"}
    return {name: value for name, value in line.items() if name not in times}


def test_a_resumed_run_leaves_the_lines_of_an_unbroken_one(stripes: Path, tmp_path: Path) -> None:
    whole, broken = tiny(stripes, tmp_path / "whole"), tiny(stripes, tmp_path / "broken")
    fit(whole)
    fit(broken, stop=lambda: True)
    with (broken.out / LOG).open("a") as file:  # what a killed run took that was never saved
        file.write('{"iteration": 2, "total": 7}\n{"iteration": 3, "tot')
    fit(broken, resume=True)
    assert [line["iteration"] for line in lines(whole.out)] == [1, 2, 3, 4]
    assert list(map(timeless, lines(broken.out))) == list(map(timeless, lines(whole.out)))


def test_a_line_holds_losses_rate_and_speed(stripes: Path, tmp_path: Path) -> None:
    config = tiny(stripes, tmp_path / "run", iterations=2, warmup=2, losses="oim")
    fit(config)
    first, second = lines(config.out)
    assert [first["lr"], second["lr"]] == pytest.approx([config.lr / 2, config.lr])
    assert second["frames_per_s"] == pytest.approx(2 / second["iteration_s"])
    assert second["seconds"] == pytest.approx(first["iteration_s"] + second["iteration_s"])
    assert 0 <= second["waiting"] <= 1
    terms = ("rpn_class", "rpn_box", "person_class", "person_box", "oim")
    assert first["total"] == pytest.approx(sum(first[term] for term in terms))
    assert first["gradient"] > 0


def test_a_fresh_run_begins_a_fresh_log(stripes: Path, tmp_path: Path) -> None:
    config = tiny(stripes, tmp_path / "run", iterations=1)
    config.out.mkdir()
    (config.out / LOG).write_text('{"iteration": 0}\n{"iteration": 1}\n')
    fit(config)
    assert [line["iteration"] for line in lines(config.out)] == [1]


def test_the_log_says_which_weights_a_run_could_not_take_over(
    stripes: Path, tmp_path: Path
) -> None:
    first = fit(tiny(stripes, tmp_path / "first", iterations=1)).checkpoint
    config = tiny(stripes, tmp_path / "second", iterations=1, init=str(first), dim=64)
    fit(config)
    note = lines(config.out)[0]
    assert note == {
        "iteration": 0,
        "init": str(first),
        "not_loaded": ["reid.linear.weight", "reid.linear.bias"],
    }
    taken = open_weights(config.out)["trunk.conv1.weight"]
    assert not torch.equal(taken, torch.zeros_like(taken))
    fit(config.model_copy(update={"iterations": 2}), resume=True)
    assert [line["iteration"] for line in lines(config.out)] == [0, 1, 2]


def open_weights(run: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(run / CHECKPOINT).part("net")


def test_a_run_from_weights_begins_with_them(stripes: Path, tmp_path: Path) -> None:
    first = fit(tiny(stripes, tmp_path / "first", iterations=1)).checkpoint
    poisoned = tmp_path / "poisoned.safetensors"
    weights = load_file(first)
    weights["net.rpn.conv.bias"].fill_(3.25)
    save_file(weights, poisoned, metadata=header(first))
    config = tiny(stripes, tmp_path / "run", init=str(poisoned), iterations=1, lr=1e-9)
    fit(config)
    assert open_weights(config.out)["rpn.conv.bias"] == pytest.approx(3.25)


def header(path: Path) -> dict[str, str]:
    saved = load_checkpoint(path)
    return {
        "config": saved.config.model_dump_json(),
        "progress": saved.progress.model_dump_json(),
    }


def test_a_line_that_finds_no_room_is_not_there_at_all(tmp_path: Path) -> None:
    log = RunLog(tmp_path, after=-1, tensorboard=False)
    log.write(1, {"total": 1.5})
    with (
        files_of_at_most(log.path.stat().st_size + 10),
        pytest.raises(CheckpointError, match=r"cannot write .*log\.jsonl: File too large"),
    ):
        log.write(2, {"total": 1.5})
    assert lines(tmp_path) == [{"iteration": 1, "total": 1.5}]
    log.write(2, {"total": 2.5})
    log.close()
    assert [line["iteration"] for line in lines(tmp_path)] == [1, 2]


def test_tensorboard_shows_what_the_log_holds(stripes: Path, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    config = tiny(stripes, tmp_path / "run", tensorboard=True, iterations=3)
    fit(config, stop=lambda: True)
    fit(config, resume=True)
    shown = EventAccumulator(str(config.out / EVENTS)).Reload()
    told = lines(config.out)
    assert set(shown.Tags()["scalars"]) == set(told[0]) - {"iteration"}
    for name in ("total", "lr", "gradient"):
        events = shown.Scalars(name)
        assert [event.step for event in events] == [1, 2, 3]
        assert [event.value for event in events] == pytest.approx([line[name] for line in told])


def test_a_run_leaves_no_event_files_unasked(stripes: Path, tmp_path: Path) -> None:
    config = tiny(stripes, tmp_path / "run", iterations=1)
    fit(config)
    assert sorted(path.name for path in config.out.iterdir()) == [
        CHECKPOINT,
        "config.json",
        LOG,
    ]


def test_pace_counts_time_frames_and_waiting() -> None:
    pace = Pace(100.0)
    assert (pace.seconds, pace.each_s, pace.waiting, pace.frames_per_s(8)) == (0, 0, 0, 0)
    pace.tick(102.0, 1.0)
    pace.tick(104.0, 0.0)
    assert (pace.seconds, pace.each_s, pace.waiting) == (4.0, 2.0, 0.25)
    assert pace.frames_per_s(8) == 4.0
