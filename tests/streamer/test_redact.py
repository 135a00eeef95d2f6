"""A password never survives, wherever it stands."""

import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streamer.errors import SourceUnavailableError
from streamer.redact import HIDDEN, redact

# A marker in the middle makes the password findable; the rest is anything.
ANYTHING = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=12)
WORD = st.text(string.ascii_letters + string.digits + string.punctuation, max_size=12)
QUERY_VALUE = st.text(string.ascii_letters + string.digits + "!$'()*+,-./:;?@_~%", max_size=12)
SCHEME = st.sampled_from(["rtsp", "rtsps", "http", "https", "rtmp", "RTSP"])


@given(SCHEME, WORD, WORD, WORD)
@example("rtsp", "", "", "")
@example("rtsp", "user", "p@ss/w:rd#?", "'\"")
def test_no_password_survives_in_a_message(scheme: str, user: str, before: str, after: str) -> None:
    url = f"{scheme}://{user}:{before}hunter2{after}@10.0.0.5:554/stream"
    assert "hunter2" not in redact(url)
    assert "hunter2" not in redact(f"[Errno 111] Connection refused: '{url}'; retrying {url}")


@given(SCHEME, ANYTHING, ANYTHING)
@example("rtsp", "a b", "\n")
def test_no_password_survives_if_the_address_is_known(scheme: str, user: str, rest: str) -> None:
    url = f"{scheme}://{user}:hunter2{rest}@camera/1"
    assert "hunter2" not in redact(f"cannot open {url} now", url)
    assert "hunter2" not in redact(f"login failed: hunter2{rest}", url)
    assert "hunter2" not in str(SourceUnavailableError(url, f"{url}: no"))


@given(st.sampled_from(["password", "pwd", "pass", "token", "api_key", "auth", "sig"]), QUERY_VALUE)
def test_no_password_survives_in_a_query(key: str, value: str) -> None:
    url = f"http://10.0.0.5/video.cgi?channel=1&{key}=hunter2{value}&stream=0"
    text = redact(f"cannot read {url}")
    assert "hunter2" not in text
    assert "channel=1" in text or "@" in value
    assert text.endswith("&stream=0")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("rtsp://bob:secret@10.0.0.5:554/s", f"rtsp://{HIDDEN}@10.0.0.5:554/s"),
        ("rtsp://10.0.0.5:554/s", "rtsp://10.0.0.5:554/s"),
        ("clips/front@2x.mp4", "clips/front@2x.mp4"),
        ("mail bob@example.org about rtsp://h/x", "mail bob@example.org about rtsp://h/x"),
        ("rtsp://tok@h/x is down", f"rtsp://{HIDDEN}@h/x is down"),
    ],
)
def test_what_is_no_secret_stays(text: str, shown: str) -> None:
    assert redact(text) == shown
