"""The end of the way: messages into a gallery that is opened when needed, and again when it failed.

Within a batch sightings come first and coverage after them, so that a gallery never claims to
have watched what it has not got yet. Every message may come again: ids are deterministic.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from gallery.checks import sighting_fault
from gallery.errors import GalleryError, InvalidSightingError
from gallery.gallery import Gallery
from gallery.manifest import entries as checked_links
from gallery.values import Sighting
from streamer.delivery.entry import (
    CoverageMessage,
    Entry,
    LinksMessage,
    Message,
    SightingMessage,
    unpack,
)
from streamer.delivery.pump import Refusal
from streamer.errors import AwayError, EntryError, LostError

logger = logging.getLogger(__name__)

SETTLE_S = 40.0
"""The store does not sync its files: a power cut takes what the kernel had not written yet,
which it does within 30 s."""

OpenGallery = Callable[[str], Gallery]
"""Opens a gallery, or makes one for a model."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What a gallery took, and what it will never take."""

    sightings: int
    refused: tuple[Refusal, ...]


class GalleryKeeper:
    """Keeps messages in one gallery; one thread at a time calls it."""

    def __init__(self, open_gallery: OpenGallery, gallery: Gallery | None = None) -> None:
        self._open = open_gallery
        self._gallery = gallery

    @property
    def gallery(self) -> Gallery | None:
        """The open gallery."""
        return self._gallery

    def keep(self, messages: Sequence[Message]) -> Kept:
        """Store messages; on return all but the refused ones are in the gallery.

        Raises:
            AwayError: the gallery takes nothing now.
            LostError: it failed while writing, and may have lost what it took before.
        """
        if not messages:
            return Kept(0, ())
        with _reopening(self):
            gallery = self._opened(messages[0].model)
            refused = tuple(self._store(gallery, messages))
        looks = sum(isinstance(message, SightingMessage) for message in messages)
        bad = sum(isinstance(messages[one.place], SightingMessage) for one in refused)
        return Kept(looks - bad, refused)

    def flush(self) -> None:
        """Bring everything to the gallery's files.

        Raises:
            AwayError: the gallery failed.
        """
        if self._gallery is not None:
            with _reopening(self):
                self._gallery.flush()

    def close(self) -> None:
        """Close the gallery.

        Raises:
            AwayError: its last flush failed; nothing that it acknowledged is lost.
        """
        gallery, self._gallery = self._gallery, None
        if gallery is not None:
            try:
                gallery.close()
            except GalleryError as error:
                raise AwayError(str(error)) from error

    def let_go(self) -> bool:
        """Close a gallery that broke, which must be opened again; tell whether it had broken."""
        if self._gallery is None or not self._gallery.broken:
            return False
        try:
            self.close()
        except AwayError as error:
            logger.info("the gallery that failed closed with: %s", error)
        return True

    def _opened(self, model: str) -> Gallery:
        if self._gallery is None:
            self._gallery = self._open(model)
        return self._gallery

    def _store(self, gallery: Gallery, messages: Sequence[Message]) -> Iterator[Refusal]:
        rows = []
        for index, message in enumerate(messages):
            if isinstance(message, SightingMessage):
                fault = sighting_fault(message.sighting, gallery.model)
                if fault:
                    yield Refusal(index, f"sighting {message.sighting.id!r}: {fault}")
                else:
                    rows.append(_with_crop(gallery, message))
        gallery.write(rows)
        for index, message in enumerate(messages):
            if not isinstance(message, SightingMessage):
                yield from _tell(gallery, message, index)


class GalleryTarget:
    """The gallery of this process as the other side of a spool."""

    def __init__(self, keeper: GalleryKeeper, settle_s: float = SETTLE_S) -> None:
        self.settle_s = settle_s
        self._keeper = keeper

    def send(self, entries: Sequence[Entry]) -> Sequence[Refusal]:
        """Put entries into the gallery.

        Raises:
            AwayError: the gallery takes nothing now.
        """
        places, messages, refused = [], [], []
        for index, entry in enumerate(entries):
            try:
                messages.append(unpack(entry))
                places.append(index)
            except EntryError as error:
                refused.append(Refusal(index, str(error)))
        kept = self._keeper.keep(messages)
        return refused + [Refusal(places[one.place], one.reason) for one in kept.refused]

    def confirm(self) -> None:
        """A gallery that failed has raised while it was written to."""

    def close(self) -> bool:
        """Flush and close the gallery.

        Raises:
            AwayError: the gallery failed.
        """
        self._keeper.close()
        return True


@contextmanager
def _reopening(keeper: GalleryKeeper) -> Iterator[None]:
    """Turn the gallery's errors into ours; one that broke is opened again next time."""
    try:
        yield
    except GalleryError as error:
        kind = LostError if keeper.let_go() else AwayError
        raise kind(str(error)) from error


def _with_crop(gallery: Gallery, message: SightingMessage) -> Sighting:
    sighting = message.sighting
    if not message.jpeg:
        return sighting
    crop = gallery.put_crop(sighting.id, sighting.camera, sighting.captured_at_ms, message.jpeg)
    return replace(sighting, crop=crop)


def _tell(
    gallery: Gallery, message: CoverageMessage | LinksMessage, index: int
) -> Iterator[Refusal]:
    """Keep coverage or links; refuse what can never be kept."""
    if isinstance(message, CoverageMessage):
        fault = _record(gallery, message)
    else:
        fault = _set_links(gallery, message)
    if fault:
        yield Refusal(index, fault)


def _record(gallery: Gallery, message: CoverageMessage) -> str:
    """Record a span; of another model's sightings nothing is here, so nothing is claimed."""
    if message.model != gallery.model:
        return f"coverage of model {message.model!r}, the gallery holds {gallery.model!r}"
    try:
        gallery.record(message.span)
    except InvalidSightingError as error:
        return str(error)
    return ""


def _set_links(gallery: Gallery, message: LinksMessage) -> str:
    try:
        checked_links(message.links)
    except GalleryError as error:
        return str(error)
    if gallery.links != message.links:
        gallery.set_links(message.links)
    return ""
