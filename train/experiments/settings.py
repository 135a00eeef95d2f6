"""From a row of a table to the settings of its training run, at the scale of a preset.

Presets ``paper`` and ``strong`` train what the paper describes, from weights of ImageNet. The
others have a network of their own size: rows that differ by backbone alone are then one run.

Preset ``tiny`` is for a CPU and a rendered site. Its own settings only prove that a run works;
here it gets a network and a length that learn something in a minute (`_TINY`). As the paper's
networks begin from the trained weights of an older one, all rows of a network begin from one
start: a run that has learnt to find persons, and to classify identities by softmax.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from train.checkpoint import FREE
from train.config import FitConfig, make_config
from train.errors import ConfigError
from train.experiments.table import ALL_IDENTITIES, Training

START_ITERATIONS = "start_iterations"
"""The one override that is no training setting: iterations of the common start; 0 = none."""

KEPT_COPIES = 10
"""Points of a training curve."""

_LIKE = {"oim": "i-net"}
"""Models whose network is another's, so that they begin from the same start."""

_FIXED = frozenset(
    {"preset", "data", "out", "seed", "losses", "model", "network", "loss", "device"}
)
_NOT_HASHED = (FREE - {"iterations", "people"}) | {"init"}


@dataclass(frozen=True, slots=True)
class Scale:
    """What a preset means for experiments: ``changes`` to it, and how rows fit in.

    ``backbones`` tells that rows choose theirs. ``pools`` maps sizes of the priority pool that
    suit CUHK-SYSU to those that suit fewer identities. ``start`` are the changes of the run
    that all rows of a model begin from; empty where there is none.
    """

    changes: Mapping[str, Any] = field(default_factory=dict)
    backbones: bool = False
    pools: Mapping[int, int] = field(default_factory=dict)
    start: Mapping[str, Any] = field(default_factory=dict)


_TINY: dict[str, Any] = {
    "width": 0.25, "input_hw": (192, 336), "rpn_channels": 64, "pre_nms": 192, "proposals": 48,
    "max_persons": 24, "detection_pool_hw": (8, 4), "reid_pool_hw": (8, 4), "reid_neck": True,
    "rois": 32, "rpn_batch": 128, "dictionary": 40 * 32, "oim_queue": 500, "pool_size": 20,
    "box_loss": 2.0, "iterations": 400, "pairs": 2, "lr": 0.003, "schedule": "cosine",
    "warmup": 20, "clip": 5.0, "save_every": 50,
}  # fmt: skip

SCALES: Mapping[str, Scale] = {
    "paper": Scale({"init": "imagenet"}, backbones=True),
    "strong": Scale({"init": "imagenet"}, backbones=True),
    "small": Scale(),
    "tiny": Scale(
        _TINY,
        pools={50: 10, 100: 20, 1000: 50},
        start={"losses": "softmax", "iterations": 600, "lr": 0.004},
    ),
}


def scale_of(preset: str) -> Scale:
    """Return the scale of a preset.

    Raises:
        ConfigError: experiments know no such preset.
    """
    if preset not in SCALES:
        raise ConfigError(f"no preset {preset!r} for experiments; there are {', '.join(SCALES)}")
    return SCALES[preset]


@dataclass(frozen=True, slots=True)
class Setting:
    """All that the runs of a table share: preset, data and what the caller changes.

    ``identities`` and ``fingerprint`` are those of the training data, so that moving a folder
    changes no run.
    """

    preset: str
    data: tuple[Path, ...]
    fingerprint: str
    identities: int
    overrides: Mapping[str, Any] = field(default_factory=dict)
    device: str = "auto"

    def __post_init__(self) -> None:
        fixed = sorted(_FIXED & self.overrides.keys())
        if fixed:
            raise ConfigError(f"a table decides {', '.join(fixed)}: they cannot be overridden")
        scale_of(self.preset)


