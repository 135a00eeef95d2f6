"""The page of metrics, read by Prometheus' own parser."""

import re
from pathlib import Path

import pytest

from streamer.camera import State
from streamer.watching.metrics import families, render

ROOT = Path(__file__).parents[3]
parser = pytest.importorskip("prometheus_client.parser", reason="the parser of prometheus-client")


@pytest.fixture
def page(snapshot, report):
    """Give the metrics of two cameras, one with a name that wants escaping."""
    cameras = (
        report(frames=100, searched=50, dropped={"late": 3}, lag_s=0.25, age_s=0.1, stall_s=2.0),
        report('b"\\\n', State.RETRYING, error="x", cause="refused", clock_offset_s=-1.5),
    )
    made = snapshot(*cameras)
    return render(made, made.ticked_s + 1)


def samples(page: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in parser.text_string_to_metric_families(page)
        for sample in family.samples
    }


def test_values_and_labels_arrive(page) -> None:
    found = samples(page)
    door = (("camera", "door"),)
    strange = (("camera", 'b"\\\n'),)
    assert found["sightline_camera_frames_total", door] == 100
    assert found["sightline_camera_searched_frames_total", door] == 50
    lost = (("camera", "door"), ("cause", "late"))
    assert found["sightline_camera_dropped_frames_total", lost] == 3
    assert found["sightline_camera_lag_seconds", door] == 0.25
    assert found["sightline_camera_clock_offset_seconds", strange] == -1.5
    assert found["sightline_camera_state", (*strange, ("state", "retrying"))] == 1
    assert found["sightline_camera_state", (*strange, ("state", "live"))] == 0
    assert found["sightline_healthy", ()] == 0
    assert found["sightline_batches_total", ()] == 10
    assert found["process_resident_memory_bytes", ()] > 10**6


def test_what_is_not_known_has_no_sample(page) -> None:
    found = samples(page)
    assert ("sightline_camera_lag_seconds", (("camera", 'b"\\\n'),)) not in found
    assert ("sightline_camera_clock_offset_seconds", (("camera", "door"),)) not in found


def test_names_hold_to_the_rules_of_prometheus(page) -> None:
    lines = page.splitlines()
    kinds = dict(line.split()[2:4] for line in lines if line.startswith("# TYPE"))
    helps = [line.split()[2] for line in lines if line.startswith("# HELP")]
    assert list(kinds) == helps
    assert len(kinds) == len(set(helps)) > 25
    for name, kind in kinds.items():
        assert re.fullmatch(r"[a-z_]+", name)
        assert name.endswith("_total") == (kind == "counter"), name
    sample = re.compile(r'[a-z_]+(\{([a-z]+="([^"\\\n]|\\["\\n])*",?)+\})? -?[0-9.e+-]+')
    assert [line for line in lines if line[0] != "#" and not sample.fullmatch(line)] == []
    assert page.endswith("\n")


def test_every_metric_stands_in_the_manual_and_no_other(snapshot, report) -> None:
    made = snapshot(report())
    named = {family.name for family in families(made, made.ticked_s)}
    manual = (ROOT / "docs" / "operations.md").read_text("utf-8")
    rows = set(re.findall(r"^\| `((?:sightline|process)_[a-z_]+)`", manual, re.MULTILINE))
    assert rows == named
