"""Look at a site file, or at what a source delivers."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from cli.output import facts, iso, plain, show, show_json, table, warn
from streamer.probe import ProbeReport, probe
from streamer.settings import CameraSettings
from streamer.site import Site, load_site, site_from_cameras


def run_check(path: Path, *, as_json: bool) -> None:
    """Print the cameras and links of a site file, or raise with all its faults."""
    site = load_site(path)
    if as_json:
        show_json(_site_document(path, site))
        return
    columns = ["camera", "url", ">fps", "watched", "zones", "masks", "keep"]
    show(table(columns, [_camera_row(camera) for camera in site.cameras.values()]))
    if site.links:
        rows = [
            (link.source, link.target, f"{link.min_s:g} to {link.max_s:g} s") for link in site.links
        ]
        show(table(["from", "to", "walk"], rows))
    show(f"{path}: no faults; {len(site.cameras)} cameras, {len(site.links)} links")


def _camera_row(camera: CameraSettings) -> tuple[object, ...]:
    return (
        camera.name,
        camera.shown_url,
        f"{camera.detect_fps:g}",
        "yes" if camera.enabled else "no",
        len(camera.zones) or "-",
        len(camera.masks) or "-",
        "for ever" if camera.retain_days is None else f"{camera.retain_days:g} days",
    )


def _site_document(path: Path, site: Site) -> dict[str, object]:
    cameras = {
        name: {**camera.model_dump(mode="json", exclude={"name", "url"}), "url": camera.shown_url}
        for name, camera in site.cameras.items()
    }
    return {
        "file": str(path.absolute()),
        "name": site.name,
        "cameras": cameras,
        "links": [asdict(link) for link in site.links],
    }


def run_probe(url: str, *, seconds: float, timeout_s: float, as_json: bool) -> None:
    """Read a source for a moment and print what came."""
    camera = site_from_cameras({"probe": url}).cameras["probe"]
    report = probe(camera.url, seconds=seconds, timeout_s=timeout_s)
    if as_json:
        show_json(_probe_document(report))
        return
    show(facts(_probe_rows(report)))
    if report.fault:
        warn(report.fault)


def _probe_document(report: ProbeReport) -> dict[str, object]:
    first = report.first_captured_ms
    document: dict[str, object] = plain(asdict(report))
    return {**document, "first_captured_at": None if first is None else iso(first)}


def _probe_rows(report: ProbeReport) -> Iterator[tuple[str, object]]:
    yield "source", report.url
    yield "kind", "live" if report.live else f"recording, {_number(report.duration_s, 's')}"
    yield "video", f"{report.codec} in {report.format}, {report.width} x {report.height}"
    yield "says", _number(report.nominal_fps, "frames a second")
    yield "delivers", _number(report.measured_fps, "frames a second")
    if report.key_interval_s is not None:
        yield "key frame", f"every {_number(report.key_interval_s, 's')}"
    yield "bit rate", _number(report.bit_rate_kbps, "kbit/s")
    yield "times from", report.time_source or "unknown"
    if report.first_captured_ms is not None:
        yield "first frame", iso(report.first_captured_ms)
    if report.clock_offset_s is not None:
        yield "clock", f"{report.clock_offset_s:+.2f} s against this machine"
    if report.lost:
        yield "lost", ", ".join(f"{count} {cause}" for cause, count in report.lost.items())
    yield "opened in", f"{report.open_s:.2f} s"
    yield "looked at", f"{report.frames} frames, {report.watched_s:.1f} s"


def _number(value: float | None, unit: str) -> str:
    return "unknown" if value is None else f"{value:.5g} {unit}"
