"""Operators that multiply by weights, pool, and normalise."""

from typing import Any

from engines.reference.registry import Attributes, one_output, operator
from engines.reference.shapes import pad_constant
from engines.reference.windows import Windows, known_windows, windows

_WINDOW: dict[str, Any] = {"auto_pad": "NOTSET", "pads": None, "strides": None, "dilations": None}


@operator("Conv", refuse=known_windows, group=1, kernel_shape=None, **_WINDOW)
def _conv(torch: Any, a: Attributes, x: Any, weight: Any, bias: Any = None) -> Any:
    w = windows(a, x.shape[2:], weight.shape[2:])
    padding: tuple[int, ...] = w.before
    if w.before != w.after:
        x, padding = _padded(torch, x, w, 0), (0,) * len(w.before)
    convolve = getattr(torch.nn.functional, f"conv{x.dim() - 2}d")
    return convolve(x, weight, bias, w.strides, padding, w.dilations, a.group)


@operator("ConvTranspose", refuse=known_windows, group=1, kernel_shape=None, output_padding=None,
          output_shape=None, **_WINDOW)  # fmt: skip
def _conv_transpose(torch: Any, a: Attributes, x: Any, weight: Any, bias: Any = None) -> Any:
    """Spread every element over its window, then cut the padding off (it may be uneven)."""
    rank = x.dim() - 2
    strides, dilations = a.strides or [1] * rank, a.dilations or [1] * rank
    spread = getattr(torch.nn.functional, f"conv_transpose{rank}d")
    full = spread(x, weight, None, strides, 0, 0, a.group, dilations)
    behind = list(a.output_padding or [0] * rank)
    before, after = _cuts(a, x, full, strides, behind)
    out = pad_constant(
        torch,
        full,
        [0, 0, *(-n for n in before)],
        [0, 0, *(extra - n for n, extra in zip(after, behind, strict=True))],
        0,
    )
    return out if bias is None else out + bias.reshape(-1, *[1] * rank)


