"""Fixtures of the streamer tests: clips that are encoded here, a small engine, sinks, servers."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
UTC_START = "2026-03-02T14:00:00Z"
START_MS = 1_772_460_000_000


def _load(name: str) -> ModuleType:
    path = REPOSITORY / "tests" / "support" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"tests_support_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def kit() -> ModuleType:
    """Give the module with clips, ColourEngine, FolderSink and servers."""
    return _load("streaming")


@pytest.fixture(scope="session")
def paced() -> ModuleType:
    """Give the module with PacedReader."""
    return _load("paced")


@pytest.fixture(scope="session")
def rtmp() -> ModuleType:
    """Give the module with rtmp_camera."""
    return _load("rtmp_camera")


@pytest.fixture(scope="session")
def walkers() -> ModuleType:
    """Give the module that simulates people who walk, and scores tracklets."""
    return _load("walkers")


@pytest.fixture(scope="session")
def start_ms() -> int:
    """Give the time at which the tests' recordings begin (``start_text`` in ms)."""
    return START_MS


@pytest.fixture(scope="session")
def start_text() -> str:
    """Give the time at which the tests' recordings begin."""
    return UTC_START


@pytest.fixture(scope="session")
def clip(kit: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give 6 s at 10 fps: a red person walks to the right, a green one comes after 2 s."""
    walkers = [
        kit.Walker(kit.RED, 20, 100, speed=40),
        kit.Walker(kit.GREEN, 280, 60, speed=-40, enter_s=2.0),
    ]
    path: Path = kit.encode(
        tmp_path_factory.mktemp("clip") / "two.mp4",
        kit.scene(walkers, seconds=6),
        options={"movflags": "faststart"},
    )
    return path


@pytest.fixture
def camera_settings() -> Callable[..., Any]:
    """Give a way to make CameraSettings with a start and a name."""
    from streamer.settings import CameraSettings

    def make(url: object, name: str = "cam", **more: Any) -> CameraSettings:
        return CameraSettings.model_validate({"name": name, "url": str(url), **more})

    return make


@pytest.fixture
def make_site() -> Callable[..., Any]:
    """Give a way to make a Site of name -> address, starting at ``start_text``."""
    from streamer.site import CameraSettings, Site

    def make(cameras: dict[str, object], **more: Any) -> Site:
        settings = {
            name: CameraSettings.model_validate(
                {"name": name, "url": str(url), "start": UTC_START, **more}
            )
            for name, url in cameras.items()
        }
        return Site("test", Path(), settings)

    return make


@pytest.fixture
def sink(kit: ModuleType, tmp_path: Path) -> Any:
    """Give a sink that keeps crops in a folder and the rest in memory."""
    return kit.FolderSink(tmp_path / "sink")


@pytest.fixture
def rtsp(kit: ModuleType, gstreamer: None) -> Iterator[Callable[..., Any]]:
    """Give a way to start RTSP server processes; they are killed at the end."""
    servers = []

    def start(units: Path, **more: Any) -> Any:
        server = kit.RtspServer(units, **more)
        servers.append(server)
        return server.start()

    yield start
    for server in servers:
        server.kill()


@pytest.fixture(scope="session")
def gstreamer() -> None:
    """Skip where GStreamer's RTSP server is not installed; fail if REQUIRE_RTSP=1."""
    problem = _gstreamer_problem()
    if not problem:
        return
    if os.environ.get("REQUIRE_RTSP") == "1":
        pytest.fail(f"REQUIRE_RTSP=1, but there is no GStreamer RTSP server: {problem}")
    pytest.skip(f"no GStreamer RTSP server: {problem}")


def _gstreamer_problem() -> str:

    script = (
        "import gi; gi.require_version('Gst', '1.0'); gi.require_version('GstRtspServer', '1.0'); "
        "from gi.repository import Gst, GstRtspServer; Gst.init(None); "
        "missing = [n for n in ('appsrc', 'h264parse', 'rtph264pay') "
        "if not Gst.ElementFactory.find(n)]; "
        "raise SystemExit(f'no element {missing}' if missing else 0)"
    )
    try:
        done = subprocess.run(
            ["/usr/bin/python3", "-c", script],
            check=False,
            capture_output=True,
            text=True,
            timeout=30,
        )
    except OSError as error:
        return f"/usr/bin/python3: {error.strerror}"
    return "" if done.returncode == 0 else (done.stderr.strip().splitlines() or ["failed"])[-1]


@pytest.fixture(scope="session")
def shared() -> Path:
    """Give the folder of shared data beside the repository."""
    path = REPOSITORY.parent / "shared"
    if not path.is_dir():
        pytest.skip(f"no shared data at {path}")
    return path
