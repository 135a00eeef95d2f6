"""An engine bundle: a folder of two ONNX graphs and the manifest that vouches for them.

A bundle is data alone. Nothing in it is used before its size and hash were compared with the
manifest, and it is written whole or not at all.
"""

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from engines.errors import BundleError
from engines.letterbox import PREPROCESSING
from engines.manifest import (
    FORMAT,
    MANIFEST_FILE,
    MAX_FILE_BYTES,
    QUERY_GRAPH,
    SEARCH_GRAPH,
    FileEntry,
    Manifest,
    describe_faults,
    model_id,
    parse_manifest,
    seal_manifest,
)

__all__ = ["Bundle", "Manifest", "open_bundle", "shipped_bundle", "write_bundle"]

SHIPPED_NAME = "sightline-small"
MAX_MANIFEST_BYTES = 2**20
_FILES = frozenset({MANIFEST_FILE, SEARCH_GRAPH, QUERY_GRAPH})


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle whose files were found to be what its manifest says."""

    path: Path
    manifest: Manifest

    def search_graph(self) -> bytes:
        """Return the checked bytes of the graph that finds persons (BundleError if changed)."""
        return _read_graph(self.path, SEARCH_GRAPH, self.manifest.files.search)

    def query_graph(self) -> bytes:
        """Return the checked bytes of the graph that embeds boxes (BundleError if changed)."""
        return _read_graph(self.path, QUERY_GRAPH, self.manifest.files.query)


def shipped_bundle() -> Path:
    """Return the folder of the bundle that comes with Sightline.

    Raises:
        BundleError: this installation has none.
    """
    path = Path(__file__).parent / "bundles" / SHIPPED_NAME
    if not path.is_dir():
        raise BundleError(path, "this installation has no engine of its own; name one")
    return path


def open_bundle(path: Path) -> Bundle:
    """Check every file of a bundle and return it.

    Raises:
        BundleError: no bundle there, a file missing, unknown or changed, or a wrong manifest.
    """
    _check_file_set(path)
    manifest = parse_manifest(path, _read_capped(path, MANIFEST_FILE, MAX_MANIFEST_BYTES))
    bundle = Bundle(path, manifest)
    bundle.search_graph()
    bundle.query_graph()
    return bundle


def _check_file_set(path: Path) -> None:
    if not path.is_dir():
        raise BundleError(path, "not a folder" if path.exists() else "no such folder")
    try:
        found = {entry.name: entry.is_file() for entry in os.scandir(path)}
    except OSError as error:
        raise BundleError(path, error.strerror or str(error)) from error
    if missing := sorted(_FILES - found.keys()):
        raise BundleError(path, f"{', '.join(missing)} missing")
    if unknown := sorted(found.keys() - _FILES):
        raise BundleError(path, f"{', '.join(unknown)} does not belong there")
    if folders := sorted(name for name, is_file in found.items() if not is_file):
        raise BundleError(path, f"{', '.join(folders)} is not a file")


def _read_graph(path: Path, name: str, entry: FileEntry) -> bytes:
    data = _read_capped(path, name, MAX_FILE_BYTES)
    if len(data) != entry.bytes:
        raise BundleError(path, f"{name} has {len(data)} bytes, its manifest says {entry.bytes}")
    digest = hashlib.sha256(data).hexdigest()
    if digest != entry.sha256:
        raise BundleError(path, f"{name} was changed (sha256 {digest}, not {entry.sha256})")
    return data


def _read_capped(path: Path, name: str, limit: int) -> bytes:
    try:
        with (path / name).open("rb") as file:
            if os.fstat(file.fileno()).st_size > limit:
                raise BundleError(path, f"{name} is larger than {limit >> 20} MB")
            return file.read(limit)
    except OSError as error:
        raise BundleError(path, f"{name}: {error.strerror or error}") from error


def write_bundle(
    out: Path,
    *,
    search: bytes,
    query: bytes,
    name: str,
    input_hw: tuple[int, int],
    max_persons: int,
    query_boxes: int,
    dim: int,
    score_threshold: float,
    nms_threshold: float,
    preset: str,
    dataset: str,
    metrics: Mapping[str, Any],
    training: Mapping[str, Any],
    attributions: Sequence[str],
    versions: Mapping[str, str],
    created: datetime | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a bundle whole or not at all and return ``out``; ``created`` is now unless given.

    Raises:
        BundleError: a field is wrong, the disk refuses, or something lies at ``out``: with
            ``overwrite`` only another bundle is replaced.
    """
    files = {SEARCH_GRAPH: search, QUERY_GRAPH: query}
    entries = {key: _entry(data) for key, data in files.items()}
    fields = {
        "format": FORMAT,
        "model": model_id(entries[SEARCH_GRAPH]["sha256"], entries[QUERY_GRAPH]["sha256"]),
        "name": name,
        "created": (created or datetime.now(UTC)).isoformat(),
        "preprocessing": PREPROCESSING,
        "input_hw": list(input_hw),
        "max_persons": max_persons,
        "query_boxes": query_boxes,
        "dim": dim,
        "score_threshold": score_threshold,
        "nms_threshold": nms_threshold,
        "preset": preset,
        "dataset": dataset,
        "metrics": dict(metrics),
        "training": dict(training),
        "attributions": list(attributions),
        "versions": dict(versions),
        "files": entries,
    }
    manifest = _seal(out, fields)
    _write_folder(out, {**files, MANIFEST_FILE: manifest}, overwrite)
    return out


def _entry(data: bytes) -> dict[str, Any]:
    return {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}


def _seal(out: Path, fields: dict[str, Any]) -> bytes:
    """Return the manifest's bytes, read back once as a later reader will."""
    try:
        data = seal_manifest(json.loads(json.dumps(fields)))
        Manifest.model_validate_json(data)
    except ValidationError as error:
        raise BundleError(out, f"{MANIFEST_FILE}: {describe_faults(error)}") from error
    except (TypeError, ValueError) as error:
        raise BundleError(out, f"{MANIFEST_FILE}: {error}") from error
    parse_manifest(out, data)
    return data


def _write_folder(out: Path, files: Mapping[str, bytes], overwrite: bool) -> None:
    check_target(out, overwrite)
    temporary = out.with_name(f".{out.name}.{secrets.token_hex(4)}.part")
    try:
        temporary.mkdir(parents=True)
        for name, data in files.items():
            _write_durably(temporary / name, data)
        _sync_folder(temporary)
        _put_in_place(temporary, out)
        _sync_folder(out.parent)
    except OSError as error:
        raise BundleError(out, f"cannot write it: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def check_target(out: Path, overwrite: bool) -> None:
    """Refuse a place where no bundle may be written, before any work is done for it.

    Raises:
        BundleError: a file lies there, or a folder that holds other things.
    """
    if not out.exists():
        return
    if not out.is_dir():
        raise BundleError(out, "cannot write it: a file lies there")
    found = {entry.name for entry in out.iterdir()}
    if found and not overwrite:
        raise BundleError(out, "cannot write it: the folder is not empty")
    if found and (MANIFEST_FILE not in found or found - _FILES):
        raise BundleError(out, "cannot replace it: the folder holds other things than a bundle")


def _put_in_place(temporary: Path, out: Path) -> None:
    """Rename the finished folder to ``out``; an older bundle there stays until it is done."""
    if not out.exists() or not any(out.iterdir()):
        temporary.replace(out)
        return
    old = out.with_name(f".{out.name}.{secrets.token_hex(4)}.old")
    out.replace(old)
    try:
        temporary.replace(out)
    except OSError:
        old.replace(out)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _write_durably(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
