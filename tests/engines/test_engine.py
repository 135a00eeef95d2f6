"""Opening an engine: backends, optional packages, and what is loaded and printed."""

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from engines import engine as engine_module
from engines.backends import BACKENDS, gpu_number
from engines.bundle import open_bundle
from engines.engine import open_engine, require
from engines.errors import BackendUnavailableError
from engines.onnx_backend import OnnxEngine
from engines.plans.cache import PlanCache


def test_an_unknown_backend_is_told_which_exist(tiny_bundle: Path) -> None:
    with pytest.raises(BackendUnavailableError, match="'abacus'; there is auto, onnxruntime"):
        open_engine(tiny_bundle, backend="abacus")


@pytest.mark.parametrize("backend", BACKENDS)
def test_each_backend_opens_or_says_what_to_install(
    tiny_bundle: Path, tmp_path: Path, backend: str
) -> None:
    known = BACKENDS[backend]
    cache = PlanCache(tmp_path / "cache")
    if not known.installed:
        with pytest.raises(BackendUnavailableError, match=rf"pip install -e '\.\[{known.extra}\]'"):
            open_engine(tiny_bundle, backend=backend, cache=cache)
        return
    with open_engine(tiny_bundle, backend=backend, threads=1, cache=cache) as engine:
        assert (engine.info.backend, engine.info.precision) == (backend, "fp32")
        assert engine.info.reason.startswith(f"{backend} fp32: ")


def test_the_commands_offer_the_backends_that_there_are() -> None:
    from cli.options import BackendChoice, PrecisionChoice

    assert [choice.value for choice in BackendChoice] == ["auto", *BACKENDS]
    known = {precision for backend in BACKENDS.values() for precision in backend.precisions}
    assert {choice.value for choice in PrecisionChoice} == known


@pytest.mark.parametrize(
    ("device", "number"), [(None, 0), ("cuda", 0), (1, 1), ("2", 2), ("cuda:3", 3)]
)
def test_a_gpu_is_named_by_its_number(device: str | int | None, number: int) -> None:
    assert gpu_number(device) == number


def test_a_device_that_is_no_gpu_is_refused() -> None:
    with pytest.raises(BackendUnavailableError, match="device 'cpu' is no GPU"):
        gpu_number("cpu")


@pytest.mark.parametrize("threads", [0, -1])
def test_a_senseless_number_of_threads_is_refused(tiny_bundle: Path, threads: int) -> None:
    with pytest.raises(ValueError, match=f"threads must be at least 1, got {threads}"):
        open_engine(tiny_bundle, threads=threads)
    with pytest.raises(ValueError, match="max_batch must be at least 1, got 0"):
        OnnxEngine(open_bundle(tiny_bundle), max_batch=0)


def test_the_shipped_bundle_is_the_default(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "shipped_bundle", lambda: tiny_bundle)
    with open_engine() as engine:
        assert engine.info.path == tiny_bundle


def test_require_names_the_command_that_installs() -> None:
    assert require("json").__name__ == "json"
    with pytest.raises(BackendUnavailableError, match=r"no_such_runtime is not installed; in the "
                       r"folder of Sightline's sources run: .*python\S* -m pip install -e "
                       r"'\.\[gpu\]'"):  # fmt: skip
        require("no_such_runtime", "gpu")
    with pytest.raises(BackendUnavailableError, match=r"pip install -e '\.'"):
        require("no_such_runtime.part")


def test_require_tells_a_missing_package_from_a_broken_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "half_runtime.py").write_text("import no_such_library_of_it\n")
    (tmp_path / "torn_runtime.py").write_text("raise ImportError('libx.so: cannot open')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(BackendUnavailableError, match="half_runtime is installed but cannot be"):
        require("half_runtime")
    with pytest.raises(BackendUnavailableError, match=r"cannot be loaded: libx\.so: cannot open"):
        require("torn_runtime")


def run_python(code: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=100)


def test_importing_the_engine_loads_no_runtime() -> None:
    code = (
        "import sys, engines.engine, engines.opening, engines.compare, engines.lint, "
        "engines.plans.worker; print(*sys.modules)"
    )
    loaded = set(run_python(code).stdout.split())
    heavy = {"onnxruntime", "onnx", "torch", "openvino", "tensorrt", "pycuda", "pymilvus", "google"}
    assert not loaded & heavy


def test_opening_one_runtime_loads_no_other(tiny_bundle: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from engines.engine import open_engine; "
        "open_engine(Path(sys.argv[1])).close(); print(*sys.modules)"
    )
    loaded = set(run_python(code, str(tiny_bundle)).stdout.split())
    assert "onnxruntime" in loaded
    assert not loaded & {"onnx", "torch", "openvino", "tensorrt", "pycuda", "google"}


def test_the_runtime_prints_nothing(tiny: ModuleType, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load_model_from_string(tiny.search_graph())
    model.graph.initializer.add(name="unused", data_type=1, dims=[1], float_data=[1.0])
    short = tiny.search_graph(table=tiny.cell_boxes()[:3])
    noisy = tiny.write_tiny(tmp_path / "noisy", search=model.SerializeToString())
    failing = tiny.write_tiny(tmp_path / "failing", search=short)
    code = (
        "import sys, numpy as np; from pathlib import Path\n"
        "from engines.engine import open_engine; from engines.errors import InferenceError\n"
        "frame = np.full((64, 96, 3), 255, np.uint8)\n"
        "assert open_engine(Path(sys.argv[1])).detect([frame])[0].full\n"
        "try: open_engine(Path(sys.argv[2])).detect([frame])\n"
        "except InferenceError: pass\n"
        "else: raise SystemExit('did not fail')\n"
    )
    result = run_python(code, str(noisy), str(failing))
    assert (result.stdout, result.stderr) == ("", "")
