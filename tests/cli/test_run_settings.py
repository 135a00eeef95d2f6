"""Settings of a training run: options, ``--set``, and what is said about wrong ones."""

from pathlib import Path
from typing import Any

import pytest

from cli.errors import CliError
from cli.fitting import mixed
from cli.runsettings import parse_settings, settle
from train.config import FitConfig
from train.errors import ConfigError


def settled(*pairs: str, preset: str = "tiny", **options: Any) -> FitConfig:
    return settle(preset, [Path("data")], Path("run"), options, pairs)


def test_settings_of_a_run_are_json_or_text() -> None:
    assert parse_settings(["lr=0.5", "init=imagenet", "amp=true", "input_hw=[96, 160]"]) == {
        "lr": 0.5, "init": "imagenet", "amp": True, "input_hw": [96, 160],
    }  # fmt: skip


@pytest.mark.parametrize("pair", ["lr", "=3", "lr="])
def test_a_setting_without_name_or_value_is_refused(pair: str) -> None:
    with pytest.raises(CliError, match="want NAME=VALUE"):
        parse_settings([pair])


def test_options_and_set_change_the_preset() -> None:
    config = settled("lr=0.5", "dim=64", losses="olp+hep", model="i-net", backbone=None, seed=4)
    assert (config.lr, config.network.dim, config.seed) == (0.5, 64, 4)
    assert (config.network.model, config.loss.losses) == ("i-net", ("olp", "hep"))
    assert config.network.backbone == "resnet18"


def test_set_reaches_a_setting_that_has_an_option() -> None:
    assert settled("backbone=resnet34", backbone=None).network.backbone == "resnet34"


@pytest.mark.parametrize(
    ("pairs", "options", "said"),
    [
        (["lr=1", "lr=2"], {}, "--set: lr is given twice"),
        (["backbone=vgg16"], {"backbone": "resnet50"}, "given twice, by --backbone too"),
        (["people=x"], {"people": Path("y")}, "people is given twice, by --real too"),
        (["out=x"], {}, "--set: out is no setting of its own; use --out"),
        (["network=3"], {}, "--set: network is no setting of its own"),
        ([], {"losses": "olp+foo"}, "--losses: input should be .* 'contrastive' .got 'foo'."),
        ([], {"losses": "olp+olp"}, r"a loss is named twice: olp\+olp"),
        ([], {"backbone": "foo"}, "unknown backbone 'foo'; there are resnet18"),
        (["lr=-1"], {}, r"--set lr: input should be greater than 0 \(got -1\)"),
        (["dim=2", "proposals=0"], {}, "--set proposals: .*\n--set dim|--set dim: .*\n--set prop"),
        ([], {"init": "imagnet"}, "--init: imagnet is none of none, imagenet, coco, and no run"),
    ],
)
def test_what_does_not_fit_is_told_by_its_option(
    pairs: list[str], options: dict[str, Any], said: str
) -> None:
    with pytest.raises(CliError, match=said) as caught:
        settled(*pairs, **options)
    assert "pydantic" not in str(caught.value)


@pytest.mark.parametrize(
    ("pairs", "options", "said"),
    [
        (["speed=3"], {}, "unknown training setting 'speed'"),
        ([], {"model": "x"}, "unknown model 'x'; there are dc-i-net"),
        ([], {"preset": "tyni"}, "unknown preset 'tyni'; there are paper, strong, small, tiny"),
    ],
)
def test_names_that_do_not_exist(pairs: list[str], options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        settled(*pairs, **options)


@pytest.mark.parametrize(("pairs", "share"), [(1, 1 / 3), (2, 0.2), (4, 0.2)])
def test_real_pictures_are_a_fifth_and_one_at_least(pairs: int, share: float) -> None:
    config = mixed(settled(people=Path("people"), pairs=pairs))
    assert config.people_share == pytest.approx(share)
    assert round(2 * pairs * share / (1 - share)) >= 1


def test_a_share_of_real_pictures_that_is_none_is_refused() -> None:
    with pytest.raises(CliError, match=r"0\.1 is not one picture beside the 2 frames"):
        mixed(settled(people=Path("people"), people_share=0.1, pairs=1))
    with pytest.raises(CliError, match="--real-share: belongs to --real"):
        mixed(settled(people_share=0.1))


def test_nothing_to_train_on_is_refused() -> None:
    with pytest.raises(CliError, match="--data DIR, or --real DIR with --losses none"):
        mixed(settle("tiny", [], Path("run"), {}, []))
