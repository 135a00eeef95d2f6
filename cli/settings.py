"""Where the gallery and the engine lie, and what runs it, when a command is not told.

The first of these that names a value wins: the option of the command, the environment
(``SIGHTLINE_GALLERY``, ``SIGHTLINE_ENGINE``, ``SIGHTLINE_BACKEND``, ``SIGHTLINE_PRECISION``,
``SIGHTLINE_CACHE``), the settings file (``SIGHTLINE_SETTINGS``, else ``sightline.toml`` in the
working folder), the default. Paths in the file are relative to the file. A misspelt name is a
fault, never ignored, and all faults are told at once.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cli.errors import SettingsError
from engines.values import Precision

PREFIX = "SIGHTLINE_"
FILE_NAME = "sightline.toml"
FILE_VARIABLE = "SIGHTLINE_SETTINGS"

BackendName = Literal["auto", "onnxruntime", "openvino", "tensorrt", "reference"]
CHOICES: dict[str, tuple[str, ...]] = {
    "backend": get_args(BackendName),
    "precision": get_args(Precision),
}
"""The keys whose value is a word, and the words that they take."""


class Settings(BaseModel):
    """The defaults of every command."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    gallery: Path = Field(default=Path("sightline-gallery"), description="folder of the gallery")
    engine: Path | None = Field(default=None, description="engine bundle; none = the shipped one")
    backend: BackendName = Field(default="auto", description="runtime of the engine")
    precision: Precision | None = Field(default=None, description="what it computes in")
    cache: Path | None = Field(default=None, description="plans; none = the user's cache folder")


def load_settings(environ: Mapping[str, str], folder: Path) -> Settings:
    """Return the settings that hold in a folder under an environment.

    Raises:
        SettingsError: unknown variables or keys, values of the wrong type, no such file.
    """
    faults = list(_unknown_variables(environ))
    path = _settings_path(environ, folder)
    values: dict[str, object] = {}
    if path is not None:
        values, more = _read(path)
        faults += more
    for name in Settings.model_fields:
        text = environ.get(PREFIX + name.upper())
        if text is not None:
            values[name] = _typed(name, text)
            faults += _text_faults(PREFIX + name.upper(), name, text)
    if faults:
        raise SettingsError(faults)
    return Settings.model_validate(values)


def _typed(name: str, item: object) -> object:
    """Return a text as the field wants it: a path, or a word."""
    return Path(item) if isinstance(item, str) and name not in CHOICES else item


def _text_faults(where: str, name: str, text: str) -> Iterable[str]:
    if not text.strip():
        yield f"{where}: is empty"
    elif name in CHOICES and text not in CHOICES[name]:
        yield f"{where}: {_wanted(name, text)}"


def _wanted(key: str, item: object) -> str:
    words = CHOICES.get(key)
    wanted = "a path in quotes" if words is None else f"one of {', '.join(words)}"
    return f"want {wanted} (got {item!r})"


def _unknown_variables(environ: Mapping[str, str]) -> Iterable[str]:
    known = [FILE_VARIABLE, *(PREFIX + name.upper() for name in Settings.model_fields)]
    for name in sorted(environ):
        if name.startswith(PREFIX) and name not in known:
            yield f"{name}: unknown environment variable{_guess(name, known)}"


def _guess(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, known, n=1)
    return f", did you mean {near[0]}?" if near else f" (known: {', '.join(sorted(known))})"


def _settings_path(environ: Mapping[str, str], folder: Path) -> Path | None:
    named = environ.get(FILE_VARIABLE)
    if named is not None:
        return folder / named
    usual = folder / FILE_NAME
    return usual if usual.is_file() else None


def _read(path: Path) -> tuple[dict[str, object], list[str]]:
    """Return the values of a settings file, and its faults with file, line and key."""
    try:
        text = path.read_text("utf-8")
        raw = tomllib.loads(text)
    except OSError as error:
        return {}, [f"{path}: cannot read the settings: {error.strerror}"]
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        return {}, [f"{path}: not TOML: {error}"]
    values = {key: _typed(key, item) for key, item in raw.items()}
    try:
        Settings.model_validate(values)
    except ValidationError as error:
        return {}, [_fault(path, text, dict(item)) for item in error.errors()]
    paths = {key: path.parent / item for key, item in values.items() if isinstance(item, Path)}
    return {**values, **paths}, []


def _fault(path: Path, text: str, item: Mapping[str, object]) -> str:
    location = item["loc"]
    assert isinstance(location, tuple)
    key = str(location[0])
    line = next(
        (n for n, row in enumerate(text.splitlines(), 1) if re.match(rf"\s*\[*{key}\b", row)), 1
    )
    if item["type"] == "extra_forbidden":
        return f"{path}:{line}: {key}: unknown key{_guess(key, Settings.model_fields)}"
    return f"{path}:{line}: {key}: {_wanted(key, item['input'])}"
