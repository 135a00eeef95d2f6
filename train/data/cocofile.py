"""Read a COCO json: pictures with the boxes of persons in them.

``images``: ``id``, ``file_name`` (from the folder of the json), and if known ``width`` and
``height``. ``annotations``: ``image_id``, ``bbox`` x y w h in pixels, ``iscrowd`` 1 for a region
that counts neither as a person nor as background. Where ``categories`` are given, only the one
named "person" counts, or the only one there is.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from train.data.boxes import Box, read_box
from train.data.faults import FaultError, Faults, SizeClaim, UnreadableError

Fields = Mapping[str, Any]

_PERSON = "person"


@dataclass(frozen=True, slots=True)
class CocoPerson:
    """An annotation; ``where`` is its place in the file, ``fields`` all that stands there."""

    where: str
    box: Box
    is_crowd: bool
    fields: Fields


@dataclass(frozen=True, slots=True)
class CocoPicture:
    """An image of the file with its annotations."""

    where: str
    name: str
    path: Path
    hw: tuple[int, int] | None
    fields: Fields
    persons: list[CocoPerson]


def read_coco(path: Path, faults: Faults) -> tuple[CocoPicture, ...]:
    """Return the pictures of a COCO json, in its order.

    Raises:
        FaultError: the file is missing or is not JSON, or an entry cannot be used; the message
            names the entry by its place in the list and its id.
    """
    content = read_json(path)
    images, annotations = _list(content, "images", path), _list(content, "annotations", path)
    pictures = _Pictures(path, faults)
    faults.each(pictures.add, enumerate(images))
    persons = _Persons(path, pictures.by_id, _person_categories(content, path), faults)
    faults.each(persons.add, enumerate(annotations))
    return tuple(pictures.by_id.values())


def read_json(path: Path) -> Fields:
    """Return the object in a JSON file.

    Raises:
        FaultError: the file is missing, is not JSON or holds something else.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise UnreadableError(path, "no such file") from None
    except OSError as error:
        raise UnreadableError(path, error.strerror or str(error)) from error
    except (ValueError, RecursionError) as error:
        raise FaultError(path, "", f"is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise FaultError(path, "", "want an object with images and annotations")
    return content


def _list(content: Fields, field: str, path: Path) -> list[Any]:
    entries = content.get(field)
    if not isinstance(entries, list):
        raise FaultError(path, "", f"missing or wrong field {field!r}, want a list")
    return entries


def _person_categories(content: Fields, path: Path) -> frozenset[object]:
    """Return the ids of the categories that are persons; none when nothing is categorised."""
    categories = content.get("categories") or []
    if not isinstance(categories, list) or not all(isinstance(c, dict) for c in categories):
        raise FaultError(path, "categories", "want a list of objects")
    names = {str(c.get("id")): str(c.get("name")) for c in categories}
    ids = {key for key, name in names.items() if name.lower() == _PERSON or len(names) == 1}
    if names and not ids:
        found = ", ".join(sorted(names.values()))
        raise FaultError(path, "categories", f"none is named {_PERSON}, found {found}")
    return frozenset(ids)


def _place(kind: str, index: int, fields: object) -> str:
    """Return where an entry stands, as ``images[3] (id 17)``."""
    identifier = fields.get("id") if isinstance(fields, dict) else None
    return f"{kind}[{index}]" + ("" if identifier is None else f" (id {identifier})")


class _Pictures:
    """Collects the images of a file."""

    def __init__(self, path: Path, faults: Faults) -> None:
        self._path, self._faults = path, faults
        self.by_id: dict[object, CocoPicture] = {}
        self._names: dict[str, str] = {}

    def add(self, entry: tuple[int, Any]) -> None:
        index, fields = entry
        where = _place("images", index, fields)
        if not isinstance(fields, dict) or not isinstance(fields.get("id"), int | str):
            raise FaultError(self._path, where, "want an object with an id")
        if fields["id"] in self.by_id:
            raise FaultError(self._path, where, f"id {fields['id']!r} is there twice")
        name = self._name(fields, where)
        picture = self._path.parent / name
        hw = self._size(fields, where)
        self.by_id[fields["id"]] = CocoPicture(where, name, picture, hw, fields, [])
        if not picture.is_file():
            raise FaultError(self._path, where, f"no such picture {picture}")
        if hw is not None:
            self._faults.claim(SizeClaim(picture, hw, self._path, where))

    def _name(self, fields: Fields, where: str) -> str:
        name = fields.get("file_name")
        if not isinstance(name, str) or not name:
            raise FaultError(self._path, where, "missing or wrong field 'file_name'")
        if name in self._names:
            raise FaultError(self._path, where, f"{name!r} is there already, {self._names[name]}")
        self._names[name] = where
        return name

    def _size(self, fields: Fields, where: str) -> tuple[int, int] | None:
        size = fields.get("height"), fields.get("width")
        if size == (None, None):
            return None
        height, width = size
        for field, value in (("height", height), ("width", width)):
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise FaultError(self._path, where, f"{field} is {value!r}, want pixels")
        return height, width  # type: ignore[return-value]  # both are integers by now


class _Persons:
    """Puts the annotations of a file to their images."""

    def __init__(
        self,
        path: Path,
        pictures: Mapping[object, CocoPicture],
        categories: frozenset[object],
        faults: Faults,
    ) -> None:
        self._path, self._pictures = path, pictures
        self._categories, self._faults = categories, faults
        self._ids: set[object] = set()

    def add(self, entry: tuple[int, Any]) -> None:
        index, fields = entry
        where = _place("annotations", index, fields)
        if not isinstance(fields, dict):
            raise FaultError(self._path, where, "want an object")
        picture = self._picture(fields, where)
        self._note_id(fields, where)
        if self._categories and str(fields.get("category_id")) not in self._categories:
            return
        box = read_box(self._bbox(fields, where), self._path, where, self._faults, picture.hw)
        is_crowd = fields.get("iscrowd", 0)
        if is_crowd not in (0, 1):
            raise FaultError(self._path, where, f"iscrowd is {is_crowd!r}, want 0 or 1")
        person = CocoPerson(where, box, bool(is_crowd), fields)
        self._check_different(person, picture)
        picture.persons.append(person)

    def _picture(self, fields: Fields, where: str) -> CocoPicture:
        image = fields.get("image_id")
        if not isinstance(image, int | str) or image not in self._pictures:
            raise FaultError(self._path, where, f"image_id {image!r} is no id of images")
        return self._pictures[image]

    def _note_id(self, fields: Fields, where: str) -> None:
        identifier = fields.get("id")
        if identifier is not None and repr(identifier) in self._ids:
            raise FaultError(self._path, where, f"id {identifier!r} is there twice")
        self._ids.add(repr(identifier))

    def _bbox(self, fields: Fields, where: str) -> list[float]:
        bbox = fields.get("bbox")
        if not isinstance(bbox, list) or len(bbox) != 4:
            raise FaultError(self._path, where, f"bbox is {bbox!r}, want [x, y, w, h]")
        return [number(value, self._path, where, "bbox") for value in bbox]

    def _check_different(self, person: CocoPerson, picture: CocoPicture) -> None:
        for other in picture.persons:
            if (other.box, other.is_crowd) == (person.box, person.is_crowd):
                text = f"same box on {picture.name!r} as {other.where}"
                raise FaultError(self._path, person.where, text)


def number(value: object, file: Path, where: str, field: str) -> float:
    """Return a JSON number.

    Raises:
        FaultError: it is something else.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise FaultError(file, where, f"{field} holds {value!r}, want a number")
    try:
        return float(value)
    except OverflowError:
        raise FaultError(
            file, where, f"{field} holds a number of {len(str(value))} digits"
        ) from None
