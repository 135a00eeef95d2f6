"""The shape of site.yaml, and the settings of one camera once defaults are applied.

Every level refuses unknown keys. Values are strict: ``fps: yes`` is a fault, not 1.0.
"""

from datetime import UTC, date, datetime, time
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
)

from gallery.values import CAMERA_NAME, Link
from streamer.redact import redact
from streamer.regions import Polygon

DEFAULT_DETECT_FPS = 5.0
MAX_DETECT_FPS = 60.0


class _Strict(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
        populate_by_name=True,
    )


def _as_utc(value: Any) -> Any:
    """Return a datetime with a zone for ISO text, YAML times and dates; UTC where none stands."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise ValueError("input should be a time like 2026-03-02T14:00:00Z") from None
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime.combine(value, time())
    if isinstance(value, datetime) and value.tzinfo is None:
        value = value.replace(tzinfo=UTC)
    return value


def _address(url: str) -> str:
    if not url.strip():
        raise ValueError("the address is empty")
    if "://" in url and any(ch.isspace() for ch in url):
        raise ValueError("the address holds a blank; write %20")
    return url


def _redis_url(url: str) -> str:
    if not url.startswith(("redis://", "rediss://", "unix://")):
        raise ValueError("want redis://, rediss:// or unix://")
    return _address(url)


def _has_area(polygon: Polygon) -> Polygon:
    pairs = zip(polygon, polygon[1:] + polygon[:1], strict=True)
    if abs(sum(x1 * y2 - x2 * y1 for (x1, y1), (x2, y2) in pairs)) < 1e-9:
        raise ValueError("the polygon has no area")
    return polygon


UtcTime = Annotated[datetime, BeforeValidator(_as_utc)]
CameraName = Annotated[str, StringConstraints(pattern=rf"^{CAMERA_NAME.pattern}$")]
Address = Annotated[str, AfterValidator(_address)]
RedisUrl = Annotated[str, AfterValidator(_redis_url)]
Unit = Annotated[float, Field(ge=0.0, le=1.0)]
Region = Annotated[tuple[tuple[Unit, Unit], ...], Field(min_length=3), AfterValidator(_has_area)]
Fps = Annotated[float, Field(gt=0.0, le=MAX_DETECT_FPS)]
Days = Annotated[float, Field(gt=0.0)]
Transport = Literal["tcp", "udp"]
HwAccel = Literal["auto", "cuda", "qsv", "none"]
Choice = Literal["main", "sub"]

ADJUSTABLE = frozenset({"zones", "tags", "retain_days"})
"""Settings that the stream itself knows nothing of: they change without connecting again."""


class DetectSection(_Strict):
    """``detect:`` how often persons are looked for."""

    fps: Fps | None = Field(default=None, description="frames searched per second of stream time")


class RetainSection(_Strict):
    """``retain:`` how long sightings are kept."""

    days: Days | None = Field(default=None, description="days until sightings are deleted")


class DefaultsSection(_Strict):
    """What a camera may set and ``defaults:`` may set for all of them."""

    enabled: bool | None = Field(default=None, description="false: not opened, coverage says so")
    transport: Transport | None = Field(default=None, description="RTSP over tcp or udp")
    hwaccel: HwAccel | None = Field(default=None, description="decode by cuda, qsv, auto or none")
    stream: Choice | None = Field(default=None, description="main: url, sub: substream")
    detect: DetectSection | None = None
    retain: RetainSection | None = None
    tags: tuple[str, ...] | None = Field(default=None, description="words to group cameras by")


class CameraSection(DefaultsSection):
    """One entry of ``cameras:``."""

    url: Address = Field(description="file, folder, rtsp://, http(s)://, /dev/video0", repr=False)
    substream: Address | None = Field(
        default=None, description="a smaller stream of the same camera", repr=False
    )
    fps: Fps | None = Field(default=None, description="pictures a second of a folder of pictures")
    follow: bool = Field(default=False, description="a folder: go on with pictures that appear")
    start: UtcTime | None = Field(default=None, description="when a recording began")
    zones: tuple[Region, ...] = Field(default=(), description="only persons who stand inside")
    masks: tuple[Region, ...] = Field(default=(), description="painted grey before all else")


class LinkSection(_Strict):
    """One entry of ``links:``."""

    source: str = Field(alias="from", description="the camera that people leave")
    target: str = Field(alias="to", description="the camera that they reach")
    min_s: float = Field(ge=0.0, description="shortest walk, seconds")
    max_s: float = Field(ge=0.0, description="longest walk, seconds")


class DeliverySection(_Strict):
    """``delivery:`` where sightings go; without it into a gallery of ingest's own."""

    redis: RedisUrl | None = Field(
        default=None, description="redis://, rediss://, unix://", repr=False
    )
    stream: Annotated[str, Field(min_length=1, max_length=200)] | None = Field(
        default=None, description="name of the stream in Redis"
    )
    spool: Annotated[str, Field(min_length=1)] | None = Field(
        default=None, description="folder in which sightings wait for Redis"
    )


