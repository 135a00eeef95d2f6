"""Operators that move elements about: sizes, slices, picks, order."""

from collections.abc import Sequence
from typing import Any

from engines.reference.registry import Attributes, operator
from engines.reference.types import axis_of, integers, to_tensor

_PAD_MODES = ("constant", "reflect", "edge", "wrap")


def _constant_form(a: Attributes) -> str | None:
    given = [name for name in ("value", "value_float", "value_floats", "value_int", "value_ints")
             if getattr(a, name) is not None]  # fmt: skip
    return None if len(given) == 1 else f"{len(given)} values"


@operator("Constant", refuse=_constant_form, value=None, value_float=None, value_floats=None,
          value_int=None, value_ints=None)  # fmt: skip
def _constant(torch: Any, a: Attributes) -> Any:
    if a.value is not None:
        return to_tensor(torch, a.value)
    is_float = a.value_float is not None or a.value_floats is not None
    values = (a.value_float, a.value_floats, a.value_int, a.value_ints)
    given = next(value for value in values if value is not None)
    return torch.tensor(given, dtype=torch.float32 if is_float else torch.int64)


@operator("ConstantOfShape", host=(0,), value=None)
def _constant_of_shape(torch: Any, a: Attributes, shape: Any) -> Any:
    value = torch.zeros(1) if a.value is None else to_tensor(torch, a.value)
    return value.reshape(()).expand(integers(shape)).clone()


@operator("Shape", start=0, end=None)
def _shape(torch: Any, a: Attributes, x: Any) -> Any:
    return torch.tensor(list(x.shape)[a.start : a.end], dtype=torch.int64)


@operator("Range", host=(0, 1, 2))
def _range(torch: Any, a: Attributes, start: Any, limit: Any, delta: Any) -> Any:
    return torch.arange(start.item(), limit.item(), delta.item(), dtype=start.dtype)


@operator("Reshape", host=(1,), allowzero=0)
def _reshape(torch: Any, a: Attributes, x: Any, shape: Any) -> Any:
    sizes = integers(shape)
    if not a.allowzero:
        sizes = [x.shape[i] if size == 0 else size for i, size in enumerate(sizes)]
    return x.reshape(sizes)


