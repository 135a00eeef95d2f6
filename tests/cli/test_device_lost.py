"""A GPU that is lost during an ingest: exit code 75, and nothing that was seen is lost with it."""

import subprocess
import sys
from pathlib import Path

import pytest

from cli import errors
from gallery.gallery import Gallery

ROOT = Path(__file__).parents[2]
SCRIPT = """
import sys
from pathlib import Path
from cli.main import main
from cli.options import EngineChoice
from engines.bundle import open_bundle
from engines.errors import DeviceLostError
from engines.onnx_backend import OnnxEngine

class Losing(OnnxEngine):
    calls = 0

    def detect(self, frames, *, min_score=None):
        self.calls += 1
        if self.calls > 5:
            raise DeviceLostError("CUDA error 719 on GPU 0")
        return super().detect(frames, min_score=min_score)

EngineChoice.open = lambda self, *, threads=None: Losing(open_bundle(self.path), threads=1)
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def lost(bundle: Path, clip: Path, tmp_path: Path) -> "subprocess.CompletedProcess[str]":
    """Give the end of an ingest whose engine lost its device after five batches."""
    words = ["ingest", "--camera", f"door={clip}", "--engine", bundle, "--gallery", "g"]
    return subprocess.run(
        [sys.executable, "-c", SCRIPT, *map(str, words)],
        cwd=tmp_path, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin", "HOME": str(tmp_path)},
        capture_output=True, text=True, check=False, timeout=90,
    )  # fmt: skip


def test_it_ends_with_a_code_of_its_own_and_says_what_to_do(
    lost: "subprocess.CompletedProcess[str]",
) -> None:
    assert lost.returncode == errors.DEVICE_LOST == 75
    assert lost.stdout == ""
    assert lost.stderr == (
        "error: CUDA error 719 on GPU 0; everything that was found before it is in the gallery, "
        "open tracklets and coverage too; start it again\n"
    )


def test_what_was_seen_before_is_kept(
    lost: "subprocess.CompletedProcess[str]", tmp_path: Path
) -> None:
    with Gallery.open(tmp_path / "g") as gallery:
        found = gallery.sightings()
        assert found
        assert all(gallery.crop(one) for one in found)
        (camera,) = gallery.coverage().cameras
        assert 0 < camera.searched <= 20
        assert camera.watched_ms > 0
    assert [path for path in tmp_path.rglob("*") if path.name.endswith(".part")] == []


@pytest.mark.parametrize("place", ["README.md", "cli/app.py", "cli/main.py"])
def test_the_code_stands_wherever_codes_are_listed(place: str) -> None:
    text = (ROOT / place).read_text("utf-8")
    assert "75" in text
    assert "GPU" in text
