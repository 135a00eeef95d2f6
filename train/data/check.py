"""Check a data set before anything is trained on it: all faults at once, counts, differences.

The readers of `train.data.sets` do the reading, and collect what loading would stop at.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from train.data import cuhk, people
from train.data.check_pictures import PictureCheck
from train.data.check_rules import (
    counts_of,
    pairing_faults,
    pairing_notes,
    picture_counts,
    query_faults,
    query_notes,
    shared_identities,
)
from train.data.faults import Fault, FaultError, FaultList, NoSplitError
from train.data.published import Counts, differences
from train.data.records import SPLITS, ImageRecord, PersonSearchSet
from train.data.sets import PEOPLE, read_set, set_layout
from train.errors import DatasetError

CUHK = "cuhk-sysu"


@dataclass(frozen=True, slots=True)
class CheckProgress:
    """``done`` of ``total`` in this stage: "reading train", "pictures" and so on."""

    stage: str
    done: int
    total: int


Progress = Callable[[CheckProgress], None]


@dataclass(frozen=True, slots=True)
class CheckReport:
    """``counts`` by split; ``faults`` must be mended, ``notes`` are good to know."""

    root: Path
    layout: str
    counts: Counts
    faults: tuple[Fault, ...]
    notes: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether there are no faults."""
        return not self.faults

    def as_json(self) -> dict[str, Any]:
        """Return the report in plain types."""
        return {
            "root": str(self.root),
            "layout": self.layout,
            "ok": self.ok,
            "counts": {split: dict(found) for split, found in self.counts.items()},
            "faults": [{**asdict(fault), "file": str(fault.file)} for fault in self.faults],
            "notes": list(self.notes),
        }


def check_set(root: Path, *, pixels: bool = False, progress: Progress | None = None) -> CheckReport:
    """Read both splits of a data set and list all that is wrong with it.

    Of each picture the header is read; ``pixels`` decodes the pictures whole, which takes far
    longer and alone finds one that is cut short.

    Raises:
        DatasetError: there is no such folder, or nothing in it tells the layout.
    """
    check = _Check(root, set_layout(root), pixels, progress or (lambda _: None))
    check.run()
    return check.report()


class _Check:
    """Gathers the report on one data set."""

    def __init__(self, root: Path, layout: str, pixels: bool, progress: Progress) -> None:
        self._root, self._layout, self._progress = root, layout, progress
        self._found = FaultList()
        self._pictures = PictureCheck(pixels=pixels)
        self._counts: dict[str, dict[str, float]] = {}
        self._notes: list[str] = []
        self._missing: list[str] = []

    def run(self) -> None:
        """Read everything and apply the rules."""
        if self._layout == PEOPLE:
            self._check_people()
        else:
            self._check_splits()
        self._pictures.compare(self._found.claims)

    def report(self) -> CheckReport:
        """Return what was found, each fault once."""
        if over := self._pictures.over_edge:
            self._notes.append(f"{over} boxes reach over the edge of their picture")
        if self._layout != PEOPLE:
            self._notes += differences(self._root, self._layout, self._counts)
        faults = dict.fromkeys([*self._found.found, *self._pictures.faults])
        notes = [*_summed(self._found.remarks), *self._notes]
        return CheckReport(self._root, self._layout, self._counts, tuple(faults), tuple(notes))

    def _check_people(self) -> None:
        found = self._found.take(lambda: people.read_people(self._root, self._found))
        images = found.images if found is not None else ()
        self._counts["all"] = picture_counts(images)
        self._look("pictures", images)
        if found is not None and not images:
            self._found.flaw(self._root / people.FILE, "images", "no pictures")

    def _check_splits(self) -> None:
        gallery = self._first_gallery() if self._layout == CUHK else None
        train = self._read("train")
        test = self._read("test", gallery)
        if train is not None:
            self._found.found += pairing_faults(train)
            self._notes += pairing_notes(train)
        if test is not None:
            self._found.found += query_faults(test)
            self._notes += query_notes(test)
        if train is not None and test is not None and self._layout != CUHK:
            self._found.found += shared_identities(self._root, train, test)
        if gallery is not None:
            self._check_galleries(gallery)
        self._check_missing()

    def _read(self, split: str, gallery: str | None = None) -> PersonSearchSet | None:
        """Return a split, counted and its pictures looked at."""
        data = self._read_quietly(split, gallery)
        if data is not None:
            self._counts[split] = counts_of(data)
            self._look(f"{split} pictures", data.images)
        return data

    def _read_quietly(self, split: str, gallery: str | None = None) -> PersonSearchSet | None:
        self._progress(CheckProgress(f"reading {split} {gallery or ''}".strip(), 0, 1))
        try:
            return read_set(self._root, split, self._found, gallery=gallery)
        except NoSplitError as error:
            self._missing.append(f"no {split} split ({error})")
        except FaultError as error:
            self._found.found.append(error.fault)
        except DatasetError as error:
            self._found.flaw(self._root, "", str(error))
        return None

    def _look(self, stage: str, images: Sequence[ImageRecord]) -> None:
        def step(done: int, total: int) -> None:
            self._progress(CheckProgress(stage, done, total))

        self._pictures.look(images, step)

    def _first_gallery(self) -> str:
        """Return the gallery by which CUHK-SYSU's test split is counted."""
        there = [name for name in cuhk.GALLERIES if cuhk.gallery_file(self._root, name).is_file()]
        return cuhk.DEFAULT_GALLERY if cuhk.DEFAULT_GALLERY in there or not there else there[0]

    def _check_galleries(self, known: str) -> None:
        """Read the other galleries of CUHK-SYSU."""
        known_file = cuhk.gallery_file(self._root, known)
        for name in cuhk.GALLERIES:
            file = cuhk.gallery_file(self._root, name)
            if not file.is_file():
                self._notes.append(f"gallery {name} cannot be scored: no such file {file}")
            elif file != known_file and name != "all":
                data = self._read_quietly("test", name)
                self._found.found += query_faults(data) if data is not None else ()

    def _check_missing(self) -> None:
        """A set may have one split alone, but not none."""
        if len(self._missing) == len(SPLITS):
            self._found.flaw(self._root, "", "; ".join(self._missing))
        else:
            self._notes += self._missing


def _summed(remarks: Sequence[Fault]) -> list[str]:
    """Return one line for all remarks of a kind in a file."""
    ordered = sorted(dict.fromkeys(remarks), key=lambda r: (str(r.file), r.text))
    lines = []
    for (file, text), group in groupby(ordered, key=lambda r: (r.file, r.text)):
        places = [remark.where for remark in group]
        times = f"{len(places)} times, first " if len(places) > 1 else ""
        lines.append(f"{file}: {text} ({times}{places[0]})")
    return lines
