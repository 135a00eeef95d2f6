"""Read real pictures of people without identities, in COCO form, to mix into training.

``annotations.json`` beside the pictures, as `train.data.cocofile` reads it; ``iscrowd: 1`` marks
an ignore region. Whether a picture can be decoded shows when it is read. An image may say where
it is from: ``license``, ``source``, and a ``flickr_url``, ``source_url`` or ``source_path``.
"""

from dataclasses import dataclass
from pathlib import Path

from train.data.cocofile import CocoPicture, Fields, read_coco
from train.data.faults import STRICT, Faults
from train.data.records import IGNORED, UNLABELLED, ImageRecord, record_of

__all__ = ["FILE", "IGNORED", "PeoplePictures", "load_people", "read_people"]

FILE = "annotations.json"

_CAMERA = 0


@dataclass(frozen=True, slots=True)
class PeoplePictures:
    """Pictures with boxes, and one line of attribution for each that tells its licence."""

    images: tuple[ImageRecord, ...]
    attributions: tuple[str, ...]


def load_people(root: Path) -> PeoplePictures:
    """Return the pictures of a folder with ``annotations.json``.

    Raises:
        DatasetError: a file is missing, is not JSON, or an entry of it cannot be used; the
            message names the entry.
    """
    return read_people(root, STRICT)


def read_people(root: Path, faults: Faults) -> PeoplePictures:
    """Return the pictures as `load_people` does; what is wrong goes to ``faults``."""
    pictures = read_coco(root / FILE, faults)
    lines = {line for picture in pictures if (line := _attribution(picture.name, picture.fields))}
    return PeoplePictures(tuple(map(_image, pictures)), tuple(sorted(lines)))


def _image(picture: CocoPicture) -> ImageRecord:
    persons = [(p.box, IGNORED if p.is_crowd else UNLABELLED) for p in picture.persons]
    return record_of(picture.path, picture.name, _CAMERA, persons)


def _attribution(name: str, fields: Fields) -> str:
    """Return who made a picture and under which licence; nothing where it does not say."""
    if "license" not in fields:
        return ""
    where = fields.get("flickr_url") or fields.get("source_url") or fields.get("source_path", "")
    parts = [fields.get("source", ""), fields["license"], where]
    return f"{name}: {', '.join(str(part) for part in parts if part)}"
