"""Is everything here that Sightline needs? Each check really does what it checks.

A check that fails tells what to do about it. Only required checks decide the exit code.
"""

import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import typer
from rich.console import RenderableType
from rich.text import Text

from cli import errors
from cli.output import show, show_json, table
from cli.settings import Settings

PACKAGES = (
    "av", "milvus-lite", "numpy", "onnxruntime", "pydantic", "pymilvus", "PyYAML", "redis",
    "rich", "scipy", "typer",
)  # fmt: skip
TRAINING = (
    "torch", "torchvision", "onnx", "onnxscript", "safetensors", "matplotlib", "tensorboard",
)  # fmt: skip
DECODERS = ("h264", "hevc", "mjpeg", "av1", "vp9", "mpeg4")
NEEDED_DECODERS = ("h264", "hevc", "mjpeg")
LEAST_FREE_BYTES = 10**9
USUAL_REDIS = "redis://localhost:6379"


@dataclass(frozen=True, slots=True)
class Check:
    """One finding: ``advice`` says what to do when it is not ``ok``."""

    name: str
    ok: bool
    detail: str
    required: bool = True
    advice: str = ""


def run_doctor(given: Path | None, *, redis: str | None = None, as_json: bool) -> None:
    """Print all checks; exit code 1 when something required does not work."""
    found = all_checks(given, redis)
    checks = [replace(check, advice="") if check.ok else check for check in found]
    healthy = all(check.ok for check in checks if check.required)
    if as_json:
        show_json({"ok": healthy, "checks": [asdict(check) for check in checks]})
    else:
        show(*_for_people(checks, healthy))
    if not healthy:
        raise typer.Exit(errors.UNEXPECTED)


def all_checks(given: Path | None, redis: str | None) -> Iterator[Check]:
    """Make every check, one after the other; a Redis that is named is required."""
    yield check_python()
    yield from check_packages(PACKAGES)
    settings, found = check_settings()
    yield found
    yield guarded("video decoders", check_decoders)
    yield guarded("engine", lambda: check_engine(settings))
    yield check_backends()
    yield guarded("gallery", check_gallery)
    yield check_disk(given or settings.gallery)
    yield guarded("Redis", lambda: check_redis(redis))
    yield check_gpu()
    yield check_training()


def guarded(name: str, check: Callable[[], Check]) -> Check:
    """Make a check; what it raises is its finding."""
    try:
        return check()
    except errors.EXPECTED as error:
        return Check(name, False, str(error), advice="install Sightline again, or name another one")
    except (ImportError, OSError, RuntimeError) as error:
        advice = "install Sightline again: pip install -e . -c constraints.txt"
        return Check(name, False, f"{type(error).__name__}: {error}", advice=advice)


def check_python() -> Check:
    """Tell which Python runs."""
    ok = sys.version_info >= (3, 11)
    detail = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    return Check("Python", ok, detail, advice="Sightline needs Python 3.11 or newer")


def check_packages(names: Sequence[str]) -> Iterator[Check]:
    """Tell which packages are installed, in one line, and each that is missing in its own."""
    found = {name: _version_of(name) for name in names}
    here = {name: text for name, text in found.items() if text}
    yield Check("packages", bool(here), ", ".join(f"{k} {v}" for k, v in here.items()))
    for name in found.keys() - here.keys():
        yield Check(name, False, "not installed", advice=f"pip install {name} -c constraints.txt")


