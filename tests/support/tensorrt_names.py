"""What our source uses of TensorRT and of pycuda, read from its syntax tree.

Every receiver of an attribute must be known: either as an object of the library, by the tables
below, or as something else. A new variable in the source fails the tests until it is named here.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ENGINE = Path(__file__).resolve().parents[2] / "engines" / "tensorrt"

TENSORRT: dict[str, dict[str, str]] = {
    "api.py": {},
    "builder.py": {
        "builder": "Builder", "network": "INetworkDefinition", "config": "IBuilderConfig",
        "parser": "OnnxParser", "error": "ParserError", "profile": "IOptimizationProfile",
        "tensor": "ITensor", "cache": "ITimingCache",
    },
    "lane.py": {
        "self._runtime": "Runtime", "self._engine": "ICudaEngine", "engine": "ICudaEngine",
        "context": "IExecutionContext", "modes": "TensorIOMode", "types": "DataType",
    },
}  # fmt: skip
PYCUDA: dict[str, dict[str, str]] = {
    "cuda.py": {
        "driver": "", "self._driver": "", "self._context": "Context", "context": "Context",
        "flags": "event_flags", "driver.Device(index)": "Device",
    },
    "lane.py": {
        "self.memory": "DeviceAllocation", "owner": "PagelockedHostAllocation",
        "slot.uploaded": "Event", "slot.done": "Event", "self._uploads": "Stream",
        "self._work": "Stream",
    },
}  # fmt: skip
OURS = re.compile(
    r"self(\._(lock|texts|device|inputs|outputs|slots|slot|path|error|steps))?"
    r"|self\.(complaints|host|says|buffers)|'[^']*'|logger|logging|re|queue|threading|np"
    r"|log(ger_of\(.*\))?(\.complaints)?|complaints|recorder\.complaints|monitor(\.says)?"
    r"|texts|job|pool|slot(\.(buffers|job))?|tensor|buffer(\.(host|memory))?|values|t|device|path"
    r"|found|text|cls|numbers\[0\]|type|buffer\.host\[.*\]|self\.buffers\.popitem\(\)\[1\]"
    r"|open_device\(device\)|line|error\.desc\(\)"
    r"|self\._slots\.pop\(\)|e|tuple|dict|lane|recorder|known|atexit|self\._inputs\[0\]"
)
"""Receivers that are neither library's."""


@dataclass(frozen=True)
class Use:
    """One use: the dotted name, and for a call its arguments; ``names`` are those by keyword."""

    path: str
    where: str
    kind: str
    count: int = 0
    names: tuple[str, ...] = ()


def tensorrt_uses() -> list[Use]:
    """Return all uses of TensorRT."""
    return [use for name in TENSORRT for use in _uses(name, TENSORRT[name], "trt")]


def pycuda_uses() -> list[Use]:
    """Return all uses of pycuda.driver."""
    return [use for name in PYCUDA for use in _uses(name, PYCUDA[name], "driver")]


def unknown_receivers() -> list[str]:
    """Return what attributes are taken of that no table names."""
    found = []
    for name in sorted({*TENSORRT, *PYCUDA}):
        known = {**TENSORRT.get(name, {}), **PYCUDA.get(name, {})}
        for node in ast.walk(_tree(name)):
            if isinstance(node, ast.Attribute):
                text = ast.unparse(node.value)
                rooted = re.match(r"(trt|driver|self\._driver)\b", text)
                if not (text in known or rooted or OURS.fullmatch(text)):
                    found.append(f"{name}:{node.lineno} {text}.{node.attr}")
    return found


def overrides() -> Iterator[tuple[str, str, int]]:
    """Yield base class, method and number of arguments of what we override of TensorRT's."""
    for name in TENSORRT:
        for node in ast.walk(_tree(name)):
            for base in node.bases if isinstance(node, ast.ClassDef) else ():
                text = ast.unparse(base)
                if text.startswith("trt."):
                    assert isinstance(node, ast.ClassDef)
                    for item in node.body:
                        if isinstance(item, ast.FunctionDef) and not item.name.startswith("_"):
                            yield text.removeprefix("trt."), item.name, len(item.args.args) - 1


def _tree(name: str) -> ast.Module:
    return ast.parse((ENGINE / name).read_text("utf-8"))


def _uses(name: str, known: dict[str, str], root: str) -> Iterator[Use]:
    tree = _tree(name)
    calls = {id(node.func): node for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute):
            continue
        path = _path(node, known, root)
        if path is None:
            continue
        where = f"{name}:{node.lineno}"
        call = calls.get(id(node))
        if call is not None:
            assert not any(isinstance(arg, ast.Starred) for arg in call.args), where
            names = tuple(keyword.arg or "**" for keyword in call.keywords)
            yield Use(path, where, "call", len(call.args), names)
        else:
            yield Use(path, where, "set" if isinstance(node.ctx, ast.Store) else "get")


def _path(node: ast.Attribute, known: dict[str, str], root: str) -> str | None:
    """Return the dotted name of a use inside the library; None where it is none of it."""
    text = ast.unparse(node.value)
    if text in known:
        return f"{known[text]}.{node.attr}".lstrip(".")
    if text == root:
        return node.attr
    for prefix in (f"{root}.", f"self._{root}."):
        if text.startswith(prefix) and re.fullmatch(r"[\w.]+", text):
            return f"{text.removeprefix(prefix)}.{node.attr}"
    return None


def overloads(doc: str) -> list[list[tuple[str, bool]]]:
    """Return the parameters of each overload in a pybind11 docstring: name, and if it may lack."""
    found = []
    for line in doc.splitlines():
        match = re.match(r"(?:\d+\. )?\w+\((.*)\)(?: ->|$)", line.strip())
        if match and match[1] != "*args, **kwargs":
            found.append([_parameter(part) for part in _parts(match[1])])
    return found


def _parts(text: str) -> Iterator[str]:
    """Split at the commas outside of brackets, and leave out ``self``."""
    depth, part = 0, ""
    for letter in f"{text},":
        depth += (letter in "([{<") - (letter in ")]}>")
        if letter == "," and depth == 0:
            if part.strip() and not re.match(r"\s*self\b", part):
                yield part.strip()
            part = ""
        else:
            part += letter


def _parameter(text: str) -> tuple[str, bool]:
    return re.split("[:=]", text, maxsplit=1)[0].strip(), "=" in text


def takes(overload: list[tuple[str, bool]], count: int, names: tuple[str, ...]) -> bool:
    """Tell whether an overload can be called with ``count`` arguments and these by keyword."""
    rest = overload[count:]
    given = {name for name, _ in rest} & set(names)
    return (
        count <= len(overload)
        and given == set(names)
        and all(may_lack or name in given for name, may_lack in rest)
    )
