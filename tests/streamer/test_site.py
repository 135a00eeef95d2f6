"""site.yaml: what it means, and every fault of it at once with its place."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from gallery.values import Link
from streamer.errors import SiteError
from streamer.site import Site, load_site, site_from_cameras

ENV = {"CAM_USER": "bob", "CAM_PASSWORD": "hunter2", "FPS": "3"}


@pytest.fixture
def load(tmp_path: Path):
    """Give a way to load a site from text."""

    def from_text(text: str, env: dict[str, str] | None = None) -> Site:
        path = tmp_path / "site.yaml"
        path.write_text(text)
        return load_site(path, ENV if env is None else env)

    return from_text


@pytest.fixture
def faults(load):
    """Give a way to get the faults of a text."""

    def of(text: str, env: dict[str, str] | None = None) -> tuple[str, ...]:
        with pytest.raises(SiteError, match="fault") as caught:
            load(text, env)
        assert "hunter2" not in str(caught.value)
        return caught.value.faults

    return of


def test_a_whole_site(load, tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "back.mp4").write_bytes(b"")
    site = load(
        """
name: shop
defaults:
  detect: {fps: 4}
  retain: {days: 30}
  tags: [ground]
cameras:
  front:
    url: rtsp://${CAM_USER}:${CAM_PASSWORD}@10.0.0.5/stream
    detect: {fps: 2.5}
    transport: udp
    zones: [[[0, 0], [1, 0], [1, 1]]]
    masks: [[[0, 0], [0.1, 0], [0.1, 0.1], [0, 0.1]]]
  back.2:
    url: clips/back.mp4
    start: 2026-03-02T14:00:00+01:00
    enabled: false
    retain: {days: 2}
    tags: [yard, night]
links:
  - {from: front, to: back.2, min_s: 3, max_s: 60.5}
"""
    )
    front, back = site.cameras.values()
    assert (site.name, site.base) == ("shop", tmp_path)
    assert front.url == "rtsp://bob:hunter2@10.0.0.5/stream"
    assert (front.detect_fps, front.retain_days, front.tags) == (2.5, 30, ("ground",))
    assert (front.transport, front.enabled, front.start) == ("udp", True, None)
    assert front.zones == (((0.0, 0.0), (1.0, 0.0), (1.0, 1.0)),)
    assert len(front.masks[0]) == 4
    assert back.url == str(tmp_path / "clips" / "back.mp4")
    assert (back.detect_fps, back.retain_days, back.enabled) == (4, 2, False)
    assert back.start == datetime(2026, 3, 2, 13, tzinfo=UTC)
    assert back.tags == ("yard", "night")
    assert site.links == (Link("front", "back.2", 3.0, 60.5),)


def test_secrets_are_in_no_representation(load) -> None:
    site = load("cameras: {a: {url: 'rtsp://${CAM_USER}:${CAM_PASSWORD}@h/s'}}")
    assert "hunter2" not in repr(site)
    assert site.cameras["a"].shown_url == "rtsp://***@h/s"


def test_where_sightings_go(load, tmp_path: Path) -> None:
    text = """
cameras: {a: {url: 'rtsp://h/s'}}
delivery: {redis: 'redis://:${CAM_PASSWORD}@h:6379/1', stream: north, spool: waiting}
"""
    delivery = load(text).delivery
    assert delivery.redis == "redis://:hunter2@h:6379/1"
    assert (delivery.stream, delivery.spool) == ("north", str(tmp_path / "waiting"))
    assert "hunter2" not in repr(load(text))
    assert load("cameras: {a: {url: 'rtsp://h/s'}}").delivery.redis is None


def test_faults_of_where_sightings_go(faults) -> None:
    text = """
