"""Options that several commands share, and how their values are resolved."""

import inspect
import os
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from cli.errors import CliError
from cli.settings import Settings, load_settings

if TYPE_CHECKING:
    from engines.engine import Engine
    from engines.plans.cache import PlanCache

QUERY_PANEL = "Who to look for"
LIMIT_PANEL = "Where and when to look"
OUTPUT_PANEL = "What to print"
PLACE_PANEL = "Gallery and engine"

_Command = TypeVar("_Command", bound=Callable[..., None])

JsonOption = Annotated[
    bool,
    typer.Option("--json", help="Print one JSON document.", rich_help_panel=OUTPUT_PANEL),
]
GalleryOption = Annotated[
    Path | None,
    typer.Option(
        "--gallery",
        metavar="PATH",
        help="Folder of the gallery; else SIGHTLINE_GALLERY, sightline.toml, "
        "then ./sightline-gallery.",
        show_default=False,
        rich_help_panel=PLACE_PANEL,
    ),
]
EngineOption = Annotated[
    Path | None,
    typer.Option(
        "--engine",
        metavar="BUNDLE",
        help="Engine bundle; else SIGHTLINE_ENGINE, sightline.toml, then the shipped one.",
        show_default=False,
        rich_help_panel=PLACE_PANEL,
    ),
]


class BackendChoice(StrEnum):
    """What runs an engine."""

    AUTO = "auto"
    ONNXRUNTIME = "onnxruntime"
    OPENVINO = "openvino"
    TENSORRT = "tensorrt"
    REFERENCE = "reference"


class PrecisionChoice(StrEnum):
    """What the heavy layers of an engine compute in."""

    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"
    INT8 = "int8"


BackendOption = Annotated[
    BackendChoice | None,
    typer.Option(
        "--backend",
        help="What runs the engine; else SIGHTLINE_BACKEND, sightline.toml, then auto: the "
        "fastest that was verified on this machine.",
        show_default=False,
        rich_help_panel=PLACE_PANEL,
    ),
]
PrecisionOption = Annotated[
    PrecisionChoice | None,
    typer.Option(
        "--precision",
        help="What it computes in; else SIGHTLINE_PRECISION, sightline.toml, then what was "
        "verified, or fp32.",
        show_default=False,
        rich_help_panel=PLACE_PANEL,
    ),
]


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """What a person typed about the engine; None where the settings decide."""

    bundle: Path | None = None
    backend: BackendChoice | None = None
    precision: PrecisionChoice | None = None

    @property
    def path(self) -> Path:
        """The engine bundle that is meant."""
        return engine_path(self.bundle)

    def open(self, *, threads: int | None = None) -> "Engine":
        """Open the engine on what is meant to run it.

        Raises:
            EngineError: it cannot be opened.
        """
        from engines.engine import open_engine

        found = settings()
        return open_engine(
            self.path,
            backend=found.backend if self.backend is None else self.backend.value,
            precision=found.precision if self.precision is None else self.precision.value,
            threads=threads,
            cache=found.cache,
        )


class DeviceChoice(StrEnum):
    """Where torch computes."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


def command(
    app: typer.Typer, name: str, *, epilog: str, panel: str | None = None
) -> Callable[[_Command], _Command]:
    """Register a function as a command; its docstring is the help."""

    def register(function: _Command) -> _Command:
        add = app.command(
            name, help=prose(function.__doc__ or ""), epilog=epilog, rich_help_panel=panel
        )
        return add(function)

    return register


def prose(text: str) -> str:
    """Return a text with every paragraph on one line, so that it fits any terminal."""
    paragraphs = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def settings() -> Settings:
    """Return the settings of this process: its environment and working folder."""
    return load_settings(os.environ, Path.cwd())


def gallery_path(given: Path | None) -> Path:
    """Return the folder of the gallery that a command means."""
    return settings().gallery if given is None else given


def engine_path(given: Path | None) -> Path:
    """Return the engine bundle that a command means."""
    from engines.bundle import shipped_bundle

    return given or settings().engine or shipped_bundle()


def plan_cache() -> "PlanCache":
    """Return the plans of this machine, in the folder that the settings name.

    Raises:
        PlanError: the folder is not this user's alone.
    """
    from engines.plans.cache import PlanCache

    return PlanCache(settings().cache)


def parse_box(text: str) -> tuple[float, float, float, float]:
    """Return x1, y1, x2, y2 of ``x,y,w,h``.

    Raises:
        CliError: not four numbers, or an empty box.
    """
    try:
        x, y, w, h = (float(part) for part in text.split(","))
    except ValueError:
        raise CliError(f"--box: want x,y,w,h in pixels of the picture (got {text!r})") from None
    if not (w > 0 and h > 0):
        raise CliError(f"--box: width and height must be above 0 (got {text!r})")
    return x, y, x + w, y + h


def parse_cameras(pairs: list[str]) -> dict[str, str]:
    """Return name to URL of every ``NAME=URL``.

    Raises:
        CliError: no name, no URL, or a name given twice.
    """
    cameras: dict[str, str] = {}
    for pair in pairs:
        name, separator, url = pair.partition("=")
        if not (name and separator and url):
            shown = name if separator else "a value without '='"
            raise CliError(f"--camera: want NAME=URL (got {shown})")
        if name in cameras:
            raise CliError(f"--camera: {name} is given twice")
        cameras[name] = url
    return cameras
