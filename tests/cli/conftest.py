"""Run the real command in a real process, with an environment of its own."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from cli.main import main

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Outcome:
    """What a command left: exit code, results, and what it said beside them."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on stdout."""
        return json.loads(self.out)


def _is_ours(name: str) -> bool:
    """Tell whether a variable is a setting that a test may not inherit."""
    return name.startswith("SIGHTLINE_") and name != "SIGHTLINE_CACHE"


def _environment(more: Mapping[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not _is_ours(name)}
    return {
        **kept,
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "default",
        "OMP_NUM_THREADS": "1",
        "COLUMNS": "100",
        **more,
    }


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Start ``sightline`` in an empty folder and return the process."""

    def begin(
        *arguments: str | Path, cwd: Path | None = None, env: Mapping[str, str] | None = None
    ) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "cli.main", *map(str, arguments)],
            cwd=cwd or tmp_path,
            env=_environment(env or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return begin


@pytest.fixture
def sightline(start: Callable[..., subprocess.Popen[str]]) -> Callable[..., Outcome]:
    """Run ``sightline`` to its end."""

    def run(
        *arguments: str | Path,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float = 100,
    ) -> Outcome:
        with start(*arguments, cwd=cwd, env=env) as process:
            try:
                out, err = process.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        return Outcome(process.returncode, out, err)

    return run


@pytest.fixture
def inside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., Outcome]]:
    """Run ``sightline`` to its end in this process, in an empty folder: torch is loaded once."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    for name in [name for name in os.environ if _is_ours(name)]:
        monkeypatch.delenv(name)
    before, hook = signal.getsignal(signal.SIGTERM), sys.excepthook

    def run(*arguments: str | Path) -> Outcome:
        capfd.readouterr()
        code = main([str(argument) for argument in arguments])
        return Outcome(code, *capfd.readouterr())

    yield run
    signal.signal(signal.SIGTERM, before)
    sys.excepthook = hook


def _support(name: str) -> ModuleType:
    path = ROOT / "tests" / "support" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"cli_tests_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def write_people() -> Callable[..., Path]:
    """Give a function that writes a data set to train on; coloured stripes are its people."""
    writer, layout = _support("tinypeople"), _support("prwfolder")

    def write(root: Path, **content: Any) -> Path:
        path: Path = writer.write_people(layout, root, **content)
        return path

    return write


@pytest.fixture(scope="session")
def coco_folder() -> Any:
    """Give the class that writes a COCO json and its pictures."""
    return _support("setfolders").CocoFolder


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a small world of two cameras that has queries."""
    from train.synthetic import WorldSpec, write_world

    out = tmp_path_factory.mktemp("world") / "w"
    spec = WorldSpec(2, 8, 24, 1, seed=3, width=320, height=180)
    write_world(out, spec, workers=1, annotate_every_s=1)
    return out


@pytest.fixture(scope="session")
def tiny() -> ModuleType:
    """Give the module that builds a tiny bundle (needs the package onnx)."""
    pytest.importorskip("onnx", reason="the package onnx builds the graphs of this test")
    return _support("tiny_engine")


@pytest.fixture
def live_camera() -> Iterator[Any]:
    """Give a camera on loopback that sends pictures until it is told to fall silent."""
    with _support("mjpeg_camera").MjpegCamera() as camera:
        yield camera


@pytest.fixture(scope="session")
def bundle(tiny: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give an engine to which every bright block of 8 x 8 pixels is a person of its colour."""
    path: Path = tiny.write_tiny(tmp_path_factory.mktemp("bundle") / "tiny")
    return path


@pytest.fixture(scope="session")
def write_clip() -> Callable[..., Path]:
    """Give a function that writes an H.264 clip in which coloured people cross the picture."""
    return _write_clip


def scene(colours: Sequence[tuple[int, int, int]], moment: float) -> NDArray[np.uint8]:
    """Return a dark picture (64, 96, 3) with a block for each colour, at a moment in 0..1."""
    picture = np.full((64, 96, 3), 16, np.uint8)
    for row, colour in enumerate(colours):
        x, y = 8 * int(moment * 11.99), 8 + 24 * row
        picture[y : y + 8, x : x + 8] = colour
    return picture


def _write_clip(
    path: Path, colours: Sequence[tuple[int, int, int]], *, seconds: float = 8, fps: int = 5
) -> Path:
    frames = int(seconds * fps)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": "10", "g": "10"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv444p"
        for number in range(frames):
            pixels = scene(colours, number % 60 / 60)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            container.mux(stream.encode(frame.reformat(format="yuv444p")))
        container.mux(stream.encode(None))
    return path


RED, GREEN, BLUE = (230, 20, 20), (20, 220, 40), (20, 40, 230)


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a clip of 8 s in which a red and a green person walk."""
    return _write_clip(tmp_path_factory.mktemp("clip") / "door.mp4", [RED, GREEN])


@pytest.fixture(scope="session")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a clip of 10 minutes; reading it takes some seconds."""
    path = tmp_path_factory.mktemp("clip") / "long.mp4"
    return _write_clip(path, [RED, GREEN], seconds=600)


@pytest.fixture(scope="session")
def site_gallery(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a gallery that no test changes: a red person walks from door to hall to yard.

    A green one is at the door, a blue one in the hall.
    """
    folder = tmp_path_factory.mktemp("site")
    _write_clip(folder / "door.mp4", [RED, GREEN], seconds=12)
    _write_clip(folder / "hall.mp4", [BLUE, RED], seconds=12)
    _write_clip(folder / "yard.mp4", [RED], seconds=12)
    (folder / "site.yaml").write_text(SITE)
    done = subprocess.run(
        [sys.executable, "-m", "cli.main", "ingest", "site.yaml", "--quiet",
         "--gallery", "gallery", "--engine", str(bundle)],
        cwd=folder, env=_environment({}), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder / "gallery"


SITE = """name: test
cameras:
  door: {url: door.mp4, start: 2026-03-02T14:00:00Z}
  hall: {url: hall.mp4, start: 2026-03-02T14:00:20Z}
  yard: {url: yard.mp4, start: 2026-03-02T14:00:40Z}
links:
  - {from: door, to: hall, min_s: 2, max_s: 30}
  - {from: hall, to: yard, min_s: 2, max_s: 30}
"""


@pytest.fixture
def frame(tmp_path: Path) -> Callable[..., Path]:
    """Give a function that writes a frame of coloured people."""

    def write(*colours: tuple[int, int, int]) -> Path:
        return _write_png(tmp_path / "frame.png", scene(colours, 0.5))

    return write


@pytest.fixture
def write_crop(tmp_path: Path) -> Callable[..., Path]:
    """Give a function that writes a picture that is all one person."""

    def write(colour: tuple[int, int, int]) -> Path:
        return _write_png(tmp_path / "crop.png", np.full((40, 24, 3), colour, np.uint8))

    return write


def _write_png(path: Path, pixels: NDArray[np.uint8]) -> Path:
    encoder = av.CodecContext.create("png", "w")
    encoder.height, encoder.width = pixels.shape[:2]
    encoder.pix_fmt, encoder.time_base = "rgb24", Fraction(1, 1)
    picture = av.VideoFrame.from_ndarray(pixels, format="rgb24")
    picture.pts = 0
    packets = encoder.encode(picture) + encoder.encode(None)
    path.write_bytes(b"".join(bytes(packet) for packet in packets))
    return path
