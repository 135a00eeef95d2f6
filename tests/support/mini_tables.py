"""Tables of two rows, and settings that train a row in a second."""

from typing import Any

from train.experiments.table import Row, Table, Training, published

SMALL: dict[str, Any] = {
    "width": 0.125, "input_hw": (96, 160), "rpn_channels": 16, "pre_nms": 64, "proposals": 24,
    "max_persons": 8, "rois": 16, "dictionary": 64, "iterations": 4, "start_iterations": 3,
    "detection_pool_hw": (4, 2), "reid_pool_hw": (4, 2),
    "save_every": 1, "warmup": 0, "pairs": 1,
}  # fmt: skip
MINI = Table(
    name="mini",
    title="Two rows",
    data="CUHK-SYSU",
    columns=("map", "top1"),
    rows=(
        Row("another's", published(12.3, 45.6)),
        Row("olp", published(81.3, 82.9), Training(losses="olp")),
        Row("contrastive", training=Training(losses="contrastive"), ours=True),
    ),
)
CURVES = Table(
    name="figmini",
    title="Curves",
    data="CUHK-SYSU",
    columns=("map",),
    rows=(
        Row("alpha = 1", published(83.7), Training(alpha=1.0), at=1.0),
        Row("alpha = 0.5", training=Training(alpha=0.5), at=0.5),
    ),
    figures=("gallery", "training", "weights"),
)
