"""The int8 graphs: both graphs of a bundle, calibrated on frames.

A layer that stands in both graphs lies on the same grids in both, so that a person embeds alike
whichever graph looks at her.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.errors import BuildError
from engines.lint import lint_graph
from engines.precision.calibrate import Feed, open_session, run, spreads_of
from engines.precision.graph import Net, open_net
from engines.precision.grids import METHOD, grid_of
from engines.precision.insert import insert_pairs
from engines.precision.pairs import PairPlan, Scheme, plan_pairs
from engines.precision.spread import Spread

Progress = Callable[[str], None]
SCHEMES = ("u8s8", "s8s8")
_KINDS = ("search", "query")


def _silent(_message: str) -> None:
    """Say nothing."""


def int8_graphs(
    search: bytes,
    query: bytes,
    frames: Sequence[NDArray[np.uint8]],
    *,
    scheme: Scheme,
    exclude: Sequence[str] = (),
    progress: Progress = _silent,
) -> tuple[bytes, bytes, Mapping[str, Any]]:
    """Return both graphs with their heavy layers in int8, and what was done, as JSON values.

    ``frames`` are letterboxed, uint8 ``(3, H, W)``; the query graph is calibrated on the persons
    that the search graph finds in them. ``scheme`` is ``"u8s8"`` for ONNX Runtime and ``"s8s8"``
    for OpenVINO and TensorRT. ``exclude`` names layers that stay float32: one layer
    (``net.trunk.conv1``) or all below a name (``net.reid``).

    Raises:
        BackendUnavailableError: onnx or onnxruntime is not installed.
        BuildError: no frames, frames of another size, nobody in them, a name in ``exclude`` that
            no layer bears, a graph that is not a bundle's, or NaN in a weight or a tensor.
    """
    if scheme not in SCHEMES:
        raise ValueError(f"scheme must be one of {', '.join(SCHEMES)}, got {scheme!r}")
    nets = {"search": open_net(search, "search graph"), "query": open_net(query, "query graph")}
    _check_frames(nets["search"], frames)
    _check_exclude(nets, exclude)
    plans = {kind: plan_pairs(net, _chosen(net, exclude), scheme) for kind, net in nets.items()}
    feeds: dict[str, list[Feed]] = {
        "search": [{"frames": frame[None]} for frame in frames],
        "query": _query_feeds(nets["search"], nets["query"], frames, progress),
    }
    spreads = {
        kind: spreads_of(net, list(plans[kind].takers), feeds[kind], progress, kind=f"{kind} graph")
        for kind, net in nets.items()
    }
    _join(plans, spreads)
    lowered = [_lower(nets[kind], plans[kind], spreads[kind], scheme, kind) for kind in _KINDS]
    facts = {
        "scheme": scheme,
        "method": METHOD,
        "frames": len(frames),
        "frames_with_persons": len(feeds["query"]),
        "int8": {kind: list(plans[kind].layers) for kind in _KINDS},
        "float32": {kind: _left(nets[kind], plans[kind]) for kind in _KINDS},
        "excluded": list(exclude),
    }
    return lowered[0], lowered[1], facts


def _check_frames(net: Net, frames: Sequence[NDArray[np.uint8]]) -> None:
    if len(frames) == 0:
        raise BuildError("int8 needs frames to calibrate on, got none")
    dims = next(v for v in net.model.graph.input if v.name == "frames").type.tensor_type.shape.dim
    wanted = tuple(dim.dim_value for dim in dims[1:])
    for index, frame in enumerate(frames):
        if frame.shape != wanted or frame.dtype != np.uint8:
            raise BuildError(
                f"calibration frame {index} is {frame.dtype} {frame.shape}, "
                f"the graph takes uint8 {wanted}"
            )


def _check_exclude(nets: Mapping[str, Net], exclude: Sequence[str]) -> None:
    layers = list(dict.fromkeys(n.name for net in nets.values() for n in net.view.layers))
    for pattern in exclude:
        if not any(_covers(pattern, name) for name in layers):
            raise BuildError(
                f"exclude: the graphs have no layer {pattern!r}; they have {', '.join(layers)}"
            )


def _covers(pattern: str, name: str) -> bool:
    return name == pattern or name.startswith((f"{pattern}.", f"{pattern}:"))


def _chosen(net: Net, exclude: Sequence[str]) -> list[str]:
    names = [node.name for node in net.view.heavy]
    return [name for name in names if not any(_covers(pattern, name) for pattern in exclude)]


def _left(net: Net, plan: PairPlan) -> list[str]:
    return [node.name for node in net.view.layers if node.name not in plan.layers]


def _query_feeds(
    search: Net, query: Net, frames: Sequence[NDArray[np.uint8]], progress: Progress
) -> list[Feed]:
    """Return each frame with the R best persons found on it; fewer are repeated to fill R."""
    value = next(v for v in query.model.graph.input if v.name == "boxes")
    rows = value.type.tensor_type.shape.dim[1].dim_value
    session = open_session(search.data(), "search graph")
    feeds: list[Feed] = []
    for index, frame in enumerate(frames):
        progress(f"looking for persons to calibrate on: frame {index + 1} of {len(frames)}")
        feed = {"frames": frame[None]}
        boxes, counts = run(session, ["boxes", "counts"], feed, "search graph")
        found = boxes[0, : int(counts[0])][:rows]
        if len(found):
            feeds.append({**feed, "boxes": np.resize(found, (1, rows, 4))})
    if not feeds:
        raise BuildError(f"nobody was found in the {len(frames)} calibration frames")
    return feeds


def _join(plans: Mapping[str, PairPlan], spreads: Mapping[str, dict[str, Spread]]) -> None:
    """Let a tensor that stands in both graphs have the spread of both together."""
    by_place = {place: name for name, place in plans["search"].places.items()}
    for name, place in plans["query"].places.items():
        if place in by_place:
            other = by_place[place]
            joined = spreads["query"][name].join(spreads["search"][other])
            spreads["query"][name] = spreads["search"][other] = joined


def _lower(
    net: Net, plan: PairPlan, spreads: Mapping[str, Spread], scheme: Scheme, kind: str
) -> bytes:
    grids = {
        name: grid_of(spreads[plan.alike.get(name, name)], symmetric=scheme == "s8s8")
        for name in plan.takers
    }
    insert_pairs(net, plan, grids)
    lowered = net.data()
    faults = lint_graph(lowered, precision="int8")
    if faults:
        raise BuildError(f"the int8 {kind} graph breaks a rule: {'; '.join(faults)}")
    return lowered
