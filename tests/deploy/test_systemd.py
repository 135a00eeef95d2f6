"""The systemd unit: systemd's own check where it is installed, and our own reading of it."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

UNIT = "sightline.service"


@pytest.fixture(scope="module")
def unit(root: Path) -> dict[str, list[tuple[str, str]]]:
    """Every section with its settings in order; a name may come twice."""
    sections: dict[str, list[tuple[str, str]]] = {}
    for line in (root / "deploy" / UNIT).read_text("utf-8").splitlines():
        if line.startswith("["):
            rows = sections.setdefault(line.strip("[]"), [])
        elif line and not line.startswith("#"):
            name, _, value = line.partition("=")
            rows.append((name, value))
    return sections


@pytest.fixture(scope="module")
def service(unit: dict[str, list[tuple[str, str]]]) -> dict[str, str]:
    """The [Service] section; of a name that comes twice, the last."""
    return dict(unit["Service"])


@pytest.fixture(scope="module")
def variables(unit: dict[str, list[tuple[str, str]]]) -> dict[str, str]:
    """What the unit puts into the environment."""
    rows = [value.split("=", 1) for name, value in unit["Service"] if name == "Environment"]
    return {row[0]: row[1] for row in rows}


def test_systemd_finds_no_fault(root: Path, tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed")
    text = (root / "deploy" / UNIT).read_text("utf-8")
    # It asks that the program exists on this machine.
    (tmp_path / UNIT).write_text(text.replace("/opt/sightline/bin/sightline", "/bin/true"))
    checked = subprocess.run(
        [analyze, "verify", str(tmp_path / UNIT)], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr
    assert UNIT not in checked.stderr


def test_it_starts_a_command_that_the_program_takes(
    service: dict[str, str], parse: Callable[..., dict[str, Any]]
) -> None:
    program, *words = service["ExecStart"].split()
    assert Path(program).name == "sightline"
    values = parse(words)
    assert Path(values["site"]).is_absolute()


def test_the_gallery_lies_in_its_state_directory(
    service: dict[str, str], variables: dict[str, str], known_variables: frozenset[str]
) -> None:
    ours = {name for name in variables if name.startswith("SIGHTLINE_")}
    assert ours <= known_variables
    state = Path("/var/lib") / service["StateDirectory"]
    assert Path(variables["SIGHTLINE_GALLERY"]).is_relative_to(state)
    assert Path(variables["SIGHTLINE_CACHE"]).is_relative_to(state)
    assert service["StateDirectoryMode"] == "0700"


def test_it_stops_and_restarts_by_the_exit_codes_of_the_program(service: dict[str, str]) -> None:
    from cli import errors

    assert service["SuccessExitStatus"] == str(errors.TERMINATED)
    assert service["RestartPreventExitStatus"] == str(errors.USAGE)
    assert service["Restart"] == "on-failure"
    never = {*service["RestartPreventExitStatus"].split(), *service["SuccessExitStatus"].split()}
    assert str(errors.DEVICE_LOST) not in never, "a lost GPU comes back in a new process alone"
    assert int(service["TimeoutStopSec"]) >= 30


def test_it_runs_without_privileges(service: dict[str, str]) -> None:
    assert service["DynamicUser"] == "yes"
    assert service["ProtectSystem"] == "strict"
    assert service["NoNewPrivileges"] == "yes"
    assert service["CapabilityBoundingSet"] == ""
