"""A file of secrets that ``${NAME}`` in site.yaml is taken from: ``NAME=value``, a line each.

Only its owner may read it, and the owner is the one who runs this, or root. No message quotes
a line of it: a value is never shown.
"""

import os
import re
import stat
from pathlib import Path

import yaml

_LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)")


class SecretsError(Exception):
    """The secrets file cannot be used; says why, without its contents."""


def secrets_of(text: str, base: Path) -> Path | None:
    """Return the file that a site's key ``secrets`` names; None if it names none."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError:
        return None
    if not isinstance(root, yaml.MappingNode):
        return None
    for key, value in root.value:
        if key.value == "secrets" and isinstance(value, yaml.ScalarNode) and value.value:
            return base / str(value.value)
    return None


def read_secrets(path: Path) -> dict[str, str]:
    """Return the values of a secrets file by name.

    Raises:
        SecretsError: it is not there, others may read it, or a line is not ``NAME=value``.
    """
    try:
        with path.open("rb") as file:
            _check_rights(os.fstat(file.fileno()))
            text = file.read().decode("utf-8")
    except OSError as error:
        raise SecretsError(f"cannot be read: {(error.strerror or '').lower()}") from error
    except UnicodeDecodeError:
        raise SecretsError("not UTF-8 text") from None
    return _parse(text)


def _check_rights(state: os.stat_result) -> None:
    if not stat.S_ISREG(state.st_mode):
        raise SecretsError("not a file")
    mode = stat.S_IMODE(state.st_mode)
    if mode & 0o077:
        raise SecretsError(f"others may read it: mode {mode:04o}, want 0600")
    if state.st_uid not in (os.geteuid(), 0):
        raise SecretsError("it belongs to somebody else")


def _parse(text: str) -> dict[str, str]:
    values: dict[str, str] = {}
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise SecretsError(f"line {number} is not NAME=value")
        values[match[1]] = _unquoted(match[2].strip())
    return values


def _unquoted(value: str) -> str:
    quoted = len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'"
    return value[1:-1] if quoted else value
