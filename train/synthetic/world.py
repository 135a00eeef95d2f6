"""The settings of one synthetic world, and the random streams drawn from its seed.

Everything random comes from `stream(seed, name, ...)`: a stream depends on the seed and
on its name only, never on the order of calls, so each camera can be rendered in its own
process and the same seed gives the same world.
"""

import zlib
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

DIFFICULTIES = ("easy", "medium", "hard")
SPLITS = ("train", "test", "both")
REFERENCE_HEIGHT_PX = 540
DEFAULT_START = datetime(2026, 3, 2, 8, 0, 0, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class WorldSpec:
    """What to generate: `people` includes those without identity (`anonymous_share`)."""

    cameras: int = 4
    people: int = 24
    seconds: float = 60.0
    fps: float = 10.0
    seed: int = 0
    difficulty: str = "medium"
    width: int = 960
    height: int = 540
    split: str = "test"
    start: datetime = DEFAULT_START
    anonymous_share: float = 0.2

    def __post_init__(self) -> None:
        """Raise ValueError naming the first field whose value cannot be used."""
        self._require("cameras", 1 <= self.cameras <= 99, "1 to 99")
        self._require("people", 1 <= self.people <= 900, "1 to 900")
        self._require("seconds", 0.0 < self.seconds <= 86400.0, "above 0, at most 86400")
        self._require("fps", 0.1 <= self.fps <= 120.0, "0.1 to 120")
        self._require("seed", self.seed >= 0, "0 or more")
        self._require("difficulty", self.difficulty in DIFFICULTIES, f"one of {DIFFICULTIES}")
        self._require("width", _even(self.width, 128, 3840), "an even number, 128 to 3840")
        self._require("height", _even(self.height, 96, 2160), "an even number, 96 to 2160")
        self._require("split", self.split in SPLITS, f"one of {SPLITS}")
        self._require("start", self.start.utcoffset() is not None, "a time with a time zone")
        self._require("anonymous_share", 0.0 <= self.anonymous_share <= 0.9, "0 to 0.9")

    def _require(self, field: str, holds: bool, wanted: str) -> None:
        if not holds:
            raise ValueError(f"{field} must be {wanted}, not {getattr(self, field)!r}")

    @property
    def frames(self) -> int:
        """Frames in each camera's video."""
        return max(1, round(self.seconds * self.fps))

    @property
    def anonymous(self) -> int:
        """How many people carry no identity."""
        return min(self.people - 1, round(self.people * self.anonymous_share))

    @property
    def scale(self) -> float:
        """Size of a pixel against the 540-line reference."""
        return self.height / REFERENCE_HEIGHT_PX

    def camera_name(self, index: int) -> str:
        """Name of the camera with the 0-based `index`."""
        return f"cam{index + 1}"


def stream(seed: int, name: str, *numbers: int) -> np.random.Generator:
    """Return the random stream of this `name` (and numbers) in the world of this seed."""
    return np.random.default_rng([seed, zlib.crc32(name.encode()), *numbers])


def _even(value: int, low: int, high: int) -> bool:
    return low <= value <= high and value % 2 == 0
