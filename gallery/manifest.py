"""gallery.json: what makes a folder a gallery, and whose vectors it holds."""

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gallery.disk import mapped_errors, write_atomic
from gallery.errors import GalleryError
from gallery.values import CAMERA_NAME, Link

FILE = "gallery.json"
FORMAT = 1


class LinkEntry(BaseModel):
    """People walk from source to target in min_s..max_s seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str = Field(pattern=rf"^{CAMERA_NAME.pattern}$")
    target: str = Field(pattern=rf"^{CAMERA_NAME.pattern}$")
    min_s: float = Field(allow_inf_nan=False)
    max_s: float = Field(allow_inf_nan=False)


class GalleryManifest(BaseModel):
    """The contents of gallery.json."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = Field(FORMAT, description="layout of the folder")
    model: str = Field(min_length=1, max_length=256, description="id of the model of all vectors")
    created: datetime
    links: tuple[LinkEntry, ...] = ()

    def values(self) -> tuple[Link, ...]:
        """Return the links as values."""
        return tuple(Link(link.source, link.target, link.min_s, link.max_s) for link in self.links)


def entries(links: Sequence[Link]) -> tuple[LinkEntry, ...]:
    """Return links as they are written.

    Raises:
        GalleryError: a link cannot be: min over max, or a name that no camera can have.
    """
    for link in links:
        where = f"link {link.source} -> {link.target}"
        if not link.min_s <= link.max_s:
            raise GalleryError(f"{where}: the least time {link.min_s:g} s is over {link.max_s:g} s")
    try:
        return tuple(
            LinkEntry(source=one.source, target=one.target, min_s=one.min_s, max_s=one.max_s)
            for one in links
        )
    except ValidationError as error:
        raise GalleryError(f"links: {_first(error)}") from error


def read_manifest(folder: Path) -> GalleryManifest:
    """Read gallery.json.

    Raises:
        GalleryError: it is damaged, or of a newer Sightline.
        StoreError: it cannot be read.
    """
    path = folder / FILE
    with mapped_errors("read", path):
        data = path.read_bytes()
    try:
        document = json.loads(data)
        found = document.get("format") if isinstance(document, dict) else None
        if isinstance(found, int) and found > FORMAT:
            raise GalleryError(
                f"{path} is of format {found}, this Sightline knows {FORMAT}: "
                "it was made by a newer one"
            )
        return GalleryManifest.model_validate(document)
    except ValidationError as error:
        raise GalleryError(f"{path} is damaged: {_first(error)}") from error
    except ValueError as error:
        raise GalleryError(f"{path} is damaged: {error}") from error


def write_manifest(folder: Path, manifest: GalleryManifest, *, exclusive: bool = False) -> None:
    """Write gallery.json, whole or not at all.

    Raises:
        FileExistsError: ``exclusive``, and there is one.
        StorageFullError, StoreError
    """
    text = json.dumps(manifest.model_dump(mode="json"), indent=2) + "\n"
    write_atomic(folder / FILE, text.encode(), exclusive=exclusive)


def _first(error: ValidationError) -> str:
    fault = error.errors()[0]
    where = ".".join(str(part) for part in fault["loc"])
    return f"{where}: {fault['msg']}" if where else str(fault["msg"])
