"""``sightline train init`` and ``train export``: engine bundles from weights."""

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="training needs the extra train")

Run = Callable[..., Any]
FIT = ("--preset", "tiny", "--device", "cpu", "--iterations", "1")


@pytest.fixture
def run(inside: Run, write_people: Callable[..., Path], tmp_path: Path) -> Path:
    """A run of one iteration, with real pictures mixed in."""
    data = write_people(tmp_path / "set")
    assert inside("train", "fit", "--data", data, "--out", "run", *FIT).code == 0
    return tmp_path / "run"


@pytest.mark.timeout(300)
def test_export_states_how_the_engine_was_made(
    inside: Run, run: Path, world: Path, tmp_path: Path
) -> None:
    export = ("train", "export", run, "b", "--calibrate", world, "--score", world, "--json")
    done = inside(*export, "--size", "112", "192", "--made-by", "sightline train fit")
    assert done.code == 0, done.err
    engine = inside("engine", "info", "b", "--json").document
    assert (engine["model"], engine["input_hw"]) == (done.document["model"], [112, 192])
    assert (engine["training"]["iterations"], engine["training"]["command"]) == (
        1, "sightline train fit",
    )  # fmt: skip
    assert engine["training"]["calibration"]["data"] == [world.name]
    assert engine["metrics"] == done.document["metrics"]
    assert engine["metrics"][world.name]["search"]["queries"] > 0
    taken = inside(*export)
    assert (taken.code, taken.out) == (4, "")
    assert "the folder is not empty" in taken.err


def test_export_takes_a_checkpoint_and_names_what_is_wrong(
    inside: Run, run: Path, tmp_path: Path
) -> None:
    odd = inside("train", "export", run, "c", "--size", "100", "192")
    assert odd.code == 2
    assert "multiples of 16" in odd.err
    assert not (tmp_path / "c").exists()
    nothing = inside("train", "export", "nowhere", "c")
    assert nothing.code == 2
    assert "no checkpoint nowhere/checkpoint.safetensors" in nothing.err
    whole = (run / "checkpoint.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(whole[: len(whole) // 2])
    cut = inside("train", "export", "cut.safetensors", "c")
    assert cut.code == 2
    assert "cut.safetensors is not a whole checkpoint" in cut.err


@pytest.mark.timeout(300)
def test_export_credits_the_real_pictures(
    inside: Run, coco_folder: Any, write_people: Callable[..., Path], tmp_path: Path
) -> None:
    folder = coco_folder(tmp_path / "people")
    picture = folder.image("a.jpg", license="CC BY 2.0", source="somebody")
    folder.person(picture, [3, 4, 20, 40])
    folder.write()
    data = write_people(tmp_path / "set")
    fit = ("train", "fit", "--data", data, "--real", "people", "--out", "run", *FIT)
    assert inside(*fit, "--model", "oim").code == 0
    export = ("train", "export", "run/checkpoint.safetensors", "b", "--calibrate-people", "people")
    assert inside(*export).code == 0
    engine = inside("engine", "info", "b", "--json").document
    assert engine["training"]["calibration"]["data"] == ["people"]
    assert engine["attributions"] == ["a.jpg: somebody, CC BY 2.0"]


def test_init_without_a_network_says_what_to_do(
    inside: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    outcome = inside("train", "init", "b", "--backbone", "mobilenet_v3_large_fpn")
    assert (outcome.code, outcome.out) == (2, "")
    assert "no route to host; without a network, fetch the file elsewhere" in outcome.err
    assert str(tmp_path / "cache") in outcome.err
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--weights", "imagenet"], "weights 'imagenet' hold no detector"),
        (["--backbone", "vgg16"], "vgg16"),
        (["--file", "nowhere.pth"], "nowhere.pth"),
    ],
)
def test_init_names_what_is_wrong(inside: Run, options: list[str], said: str) -> None:
    outcome = inside("train", "init", "b", *options)
    assert (outcome.code, outcome.out) == (2, "")
    assert said in outcome.err
    assert not Path("b").exists()
