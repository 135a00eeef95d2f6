"""What Sightline promises about data: no library of ours leaves traces or reports home."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
from pathlib import Path
import numpy as np
from engines.engine import open_engine
from gallery.gallery import Gallery
with open_engine() as engine:
    engine.detect([np.zeros((64, 96, 3), np.uint8)])
    with Gallery.open(Path("gallery"), model=engine.info.model, create=True):
        pass
"""


@pytest.fixture
def home(root: Path, tmp_path: Path) -> Path:
    """The home folder of somebody who ran the engine and made a gallery."""
    home = tmp_path / "home"
    home.mkdir()
    kept = {k: v for k, v in os.environ.items() if k not in {"ORT_DISABLE_TELEMETRY", "HOME"}}
    kept = {k: v for k, v in kept.items() if not k.startswith(("XDG_", "SIGHTLINE_"))}
    subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=tmp_path,
        env={**kept, "HOME": str(home), "PYTHONPATH": str(root)},
        check=True,
    )
    return home


def test_nothing_is_left_in_the_home_folder(home: Path) -> None:
    assert [str(path.relative_to(home)) for path in home.rglob("*") if path.is_file()] == []
