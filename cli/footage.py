"""Frames to look at, from a video, a picture, or a folder of pictures, evenly spread."""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TypeVar

import av
import numpy as np
from numpy.typing import NDArray

from cli.errors import CliError
from engines.errors import PictureError
from engines.orientation import rotate
from engines.pictures import read_picture

PICTURES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".ppm"})

Pixels = NDArray[np.uint8]
_Item = TypeVar("_Item")


def read_frames(path: Path, most: int) -> list[Pixels]:
    """Return at most ``most`` frames, RGB uint8 (H, W, 3), in order and evenly spread.

    Raises:
        CliError: no such path, or there is no picture and no video in it.
    """
    if not path.exists():
        raise CliError(f"cannot read frames of {path}: no such file or folder")
    if path.is_dir():
        chosen = spread(list(_pictures(path)), most)
        frames = [_picture(one) for one in chosen]
    elif path.suffix.lower() in PICTURES:
        frames = [_picture(path)]
    else:
        frames = _spread_of_many(_decoded(path), most)
    if not frames:
        raise CliError(f"cannot read frames of {path}: there is no picture and no video in it")
    return frames


def spread(items: list[_Item], most: int) -> list[_Item]:
    """Return at most ``most`` of the items, in order, as far apart as can be."""
    if len(items) <= most:
        return items
    return [items[number * len(items) // most] for number in range(most)]


def _pictures(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in PICTURES and path.is_file():
            yield path


def _picture(path: Path) -> Pixels:
    try:
        return read_picture(path)
    except PictureError as error:
        raise CliError(str(error)) from error


def _decoded(path: Path) -> Iterator[Pixels]:
    try:
        with av.open(str(path)) as container:
            for frame in container.decode(video=0):
                pixels = frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False)
                yield rotate(pixels, frame.rotation)
    except (av.FFmpegError, IndexError) as error:
        raise CliError(f"cannot decode {path}: {error}") from error


def _spread_of_many(frames: Iterable[Pixels], most: int) -> list[Pixels]:
    """Return at most ``most`` of frames whose number is not known, without holding them all."""
    kept: list[Pixels] = []
    step, coming = 1, iter(frames)
    while part := list(islice(coming, step)):
        kept.append(part[0])
        if len(kept) == 2 * most:
            kept, step = kept[::2], 2 * step
    return spread(kept, most)
