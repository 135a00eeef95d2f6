"""Run a graph on frames and see how the values of its inner tensors are spread.

Memory stays bounded: frames run one at a time, tensors are shown in groups that fit, and only
their histograms are kept.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.errors import BuildError
from engines.onnx_backend import runtime_errors
from engines.precision.graph import Net
from engines.precision.spread import Spread
from engines.runtimes import require

GROUP_BYTES = 1 << 30
"""Inner tensors of one frame that are held at a time."""

Feed = Mapping[str, NDArray[Any]]


def spreads_of(
    net: Net,
    tensors: Sequence[str],
    feeds: Sequence[Feed],
    progress: Callable[[str], None],
    *,
    kind: str,
    group_bytes: int = GROUP_BYTES,
) -> dict[str, Spread]:
    """Return the spread of each tensor over all feeds (one frame each).

    Raises:
        BackendUnavailableError: onnxruntime is missing.
        BuildError: the graph does not run on a feed, or a value is NaN or infinite.
    """
    spreads = {name: Spread() for name in tensors}
    groups = list(_groups(_sizes(net, tensors), group_bytes))
    for number, group in enumerate(groups):
        session = open_session(_showing(net, group), kind)
        for index, feed in enumerate(feeds):
            done = number * len(feeds) + index + 1
            progress(f"calibrating the {kind}: {done} of {len(groups) * len(feeds)}")
            for name, values in zip(group, run(session, group, feed, kind), strict=True):
                _add(spreads[name], values, f"{kind}, tensor {name}, frame {index}")
    return spreads


def _add(spread: Spread, values: NDArray[np.float32], where: str) -> None:
    try:
        spread.add(values)
    except ValueError as error:
        raise BuildError(f"cannot calibrate the {where}: {error}") from error


def open_session(graph: bytes, kind: str) -> Any:
    """Open a graph in ONNX Runtime on the CPU.

    Raises:
        BuildError: it cannot be loaded.
    """
    runtime = require("onnxruntime")
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    options.enable_cpu_mem_arena = False  # what a frame took is given back after it
    try:
        return runtime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except runtime_errors() as error:
        raise BuildError(f"onnxruntime cannot load the {kind}: {error}") from error


def run(session: Any, names: Sequence[str], feed: Feed, kind: str) -> list[NDArray[Any]]:
    """Return the named outputs for one feed.

    Raises:
        BuildError: the run failed.
    """
    try:
        answers: list[NDArray[Any]] = session.run(list(names), dict(feed))
    except runtime_errors() as error:
        raise BuildError(f"onnxruntime cannot run the {kind}: {error}") from error
    return answers


def _showing(net: Net, tensors: Sequence[str]) -> bytes:
    """Return the graph with some inner tensors as its outputs."""
    helper, proto = net.onnx.helper, net.onnx.TensorProto
    model = type(net.model)()
    model.CopyFrom(net.model)
    del model.graph.output[:]
    model.graph.output.extend(helper.make_tensor_value_info(t, proto.FLOAT, None) for t in tensors)
    data: bytes = model.SerializeToString()
    return data


def _sizes(net: Net, tensors: Sequence[str]) -> dict[str, int]:
    """Return the bytes of each tensor for one frame."""
    model = type(net.model)()
    model.CopyFrom(net.model)
    for value in model.graph.input:
        value.type.tensor_type.shape.dim[0].dim_value = 1
    for value in model.graph.output:
        value.type.tensor_type.shape.dim[0].Clear()
    inferred = net.onnx.shape_inference.infer_shapes(model, data_prop=True)
    shapes = {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in inferred.graph.value_info
    }
    return {t: 4 * int(np.prod([max(d, 1) for d in shapes.get(t, ())])) for t in tensors}


def _groups(sizes: Mapping[str, int], limit: int) -> Iterator[list[str]]:
    """Divide tensors so that each group fits; one that is larger than the limit stands alone."""
    group: list[str] = []
    total = 0
    for name, size in sizes.items():
        if group and total + size > limit:
            yield group
            group, total = [], 0
        group.append(name)
        total += size
    if group:
        yield group
