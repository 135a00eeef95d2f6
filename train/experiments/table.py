"""What an experiment is: rows, the figures published for them, and what each row trains.

Published figures are percentages by column (``map``, ``top1``, ``top5``, ``top10``), word for
word those of Zhang et al., TPAMI 2020. A column that a row lacks has no figure in its text.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

COLUMNS: Mapping[str, str] = {"map": "mAP", "top1": "top-1", "top5": "top-5", "top10": "top-10"}
"""Metrics by name, and how they are printed; in percent."""

ALL_IDENTITIES = 5532
"""Size of the priority pool in Table 7 that stands for every identity of CUHK-SYSU."""


@dataclass(frozen=True, slots=True)
class Training:
    """What one row trains, in the paper's own quantities; None is the preset's value.

    ``dictionary`` counts minibatches of RoIs (Table 6: 20, 40 or 60 times 128), ``pool`` the
    identities of the priority pool (Table 7), ``frames`` the pictures an iteration (Table 8).
    """

    model: str = "dc-i-net"
    backbone: str | None = None
    losses: str | None = None
    dictionary: int | None = None
    pool: int | None = None
    frames: int | None = None
    alpha: float | None = None
    beta: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """A row: a system that others published (``training`` is None), or one that is trained here.

    ``boxes`` and ``query`` tell what of the test split is embedded (`train.evaluation.embed`);
    ``at`` is where the row stands on the axis of a figure; ``ours`` marks a row that the
    paper's table does not have.
    """

    label: str
    published: Mapping[str, float] = field(default_factory=dict)
    training: Training | None = None
    boxes: str = "detections"
    query: str = "box"
    at: float | None = None
    ours: bool = False


Figure = Literal["gallery", "training", "weights"]


@dataclass(frozen=True, slots=True)
class Table:
    """A table or figure of the paper.

    ``columns`` are those printed; ``figures`` the curves drawn from the rows: scores by size of
    the ``gallery``, by iteration of the ``training``, or by the loss ``weights`` of the rows.
    ``remarks`` stand below the table.
    """

    name: str
    title: str
    data: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    figures: tuple[Figure, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def trained(self) -> tuple[Row, ...]:
        """The rows that are trained here."""
        return tuple(row for row in self.rows if row.training is not None)


def published(*values: float | None) -> dict[str, float]:
    """Return percentages by column, in the order mAP, top-1, top-5, top-10; None has no figure."""
    return {name: value for name, value in zip(COLUMNS, values, strict=False) if value is not None}
