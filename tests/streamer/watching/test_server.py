"""The server: right answers, and hostile clients that hold up nobody."""

import json
import socket
import threading
import time
import urllib.error
import urllib.request

import pytest

from streamer.camera import State
from streamer.errors import ListenError
from streamer.watching.server import StatusServer


@pytest.fixture
def serve(snapshot, report):
    """Give a way to serve a snapshot; returns the server."""
    servers = []

    def begin(*cameras, client_s: float = 1.0, clients: int = 16):
        made = snapshot(*(cameras or (report(),)))
        server = StatusServer("127.0.0.1", 0, client_s=client_s, clients=clients)
        server.start(lambda: made.model_copy(update={"ticked_s": time.monotonic()}))
        servers.append(server)
        return server

    yield begin
    for server in servers:
        server.close()


def get(url: str) -> tuple[int, dict[str, str], str]:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, dict(answer.headers), answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, dict(error.headers), error.read().decode()


def connect(server: StatusServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])), timeout=5)


def test_metrics_and_health(serve) -> None:
    url = serve().url
    code, headers, text = get(f"{url}/metrics?x=1")
    assert (code, headers["Content-Type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert 'sightline_camera_state{camera="door",state="live"} 1' in text
    code, headers, text = get(f"{url}/health")
    assert (code, headers["Content-Type"]) == (200, "application/json")
    assert json.loads(text) == {"ok": True, "phase": "running", "reasons": []}
    assert "Python" not in headers["Server"]
    assert get(f"{url}/etc/passwd")[0] == 404


def test_health_is_503_with_every_reason(serve, report) -> None:
    cameras = [
        report("a", State.STALLED),
        report("b"),
        report("c", State.RETRYING, error="connection refused", cause="refused"),
    ]
    code, _, text = get(f"{serve(*cameras).url}/health")
    reasons = json.loads(text)["reasons"]
    assert (code, [one["camera"] for one in reasons]) == (503, ["a", "c"])
    assert (reasons[1]["cause"], reasons[1]["reason"]) == ("refused", "connection refused")


def test_head_and_other_methods(serve) -> None:
    server = serve()
    for request, expected in (
        (b"HEAD /metrics HTTP/1.0", b" 200 "),
        (b"POST /health HTTP/1.0", b" 501 "),
    ):
        with connect(server) as client:
            client.sendall(request + b"\r\n\r\n")
            answer = client.makefile("rb").read()
        assert expected in answer.splitlines()[0]
    with connect(server) as client:
        client.sendall(b"HEAD /metrics HTTP/1.0\r\n\r\n")
        head, _, body = client.makefile("rb").read().partition(b"\r\n\r\n")
    assert body == b""
    assert b"Content-Length: " in head


@pytest.mark.parametrize(
    "sent",
    [
        b"\x00\xff\xfe garbage\r\n\r\n",
        b"GET /" + b"a" * 70_000 + b" HTTP/1.0\r\n\r\n",
        b"GET /metrics HTTP/1.0\r\n" + b"a: b\r\n" * 200 + b"\r\n",
        b"GET /metrics HTTP/1.0\r\na: " + b"b" * 70_000 + b"\r\n\r\n",
    ],
)
def test_nonsense_is_refused_and_the_next_one_served(serve, sent) -> None:
    server = serve()
    with connect(server) as client:
        try:
            client.sendall(sent)
            answer = client.makefile("rb").read()
        except ConnectionError:
            answer = b""
    assert b" 200 " not in answer[:20]
    assert get(f"{server.url}/health")[0] == 200


def test_a_client_that_drips_is_cut_off_in_time(serve) -> None:
    server = serve(client_s=0.5)
    began_s = time.monotonic()
    with connect(server) as client:
        client.sendall(b"GET /metrics HTTP/1.0\r\n")
        with pytest.raises(ConnectionError):
            drip(client, began_s + 5)
    assert time.monotonic() - began_s < 2.5


def drip(client: socket.socket, until_s: float) -> None:
    while time.monotonic() < until_s:
        client.sendall(b"a")
        time.sleep(0.05)


def test_too_many_are_hung_up_on_and_room_comes_back(serve) -> None:
    server = serve(client_s=0.6, clients=4)
    silent = [connect(server) for _ in range(4)]
    time.sleep(0.3)
    with connect(server) as extra:
        assert extra.recv(1) == b""
    deadline_s = time.monotonic() + 3
    while get_or_none(f"{server.url}/health") != 200:
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
    for client in silent:
        client.close()


def get_or_none(url: str) -> int | None:
    try:
        return get(url)[0]
    except OSError:
        return None


def test_close_does_not_wait_for_clients_and_frees_the_port(serve) -> None:
    server = serve(client_s=30)
    with connect(server) as client:
        client.sendall(b"GET /metr")
        time.sleep(0.1)
        began_s = time.monotonic()
        server.close()
        assert time.monotonic() - began_s < 2
        assert client.recv(1) == b""
    again = StatusServer("127.0.0.1", int(server.url.rpartition(":")[2]))
    again.close()
    deadline_s = time.monotonic() + 2
    while any(thread.name == "http" for thread in threading.enumerate()):
        assert time.monotonic() < deadline_s


def test_a_port_in_use_is_told(serve) -> None:
    port = int(serve().url.rpartition(":")[2])
    with pytest.raises(ListenError, match=rf"cannot listen on 127.0.0.1:{port}: Address already"):
        StatusServer("127.0.0.1", port)


def test_it_listens_on_ipv6_as_well() -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    try:
        server = StatusServer("::1", 0)
    except ListenError as error:
        pytest.skip(str(error))
    assert server.url.startswith("http://[::1]:")
    server.close()
