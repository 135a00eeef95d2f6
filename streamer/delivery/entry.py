"""What travels: a sighting with its crop, a coverage span or the links, as a few byte fields.

The same entry lies in the spool and in a Redis Stream. It is checked when it is read: version,
fields, digest, values. What fails is not ours or is damaged, and says why.

```
v  version, one byte             d  digest of all the others (blake2b, 16 bytes)
k  kind: sighting, coverage, links
m  id of the model of the process that sent it
b  the values, JSON
e  embedding, 256 float32 little endian (sightings)
j  crop, JPEG, may be empty (sightings)
```
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from engines.values import EMBEDDING_DIM
from gallery.values import Box, CoverageSpan, Link, Sighting
from streamer.errors import EntryError

VERSION = b"\x01"
FIELDS = (b"v", b"k", b"m", b"b", b"e", b"j", b"d")
Kind = Literal["sighting", "coverage", "links"]
KINDS: tuple[Kind, ...] = ("sighting", "coverage", "links")
_VECTOR = np.dtype("<f4")
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing on its way, packed; ``kind`` and ``model`` can be read without unpacking."""

    kind: Kind
    model: str
    body: bytes
    embedding: bytes = b""
    jpeg: bytes = b""

    @property
    def size(self) -> int:
        """Bytes that it takes, about."""
        return len(self.body) + len(self.embedding) + len(self.jpeg) + len(self.model) + 64

    def fields(self) -> dict[bytes, bytes]:
        """Return what stands in a Redis Stream."""
        head = (VERSION, self.kind.encode(), self.model.encode())
        parts = (*head, self.body, self.embedding, self.jpeg)
        return dict(zip(FIELDS, (*parts, digest(parts)), strict=True))


@dataclass(frozen=True, slots=True, eq=False)
class SightingMessage:
    """A sighting and its crop (JPEG; empty: none). Who stores it gives the crop its path."""

    sighting: Sighting
    jpeg: bytes

    @property
    def model(self) -> str:
        """Id of the model."""
        return self.sighting.model


@dataclass(frozen=True, slots=True)
class CoverageMessage:
    """What a camera did for a while."""

    span: CoverageSpan
    model: str


@dataclass(frozen=True, slots=True)
class LinksMessage:
    """How people walk between the cameras."""

    links: tuple[Link, ...]
    model: str


Message = SightingMessage | CoverageMessage | LinksMessage


class _Look(BaseModel):
    """The values of a sighting, without embedding, crop and model."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    id: str
    camera: str
    at_ms: int
    tracklet: str
    box: Box
    score: float
    quality: float
    frame_wh: tuple[int, int]


_LOOK = TypeAdapter(_Look)
_SPAN = TypeAdapter(CoverageSpan)
_LINKS = TypeAdapter(tuple[Link, ...])


def digest(parts: tuple[bytes, ...]) -> bytes:
    """Return the digest of some fields; their borders count."""
    made = hashlib.blake2b(digest_size=16)
    for part in parts:
        made.update(len(part).to_bytes(8, "little"))
        made.update(part)
    return made.digest()


def pack_sighting(sighting: Sighting, jpeg: bytes) -> Entry:
    """Return the entry of a sighting; its crop's path is left out."""
    x1, y1, x2, y2 = (float(value) for value in sighting.box)
    look = _Look.model_construct(
        id=sighting.id,
        camera=sighting.camera,
        at_ms=int(sighting.captured_at_ms),
        tracklet=sighting.tracklet,
        box=(x1, y1, x2, y2),
        score=float(sighting.score),
        quality=float(sighting.quality),
        frame_wh=sighting.frame_wh,
    )
    vector = np.asarray(sighting.embedding, _VECTOR).tobytes()
    return Entry("sighting", sighting.model, look.model_dump_json().encode(), vector, jpeg)


def pack_span(span: CoverageSpan, model: str) -> Entry:
    """Return the entry of a coverage span, sent by a process that runs ``model``."""
    return Entry("coverage", model, _SPAN.dump_json(span))


def pack_links(links: tuple[Link, ...], model: str) -> Entry:
    """Return the entry of the links of a site."""
    return Entry("links", model, _LINKS.dump_json(links))


def read_fields(fields: Mapping[bytes, bytes]) -> Entry:
    """Return the entry that a Redis Stream holds.

    Raises:
        EntryError: it is not ours, of a newer version, or damaged.
    """
    version = fields.get(b"v")
    if version is None or not version:
        raise EntryError(f"no entry of ours: its fields are {_shown(fields)}")
    if version != VERSION:
        raise EntryError(f"entry of version {version[:8]!r}, this Sightline reads {VERSION!r}")
    if set(fields) != set(FIELDS):
        raise EntryError(f"entry with the fields {_shown(fields)}, want {_shown(FIELDS)}")
    parts = tuple(fields[name] for name in FIELDS[:-1])
    if digest(parts) != fields[b"d"]:
        raise EntryError("damaged entry: its digest is another")
    kind = next((kind for kind in KINDS if kind.encode() == parts[1]), None)
    if kind is None:
        raise EntryError(f"entry of kind {parts[1][:40]!r}")
    return Entry(kind, _text(parts[2]), *parts[3:])


def unpack(entry: Entry) -> Message:
    """Return what an entry holds.

    Raises:
        EntryError: its values cannot be.
    """
    if entry.kind == "coverage":
        return CoverageMessage(_read(_SPAN, entry), entry.model)
    if entry.kind == "links":
        return LinksMessage(_read(_LINKS, entry), entry.model)
    return SightingMessage(_sighting(entry), entry.jpeg)


def _sighting(entry: Entry) -> Sighting:
    look = _read(_LOOK, entry)
    if len(entry.embedding) != EMBEDDING_DIM * _VECTOR.itemsize:
        raise EntryError(
            f"sighting {look.id!r}: the embedding has {len(entry.embedding)} bytes, "
            f"want {EMBEDDING_DIM * _VECTOR.itemsize}"
        )
    return Sighting(
        id=look.id,
        camera=look.camera,
        captured_at_ms=look.at_ms,
        tracklet=look.tracklet,
        box=look.box,
        score=look.score,
        quality=look.quality,
        embedding=np.frombuffer(entry.embedding, _VECTOR).astype(np.float32),
        crop="",
        model=entry.model,
        frame_wh=look.frame_wh,
    )


def _read(adapter: TypeAdapter[_Value], entry: Entry) -> _Value:
    try:
        return adapter.validate_json(entry.body)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in fault["loc"])
        raise EntryError(f"{entry.kind}: {where or 'values'}: {fault['msg']}") from error


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise EntryError(f"entry with the model {raw[:40]!r}, which is no text") from error


def _shown(names: object) -> str:
    """Return names for a message, not too many of them."""
    listed = sorted(repr(name) for name in names) if isinstance(names, Mapping | tuple) else []
    return ", ".join(listed[:8]) + (" and more" if len(listed) > 8 else "")
