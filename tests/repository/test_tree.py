"""What may stand in the repository: no registry hosts, no huge files, no leftovers."""

import re
from pathlib import Path

import pytest

# The names are built from pieces, so that this file holds none of them.
REGISTRY_HOSTS = (
    "py" + "pi.org",
    "python" + "hosted.org",
    "npm" + "js.org",
    "deb." + "debian.org",
    "py" + "pi.nvidia.com",
    "download." + "pytorch.org",
    "registry-1." + "docker.io",
    "crates" + ".io",
)
LARGEST_BYTES = 30 * 2**20
LONGEST_LINES = 400


@pytest.fixture(scope="module")
def texts(tracked: tuple[Path, ...]) -> dict[Path, str]:
    """Every text file with its content."""
    found: dict[Path, str] = {}
    for path in tracked:
        content = path.read_bytes()
        if b"\0" not in content[:8192]:
            found[path] = content.decode("utf-8")
    return found


def test_no_file_names_the_host_of_a_registry(texts: dict[Path, str]) -> None:
    pattern = re.compile("|".join(map(re.escape, REGISTRY_HOSTS)))
    assert [str(path) for path, text in texts.items() if pattern.search(text)] == []


def test_no_lock_file_names_where_packages_come_from(tracked: tuple[Path, ...]) -> None:
    locks = {"uv.lock", "poetry.lock", "pdm.lock", "Pipfile.lock", "pylock.toml"}
    assert [path.name for path in tracked if path.name in locks] == []


def test_no_file_is_huge(tracked: tuple[Path, ...]) -> None:
    assert [str(p) for p in tracked if p.stat().st_size > LARGEST_BYTES] == []


def test_no_module_is_too_long_to_read(texts: dict[Path, str], root: Path) -> None:
    lengths = {path: text.count("\n") for path, text in texts.items() if path.suffix == ".py"}
    assert [str(p.relative_to(root)) for p, n in lengths.items() if n > LONGEST_LINES] == []


def test_tests_are_not_packages(tracked: tuple[Path, ...], root: Path) -> None:
    inside = [path for path in tracked if path.is_relative_to(root / "tests")]
    assert [str(path) for path in inside if path.name == "__init__.py"] == []


def test_licence_is_apache_2(root: Path) -> None:
    text = (root / "LICENSE").read_text("utf-8")
    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text


def test_ci_runs_the_checks_and_the_tests(root: Path) -> None:
    script = root / ".ci" / "run"
    assert script.stat().st_mode & 0o111 == 0o111
    assert "make --no-print-directory check test" in script.read_text("utf-8")


def test_ci_demands_the_services_that_tests_can_do_without(
    texts: dict[Path, str], root: Path
) -> None:
    demanded = set(re.findall(r"REQUIRE_[A-Z_]+", texts[root / ".ci" / "run"]))
    read = {
        name
        for path, text in texts.items()
        if path.suffix == ".py" and path.is_relative_to(root / "tests")
        for name in re.findall(r"\"(REQUIRE_[A-Z_]+)\"", text)
    }
    assert demanded == read - {"REQUIRE_GPU"}
