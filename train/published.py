"""Files of torchvision's published weights: fetched once, kept in torch's cache, checked always.

The first digits of a file's SHA-256 stand in its name (``…-258fb6c6.pth``). A file is compared
with them whenever it is read: torch itself trusts whatever lies in its cache.
"""

import hashlib
import re
import secrets
from collections.abc import Callable, Mapping
from http.client import HTTPException
from pathlib import Path
from pickle import PickleError
from urllib.parse import urlsplit
from urllib.request import Request, build_opener

import torch
from torch import Tensor
from torchvision.models import get_weight

from train.errors import ConfigError

SILENCE_S = 30
"""A server that says nothing for so long is given up."""
CHUNK_BYTES = 2**20
_HASH = re.compile(r"-([0-9a-f]{8,64})\.pth\Z")

Tick = Callable[[int, int], None]
"""Takes how many bytes are here, and of how many (0 = not known)."""


def download(name: str, tick: Tick | None = None) -> Mapping[str, Tensor]:
    """Return torchvision's weights by their name there, from the cache or the network.

    Raises:
        ConfigError: they cannot be had, as on a machine without a network, or are damaged.
    """
    return fetch(get_weight(name).url, tick)


def fetch(url: str, tick: Tick | None = None) -> Mapping[str, Tensor]:
    """Return the weights at an address, from the cache if they were fetched before.

    Raises:
        ConfigError: they cannot be had, or are damaged.
    """
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlsplit(url).path).name
    if not path.exists():
        _fetch_file(url, path, tick or (lambda _done, _total: None))
    return read_weights(path)


def read_weights(path: Path) -> Mapping[str, Tensor]:
    """Return the weights in a file of torchvision's, checked against the hash in its name.

    Raises:
        ConfigError: no such file, it is cut or changed, or no weights are in it.
    """
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ConfigError(f"cannot read the weights {path}: {error.strerror or error}") from error
    _check_hash(path.name, found, f"{path} is damaged, delete it and fetch it again")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, LookupError, ValueError, PickleError) as error:
        raise ConfigError(f"{path} holds no weights: {_first_line(error)}") from error
    if not isinstance(content, Mapping) or not all(isinstance(v, Tensor) for v in content.values()):
        raise ConfigError(f"{path} holds no weights: not a mapping of names to tensors")
    return content


def _check_hash(name: str, found: str, message: str) -> None:
    wanted = _HASH.search(name)
    if wanted is not None and not found.startswith(wanted[1]):
        raise ConfigError(f"{message} (sha256 {found[:16]}, its name says {wanted[1]})")


def _fetch_file(url: str, path: Path, tick: Tick) -> None:
    """Write what is at an address to a file that appears whole and right or not at all."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        digest = _copy(url, temporary, tick)
        _check_hash(path.name, digest, f"what {url} sent is cut or damaged, try again")
        temporary.replace(path)
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise ConfigError(
            f"cannot fetch the pretrained weights {url}: {reason}; without a network, fetch the "
            f"file elsewhere and put it at {path}, or train with --init none"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def _copy(url: str, path: Path, tick: Tick) -> str:
    """Copy what is at an address to a file and return its SHA-256."""
    request = Request(url, headers={"User-Agent": "sightline"})
    digest, done = hashlib.sha256(), 0
    # a fresh opener asks for the proxy of now
    with build_opener().open(request, timeout=SILENCE_S) as answer, path.open("wb") as file:
        total = int(answer.headers.get("Content-Length") or 0)
        while chunk := answer.read(CHUNK_BYTES):
            file.write(chunk)
            digest.update(chunk)
            done += len(chunk)
            tick(done, total)
    return digest.hexdigest()


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).partition("\n")[0]
