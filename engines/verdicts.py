"""What a verification found on this machine, and whether it allows a default.

Verdicts lie beside the plans, one file for each backend and precision of a bundle::

    <cache>/verdicts/<name of the key>.json

They are sealed like manifests: a damaged one is told and ignored. A verdict speaks for exactly
one runtime version, machine, bundle and plan, so that it is not found again once any of these
changes.
"""

import json
import logging
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from engines.backends import BACKENDS
from engines.bundle import Bundle
from engines.errors import BackendUnavailableError, PlanError
from engines.manifest import Sha256, Unit, describe_faults, seal_manifest
from engines.plans.cache import Plan, PlanCache
from engines.plans.folder import check_folder, read_file, write_file
from engines.plans.keys import PlanKey, parse_key
from engines.plans.machine import machine_text, runtime_text

logger = logging.getLogger(__name__)

FORMAT = 1
FOLDER = "verdicts"
MAX_BYTES = 2**18

MIN_MATCHED = 0.995
"""Least share of persons that fp32 must have in common with the reference."""
MIN_COSINE = 0.999
"""Least cosine, at the first percentile, of fp32's embeddings with the reference's."""
MAX_LOSS = 0.005
"""A default may cost at most half a point of search mAP, and of detection AP."""

MIN_QUERIES = 30
"""Persons to search for that a lower precision must be scored on: with fewer, half a point of
mAP hangs on the luck of one."""

_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one backend at one precision was found to do, against the fp32 reference.

    ``plan_sha256`` holds the hash of each file of the plan that ran, empty without a plan.
    ``persons`` are the reference's, ``matched`` the share of both sides with a partner at an IoU
    of 0.5; box edges differ by ``box_px_p99`` source pixels at the 99th percentile; cosines of
    embeddings are at the first percentile and the median, ``query_cosine_p01`` those of the query
    graph. mAP and AP are in 0..1, None where the data has no labels; ``map_low`` and ``map_high``
    bound the difference of mAP (bootstrap over ``queries``, 95 %). ``ratio`` is the speed to
    onnxruntime fp32 in the same run, ``verified_at`` ISO 8601 in UTC.
    """

    key: PlanKey
    plan_sha256: Mapping[str, str]
    frames: int
    persons: int
    matched: float
    box_px_p99: float
    cosine_p01: float
    cosine_median: float
    query_cosine_p01: float
    queries: int
    map_reference: float | None
    map_here: float | None
    map_low: float | None
    map_high: float | None
    ap_reference: float | None
    ap_here: float | None
    data: str
    reference: str
    frames_per_s: float
    ratio: float
    verified_at: str

    @property
    def map_loss(self) -> float | None:
        """Search mAP that it costs, in 0..1; below 0 where it is better."""
        return _loss(self.map_reference, self.map_here)

    @property
    def ap_loss(self) -> float | None:
        """Detection AP that it costs, in 0..1; below 0 where it is better."""
        return _loss(self.ap_reference, self.ap_here)

    @property
    def in_noise(self) -> bool:
        """Whether its queries, drawn anew, could show no difference of mAP at all."""
        if self.map_low is None or self.map_high is None:
            return False
        return self.map_low <= 0 <= self.map_high

    def refused(self) -> str | None:
        """Return why it may not be a default, in words; None where it may.

        What was measured decides, whether or not it is inside the noise.
        """
        if self.key.precision == "fp32":
            if reason := self._disagrees():
                return reason
        elif self.map_loss is None or self.ap_loss is None:
            return "not scored: the data has no labelled persons to search for"
        for what, loss in (("search mAP", self.map_loss), ("detection AP", self.ap_loss)):
            if loss is not None and loss > MAX_LOSS + _ROUNDING:
                points = f"{100 * loss:.2f}".rstrip("0").rstrip(".")
                return f"costs {points} points of {what}, more than {100 * MAX_LOSS:g}"
        if self.key.precision != "fp32" and self.queries < MIN_QUERIES:
            return f"scored on {self.queries} queries, fewer than {MIN_QUERIES}: name more data"
        return None

    def _disagrees(self) -> str | None:
        if self.matched < MIN_MATCHED:
            return f"matches {self.matched:.2%} of the persons, less than {MIN_MATCHED:.1%}"
        for graph, cosine in (("", self.cosine_p01), ("query ", self.query_cosine_p01)):
            if cosine < MIN_COSINE:
                return f"{graph}embeddings have a cosine of {cosine:.5f}, less than {MIN_COSINE:g}"
        return None

    def fields(self) -> dict[str, Any]:
        """Return all fields as JSON values."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return {**values, "key": self.key.fields(), "plan_sha256": dict(self.plan_sha256)}


