"""Cut-outs of the real people, and of the things, that annotated pictures show.

A cut-out is uint8 ``(h, w, 4)``, colours multiplied by their alpha, tight to alpha 128
(`train.synthetic.cutout`). Where several pictures show the same still scene, a person is cut
along the difference to the scene without people; elsewhere with the whole box and soft edges.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from train.data.records import IGNORED, ImageRecord

CutOut = NDArray[np.uint8]
Floats = NDArray[np.float32]

MIN_HEIGHT_PX, MIN_WIDTH_PX = 64, 24
STILL_FRAMES = 6
"""Pictures of one scene that are needed to tell its people from it."""
STILL_SHARE = 0.6
"""Share of the pixels that must hardly change between them, for a scene to be still."""
_CHANGE, _SLIGHT_CHANGE = 26.0, 12.0
_HALF = 128


def people_cutouts(
    images: Sequence[ImageRecord], read: Callable[[int], NDArray[np.uint8]]
) -> list[CutOut]:
    """Return a cut-out of each person who is large enough and alone in the box.

    Args:
        images: the annotated pictures.
        read: gives the RGB picture ``(H, W, 3)`` of an image's number.
    """
    scenes = _still_scenes(images, read)
    found: list[CutOut] = []
    for number, image in enumerate(images):
        picture = read(number)
        scene = scenes.get(number)
        for row in np.flatnonzero(image.ids != IGNORED):
            if _usable(image, int(row), picture.shape):
                cut = _whole(image.boxes[row], picture)
                found.append(_cut(picture[cut], None if scene is None else scene[cut]))
    return found


def thing_cutout(
    picture: NDArray[np.uint8], boxes: NDArray[np.float32], rng: np.random.Generator
) -> CutOut | None:
    """Return a random piece of a picture that shows none of the boxes; None if no luck."""
    height, width = picture.shape[:2]
    for _ in range(4):
        h = max(16, round(height * rng.uniform(0.15, 0.7)))
        w = min(width, max(12, round(h * rng.uniform(0.25, 1.2))))
        top, left = int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1))
        if not _touches(boxes, np.array([left, top, left + w, top + h], np.float32)):
            return premultiplied(picture[top : top + h, left : left + w], soft_mask((h, w)))
    return None


def premultiplied(picture: NDArray[np.uint8], alpha: Floats) -> CutOut:
    """Return a cut-out of a picture ``(h, w, 3)`` with alpha ``(h, w)``, 0 to 1."""
    colour = picture.astype(np.float32) * alpha[..., None]
    return np.concatenate([colour, alpha[..., None] * 255], axis=2).round().astype(np.uint8)


def soft_mask(size_hw: tuple[int, int]) -> Floats:
    """Return alpha ``(h, w)`` of a rectangle with round corners and soft edges."""
    y, x = (np.abs((np.arange(side) + 0.5) / side * 2 - 1) for side in size_hw)
    far = (x[None] ** 6 + y[:, None] ** 6) ** (1 / 6)
    alpha: Floats = np.clip((1.0 - far) / 0.12 + 0.5, 0.0, 1.0).astype(np.float32)
    return alpha


def _usable(image: ImageRecord, row: int, shape: tuple[int, ...]) -> bool:
    box = image.boxes[row]
    wide, tall = float(box[2] - box[0]), float(box[3] - box[1])
    if tall < MIN_HEIGHT_PX or wide < MIN_WIDTH_PX or wide > 1.3 * tall:
        return False
    if box[2] > shape[1] + 1 or box[3] > shape[0] + 1:
        return False
    others = np.delete(image.boxes, row, axis=0)
    return not any(_inside(other, box) > 0.3 for other in others)


def _inside(other: NDArray[np.float32], box: NDArray[np.float32]) -> float:
    """Return the share of ``box`` that ``other`` covers."""
    wide = min(other[2], box[2]) - max(other[0], box[0])
    tall = min(other[3], box[3]) - max(other[1], box[1])
    area = float((box[2] - box[0]) * (box[3] - box[1]))
    return max(0.0, float(wide)) * max(0.0, float(tall)) / max(area, 1e-6)


def _touches(boxes: NDArray[np.float32], piece: NDArray[np.float32]) -> bool:
    apart = (
        (boxes[:, 0] >= piece[2]) | (boxes[:, 2] <= piece[0])
        | (boxes[:, 1] >= piece[3]) | (boxes[:, 3] <= piece[1])
    )  # fmt: skip
    return not bool(apart.all())


def _whole(box: NDArray[np.float32], picture: NDArray[np.uint8]) -> tuple[slice, slice]:
    height, width = picture.shape[:2]
    x0, y0 = max(0, int(box[0])), max(0, int(box[1]))
    return slice(y0, min(height, int(np.ceil(box[3])))), slice(x0, min(width, int(np.ceil(box[2]))))


def _cut(piece: NDArray[np.uint8], empty: Floats | None) -> CutOut:
    """Cut a person out of the piece that the box holds."""
    alpha = None if empty is None else _changed(piece, empty)
    return premultiplied(piece, soft_mask(piece.shape[:2]) if alpha is None else alpha)


def _changed(piece: NDArray[np.uint8], empty: Floats) -> Floats | None:
    """Return the alpha of what differs from the empty scene; None if that is no person."""
    change = np.abs(piece.astype(np.float32) - empty).max(axis=2)
    smooth = ndimage.gaussian_filter(change, 1.0)
    strong = smooth > _CHANGE
    joined = ndimage.binary_closing(np.pad(smooth > _SLIGHT_CHANGE, 3), iterations=3)[3:-3, 3:-3]
    parts, count = ndimage.label(joined)
    if not count:
        return None
    largest = 1 + int(np.argmax(ndimage.sum_labels(strong, parts, range(1, count + 1))))
    mask = ndimage.binary_fill_holes(parts == largest)
    rows, columns = mask.any(axis=1).mean(), mask.any(axis=0).mean()
    middle = mask[:, mask.shape[1] // 3 : -(-mask.shape[1] * 2 // 3)].mean()
    if mask.mean() > 0.9 or rows < 0.85 or columns < 0.6 or middle < 0.75:
        return None
    alpha: Floats = ndimage.gaussian_filter(mask.astype(np.float32), 0.8)
    return alpha


def _still_scenes(
    images: Sequence[ImageRecord], read: Callable[[int], NDArray[np.uint8]]
) -> dict[int, Floats]:
    """Return the empty scene of each image that has one: folders of pictures that hardly move."""
    folders: dict[tuple[Path, tuple[int, ...]], list[int]] = defaultdict(list)
    for number, image in enumerate(images):
        folders[image.path.parent, read(number).shape].append(number)
    scenes: dict[int, Floats] = {}
    for numbers in folders.values():
        if len(numbers) >= STILL_FRAMES:
            stack = np.stack([read(number) for number in numbers])
            empty = np.median(stack, axis=0).astype(np.float32)
            off = np.abs(stack.astype(np.float32) - empty).max(axis=3)
            if float((np.median(off, axis=0) < 8).mean()) >= STILL_SHARE:
                scenes |= dict.fromkeys(numbers, empty)
    return scenes
