"""Every name of TensorRT that we use exists in the real Python bindings, 10 and 11.

The bindings are the vendor's own; the three libraries that they load are empty here. They are
installed by `make bindings`.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
LIBRARIES = ("libnvinfer", "libnvinfer_plugin", "libnvonnxparser")
SYMBOLS = (
    "createInferBuilder_INTERNAL",
    "createInferRefitter_INTERNAL",
    "createInferRuntime_INTERNAL",
    "createNvOnnxParserRefitter_INTERNAL",
    "createNvOnnxParser_INTERNAL",
    "getBuilderPluginRegistry",
    "getNvOnnxParserVersion",
    "getPluginRegistry",
    "initLibNvInferPlugins",
)
STARTS = """
import sys
import tensorrt_bindings as trt
sys.modules["tensorrt"] = trt
from engines.errors import BackendUnavailableError
from engines.tensorrt import api
assert api.load() is trt
for make in (api.new_builder, api.new_runtime):
    try:
        make(trt)
    except BackendUnavailableError as error:
        print(error)
api.recorder_of(trt).report_error(trt.ErrorCodeTRT.INTERNAL_ERROR, "text")
from engines.tensorrt.builder import _monitor_of
monitor = _monitor_of(trt)
monitor.phase_start("phase", None, 2)
print(monitor.step_complete("phase", 1), [monitor.says.get() for _ in range(2)])
"""
DUMP = """
import json
import tensorrt_bindings as trt
found = {}
def look(path, value, depth):
    info = found[path] = {"kind": type(value).__name__, "doc": value.__doc__ or ""}
    if isinstance(value, property):
        info["settable"] = value.fset is not None
    if hasattr(type(value), "__members__"):
        info["value"] = int(value)
    if isinstance(value, type) and depth:
        for name in dir(value):
            if not name.startswith("__") or name == "__init__":
                look(f"{path}.{name}".lstrip("."), getattr(value, name), depth - 1)
for name in dir(trt):
    if not name.startswith("_"):
        look(name, getattr(trt, name), 3)