def _loss(reference: float | None, here: float | None) -> float | None:
    return None if reference is None or here is None else reference - here


def save(cache: PlanCache, verdict: Verdict) -> Path:
    """Keep a verdict whole or not at all, in place of an older one, and return its file.

    Raises:
        PlanError: the folder is not ours alone, or the disk refuses.
        ValueError: a number in it is not finite.
    """
    numbers = [value for value in verdict.fields().values() if isinstance(value, float)]
    if not all(math.isfinite(number) for number in numbers):
        raise ValueError(f"verdict on {verdict.key.name} holds a number that is not finite")
    path = cache.prepare(FOLDER) / f"{verdict.key.name}.json"
    write_file(path, seal_manifest({"format": FORMAT, "verdict": verdict.fields()}))
    return path


def find(cache: PlanCache, bundle: Bundle, machine: str | None = None) -> list[Verdict]:
    """Return the verdicts that still hold here for a bundle, fastest first.

    Left out is what speaks of another bundle, machine, runtime or plan; a damaged file is told
    in a warning and ignored. ``machine`` is that of `engines.plans.machine`; by default each
    verdict is held against the hardware that its own backend finds.
    """
    plans = {plan.key.digest: plan for plan in cache.plans()}
    verdicts = [verdict for verdict in _all(cache) if _holds(verdict, bundle, machine, plans)]
    return sorted(verdicts, key=lambda verdict: -verdict.ratio)


def of_plan(cache: PlanCache, plan: Plan) -> Verdict | None:
    """Return the verdict on a plan as it is now, whatever machine it is for; None = never."""
    made = {name: plan.sha256(name) for name in plan.files}
    for verdict in _all(cache):
        if verdict.key == plan.key and dict(verdict.plan_sha256) == made:
            return verdict
    return None


def _holds(
    verdict: Verdict, bundle: Bundle, machine: str | None, plans: Mapping[str, Plan]
) -> bool:
    key, manifest = verdict.key, bundle.manifest
    graphs = (manifest.model, manifest.files.search.sha256, manifest.files.query.sha256)
    if (key.model, key.search_sha256, key.query_sha256) != graphs:
        return False
    plan = plans.get(key.digest)
    made = {} if plan is None else {name: plan.sha256(name) for name in plan.files}
    return made == dict(verdict.plan_sha256) and _is_here(key, machine)


def _is_here(key: PlanKey, machine: str | None) -> bool:
    """Tell whether the runtime and the hardware of a verdict are those of this moment."""
    try:
        here = machine_text(key.backend) if machine is None else machine
        return key.machine == here and key.runtime == runtime_text(key.backend)
    except BackendUnavailableError:
        return False


def _all(cache: PlanCache) -> Iterator[Verdict]:
    folder = cache.folder / FOLDER
    try:
        check_folder(folder)
        paths = sorted(folder.glob("*.json"))
    except (PlanError, OSError):
        return
    for path in paths:
        try:
            yield _parse(path, read_file(path, MAX_BYTES))
        except PlanError as error:
            logger.warning("%s; the verdict is ignored", error)


Share = Unit
Cosine = Annotated[float, Field(ge=-1.001, le=1.001)]
Count = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]


class _Key(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow", strict=True)

    backend: Annotated[str, Field(pattern=f"^({'|'.join(BACKENDS)})$")]


class _Fields(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    key: _Key
    plan_sha256: dict[str, Sha256]
    frames: Annotated[int, Field(ge=1)]
    persons: Count
    matched: Share
    box_px_p99: Annotated[float, Field(ge=0)]
    cosine_p01: Cosine
    cosine_median: Cosine
    query_cosine_p01: Cosine
    queries: Count
    map_reference: Share | None
    map_here: Share | None
    map_low: float | None
    map_high: float | None
    ap_reference: Share | None
    ap_here: Share | None
    data: str
    reference: str
    frames_per_s: Positive
    ratio: Positive
    verified_at: str


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    format: Literal[1]
    verdict: _Fields
    seal: str


def _parse(path: Path, data: bytes) -> Verdict:
    try:
        _Document.model_validate_json(data)
        fields: dict[str, Any] = json.loads(data)
        key = parse_key(fields["verdict"]["key"])
    except ValidationError as error:
        raise PlanError(path, describe_faults(error)) from error
    except (ValueError, RecursionError) as error:
        raise PlanError(path, f"it is damaged: {error}") from error
    if data != seal_manifest({name: fields[name] for name in fields if name != "seal"}):
        raise PlanError(path, "it was changed after it was written")
    return Verdict(**{**fields["verdict"], "key": key})
