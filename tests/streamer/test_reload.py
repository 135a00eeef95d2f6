"""site.yaml read again: what differs, when it is looked at, and that faults change nothing."""

import os
from pathlib import Path

import pytest

from streamer.reload import LOOK_S, SiteReload, changes_between
from streamer.site import load_site

BASE = """
cameras:
  door: {url: "rtsp://10.0.0.5/s", detect: {fps: 4}}
  hall: {url: "rtsp://10.0.0.6/s"}
  yard: {url: "rtsp://10.0.0.7/s", tags: [out]}
links:
  - {from: door, to: hall, min_s: 1, max_s: 9}
"""


@pytest.fixture
def site_file(tmp_path: Path) -> Path:
    path = tmp_path / "site.yaml"
    path.write_text(BASE)
    return path


class Told:
    """A reload that keeps what it says."""

    def __init__(self, path: Path, *, watch: bool) -> None:
        self.said: list[str] = []
        self.complaints: list[str] = []
        self.reload = SiteReload(
            path,
            load_site(path, {}),
            watch=watch,
            tell=self.said.append,
            complain=self.complaints.append,
            env={},
        )


@pytest.fixture
def told(site_file: Path):
    def make(*, watch: bool = False) -> Told:
        return Told(site_file, watch=watch)

    return make


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("  hall:", "  shed: {url: 'rtsp://10.0.0.9/s'}\n  hall:", ("added", ("shed",))),
        ('  yard: {url: "rtsp://10.0.0.7/s", tags: [out]}\n', "", ("removed", ("yard",))),
        ("fps: 4", "fps: 2", ("restarted", ("door",))),
        ("10.0.0.6", "10.0.0.66", ("restarted", ("hall",))),
        ("tags: [out]", "enabled: false", ("restarted", ("yard",))),
        ("tags: [out]", "masks: [[[0,0],[1,0],[1,1]]]", ("restarted", ("yard",))),
        ("tags: [out]", "tags: [out], zones: [[[0,0],[1,0],[1,1]]]", ("adjusted", ("yard",))),
        ("tags: [out]", "retain: {days: 3}", ("adjusted", ("yard",))),
        ("max_s: 9", "max_s: 8", ("links", True)),
    ],
)
def test_what_differs(site_file: Path, old: str, new: str, expected) -> None:
    before = load_site(site_file, {})
    assert old in BASE
    site_file.write_text(BASE.replace(old, new))
    changes = changes_between(before, load_site(site_file, {}))
    kinds = ("added", "removed", "restarted", "adjusted", "links")
    found = {kind: getattr(changes, kind) for kind in kinds}
    assert found == {
        "added": (),
        "removed": (),
        "restarted": (),
        "adjusted": (),
        "links": False,
    } | {expected[0]: expected[1]}
    assert changes
    assert "nothing" not in changes.text()


def test_defaults_change_every_camera_that_does_not_set_them(site_file: Path) -> None:
    before = load_site(site_file, {})
    site_file.write_text("defaults: {detect: {fps: 2}}\n" + BASE)
    assert changes_between(before, load_site(site_file, {})).restarted == ("hall", "yard")


def test_asked_it_reads_at_once_and_says_what_changed(site_file: Path, told) -> None:
    one = told()
    assert one.reload.poll(0.0) is None
    site_file.write_text(BASE.replace("fps: 4", "fps: 2"))
    assert one.reload.poll(100.0) is None, "it is not watched"
    one.reload.ask()
    site = one.reload.poll(101.0)
    assert site is not None
    assert site.cameras["door"].detect_fps == 2
    assert one.said == ["site.yaml was read again: changed, connecting again: door"]
    one.reload.ask()
    assert one.reload.poll(102.0) is None
    assert one.said[-1] == "site.yaml was read again: nothing changed"
    assert one.complaints == []


def test_a_watched_file_is_read_when_two_looks_saw_the_same_change(site_file: Path, told) -> None:
    one = told(watch=True)
    assert one.reload.poll(0.0) is None
    site_file.write_text(BASE.replace("fps: 4", "fps: 2"))
    assert one.reload.poll(LOOK_S) is None, "it may still be written"
    assert one.reload.poll(LOOK_S + 0.1) is None, "that was no look"
    site_file.write_text(BASE.replace("fps: 4", "fps: 2.5"))
    assert one.reload.poll(2 * LOOK_S) is None, "it changed again"
    site = one.reload.poll(3 * LOOK_S)
    assert site is not None
    assert site.cameras["door"].detect_fps == 2.5
    assert one.reload.poll(4 * LOOK_S) is None
    assert one.reload.poll(5 * LOOK_S) is None
    assert len(one.said) == 1


def test_a_file_that_was_only_touched_is_not_spoken_of(site_file: Path, told) -> None:
    one = told(watch=True)
    one.reload.poll(0.0)
    os.utime(site_file, ns=(1, 1))
    assert [one.reload.poll(i * LOOK_S) for i in range(1, 5)] == [None] * 4
    assert (one.said, one.complaints) == ([], [])


def test_faults_are_all_told_once_and_change_nothing(site_file: Path, told) -> None:
    one = told(watch=True)
    one.reload.poll(0.0)
    site_file.write_text(BASE.replace("fps: 4", "fsp: 4").replace("max_s: 9", "max_s: x"))
    assert [one.reload.poll(i * LOOK_S) for i in range(1, 6)] == [None] * 5
    (complaint,) = one.complaints
    assert "site.yaml has 2 faults" in complaint
    assert "cameras.door.detect.fsp: unknown key" in complaint
    assert "links[0].max_s: must be a number" in complaint
    assert "the cameras go on as before" in complaint
    site_file.write_text(BASE.replace("fps: 4", "fps: 1"))
    sites = [one.reload.poll(i * LOOK_S) for i in range(6, 9)]
    assert sum(site is not None for site in sites) == 1


def test_a_file_that_is_gone_for_a_while_changes_nothing(site_file: Path, told) -> None:
    one = told(watch=True)
    one.reload.poll(0.0)
    site_file.unlink()
    assert [one.reload.poll(i * LOOK_S) for i in range(1, 5)] == [None] * 4
    assert "cannot be read" in one.complaints[0]
    site_file.write_text(BASE)
    assert [one.reload.poll(i * LOOK_S) for i in range(5, 9)] == [None] * 4
    assert len(one.complaints) == 1


def test_delivery_waits_for_the_next_start(site_file: Path, told) -> None:
    one = told()
    site_file.write_text(BASE + "delivery: {redis: 'redis://127.0.0.1'}\n")
    one.reload.ask()
    assert one.reload.poll(0.0) is None
    assert one.complaints == ["delivery was changed: that takes effect at the next start"]


def test_a_new_password_in_the_secrets_file_is_a_change(tmp_path: Path) -> None:
    secrets = tmp_path / "secrets.env"
    secrets.touch(mode=0o600)
    secrets.write_text("PW=one-secret")
    path = tmp_path / "site.yaml"
    path.write_text("secrets: secrets.env\ncameras: {a: {url: 'rtsp://u:${PW}@h/s'}}")
    one = Told(path, watch=True)
    one.reload.poll(0.0)
    secrets.write_text("PW=another-secret")
    sites = [one.reload.poll(i * LOOK_S) for i in range(1, 4)]
    (site,) = [site for site in sites if site is not None]
    assert "another-secret" in site.cameras["a"].url
    assert "secret" not in "".join(one.said + one.complaints).replace("secrets", "")
