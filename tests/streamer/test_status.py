"""When a camera counts as one that could never be read."""

import pytest

from streamer.camera import State
from streamer.status import CameraReport

REFUSED = "connection refused"


@pytest.mark.parametrize(
    ("state", "frames", "error", "failed"),
    [
        (State.FAILED, 0, REFUSED, True),
        (State.RETRYING, 0, REFUSED, True),
        # Caught between two attempts: it is connecting once more, and was never read.
        (State.CONNECTING, 0, REFUSED, True),
        (State.CONNECTING, 0, "", False),
        (State.RETRYING, 12, REFUSED, False),
        (State.LIVE, 12, "", False),
        (State.DISABLED, 0, "", False),
    ],
)
def test_failed_means_never_read(state: State, frames: int, error: str, failed: bool) -> None:
    report = CameraReport("door", state, "rtsp://door", frames=frames, error=error)
    assert report.failed is failed
