"""Read real pictures of people without identities, in COCO form, to mix into training.

``annotations.json`` beside the pictures: ``images`` (file_name, width, height, license, and where
it came from) and ``annotations`` (image_id, bbox x y w h, iscrowd). ``iscrowd: 1`` marks an
ignore region: neither person nor background.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from train.data.records import UNLABELLED, ImageRecord
from train.errors import DatasetError

IGNORED = -3
"""Identity of a region that must train neither as a person nor as background."""


@dataclass(frozen=True, slots=True)
class PeoplePictures:
    """Pictures with boxes, and one line of attribution for each licence and source."""

    images: tuple[ImageRecord, ...]
    attributions: tuple[str, ...]


def load_people(root: Path) -> PeoplePictures:
    """Return the pictures of a folder with ``annotations.json``.

    Raises:
        DatasetError: a file is missing, is not JSON, or lacks a field; the message names it.
    """
    path = root / "annotations.json"
    content = _read_json(path)
    try:
        rows: dict[int, list[dict[str, Any]]] = {entry["id"]: [] for entry in content["images"]}
        for annotation in content["annotations"]:
            rows[annotation["image_id"]].append(annotation)
        images = tuple(_image(root, entry, rows[entry["id"]]) for entry in content["images"])
        lines = sorted({_attribution(entry) for entry in content["images"]})
    except (KeyError, TypeError) as error:
        raise DatasetError(f"{path}: missing or wrong field {error}") from error
    return PeoplePictures(images, tuple(lines))


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DatasetError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise DatasetError(f"{path} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise DatasetError(f"{path}: want an object with images and annotations")
    return content


def _image(root: Path, entry: dict[str, Any], rows: list[dict[str, Any]]) -> ImageRecord:
    path = root / entry["file_name"]
    if not path.is_file():
        raise DatasetError(f"{root / 'annotations.json'}: no such picture {path}")
    boxes = np.array([r["bbox"] for r in rows], np.float32).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    ids = np.array([IGNORED if r.get("iscrowd") else UNLABELLED for r in rows], np.int64)
    return ImageRecord(path, entry["file_name"], 0, boxes, ids)


def _attribution(entry: dict[str, Any]) -> str:
    where = entry.get("flickr_url") or entry.get("source_url") or entry.get("source_path", "")
    return f"{entry['file_name']}: {entry['source']}, {entry['license']}, {where}".rstrip(", ")
