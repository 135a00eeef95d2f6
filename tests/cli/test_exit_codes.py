"""Exit codes, seen from outside the process."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli import errors
from cli.errors import exit_code

Run = Callable[..., Any]
ROOT = Path(__file__).parents[2]


DELIVERY = (
    "DeliveryError", "EntryError", "SpoolError", "SpoolFullError", "AwayError", "LostError",
    "ServerError",
)  # fmt: skip
OF_THEIR_OWN = {
    "SiteError": 2,
    "DeviceLostError": 75,
    "DeliverySettingsError": 2,
    "ListenError": 2,
    "StatusFileError": 5,
    **dict.fromkeys(DELIVERY, 5),
}


def every_error(base: type[Exception]) -> list[type[Exception]]:
    """Return a class and everything that is derived from it."""
    return [base, *(deep for kind in base.__subclasses__() for deep in every_error(kind))]


def test_version(sightline: Run) -> None:
    outcome = sightline("--version")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith("sightline 0.")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["serch"], "No such command 'serch'. Did you mean 'search'"),
        (["search", "--tpo", "3"], "No such option: --tpo"),
        (["search", "--top", "many"], "Invalid value for '--top'"),
        (["search", "--top", "0"], "Invalid value for '--top'"),
        (["search"], "name the person by either --image FILE or --sighting ID"),
        (["search", "--sighting", "a", "--image", "b"], "either --image FILE or --sighting ID"),
        (["track", "--sighting", "a", "--box", "1,2,3,4"], "--box and --crop belong to --image"),
        (["search", "--image", "a", "--crop", "--box", "1,2,3,4"], "exclude each other"),
        (["cameras", "check"], "Missing argument"),
        (["train", "eval"], "name one thing to score on: --data DIR, --people DIR"),
        (["train", "eval", "--clip", "a.mp4"], "--annotations JSON belong together"),
        (["train", "table", "9", "--data", "a", "--out", "b"], "no table '9'; there are 1, 2"),
        (["ingest"], "name a SITE.yaml or at least one --camera NAME=URL"),
    ],
)
def test_wrong_usage_is_2_with_one_message(sightline: Run, arguments: list[str], said: str) -> None:
    outcome = sightline(*arguments)
    assert (outcome.code, outcome.out) == (errors.USAGE, "")
    assert outcome.err.startswith("error: ")
    assert said in outcome.err
    assert "Traceback" not in outcome.err


def test_wrong_settings_are_2(sightline: Run) -> None:
    outcome = sightline("gallery", "info", env={"SIGHTLINE_GALERY": "x"})
    assert outcome.code == errors.USAGE
    assert "did you mean SIGHTLINE_GALLERY?" in outcome.err


def test_no_command_shows_the_help_and_is_2(sightline: Run) -> None:
    outcome = sightline()
    assert outcome.code == errors.USAGE
    assert "Usage: sightline" in outcome.out
    assert outcome.err == ""


@pytest.mark.parametrize(
    ("module", "base", "code"),
    [
        ("cli.errors", "CliError", 2),
        ("train.errors", "TrainError", 2),
        ("streamer.errors", "StreamError", 3),
        ("engines.errors", "EngineError", 4),
        ("gallery.errors", "GalleryError", 5),
    ],
)
def test_every_error_of_every_floor_has_its_code(module: str, base: str, code: int) -> None:
    kinds = every_error(getattr(__import__(module, fromlist=[base]), base))
    for kind in kinds:
        expected = OF_THEIR_OWN.get(kind.__name__, code)
        assert exit_code(kind.__new__(kind)) == expected, kind
    assert len(kinds) > 1


SCRIPT = """
import sys
from cli import app, main

@app.app.command("burst")
def burst():
    {body}

sys.exit(main.main({arguments}))
"""


def burst(body: str, arguments: str = "['burst']") -> subprocess.CompletedProcess[str]:
    script = SCRIPT.format(body=body, arguments=arguments)
    return subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_an_unforeseen_error_is_1_and_one_line() -> None:
    done = burst("raise RuntimeError('the roof is off')")
    assert done.returncode == errors.UNEXPECTED
    assert done.stderr == (
        "error: unexpected RuntimeError: the roof is off\n"
        "run it again with --debug for the traceback\n"
    )


def test_debug_shows_the_traceback_wherever_it_stands() -> None:
    done = burst("raise RuntimeError('the roof is off')", "['burst', '--debug']")
    assert done.returncode == errors.UNEXPECTED
    assert "Traceback (most recent call last)" in done.stderr
    assert done.stderr.rstrip().endswith("RuntimeError: the roof is off")


def test_debug_shows_the_traceback_of_an_expected_error_too() -> None:
    done = burst("from gallery.errors import StoreError; raise StoreError('no')",
                 "['--debug', 'burst']")  # fmt: skip
    assert "Traceback (most recent call last)" in done.stderr
    assert done.returncode == errors.GALLERY


def test_ctrl_c_is_130_and_says_so() -> None:
    done = burst("raise KeyboardInterrupt")
    assert (done.returncode, done.stderr) == (errors.INTERRUPTED, "interrupted\n")


def test_sigterm_is_143_and_runs_what_is_due() -> None:
    body = """
    import os, signal
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        import time; time.sleep(20)
    finally:
        print("cleaned up")
    """
    done = burst(body)
    assert (done.returncode, done.stdout, done.stderr) == (errors.TERMINATED, "cleaned up\n", "")


def test_a_reader_that_leaves_is_no_error() -> None:
    body = "from cli.output import show_json; show_json(list(range(200000)))"
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT.format(body=body, arguments="['burst']")],
        cwd=ROOT,
        env={key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "[\n"
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == errors.PIPE_CLOSED
