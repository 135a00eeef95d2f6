"""Write tiny data sets on disk: CUHK-SYSU exactly as published, tattoos, COCO and MOTChallenge."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.io import savemat

from engines.pictures import write_picture

Xywh = tuple[int, int, int, int]
Listed = tuple[str, Xywh | None]
"""A gallery entry: a frame, and the person's box in it or None."""

HEIGHT, WIDTH = 48, 64


def picture(path: Path, grey: int = 99) -> None:
    """Write a grey picture of 64 x 48 pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_picture(path, np.full((HEIGHT, WIDTH, 3), grey, np.uint8))


def structures(rows: Sequence[Mapping[str, Any]], fields: Sequence[str]) -> NDArray[Any]:
    """Return MATLAB's (1, N) structure array."""
    array = np.empty((1, len(rows)), dtype=[(field, object) for field in fields])
    for number, row in enumerate(rows):
        array[0, number] = tuple(row[field] for field in fields)
    return array


def cells(values: Sequence[Any]) -> NDArray[Any]:
    """Return MATLAB's (N, 1) cell array."""
    column = np.empty((len(values), 1), dtype=object)
    for number, value in enumerate(values):
        column[number, 0] = value
    return column


def locate(box: Xywh | None) -> NDArray[Any]:
    """Return a box as the files hold it: uint16 (1, 4), or empty."""
    return np.zeros((0, 0)) if box is None else np.array([box], np.uint16)


def scene(name: str, box: Xywh | None, **more: Any) -> dict[str, Any]:
    """Return imname, idlocate, ishard and what else there is."""
    return {"imname": name, "idlocate": locate(box), "ishard": np.zeros((1, 1)), **more}


SCENE = ("imname", "idlocate", "ishard")


class CuhkFolder:
    """A data set in CUHK-SYSU's layout; the lists are written as they are given."""

    def __init__(self, root: Path, *, compressed: bool = True) -> None:
        self.root = root
        self.compressed = compressed
        self.annotation = root / "annotation"
        for folder in ("train_test", "subset"):
            (self.annotation / "test" / folder).mkdir(parents=True)
        (root / "Image" / "SSM").mkdir(parents=True)

    def save(self, file: str, variable: str, value: Any) -> None:
        """Write one variable below ``annotation``."""
        savemat(self.annotation / file, {variable: value}, do_compression=self.compressed)

    def path(self, name: str) -> Path:
        """Return where a picture lies."""
        return self.root / "Image" / "SSM" / name

    def images(self, boxes: Mapping[str, Sequence[Xywh]]) -> None:
        """Write the pictures and Images.mat."""
        rows = []
        for name, found in boxes.items():
            picture(self.path(name))
            people = [{"idlocate": locate(box), "ishard": np.zeros((1, 1))} for box in found]
            box = structures(people, ("idlocate", "ishard"))
            rows.append({"imname": name, "nAppear": np.array([[len(found)]], np.uint8), "box": box})
        self.save("Images.mat", "Img", structures(rows, ("imname", "nAppear", "box")))

    def pool(self, names: Sequence[str]) -> None:
        """Write the names of the test split."""
        self.save("pool.mat", "pool", cells(names))

    def train(self, people: Sequence[Sequence[tuple[str, Xywh]]]) -> None:
        """Write the scenes of each training identity."""
        entries = []
        for number, scenes in enumerate(people, 1):
            rows = structures([scene(name, box) for name, box in scenes], SCENE)
            entry = {"idname": f"p{number}", "nAppear": np.array([[len(scenes)]]), "scene": rows}
            entries.append(structures([entry], ("idname", "nAppear", "scene")))
        self.save("test/train_test/Train.mat", "Train", cells(entries))

    def queries(
        self,
        file: str,
        variable: str,
        queries: Sequence[tuple[str, Xywh, Sequence[Listed]]],
    ) -> None:
        """Write queries (frame, box, gallery) into a file below ``annotation/test``."""
        rows = []
        for number, (name, box, listed) in enumerate(queries, 1):
            head = structures([scene(name, box, idname=f"p{number}")], (*SCENE, "idname"))
            gallery = structures([scene(frame, found) for frame, found in listed], SCENE)
            rows.append({"Query": head, "Gallery": gallery})
        self.save(f"test/{file}", variable, structures(rows, ("Query", "Gallery")))


class TattooFolder:
    """Tattoos as CSV."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True)

    def split(self, split: str, lines: Sequence[str], *, header: str | None = None) -> None:
        """Write the CSV of a split and every picture that it names."""
        first = header or "image,class,x,y,w,h,role"
        (self.root / f"{split}.csv").write_text("\n".join([first, *lines]) + "\n", "utf-8")
        for line in lines:
            picture(self.root / split / line.split(",")[0])


class CocoFolder:
    """A COCO json and its pictures."""

    def __init__(self, root: Path, file: str = "annotations.json") -> None:
        self.path = root / file
        self.images: list[dict[str, Any]] = []
        self.annotations: list[dict[str, Any]] = []
        self.more: dict[str, Any] = {}

    def image(self, name: str, **fields: Any) -> int:
        """Add a picture; return its id."""
        number = len(self.images) + 1
        picture(self.path.parent / name)
        size = {"width": WIDTH, "height": HEIGHT}
        self.images.append({"id": number, "file_name": name, **size, **fields})
        return number

    def person(self, image: int, bbox: Any, **fields: Any) -> None:
        """Add an annotation to a picture."""
        number = len(self.annotations) + 100
        self.annotations.append({"id": number, "image_id": image, "bbox": bbox, **fields})

    def write(self) -> None:
        """Write the json."""
        content = {"images": self.images, "annotations": self.annotations, **self.more}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(content), "utf-8")


def mot_camera(folder: Path, rows: Sequence[str], frames: int) -> None:
    """Write one camera in MOTChallenge's layout, with pictures 1 to ``frames``."""
    (folder / "gt").mkdir(parents=True)
    (folder / "gt" / "gt.txt").write_text("".join(f"{row}\n" for row in rows), "utf-8")
    (folder / "seqinfo.ini").write_text(
        f"[Sequence]\nname={folder.name}\nimDir=img1\nframeRate=10\nseqLength={frames}\n"
        f"imWidth={WIDTH}\nimHeight={HEIGHT}\nimExt=.jpg\n",
        "utf-8",
    )
    for number in range(1, frames + 1):
        picture(folder / "img1" / f"{number:06d}.jpg")