print(json.dumps({"version": trt.__version__, "found": found}))
"""


def _versions() -> list[str]:
    text = (ROOT / "Makefile").read_text("utf-8")
    match = re.search(r"^TENSORRT_BINDINGS := (.+)$", text, re.MULTILINE)
    assert match is not None
    return match[1].split()


def _missing(reason: str) -> None:
    if os.environ.get("REQUIRE_TENSORRT_BINDINGS") == "1":
        pytest.fail(f"REQUIRE_TENSORRT_BINDINGS=1, but {reason}")
    pytest.skip(reason)


class Bindings:
    """One version of the bindings, over libraries that do nothing."""

    def __init__(self, version: str, libraries: Path) -> None:
        self.version = version
        self.folder = ROOT / ".venv" / "bindings" / version
        self._libraries = libraries
        self.names: dict[str, Any] = {}

    def run(self, program: str) -> str:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", program],
            env={**os.environ, "LD_LIBRARY_PATH": str(self._libraries),
                 "PYTHONPATH": f"{self.folder}:{ROOT}"},
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module", params=_versions())
def bindings(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bindings:
    """Give one version of the real bindings, with all their names read."""
    libraries = tmp_path_factory.mktemp("libraries")
    found = Bindings(request.param, libraries)
    if not found.folder.is_dir():
        _missing(f"there is no {found.folder}; run make bindings")
    if shutil.which("gcc") is None:
        _missing("there is no gcc to make the libraries with")
    source = libraries / "empty.c"
    source.write_text("\n".join(f"void *{name}(void) {{ return 0; }}" for name in SYMBOLS))
    for library in LIBRARIES:
        name = f"{library}.so.{found.version.partition('.')[0]}"
        subprocess.run(
            ["gcc", "-shared", "-fPIC", source, "-o", libraries / name, f"-Wl,-soname,{name}"],
            check=True,
        )
    told = json.loads(found.run(DUMP))
    assert told["version"] == found.version
    found.names = told["found"]
    return found


def test_every_receiver_in_our_source_is_known(names: ModuleType) -> None:
    assert names.unknown_receivers() == []
    used = {use.path for use in names.tensorrt_uses()}
    assert {"Builder.build_serialized_network", "IExecutionContext.execute_async_v3"} <= used
    assert len(used) > 50


def test_every_name_that_we_use_exists(bindings: Bindings, names: ModuleType) -> None:
    faults = [
        f"{use.where} {use.path}"
        for use in names.tensorrt_uses()
        if use.path not in {*bindings.names, "__version__"}
    ]
    assert faults == []


def test_every_call_fits_a_signature(bindings: Bindings, names: ModuleType) -> None:
    checked = 0
    for use in (use for use in names.tensorrt_uses() if use.kind == "call"):
        info = bindings.names[use.path]
        if info["kind"] == "pybind11_type":
            info = bindings.names[f"{use.path}.__init__"]
        overloads = names.overloads(info["doc"])
        count = use.count - use.path.endswith("__init__")  # there self is an argument
        assert overloads, use
        assert any(names.takes(o, count, use.names) for o in overloads), (use, overloads)
        checked += 1
    assert checked > 25


def test_what_is_set_can_be_set_and_what_is_read_is_no_method(
    bindings: Bindings, names: ModuleType
) -> None:
    for use in names.tensorrt_uses():
        kind = bindings.names.get(use.path, {"kind": ""})["kind"]
        if use.kind == "set":
            assert bindings.names[use.path]["settable"], use
        if use.kind == "get":
            assert kind not in ("instancemethod", "builtin_function_or_method"), use


def test_every_method_that_we_override_is_called_as_we_define_it(
    bindings: Bindings, names: ModuleType
) -> None:
    seen = list(names.overrides())
    assert {base for base, _, _ in seen} == {"ILogger", "IErrorRecorder", "IProgressMonitor"}
    for base, method, count in seen:
        overloads = names.overloads(bindings.names[f"{base}.{method}"]["doc"])
        assert [len(parameters) for parameters in overloads] == [count], (base, method)


def test_the_strong_typing_flag_is_taken_by_name(bindings: Bindings) -> None:
    flags = "NetworkDefinitionCreationFlag"
    values = {"10": 1, "11": 0}
    major = bindings.version.partition(".")[0]
    assert bindings.names[f"{flags}.STRONGLY_TYPED"]["value"] == values[major]


def test_no_gpu_is_told_in_our_words_and_our_listeners_can_be_made(bindings: Bindings) -> None:
    said = bindings.run(STARTS).splitlines()
    assert len(said) == 3
    for line in said[:2]:
        assert f"TensorRT {bindings.version} is installed but cannot start: pybind11" in line
        assert "needs an NVIDIA GPU" in line
    assert said[2] == "True ['phase', 'phase 2/2']"


def test_the_simulated_runtime_has_the_real_names(
    bindings: Bindings, names: ModuleType, fake_cuda: ModuleType, fake_tensorrt: ModuleType
) -> None:
    fake = fake_tensorrt.tensorrt_of(fake_cuda.Simulation())
    checked = 0
    for name, cls in vars(fake).items():
        if not isinstance(cls, type):
            continue
        for member, value in vars(cls).items():
            if member.startswith("_"):
                continue
            real = bindings.names[f"{name}.{member}"]
            checked += 1
            if hasattr(value, "__code__"):
                code = value.__code__
                own = list(code.co_varnames[1 : code.co_argcount])
                real_names = [[p for p, _ in o] for o in names.overloads(real["doc"])]
                assert any(own == r[: len(own)] for r in real_names), (name, member, real_names)
            elif isinstance(getattr(value, "value", None), int):
                assert real["value"] == value.value, (name, member)
    assert checked > 20
