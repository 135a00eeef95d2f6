"""Read YAML into plain data and remember on which line every value stands.

``${VAR}`` in a plain or quoted scalar is taken from the environment after parsing, so that a
secret cannot change the shape of the document. Sequences become tuples, keys stay text as
written. Repeated keys, unset variables and broken syntax are faults; all of them are collected.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from streamer.redact import redact

KeyPath = tuple[str | int, ...]
"""The way to a value: keys and positions from the root."""

_VARIABLE = re.compile(r"\$\{([^}]*)\}")
_STRING = "tag:yaml.org,2002:str"


def dotted(path: KeyPath) -> str:
    """Return ``cameras.cam1.zones[0]`` for ("cameras", "cam1", "zones", 0)."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong: where (1-based line, path) and what."""

    line: int
    path: KeyPath
    problem: str

    def text(self, source: str) -> str:
        """Return ``site.yaml:12: cameras.cam1.detect.fps: problem``."""
        where = f"{dotted(self.path)}: " if self.path else ""
        return redact(f"{source}:{self.line}: {where}{self.problem}")


@dataclass(slots=True)
class Document:
    """Plain data of one document, the line of every path, and scalars as they were written."""

    data: Any = None
    lines: dict[KeyPath, int] = field(default_factory=dict)
    written: dict[KeyPath, str] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    def line_of(self, path: KeyPath) -> int:
        """Return the line of a value, or of the nearest thing around it that exists."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def add(self, path: KeyPath, problem: str) -> None:
        """Note a fault, unless one is known for the same path already."""
        if all(fault.path != path for fault in self.faults):
            self.faults.append(Fault(self.line_of(path), path, problem))

    def in_order(self) -> list[Fault]:
        """Return the faults in the order in which their places stand in the text."""
        places = {path: i for i, path in enumerate(self.lines)}
        return sorted(self.faults, key=lambda f: (f.line, places.get(f.path, len(places))))


def read_document(text: str, env: Mapping[str, str]) -> Document:
    """Return the document; what is wrong with it as YAML stands in its ``faults``."""
    document = Document()
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
    except yaml.YAMLError as error:
        document.faults.append(Fault(_line_of_error(error), (), _problem_of(error)))
        return document
    if root is None:
        document.faults.append(Fault(1, (), "the file is empty"))
        return document
    document.data = _Reader(loader, document, env).value(root, ())
    return document


def _line_of_error(error: yaml.YAMLError) -> int:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    return mark.line + 1 if mark else 1


def _problem_of(error: yaml.YAMLError) -> str:
    """Return what is wrong, without the quoted line: it may hold a password."""
    problem = getattr(error, "problem", None) or "unreadable characters"
    return "not YAML: " + re.sub(r"(alias|tag|handle) .*", r"\1", problem)


class _Reader:
    def __init__(self, loader: yaml.SafeLoader, document: Document, env: Mapping[str, str]):
        self._loader = loader
        self._document = document
        self._env = env
        self._open: set[int] = set()

    def value(self, node: yaml.Node, path: KeyPath) -> Any:
        self._document.lines.setdefault(path, node.start_mark.line + 1)
        if id(node) in self._open:
            self._document.add(path, "an alias holds itself")
            return None
        self._open.add(id(node))
        try:
            return self._dispatch(node, path)
        finally:
            self._open.discard(id(node))

    def _dispatch(self, node: yaml.Node, path: KeyPath) -> Any:
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return tuple(self.value(item, (*path, i)) for i, item in enumerate(node.value))
        assert isinstance(node, yaml.ScalarNode)
        return self._scalar(node, path)

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self._document.add(path, "a key must be a word")
                continue
            self._entry(out, key_node, value_node, path)
        return out

    def _entry(
        self, out: dict[str, Any], key_node: yaml.ScalarNode, value_node: yaml.Node, path: KeyPath
    ) -> None:
        key = str(key_node.value)
        inner = (*path, key)
        line = key_node.start_mark.line + 1
        if key in out:
            first = self._document.lines[inner]
            self._document.faults.append(Fault(line, inner, f"key repeated from line {first}"))
            return
        self._document.lines[inner] = line
        out[key] = self.value(value_node, inner)

    def _scalar(self, node: yaml.ScalarNode, path: KeyPath) -> Any:
        self._document.written[path] = str(node.value)
        tag, text = node.tag, self._expand(str(node.value), path)
        if text != node.value and node.style is None:
            tag = str(self._loader.resolve(yaml.ScalarNode, text, (True, False)))  # type: ignore[no-untyped-call]
        if tag == _STRING:
            return text
        resolved = yaml.ScalarNode(tag, text, node.start_mark, node.end_mark)
        try:
            return self._loader.construct_object(resolved)
        except (yaml.YAMLError, ValueError, KeyError):
            self._document.add(path, "not a value that YAML knows")
            return None

    def _expand(self, text: str, path: KeyPath) -> str:
        def look_up(match: re.Match[str]) -> str:
            name = match[1]
            if name not in self._env:
                self._document.add(path, f"environment variable {name or '(no name)'} is not set")
                return match[0]
            return self._env[name]

        return _VARIABLE.sub(look_up, text)
