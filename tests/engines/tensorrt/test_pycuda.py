"""pycuda: our calls fit the real module, and the engine runs through it without a GPU.

pycuda is built from source against a CUDA toolkit, so that few machines have it. What its real
module says of the names that we use is kept in ``pycuda.json``. Where a build lies in
``.venv/bindings/pycuda`` (docs/gpu.md tells how), the slow tests hold the record to it and run
the engine through it, over a driver written for the purpose.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
SUPPORT = ROOT / "tests" / "support"
PYCUDA = ROOT / ".venv" / "bindings" / "pycuda"
RECORD = Path(__file__).with_name("pycuda.json")
DUMP = """
import json, sys
import pycuda, pycuda.driver as driver
found = {}
for path in json.loads(sys.argv[1]):
    value = driver
    for name in path.split("."):
        value = getattr(value, name)
    lines = (value.__doc__ or "").strip().splitlines()
    found[path] = [type(value).__name__, lines[0] if lines else ""]
print(json.dumps({"version": pycuda.VERSION_TEXT, "names": found}))
"""
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def record() -> dict[str, list[str]]:
    """Give what the real module says of each name: its kind and its signature."""
    found: dict[str, list[str]] = json.loads(RECORD.read_text("utf-8"))["names"]
    return found


def wanted_names(names: ModuleType, fake_cuda: ModuleType) -> list[str]:
    """Return every name that we use or simulate."""
    driver = fake_cuda.driver_of(fake_cuda.Simulation())
    simulated = [name for name in vars(driver) if not name.startswith("_")]
    for name, cls in vars(driver).items():
        if isinstance(cls, type) and not issubclass(cls, Exception):
            simulated += [f"{name}.{m}" for m in vars(cls) if m == "__init__" or m[0] != "_"]
    used = [use.path for use in names.pycuda_uses()]
    sized = {"Context.__init__", "DeviceAllocation.__init__"}  # made by functions alone
    return sorted({*simulated, *used, "Device.__init__"} - sized)


def parameters(signature: str) -> list[tuple[str, bool]]:
    """Return the parameters in a signature of Boost.Python: name, and if it may lack."""
    inside = signature.partition("(")[2].rpartition(") ->")[0]
    needed, _, optional = inside.partition("[")
    return [
        (part.rpartition(")")[2].partition("=")[0].strip(), may_lack)
        for text, may_lack in ((needed, False), (optional, True))
        for part in text.replace("[", "").replace("]", "").split(",")
        if part.strip()
    ]


def test_signatures_are_read_as_they_are_meant() -> None:
    text = "f( (object)dest, (object)src [, (object)stream=None [, (int)flags]]) -> None :"
    assert parameters(text) == [("dest", False), ("src", False), ("stream", True), ("flags", True)]
    assert parameters("pop() -> None :") == []


def test_the_record_holds_every_name_that_we_use_and_simulate(
    names: ModuleType, fake_cuda: ModuleType, record: dict[str, list[str]]
) -> None:
    wanted = wanted_names(names, fake_cuda)
    assert set(wanted) == set(record)
    assert len(wanted) > 30


def test_every_call_fits_its_signature(names: ModuleType, record: dict[str, list[str]]) -> None:
    checked = 0
    for use in names.pycuda_uses():
        if use.kind != "call":
            continue
        kind, signature = record[use.path]
        if kind == "class":
            signature = record[f"{use.path}.__init__"][1]
        found = parameters(signature)
        bound = kind == "class" or (bool(found) and "." in use.path)
        assert names.takes(found[bound:], use.count, use.names), (use, signature)
        checked += 1
    assert checked > 15


def test_the_simulated_driver_takes_what_the_real_one_takes(
    fake_cuda: ModuleType, record: dict[str, list[str]]
) -> None:
    driver = fake_cuda.driver_of(fake_cuda.Simulation())
    for path, (kind, signature) in record.items():
        owner, _, member = path.rpartition(".")
        holder = getattr(driver, owner, None) if owner else driver
        value = getattr(holder, member, None)
        code = getattr(value, "__code__", None)
        if kind == "class" or code is None:
            continue
        assert code.co_argcount == len(parameters(signature)), (path, signature)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Give what runs Python with the real pycuda over a driver that needs no GPU."""
    if not (PYCUDA / "pycuda").is_dir():
        pytest.skip(f"no pycuda in {PYCUDA}; docs/gpu.md tells how to build it without a GPU")
    for tool in ("gcc", "nm"):
        if shutil.which(tool) is None:
            pytest.skip(f"there is no {tool} to make the driver with")
    library = _driver(tmp_path_factory.mktemp("driver"))

    def start(*words: str | Path, **variables: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-W", "error", *words],
            env={**os.environ, **variables, "LD_PRELOAD": str(library),
                 "PYTHONPATH": f"{PYCUDA}:{ROOT}"},
            capture_output=True, text=True, check=False, timeout=100,
        )  # fmt: skip

    return start


