"""``cameras``, ``engine info``, ``gallery info`` and ``doctor`` from outside."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli import doctor
from engines.bundle import open_bundle
from engines.errors import BundleError

Run = Callable[..., Any]


def test_check_lists_cameras_and_links(sightline: Run, site_gallery: Path) -> None:
    site = site_gallery.parent / "site.yaml"
    outcome = sightline("cameras", "check", site)
    assert (outcome.code, outcome.err) == (0, "")
    assert "no faults; 3 cameras, 2 links" in outcome.out
    document = sightline("cameras", "check", site, "--json").document
    assert list(document["cameras"]) == ["door", "hall", "yard"]
    assert document["cameras"]["door"]["detect_fps"] == 5
    assert document["links"][0] == {"source": "door", "target": "hall", "min_s": 2, "max_s": 30}


def test_check_tells_every_fault(sightline: Run, tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text("cameras:\n  a: {url: x.mp4}\nlink: []\n")
    outcome = sightline("cameras", "check", "site.yaml", "--json")
    assert (outcome.code, outcome.out) == (2, "")
    assert "site.yaml:2: cameras.a.url: no such file" in outcome.err
    assert "site.yaml:3: link: unknown key; did you mean 'links'?" in outcome.err


def test_check_of_a_missing_file(sightline: Run) -> None:
    outcome = sightline("cameras", "check", "site.yaml")
    assert outcome.code == 2
    assert "site.yaml: cannot be read: no such file" in outcome.err


def test_check_hides_passwords(sightline: Run, tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text("cameras:\n  a: {url: 'rtsp://u:${PASS}@h/1'}\n")
    for more in ([], ["--json"]):
        outcome = sightline("cameras", "check", "site.yaml", *more, env={"PASS": "s3cret-w0rd"})
        assert outcome.code == 0
        assert "rtsp://***@h/1" in outcome.out
        assert "s3cret-w0rd" not in outcome.out + outcome.err


def test_probe_tells_what_a_source_delivers(sightline: Run, clip: Path) -> None:
    outcome = sightline("cameras", "probe", clip, "--json")
    assert (outcome.code, outcome.err) == (0, "")
    found = outcome.document
    assert (found["codec"], found["width"], found["height"], found["live"]) == (
        "h264", 96, 64, False,
    )  # fmt: skip
    assert found["measured_fps"] == 5
    assert found["first_captured_at"].endswith("Z")
    assert "recording, 8 s" in sightline("cameras", "probe", clip).out


@pytest.mark.parametrize(
    ("url", "code", "said"),
    [
        ("nope.mp4", 3, "no such file"),
        ("rtsp://guard:s3cret-w0rd@127.0.0.1:1/x", 3, "connection refused"),
        ("rtsp://guard:s3cret w0rd@h/x", 2, "holds a blank"),
    ],
)
def test_probe_of_nothing(sightline: Run, url: str, code: int, said: str) -> None:
    outcome = sightline("cameras", "probe", url)
    assert (outcome.code, outcome.out) == (code, "")
    assert said in outcome.err
    assert "s3cret" not in outcome.err


def test_engine_info(sightline: Run, bundle: Path) -> None:
    outcome = sightline("engine", "info", bundle, "--json")
    assert (outcome.code, outcome.err) == (0, "")
    manifest = open_bundle(bundle).manifest
    assert outcome.document["model"] == manifest.model
    assert outcome.document["verified"] is True
    assert outcome.document["training"] == {"command": "none", "seed": 7, "duration_s": 1.5}
    assert outcome.document["files"]["search.onnx"]["bytes"] > 0
    text = sightline("engine", "info", env={"SIGHTLINE_ENGINE": str(bundle)}).out
    assert manifest.model in text
    assert "48 x 32" in text
    assert "seed: 7" in text


def test_engine_info_of_nothing_is_4(sightline: Run, tmp_path: Path) -> None:
    outcome = sightline("engine", "info", tmp_path / "nope")
    assert (outcome.code, outcome.out) == (4, "")
    assert "no such folder" in outcome.err


def test_gallery_info(sightline: Run, site_gallery: Path) -> None:
    outcome = sightline("gallery", "info", site_gallery, "--json")
    assert (outcome.code, outcome.err) == (0, "")
    found = outcome.document
    assert found["cameras"] == ["door", "hall", "yard"]
    assert found["days"] == {"2026-03-02": found["sightings"]}
    assert found["recorded_since"] == "2026-03-02T14:00:00.000Z"
    assert {link["source"] for link in found["links"]} == {"door", "hall"}
    text = sightline("gallery", "info", site_gallery).out
    assert "door: watched" in text
    assert "2026-03-02" in text


@pytest.mark.parametrize("kind", ["missing", "empty", "file"])
def test_gallery_info_of_nothing_is_5(sightline: Run, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "g"
    if kind == "empty":
        path.mkdir()
    elif kind == "file":
        path.write_text("no gallery")
    outcome = sightline("gallery", "info", path)
    assert (outcome.code, outcome.out) == (5, "")
    assert str(path) in outcome.err


def test_doctor_finds_a_whole_installation_well(sightline: Run, bundle: Path) -> None:
    outcome = sightline("doctor", "--json", env={"SIGHTLINE_ENGINE": str(bundle)})
    checks = {check["name"]: check for check in outcome.document["checks"]}
    disk = checks.pop("disk")
    assert outcome.code == (0 if disk["ok"] else 1)
    assert all(check["ok"] for check in checks.values() if check["required"]), checks
    assert {"Python", "packages", "video decoders", "engine", "gallery", "GPU"} <= set(checks)
    assert "one frame in" in checks["engine"]["detail"]


def test_doctor_says_what_is_wrong_and_is_1(sightline: Run, bundle: Path, tmp_path: Path) -> None:
    shutil.copytree(bundle, tmp_path / "bad")
    (tmp_path / "bad" / "query.onnx").write_bytes(b"")
    outcome = sightline(
        "doctor",
        env={"SIGHTLINE_ENGINE": str(tmp_path / "bad"), "SIGHTLINE_GALERY": "x", "COLUMNS": "400"},
    )
    assert outcome.code == 1
    assert "FAILS" in outcome.out
    assert "did you mean SIGHTLINE_GALLERY?" in outcome.out
    assert "Something required does not work." in outcome.out


def test_doctor_counts_a_missing_package_as_a_finding() -> None:
    first, *rest = doctor.check_packages(["pytest", "no-such-package"])
    assert first.ok
    assert [(check.name, check.ok) for check in rest] == [("no-such-package", False)]
    assert "pip install no-such-package" in rest[0].advice


def test_doctor_turns_what_a_check_raises_into_a_finding(tmp_path: Path) -> None:
    def broken() -> doctor.Check:
        raise BundleError(tmp_path, "no such folder")

    found = doctor.guarded("engine", broken)
    assert (found.ok, found.required) == (False, True)
    assert "no such folder" in found.detail
