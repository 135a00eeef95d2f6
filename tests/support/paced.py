"""A recording that plays at its own pace, as a live camera does."""

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from streamer.container import SourceInfo
from streamer.source import Reader


class PacedReader(Reader):
    """Gives each packet when it is due; the end is that of a camera that was switched off."""

    def open(self) -> SourceInfo:
        """Open the recording, and call it live."""
        self.info = replace(super().open(), live=True)
        return self.info

    def _live_packets(self) -> Iterator[Any]:
        began_s = time.monotonic()
        for packet in self._demux():
            if packet.size:
                due_s = began_s + float((packet.pts or 0) * packet.time_base)
                time.sleep(max(0.0, due_s - time.monotonic()))
                yield packet, time.monotonic()
