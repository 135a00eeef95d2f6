"""To integers and back: QuantizeLinear and DequantizeLinear.

One scale for all, one for each place along an axis, or one for each block along an axis.
"""

from typing import Any

from engines.reference.registry import Attributes, operator
from engines.reference.types import axis_of, torch_type


def _known_precision(a: Attributes) -> str | None:
    return f"precision {a.precision} is not known" if a.precision not in (0, 1) else None


@operator("QuantizeLinear", refuse=_known_precision, axis=1, block_size=0, output_dtype=0,
          precision=0, saturate=1)  # fmt: skip
def _quantize(torch: Any, a: Attributes, x: Any, scale: Any, zero: Any = None) -> Any:
    """Round half to even, add the zero point, and keep what does not fit at the edge."""
    dtype = _stored(torch, a, zero)
    edges = torch.iinfo(dtype)
    steps = torch.round(x.to(torch.float32) / _along(a, x, scale).to(torch.float32))
    if zero is not None:
        steps = steps + _along(a, x, zero.to(torch.float32))
    return torch.clamp(steps, edges.min, edges.max).to(dtype)


def _stored(torch: Any, a: Attributes, zero: Any) -> Any:
    if zero is not None:
        return zero.dtype
    return torch_type(torch, a.output_dtype) if a.output_dtype else torch.uint8


@operator("DequantizeLinear", axis=1, block_size=0, output_dtype=0)
def _dequantize(torch: Any, a: Attributes, x: Any, scale: Any, zero: Any = None) -> Any:
    steps = x.to(torch.int32)
    if zero is not None:
        steps = steps - _along(a, x, zero.to(torch.int32))
    dtype = torch_type(torch, a.output_dtype) if a.output_dtype else scale.dtype
    return (steps.to(torch.float32) * _along(a, x, scale).to(torch.float32)).to(dtype)


def _along(a: Attributes, x: Any, values: Any) -> Any:
    """Return scales or zero points in a shape that goes with ``x``."""
    if values.numel() == 1 and not a.block_size:
        return values.reshape(())
    axis = axis_of(a.axis, x.dim())
    if a.block_size:
        spread = values.repeat_interleave(a.block_size, axis)
        return spread.narrow(axis, 0, x.shape[axis])
    shape = [1] * x.dim()
    shape[axis] = x.shape[axis]
    return values.reshape(shape)
