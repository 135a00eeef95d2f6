"""How an operator is written down: its attributes, what it reads on the host, what it refuses.

An operator is a function of torch itself, its attributes, and one tensor an input (None where an
optional one is left out). It returns a tensor, or a tuple where the graph may take several.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

Attributes = SimpleNamespace
"""All attributes that an operator knows, by name; ``outputs`` is how many the graph takes."""

Run = Callable[..., Any]
Refuse = Callable[[Attributes], str | None]


def _nothing(_: Attributes) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator; ``host`` are the inputs whose values decide sizes, read before it runs."""

    name: str
    run: Run
    defaults: Mapping[str, Any]
    host: frozenset[int]
    refuse: Refuse

    def attributes(self, given: Mapping[str, Any], outputs: int) -> Attributes:
        """Return all attributes, defaults filled in.

        Raises:
            ValueError: one is not known, or has a value that is not.
        """
        if unknown := sorted(given.keys() - self.defaults.keys()):
            raise ValueError(f"attribute {', '.join(unknown)} is not known")
        attributes = Attributes(**{**self.defaults, **given}, outputs=outputs)
        if reason := self.refuse(attributes):
            raise ValueError(reason)
        return attributes


OPERATORS: dict[str, Operator] = {}
"""Every operator that can be run, by its name in ONNX."""


def operator(
    name: str, *, host: tuple[int, ...] = (), refuse: Refuse = _nothing, **defaults: Any
) -> Callable[[Run], Run]:
    """Register a function as an operator with these attributes and their defaults."""

    def register(run: Run) -> Run:
        assert name not in OPERATORS, name
        OPERATORS[name] = Operator(name, run, defaults, frozenset(host), refuse)
        return run

    return register


def one_output(a: Attributes) -> str | None:
    """Refuse a node that takes more than the first output."""
    return None if a.outputs == 1 else f"output {a.outputs} is not known"
