"""Pictures in a folder: which there are, in which order, and when each was taken."""

import re
import struct
from datetime import UTC, datetime, timedelta
from pathlib import Path

from engines.orientation import exif_block

SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})

_EXIF_IFD, _TAKEN, _ZONE, _SUBSECOND = 0x8769, 0x9003, 0x9011, 0x9291
_ASCII, _LONG = 2, 4
_MAX_ENTRIES = 512
"""No camera writes as many; a damaged count must not cost time."""


def natural(path: Path) -> tuple[tuple[int, int, str], ...]:
    """Return what sorts ``cam2.jpg`` before ``cam10.jpg``."""
    parts = re.findall(r"[0-9]+|[^0-9]+", path.name)
    return tuple((0, int(p), "") if p.isdigit() else (1, 0, p.lower()) for p in parts)


def pictures_in(folder: Path) -> list[Path]:
    """Return the JPEG and PNG files of a folder in natural order; none if it cannot be read."""
    try:
        found = [p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file()]
    except OSError:
        return []
    return sorted((p for p in found if not p.name.startswith(".")), key=natural)


def taken_ms(data: bytes) -> int | None:
    """Return when a JPEG says that it was taken, UTC ms; a time without a zone counts as UTC."""
    try:
        texts = _tiff_texts(exif_block(data))
        taken = datetime.strptime(texts[_TAKEN], "%Y:%m:%d %H:%M:%S").replace(tzinfo=UTC)
    except (struct.error, KeyError, ValueError):
        return None
    fraction = texts.get(_SUBSECOND, "").strip()
    milliseconds = round(float(f"0.{fraction}") * 1000) if fraction.isdigit() else 0
    return round((taken - _zone(texts.get(_ZONE, ""))).timestamp() * 1000) + milliseconds


def _zone(text: str) -> timedelta:
    """Return the offset that ``+02:00`` means; none if it is not written so."""
    match = re.fullmatch(r"([+-])(\d\d):(\d\d)", text.strip())
    if match is None:
        return timedelta(0)
    minutes = int(match[2]) * 60 + int(match[3])
    return timedelta(minutes=-minutes if match[1] == "-" else minutes)


def _tiff_texts(tiff: bytes) -> dict[int, str]:
    """Return the texts of an EXIF block by tag; raises struct.error where it is cut."""
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return {}
    (first,) = struct.unpack_from(f"{order}I", tiff, 4)
    inner = [
        at for tag, kind, _, at in _entries(tiff, order, first) if (tag, kind) == (_EXIF_IFD, _LONG)
    ]
    texts: dict[int, str] = {}
    for start in inner[:1]:
        for tag, kind, count, at in _entries(tiff, order, start):
            if kind == _ASCII and count > 4:
                texts[tag] = tiff[at : at + count].split(b"\0")[0].decode("ascii", "replace")
            elif kind == _ASCII:
                texts[tag] = _short_text(order, count, at)
    return texts


def _short_text(order: str, count: int, packed: int) -> str:
    """Return a text of up to four bytes, which stands where longer ones have their place."""
    raw = struct.pack(f"{order}I", packed)[:count]
    return raw.split(b"\0")[0].decode("ascii", "replace")


def _entries(tiff: bytes, order: str, start: int) -> list[tuple[int, int, int, int]]:
    """Return (tag, kind, count, value or place) of a directory."""
    (count,) = struct.unpack_from(f"{order}H", tiff, start)
    places = range(start + 2, start + 2 + 12 * min(count, _MAX_ENTRIES), 12)
    return [struct.unpack_from(f"{order}HHII", tiff, place) for place in places]
