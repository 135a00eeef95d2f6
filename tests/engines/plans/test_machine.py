"""Names of processors and runtimes."""

from pathlib import Path

import pytest

from engines.errors import BackendUnavailableError
from engines.plans import machine
from engines.plans.machine import cpu_text, machine_text, runtime_text

XEON = """processor\t: 0
model name\t: Some Xeon 8480+
flags\t\t: fpu avx2 avx512f avx512_vnni amx_int8 amx_bf16 avx512_bf16 hypervisor

processor\t: 1
model name\t: another
flags\t\t: avx_vnni
"""
ARM = "processor\t: 0\nFeatures\t: fp asimd asimddp i8mm bf16\nCPU implementer\t: 0x41\n"


def test_a_processor_is_its_model_and_the_instructions_that_matter(tmp_path: Path) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text(XEON)
    assert cpu_text(info) == (
        "Some Xeon 8480+ amx_bf16 amx_int8 avx2 avx512_bf16 avx512_vnni avx512f"
    )


def test_a_processor_without_a_name_is_still_told_apart(tmp_path: Path) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text(ARM)
    assert cpu_text(info).endswith(" asimddp bf16 i8mm")
    assert cpu_text(tmp_path / "none")


def test_this_machine_has_a_name() -> None:
    assert machine_text("onnxruntime") == machine_text("openvino") == cpu_text()


def test_a_runtime_is_told_with_its_full_version() -> None:
    name, version = runtime_text("onnxruntime").split()
    assert name == "onnxruntime"
    assert version == __import__("onnxruntime").__version__


def test_without_a_gpu_runtime_its_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    if machine.BACKENDS["tensorrt"].installed:
        pytest.skip("TensorRT and pycuda are installed here")
    with pytest.raises(BackendUnavailableError, match=r"pip install -e '\.\[gpu\]'"):
        runtime_text("tensorrt")


def test_the_driver_is_told_with_the_cuda_that_it_speaks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = tmp_path / "version"
    monkeypatch.setattr(machine, "DRIVER", driver)
    assert machine._driver(13020) == "CUDA 13.2"
    driver.write_text("580.95.05\n")
    assert machine._driver(12080) == "580.95.05 CUDA 12.8"