@operator("Flatten", axis=1)
def _flatten(torch: Any, a: Attributes, x: Any) -> Any:
    axis = a.axis + x.dim() if a.axis < 0 else a.axis
    rows = 1
    for size in x.shape[:axis]:
        rows *= size
    return x.reshape(rows, x.numel() // rows if rows else 0)


@operator("Squeeze", host=(1,))
def _squeeze(torch: Any, a: Attributes, x: Any, axes: Any = None) -> Any:
    if axes is None:
        return x.squeeze()
    gone = {axis_of(axis, x.dim()) for axis in integers(axes)}
    if any(x.shape[axis] != 1 for axis in gone):
        raise ValueError(f"axes {sorted(gone)} of {list(x.shape)} are not all of size 1")
    return x.squeeze(tuple(gone))


@operator("Unsqueeze", host=(1,))
def _unsqueeze(torch: Any, a: Attributes, x: Any, axes: Any) -> Any:
    wanted = integers(axes)
    rank = x.dim() + len(wanted)
    for axis in sorted(axis_of(axis, rank) for axis in wanted):
        x = x.unsqueeze(axis)
    return x


@operator("Expand", host=(1,))
def _expand(torch: Any, a: Attributes, x: Any, shape: Any) -> Any:
    return x.expand(torch.broadcast_shapes(x.shape, integers(shape)))


@operator("Tile", host=(1,))
def _tile(torch: Any, a: Attributes, x: Any, repeats: Any) -> Any:
    return x.repeat(integers(repeats)) if x.dim() else x


@operator("Transpose", perm=None)
def _transpose(torch: Any, a: Attributes, x: Any) -> Any:
    return x.permute(a.perm if a.perm is not None else list(range(x.dim()))[::-1])


@operator("Concat", axis=0)
def _concat(torch: Any, a: Attributes, *inputs: Any) -> Any:
    return torch.cat(inputs, a.axis)


@operator("Split", host=(1,), axis=0, num_outputs=None)
def _split(torch: Any, a: Attributes, x: Any, sizes: Any = None) -> Any:
    if sizes is not None:
        return torch.split(x, integers(sizes), a.axis)
    total, parts = x.shape[a.axis], a.num_outputs or a.outputs
    each = -(-total // parts)
    given = [max(0, min(each, total - i * each)) for i in range(parts)]
    return torch.split(x, given, a.axis)


@operator("Slice", host=(1, 2, 3, 4))
def _slice(
    torch: Any, a: Attributes, x: Any, starts: Any, ends: Any, axes: Any = None, steps: Any = None
) -> Any:
    first, last = integers(starts), integers(ends)
    along = list(range(len(first))) if axes is None else integers(axes)
    by = [1] * len(first) if steps is None else integers(steps)
    for start, end, axis, step in zip(first, last, along, by, strict=True):
        x = _cut(torch, x, axis_of(axis, x.dim()), slice(start, end, step))
    return x


def _cut(torch: Any, x: Any, axis: int, wanted: slice) -> Any:
    """Return a slice along one axis; ``wanted`` holds ONNX's numbers, which are not Python's."""
    size, step = x.shape[axis], wanted.step
    start, end = (at + size if at < 0 else at for at in (wanted.start, wanted.stop))
    if step > 0:
        start, end = min(max(start, 0), size), min(max(end, 0), size)
        return x[(slice(None),) * axis + (slice(start, max(start, end), step),)]
    start, end = min(max(start, 0), size - 1), min(max(end, -1), size - 1)
    index = torch.arange(start, min(start, end), step, device=x.device)
    return x.index_select(axis, index)


@operator("Gather", axis=0)
def _gather(torch: Any, a: Attributes, x: Any, indices: Any) -> Any:
    axis = axis_of(a.axis, x.dim())
    picked = x.index_select(axis, _from_front(torch, indices, x.shape[axis]).reshape(-1))
    return picked.reshape(*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])


@operator("GatherElements", axis=0)
def _gather_elements(torch: Any, a: Attributes, x: Any, indices: Any) -> Any:
    axis = axis_of(a.axis, x.dim())
    return torch.gather(x, axis, _from_front(torch, indices, x.shape[axis]))


@operator("GatherND", batch_dims=0)
def _gather_nd(torch: Any, a: Attributes, x: Any, indices: Any) -> Any:
    batch, depth = a.batch_dims, indices.shape[-1]
    picks = [_from_front(torch, indices[..., i], x.shape[batch + i]) for i in range(depth)]
    for axis in range(batch):  # a frame's picks come from that frame
        shape = [1] * (indices.dim() - 1)
        shape[axis] = x.shape[axis]
        own = torch.arange(x.shape[axis], device=x.device).reshape(shape)
        picks.insert(axis, own.expand(indices.shape[:-1]))
    return x[tuple(picks)]


def _from_front(torch: Any, indices: Any, size: int) -> Any:
    """Return indices (negative ones count from the end) as torch wants them."""
    indices = indices.to(torch.int64)
    return torch.where(indices < 0, indices + size, indices)


@operator("Trilu", host=(1,), upper=1)
def _trilu(torch: Any, a: Attributes, x: Any, k: Any = None) -> Any:
    diagonal = 0 if k is None else int(k.item())
    return (torch.triu if a.upper else torch.tril)(x, diagonal)


@operator("TopK", host=(1,), axis=-1, largest=1, sorted=1)
def _top_k(torch: Any, a: Attributes, x: Any, k: Any) -> Any:
    """Return the K best and where they stood; of equal ones the first comes first."""
    values, indices = torch.sort(x, dim=a.axis, descending=bool(a.largest), stable=True)
    count = int(k.item())
    return values.narrow(a.axis, 0, count), indices.narrow(a.axis, 0, count)


def _known_pad(a: Attributes) -> str | None:
    return None if a.mode in _PAD_MODES else f"mode {a.mode} is not known"


@operator("Pad", host=(1, 2, 3), refuse=_known_pad, mode="constant")
def _pad(torch: Any, a: Attributes, x: Any, pads: Any, value: Any = None, axes: Any = None) -> Any:
    along = list(range(x.dim())) if axes is None else integers(axes)
    sizes = integers(pads)
    before = [0] * x.dim()
    after = [0] * x.dim()
    for i, axis in enumerate(along):
        before[axis], after[axis] = sizes[i], sizes[i + len(along)]
    if a.mode == "constant":
        return pad_constant(torch, x, before, after, 0 if value is None else value.item())
    for axis in range(x.dim()):
        x = _pad_axis(torch, a.mode, x, axis, before[axis], after[axis])
    return x


def pad_constant(
    torch: Any, x: Any, before: Sequence[int], after: Sequence[int], value: Any
) -> Any:
    """Return ``x`` with so many elements of ``value`` before and after, an entry an axis."""
    pairs = [size for pair in zip(before[::-1], after[::-1], strict=True) for size in pair]
    return torch.nn.functional.pad(x, pairs, value=value) if any(pairs) else x


def _pad_axis(torch: Any, mode: str, x: Any, axis: int, before: int, after: int) -> Any:
    if before == after == 0:
        return x
    size = x.shape[axis]
    index = torch.arange(-before, size + after, device=x.device)
    if mode == "edge":
        index = index.clamp(0, size - 1)
    elif mode == "wrap":
        index = index % size
    else:  # reflect: there and back without the turning points twice
        index = index % max(1, 2 * size - 2)
        index = torch.minimum(index, 2 * size - 2 - index) if size > 1 else index * 0
    return x.index_select(axis, index)
