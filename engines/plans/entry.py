"""``plan.json``: the key of a plan, the hashes of its files, and how it was made.

Written in one canonical form with a seal, the hash of everything else in it, so that any changed
byte is found.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from engines.errors import PlanError
from engines.manifest import Sha256, describe_faults, seal_manifest
from engines.plans.folder import read_file
from engines.plans.keys import JSON, PlanKey, parse_key

MANIFEST = "plan.json"
FORMAT = 1
"""Raised whenever an older reader could misunderstand a newer plan."""
MAX_PLAN_BYTES = 2 * 2**30
"""No file of a plan may be larger; checked before anything is read."""
MAX_ENTRY_BYTES = 2**20

_NAME = r"\A[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}\z"


@dataclass(frozen=True, slots=True)
class FileFacts:
    """Hash and size of a file of a plan."""

    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Entry:
    """What ``plan.json`` says."""

    key: PlanKey
    files: Mapping[str, FileFacts]
    made: Mapping[str, JSON]


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    sha256: Sha256
    bytes: Annotated[int, Field(ge=1, le=MAX_PLAN_BYTES)]


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    format: Literal[1]
    key: dict[str, JsonValue]
    files: Annotated[dict[Annotated[str, Field(pattern=_NAME)], _File], Field(min_length=1)]
    made: dict[str, JsonValue]
    seal: str


def seal_entry(
    path: Path, key: PlanKey, files: Mapping[str, bytes], made: Mapping[str, JSON]
) -> bytes:
    """Return the bytes of ``plan.json``, read back once as a later reader will.

    Raises:
        PlanError: a name or a value cannot stand in it.
    """
    facts = {
        name: asdict(FileFacts(hashlib.sha256(data).hexdigest(), len(data)))
        for name, data in files.items()
    }
    fields = {"format": FORMAT, "key": key.fields(), "files": facts, "made": dict(made)}
    try:
        sealed = seal_manifest(json.loads(json.dumps(fields)))
    except (TypeError, ValueError) as error:
        raise PlanError(path, f"{MANIFEST}: {error}") from error
    _parse(path, sealed)
    return sealed


def read_entry(path: Path) -> Entry:
    """Read and check the ``plan.json`` of a plan's folder.

    Raises:
        PlanError: it is missing, damaged, of another format, or not ours alone.
    """
    return _parse(path, read_file(path / MANIFEST, MAX_ENTRY_BYTES))


def _parse(path: Path, data: bytes) -> Entry:
    try:
        fields: Any = json.loads(data)
        document = _Document.model_validate_json(data)
        key = parse_key(document.key)
    except ValidationError as error:
        raise PlanError(path, f"{MANIFEST}: {describe_faults(error)}") from error
    except (ValueError, RecursionError) as error:
        raise PlanError(path, f"{MANIFEST} is damaged: {error}") from error
    if data != seal_manifest({name: fields[name] for name in fields if name != "seal"}):
        raise PlanError(path, f"{MANIFEST} was changed after it was written")
    files = {name: FileFacts(file.sha256, file.bytes) for name, file in document.files.items()}
    return Entry(key, files, document.made)
