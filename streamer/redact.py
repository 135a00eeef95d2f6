"""Keep camera passwords out of every log, error, metric and stored reason.

A credential is what stands between ``://`` and the last ``@`` of the same word, and the value of
a query parameter whose name speaks of a user, password, token or key. The rules hide too much
rather than too little: a URL that holds ``@`` in its path loses that part as well.
"""

import re
from urllib.parse import unquote

HIDDEN = "***"

_SCHEME = r"[A-Za-z][A-Za-z0-9+.\-]{0,20}://"
_CREDENTIALS = re.compile(rf"({_SCHEME})\S*@")
_WHOLE_URL = re.compile(rf"\s*({_SCHEME}).*@", re.DOTALL)
_PARAMETER = re.compile(
    r"([?&;][\w.\-]*(?:user|usr|login|account|pass|pwd|secret|token|key|auth|sig|cred)[\w.\-]*=)"
    r"[^&\s#]*",
    re.IGNORECASE,
)
_MIN_BARE_SECRET = 4
"""Shorter passwords are hidden inside URLs only: hiding "a" everywhere would eat the message."""


def redact(text: str, *urls: str) -> str:
    """Return the text without credentials: a URL, or a message that quotes some.

    ``urls`` are sources that the message may speak of; their passwords are hidden even where
    they stand alone or hold blanks.
    """
    for url in urls:
        text = text.replace(url, _hide(url))
        for secret in _secrets(url):
            text = text.replace(secret, HIDDEN)
    return _hide(text)


def _hide(text: str) -> str:
    text = _WHOLE_URL.sub(rf"\1{HIDDEN}@", text) if _WHOLE_URL.match(text) else text
    text = _CREDENTIALS.sub(rf"\1{HIDDEN}@", text)
    return _PARAMETER.sub(rf"\1{HIDDEN}", text)


def _secrets(url: str) -> list[str]:
    """Return what may be the password of a URL, as written and percent-decoded, longest first."""
    _, separator, rest = url.partition("://")
    user_info, at, _ = rest.rpartition("@")
    if not separator or not at:
        return []
    starts = [i + 1 for i, ch in enumerate(user_info) if ch == ":"] or [0]
    found = {text for i in starts for text in (user_info[i:], unquote(user_info[i:]))}
    return sorted((s for s in found if len(s) >= _MIN_BARE_SECRET), key=len, reverse=True)
