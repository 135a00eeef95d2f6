"""The manifest of an engine bundle: what the graphs are, and how to know them again.

``manifest.json`` is written in one canonical form and carries a seal, the hash of everything
else in it, so that any changed byte is found. The seal finds damage and careless edits; it is no
signature: who may write the bundle can also seal it.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, ValidationError

from engines.errors import BundleError
from engines.letterbox import PREPROCESSING
from engines.values import EMBEDDING_DIM

FORMAT = 1
"""Raised whenever an older reader could misunderstand a newer bundle."""

SEARCH_GRAPH = "search.onnx"
QUERY_GRAPH = "query.onnx"
MANIFEST_FILE = "manifest.json"

MAX_FILE_BYTES = 512 * 2**20
"""No file of a bundle may be larger; checked before anything is read."""

Sha256 = Annotated[str, Field(pattern=r"\A[0-9a-f]{64}\z")]
Pixels = Annotated[int, Field(ge=1, le=16384)]
Unit = Annotated[float, Field(ge=0, le=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class FileEntry(_Strict):
    """Size and hash of one graph."""

    sha256: Sha256
    bytes: Annotated[int, Field(ge=1, le=MAX_FILE_BYTES)]


class Files(_Strict):
    """The graphs of a bundle; no other file may lie in its folder."""

    search: Annotated[FileEntry, Field(alias=SEARCH_GRAPH)]
    query: Annotated[FileEntry, Field(alias=QUERY_GRAPH)]


class Manifest(_Strict):
    """Everything that is known about a bundle."""

    format: Literal[1]
    model: Annotated[Sha256, Field(description="model id: hash of both graphs and preprocessing")]
    name: Annotated[str, Field(min_length=1, max_length=100)]
    created: AwareDatetime
    preprocessing: Annotated[str, Field(description="what is done to a frame before the graph")]
    input_hw: Annotated[tuple[Pixels, Pixels], Field(description="input height and width")]
    max_persons: Annotated[int, Field(ge=1, le=3840, description="detections a frame (D)")]
    query_boxes: Annotated[int, Field(ge=1, le=3840, description="boxes a query frame (R)")]
    dim: Annotated[int, Field(ge=EMBEDDING_DIM, le=EMBEDDING_DIM, description="embedding length")]
    score_threshold: Annotated[Unit, Field(description="persons below it are left out by default")]
    nms_threshold: Annotated[Unit, Field(description="overlap above which one of two boxes goes")]
    preset: str
    dataset: str
    metrics: Annotated[dict[str, JsonValue], Field(description="what it scored, and on what")]
    training: Annotated[dict[str, JsonValue], Field(description="command, seed, duration, …")]
    attributions: Annotated[tuple[str, ...], Field(description="works that it is made from")]
    versions: Annotated[dict[str, str], Field(description="software that made it")]
    files: Files
    seal: Annotated[str, Field(description="sha256 of the manifest without the seal")]


def model_id(search_sha256: str, query_sha256: str, preprocessing: str = PREPROCESSING) -> str:
    """Return the 64 hex digits that name a model: its graphs and what is done before them."""
    key = "\n".join((search_sha256, query_sha256, preprocessing))
    return hashlib.sha256(key.encode()).hexdigest()


def seal_manifest(fields: Mapping[str, Any]) -> bytes:
    """Return the bytes of ``manifest.json`` for all its fields but the seal."""
    seal = hashlib.sha256(_canonical(fields)).hexdigest()
    return _canonical({**fields, "seal": seal})


def parse_manifest(path: Path, data: bytes) -> Manifest:
    """Check and return a manifest; ``path`` is the bundle and stands in the error alone.

    Raises:
        BundleError: not JSON, fields missing, unknown or wrong (all named), or changed.
    """
    fields = _load(path, data)
    try:
        manifest = Manifest.model_validate_json(data)
    except ValidationError as error:
        raise BundleError(path, f"{MANIFEST_FILE}: {describe_faults(error)}") from error
    if data != seal_manifest({key: fields[key] for key in fields if key != "seal"}):
        raise BundleError(path, f"{MANIFEST_FILE} was changed after it was written")
    _check_meaning(path, manifest)
    return manifest


def _load(path: Path, data: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BundleError(path, f"{MANIFEST_FILE} is not JSON") from error
    if not isinstance(fields, dict):
        raise BundleError(path, f"{MANIFEST_FILE} is not an object")
    if fields.get("format", FORMAT) != FORMAT:
        raise BundleError(
            path, f"format {fields['format']!r} is not known; this version reads format {FORMAT}"
        )
    return fields


def _check_meaning(path: Path, manifest: Manifest) -> None:
    if manifest.preprocessing != PREPROCESSING:
        raise BundleError(
            path,
            f"made for another preprocessing ({manifest.preprocessing!r}; here {PREPROCESSING!r})",
        )
    expected = model_id(manifest.files.search.sha256, manifest.files.query.sha256)
    if manifest.model != expected:
        raise BundleError(path, f"model id {manifest.model} does not fit its files ({expected})")


def describe_faults(error: ValidationError) -> str:
    """Return all faults of a validation on one line, each with its place and value."""
    return "; ".join(
        f"{'.'.join(map(str, fault['loc']))}: {fault['msg'].lower()} (got {_short(fault)})"
        for fault in error.errors(include_url=False)
    )


def _short(fault: Mapping[str, Any]) -> str:
    if fault["type"] == "missing":
        return "nothing"
    text = repr(fault["input"])
    return text if len(text) <= 60 else f"{text[:57]}..."


def _canonical(fields: Mapping[str, Any]) -> bytes:
    text = json.dumps(fields, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return f"{text}\n".encode()
