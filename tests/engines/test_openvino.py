"""The engine on OpenVINO: what is its own; agreement with the others is tested beside."""

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engines import openvino_backend
from engines.bundle import Bundle, open_bundle
from engines.errors import BackendUnavailableError, BundleError, InferenceError
from engines.openvino_backend import OpenVinoEngine, OpenVinoRunner, runtime_errors
from engines.plans.machine import cpu_text

if os.environ.get("REQUIRE_OPENVINO") != "1":
    pytest.importorskip("openvino", reason="OpenVINO is not installed (REQUIRE_OPENVINO=1 fails)")

Picture = NDArray[np.uint8]
WHITE = np.full((64, 96, 3), 255, np.uint8)
BOX = np.array([[0, 0, 8, 8]], np.float32)
HAS_BF16 = bool(openvino_backend.NATIVE_BF16.intersection(cpu_text().split()))


@pytest.fixture
def bundle(tiny_bundle: Path) -> Bundle:
    return open_bundle(tiny_bundle)


def compiled(engine: OpenVinoEngine) -> list[int]:
    """The batch sizes that the search graph was compiled for."""
    runner = engine._runner
    assert isinstance(runner, OpenVinoRunner)
    assert runner._search is not None
    return sorted(runner._search._compiled)


def test_it_says_what_it_is(bundle: Bundle) -> None:
    with OpenVinoEngine(bundle, threads=1) as engine:
        assert (engine.info.backend, engine.info.precision) == ("openvino", "fp32")
        assert engine.info.model == bundle.manifest.model


@pytest.mark.parametrize("threads", [0, -1])
def test_senseless_numbers_are_refused(bundle: Bundle, threads: int) -> None:
    with pytest.raises(ValueError, match=f"threads must be at least 1, got {threads}"):
        OpenVinoEngine(bundle, threads=threads)
    with pytest.raises(ValueError, match="max_batch must be at least 1, got 0"):
        OpenVinoEngine(bundle, max_batch=0)


def test_a_full_batch_is_compiled_when_it_first_comes(bundle: Bundle) -> None:
    with OpenVinoEngine(bundle, threads=1, max_batch=3) as engine:
        assert compiled(engine) == [1]
        assert len(engine.detect([WHITE, WHITE])) == 2
        assert compiled(engine) == [1]
        assert len(engine.detect([WHITE] * 7)) == 7
        assert compiled(engine) == [1, 3]


def test_answers_are_copies(bundle: Bundle) -> None:
    runner = OpenVinoRunner(
        openvino_backend.GraphSource(bundle, "openvino"), openvino_backend._options("fp32", 1), 2
    )
    white, black = np.full((1, 3, 32, 48), 255, np.uint8), np.zeros((1, 3, 32, 48), np.uint8)
    for frames in (white, white.repeat(2, 0)):
        first = runner.search(frames)
        kept = [array.copy() for array in first]
        runner.search(black.repeat(len(frames), 0))
        assert all((a == b).all() for a, b in zip(first, kept, strict=True))
        assert all(array.flags.owndata and array.flags.writeable for array in first)
    boxes = np.tile(BOX, (1, 3, 1))
    embedded = runner.query(white, boxes)
    kept_embedded = embedded.copy()
    runner.query(black, boxes)
    assert (embedded == kept_embedded).all()


def test_bf16_needs_a_processor_that_has_it(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openvino_backend, "cpu_text", lambda: "Some CPU avx2 avx512f")
    with pytest.raises(
        BackendUnavailableError,
        match="would run bf16 slower than fp32 on this CPU: it has none of amx_bf16, avx512_bf16",
    ):
        OpenVinoEngine(bundle, precision="bf16")
    OpenVinoEngine(bundle, threads=1).close()


def test_bf16_runs_in_bf16(bundle: Bundle) -> None:
    if not HAS_BF16:
        pytest.skip(f"this CPU multiplies no bfloat16: {cpu_text()}")
    with OpenVinoEngine(bundle, precision="bf16", threads=1) as engine:
        assert engine.info.precision == "bf16"
        assert len(engine.detect([WHITE])[0]) == 4
        runner = engine._runner
        assert isinstance(runner, OpenVinoRunner)
        assert runner._search is not None
        hint = runner._search._compiled[1]._compiled.get_property("INFERENCE_PRECISION_HINT")
        assert hint.get_type_name() == "bf16"


