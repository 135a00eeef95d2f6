"""Redis: where it is, how it is reached, and what its errors mean.

Every error of the library becomes one of ours: AwayError, as nearly all of them pass (the server
restarts, loads, is out of memory, is a replica, has another password now), and DeliveryError for
what no waiting mends. Passwords stand in no message.
"""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from streamer.errors import AwayError, DeliveryError, DeliverySettingsError
from streamer.redact import redact

SCHEMES = ("redis", "rediss", "unix")
CONNECT_S = 2.0
ANSWER_S = 5.0
"""How long an answer may take; a blocking read asks for less than this."""
_COMMAND = re.compile(r"^Command # .* of pipeline caused error: ", re.DOTALL)
"""A library's prefix that quotes what was sent."""
_VARIABLE = re.compile(r"\$\{([^}]*)\}")

LASTING = (
    redis.exceptions.DataError,
    redis.exceptions.PubSubError,
    redis.exceptions.InvalidPipelineStack,
    redis.exceptions.CrossSlotTransactionError,
    redis.exceptions.ChildDeadlockedError,
    redis.exceptions.IncorrectPolicyType,
)
"""What no waiting mends; all other errors of the library are held to pass."""
ERRORS = (
    redis.RedisError,
    redis.exceptions.RedisClusterException,
    redis.exceptions.ChildDeadlockedError,
    redis.exceptions.IncorrectPolicyType,
    OSError,
)


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """Where Redis is; ``url`` may hold a password, ``shown`` never does."""

    url: str = field(repr=False)
    shown: str


def redis_address(text: str, env: Mapping[str, str] | None = os.environ) -> RedisAddress:
    """Return the address of ``redis://``, ``rediss://`` or ``unix://`` with ``${VAR}`` filled in.

    Without ``env`` nothing is: site.yaml's reader has done so.

    Raises:
        DeliverySettingsError: no such address, or a variable is not set.
    """
    url = text if env is None else _filled(text, env)
    shown = redact(text)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise DeliverySettingsError(f"Redis address {shown!r}: {redact(str(error), url)}") from None
    if parts.scheme not in SCHEMES:
        wanted = ", ".join(f"{scheme}://" for scheme in SCHEMES)
        raise DeliverySettingsError(f"Redis address {shown!r}: want one of {wanted}")
    if not (parts.path if parts.scheme == "unix" else parts.hostname) or port == 0:
        raise DeliverySettingsError(f"Redis address {shown!r}: it names no place")
    return RedisAddress(url, redact(url))


def _filled(text: str, env: Mapping[str, str]) -> str:
    missing = [name for name in _VARIABLE.findall(text) if name not in env]
    if missing:
        name = missing[0] or "(no name)"
        raise DeliverySettingsError(f"Redis address: environment variable {name} is not set")
    return _VARIABLE.sub(lambda match: env[match[1]], text)


def connect(address: RedisAddress, *, name: str = "sightline") -> "redis.Redis":
    """Return a client that tries once and tells; nothing is sent before its first command.

    Raises:
        DeliverySettingsError: the address has options that the library refuses.
    """
    try:
        client = redis.Redis.from_url(
            address.url,
            protocol=2,
            retry=Retry(NoBackoff(), 0),
            socket_connect_timeout=CONNECT_S,
            socket_timeout=ANSWER_S,
            health_check_interval=15,
            client_name=name,
        )
        # Unknown options are found only when a connection is made; this one opens nothing.
        client.connection_pool.connection_class(**client.connection_pool.connection_kwargs)
        return client
    except (ValueError, TypeError) as error:
        reason = redact(str(error), address.url)
        raise DeliverySettingsError(f"Redis address {address.shown!r}: {reason}") from None


@contextmanager
def redis_errors(action: str, address: RedisAddress) -> Iterator[None]:
    """Turn the library's errors into ours.

    Raises:
        AwayError: Redis does not do it now.
        DeliveryError: it never will.
    """
    try:
        yield
    except ERRORS as error:
        kind = DeliveryError if isinstance(error, LASTING) else AwayError
        text = " ".join(_COMMAND.sub("", str(error)).split())
        reason = redact(text, address.url) or type(error).__name__
        # The cause is left out of tracebacks: a library's message may quote the address.
        raise kind(f"cannot {action} Redis at {address.shown}: {reason}") from None


@dataclass(frozen=True, slots=True)
class RedisFacts:
    """A Redis server that answered; ``warnings`` say what makes it lose entries."""

    version: str
    warnings: tuple[str, ...]


def ask(client: "redis.Redis", address: RedisAddress) -> RedisFacts:
    """Ask a server what it is and whether it keeps what it takes.

    Raises:
        AwayError: it does not answer.
    """
    with redis_errors("ask", address):
        found: Any = client.info("everything")
    warnings = []
    if not found.get("aof_enabled"):
        warnings.append(
            "it keeps no append-only file: what it holds is lost when it dies "
            "(start it with --appendonly yes)"
        )
    policy = found.get("maxmemory_policy", "noeviction")
    if found.get("maxmemory") and policy != "noeviction":
        warnings.append(f"when its memory is full it throws entries away ({policy})")
    version = found.get("valkey_version") or found.get("redis_version") or "?"
    return RedisFacts(str(version), tuple(warnings))
