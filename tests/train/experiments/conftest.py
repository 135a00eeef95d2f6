"""A rendered site, small enough to train on in a second, and tables of two rows."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from train.synthetic import WorldSpec, write_world

SUPPORT = Path(__file__).parents[2] / "support"


@pytest.fixture(scope="session")
def mini() -> ModuleType:
    """The tables MINI and CURVES, and SMALL, settings that train a row in a second."""
    spec = importlib.util.spec_from_file_location("mini_tables", SUPPORT / "mini_tables.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site of two cameras whose first half is for training, second half for the search."""
    out = tmp_path_factory.mktemp("sites") / "site"
    spec = WorldSpec(
        cameras=2, people=24, seconds=60, fps=0.5, seed=4, width=320, height=180, split="both"
    )
    return write_world(out, spec, workers=1, annotate_every_s=2.0).root