def _driver(folder: Path) -> Path:
    """Compile the driver; what pycuda wants of it beyond its source answers "not supported"."""
    source = (SUPPORT / "fake_libcuda.c").read_text("utf-8")
    (module,) = (PYCUDA / "pycuda").glob("_driver*.so")
    listed = subprocess.run(
        ["nm", "-D", "--undefined-only", module], capture_output=True, text=True, check=True
    )
    wanted = {line.split()[-1] for line in listed.stdout.splitlines()}
    for name in sorted(name for name in wanted if name.startswith("cu") and name[2].isupper()):
        if f"int {name}(" not in source:
            source += f"int {name}(void) {{ return 801; }}\n"
    (folder / "driver.c").write_text(source, "utf-8")
    library = folder / "libcuda.so.1"
    command = ["gcc", "-shared", "-fPIC", folder / "driver.c", "-o", library]
    subprocess.run(command, check=True)
    return library


@pytest.mark.slow
def test_the_record_is_what_the_real_module_says(
    run: Run, names: ModuleType, fake_cuda: ModuleType
) -> None:
    done = run("-c", DUMP, json.dumps(wanted_names(names, fake_cuda)))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == json.loads(RECORD.read_text("utf-8"))


def detected(run: Run, bundle: Path, plans: Path, **variables: str) -> dict[str, Any]:
    done = run(SUPPORT / "real_pycuda.py", bundle, plans, **variables)
    assert (done.returncode, done.stderr) == (0, "")
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@pytest.mark.slow
def test_the_engine_runs_through_the_real_module_and_frees_everything(
    run: Run, tiny_bundle: Path, tmp_path: Path
) -> None:
    told = detected(run, tiny_bundle, tmp_path / "plans")
    assert told["machine"] == "No GPU sm90 driver CUDA 13.0"
    assert told["same"] == [True] * 6
    assert told["alive"] > 30
    assert (told["left"], told["depth"], told["held"]) == (0, 0, 1)


@pytest.mark.slow
def test_a_lost_device_is_told_by_the_real_module(
    run: Run, tiny_bundle: Path, tmp_path: Path
) -> None:
    told = detected(run, tiny_bundle, tmp_path / "plans", FAKE_CUDA_DIES_AT="2")
    assert told["same"] == ["DeviceLostError", True] * 3
    assert (told["left"], told["depth"]) == (0, 0)


@pytest.mark.slow
def test_want_of_memory_is_told_by_the_real_module(
    run: Run, tiny_bundle: Path, tmp_path: Path
) -> None:
    told = detected(run, tiny_bundle, tmp_path / "plans", FAKE_CUDA_MOST_BYTES="10000")
    assert "InferenceError: GPU 0 has not enough memory for opening search.plan" in told["error"]
    assert (told["left"], told["depth"]) == (0, 0)
