"""What a plan was made from and for: any difference makes it another plan."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import ConfigDict, JsonValue, TypeAdapter, ValidationError

from engines.values import Precision

JSON = JsonValue
"""A value that JSON can hold."""


@dataclass(frozen=True, slots=True)
class PlanKey:
    """Everything that a plan depends on.

    ``runtime`` names the runtime with its full version ("onnxruntime 1.31.1"), ``machine`` the
    hardware (see `engines.plans.machine`), ``settings`` what else was decided: batch profile,
    input size, flags. Two keys are equal only if every field is.
    """

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    model: str
    search_sha256: str
    query_sha256: str
    backend: str
    runtime: str
    machine: str
    precision: Precision
    settings: Mapping[str, JSON]

    def __post_init__(self) -> None:
        """Bring ``settings`` into the form that a file gives back: a tuple becomes a list."""
        object.__setattr__(self, "settings", json.loads(json.dumps(dict(self.settings))))

    def fields(self) -> dict[str, Any]:
        """Return all fields as JSON values."""
        return asdict(self)

    @property
    def digest(self) -> str:
        """The sha256 of all fields, 64 hex digits."""
        text = json.dumps(self.fields(), sort_keys=True, ensure_ascii=False, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def name(self) -> str:
        """What people call the plan, and its folder: model, backend, precision, digest."""
        return f"{self.model[:12]}-{self.backend}-{self.precision}-{self.digest[:8]}"


_KEYS = TypeAdapter(PlanKey)


def parse_key(fields: object) -> PlanKey:
    """Return the key with these fields, as :meth:`PlanKey.fields` gives them.

    Raises:
        ValueError: fields are missing, unknown or of the wrong type.
    """
    try:
        return _KEYS.validate_json(json.dumps(fields))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "key"
        raise ValueError(f"{place}: {first['msg'].lower()}") from error
