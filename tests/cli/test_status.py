"""``sightline status``, ``ingest --http`` and ``ingest --log`` around a real ingest."""

import json
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from streamer.watching.statusfile import Found, Liveness, look

Run = Callable[..., Any]
PASSWORDS = ("s3cret-w0rd", "hunter22", "r3dis-key")


@pytest.fixture
def ingest(start: Run, bundle: Path, live_camera: Any, tmp_path: Path) -> Iterator[Run]:
    """Start an ingest of the live camera ``door`` into ``g``; it is killed at the end."""
    processes: list[subprocess.Popen[str]] = []

    def begin(*more: str) -> subprocess.Popen[str]:
        process: subprocess.Popen[str] = start(
            "ingest", "--camera", f"door={live_camera.url}", "--gallery", "g",
            "--engine", bundle, "--threads", "1", *more,
        )  # fmt: skip
        processes.append(process)
        return process

    yield begin
    for process in processes:
        process.kill()
        process.communicate(timeout=20)


def found(folder: Path) -> Found:
    return look(folder, time.monotonic())


def state(folder: Path) -> str:
    """Return the state of the camera ``door`` as the status file has it."""
    snapshot = found(folder).snapshot
    cameras = () if snapshot is None else snapshot.cameras
    return next((one.state.value for one in cameras if one.camera == "door"), "")


def until(holds: Callable[[], bool], limit_s: float = 60.0) -> float:
    """Wait until something holds; return how long it took."""
    began_s = time.monotonic()
    while not holds():
        assert time.monotonic() - began_s < limit_s
        time.sleep(0.05)
    return time.monotonic() - began_s


def url_of(process: subprocess.Popen[str]) -> str:
    """Return where an ingest with ``--log json`` serves, from the first line of its log."""
    assert process.stderr is not None
    told = json.loads(process.stderr.readline())["message"]
    return str(told.split("/metrics")[0].split()[-1])


