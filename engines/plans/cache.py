"""The plans of this machine: a folder each, with ``plan.json`` beside the files.

::

    <cache>/plans/<name>/plan.json, search.onnx, …    one plan
    <cache>/damaged/<name>/                           a plan that was set aside
    <cache>/locks/<digest>                            held while a plan is made
    <cache>/timing/<digest>                           what the compiler has measured here

Nothing in a plan is used before every field of its key, its size and its hash were compared. A
plan is written whole or not at all. The cache may be deleted at any time.
"""

import fcntl
import hashlib
import logging
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from engines.errors import PlanError
from engines.plans.entry import MANIFEST, MAX_PLAN_BYTES, FileFacts, read_entry, seal_entry
from engines.plans.folder import (
    check_folder,
    make_folder,
    read_file,
    sync_folder,
    write_durably,
    write_file,
)
from engines.plans.keys import JSON, PlanKey

logger = logging.getLogger(__name__)

VARIABLE = "SIGHTLINE_CACHE"
WAIT_S = 0.2
"""Between two looks at a lock that another process holds."""
MAX_TIMING_BYTES = 2**28
_SHA256_BYTES = 32


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan in the cache. ``made`` tells when, how long it took, and from what."""

    path: Path
    key: PlanKey
    made: Mapping[str, JSON]
    files: Mapping[str, FileFacts] = field(default_factory=dict)

    def read(self, name: str) -> bytes:
        """Return the checked bytes of a file.

        Raises:
            PlanError: the plan has no such file, or it is not what was written.
        """
        facts = self._facts(name)
        data = read_file(self.path / name, MAX_PLAN_BYTES)
        if len(data) != facts.bytes:
            raise PlanError(self.path, f"{name} has {len(data)} bytes, not {facts.bytes}")
        if hashlib.sha256(data).hexdigest() != facts.sha256:
            raise PlanError(self.path, f"{name} was changed after it was written")
        return data

    def sha256(self, name: str) -> str:
        """Return the hash of a file as it was written (PlanError if there is none)."""
        return self._facts(name).sha256

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(facts.bytes for facts in self.files.values())

    def check_for(self, model: str, backend: str) -> None:
        """Make sure that a plan was made for a model and a backend.

        Raises:
            PlanError: it was not.
        """
        for what, is_for, wanted in (
            ("model", self.key.model, model),
            ("backend", self.key.backend, backend),
        ):
            if is_for != wanted:
                raise PlanError(self.path, f"it was made for {what} {is_for}, not {wanted}")

    def _facts(self, name: str) -> FileFacts:
        if name not in self.files:
            raise PlanError(self.path, f"it has no {name} (it has {', '.join(self.files)})")
        return self.files[name]


def default_folder() -> Path:
    """Return where plans are kept when nobody says where.

    Raises:
        PlanError: this user has no home folder.
    """
    if named := os.environ.get(VARIABLE):
        return Path(named)
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base) / "sightline"
    try:
        return Path.home() / ".cache" / "sightline"
    except RuntimeError as error:
        reason = f"this user has no home folder; name a folder in {VARIABLE}"
        raise PlanError(Path("~/.cache/sightline"), reason) from error


class PlanCache:
    """The plans in a folder; by default that of ``SIGHTLINE_CACHE``, else of the user's caches.

    The folder is made when the first plan is kept. Several processes may use it at once.

    Raises:
        PlanError: the folder is there and not ours alone to write.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = (folder or default_folder()).absolute()
        if os.path.lexists(self.folder):
            check_folder(self.folder)

    def find(self, key: PlanKey) -> Plan | None:
        """Return the plan with exactly this key, every file of it compared with its hash.

        One that is damaged or not what its name says is set aside, and there is none.
        """
        path = self._plans / key.name
        try:
            seen = path.lstat().st_ino
        except OSError:
            return None
        try:
            check_folder(self._plans)
            plan = _whole(path)
            if plan.key != key:
                raise PlanError(path, "it was made for another key than its name says")
        except PlanError as error:
            self._set_aside(path, seen, error)
            return None
        return plan

    def plans(self) -> list[Plan]:
        """Return all plans whose manifests can be read, newest first; files are not compared."""
        try:
            check_folder(self._plans)
            found = sorted(entry.name for entry in os.scandir(self._plans))
        except (PlanError, OSError):
            return []
        plans: list[Plan] = []
        for name in found:
            if not name.startswith("."):
                with suppress(PlanError):
                    plans.append(_read_plan(self._plans / name))
        return sorted(plans, key=lambda plan: str(plan.made.get("when", "")), reverse=True)

    def store(self, key: PlanKey, files: Mapping[str, bytes], made: Mapping[str, JSON]) -> Plan:
        """Keep a plan whole or not at all, in place of an older one, and return it.

        Raises:
            PlanError: the folder is not ours, a file is too large, or the disk refuses.
        """
        path = self._plans / key.name
        for name, data in files.items():
            if len(data) > MAX_PLAN_BYTES:
                raise PlanError(path, f"{name} has {len(data)} bytes, over {MAX_PLAN_BYTES}")
        sealed = seal_entry(path, key, files, made)
        self.prepare("plans")
        temporary = self._hidden(path, "part")
        try:
            temporary.mkdir(mode=0o700)
            for name, data in {**files, MANIFEST: sealed}.items():
                write_durably(temporary / name, data)
            sync_folder(temporary)
            self._put_in_place(temporary, path)
            sync_folder(self._plans)
        except OSError as error:
            raise PlanError(path, f"cannot write it: {error.strerror or error}") from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return _read_plan(path)

    def remove(self, plan: Plan) -> None:
        """Delete a plan; a process that has opened it goes on with it.

        Raises:
            PlanError: it is not of this cache, or the disk refuses.
        """
        if plan.path.parent != self._plans:
            raise PlanError(plan.path, f"it does not lie in {self._plans}")
        gone = self._hidden(plan.path, "gone")
        try:
            plan.path.rename(gone)
            shutil.rmtree(gone)
        except OSError as error:
            raise PlanError(plan.path, f"cannot delete it: {error.strerror or error}") from error

    def remove_leftovers(self) -> None:
        """Delete what was set aside and what compilers measured (PlanError if it cannot be)."""
        for name in ("damaged", "timing"):
            folder = self.folder / name
            try:
                _delete(folder)
            except OSError as error:
                reason = f"cannot delete it: {error.strerror or error}"
                raise PlanError(folder, reason) from error

    @contextmanager
    def lock(self, key: PlanKey, waiting: Callable[[], None]) -> Iterator[None]:
        """Hold the right to make a plan; it is freed when its holder ends, however it ends.

        While another holds it, ``waiting`` is called every fifth of a second; what it raises
        ends the wait.

        Raises:
            PlanError: the folder cannot be used.
        """
        path = self.prepare("locks") / key.digest[:32]
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise PlanError(path, f"cannot lock it: {error.strerror or error}") from error
        try:
            while not _locked(descriptor):
                waiting()
                time.sleep(WAIT_S)
            self._sweep(key)
            yield
        finally:
            os.close(descriptor)

    def prepare(self, name: str) -> Path:
        """Make and check a folder of the cache, so that a file can be written into it.

        Raises:
            PlanError: it cannot be made or written, or is not ours alone.
        """
        make_folder(self.folder)
        return make_folder(self.folder / name)

    def timing(self, runtime: str, machine: str) -> bytes:
        """Return what a compiler has measured on a machine before; nothing if damaged."""
        try:
            sealed = read_file(self._timing(runtime, machine), MAX_TIMING_BYTES)
        except PlanError:
            return b""
        digest, data = sealed[:_SHA256_BYTES], sealed[_SHA256_BYTES:]
        return data if hashlib.sha256(data).digest() == digest else b""

    def keep_timing(self, runtime: str, machine: str, data: bytes) -> None:
        """Keep what a compiler has measured (PlanError if it cannot be written)."""
        self.prepare("timing")
        write_file(self._timing(runtime, machine), hashlib.sha256(data).digest() + data)

    def _timing(self, runtime: str, machine: str) -> Path:
        digest = hashlib.sha256(f"{runtime}\n{machine}".encode()).hexdigest()
        return self.folder / "timing" / digest[:32]

    @property
    def _plans(self) -> Path:
        return self.folder / "plans"

    def _hidden(self, path: Path, kind: str) -> Path:
        return path.with_name(f".{path.name}.{secrets.token_hex(4)}.{kind}")

    def _put_in_place(self, temporary: Path, path: Path) -> None:
        """Give a finished folder its name; an older one there goes first."""
        if os.path.lexists(path):
            gone = self._hidden(path, "gone")
            path.rename(gone)
            _delete(gone)
        temporary.rename(path)

    def _set_aside(self, path: Path, seen: int, error: PlanError) -> None:
        """Move a damaged plan away, unless another process has replaced it meanwhile."""
        logger.warning("%s; it is set aside and made again when it is needed", error)
        try:
            if path.lstat().st_ino != seen:
                return
            aside = self.prepare("damaged") / path.name
            _delete(aside)
            path.rename(aside)
        except (OSError, PlanError) as refused:
            logger.warning("cannot set %s aside: %s", path, refused)

    def _sweep(self, key: PlanKey) -> None:
        """Delete what builders of this plan that were killed have left behind."""
        for left in self._plans.glob(f".{key.name}.*"):
            _delete(left)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _delete(path: Path) -> None:
    """Delete a folder and what is in it, or a link or file in its place (OSError)."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)


def _read_plan(path: Path) -> Plan:
    check_folder(path)
    entry = read_entry(path)
    return Plan(path, entry.key, entry.made, entry.files)


def _whole(path: Path) -> Plan:
    """Return a plan of which every file was compared with its hash (PlanError)."""
    plan = _read_plan(path)
    found = {entry.name for entry in os.scandir(path)} - {MANIFEST}
    if unknown := sorted(found - plan.files.keys()):
        raise PlanError(path, f"{', '.join(unknown)} does not belong there")
    for name in plan.files:
        plan.read(name)
    return plan
