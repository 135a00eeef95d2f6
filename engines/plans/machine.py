"""Name what a plan runs on: the hardware, and the runtime with its full version.

A processor is named by its model and those of its instructions that decide which kernels a
runtime takes; a GPU by its name, compute capability and driver. Nothing heavy is imported but
pycuda, and that only when a GPU is asked for.
"""

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from engines.backends import BACKENDS
from engines.errors import BackendUnavailableError
from engines.runtimes import require

CPU_INFO = Path("/proc/cpuinfo")
DRIVER = Path("/sys/module/nvidia/version")
FLAGS = frozenset({
    "amx_bf16", "amx_fp16", "amx_int8", "avx2", "avx512_bf16", "avx512_fp16", "avx512_vnni",
    "avx512f", "avx_vnni", "avx_vnni_int8",
    "asimddp", "bf16", "i8mm", "sve",
})  # fmt: skip
"""Instructions that decide the speed or the rounding of a layer (x86 and ARM)."""


def cpu_text(info: Path = CPU_INFO) -> str:
    """Return the name of the processor and its instructions that matter."""
    fields = _cpu_fields(info)
    name = fields.get("model name") or platform.processor() or platform.machine()
    known = fields.get("flags", fields.get("Features", "")).split()
    return " ".join([name, *sorted(FLAGS.intersection(known))])


def _cpu_fields(info: Path) -> dict[str, str]:
    """Return what the first core says of itself."""
    try:
        text = info.read_text("utf-8", errors="replace")
    except OSError:
        return {}
    lines = text.strip().split("\n\n")[0].splitlines()
    pairs = [line.partition(":") for line in lines]
    return {name.strip(): value.strip() for name, _, value in pairs}


def gpu_text(device: int = 0) -> str:
    """Return name, compute capability and driver of a GPU, ``NVIDIA H200 sm90 driver …``.

    Raises:
        BackendUnavailableError: pycuda is missing, or no such GPU answers.
    """
    cuda = require("pycuda.driver", "gpu")
    try:
        cuda.init()
        gpu = cuda.Device(device)
        major, minor = gpu.compute_capability()
        return f"{gpu.name()} sm{major}{minor} driver {_driver(cuda.get_driver_version())}"
    except cuda.Error as error:
        raise BackendUnavailableError(f"GPU {device} does not answer: {error}") from error


def _driver(cuda_version: int) -> str:
    """Return the driver's own version with the CUDA version that it speaks (13020 = 13.2)."""
    speaks = f"CUDA {cuda_version // 1000}.{cuda_version % 1000 // 10}"
    try:
        return f"{DRIVER.read_text('ascii').strip()} {speaks}"
    except OSError:
        return speaks


def machine_text(backend: str, device: int = 0) -> str:
    """Return the hardware that a backend's plans and verdicts hold for.

    Raises:
        BackendUnavailableError: it needs a GPU, and none answers.
    """
    return gpu_text(device) if BACKENDS[backend].on_gpu else cpu_text()


def runtime_text(backend: str) -> str:
    """Return the runtime of a backend with its full version, ``onnxruntime 1.31.1``.

    Raises:
        BackendUnavailableError: it is not installed, or cannot be loaded.
    """
    runtime = BACKENDS[backend]
    if runtime.on_gpu:  # several packages bring it, and the plan is for the one that loads
        module = require(runtime.module, runtime.extra)
        return f"{runtime.module} {module.__version__}"
    try:
        return f"{runtime.module} {version(runtime.module)}"
    except PackageNotFoundError:
        return f"{runtime.module} {require(runtime.module, runtime.extra).__version__}"
