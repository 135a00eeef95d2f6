"""Loading TensorRT: which versions, and what is said where it is missing."""

import importlib
import subprocess
import sys
from types import ModuleType
from typing import Any

import pytest

from engines.errors import BackendUnavailableError
from engines.tensorrt.api import Complaints, load, version_of
from engines.tensorrt.cuda import open_device


def installed(monkeypatch: pytest.MonkeyPatch, version: str) -> ModuleType:
    module: Any = ModuleType("tensorrt")
    module.__version__ = version
    monkeypatch.setitem(sys.modules, "tensorrt", module)
    return module


@pytest.mark.parametrize("version", ["10.13.0.35", "10.16.1.11", "11.4.0.106", "11.0.0rc1"])
def test_known_versions_load(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    module = installed(monkeypatch, version)
    assert load() is module


@pytest.mark.parametrize("version", ["8.6.1", "10.9.0.34", "10.12.9", "12.0.0", "unknown"])
def test_others_are_refused_by_their_number(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    installed(monkeypatch, version)
    with pytest.raises(BackendUnavailableError, match=rf"TensorRT {version} .*knows 10\.13 to 11"):
        load()


def test_versions_are_compared_as_numbers() -> None:
    module: Any = ModuleType("tensorrt")
    module.__version__ = "10.13.2.6.post1"
    assert version_of(module) == (10, 13, 2, 6)


@pytest.mark.parametrize(("name", "use"), [("tensorrt", load), ("pycuda", lambda: open_device(0))])
def test_what_is_missing_is_told_with_its_command(
    monkeypatch: pytest.MonkeyPatch, name: str, use: Any
) -> None:
    real = importlib.import_module

    def missing(wanted: str, package: str | None = None) -> ModuleType:
        if wanted.partition(".")[0] == name:
            raise ModuleNotFoundError(f"No module named {wanted!r}", name=wanted)
        return real(wanted, package)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(BackendUnavailableError, match=rf"{name}.* is not installed.*'\.\[gpu\]'"):
        use()


def test_libraries_that_do_not_load_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.import_module

    def broken(wanted: str, package: str | None = None) -> ModuleType:
        if wanted.startswith("pycuda"):
            raise ImportError("libcuda.so.1: cannot open shared object file")
        return real(wanted, package)

    monkeypatch.setattr(importlib, "import_module", broken)
    with pytest.raises(BackendUnavailableError, match=r"cannot be loaded: libcuda\.so\.1"):
        open_device(0)


def test_complaints_are_told_once_and_the_first_ones_stay() -> None:
    complaints = Complaints()
    for text in ("a\n  b", "a b", *map(str, range(30))):
        complaints.add(text)
    assert (complaints.count(), complaints.text(0)) == (20, "a b")
    assert complaints.take().startswith("a b; 0; 1; ")
    assert complaints.take() == ""


def test_importing_the_backend_loads_neither_library() -> None:
    program = (
        "import sys, engines.tensorrt.backend, engines.tensorrt.builder; "
        "print([name for name in ('tensorrt', 'pycuda', 'onnxruntime', 'torch', 'onnx') "
        "if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
