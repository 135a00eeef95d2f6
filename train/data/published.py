"""Counts that data sets were published with, to tell what differs in a copy."""

from collections.abc import Iterator, Mapping
from pathlib import Path

Counts = Mapping[str, Mapping[str, float]]
"""For each split, for each thing counted, how many."""

BOTH = "train and test"

PUBLISHED: Mapping[str, Counts] = {
    "cuhk-sysu": {
        "train": {"frames": 11206, "identities": 5532},
        "test": {"frames": 6978, "identities": 2900, "queries": 2900},
        BOTH: {"boxes": 96143},
    },
    "prw": {
        "train": {"frames": 5704, "identities": 483},
        "test": {"frames": 6112, "identities": 450, "queries": 2057},
        BOTH: {"boxes": 43110},
    },
    "webtattoo": {
        "train": {"frames": 1428, "identities": 400},
        "test": {"frames": 755, "identities": 200, "queries": 200, "gallery": 355},
    },
}
"""By layout. WebTattoo's are those of the DC-I-Net paper, section 5.1.4."""

_SYNTHETIC = "world.json"


def differences(root: Path, layout: str, counts: Counts) -> Iterator[str]:
    """Yield what differs from the published counts, if the folder claims to be that set.

    A folder in PRW's layout with a ``world.json`` is a synthetic world, and claims nothing.
    """
    if layout not in PUBLISHED or (root / _SYNTHETIC).is_file():
        return
    for split, expected in PUBLISHED[layout].items():
        for field, number in expected.items():
            found = _count(counts, split, field)
            if found != number:
                yield f"{split} {field}: {found:g}, published with {number:g}"


def _count(counts: Counts, split: str, field: str) -> float:
    splits = counts.values() if split == BOTH else [counts.get(split, {})]
    return sum(one.get(field, 0) for one in splits)