def _cuts(
    a: Attributes, x: Any, full: Any, strides: list[int], behind: list[int]
) -> tuple[list[int], list[int]]:
    rank = len(strides)
    if a.output_shape is None and a.auto_pad in ("NOTSET", "VALID"):
        pads = (a.pads if a.auto_pad == "NOTSET" else None) or [0] * (2 * rank)
        return list(pads[:rank]), list(pads[rank:])
    wanted = a.output_shape or [n * s for n, s in zip(x.shape[2:], strides, strict=True)]
    totals = [
        n + extra - size
        for n, extra, size in zip(full.shape[2:], behind, wanted[-rank:], strict=True)
    ]
    less, more = [t // 2 for t in totals], [t - t // 2 for t in totals]
    return (less, more) if a.auto_pad == "SAME_UPPER" else (more, less)


def _padded(torch: Any, x: Any, w: Windows, value: Any) -> Any:
    after = [hi + extra for hi, extra in zip(w.after, w.extra, strict=True)]
    return pad_constant(torch, x, [0, 0, *w.before], [0, 0, *after], value)


def _refuse_max_pool(a: Attributes) -> str | None:
    return one_output(a) or known_windows(a)


@operator("MaxPool", refuse=_refuse_max_pool, kernel_shape=None, ceil_mode=0, storage_order=0,
          **_WINDOW)  # fmt: skip
def _max_pool(torch: Any, a: Attributes, x: Any) -> Any:
    w = windows(a, x.shape[2:], a.kernel_shape)
    padded = _padded(torch, x, w, float("-inf"))
    pool = getattr(torch.nn.functional, f"max_pool{x.dim() - 2}d")
    return pool(padded, w.kernel, w.strides, 0, w.dilations)


@operator("AveragePool", refuse=known_windows, kernel_shape=None, ceil_mode=0,
          count_include_pad=0, **_WINDOW)  # fmt: skip
def _average_pool(torch: Any, a: Attributes, x: Any) -> Any:
    """Divide the sum of each window by the number of elements that count in it."""
    w = windows(a, x.shape[2:], a.kernel_shape)
    counted = torch.ones((1, 1, *x.shape[2:]), dtype=x.dtype, device=x.device)
    if a.count_include_pad:  # the pads count, what a cut window lacks does not
        counted = pad_constant(torch, counted, [0, 0, *w.before], [0, 0, *w.after], 1)
        rest = pad_constant(torch, counted, [0] * x.dim(), [0, 0, *w.extra], 0)
    else:
        rest = _padded(torch, counted, w, 0)
    planes = _padded(torch, x, w, 0).reshape(-1, 1, *rest.shape[2:])
    sums = _sums(torch, planes, w) / _sums(torch, rest, w)
    return sums.reshape(*x.shape[:2], *sums.shape[2:])


def _sums(torch: Any, planes: Any, w: Windows) -> Any:
    ones = torch.ones((1, 1, *w.kernel), dtype=planes.dtype, device=planes.device)
    convolve = getattr(torch.nn.functional, f"conv{len(w.kernel)}d")
    return convolve(planes, ones, None, w.strides, 0, w.dilations)


@operator("GlobalAveragePool")
def _global_average(torch: Any, a: Attributes, x: Any) -> Any:
    return x.mean(dim=tuple(range(2, x.dim())), keepdim=True)


@operator("GlobalMaxPool")
def _global_max(torch: Any, a: Attributes, x: Any) -> Any:
    return x.amax(dim=tuple(range(2, x.dim())), keepdim=True)


@operator("MatMul")
def _matmul(torch: Any, a: Attributes, x: Any, y: Any) -> Any:
    return torch.matmul(x, y)


@operator("Gemm", alpha=1.0, beta=1.0, transA=0, transB=0)
def _gemm(torch: Any, a: Attributes, x: Any, y: Any, bias: Any = None) -> Any:
    product = torch.matmul(x.t() if a.transA else x, y.t() if a.transB else y)
    if a.alpha != 1:
        product = product * a.alpha
    if bias is None:
        return product
    return product + (bias if a.beta == 1 else bias * a.beta)


@operator("Einsum", equation="")
def _einsum(torch: Any, a: Attributes, *inputs: Any) -> Any:
    return torch.einsum(a.equation.replace(" ", ""), *inputs)


def _only_inference(a: Attributes) -> str | None:
    return "training_mode is not known" if a.training_mode else one_output(a)


@operator("BatchNormalization", refuse=_only_inference, epsilon=1e-5, momentum=0.9,
          training_mode=0)  # fmt: skip
def _batch_norm(
    torch: Any, a: Attributes, x: Any, scale: Any, shift: Any, mean: Any, variance: Any
) -> Any:
    shape = (1, -1, *[1] * (x.dim() - 2))
    factor = (scale / torch.sqrt(variance + a.epsilon)).reshape(shape)
    return (x - mean.reshape(shape)) * factor + shift.reshape(shape)


@operator("InstanceNormalization", epsilon=1e-5)
def _instance_norm(torch: Any, a: Attributes, x: Any, scale: Any, shift: Any) -> Any:
    axes, shape = tuple(range(2, x.dim())), (1, -1, *[1] * (x.dim() - 2))
    variance, mean = torch.var_mean(x, dim=axes, correction=0, keepdim=True)
    factor = scale.reshape(shape) / torch.sqrt(variance + a.epsilon)
    return (x - mean) * factor + shift.reshape(shape)


@operator("LayerNormalization", axis=-1, epsilon=1e-5, stash_type=1)
def _layer_norm(torch: Any, a: Attributes, x: Any, scale: Any, shift: Any = None) -> Any:
    axes = tuple(range(a.axis + x.dim() if a.axis < 0 else a.axis, x.dim()))
    wide = x.to(torch.float32) if a.stash_type == 1 else x
    variance, mean = torch.var_mean(wide, dim=axes, correction=0, keepdim=True)
    inverse = 1 / torch.sqrt(variance + a.epsilon)
    out = ((wide - mean) * inverse).to(x.dtype) * scale
    return (out if shift is None else out + shift), mean, inverse


def _known_norm(a: Attributes) -> str | None:
    return None if a.p in (1, 2) else f"p {a.p} is not known"


@operator("LpNormalization", refuse=_known_norm, axis=-1, p=2)
def _lp_norm(torch: Any, a: Attributes, x: Any) -> Any:
    length = torch.linalg.vector_norm(x, a.p, dim=a.axis, keepdim=True)
    return torch.where(length == 0, torch.zeros_like(x), x / length)


@operator("Softmax", axis=-1)
def _softmax(torch: Any, a: Attributes, x: Any) -> Any:
    return torch.softmax(x, a.axis)


@operator("LogSoftmax", axis=-1)
def _log_softmax(torch: Any, a: Attributes, x: Any) -> Any:
    return torch.log_softmax(x, a.axis)