def health(url: str) -> tuple[int, Any]:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=5) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def test_a_stall_shows_within_two_stall_limits_and_so_does_kill_9(
    ingest: Run, inside: Run, live_camera: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "g"
    process = ingest("--http", "127.0.0.1:0", "--log", "json")
    url = url_of(process)
    until(lambda: state(folder) == "live")
    outcome = inside("status", "--gallery", "g")
    assert (outcome.code, outcome.err) == (0, "")
    assert "The ingest runs since" in outcome.out
    assert "onnxruntime, fp32" in outcome.out
    document = inside("status", "--gallery", "g", "--json").document
    (camera,) = document["cameras"]
    assert (document["ingest"], document["ok"], document["pid"]) == ("running", True, process.pid)
    assert camera["fps_in"] > 2
    assert camera["lag_s"] < 5
    assert camera["age_s"] < camera["stall_s"] == pytest.approx(2.0)
    assert health(url)[0] == 200

    live_camera.silent.set()
    took_s = until(lambda: state(folder) == "stalled")
    assert took_s <= 2 * camera["stall_s"]
    outcome = inside("status", "--gallery", "g")
    assert outcome.code == 3
    assert "camera door: connected, but no frames come" in outcome.out
    code, said = health(url)
    assert (code, [one["state"] for one in said["reasons"]]) == (503, ["stalled"])
    live_camera.silent.clear()
    until(lambda: state(folder) == "live")
    assert health(url)[0] == 200

    process.kill()
    process.wait(10)
    assert found(folder).liveness is Liveness.DIED
    outcome = inside("status", "--gallery", "g")
    assert outcome.code == 5
    assert f"NO INGEST RUNS: process {process.pid} died; its last sign is of 20" in outcome.out
    with pytest.raises(urllib.error.URLError, match="refused"):
        health(url)


def test_a_stopped_process_is_stale_then_goes_on_and_ends(
    ingest: Run, inside: Run, tmp_path: Path
) -> None:
    folder = tmp_path / "g"
    process = ingest()
    until(lambda: state(folder) == "live")
    process.send_signal(signal.SIGSTOP)
    took_s = until(lambda: found(folder).liveness is Liveness.STALE, 10)
    assert took_s < 6
    outcome = inside("status", "--gallery", "g", "--json")
    assert (outcome.code, outcome.document["ingest"]) == (5, "stale")
    process.send_signal(signal.SIGCONT)
    until(lambda: found(folder).alive, 10)
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 143
    outcome = inside("status", "--gallery", "g")
    assert outcome.code == 5
    assert "No ingest runs: the last one ended at" in outcome.out


def test_a_log_is_json_to_the_last_line_and_holds_no_password(
    ingest: Run, inside: Run, live_camera: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "g"
    process = ingest(
        "--camera", "away=rtsp://root:hunter22@127.0.0.1:1/x?token=r3dis-key", "--log", "json",
        "--json", "--http", "127.0.0.1:0",
    )  # fmt: skip
    url = url_of(process)
    until(lambda: state(folder) == "live")
    until(lambda: bool(found(folder).snapshot.cameras[1].error))
    shown = (
        inside("status", "--gallery", "g").out + inside("status", "--gallery", "g", "--json").out
    )
    with urllib.request.urlopen(f"{url}/metrics", timeout=5) as answer:
        shown += answer.read().decode() + str(health(url))
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 143
    # Not communicate(): it would lose what readline() has read ahead.
    out, err = process.stdout.read(), process.stderr.read()
    lines = [json.loads(line) for line in err.splitlines()]
    assert all(
        {"time", "level", "camera", "event", "message", "fields"} <= set(one) for one in lines
    )
    assert all(one["time"].endswith("Z") for one in lines)
    assert (lines[0]["event"], lines[0]["fields"]["backend"]) == ("started", "onnxruntime")
    (ended,) = [one for one in lines if one["event"] == "ended"]
    assert (ended["camera"], ended["fields"]["sightings"] > 0) == (None, True)
    told = [(one["camera"], one["fields"].get("to")) for one in lines if one["event"] == "state"]
    assert ("door", "live") in told
    assert told.count(("away", "retrying")) == 1
    assert any(
        one["level"] == "error" and "away could not be read" in one["message"] for one in lines
    )
    kept = "".join(path.read_text() for path in (folder / "run").iterdir())
    for password in PASSWORDS:
        assert password not in out + err + shown + kept


def test_a_log_for_people_is_a_line_an_event(
    sightline: Run, bundle: Path, clip: Path, tmp_path: Path
) -> None:
    outcome = sightline(
        "ingest", "--camera", f"door={clip}", "--gallery", "g", "--engine", bundle, "--log", "text"
    )
    assert outcome.code == 0
    assert "info camera door: ended" in outcome.err
    assert all(line[:2] == "20" and "Z " in line for line in outcome.err.splitlines())


def test_an_error_is_a_line_of_the_log_too(sightline: Run, bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.mp4").write_text("a shopping list")
    outcome = sightline("ingest", "--camera", "door=bad.mp4", "--engine", bundle, "--log", "json")
    assert outcome.code == 3
    (line,) = map(json.loads, outcome.err.splitlines())
    assert (line["level"], line["message"][:12]) == ("error", "camera door:")


def test_watch_shows_it_again_and_again(ingest: Run, start: Run, tmp_path: Path) -> None:
    ingest()
    until(lambda: state(tmp_path / "g") == "live")
    with start("status", "--gallery", "g", "--watch", "--json") as process:
        seen = [json.loads(process.stdout.readline()) for _ in range(2)]
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
    assert process.returncode == 130
    assert [one["ingest"] for one in seen] == ["running", "running"]
    assert seen[1]["seconds"] > seen[0]["seconds"]


def test_nothing_there_is_5_and_two_places_are_2(inside: Run, tmp_path: Path) -> None:
    outcome = inside("status", "--gallery", "nowhere")
    assert (outcome.code, outcome.out) == (5, "")
    assert "no ingest has run there" in outcome.err
    (tmp_path / "g").mkdir()
    outcome = inside("status", "--gallery", "g", "--json")
    assert (outcome.code, outcome.document["ingest"]) == (5, "none")
    assert inside("status", "--gallery", "g", "--spool", "g").code == 2


@pytest.mark.parametrize("given", ["nonsense", "127.0.0.1:", "1.2.3.4:99999", "::1:80", "h:-1"])
def test_an_address_that_is_none_is_2(inside: Run, bundle: Path, clip: Path, given: str) -> None:
    outcome = inside("ingest", "--camera", f"door={clip}", "--engine", bundle, "--http", given)
    assert (outcome.code, outcome.out) == (2, "")
    assert f"--http: want HOST:PORT, as 127.0.0.1:9100 (got '{given}')" in outcome.err


def test_a_port_in_use_is_2_and_nothing_is_made(
    inside: Run, bundle: Path, clip: Path, live_camera: Any, tmp_path: Path
) -> None:
    outcome = inside(
        "ingest", "--camera", f"door={clip}", "--engine", bundle, "--gallery", "g",
        "--http", str(live_camera.port),
    )  # fmt: skip
    assert outcome.code == 2
    assert f"cannot listen on 127.0.0.1:{live_camera.port}" in outcome.err
    assert not (tmp_path / "g").exists()


def test_an_ingest_that_sends_to_redis_has_its_status_beside_the_spool(
    sightline: Run, inside: Run, bundle: Path, clip: Path, tmp_path: Path
) -> None:
    outcome = sightline(
        "ingest", "--camera", f"door={clip}", "--engine", bundle,
        "--redis", "redis://:s3cret-w0rd@127.0.0.1:1", "--spool", "sp",
    )  # fmt: skip
    assert outcome.code == 5
    outcome = inside("status", "--spool", "sp", "--json")
    assert (outcome.code, outcome.document["ingest"]) == (5, "ended")
    assert outcome.document["delivery"]["waiting"] > 0
    assert "refused" in outcome.document["delivery"]["away"]
    assert "s3cret-w0rd" not in outcome.out
