"""Settings of a training run from the command line: options, ``--set``, and what does not fit."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from cli.errors import CliError
from train.config import PRETRAINED, FitConfig, make_config
from train.errors import ConfigError

_OWN = {"preset": "--preset", "data": "--data", "out": "--out"}
_OPTIONS = {"people": "--real", "people_share": "--real-share"}
_PARTS = ("network", "loss")
_INIT_WORDS = ("none", *PRETRAINED)


def settle(
    preset: str,
    data: Sequence[Path],
    out: Path,
    options: Mapping[str, Any],
    pairs: Sequence[str],
) -> FitConfig:
    """Return the settings of a run: the preset, changed by options and by ``--set``.

    Args:
        preset: whose settings hold where nothing else is said.
        data: folders to train on.
        out: folder of the run.
        options: values by the name of the setting; None was not given.
        pairs: what ``--set`` was given.

    Raises:
        CliError: a setting is given twice, or a value that cannot be.
        ConfigError: no such preset, setting or model.
    """
    given = {name: value for name, value in options.items() if value is not None}
    changes = parse_settings(pairs)
    for name in changes:
        if name in _OWN or name in _PARTS:
            raise CliError(f"--set: {name} is no setting of its own{_instead(name)}")
        if name in given:
            raise CliError(f"--set: {name} is given twice, by {option_of(name)} too")
    check_init(str({**changes, **given}.get("init", "none")))
    with readable(given):
        return make_config(preset, data=tuple(data), out=out, **{**changes, **given})


@contextmanager
def readable(given: Collection[str]) -> Iterator[None]:
    """Tell settings that do not fit by the option that holds the value.

    ``given`` are the settings that came from options of their own; others came from ``--set``.

    Raises:
        CliError: settings do not fit.
    """
    try:
        yield
    except ConfigError as error:
        if isinstance(error.__cause__, ValidationError):
            raise CliError("\n".join(_faults(error.__cause__, given))) from error
        raise


def parse_settings(pairs: Sequence[str]) -> dict[str, Any]:
    """Return name to value of every ``NAME=VALUE``; a value is JSON, else text.

    Raises:
        CliError: no name, no value, or a name given twice.
    """
    found: dict[str, Any] = {}
    for pair in pairs:
        name, separator, text = pair.partition("=")
        if not (name and separator and text):
            raise CliError(f"--set: want NAME=VALUE (got {pair!r})")
        if name in found:
            raise CliError(f"--set: {name} is given twice")
        try:
            found[name] = json.loads(text)
        except json.JSONDecodeError:
            found[name] = text
    return found


def option_of(name: str) -> str:
    """Return the option that a setting has on the command line."""
    return _OPTIONS.get(name, f"--{name.replace('_', '-')}")


def check_init(init: str) -> None:
    """Make sure that ``--init`` is a word that is known, or something on the disk.

    Raises:
        CliError: it is neither.
    """
    if init not in _INIT_WORDS and not Path(init).exists():
        words = ", ".join(_INIT_WORDS)
        raise CliError(f"--init: {init} is none of {words}, and no run or checkpoint lies there")


def _instead(name: str) -> str:
    return f"; use {_OWN[name]}" if name in _OWN else "; set what stands in it"


def _faults(error: ValidationError, given: Collection[str]) -> Iterator[str]:
    """Yield each fault with the option that holds the value."""
    for fault in error.errors(include_url=False):
        text = fault["msg"].removeprefix("Value error, ")
        if not fault["loc"]:
            yield text
            continue
        name = str(fault["loc"][0])
        where = option_of(name) if name in given else f"--set {name}"
        yield f"{where}: {text[:1].lower()}{text[1:]} (got {fault['input']!r})"
