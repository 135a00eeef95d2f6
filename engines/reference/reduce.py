"""Operators that make one element of many."""

from collections.abc import Callable
from typing import Any

from engines.reference.registry import Attributes, operator
from engines.reference.types import axis_of, integers


def _max(torch: Any, x: Any, axes: tuple[int, ...]) -> Any:
    return _as_numbers(torch, x).amax(axes, keepdim=True).to(x.dtype)


def _min(torch: Any, x: Any, axes: tuple[int, ...]) -> Any:
    return _as_numbers(torch, x).amin(axes, keepdim=True).to(x.dtype)


def _as_numbers(torch: Any, x: Any) -> Any:
    return x.to(torch.uint8) if x.dtype == torch.bool else x


def _mean(torch: Any, x: Any, axes: tuple[int, ...]) -> Any:
    wide = x if x.is_floating_point() else x.to(torch.float64)
    return wide.mean(axes, keepdim=True).to(x.dtype)


def _sum(torch: Any, x: Any, axes: tuple[int, ...]) -> Any:
    return x.sum(axes, keepdim=True, dtype=x.dtype)


def _sum_square(torch: Any, x: Any, axes: tuple[int, ...]) -> Any:
    return _sum(torch, x * x, axes)


def _l2(torch: Any, x: Any, axes: tuple[int, ...]) -> Any:
    return torch.sqrt(_sum_square(torch, x, axes)).to(x.dtype)


def _prod(torch: Any, x: Any, axes: tuple[int, ...]) -> Any:
    for axis in axes:
        x = x.prod(axis, keepdim=True, dtype=x.dtype)
    return x


_KINDS: dict[str, Callable[..., Any]] = {
    "ReduceL2": _l2,
    "ReduceMax": _max,
    "ReduceMean": _mean,
    "ReduceMin": _min,
    "ReduceProd": _prod,
    "ReduceSum": _sum,
    "ReduceSumSquare": _sum_square,
}


def _register(name: str, kind: Callable[..., Any]) -> None:
    def run(torch: Any, a: Attributes, x: Any, axes: Any = None) -> Any:
        given = [] if axes is None else integers(axes)
        if not given and a.noop_with_empty_axes:
            return x
        along = tuple(axis_of(axis, x.dim()) for axis in given or range(x.dim()))
        out = kind(torch, x, along) if along else x
        return out if a.keepdims or not along else out.squeeze(along)

    operator(name, host=(1,), keepdims=1, noop_with_empty_axes=0)(run)


for _name, _kind in _KINDS.items():
    _register(_name, _kind)