class SiteFile(_Strict):
    """The whole of site.yaml."""

    name: str | None = Field(default=None, min_length=1, max_length=200)
    secrets: Annotated[str, Field(min_length=1)] | None = Field(
        default=None, description="file of NAME=value lines for ${NAME}, readable by us alone"
    )
    defaults: DefaultsSection = DefaultsSection()
    cameras: dict[CameraName, CameraSection] = Field(min_length=1)
    links: tuple[LinkSection, ...] = ()
    delivery: DeliverySection = DeliverySection()


class CameraSettings(_Strict):
    """One camera, defaults applied; ``url`` is complete (secrets in it: never print it)."""

    name: CameraName
    url: Address = Field(repr=False)
    enabled: bool = True
    detect_fps: Fps = DEFAULT_DETECT_FPS
    start: UtcTime | None = None
    zones: tuple[Region, ...] = ()
    masks: tuple[Region, ...] = ()
    retain_days: Days | None = None
    tags: tuple[str, ...] = ()
    transport: Transport = "tcp"
    hwaccel: HwAccel = "none"
    fps: Fps | None = None
    follow: bool = False

    def same_stream(self, other: "CameraSettings") -> bool:
        """Tell whether a camera with the other settings need not be connected again."""
        keys = type(self).model_fields.keys() - ADJUSTABLE
        return all(getattr(self, key) == getattr(other, key) for key in keys)

    @property
    def shown_url(self) -> str:
        """The address without credentials."""
        return redact(self.url)


def camera_settings(
    name: str, url: str, section: CameraSection, defaults: DefaultsSection
) -> CameraSettings:
    """Return a camera's settings: its own values, else the defaults, else ours."""
    own = {
        "enabled": _first(section.enabled, defaults.enabled),
        "transport": _first(section.transport, defaults.transport),
        "hwaccel": _first(section.hwaccel, defaults.hwaccel),
        "fps": section.fps,
        "tags": _first(section.tags, defaults.tags),
        "detect_fps": _first(
            section.detect and section.detect.fps, defaults.detect and defaults.detect.fps
        ),
        "retain_days": _first(
            section.retain and section.retain.days, defaults.retain and defaults.retain.days
        ),
    }
    return CameraSettings.model_validate(
        {key: value for key, value in own.items() if value is not None}
        | {"name": name, "url": url, "start": section.start}
        | {"zones": section.zones, "masks": section.masks, "follow": section.follow}
    )


def chosen_url(section: CameraSection, defaults: DefaultsSection) -> str:
    """Return the address that is read: the substream where there is one, unless told otherwise."""
    choice = _first(section.stream, defaults.stream, "sub")
    return section.substream if section.substream and choice == "sub" else section.url


def link_of(section: LinkSection) -> Link:
    """Return the gallery's value of a link."""
    return Link(section.source, section.target, float(section.min_s), float(section.max_s))


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)