cameras: {a: {url: 'rtsp://h/s'}}
delivery: {redis: 'http://:${CAM_PASSWORD}@h', streem: x}
"""
    first, second = sorted(faults(text))
    assert "delivery.redis: want redis://, rediss:// or unix:// (got 'http://***@h')" in first
    assert "delivery.streem: unknown key; did you mean 'stream'?" in second


def test_own_defaults_and_the_name_of_the_folder(load, tmp_path: Path) -> None:
    site = load("cameras: {a: {url: rtsp://h/s}}")
    camera = site.cameras["a"]
    assert site.name == tmp_path.name
    assert (camera.enabled, camera.detect_fps, camera.transport) == (True, 5.0, "tcp")
    assert (camera.zones, camera.masks, camera.tags, site.links) == ((), (), (), ())


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2026-03-02T14:00:00Z", datetime(2026, 3, 2, 14, tzinfo=UTC)),
        ("2026-03-02 14:00:00", datetime(2026, 3, 2, 14, tzinfo=UTC)),
        ("'2026-03-02T14:00:00+02:00'", datetime(2026, 3, 2, 12, tzinfo=UTC)),
        ("2026-03-02", datetime(2026, 3, 2, tzinfo=UTC)),
    ],
)
def test_start_is_utc_unless_it_names_a_zone(load, written: str, meant: datetime) -> None:
    assert (
        load(f"cameras: {{a: {{url: rtsp://h/s, start: {written}}}}}").cameras["a"].start == meant
    )


def test_a_variable_may_hold_a_number(load) -> None:
    site = load("cameras:\n  a:\n    url: rtsp://h/s\n    detect:\n      fps: ${FPS}\n")
    assert site.cameras["a"].detect_fps == 3.0


def test_all_faults_at_once_with_line_path_and_value(faults) -> None:
    found = faults(
        """naem: shop
