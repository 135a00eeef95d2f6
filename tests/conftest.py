"""What holds for every test."""

import signal
from collections.abc import Iterator

import pytest

# A shell that starts a job in the background makes it ignore Ctrl-C, and with it every program
# that a test starts: the tests of Ctrl-C would wait for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _nothing_verified_here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Hide the plans and verdicts of whoever runs the tests: they would change what opens."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SIGHTLINE_CACHE", str(tmp_path_factory.mktemp("plans") / "cache"))
        yield
