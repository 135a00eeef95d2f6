"""A server that plays an FLV file to one RTMP client, at the pace of its time stamps.

Only what a player needs of the protocol: handshake, connect, createStream, play, then the tags.
"""

import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_CHUNK = 65_536
_COMMAND = 20


def _number(value: float) -> bytes:
    return b"\0" + struct.pack(">d", value)


def _text(value: str) -> bytes:
    return b"\x02" + struct.pack(">H", len(value)) + value.encode()


def _object(**items: str) -> bytes:
    rows = b"".join(struct.pack(">H", len(k)) + k.encode() + _text(v) for k, v in items.items())
    return b"\x03" + rows + b"\0\0\x09"


def _message(
    kind: int, payload: bytes, *, at_ms: int = 0, stream: int = 0, chunk: int = 3
) -> bytes:
    """Return one message in chunks of up to 64 KiB."""
    head = bytes([chunk]) + at_ms.to_bytes(3, "big") + len(payload).to_bytes(3, "big")
    head += bytes([kind]) + struct.pack("<I", stream)
    parts = [payload[i : i + _CHUNK] for i in range(0, len(payload), _CHUNK)]
    return head + bytes([0xC0 | chunk]).join(parts)


def _tags(flv: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yield kind, milliseconds and payload of every tag of an FLV file."""
    at = 13
    while at + 11 <= len(flv):
        size = int.from_bytes(flv[at + 1 : at + 4], "big")
        milliseconds = int.from_bytes(flv[at + 4 : at + 7], "big")
        yield flv[at], milliseconds, flv[at + 11 : at + 11 + size]
        at += 11 + size + 4


class _Client:
    def __init__(self, peer: socket.socket) -> None:
        self._peer = peer
        self._seen = b""

    def shake_hands(self) -> None:
        first = self._read(1 + 1536)
        self._peer.sendall(b"\x03" + bytes(1536) + first[1:])
        self._read(1536)

    def wait_for(self, command: str) -> None:
        """Read until a command was named; what stands around it is of no interest."""
        wanted = _text(command)
        while wanted not in self._seen:
            got = self._peer.recv(65_536)
            if not got:
                raise ConnectionError("the client hung up")
            self._seen += got
        self._seen = self._seen.partition(wanted)[2]

    def transaction(self) -> float:
        """Return the number of the command that was just read."""
        while len(self._seen) < 9:
            self._seen += self._peer.recv(65_536)
        return float(struct.unpack(">d", self._seen[1:9])[0])

    def _read(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            data += self._peer.recv(count - len(data))
        return data


def _play(peer: socket.socket, flv: bytes, over: threading.Event) -> None:
    client = _Client(peer)
    client.shake_hands()
    client.wait_for("connect")
    done = _object(level="status", code="NetConnection.Connect.Success")
    peer.sendall(_message(5, struct.pack(">I", 2_500_000), chunk=2))
    peer.sendall(_message(1, struct.pack(">I", _CHUNK), chunk=2))
    peer.sendall(_message(_COMMAND, _text("_result") + _number(1) + _object(x="y") + done))
    client.wait_for("createStream")
    answer = _text("_result") + _number(client.transaction()) + b"\x05" + _number(1)
    peer.sendall(_message(_COMMAND, answer))
    client.wait_for("play")
    begun = _object(level="status", code="NetStream.Play.Start")
    peer.sendall(_message(_COMMAND, _text("onStatus") + _number(0) + b"\x05" + begun, stream=1))
    began_s = time.monotonic()
    for kind, at_ms, payload in _tags(flv):
        if over.wait(max(0.0, began_s + at_ms / 1000 - time.monotonic())):
            return
        peer.sendall(_message(kind, payload, at_ms=at_ms, stream=1, chunk=6))


@contextmanager
def rtmp_camera(flv: Path) -> Iterator[str]:
    """Play a file to whoever comes first; yields the address."""
    over = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(10)

    def serve() -> None:
        try:
            peer, _ = listener.accept()
            with peer:
                peer.settimeout(10)
                _play(peer, flv.read_bytes(), over)
        except OSError:
            return

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"rtmp://127.0.0.1:{listener.getsockname()[1]}/live/cam"
    finally:
        over.set()
        thread.join(12)
        listener.close()