defaults: {detect: {fps: x}}
cameras:
  cam1:
    url: rtsp://${CAM_USER}:${NOPE}@10.0.0.1/x
    start: 2026-13-02
    zones: [[[0, 0], [1, 0]], [[0, 0], [2, 0], [1, 1]], [[0, 0], [0.5, 0.5], [1, 1]]]
    detect: {fps: true}
  cam 2: {url: "rtsp://a:hunter2@h/x y", retain: {days: -3}}
  c3: {url: nofile.mp4, pasword: hunter2}
  c3: {url: nofile.mp4}
  c4: {enabled: maybe, url: ["rtsp://u:hunter2@h/x"]}
  c5:
  ..: {url: rtsp://h/x}
  c6: {start: 5, url: .}
links:
  - {from: cam1, to: cam9, min_s: 11, max_s: 10}
  - 5
  - {from: cam1, min_s: -1, max_s: .nan}
"""
    )
    name_rule = "a camera name is 1 to 64 of A-Z a-z 0-9 _ . - and begins with a letter or digit"
    assert list(found) == [
        "site.yaml:1: naem: unknown key; did you mean 'name'?",
        "site.yaml:2: defaults.detect.fps: must be a number (got 'x')",
        "site.yaml:5: cameras.cam1.url: environment variable NOPE is not set",
        "site.yaml:6: cameras.cam1.start: not a value that YAML knows",
        "site.yaml:7: cameras.cam1.zones[0]: needs at least 3 (has 2)",
        "site.yaml:7: cameras.cam1.zones[1][1][0]: input should be less than or equal to 1"
        " (got '2')",
        "site.yaml:7: cameras.cam1.zones[2]: the polygon has no area (got a list of 3)",
        "site.yaml:8: cameras.cam1.detect.fps: must be a number (got 'true')",
        f"site.yaml:9: cameras.cam 2: {name_rule}",
        "site.yaml:9: cameras.cam 2.url: the address holds a blank; write %20"
        " (got 'rtsp://***@h/x y')",
        "site.yaml:9: cameras.cam 2.retain.days: input should be greater than 0 (got '-3')",
        "site.yaml:10: cameras.c3.url: no such file (got 'nofile.mp4')",
        "site.yaml:10: cameras.c3.pasword: unknown key",
        "site.yaml:11: cameras.c3: key repeated from line 10",
        "site.yaml:12: cameras.c4.enabled: must be true or false (got 'maybe')",
        "site.yaml:12: cameras.c4.url: must be text (got a list of 1)",
        "site.yaml:13: cameras.c5: must be a mapping (got nothing)",
        f"site.yaml:14: cameras...: {name_rule}",
        "site.yaml:15: cameras.c6.start: must be a time like 2026-03-02T14:00:00Z (got '5')",
        "site.yaml:15: cameras.c6.url: no picture (.jpg, .jpeg, .png) in this folder (got '.')",
        "site.yaml:17: links[0].to: no such camera (got 'cam9')",
        "site.yaml:17: links[0].max_s: less than min_s 11 (got '10')",
        "site.yaml:18: links[1]: must be a mapping (got '5')",
        "site.yaml:19: links[2].min_s: input should be greater than or equal to 0 (got '-1')",
        "site.yaml:19: links[2].max_s: input should be a finite number (got '.nan')",
        "site.yaml:19: links[2].to: missing",
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "site.yaml:1: the file is empty"),
        ("# only a comment\n", "site.yaml:1: the file is empty"),
        ("- a\n", "site.yaml:1: a site is a mapping with a key 'cameras'"),
        ("name: x\n", "site.yaml:1: cameras: missing"),
        ("cameras: {}\n", "site.yaml:1: cameras: needs at least 1 (has 0)"),
        ("cameras:\n  a: {url: 'x\n", "site.yaml:3: not YAML: found unexpected end of stream"),
        ("cameras: &a {b: *a}\n", "site.yaml:1: cameras.b: an alias holds itself"),
        ("cameras: {a: *hunter2}\n", "site.yaml:1: not YAML: found undefined alias"),
        (
            "cameras: {a: {url: !secret x}}",
            "site.yaml:1: cameras.a.url: not a value that YAML knows",
        ),
        ("cameras: {? [a] : 3}", "site.yaml:1: cameras: a key must be a word"),
        ("cameras: {a: {url: ''}}", "site.yaml:1: cameras.a.url: the address is empty (got '')"),
        ("a: b\n---\nc: d\n", "site.yaml:2: not YAML: but found another document"),
    ],
)
def test_a_document_that_is_none(faults, text: str, fault: str) -> None:
    assert fault in faults(text)


def test_a_missing_file_and_bytes_that_are_no_text(tmp_path: Path) -> None:
    with pytest.raises(SiteError, match=r"none\.yaml: cannot be read: no such file"):
        load_site(tmp_path / "none.yaml", {})
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe\x00\x00")
    with pytest.raises(SiteError, match="not UTF-8 text"):
        load_site(tmp_path / "b.yaml", {})


def test_secrets_as_keys_are_hidden_too(faults) -> None:
    (fault,) = faults("cameras: {'rtsp://u:hunter2@h/s': {url: rtsp://h/s}}")
    assert "rtsp://***@h/s" in fault


def test_a_site_of_cameras(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    site = site_from_cameras({"a": "x.mp4", "b": "rtsp://h/s", "c": "/dev/video0"})
    assert [camera.url for camera in site.cameras.values()] == [
        str(tmp_path / "x.mp4"),
        "rtsp://h/s",
        "/dev/video0",
    ]


def test_faults_of_a_site_of_cameras() -> None:
    with pytest.raises(SiteError, match="2 faults") as caught:
        site_from_cameras({"a b": "rtsp://u:hunter2@h/x", "c": ""})
    assert "hunter2" not in str(caught.value)
    assert caught.value.faults[1] == "cameras.c.url: the address is empty (got '')"


def test_the_substream_is_read_unless_the_main_stream_is_asked_for(load) -> None:
    site = load(
        """
defaults: {stream: main}
cameras:
  a: {url: "rtsp://h/main", substream: "rtsp://h/sub"}
  b: {url: "rtsp://h/main", substream: "rtsp://h/sub", stream: sub}
  c: {url: "rtsp://h/main", stream: sub}
"""
    )
    urls = {name: camera.url for name, camera in site.cameras.items()}
    assert urls == {"a": "rtsp://h/main", "b": "rtsp://h/sub", "c": "rtsp://h/main"}
    site = load("cameras: {a: {url: 'rtsp://h/main', substream: 'rtsp://h/sub'}}")
    assert site.cameras["a"].url == "rtsp://h/sub"


def test_hardware_decoding_is_off_unless_asked_for(load, faults) -> None:
    site = load(
        "defaults: {hwaccel: auto}\ncameras: {a: {url: 'rtsp://h/s'},"
        " b: {url: 'rtsp://h/s', hwaccel: none}}"
    )
    assert [camera.hwaccel for camera in site.cameras.values()] == ["auto", "none"]
    assert load("cameras: {a: {url: 'rtsp://h/s'}}").cameras["a"].hwaccel == "none"
    (fault,) = faults("cameras: {a: {url: 'rtsp://h/s', hwaccel: vaapi}}")
    assert "cameras.a.hwaccel" in fault
    assert "(got 'vaapi')" in fault
