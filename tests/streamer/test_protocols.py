"""Live video by every protocol that a real server on loopback can speak here."""

import http.server
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from engines.pictures import encode_jpeg
from streamer.source import Reader


@pytest.fixture(scope="module")
def transport_stream(kit, tmp_path_factory) -> bytes:
    """Give 12 s at 10 fps as MPEG-TS."""
    path = tmp_path_factory.mktemp("ts") / "a.ts"
    kit.encode(path, kit.scene([kit.Walker(kit.RED, 20, 100, speed=10)], seconds=12))
    return path.read_bytes()


@contextmanager
def pouring(kind: str, parts: Callable[[], Iterator[bytes]]) -> Iterator[str]:
    """Serve an endless answer over HTTP, a part every now and then; yields its address."""
    over = threading.Event()

    class Pour(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.end_headers()
            try:
                for part in parts():
                    if over.wait(0.05):
                        return
                    self.wfile.write(part)
            except OSError:
                return

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pour) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/live"
        finally:
            over.set()
            server.shutdown()
            thread.join(5)


def chunks(data: bytes, count: int) -> Iterator[bytes]:
    size = -(-len(data) // count // 188) * 188
    return (data[at : at + size] for at in range(0, len(data), size))


def first(reader: Reader, count: int):
    return list(islice((frame for frame in reader.frames() if frame is not None), count))


def test_mpeg_ts_over_http(transport_stream, camera_settings) -> None:
    with (
        pouring("video/mp2t", lambda: chunks(transport_stream, 240)) as url,
        Reader(camera_settings(url)) as reader,
    ):
        frames = first(reader, 8)
        assert (reader.info.format, reader.info.live) == ("mpegts", True)
    assert np.diff([frame.captured_at_ms for frame in frames]) == pytest.approx(200, abs=50)
    assert abs(frames[-1].captured_at_ms - time.time() * 1000) < 8000


def test_motion_jpeg_over_http(camera_settings) -> None:
    def parts() -> Iterator[bytes]:
        for i in range(400):
            jpeg = encode_jpeg(np.full((48, 64, 3), 20 + i % 200, np.uint8))
            head = f"--b\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
            yield head.encode() + jpeg + b"\r\n"

    kind = "multipart/x-mixed-replace; boundary=b"
    with pouring(kind, parts) as url, Reader(camera_settings(url)) as reader:
        frames = first(reader, 6)
        assert (reader.info.live, reader.info.codec) == (True, "mjpeg")
    assert frames[0].time_source == "arrival"
    stamps = [frame.captured_at_ms for frame in frames]
    assert all(150 <= gap < 1000 for gap in np.diff(stamps))


@pytest.mark.parametrize("scheme", ["udp", "tcp"])
def test_mpeg_ts_over_udp_and_tcp(transport_stream, camera_settings, kit, scheme: str) -> None:
    port, over = kit.free_port(), threading.Event()

    def send() -> None:
        if scheme == "udp":
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
                _pour(lambda part: out.sendto(part, ("127.0.0.1", port)), transport_stream, over)
        else:
            with socket.create_server(("127.0.0.1", port)) as listener:
                listener.settimeout(10)
                peer, _ = listener.accept()
                with peer:
                    _pour(peer.sendall, transport_stream, over)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        time.sleep(0.2)
        with Reader(camera_settings(f"{scheme}://127.0.0.1:{port}")) as reader:
            frames = first(reader, 6)
            assert (reader.info.format, reader.info.live) == ("mpegts", True)
    finally:
        over.set()
        thread.join(10)
    assert np.diff([frame.captured_at_ms for frame in frames]) == pytest.approx(200, abs=50)


def _pour(send: Callable[[bytes], object], data: bytes, over: threading.Event) -> None:
    """Send packets of 7 x 188 bytes for as long as the stream lasts, or until it is over."""
    parts = [data[at : at + 1316] for at in range(0, len(data), 1316)]
    try:
        for part in parts:
            if over.wait(12.0 / len(parts)):
                return
            send(part)
    except OSError:
        return


@pytest.fixture(scope="module")
def certificate(tmp_path_factory) -> Path:
    """Give a certificate for 127.0.0.1 that nobody signed, and its key, in one file."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl command: no certificate can be made")
    folder = tmp_path_factory.mktemp("tls")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
               "-subj", "/CN=127.0.0.1", "-keyout", "key.pem", "-out", "cert.pem"]  # fmt: skip
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    both = folder / "both.pem"
    both.write_text((folder / "cert.pem").read_text() + (folder / "key.pem").read_text())
    return both


@pytest.fixture(scope="module")
def units(kit, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("units") / "walk.h264"
    return kit.access_units(path, kit.scene([kit.Walker(kit.RED, 0, 100, speed=70)], seconds=4))


@pytest.mark.services
def test_rtsps(rtsp, units, certificate, camera_settings) -> None:
    server = rtsp(units, login="bob:right-password", certificate=certificate)
    url = server.url.replace("rtsps://", "rtsps://bob:right-password@")
    with Reader(camera_settings(url)) as reader:
        frames = first(reader, 5)
    assert len(frames) == 5


@pytest.mark.services
def test_rtsp_over_udp(rtsp, units, camera_settings) -> None:
    with Reader(camera_settings(rtsp(units).url, transport="udp")) as reader:
        assert len(first(reader, 5)) == 5


@pytest.mark.services
def test_key_frames_alone_and_all_of_them_again(rtsp, units, camera_settings) -> None:
    """10 fps, a key frame a second: what lies between is not decoded, and counted."""
    with Reader(camera_settings(rtsp(units).url)) as reader:
        pictures = reader.pictures()
        list(islice(pictures, 15))
        reader.key_frames_only = True
        decoded = reader.decoded
        alone = list(islice(pictures, 3))
        assert all(picture.key for picture in alone)
        assert np.diff([picture.pts_s for picture in alone]) == pytest.approx(1.0, abs=0.05)
        assert reader.decoded == decoded + 3
        assert reader.lost["skipped"] >= 8
        assert reader.key_interval_s == pytest.approx(1.0, abs=0.05)
        late_s = time.time() - alone[-1].captured_at_ms / 1000
        reader.key_frames_only = False
        again = list(islice(pictures, 15))
    assert late_s < 1.5, "a key frame is not held back for those that never come"
    assert again[0].key, "no picture that lacks the ones before it"
    assert np.diff([picture.pts_s for picture in again]) == pytest.approx(0.1, abs=0.03)
    assert (reader.lost["undecodable"], reader.lost["damaged"]) == (0, 0)


def test_rtmp(kit, rtmp, tmp_path, camera_settings) -> None:
    people = [kit.Walker(kit.RED, 20, 100, speed=10)]
    flv = kit.encode(tmp_path / "a.flv", kit.scene(people, seconds=8))
    with rtmp.rtmp_camera(flv) as url, Reader(camera_settings(url)) as reader:
        frames = first(reader, 6)
        assert (reader.info.live, reader.info.codec, reader.info.width) == (True, "h264", 320)
    assert np.diff([frame.captured_at_ms for frame in frames]) == pytest.approx(200, abs=60)
    assert abs(frames[-1].captured_at_ms - time.time() * 1000) < 6000
