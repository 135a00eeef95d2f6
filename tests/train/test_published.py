"""Files of published weights: fetched from a real server, cut, changed, or not to be had."""

import hashlib
import io
import pickle
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch

from train.errors import ConfigError
from train.published import download, fetch, read_weights

RESNET18 = "resnet18-f37072fd.pth"


def weights_file(value: float = 1.0) -> tuple[str, bytes]:
    """Return weights as torchvision publishes them, the name with the first digits of the hash."""
    buffer = io.BytesIO()
    torch.save({"conv.weight": torch.full((40, 40), value)}, buffer)
    data = buffer.getvalue()
    return f"net-{hashlib.sha256(data).hexdigest()[:8]}.pth", data


class Server:
    """A server of files by name; ``cut`` is how many bytes it leaves out at a file's end."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.cut = 0
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked.append(self.path)
                data = server.files.get(self.path.lstrip("/"))
                self.send_response(200 if data is not None else 404)
                self.send_header("Content-Length", str(len(data or b"")))
                self.end_headers()
                self.wfile.write((data or b"")[: len(data or b"") - server.cut])

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/{name}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of torch, and no proxy in between."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return tmp_path / "torch" / "hub" / "checkpoints"


def test_weights_are_fetched_once_and_kept(server: Server, cache: Path) -> None:
    name, data = weights_file()
    server.files[name] = data
    ticks: list[tuple[int, int]] = []
    first = fetch(server.url(name), lambda done, total: ticks.append((done, total)))
    second = fetch(server.url(name))
    assert torch.equal(first["conv.weight"], second["conv.weight"])
    assert float(first["conv.weight"][0, 0]) == 1.0
    assert server.asked == [f"/{name}"]
    assert ticks[-1] == (len(data), len(data))
    assert [path.name for path in cache.iterdir()] == [name]


def test_a_file_that_breaks_off_is_not_kept(server: Server, cache: Path) -> None:
    name, server.files[name] = weights_file()
    server.cut = 1000
    with pytest.raises(ConfigError, match=r"sent is cut or damaged, try again .sha256"):
        fetch(server.url(name))
    assert list(cache.iterdir()) == []
    server.cut = 0
    assert "conv.weight" in fetch(server.url(name))


def test_a_file_that_is_another_one_is_not_kept(server: Server, cache: Path) -> None:
    name = weights_file(1.0)[0]
    server.files[name] = weights_file(2.0)[1]
    with pytest.raises(ConfigError, match=f"cut or damaged.*its name says {name[4:12]}"):
        fetch(server.url(name))
    assert list(cache.iterdir()) == []


def test_a_server_without_the_file_is_named(server: Server, cache: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot fetch .*/no-12345678\.pth: Not Found; without"):
        fetch(server.url("no-12345678.pth"))
    assert list(cache.iterdir()) == []


def test_without_a_network_it_says_what_to_do(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for scheme in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(scheme, "http://127.0.0.1:1")  # nobody listens there
    with pytest.raises(
        ConfigError, match="cannot fetch the pretrained weights https://download"
    ) as e:
        download("ResNet18_Weights.IMAGENET1K_V1")
    assert "refused" in str(e.value)
    assert f"put it at {cache / RESNET18}, or train with --init none" in str(e.value)
    assert list(cache.iterdir()) == []


def test_a_damaged_file_in_the_cache_is_named(cache: Path) -> None:
    cache.mkdir(parents=True)
    (cache / RESNET18).write_bytes(weights_file()[1][:-1])
    with pytest.raises(ConfigError, match=f"{cache / RESNET18} is damaged, delete it and fetch"):
        download("ResNet18_Weights.IMAGENET1K_V1")


class Trap:
    """Would run a command if it were unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (exec, ("raise SystemExit('unpickled')",))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not a file of torch",
        weights_file()[1][:-100],
        pickle.dumps(Trap(), protocol=2),
        pickle.dumps({"conv.weight": 3}, protocol=2),
    ],
    ids=["empty", "text", "cut", "trap", "numbers"],
)
def test_a_file_without_weights_is_named(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "mine.pth"  # no hash in the name: nothing to compare with
    path.write_bytes(data)
    with pytest.raises(ConfigError, match=r"mine\.pth holds no weights"):
        read_weights(path)


def test_a_file_of_other_things_is_named(tmp_path: Path) -> None:
    torch.save({"model": {"conv.weight": torch.zeros(1)}}, tmp_path / "mine.pth")
    with pytest.raises(ConfigError, match="not a mapping of names to tensors"):
        read_weights(tmp_path / "mine.pth")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read the weights .*gone\.pth: No such file"):
        read_weights(tmp_path / "gone.pth")
