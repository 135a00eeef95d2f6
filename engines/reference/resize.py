"""Resize: nearest, linear and cubic, an axis at a time.

Coordinates are worked out in float32 as runtimes do, so that ties round to the same side.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engines.reference.registry import Attributes, operator
from engines.reference.types import axis_of, integers

Line = NDArray[np.float32]

_ROUND: dict[str, Callable[[Line], Line]] = {
    "round_prefer_floor": lambda at: np.ceil(at - np.float32(0.5)),
    "round_prefer_ceil": lambda at: np.floor(at + np.float32(0.5)),
    "floor": np.floor,
    "ceil": np.ceil,
}
_COORDINATES = (
    "half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric",
)  # fmt: skip
_POLICIES = ("stretch", "not_larger", "not_smaller")


class _Axis(NamedTuple):
    """One axis: its size, the wanted one, and the exact factor between them."""

    size: int
    wanted: int
    scale: float


def _refuse(a: Attributes) -> str | None:
    for name, known in (
        ("mode", ("nearest", "linear", "cubic")),
        ("coordinate_transformation_mode", _COORDINATES),
        ("nearest_mode", tuple(_ROUND)),
        ("keep_aspect_ratio_policy", _POLICIES),
        ("antialias", (0,)),
    ):
        if getattr(a, name) not in known:
            return f"{name} {getattr(a, name)} is not known"
    return None


@operator("Resize", host=(1, 2, 3), refuse=_refuse, mode="nearest", antialias=0, axes=None,
          coordinate_transformation_mode="half_pixel", cubic_coeff_a=-0.75, exclude_outside=0,
          extrapolation_value=0.0, keep_aspect_ratio_policy="stretch",
          nearest_mode="round_prefer_floor")  # fmt: skip
def _resize(
    torch: Any, a: Attributes, x: Any, roi: Any = None, scales: Any = None, sizes: Any = None
) -> Any:
    along = [axis_of(axis, x.dim()) for axis in a.axes or range(x.dim())]
    for axis, line in zip(along, _lines(a, x, along, scales, sizes), strict=True):
        if line.wanted != line.size or line.scale != 1:
            x = _resize_axis(torch, a, x, axis, line)
    return x


def _lines(a: Attributes, x: Any, along: list[int], scales: Any, sizes: Any) -> list[_Axis]:
    old = [x.shape[axis] for axis in along]
    if scales is not None and scales.numel():
        factors = [float(value) for value in scales.tolist()]
        return [_Axis(n, int(np.floor(n * f)), f) for n, f in zip(old, factors, strict=True)]
    new = integers(sizes)
    if a.keep_aspect_ratio_policy == "stretch":
        return [_Axis(n, m, m / n) for n, m in zip(old, new, strict=True)]
    choose = min if a.keep_aspect_ratio_policy == "not_larger" else max
    scale = choose(m / n for n, m in zip(old, new, strict=True))
    return [_Axis(n, int(np.floor(n * scale + 0.5)), scale) for n in old]


def _resize_axis(torch: Any, a: Attributes, x: Any, axis: int, line: _Axis) -> Any:
    at = _coordinates(a.coordinate_transformation_mode, line)
    if a.mode == "nearest":
        nearest = np.clip(_ROUND[a.nearest_mode](at), 0, line.size - 1).astype(np.int64)
        return x.index_select(axis, torch.from_numpy(nearest).to(x.device))
    weights = _weights(a, at, line.size)
    matrix = torch.from_numpy(weights).to(device=x.device, dtype=x.dtype)
    return torch.tensordot(x, matrix, dims=([axis], [1])).movedim(-1, axis)


def _coordinates(mode: str, line: _Axis) -> Line:
    """Return where each wanted element lies among the old ones."""
    at = np.arange(line.wanted, dtype=np.float32)
    scale, half = np.float32(line.scale), np.float32(0.5)
    if mode == "asymmetric":
        return at / scale
    if mode == "align_corners":
        last = line.wanted - 1
        return at * np.float32((line.size - 1) / last if last else 0)
    if mode == "pytorch_half_pixel" and line.wanted == 1:
        return at * 0
    if mode == "half_pixel_symmetric":
        shift = np.float32(line.size / 2 * (1 - line.wanted / (line.size * line.scale)))
        return shift + (at + half) / scale - half
    return (at + half) / scale - half


def _weights(a: Attributes, at: Line, size: int) -> Line:
    """Return how much each old element counts in each new one: (wanted, size)."""
    first = np.floor(at)
    out = np.zeros((len(at), size), np.float32)
    for step in (0, 1) if a.mode == "linear" else (-1, 0, 1, 2):
        place = first + step
        weight = _share(a, np.abs(at - place))
        if a.exclude_outside:
            weight = np.where((place < 0) | (place >= size), 0, weight)
        column = np.clip(place, 0, size - 1).astype(np.int64)
        np.add.at(out, (np.arange(len(at)), column), weight)
    if a.exclude_outside:
        out /= out.sum(axis=1, keepdims=True)
    return out


def _share(a: Attributes, distance: Line) -> Line:
    """Return the weight of an element at a distance of 0..2 elements."""
    if a.mode == "linear":
        return np.asarray(1 - distance, np.float32)
    k, d = a.cubic_coeff_a, distance
    near = (k + 2) * d**3 - (k + 3) * d**2 + 1
    far = k * d**3 - 5 * k * d**2 + 8 * k * d - 4 * k
    return np.asarray(np.where(d <= 1, near, far), np.float32)
