"""Stop long work cleanly: the first Ctrl-C or SIGTERM asks, a second Ctrl-C does not wait."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from cli.errors import INTERRUPTED, TERMINATED
from cli.output import note


class Stop:
    """The wish to stop; ``code`` is the exit code of the signal that asked, None until then."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self.code: int | None = None

    def ask(self, number: int, _frame: FrameType | None = None) -> None:
        """Take a signal."""
        if self.code is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.code = INTERRUPTED if number == signal.SIGINT else TERMINATED
        note("stopping: finishing what is on the way (Ctrl-C again: at once)")
        self.event.set()


@contextmanager
def stopping() -> Iterator[Stop]:
    """Let Ctrl-C and SIGTERM ask for a stop while the block runs."""
    stop = Stop()
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, stop.ask) for number in numbers]
    try:
        yield stop
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
