"""Read a ``sightline`` command line as the program would, without running it."""

from collections.abc import Sequence
from typing import Any

import typer

from cli.app import app


def parse(words: Sequence[str]) -> dict[str, Any]:
    """Return the values that a command would get, by parameter.

    Raises:
        typer.TyperException: no such command or option, or a value that is refused.
    """
    command: Any = typer.main.get_command(app)
    context = command.make_context("sightline", list(words))
    while hasattr(command, "commands"):
        rest = [*context._protected_args, *context.args]
        name, command, rest = command.resolve_command(context, rest)
        context = command.make_context(name, rest, parent=context)
    values: dict[str, Any] = context.params
    return values
