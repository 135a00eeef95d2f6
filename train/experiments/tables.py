"""All tables and figures of Zhang et al., TPAMI 2020, that can be run, by name."""

from collections.abc import Mapping
from dataclasses import replace

from train.errors import ConfigError
from train.experiments.ablations import (
    DC_HEP,
    I_NET_C2HEP,
    TABLE_4,
    TABLE_5,
    TABLE_6,
    TABLE_7,
    TABLE_8,
)
from train.experiments.systems import DC_VGG, I_NET, OIM, TABLE_1, TABLE_2, TABLE_3
from train.experiments.table import Row, Table, Training, published

WEIGHTS = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5)
"""Values of alpha and of beta in Fig. 13."""

FIGURE_12 = Table(
    name="fig12",
    title="Scores by size of the gallery, and by iteration of the training",
    data="CUHK-SYSU",
    columns=("map", "top1"),
    rows=(
        Row("DC-I-Net", published(83.7, 85.8), DC_VGG),
        Row("DC-I-Net (HEP)", published(81.0, 83.0), DC_HEP),
        Row("I-Net (C2HEP)", published(80.9, 83.4), I_NET_C2HEP),
        Row("I-Net", published(79.5, 81.5), I_NET),
        Row("OIM", published(75.5, 78.7), OIM),
    ),
    figures=("gallery", "training"),
    remarks=("The paper prints these curves without numbers; the figures are Tables 1 and 4.",),
)


def _weight(name: str, value: float, training: Training) -> Row:
    figures = published(83.7, 85.8) if value == 1 else {}
    return Row(f"{name} = {value:g}", figures, training, at=value)


FIGURE_13 = Table(
    name="fig13",
    title="Weights of OLP (alpha) and of C2HEP (beta)",
    data="CUHK-SYSU",
    columns=("map", "top1"),
    rows=(
        *(_weight("alpha", value, replace(DC_VGG, alpha=value)) for value in WEIGHTS),
        *(_weight("beta", value, replace(DC_VGG, beta=value)) for value in WEIGHTS),
    ),
    figures=("weights",),
    remarks=("The paper prints these curves without numbers; at 1 the network is Table 5's last.",),
)

TABLES: Mapping[str, Table] = {
    table.name: table
    for table in (
        TABLE_1, TABLE_2, TABLE_3, TABLE_4, TABLE_5, TABLE_6, TABLE_7, TABLE_8,
        FIGURE_12, FIGURE_13,
    )
}  # fmt: skip


def table(name: str) -> Table:
    """Return a table by name.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in TABLES:
        raise ConfigError(f"no table {name!r}; there are {', '.join(TABLES)}")
    return TABLES[name]
