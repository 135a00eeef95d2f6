"""The tables as data: published figures as printed, and settings that every preset can train."""

import subprocess
import sys
from pathlib import Path

import pytest

from train.errors import ConfigError
from train.experiments.settings import SCALES, Setting, plan_run, unique
from train.experiments.table import ALL_IDENTITIES, COLUMNS, Row, Table, Training
from train.experiments.tables import TABLES, table

TRAINED = {
    "1": 6, "2": 4, "3": 6, "4": 4, "5": 8, "6": 6, "7": 4, "8": 6, "fig12": 5, "fig13": 12,
}  # fmt: skip


def setting(preset: str, **overrides: object) -> Setting:
    return Setting(preset, (Path("data"),), "digest", 96, overrides)


def row(name: str, label: str) -> Row:
    return next(row for row in TABLES[name].rows if row.label == label)


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("preset", SCALES)
def test_every_row_makes_a_run_with_every_preset(name: str, preset: str) -> None:
    plans = [
        plan_run(row.training, seed, setting(preset), Path("runs"))
        for row in TABLES[name].trained
        for seed in (0, 1)
        if row.training is not None
    ]
    assert len(plans) == 2 * TRAINED[name]
    assert all(plan.config.out == Path("runs") / plan.key for plan in plans)
    assert len({plan.key for plan in plans}) % 2 == 0  # no seed shares a run with another


@pytest.mark.parametrize("chosen", TABLES.values(), ids=TABLES)
def test_published_figures_are_percentages_of_printed_columns(chosen: Table) -> None:
    for found in chosen.rows:
        assert found.published.keys() <= COLUMNS.keys()
        assert all(0 < value < 100 for value in found.published.values())
        assert found.published or found.training is not None
    assert len({found.label for found in chosen.rows}) == len(chosen.rows)


def test_some_published_figures_word_for_word() -> None:
    assert row("1", "GT: IDNet").published == {"map": 73.1, "top1": 78.3}
    assert row("2", "DC-I-Net (ResNet-50)").published == {"map": 31.8, "top1": 55.1}
    assert list(row("3", "with detection: DC-I-Net").published.values()) == [48.5, 51.0, 66.5, 71.5]
    assert list(row("5", "Triplet + HEP").published.values()) == [67.8, 69.6, 87.6, 92.2]
    assert list(row("7", "all 5532").published.values()) == [82.9, 83.7, 93.8, 95.6]
    assert row("8", "Contrastive, 8 pictures").published == {"map": 60.4, "top1": 60.7}
    assert row("6", "OLP only, 60 x 128").published == {"map": 81.8, "top1": 83.4}


def test_paper_settings_are_the_papers() -> None:
    paper = setting("paper")
    runs = Path("runs")

    def config(name: str, label: str):  # type: ignore[no-untyped-def]
        training = row(name, label).training
        assert training is not None
        return plan_run(training, 0, paper, runs).config

    smaller = config("6", "OLP only, 20 x 128")
    assert (smaller.loss.dictionary, smaller.loss.losses) == (20 * 128, ("olp",))
    assert config("7", "1000").loss.pool_size == 1000
    assert config("7", "all 5532").loss.pool_size == 96  # every identity of this data
    assert config("8", "Contrastive, 8 pictures").pairs == 4
    assert config("fig13", "beta = 0.25").loss.weight("c2hep") == 0.25
    assert config("fig13", "alpha = 1.5").loss.weight("olp") == 1.5
    first = config("1", "I-Net")
    assert (first.network.model, first.network.backbone) == ("i-net", "vgg16")
    assert first.loss.losses == ("olp", "hep")
    assert (first.iterations, first.lr, first.init) == (70_000, 0.001, "imagenet")


def test_the_same_settings_are_one_run_in_every_table() -> None:
    keys = {
        plan_run(training, 0, setting("paper"), Path("runs")).key
        for name, label in [
            ("1", "DC-I-Net (VGG16)"), ("4", "DC-I-Net"), ("5", "OLP + C2HEP"), ("7", "100"),
            ("6", "OLP + C2HEP, 40 x 128"), ("fig13", "alpha = 1"), ("fig12", "DC-I-Net"),
        ]
        if (training := row(name, label).training) is not None
    }  # fmt: skip
    assert len(keys) == 1


def test_a_run_is_known_by_what_it_learns_not_by_where_it_lies() -> None:
    training = Training()
    here = plan_run(training, 0, setting("tiny"), Path("runs"))
    moved = Setting("tiny", (Path("elsewhere"),), "digest", 96, device="cpu")
    assert plan_run(training, 0, moved, Path("other")).config.device == "cpu"
    assert plan_run(training, 0, moved, Path("other")).key == here.key
    for other in (
        plan_run(training, 1, setting("tiny"), Path("runs")),
        plan_run(training, 0, setting("tiny", lr=0.5), Path("runs")),
        plan_run(training, 0, setting("tiny", start_iterations=7), Path("runs")),
        plan_run(Training(losses="olp"), 0, setting("tiny"), Path("runs")),
        plan_run(training, 0, Setting("tiny", (Path("data"),), "changed", 96), Path("runs")),
    ):
        assert other.key != here.key


def test_all_rows_of_a_network_begin_from_one_start() -> None:
    trainings = [Training(losses=losses) for losses in ("olp", "c2hep", "contrastive")]
    plans = [plan_run(t, seed, setting("tiny"), Path("r")) for t in trainings for seed in (0, 1)]
    once = unique(plans)
    assert len(once) == 7
    assert once[0].config.loss.losses == ("softmax",)
    assert all(plan.config.init == str(once[0].config.out) for plan in once[1:])
    assert plan_run(Training(), 0, setting("tiny", start_iterations=0), Path("r")).start is None


def test_a_pool_of_all_identities_follows_the_data() -> None:
    plan = plan_run(Training(pool=ALL_IDENTITIES), 0, setting("tiny"), Path("r"))
    assert plan.config.loss.pool_size == 96


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"losses": "oim"}, "a table decides losses: they cannot be overridden"),
        ({"seed": 3, "model": "oim"}, "a table decides model, seed"),
        ({"no_such": 1}, "unknown training setting 'no_such'"),
        ({"lr": -1.0}, "settings of preset 'tiny' do not fit"),
    ],
)
def test_overrides_that_do_not_fit(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        plan_run(Training(), 0, setting("tiny", **changes), Path("runs"))


def test_unknown_names() -> None:
    with pytest.raises(ConfigError, match="no table '9'; there are 1, 2, 3"):
        table("9")
    with pytest.raises(ConfigError, match="no preset 'large' for experiments; there are paper"):
        setting("large")
    with pytest.raises(ConfigError, match="preset 'paper' has no common start"):
        plan_run(Training(), 0, setting("paper", start_iterations=5), Path("runs"))


def test_the_tables_are_there_without_torch() -> None:
    program = "import sys, train.experiments.tables; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
