"""Find out which layout a data set has, by what lies in its folder, and read it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from train.data import coco, cuhk, mot_set, people, prw, tattoo
from train.data.cocofile import read_json
from train.data.faults import STRICT, FaultError, Faults
from train.data.records import SPLITS, PersonSearchSet
from train.errors import DatasetError

PEOPLE = "people"
"""Pictures of people without identities, for the detector: no person-search set."""


@dataclass(frozen=True, slots=True)
class Layout:
    """``marks``: what lies in the folder (glob patterns), any one of which tells the layout."""

    name: str
    title: str
    marks: tuple[str, ...]
    read: Callable[[Path, str, Faults], PersonSearchSet]


LAYOUTS: tuple[Layout, ...] = (
    Layout(
        "cuhk-sysu",
        "CUHK-SYSU",
        ("annotation/Images.mat", "annotation/pool.mat", "Image/SSM"),
        cuhk.read_cuhk,
    ),
    Layout(
        "prw",
        "PRW, and synthetic worlds",
        ("frame_train.mat", "frame_test.mat", "query_info.txt"),
        prw.read_prw,
    ),
    Layout("webtattoo", "WebTattoo as CSV", ("train.csv", "test.csv"), tattoo.read_tattoo),
    Layout(
        "coco",
        "COCO json with identities",
        ("annotations.json", "train/annotations.json", "test/annotations.json"),
        coco.read_coco_set,
    ),
    Layout(
        "motchallenge",
        "MOTChallenge folders of several cameras",
        ("train/*/gt/gt.txt", "test/*/gt/gt.txt"),
        mot_set.read_mot_set,
    ),
)


def set_layout(root: Path) -> str:
    """Return the layout of a data set: a name of `LAYOUTS`, or `PEOPLE`.

    Raises:
        DatasetError: there is no such folder, nothing in it tells the layout, or more than one
            layout is there.
    """
    if not root.is_dir():
        raise DatasetError(f"cannot read data set {root}: no such folder")
    found = [layout for layout in LAYOUTS if _is_there(root, layout)]
    if not found:
        looked = "; ".join(f"{layout.title}: {' or '.join(layout.marks)}" for layout in LAYOUTS)
        raise DatasetError(f"{root} is no data set that is known; looked for {looked}")
    if len(found) > 1:
        names = " and ".join(layout.title for layout in found)
        raise DatasetError(f"{root} looks like {names}: keep one data set to a folder")
    return PEOPLE if _holds_people(root, found[0]) else found[0].name


def _is_there(root: Path, layout: Layout) -> bool:
    return any(next(root.glob(mark), None) is not None for mark in layout.marks)


def _holds_people(root: Path, layout: Layout) -> bool:
    """Tell whether a COCO json in the root is one without splits."""
    path = root / people.FILE
    if layout.read is not coco.read_coco_set or not path.is_file():
        return False
    try:
        images = read_json(path).get("images")
    except FaultError:
        return False
    return isinstance(images, list) and not any(
        isinstance(image, dict) and "split" in image for image in images
    )


def load_set(root: Path, split: str, *, gallery: str | None = None) -> PersonSearchSet:
    """Return the split ``"train"`` or ``"test"`` of a data set of any known layout.

    ``gallery`` is one of `train.data.cuhk.GALLERIES`, and for CUHK-SYSU alone; None stands for
    ``DEFAULT_GALLERY`` there.

    Raises:
        DatasetError: as `set_layout`; no such split or gallery; a file is missing or damaged.
    """
    return read_set(root, split, STRICT, gallery=gallery)


def read_set(
    root: Path, split: str, faults: Faults, *, gallery: str | None = None
) -> PersonSearchSet:
    """Return a split as `load_set` does; what is wrong goes to ``faults``."""
    if split not in SPLITS:
        raise DatasetError(f"{root}: no split {split!r}: choose {' or '.join(SPLITS)}")
    name = set_layout(root)
    if name == PEOPLE:
        text = "pictures of people without identities, images have no field split"
        raise DatasetError(f"{root / people.FILE}: {text}: they train the detector alone")
    if name == "cuhk-sysu":
        return cuhk.read_cuhk(root, split, faults, gallery=gallery or cuhk.DEFAULT_GALLERY)
    if gallery is not None:
        raise DatasetError(f"{root}: gallery {gallery!r} belongs to CUHK-SYSU, this is {name}")
    return next(layout for layout in LAYOUTS if layout.name == name).read(root, split, faults)