@pytest.mark.parametrize(
    ("precision", "error", "reason"),
    [
        ("fp16", BackendUnavailableError, "openvino does not run fp16, it runs fp32, bf16, int8"),
        ("int8", BundleError, "its graphs are fp32, openvino needs int8 here"),
    ],
)
def test_a_precision_that_cannot_be_run_is_refused(
    bundle: Bundle, precision: Any, error: type[Exception], reason: str
) -> None:
    with pytest.raises(error, match=reason):
        OpenVinoEngine(bundle, precision=precision)


def test_the_query_graph_is_loaded_when_it_is_needed(tiny: ModuleType, tmp_path: Path) -> None:
    path = tiny.write_tiny(tmp_path / "b", query=b"no graph at all")
    with OpenVinoEngine(open_bundle(path), threads=1) as engine:
        assert len(engine.detect([WHITE])[0]) == 4
        with pytest.raises(BundleError, match=r"query\.onnx: not an ONNX graph"):
            engine.embed([WHITE], [BOX])


def test_a_failure_inside_the_runtime_is_told(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    with OpenVinoEngine(bundle, threads=1) as engine:
        runner = engine._runner
        assert isinstance(runner, OpenVinoRunner)
        assert runner._search is not None
        requests = runner._search._compiled[1]
        wrong = np.zeros((1, 3, 16, 16), np.uint8)
        with pytest.raises(
            InferenceError, match=r"openvino failed on a batch: .*got \[1,3,16,16\] expecting"
        ):
            requests.run({"frames": wrong})
        assert len(engine.detect([WHITE])[0]) == 4  # the next call is answered


def test_a_graph_that_it_cannot_compile_is_named(tiny: ModuleType, tmp_path: Path) -> None:
    g = tiny.Graph()
    g.op("MatMul", g.op("Cast", "frames", to=1), g.const(np.eye(7)), outputs=("boxes",))
    graph = g.build(
        {"frames": (2, ["batch", 3, *tiny.INPUT_HW])}, {"boxes": (1, ["batch", 3, 32, 7])}
    )
    path = tiny.write_tiny(tmp_path / "b", search=graph)
    with pytest.raises(BundleError, match=r"openvino cannot load search\.onnx: .*Incompatible Mat"):
        OpenVinoEngine(open_bundle(path))


def test_every_error_of_the_runtime_is_known() -> None:
    bindings = pytest.importorskip("openvino._pyopenvino")
    errors = [c for c in vars(bindings).values() if isinstance(c, type)]
    own = [c for c in errors if issubclass(c, Exception)]
    assert {"GeneralFailure", "OpConversionFailure"} <= {c.__name__ for c in own}
    assert all(issubclass(c, runtime_errors()) for c in [*own, RuntimeError, MemoryError])
    assert Exception not in runtime_errors()


def test_a_closed_engine_refuses_to_work(bundle: Bundle) -> None:
    engine = OpenVinoEngine(bundle, threads=1)
    runner = engine._runner
    assert isinstance(runner, OpenVinoRunner)
    engine.close()
    engine.close()
    with pytest.raises(InferenceError, match="engine tiny is closed"):
        engine.detect([WHITE])
    for call in (
        lambda: runner.search(np.zeros((1, 3, 32, 48), np.uint8)),
        lambda: runner.query(np.zeros((1, 3, 32, 48), np.uint8), np.tile(BOX, (1, 3, 1))),
    ):
        with pytest.raises(InferenceError, match="closed while it was in use"):
            call()


PRIVATE = """
import sys
REACHED = []
def watch(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "urllib.Request", "subprocess.Popen"):
        REACHED.append((event, arguments))
sys.addaudithook(watch)
from pathlib import Path
import numpy as np
from engines.bundle import open_bundle
from engines.openvino_backend import OpenVinoEngine
with OpenVinoEngine(open_bundle(Path(sys.argv[1])), threads=1) as engine:
    found = engine.detect([np.full((64, 96, 3), 255, np.uint8)])[0]
    engine.embed([np.full((64, 96, 3), 255, np.uint8)], [found.boxes])
import openvino.tools.ovc
assert not REACHED, REACHED
assert len(found) == 4
"""


def test_nothing_is_reported_printed_or_left_behind(tiny_bundle: Path, tmp_path: Path) -> None:
    """OpenVINO reports each import to its maker, but not where it believes to be in a CI."""
    home = tmp_path / "home"
    home.mkdir()
    root = Path(__file__).resolve().parents[2]
    kept = {k: os.environ[k] for k in ("PATH", "LD_LIBRARY_PATH") if k in os.environ}
    result = subprocess.run(
        [sys.executable, "-c", PRIVATE, str(tiny_bundle)],
        cwd=home,
        env={**kept, "HOME": str(home), "TMPDIR": str(home), "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert [str(path.relative_to(home)) for path in home.rglob("*")] == []
