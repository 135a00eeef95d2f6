"""``sightline search`` and ``sightline track``: one question, asked in two ways."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from cli.options import (
    LIMIT_PANEL,
    OUTPUT_PANEL,
    QUERY_PANEL,
    BackendOption,
    EngineChoice,
    EngineOption,
    GalleryOption,
    JsonOption,
    PrecisionOption,
    command,
)

ImageOption = Annotated[
    Path | None,
    typer.Option(
        "--image",
        metavar="FILE",
        help="A whole frame that shows the person; the engine finds the person in it.",
        rich_help_panel=QUERY_PANEL,
    ),
]
BoxOption = Annotated[
    str | None,
    typer.Option(
        "--box",
        metavar="X,Y,W,H",
        help="Where the person is in --image: left, top, width, height in pixels.",
        rich_help_panel=QUERY_PANEL,
    ),
]
CropOption = Annotated[
    bool,
    typer.Option(
        "--crop",
        help="The whole of --image is the person (a picture cut out of a frame).",
        rich_help_panel=QUERY_PANEL,
    ),
]
SightingOption = Annotated[
    str | None,
    typer.Option(
        "--sighting",
        metavar="ID",
        help="A sighting of the gallery, by its id; needs no engine.",
        rich_help_panel=QUERY_PANEL,
    ),
]
CameraGlobs = Annotated[
    list[str] | None,
    typer.Option(
        "--camera",
        metavar="GLOB",
        help="Only cameras whose name fits, as in 'hall-*'; may be repeated.",
        show_default=False,
        rich_help_panel=LIMIT_PANEL,
    ),
]
SinceOption = Annotated[
    str | None,
    typer.Option(
        "--since",
        metavar="TIME",
        help="From this time on: 2h, 90s, 14:00, yesterday 14:00, 2026-03-02, or ISO 8601; "
        "UTC unless it names a zone.",
        rich_help_panel=LIMIT_PANEL,
    ),
]
UntilOption = Annotated[
    str | None,
    typer.Option(
        "--until",
        metavar="TIME",
        help="Up to this time, written as for --since.",
        rich_help_panel=LIMIT_PANEL,
    ),
]
TopOption = Annotated[
    int,
    typer.Option(
        "--top",
        metavar="N",
        min=1,
        max=10000,
        help="At most so many results.",
        rich_help_panel=LIMIT_PANEL,
    ),
]
ReportOption = Annotated[
    Path | None,
    typer.Option(
        "--report",
        metavar="FILE",
        help="Also write one self-contained HTML page: query, crops, timeline, coverage.",
        rich_help_panel=OUTPUT_PANEL,
    ),
]


@dataclass(frozen=True, slots=True)
class Question:
    """What a person typed: whom to look for, where and when, and in which gallery."""

    image: Path | None
    box: str | None
    crop: bool
    sighting: str | None
    cameras: tuple[str, ...]
    since: str | None
    until: str | None
    top: int
    gallery: Path | None
    engine: EngineChoice


SEARCH_EPILOG = """[bold]Examples[/bold]

  sightline search --image frame.jpg --box 412,180,64,170
  sightline search --image frame.jpg --camera 'hall-*' --since 2h --top 10
  sightline search --sighting 5f0c… --since "yesterday 14:00" --report found.html
  sightline search --image cutout.png --crop --json"""

TRACK_EPILOG = """[bold]Examples[/bold]

  sightline track --sighting 5f0c…
  sightline track --image frame.jpg --box 412,180,64,170 --since 14:00 --until 15:30
  sightline track --sighting 5f0c… --json --report way.html"""


def search(
    image: ImageOption = None,
    box: BoxOption = None,
    crop: CropOption = False,
    sighting: SightingOption = None,
    camera: CameraGlobs = None,
    since: SinceOption = None,
    until: UntilOption = None,
    top: TopOption = 20,
    gallery: GalleryOption = None,
    engine: EngineOption = None,
    backend: BackendOption = None,
    precision: PrecisionOption = None,
    report: ReportOption = None,
    json_: JsonOption = False,
) -> None:
    """Search the gallery for a person.

    Results come best first, each with its camera, the time it was taken and a crop.
    The answer ends with its coverage: which cameras were watched when. No result does
    not mean that the person was not there.

    The JSON document has: query; results[] with sighting, camera, captured_at (ISO
    8601 in UTC), score (-1 to 1), box \\[x, y, w, h] in pixels of the frame as --box
    takes them, and crop (an absolute path); coverage; exhaustive.
    """
    from cli.answers import run_search

    question = Question(
        image, box, crop, sighting, tuple(camera or ()), since, until, top, gallery,
        EngineChoice(engine, backend, precision),
    )  # fmt: skip
    run_search(question, report=report, as_json=json_)


def track(
    image: ImageOption = None,
    box: BoxOption = None,
    crop: CropOption = False,
    sighting: SightingOption = None,
    camera: CameraGlobs = None,
    since: SinceOption = None,
    until: UntilOption = None,
    top: TopOption = 20,
    gallery: GalleryOption = None,
    engine: EngineOption = None,
    backend: BackendOption = None,
    precision: PrecisionOption = None,
    report: ReportOption = None,
    json_: JsonOption = False,
) -> None:
    """Follow a person from camera to camera.

    Builds the journey: one visit after another, each hop possible on foot by the links
    of the site. What was rejected is told with its reason; --top limits how many
    rejected candidates are told, never the journey.

    The JSON document has: query; journey[] with camera, enter, leave, score and
    sightings[]; rejected[] with reasons; coverage; exhaustive.
    """
    from cli.answers import run_track

    question = Question(
        image, box, crop, sighting, tuple(camera or ()), since, until, top, gallery,
        EngineChoice(engine, backend, precision),
    )  # fmt: skip
    run_track(question, report=report, as_json=json_)


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    command(app, "search", epilog=SEARCH_EPILOG, panel="Ask")(search)
    command(app, "track", epilog=TRACK_EPILOG, panel="Ask")(track)
