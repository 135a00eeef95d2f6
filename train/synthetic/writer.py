"""Write a whole world: videos, site file, PRW data set and ground truth.

Cameras are rendered in processes of their own; each makes the world anew from its settings,
so nothing large travels between processes. Everything is written to a sibling folder with a
temporary name which becomes `out` at the very end.
"""

import json
import multiprocessing
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

import av
import numpy as np
import scipy

from train.synthetic import prw, tracks
from train.synthetic.canvas import Label
from train.synthetic.errors import OutputNotEmptyError
from train.synthetic.imaging import Image
from train.synthetic.render import CameraRenderer, World, make_world
from train.synthetic.tracks import VideoLabels
from train.synthetic.video import iso_ms, jpeg_bytes, read_video, write_video
from train.synthetic.world import WorldSpec

FORMAT_VERSION = 1
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class WorldFiles:
    """Where a written world lies."""

    root: Path
    site: Path
    videos: dict[str, Path]
    journeys: Path


def write_world(
    out: Path,
    spec: WorldSpec,
    *,
    workers: int | None = None,
    progress: Progress | None = None,
    annotate_every_s: float = 0.5,
) -> WorldFiles:
    """Generate, render and write the world.

    `progress` gets the frames done and the frames in total. Raises OutputNotEmptyError when
    `out` holds something; after any failure nothing is left behind.
    """
    out = Path(out).absolute()
    _refuse_non_empty(out)
    if not annotate_every_s > 0:
        raise ValueError(f"annotate_every_s must be above 0, not {annotate_every_s!r}")
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".partial", dir=out.parent))
    try:
        _write_all(partial, spec, workers, progress, annotate_every_s)
        partial.chmod(0o755)
        if out.exists():
            out.rmdir()
        partial.rename(out)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return _files(out, spec)


def _refuse_non_empty(out: Path) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OutputNotEmptyError(out)


def _files(out: Path, spec: WorldSpec) -> WorldFiles:
    names = [spec.camera_name(i) for i in range(spec.cameras)]
    videos = {name: out / "videos" / f"{name}.mp4" for name in names}
    return WorldFiles(out, out / "site.yaml", videos, out / "ground_truth" / "journeys.json")


def _write_all(
    root: Path, spec: WorldSpec, workers: int | None, progress: Progress | None, every_s: float
) -> None:
    (root / "videos").mkdir()
    (root / "frames").mkdir()
    world = make_world(spec)
    cameras = _render_cameras(root, world, workers, progress, every_s)
    truth = root / "ground_truth"
    for index, labels in enumerate(cameras):
        name = spec.camera_name(index)
        tracks.write_mot(truth / "mot" / name, spec, name, labels)
    tracks.write_aicity(truth / "aicity.txt", cameras)
    all_stays = tracks.stays(spec, world.plan, cameras)
    tracks.write_journeys(truth / "journeys.json", spec, all_stays)
    tracks.write_site(root / "site.yaml", spec, tracks.link_limits(world.plan, all_stays))
    prw.write_prw(root, spec, prw.collect(spec, cameras, every_s))
    (root / "world.json").write_text(json.dumps(describe(world), indent=1) + "\n")


def describe(world: World) -> dict[str, object]:
    """Return what world.json holds: settings, calibration, colour responses, versions."""
    spec = world.spec
    cameras = {}
    for scene, response in zip(world.scenes, world.responses, strict=True):
        camera = scene.camera
        cameras[camera.name] = {
            "K": camera.intrinsics.tolist(),
            "R": camera.rotation.tolist(),
            "t": camera.translation.tolist(),
            "height_m": camera.mount_m,
            "world_offset_m": list(camera.offset_m),
            "response": asdict(response),
        }
    versions = {"format": FORMAT_VERSION, "numpy": np.__version__, "scipy": scipy.__version__}
    settings = {**asdict(spec), "start": iso_ms(spec.start)}
    return {"spec": settings, "cameras": cameras, "versions": {**versions, "av": av.__version__}}


def _render_cameras(
    root: Path, world: World, workers: int | None, progress: Progress | None, every_s: float
) -> list[VideoLabels]:
    spec = world.spec
    count = min(workers or os.cpu_count() or 1, spec.cameras)
    total = spec.frames * spec.cameras
    if count == 1:
        done = _Counter(lambda n: progress(n, total) if progress else None)
        return [_render(root, world, i, every_s, done.add) for i in range(spec.cameras)]
    context = multiprocessing.get_context("spawn")
    shared = context.Value("q", 0)
    with ProcessPoolExecutor(count, context, _start_worker, (shared,)) as pool:
        jobs = [pool.submit(_job, root, spec, i, every_s) for i in range(spec.cameras)]
        try:
            _watch(jobs, lambda: progress(shared.value, total) if progress else None)
            return [job.result() for job in jobs]
        except BaseException:
            _call_off(shared, jobs)
            raise


def _call_off(shared: "Synchronized[int]", jobs: list[Future[VideoLabels]]) -> None:
    """Let the workers stop at their next frame instead of rendering to the end."""
    with shared.get_lock():
        shared.value = _CALLED_OFF
    for job in jobs:
        job.cancel()


def _watch(jobs: list[Future[VideoLabels]], report: Callable[[], None]) -> None:
    """Report until all jobs are done; raise the first failure and drop jobs not yet begun."""
    pending = set(jobs)
    try:
        while pending:
            done, pending = wait(pending, timeout=0.5)
            report()
            for job in done:
                job.result()
    except BaseException:
        for job in pending:
            job.cancel()
        raise


class _Counter:
    """Counts frames within one process."""

    def __init__(self, report: Callable[[int], None]) -> None:
        self._report = report
        self._count = 0

    def add(self) -> None:
        self._count += 1
        self._report(self._count)


_CALLED_OFF = -(2**62)
"""The counter of frames is far below 0 when nobody wants the frames any more."""
_shared: "Synchronized[int] | None" = None


class _CalledOffError(Exception):
    """The world is not wanted any more."""


def _start_worker(shared: "Synchronized[int]") -> None:
    global _shared  # noqa: PLW0603  a spawned process receives its counter only here
    _shared = shared
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the parent decides
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Do not outlive a parent that was killed: idle workers would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _count_shared() -> None:
    if _shared is not None:
        with _shared.get_lock():
            _shared.value += 1
            if _shared.value < 0:
                raise _CalledOffError


def _job(root: Path, spec: WorldSpec, index: int, every_s: float) -> VideoLabels:
    """Render one camera in a worker process."""
    return _render(root, make_world(spec), index, every_s, _count_shared)


def _render(
    root: Path, world: World, index: int, every_s: float, count: Callable[[], None]
) -> VideoLabels:
    """Write one camera's video and its pictures; return the labels of every frame."""
    spec, labels = world.spec, VideoLabels()
    video = root / "videos" / f"{spec.camera_name(index)}.mp4"
    images = _images(CameraRenderer(world, index), spec.frames, labels, count)
    write_video(video, images, spec.fps, world.responses[index].crf, spec.start)
    wanted = set(prw.annotated_numbers(spec, every_s))
    for number, frame in enumerate(read_video(video)):
        if number in wanted:
            path = root / "frames" / f"{prw.frame_name(index, number)}.jpg"
            path.write_bytes(jpeg_bytes(frame))
    return labels


def _images(
    renderer: CameraRenderer,
    frames: int,
    labels: list[list[Label]],
    count: Callable[[], None],
) -> Iterator[Image]:
    """Render frame after frame, putting each one's labels at the end of `labels`."""
    for number in range(frames):
        image, found = renderer.frame(number)
        labels.append(found)
        count()
        yield image
