"""A live camera for tests: MJPEG over HTTP on loopback, that can fall silent and come back.

A person, a bright block, crosses the picture; whoever connects sees the live picture of now.
"""

import socket
import threading
import time
from contextlib import suppress

import numpy as np

from engines.pictures import encode_jpeg

_HEAD = b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n"
BLOCK_STEPS = 11


def _picture(step: int) -> bytes:
    pixels = np.full((64, 96, 3), 16, np.uint8)
    x = 8 * (step // 4 % BLOCK_STEPS)
    pixels[24:32, x : x + 8] = (230, 20, 20)
    jpeg = encode_jpeg(pixels)
    head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
    return head.encode() + jpeg + b"\r\n"


class MjpegCamera:
    """A context manager; ``silent`` stops the pictures while the connection stays."""

    def __init__(self, fps: float = 10) -> None:
        self.fps = fps
        self.silent = threading.Event()
        self._over = threading.Event()
        self._pictures = [_picture(step) for step in range(4 * BLOCK_STEPS)]
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.1)
        self._thread = threading.Thread(target=self._serve, daemon=True)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._listener.getsockname()[1])

    @property
    def url(self) -> str:
        """The address, with a password that it does not ask for."""
        return f"http://watcher:s3cret-w0rd@127.0.0.1:{self.port}/video"

    def __enter__(self) -> "MjpegCamera":
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self._thread.join(5)
        self._listener.close()

    def _serve(self) -> None:
        while not self._over.is_set():
            with suppress(TimeoutError):
                peer, _ = self._listener.accept()
                threading.Thread(target=self._play, args=(peer,), daemon=True).start()

    def _play(self, peer: socket.socket) -> None:
        step = 0
        with peer, suppress(OSError):
            peer.recv(65536)
            peer.sendall(_HEAD)
            while not self._over.wait(1 / self.fps):
                if not self.silent.is_set():
                    peer.sendall(self._pictures[step % len(self._pictures)])
                    step += 1


if __name__ == "__main__":
    with MjpegCamera() as camera:
        print(camera.url, flush=True)
        time.sleep(3600)
