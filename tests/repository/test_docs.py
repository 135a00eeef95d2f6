"""The documents: what they tell to type works, what they point to is there."""

import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
FENCED = re.compile(r"^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)

each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)


def _command_lines(text: str) -> Iterator[str]:
    """Yield what is meant to be typed: lines of fenced blocks, and code in a line."""
    for block in FENCED.findall(text):
        yield from _plain(block).splitlines()
    yield from re.findall(r"(?<!`)`([^`\n]+)`", FENCED.sub("", text))


def _plain(block: str) -> str:
    """Join continued lines, and put values in the place of the variables that documents use."""
    block = block.replace("\\\n", " ").replace("$data", "")
    return block.replace("$seed", "1").replace("$difficulty", "hard")


def test_readme_opens_with_a_picture_and_two_commands() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    first = FENCED.search(text)
    assert first is not None
    opening = text[: first.start()]
    assert opening.startswith("# Sightline\n")
    assert re.search(r"!\[[^\]]{20,}\]\(docs/images/[^)]+\)", opening)
    commands = [line.split("#")[0].strip() for line in first[1].splitlines()]
    assert commands == ["make demo", "make test"]


@each_document
def test_links_lead_somewhere(document: Path) -> None:
    text = document.read_text("utf-8")
    for target in re.findall(r"\]\(([^)#\s]+)", text):
        if "://" not in target:
            assert (document.parent / target).exists(), target


@each_document
def test_make_targets_exist(document: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    for line in _command_lines(document.read_text("utf-8")):
        words = shlex.split(line, comments=True) if line.startswith("make ") else []
        if words:
            named = [word for word in words[1:] if re.fullmatch(r"[a-z-]+", word)]
            assert set(named) <= targets, line


@each_document
def test_command_lines_are_taken(document: Path, parse: Callable[..., dict[str, Any]]) -> None:
    for line in _command_lines(document.read_text("utf-8")):
        words = shlex.split(line, comments=True) if "sightline " in line else []
        if words and words[0].removeprefix(".venv/bin/") == "sightline" and len(words) > 3:
            parse(words[1:])


@each_document
def test_nothing_is_left_to_fill_in(document: Path) -> None:
    text = document.read_text("utf-8")
    assert re.findall(r"^[A-Z]+_?[A-Z]+$|\bFIXME\b|\bTBD\b", text, re.MULTILINE) == []


def test_files_named_by_the_architecture_exist() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
    named = set(
        re.findall(r"`((?:cli|streamer|engines|gallery|train|deploy|tests)/[^`\s]*)`", text)
    )
    assert len(named) > 30
    assert [name for name in sorted(named) if not list(ROOT.glob(name.rstrip("/")))] == []
