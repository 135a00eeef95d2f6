"""Run the engine through the real pycuda, over a CUDA driver that needs no GPU.

A program of its own, because the driver must be loaded before Python: it takes the folder of a
tiny bundle and one for the plans, and prints what it found as JSON.
"""

import ctypes
import gc
import importlib.util
import json
import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from engines.bundle import open_bundle
from engines.errors import EngineError
from engines.onnx_backend import OnnxEngine
from engines.plans.build import plan_key
from engines.plans.cache import PlanCache
from engines.tensorrt.backend import TensorRTEngine


class HostGpu:
    """What the simulated TensorRT needs of a GPU, where its memory is the host's."""

    saw_poison = refuses = refuses_contexts = refuses_runtime = False

    def __init__(self) -> None:
        self.freed: list[str] = []

    def call(self, name: str) -> None:
        """Nothing fails here."""

    def task(self, engine: str, run: Any) -> Any:
        return run

    def queue_of(self, handle: int) -> int:
        assert handle > 0
        return handle

    def put(self, queue: int, run: Any) -> None:
        run()

    def at(self, address: int, size: int) -> Any:
        return np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(address))


def _module(name: str) -> ModuleType:
    path = Path(__file__).with_name(f"{name}.py")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _same(found: Any, wanted: Any) -> bool:
    return all(
        np.array_equal(a.boxes, b.boxes) and np.array_equal(a.embeddings, b.embeddings)
        for a, b in zip(found, wanted, strict=True)
    )


def _use(bundle: Any, plan: Any, fake: Any) -> dict[str, Any]:
    frames = list(np.random.default_rng(0).integers(0, 256, (11, 32, 48, 3), dtype=np.uint8))
    with OnnxEngine(bundle, threads=1, max_batch=4) as other:
        wanted = other.detect(frames)
    engine = TensorRTEngine(bundle, plan)
    same: list[bool | str] = []

    def work() -> None:
        try:
            same.append(_same(engine.detect(frames), wanted))
        except EngineError as error:
            same.append(type(error).__name__)
        same.append(fake.fake_depth() == 0)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if same == [True] * 6:
        engine.embed(frames[:2], [np.array([[1, 1, 9, 9]], np.float32)] * 2)
    alive = fake.fake_alive()
    closer = threading.Thread(target=engine.close)
    closer.start()
    closer.join()
    return {"same": same, "alive": alive}


def main() -> None:
    """Detect in three threads, close in a fourth."""
    fake = ctypes.CDLL(None)
    tensorrt = _module("fake_tensorrt")
    sys.modules["tensorrt"] = tensorrt.tensorrt_of(HostGpu())
    bundle = open_bundle(Path(sys.argv[1]))
    files = {
        "search.plan": tensorrt.fake_plan(bundle.search_graph(), (1, 2, 4)),
        "query.plan": tensorrt.fake_plan(bundle.query_graph(), (1, 2, 4)),
    }
    key = plan_key(bundle, "tensorrt", "fp32", batch=(1, 2, 4))
    told: dict[str, Any] = {"machine": key.machine}
    try:
        told |= _use(bundle, PlanCache(Path(sys.argv[2])).store(key, files, {}), fake)
    except EngineError as error:
        told["error"] = f"{type(error).__name__}: {error}"
    gc.collect()
    told |= {"left": fake.fake_alive(), "depth": fake.fake_depth(), "held": fake.fake_retained()}
    print(json.dumps(told))


if __name__ == "__main__":
    main()
