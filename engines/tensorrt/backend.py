"""The engine on TensorRT."""

from collections.abc import Iterator

from engines.bundle import Bundle
from engines.errors import PlanError
from engines.graph_engine import GraphEngine
from engines.plans.cache import Plan
from engines.plans.machine import machine_text, runtime_text
from engines.tensorrt.api import load
from engines.tensorrt.cuda import open_device
from engines.tensorrt.runtime import TensorRTRunner

BACKEND = "tensorrt"


class TensorRTEngine(GraphEngine):
    """An engine on a GPU, over a plan that was compiled for it; ``device`` is the GPU's number.

    Raises:
        BackendUnavailableError: TensorRT or pycuda is missing, or finds no GPU.
        PlanError: the plan is damaged, or was made for another model, TensorRT or GPU.
        InferenceError: the GPU has not enough memory.
    """

    def __init__(self, bundle: Bundle, plan: Plan, *, device: int = 0) -> None:
        trt = load()
        gpu = open_device(device)
        plan.check_for(bundle.manifest.model, BACKEND)
        if foreign := list(_foreign(plan, device)):
            raise PlanError(plan.path, "; ".join(foreign))
        runner = TensorRTRunner(trt, gpu, bundle, plan)
        super().__init__(
            bundle,
            runner,
            backend=BACKEND,
            max_batch=runner.max_batch,
            precision=plan.key.precision,
        )


def _foreign(plan: Plan, device: int) -> Iterator[str]:
    """Tell in words what a plan was made for, where that is not what is here."""
    for name, made_for, here in (
        ("runtime", plan.key.runtime, runtime_text(BACKEND)),
        ("machine", plan.key.machine, machine_text(BACKEND, device)),
    ):
        if made_for != here:
            yield f"it was made for {name} {made_for}, not {here}"
