"""Where the windows of convolutions and poolings stand: padding of each spatial axis."""

from collections.abc import Sequence
from typing import NamedTuple

from engines.reference.registry import Attributes

_AUTO = ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER")


class Windows(NamedTuple):
    """One number a spatial axis; ``extra`` is what the last, cut window needs behind the pads."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    extra: tuple[int, ...]


def known_windows(a: Attributes) -> str | None:
    """Refuse a way of padding that is not known."""
    return None if a.auto_pad in _AUTO else f"auto_pad {a.auto_pad} is not known"


def windows(a: Attributes, sizes: Sequence[int], kernel: Sequence[int]) -> Windows:
    """Return the windows over an input of these spatial sizes, as ONNX defines them."""
    rank = len(sizes)
    strides = tuple(a.strides or [1] * rank)
    dilations = tuple(a.dilations or [1] * rank)
    spans = [d * (k - 1) + 1 for k, d in zip(kernel, dilations, strict=True)]
    before, after = _pads(a, sizes, spans, strides)
    extra = [0] * rank
    if getattr(a, "ceil_mode", 0) and a.auto_pad == "NOTSET":
        extra = [
            _overhang(n + lo + hi, span, stride, n + lo)
            for n, lo, hi, span, stride in zip(sizes, before, after, spans, strides, strict=True)
        ]
    return Windows(tuple(kernel), strides, dilations, before, after, tuple(extra))


def _pads(
    a: Attributes, sizes: Sequence[int], spans: Sequence[int], strides: Sequence[int]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    rank = len(sizes)
    if a.auto_pad == "VALID":
        return (0,) * rank, (0,) * rank
    if a.auto_pad == "NOTSET":
        pads = a.pads or [0] * (2 * rank)
        return tuple(pads[:rank]), tuple(pads[rank:])
    totals = [
        max(0, (-(-n // stride) - 1) * stride + span - n)
        for n, span, stride in zip(sizes, spans, strides, strict=True)
    ]
    less, more = [t // 2 for t in totals], [t - t // 2 for t in totals]
    upper = a.auto_pad == "SAME_UPPER"
    return (tuple(less), tuple(more)) if upper else (tuple(more), tuple(less))


def _overhang(padded: int, span: int, stride: int, real_end: int) -> int:
    """Return how far a last window, begun before ``real_end``, stands out of the padded input."""
    count = -(-(padded - span) // stride) + 1
    if (count - 1) * stride >= real_end:  # it would see nothing but padding
        count -= 1
    return max(0, (count - 1) * stride + span - padded)
