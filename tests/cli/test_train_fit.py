"""``sightline train fit`` from outside: trains, stops, resumes, and names what is wrong."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli import output

pytest.importorskip("torch", reason="training needs the extra train")

Run = Callable[..., Any]
ROOT = Path(__file__).parents[2]
TINY = ("--preset", "tiny", "--device", "cpu")


@pytest.fixture(scope="module")
def stripes(write_people: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of five people on ten pictures."""
    return write_people(tmp_path_factory.mktemp("sets") / "stripes")


def test_a_run_is_trained_refused_and_resumed(inside: Run, stripes: Path, tmp_path: Path) -> None:
    command = ("train", "fit", "--data", stripes, "--out", "run", *TINY, "--json")
    first = inside(*command, "--iterations", "2")
    assert (first.code, first.err) == (0, "")
    assert first.document["iterations"] == 2
    assert first.document["frames_per_s"] > 0
    assert 0 <= first.document["waiting"] <= 1
    assert set(first.document["losses"]) >= {"olp", "c2hep", "total"}
    assert Path(first.document["checkpoint"]) == tmp_path / "run" / "checkpoint.safetensors"
    again = inside(*command, "--iterations", "3")
    assert (again.code, again.out) == (2, "")
    assert "run holds a run already" in again.err
    more = inside(*command, "--iterations", "3", "--resume")
    assert more.document["iterations"] == 3


def test_people_read_what_was_trained(inside: Run, stripes: Path) -> None:
    options = ("--model", "oim", "--iterations", "1", "--accumulate", "1", "--tensorboard")
    outcome = inside("train", "fit", "--data", stripes, "--out", "run", *TINY, *options)
    assert (outcome.code, outcome.err) == (0, "")
    assert "iterations  1 of 1" in outcome.out
    assert "oim" in outcome.out
    assert "sightline train export run BUNDLE" in outcome.out
    assert list(Path("run/tensorboard").iterdir())
    settings = json.loads(Path("run/config.json").read_text())
    assert settings["network"]["model"] == "oim"
    assert settings["loss"]["losses"] == ["oim"]


def test_a_run_begins_with_the_weights_of_another(inside: Run, stripes: Path) -> None:
    command = ("train", "fit", "--data", stripes, *TINY, "--iterations", "1")
    assert inside(*command, "--out", "first").code == 0
    assert inside(*command, "--out", "second", "--init", "first").code == 0
    line = json.loads(Path("second/log.jsonl").read_text().splitlines()[0])
    assert line["init"] == "first"
    other = inside(*command, "--out", "third", "--init", "first", "--backbone", "resnet34")
    assert other.code == 2
    assert "first: its trunk is not the resnet34" in other.err


def test_real_pictures_alone_train_the_detector(
    inside: Run, coco_folder: Any, tmp_path: Path
) -> None:
    folder = coco_folder(tmp_path / "people")
    for number in range(4):
        folder.person(folder.image(f"{number}.jpg"), [3, 4, 20, 40])
    folder.write()
    command = ("train", "fit", "--real", "people", "--out", "run", *TINY, "--iterations", "1")
    outcome = inside(*command, "--losses", "none", "--json")
    assert outcome.code == 0, outcome.err
    assert "olp" not in outcome.document["losses"]
    refused = inside(*command, "--resume")
    assert refused.code == 2


def _damaged(kind: str, write_people: Callable[..., Path], root: Path) -> str:
    """Write a data set with one fault; return what must be said of it."""
    if kind == "nowhere":
        return f"cannot read data set {root}: no such folder"
    if kind == "no data set":
        root.mkdir()
        return f"{root} is no data set that is known"
    if kind == "nobody":
        write_people(root, labelled=False)
        return f"{root}: no person has an identity"
    write_people(root, pictures=2 if kind == "one frame" else 10, people=6)
    if kind == "cut mat":
        path = root / "frame_train.mat"
        path.write_bytes(path.read_bytes()[:200])
        return str(path)
    if kind == "picture":
        for path in (root / "frames").iterdir():
            path.write_bytes(path.read_bytes()[:300])
        return f"cannot read picture {root / 'frames'}"
    return f"{root}: "


@pytest.mark.parametrize("kind", ["nowhere", "no data set", "nobody", "cut mat", "picture"])
def test_bad_data_is_named_and_leaves_no_checkpoint(
    inside: Run, write_people: Callable[..., Path], tmp_path: Path, kind: str
) -> None:
    said = _damaged(kind, write_people, tmp_path / "set")
    outcome = inside("train", "fit", "--data", tmp_path / "set", "--out", "run", *TINY)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith("error: ")
    assert said in outcome.err
    assert not Path("run/checkpoint.safetensors").exists()


def test_identities_in_one_frame_only_are_named(
    inside: Run, write_people: Callable[..., Path], tmp_path: Path
) -> None:
    write_people(tmp_path / "set", pictures=1, people=3)
    outcome = inside("train", "fit", "--data", tmp_path / "set", "--out", "run", *TINY)
    assert outcome.code == 2
    assert f"{tmp_path / 'set'}: " in outcome.err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_first(
    start: Run, inside: Run, stripes: Path, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    command = ("train", "fit", "--data", stripes, "--out", "run", *TINY)
    with start(*command, "--iterations", "100000", "--set", "log_every=1") as process:
        wait_for_lines(tmp_path / "run" / "log.jsonl", process)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert "stopping: finishing what is on the way" in err
    assert "the same command with --resume goes on" in err
    assert "of 100000" in out
    reached = json.loads((tmp_path / "run" / "log.jsonl").read_text().splitlines()[-1])
    after = reached["iteration"] + 1
    more = inside(*command, "--iterations", str(after), "--resume", "--set", "log_every=1",
                  "--json")  # fmt: skip
    assert more.document["iterations"] == after, more.err


def wait_for_lines(log: Path, process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 100
    while not (log.exists() and log.read_text().count("\n") >= 2):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_under_torchrun_one_process_speaks(stripes: Path, tmp_path: Path) -> None:
    """The command of the manual, with two processes."""
    words = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "cli.main"]
    fit = ["train", "fit", "--data", str(stripes), "--out", "run", *TINY, "--iterations", "2"]
    done = subprocess.run(
        [sys.executable, *words, *fit, "--json"], cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["iterations"] == 2


def test_another_process_names_itself_in_errors_and_is_quiet(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("RANK", "3")
    output.note("hello")
    output.complain("the roof is off")
    assert capsys.readouterr().err == "error in process 3: the roof is off\n"
    monkeypatch.setenv("RANK", "0")
    output.note("hello")
    assert capsys.readouterr().err == "hello\n"
    assert not output.watched()
