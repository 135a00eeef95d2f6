"""Addresses and errors of Redis: told plainly, without passwords, none left out."""

import inspect

import pytest
import redis

from streamer.delivery.redis_client import (
    ERRORS,
    LASTING,
    ask,
    connect,
    redis_address,
    redis_errors,
)
from streamer.errors import AwayError, DeliveryError, DeliverySettingsError

LIBRARY = sorted(
    {
        one
        for _, one in inspect.getmembers(redis.exceptions, inspect.isclass)
        if issubclass(one, Exception) and one.__module__ == "redis.exceptions"
    },
    key=lambda one: one.__name__,
)


@pytest.mark.parametrize("kind", LIBRARY, ids=lambda one: one.__name__)
def test_every_error_of_the_library_becomes_one_of_ours(kind: type[Exception]) -> None:
    assert len(LIBRARY) > 25
    wanted = DeliveryError if issubclass(kind, LASTING) else AwayError
    made = kind.__new__(kind)
    Exception.__init__(made, "broken")
    with (
        pytest.raises(wanted, match=r"cannot ask Redis at redis://h"),
        redis_errors("ask", redis_address("redis://h")),
    ):
        raise made
    assert issubclass(kind, ERRORS)


def test_a_password_comes_from_the_environment_and_stands_in_no_message() -> None:
    address = redis_address("redis://me:${PW}@h:6390/2", {"PW": "hunter22"})
    assert address.url == "redis://me:hunter22@h:6390/2"
    assert "hunter22" not in repr(address)
    assert address.shown == "redis://***@h:6390/2"
    with (
        pytest.raises(AwayError) as caught,
        redis_errors("ask", address),
    ):
        raise redis.ConnectionError("Error to redis://me:hunter22@h: hunter22 refused")
    assert "hunter22" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("redis://h:${NO_SUCH}@x", "environment variable NO_SUCH is not set"),
        ("http://h", "want one of redis://, rediss://, unix://"),
        ("localhost:6379", "want one of"),
        ("redis://", "names no place"),
        ("unix://", "names no place"),
        ("redis://h:port", "Redis address"),
        ("redis://h:0", "names no place"),
    ],
)
def test_an_address_that_cannot_be_is_told(text: str, reason: str) -> None:
    with pytest.raises(DeliverySettingsError, match=reason):
        redis_address(text, {})


def test_an_option_that_the_library_refuses_is_told() -> None:
    with pytest.raises(DeliverySettingsError, match="no_such_option"):
        connect(redis_address("redis://a:secret99@h?no_such_option=1")).ping()


def test_nobody_there_is_told_at_once() -> None:
    address = redis_address("unix:///nowhere/redis.sock")
    with pytest.raises(AwayError, match=r"cannot ask Redis at unix:///nowhere/redis\.sock: "):
        ask(connect(address), address)


@pytest.mark.services
def test_a_server_says_what_makes_it_lose_entries(server) -> None:
    client = server.client()
    found = ask(client, server.address)
    assert found.version[0].isdigit()
    assert found.warnings == ()
    client.config_set("appendonly", "no")
    client.config_set("maxmemory-policy", "allkeys-lru")
    warnings = ask(client, server.address).warnings
    assert "keeps no append-only file" in warnings[0]
    assert "allkeys-lru" in warnings[1]


@pytest.mark.services
def test_a_wrong_password_is_told_without_it(server) -> None:
    server.client().config_set("requirepass", "right-password")
    address = redis_address(f"{server.address.url.replace('unix://', 'unix://:wrongpw9@')}")
    with pytest.raises(AwayError, match=r"WRONGPASS|invalid username-password") as caught:
        ask(connect(address), address)
    assert "wrongpw9" not in str(caught.value)
