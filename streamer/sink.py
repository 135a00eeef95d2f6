"""Where sightings go. The gallery is one such place; a queue to another process may be another."""

from collections.abc import Sequence
from typing import Protocol

from engines.pictures import encode_jpeg
from gallery.values import CoverageSpan, Link, Sighting, sighting_id
from streamer.sampler import Shot


class SightingSink(Protocol):
    """What ingest needs of the place that keeps sightings; every call may raise GalleryError."""

    def put_crop(self, sighting: str, camera: str, captured_at_ms: int, jpeg: bytes) -> str:
        """Keep a crop, whole or not at all, and return the reference to store with a sighting."""
        ...

    def write(self, sightings: Sequence[Sighting]) -> None:
        """Return only when the sightings are kept for good; the same id again changes nothing."""
        ...

    def record(self, span: CoverageSpan) -> None:
        """Keep what a camera did; a span with the same camera and start replaces the former."""
        ...

    def set_links(self, links: Sequence[Link]) -> None:
        """Keep which cameras people walk between."""
        ...

    def flush(self) -> None:
        """Bring everything to disk."""
        ...


class Outbox:
    """Shots on their way to the sink: crop first, then the sightings of many shots in one write."""

    def __init__(self, sink: SightingSink, model: str, size: int = 32) -> None:
        self._sink = sink
        self._model = model
        self._size = size
        self._shots: list[Shot] = []

    def add(self, shots: Sequence[Shot]) -> None:
        """Take shots; writes when enough have come together."""
        self._shots.extend(shots)
        if len(self._shots) >= self._size:
            self.deliver()

    def deliver(self) -> None:
        """Write what waits; on return the sink has acknowledged it.

        What the sink refuses with an error stays here, and the next call offers it again.
        """
        if self._shots:
            self._sink.write([self._sighting(shot) for shot in self._shots])
            self._shots = []

    def _sighting(self, shot: Shot) -> Sighting:
        name = sighting_id(shot.camera, shot.tracklet, shot.captured_at_ms)
        crop = self._sink.put_crop(name, shot.camera, shot.captured_at_ms, encode_jpeg(shot.crop))
        return Sighting(
            id=name,
            camera=shot.camera,
            captured_at_ms=shot.captured_at_ms,
            tracklet=shot.tracklet,
            box=shot.box,
            score=shot.score,
            quality=shot.quality,
            embedding=shot.embedding,
            crop=crop,
            model=self._model,
            frame_wh=shot.frame_wh,
        )
