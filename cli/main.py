"""The entry point: runs one command and turns every ending into an exit code.

0 ok, 1 unexpected, 2 usage or settings, 3 source, 4 engine, 5 gallery, 75 GPU lost (a new
process can go on), 130 Ctrl-C, 143 SIGTERM. This is the only place where errors become text.
"""

import os
import signal
import sys
import threading
import traceback
from collections.abc import Sequence
from types import FrameType, TracebackType

import typer

from cli import errors
from cli.app import app
from cli.output import complain, divert


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code."""
    arguments, debug = _take_debug(sys.argv[1:] if argv is None else argv)
    divert(None)
    if not debug:
        sys.excepthook = _unexpected
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _terminate)
    try:
        return _run(arguments)
    except errors.EXPECTED as error:
        if debug:
            traceback.print_exc()
        complain(str(error))
        return errors.exit_code(error)


def _run(arguments: Sequence[str]) -> int:
    try:
        # Calling the app itself would put Typer's own hook in front of ours.
        command = typer.main.get_command(app)
        ended = command(args=list(arguments), prog_name="sightline", standalone_mode=False)
        sys.stdout.flush()
    except typer.TyperException as error:
        return _usage(error)
    except typer.Abort:
        return errors.INTERRUPTED
    except KeyboardInterrupt:
        ended = errors.INTERRUPTED
    except BrokenPipeError:
        return _pipe_closed()
    except SystemExit as ending:
        if isinstance(ending.__context__, BrokenPipeError):  # Typer turns it into exit 1
            return _pipe_closed()
        raise
    if ended == errors.INTERRUPTED:
        complain("interrupted", label="")
    return ended if isinstance(ended, int) else errors.OK


def _pipe_closed() -> int:
    """Nobody reads any more (as in ``| head``): be quiet, at the interpreter's exit too."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno() if sys.__stdout__ else 1)
    return errors.PIPE_CLOSED


def _take_debug(arguments: Sequence[str]) -> tuple[list[str], bool]:
    """Take ``--debug`` out wherever it stands, so that it may follow the command."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    kept = [argument for argument in arguments[:end] if argument != "--debug"]
    return kept + list(arguments[end:]), len(kept) < end


def _usage(error: typer.TyperException) -> int:
    context = getattr(error, "ctx", None)
    message = error.format_message()
    if context is not None and message:
        message += f"\nsee '{context.command_path} --help'"
    if message:
        complain(message)
    return error.exit_code


def _terminate(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(errors.TERMINATED)


def _unexpected(
    kind: type[BaseException], error: BaseException, _trace: TracebackType | None
) -> None:
    """Tell an error that nobody foresaw in one line; Python itself then exits with 1."""
    complain(f"unexpected {kind.__name__}: {error}\nrun it again with --debug for the traceback")


if __name__ == "__main__":
    sys.exit(main())