@dataclass(frozen=True, slots=True)
class RunPlan:
    """One training run, known by ``key``; ``start`` is the run that it begins from."""

    key: str
    config: FitConfig
    start: "RunPlan | None" = None


def plan_run(training: Training, seed: int, setting: Setting, runs: Path) -> RunPlan:
    """Return the run of a row and seed; its folder lies in ``runs``.

    Raises:
        ConfigError: the settings do not fit.
    """
    start = _plan_start(training, setting, runs)
    changes = _row_changes(training, setting) | {"seed": seed}
    return _plan(training.model, changes, setting, runs, start)


def _plan_start(training: Training, setting: Setting, runs: Path) -> RunPlan | None:
    scale = scale_of(setting.preset)
    given = dict(scale.start)
    given["iterations"] = setting.overrides.get(START_ITERATIONS, given.get("iterations", 0))
    if not given["iterations"]:
        return None
    if not scale.start:
        raise ConfigError(f"preset {setting.preset!r} has no common start to give a length to")
    changes = _common(training, setting) | given | {"seed": 0}
    return _plan(_LIKE.get(training.model, training.model), changes, setting, runs, None)


def _plan(
    model: str, changes: dict[str, Any], setting: Setting, runs: Path, start: RunPlan | None
) -> RunPlan:
    config = make_config(setting.preset, data=setting.data, out=runs, model=model, **changes)
    key = _key(config, setting.fingerprint, start)
    final: dict[str, Any] = {"out": runs / key}
    if start is not None:
        final["init"] = str(start.config.out)
    return RunPlan(key, config.model_copy(update=final), start)


def _common(training: Training, setting: Setting) -> dict[str, Any]:
    """Return the changes of all rows with this network."""
    scale = scale_of(setting.preset)
    changes: dict[str, Any] = {"device": setting.device, **scale.changes}
    if scale.backbones:
        changes["backbone"] = training.backbone
    given = {k: v for k, v in setting.overrides.items() if k != START_ITERATIONS}
    return changes | given


def _row_changes(training: Training, setting: Setting) -> dict[str, Any]:
    changes = _common(training, setting)
    wanted = {
        "losses": training.losses,
        "alpha": training.alpha,
        "beta": training.beta,
        "pool_size": _pool(training.pool, setting),
        "dictionary": _dictionary(training.dictionary, changes, setting),
        "pairs": None if training.frames is None else training.frames // 2,
    }
    return changes | {name: value for name, value in wanted.items() if value is not None}


def _pool(size: int | None, setting: Setting) -> int | None:
    if size is None:
        return None
    if size == ALL_IDENTITIES:
        return setting.identities
    return scale_of(setting.preset).pools.get(size, size)


def _dictionary(batches: int | None, changes: Mapping[str, Any], setting: Setting) -> int | None:
    """Return the slots of a dictionary of so many minibatches."""
    if batches is None:
        return None
    config = make_config(setting.preset, data=setting.data, out=Path(), **changes)
    return batches * config.loss.rois


def _key(config: FitConfig, fingerprint: str, start: RunPlan | None) -> str:
    """Return the hash of all that decides what a run learns."""
    values = {
        "settings": config.model_dump(mode="json", exclude=set(_NOT_HASHED)),
        "init": config.init if start is None else start.key,
        "data": fingerprint,
    }
    text = json.dumps(values, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def keeping(plan: RunPlan) -> RunPlan:
    """Return a run that also keeps copies of its checkpoint, evenly over its iterations."""
    every = max(1, plan.config.iterations // KEPT_COPIES)
    return replace(plan, config=plan.config.model_copy(update={"keep_every": every}))


def unique(plans: Sequence[RunPlan]) -> tuple[RunPlan, ...]:
    """Return every run once, each start before the runs that begin from it."""
    found: dict[str, RunPlan] = {}
    for plan in plans:
        if plan.start is not None:
            found.setdefault(plan.start.key, plan.start)
        found.setdefault(plan.key, plan)
    return tuple(found.values())
