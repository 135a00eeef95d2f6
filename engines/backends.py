"""The runtimes that can execute a bundle, and what each of them can do.

Each is imported when it is opened, never before.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from engines.bundle import Bundle
from engines.errors import BackendUnavailableError
from engines.values import Precision

if TYPE_CHECKING:
    from engines.graph_engine import RunnerEngine
    from engines.plans.cache import Plan


@dataclass(frozen=True, slots=True)
class Opening:
    """What an engine is opened with. ``device`` names a GPU, or "cpu"; None leaves it open."""

    bundle: Bundle
    precision: Precision
    plan: "Plan | None" = None
    threads: int | None = None
    device: str | int | None = None


@dataclass(frozen=True, slots=True)
class Backend:
    """One runtime. ``planned`` are the precisions that run from a plan, not from the bundle.

    ``modules`` must all be installed; the first is the runtime itself.
    """

    name: str
    modules: tuple[str, ...]
    extra: str
    precisions: tuple[Precision, ...]
    planned: frozenset[Precision]
    open: "Callable[[Opening], RunnerEngine]"
    on_gpu: bool = False

    @property
    def module(self) -> str:
        """The package of the runtime."""
        return self.modules[0]

    @property
    def installed(self) -> bool:
        """Whether the packages are there; nothing is imported."""
        return all(find_spec(module) is not None for module in self.modules)

    def check(self, precision: Precision) -> None:
        """Make sure that it knows a precision.

        Raises:
            BackendUnavailableError: it does not.
        """
        if precision not in self.precisions:
            known = ", ".join(self.precisions)
            raise BackendUnavailableError(f"{self.name} does not run {precision}, it runs {known}")


def backend_named(name: str) -> Backend:
    """Return a backend by its name.

    Raises:
        BackendUnavailableError: there is none of this name.
    """
    if name not in BACKENDS:
        raise BackendUnavailableError(
            f"no engine backend {name!r}; there is auto, {', '.join(BACKENDS)}"
        )
    return BACKENDS[name]


def _onnxruntime(wanted: Opening) -> "RunnerEngine":
    from engines.onnx_backend import OnnxEngine

    return OnnxEngine(wanted.bundle, plan=wanted.plan, threads=wanted.threads)


def _openvino(wanted: Opening) -> "RunnerEngine":
    from engines.openvino_backend import OpenVinoEngine

    return OpenVinoEngine(
        wanted.bundle, precision=wanted.precision, plan=wanted.plan, threads=wanted.threads
    )


def _tensorrt(wanted: Opening) -> "RunnerEngine":
    from engines.tensorrt.backend import TensorRTEngine

    assert wanted.plan is not None
    return TensorRTEngine(wanted.bundle, wanted.plan, device=gpu_number(wanted.device))


def _reference(wanted: Opening) -> "RunnerEngine":
    from engines.reference.backend import ReferenceEngine

    device = "cpu" if wanted.device is None else str(wanted.device)
    return ReferenceEngine(wanted.bundle, plan=wanted.plan, device=device, threads=wanted.threads)


def gpu_number(device: str | int | None) -> int:
    """Return the number of a GPU named 0, "0" or "cuda:0"; the first by default.

    Raises:
        BackendUnavailableError: it names no GPU.
    """
    if device is None or device == "cuda":
        return 0
    text = str(device).removeprefix("cuda:")
    if not text.isdecimal():
        raise BackendUnavailableError(f"device {device!r} is no GPU; name one by its number")
    return int(text)


_ALL = (
    Backend("onnxruntime", ("onnxruntime",), "", ("fp32", "fp16", "int8"),
            frozenset({"fp16", "int8"}), _onnxruntime),
    Backend("openvino", ("openvino",), "openvino", ("fp32", "bf16", "int8"),
            frozenset({"int8"}), _openvino),
    Backend("tensorrt", ("tensorrt", "pycuda"), "gpu", ("fp32", "fp16", "int8"),
            frozenset({"fp32", "fp16", "int8"}), _tensorrt, on_gpu=True),
    Backend("reference", ("torch",), "train", ("fp32", "fp16"), frozenset({"fp16"}), _reference),
)  # fmt: skip

BACKENDS = {backend.name: backend for backend in _ALL}
"""Every backend by name; the first needs no extra and is the default."""

DEFAULT = _ALL[0].name
REFERENCE = _ALL[-1].name
"""Not for service: it computes layer by layer, to compare with."""
