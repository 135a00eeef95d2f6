"""Score the tracker of an ingest on recordings whose tracks are known."""

import configparser
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path

from cli.errors import CliError
from cli.options import engine_path
from cli.output import facts, plain, show, show_json, table
from cli.progress import counter
from engines.engine import Engine, open_engine
from engines.pictures import read_picture
from engines.values import Frame
from streamer.clock import FILE, RateGate
from streamer.errors import StreamError
from streamer.settings import CameraSettings
from streamer.source import Reader
from streamer.tracked import track_frames
from train.evaluation.mot import TrackedBox, read_mot_truth
from train.evaluation.tracking import Tracks, TrackScores, join_tracks, score_tracks, searched

COLUMNS = (
    "camera", ">frames", ">people", ">tracklets", ">HOTA", ">DetA", ">AssA", ">IDF1",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Recording:
    """One camera: its ground truth, and its video or the folder of its pictures."""

    camera: str
    truth: Path
    pictures: Path


def run_bench_tracks(data: Path, *, fps: float, engine: Path | None, as_json: bool) -> None:
    """Track every camera of ``data`` and print HOTA and IDF1 of each and of all."""
    recordings = find_recordings(data)
    with open_engine(engine_path(engine)) as opened, counter("tracking", "cameras") as tick:
        parts = []
        for number, recording in enumerate(recordings, 1):
            parts.append(track_recording(recording, number, opened, fps))
            tick(number, len(recordings))
        info = opened.info
    rows = [(r.camera, part) for r, part in zip(recordings, parts, strict=True)]
    rows += [("all", join_tracks(parts))] if len(parts) > 1 else []
    scored = [(name, part, score_tracks(part)) for name, part in rows]
    if as_json:
        show_json(_document(data, fps, info.model, scored))
        return
    show(
        table(COLUMNS, [_row(name, part, scores) for name, part, scores in scored]),
        facts([
            ("data", str(data)),
            ("engine", f"{info.name} ({info.model[:12]}) on {info.backend}"),
            ("searched", f"{fps:g} frames a second; truth in between does not count"),
        ]),
    )  # fmt: skip


def find_recordings(data: Path) -> list[Recording]:
    """Return the cameras of a rendered world, or of a MOTChallenge folder, by name.

    Raises:
        CliError: there is no ground truth, or a camera has no pictures.
    """
    truths = sorted((data / "ground_truth" / "mot").glob("*/gt/gt.txt"))
    if truths:
        return [Recording(_camera(t), t, data / "videos" / f"{_camera(t)}.mp4") for t in truths]
    own = data / "gt" / "gt.txt"
    truths = [own] if own.is_file() else sorted(data.glob("*/gt/gt.txt"))
    if not truths:
        raise CliError(
            f"{data}: no tracks: want ground_truth/mot/CAMERA/gt/gt.txt (a rendered world) or "
            "CAMERA/gt/gt.txt (MOTChallenge)"
        )
    return [Recording(_camera(t), t, t.parent.parent) for t in truths]


def _camera(truth: Path) -> str:
    return truth.parent.parent.resolve().name


def track_recording(recording: Recording, number: int, engine: Engine, fps: float) -> Tracks:
    """Return the true and the found tracks of one camera, boxes in its own pixels.

    Raises:
        DatasetError: the ground truth cannot be read.
        StreamError: the video cannot be read.
        CliError: the folder of pictures is not as MOTChallenge has it.
    """
    truth, neither = read_mot_truth(recording.truth)
    names = count(1)
    numbers: dict[str, int] = {}
    found: list[TrackedBox] = []
    frames: set[int] = set()
    with ExitStack() as stack:
        pictures = _frames(recording, fps, stack)
        for frame, persons in track_frames(
            pictures, engine, camera=recording.camera, detect_fps=fps
        ):
            frames.add(frame.index + 1)
            for person in persons:
                if person.tracklet not in numbers:
                    numbers[person.tracklet] = next(names)
                x1, y1, x2, y2 = (float(edge) for edge in person.box)
                found.append(
                    TrackedBox(number, frame.index + 1, numbers[person.tracklet], x1, y1,
                               x2 - x1, y2 - y1, person.score)
                )  # fmt: skip
    part = searched(truth, neither, found, frames)
    moved = tuple(_at_camera(box, number) for box in part.truth)
    return Tracks(part.frames, moved, part.found)


def _at_camera(box: TrackedBox, camera: int) -> TrackedBox:
    return TrackedBox(camera, box.frame, box.track, box.x, box.y, box.w, box.h, box.confidence)


def _frames(recording: Recording, fps: float, stack: ExitStack) -> Iterator[Frame]:
    if recording.pictures.is_dir():
        return _folder_frames(recording, fps)
    if not recording.pictures.is_file():
        raise CliError(f"{recording.pictures}: no such video; {recording.truth} is of its pictures")
    settings = CameraSettings(name=recording.camera, url=str(recording.pictures), detect_fps=fps)
    reader = stack.enter_context(Reader(settings))
    return _video_frames(reader)


def _video_frames(reader: Reader) -> Iterator[Frame]:
    for frame in reader.frames():
        if frame is not None:
            yield frame
    if reader.fault:
        raise StreamError(f"{reader.url}: {reader.fault}")


def _folder_frames(recording: Recording, fps: float) -> Iterator[Frame]:
    """Yield the pictures of a MOTChallenge folder that the rate lets through."""
    sequence = _sequence(recording.pictures / "seqinfo.ini")
    rate, gate = float(sequence["framerate"]), RateGate(fps)
    folder, suffix = recording.pictures / sequence["imdir"], sequence["imext"]
    for index in range(int(sequence["seqlength"])):
        if gate.passes(index / rate):
            pixels = read_picture(_picture(folder, index + 1, suffix))
            at_ms = round(index * 1000 / rate)
            yield Frame(recording.camera, index, pixels, at_ms, index / rate, FILE)


def _sequence(path: Path) -> dict[str, str]:
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(path.read_text("utf-8"))
        fields = dict(parser["Sequence"])
    except (OSError, UnicodeDecodeError, configparser.Error, KeyError) as error:
        raise CliError(f"{path}: cannot be read: {error}") from error
    for key, kind in (("imdir", str), ("imext", str), ("framerate", float), ("seqlength", int)):
        try:
            kind(fields[key])
        except (KeyError, ValueError):
            got = fields.get(key, "nothing")
            raise CliError(f"{path}: {key} is {got!r}, want a {kind.__name__}") from None
    if float(fields["framerate"]) <= 0:
        raise CliError(f"{path}: framerate is {fields['framerate']!r}, want more than 0")
    return fields


def _picture(folder: Path, number: int, suffix: str) -> Path:
    return folder / f"{number:06d}{suffix}"


def _row(name: str, part: Tracks, scores: TrackScores) -> Sequence[object]:
    return (
        name, part.frames, part.people, part.tracklets,
        *(f"{100 * value:.1f}" for value in
          (scores.hota.hota, scores.hota.deta, scores.hota.assa, scores.identity.idf1)),
    )  # fmt: skip


def _document(
    data: Path, fps: float, model: str, scored: Sequence[tuple[str, Tracks, TrackScores]]
) -> object:
    return plain({
        "data": str(data),
        "fps": fps,
        "model": model,
        "cameras": {
            name: {
                "frames": part.frames,
                "people": part.people,
                "tracklets": part.tracklets,
                **asdict(scores.hota),
                **asdict(scores.identity),
            }
            for name, part, scores in scored
        },
    })  # fmt: skip
