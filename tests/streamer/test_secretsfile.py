"""Secrets from a file that nobody else may read; no message shows a value."""

from pathlib import Path

import pytest

from streamer.errors import SiteError
from streamer.secretsfile import SecretsError, read_secrets
from streamer.site import load_site

SITE = "secrets: keys.env\ncameras:\n  a: {url: 'rtsp://bob:${PW}@h/s'}\n"


@pytest.fixture
def keys(tmp_path: Path):
    """Give a way to write keys.env beside a site.yaml."""

    def write(text: str, mode: int = 0o600) -> Path:
        (tmp_path / "site.yaml").write_text(SITE)
        path = tmp_path / "keys.env"
        path.write_text(text)
        path.chmod(mode)
        return path

    return write


def test_values_and_comments(keys) -> None:
    path = keys("# cameras\nPW=hunter2 = x\nexport USER='bob '\n\nEMPTY=\nQ=\"a#b\"\n")
    assert read_secrets(path) == {"PW": "hunter2 = x", "USER": "bob ", "EMPTY": "", "Q": "a#b"}


def test_a_site_takes_them_and_the_environment_goes_first(keys, tmp_path: Path) -> None:
    path = keys("PW=from-file")
    site = load_site(tmp_path / "site.yaml", {})
    assert site.cameras["a"].url == "rtsp://bob:from-file@h/s"
    assert site.read_from == (path,)
    assert "from-file" not in repr(site)
    site = load_site(tmp_path / "site.yaml", {"PW": "from-env"})
    assert site.cameras["a"].url == "rtsp://bob:from-env@h/s"


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o601, 0o660])
def test_a_file_that_others_may_read_is_refused(keys, tmp_path: Path, mode: int) -> None:
    path = keys("PW=hunter2", mode)
    with pytest.raises(SecretsError, match=f"others may read it: mode {mode:04o}, want 0600"):
        read_secrets(path)
    with pytest.raises(SiteError, match=r"site.yaml:1: secrets: others may read it") as caught:
        load_site(tmp_path / "site.yaml", {})
    assert len(caught.value.faults) == 2, "and the variable is not set"
    assert "hunter2" not in str(caught.value)


def test_a_line_that_is_none_is_told_by_its_number_alone(keys) -> None:
    with pytest.raises(SecretsError, match=r"^line 2 is not NAME=value$"):
        read_secrets(keys("PW=x\nhunter2\n"))


def test_missing_folder_and_binary(keys, tmp_path: Path) -> None:
    with pytest.raises(SecretsError, match="cannot be read: no such file"):
        read_secrets(tmp_path / "none")
    with pytest.raises(SecretsError, match=r"not a file|cannot be read: is a directory"):
        read_secrets(tmp_path)
    path = keys("")
    path.write_bytes(b"PW=\xff\xfe")
    with pytest.raises(SecretsError, match="not UTF-8"):
        read_secrets(path)


def test_a_site_that_is_no_mapping_names_no_file(tmp_path: Path) -> None:
    for text in ("- a", "secrets: [x]\ncameras: {a: {url: 'rtsp://h/s'}}", "a: ["):
        (tmp_path / "site.yaml").write_text(text)
        with pytest.raises(SiteError, match="fault"):
            load_site(tmp_path / "site.yaml", {})
