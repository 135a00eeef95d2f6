"""How the files of a plan come out of a bundle's graphs, for each backend.

A lowered graph is the same for every machine; a compiled plan is not. TensorRT compiles the
lowered graph, as what it is given in says all about precision.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from engines.bundle import Bundle
from engines.errors import BuildError
from engines.manifest import QUERY_GRAPH, SEARCH_GRAPH
from engines.plans.keys import JSON
from engines.values import Precision

SEARCH_PLAN = "search.plan"
QUERY_PLAN = "query.plan"

INT8_SCHEMES: dict[str, Literal["u8s8", "s8s8"]] = {
    "onnxruntime": "u8s8",
    "openvino": "s8s8",
    "tensorrt": "s8s8",
}
"""Types of data and weights: ONNX Runtime gains from u8s8 alone, TensorRT takes s8s8 alone."""


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be made. ``frames`` are uint8 (3, H, W), letterboxed; int8 needs them."""

    bundle: Bundle
    backend: str
    precision: Precision
    frames: Sequence[NDArray[np.uint8]]
    batch: tuple[int, int, int]
    workspace_bytes: int
    exclude: tuple[str, ...]
    timing: bytes
    progress: Callable[[str], None]
    device: int = 0


@dataclass(frozen=True, slots=True)
class Product:
    """The files of a plan, what there is to tell of them, and what the compiler measured."""

    files: Mapping[str, bytes]
    facts: Mapping[str, JSON] = field(default_factory=dict)
    timing: bytes = b""


Maker = Callable[[Job], Product]


def maker_of(backend: str) -> Maker:
    """Return what makes the files of a backend's plans."""
    return _compiled if backend == "tensorrt" else _graphs


def lowered(job: Job) -> Product:
    """Return the two graphs in the precision of a job.

    Raises:
        BuildError: a graph cannot be lowered.
    """
    search, query = job.bundle.search_graph(), job.bundle.query_graph()
    if job.precision == "fp32":
        return Product({SEARCH_GRAPH: search, QUERY_GRAPH: query})
    if job.precision == "fp16":
        from engines.precision import fp16_graph

        job.progress("lowering the graphs to float16")
        return Product({SEARCH_GRAPH: fp16_graph(search), QUERY_GRAPH: fp16_graph(query)})
    if job.precision == "int8":
        from engines.precision import int8_graphs

        job.progress(f"calibrating int8 on {len(job.frames)} frames")
        search, query, facts = int8_graphs(
            search, query, job.frames, scheme=INT8_SCHEMES[job.backend], exclude=job.exclude,
            progress=job.progress,
        )  # fmt: skip
        return Product({SEARCH_GRAPH: search, QUERY_GRAPH: query}, {"int8": dict(facts)})
    raise BuildError(f"there is no {job.precision} graph; it is a mode of the runtime")


def _graphs(job: Job) -> Product:
    return lowered(job)


def _compiled(job: Job) -> Product:
    """Compile the lowered graphs with TensorRT."""
    from engines.tensorrt.builder import build

    graphs = lowered(job)
    plans: dict[str, bytes] = {}
    timing = job.timing
    for graph, name in ((SEARCH_GRAPH, SEARCH_PLAN), (QUERY_GRAPH, QUERY_PLAN)):
        job.progress(f"compiling {graph} for {job.precision}, batches of {job.batch}")
        built = build(
            graphs.files[graph],
            batch=job.batch,
            workspace_bytes=job.workspace_bytes,
            timing_cache=timing,
            progress=job.progress,
            device=job.device,
        )
        plans[name], timing = built.plan, built.timing_cache
    return Product(plans, {**graphs.facts, "workspace_bytes": job.workspace_bytes}, timing)
