"""Import what need not be installed, or say how to install it."""

import importlib
import os
import sys
from types import ModuleType
from typing import Any

from engines.errors import BackendUnavailableError

SILENCED = {"ORT_DISABLE_TELEMETRY": "1"}
"""Set before a runtime loads: ONNX Runtime (1.31) else keeps a device id in the home
folder and is built to report its use to its maker. After the import it is too late."""

REPORTERS = ("openvino_telemetry",)
"""Packages that no runtime shall find: OpenVINO (2026.4) else keeps an id in the home folder and
reports each import to its maker. Without the package it runs and does neither."""


def require(module: str, extra: str = "") -> ModuleType:
    """Import and return ``module``; ``extra`` is the optional group that installs it ("" = base).

    Raises:
        BackendUnavailableError: not installed (naming the command that installs it), or
            installed but unable to load here.
    """
    os.environ.update(SILENCED)
    _hide_reporters()
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != module.partition(".")[0]:
            raise _cannot_load(module, error) from error
        group = f"[{extra}]" if extra else ""
        raise BackendUnavailableError(
            f"{module} is not installed; in the folder of Sightline's sources run: "
            f"{sys.executable} -m pip install -e '.{group}'"
        ) from error
    except (ImportError, OSError) as error:
        raise _cannot_load(module, error) from error


def _hide_reporters() -> None:
    loaded: dict[str, Any] = sys.modules
    for name in REPORTERS:
        loaded[name] = None  # an import of it fails as if it were not installed


def _cannot_load(module: str, error: Exception) -> BackendUnavailableError:
    return BackendUnavailableError(f"{module} is installed but cannot be loaded: {error}")
