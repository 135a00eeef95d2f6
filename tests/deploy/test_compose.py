"""The compose file, as far as no container engine is needed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

SERVICE_KEYS = {
    "image", "build", "command", "env_file", "environment", "volumes", "restart",
    "stop_grace_period", "read_only", "tmpfs", "cap_drop", "security_opt", "pids_limit", "logging",
}  # fmt: skip


@pytest.fixture(scope="module")
def compose(root: Path) -> dict[str, Any]:
    """The compose file as data."""
    loaded: dict[str, Any] = yaml.safe_load((root / "deploy" / "compose.yaml").read_text("utf-8"))
    return loaded


@pytest.fixture(scope="module")
def ingest(compose: dict[str, Any]) -> dict[str, Any]:
    """The one service."""
    service: dict[str, Any] = compose["services"]["ingest"]
    return service


def test_keys_are_those_of_the_compose_specification(
    compose: dict[str, Any], ingest: dict[str, Any]
) -> None:
    assert set(compose) == {"name", "services", "volumes"}
    assert set(ingest) <= SERVICE_KEYS
    assert ingest["restart"] in {"no", "always", "on-failure", "unless-stopped"}


def test_build_paths_exist(root: Path, ingest: dict[str, Any]) -> None:
    context = (root / "deploy" / ingest["build"]["context"]).resolve()
    assert context == root.resolve()
    assert (context / ingest["build"]["dockerfile"]).is_file()


def test_mounted_files_and_volumes_exist(
    root: Path, compose: dict[str, Any], ingest: dict[str, Any]
) -> None:
    for mount in ingest["volumes"]:
        source = mount.split(":")[0]
        named = source in compose["volumes"]
        assert named or (root / "deploy" / source).is_file()


def test_the_command_is_one_that_the_program_takes(
    ingest: dict[str, Any], parse: Callable[..., dict[str, Any]]
) -> None:
    values = parse(ingest["command"])
    targets = [mount.split(":")[1] for mount in ingest["volumes"]]
    assert str(values["site"]) in targets


def test_the_gallery_lies_in_the_one_place_that_can_be_written(ingest: dict[str, Any]) -> None:
    assert ingest["read_only"] is True
    writable = [mount.split(":")[1] for mount in ingest["volumes"] if not mount.endswith(":ro")]
    for name in ("SIGHTLINE_GALLERY", "SIGHTLINE_CACHE"):
        kept = Path(ingest["environment"][name])
        assert any(kept.is_relative_to(place) for place in writable)


def test_it_is_started_again_after_a_lost_gpu(ingest: dict[str, Any]) -> None:
    assert ingest["restart"] in {"always", "unless-stopped"}


def test_variables_are_ones_that_the_program_reads(
    ingest: dict[str, Any], known_variables: frozenset[str]
) -> None:
    ours = {name for name in ingest["environment"] if name.startswith("SIGHTLINE_")}
    assert ours <= known_variables


def test_the_commands_in_its_comments_are_taken(
    root: Path, parse: Callable[..., dict[str, Any]]
) -> None:
    text = (root / "deploy" / "compose.yaml").read_text("utf-8")
    shown = [line.split("--rm ingest ")[1] for line in text.splitlines() if "--rm ingest" in line]
    asked = [words.split() for words in shown if "…" not in words]
    assert asked
    for words in asked:
        parse(words)