def _version_of(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def check_settings() -> tuple[Settings, Check]:
    """Read the settings; with faults, the defaults take their place."""
    from cli.options import settings

    try:
        found = settings()
    except errors.SettingsError as error:
        advice = "correct or remove them"
        return Settings(), Check("settings", False, "; ".join(error.faults), advice=advice)
    return found, Check("settings", True, f"gallery: {found.gallery}")


def check_decoders() -> Check:
    """Ask FFmpeg for its decoders and decode a picture with one of them."""
    import numpy as np
    from av.codec import codecs_available

    from engines.pictures import encode_jpeg

    here = [name for name in DECODERS if name in codecs_available]
    missing = [name for name in NEEDED_DECODERS if name not in here]
    encode_jpeg(np.zeros((16, 16, 3), np.uint8))
    return Check(
        "video decoders",
        not missing,
        ", ".join(here) + (f"; missing: {', '.join(missing)}" if missing else ""),
        advice="install PyAV from its wheel: pip install --force-reinstall av",
    )


def check_engine(settings: Settings) -> Check:
    """Verify the bundle, run it on one grey frame, and tell what runs it and why."""
    import numpy as np

    from engines.engine import open_engine

    began = time.perf_counter()
    with open_engine(
        settings.engine, backend=settings.backend, precision=settings.precision,
        cache=settings.cache,
    ) as engine:  # fmt: skip
        opened = time.perf_counter()
        engine.detect([np.full((540, 960, 3), 128, np.uint8)])
        took_ms = (time.perf_counter() - opened) * 1000
        info = engine.info
    return Check(
        "engine",
        True,
        f"{info.name} ({info.model[:12]}) verified, opened on {info.backend} {info.precision} in "
        f"{opened - began:.1f} s, one frame in {took_ms:.0f} ms; {info.reason}",
    )


def check_backends() -> Check:
    """Tell which runtimes could execute the engine, without importing one."""
    from engines.backends import BACKENDS

    here = [
        f"{name} {_version_of(backend.module)} ({', '.join(backend.precisions)})"
        for name, backend in BACKENDS.items()
        if backend.installed
    ]
    missing = [backend for backend in BACKENDS.values() if not backend.installed]
    detail = ", ".join(here)
    if missing:
        ways = (f"{b.name} (pip install -e '.[{b.extra}]')" for b in missing)
        detail += f"; not installed: {', '.join(ways)}"
    return Check("backends", bool(here), detail, required=False)


def check_gallery() -> Check:
    """Write a sighting into a gallery of its own and find it again."""
    import numpy as np

    from engines.values import EMBEDDING_DIM
    from gallery.gallery import Gallery
    from gallery.search import SearchQuery
    from gallery.values import Sighting, sighting_id

    model, vector = "0" * 64, np.zeros(EMBEDDING_DIM, np.float32)
    vector[0] = 1
    known = sighting_id("doctor", "doctor/0-0", 0)
    began = time.perf_counter()
    box = (0.0, 0.0, 8.0, 16.0)
    sighting = Sighting(known, "doctor", 0, "doctor/0-0", box, 1.0, 1.0, vector, "", model)
    with (
        tempfile.TemporaryDirectory(prefix="sightline-doctor-") as folder,
        Gallery.open(Path(folder) / "gallery", model=model, create=True) as gallery,
    ):
        gallery.write([sighting])
        found = gallery.search(SearchQuery(vector[np.newaxis])).results
    ok = [hit.sighting.id for hit in found] == [known]
    detail = "a sighting written and found again" if ok else "a sighting was written but not found"
    return Check("gallery", ok, f"{detail} in {time.perf_counter() - began:.1f} s")


def check_disk(gallery: Path) -> Check:
    """Tell how much room there is where the gallery lies or would lie."""
    folder = gallery.absolute()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    detail = f"{free / 1e9:.1f} GB free under {folder}"
    return Check("disk", free >= LEAST_FREE_BYTES, detail, advice="make room: 1 GB or more")


def check_redis(named: str | None) -> Check:
    """Ask the Redis that is named, else the usual one of this machine, which need not be there."""
    from streamer.delivery.group import StreamGroup
    from streamer.delivery.redis_client import ask, connect, redis_address
    from streamer.errors import AwayError

    address = redis_address(named or USUAL_REDIS)
    required = named is not None
    with connect(address) as client:
        try:
            found = ask(client, address)
            lag = StreamGroup(client, address, "doctor").lag()
        except AwayError as error:
            advice = "only several processes need one: sightline redis starts it"
            return Check("Redis", False, str(error), required, advice)
    waits = f"{lag.waiting} entries wait, the oldest {lag.oldest_s:.0f} s; {lag.dead} set aside"
    detail = "; ".join((f"version {found.version} at {address.shown}", waits, *found.warnings))
    advice = "start it as sightline redis does, or nothing is safe in it"
    return Check("Redis", not found.warnings, detail, required, advice)


def check_gpu() -> Check:
    """Tell which GPU runtimes are installed; the processor alone is fine."""
    driver = Path("/proc/driver/nvidia/version").exists()
    runtimes = [name for name in ("tensorrt", "pycuda") if find_spec(name) is not None]
    detail = f"NVIDIA driver: {'yes' if driver else 'no'}; " + (
        ", ".join(f"{name} {_version_of(name)}".rstrip() for name in runtimes)
        or "no GPU runtime installed"
    )
    advice = "" if not driver else "pip install -e '.[gpu]'"
    return Check("GPU", driver and bool(runtimes), detail, required=False, advice=advice)


def check_training() -> Check:
    """Tell whether the extra "train" is installed; only training and plots need it."""
    found = {name: _version_of(name) for name in TRAINING}
    missing = [name for name, text in found.items() if not text]
    here = ", ".join(f"{name} {text}" for name, text in found.items() if text)
    detail = here + (f"; missing: {', '.join(missing)}" if here and missing else "")
    advice = "pip install -e '.[train]' -c constraints.txt, to train and to draw"
    return Check("training", not missing, detail or "not installed", required=False, advice=advice)


def _for_people(checks: Sequence[Check], healthy: bool) -> Iterator[RenderableType]:
    yield table(["check", "", "found"], [_row(check) for check in checks])
    for check in checks:
        if not check.ok and check.advice:
            yield f"{check.name}: {check.advice}"
    yield "Everything that is required works." if healthy else "Something required does not work."


def _row(check: Check) -> tuple[object, ...]:
    mark = Text("ok", "green") if check.ok else Text("FAILS", "bold red")
    if not check.ok and not check.required:
        mark = Text("none", "yellow")
    return check.name, mark, check.detail
