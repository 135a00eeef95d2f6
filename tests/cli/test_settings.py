"""Settings: who wins, and every fault told at once with its place."""

from pathlib import Path

import pytest

from cli.errors import SettingsError
from cli.settings import Settings, load_settings


def write(folder: Path, text: str, name: str = "sightline.toml") -> Path:
    path = folder / name
    path.write_text(text, "utf-8")
    return path


def test_without_settings_the_defaults_hold(tmp_path: Path) -> None:
    assert load_settings({}, tmp_path) == Settings(gallery=Path("sightline-gallery"), engine=None)


def test_paths_of_the_file_are_relative_to_the_file(tmp_path: Path) -> None:
    write(tmp_path, 'gallery = "week"\nengine = "/opt/bundle"\n')
    found = load_settings({}, tmp_path)
    assert found.gallery == tmp_path / "week"
    assert found.engine == Path("/opt/bundle")


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    write(tmp_path, 'gallery = "week"\n')
    found = load_settings({"SIGHTLINE_GALLERY": "other"}, tmp_path)
    assert found.gallery == Path("other")


def test_another_file_may_be_named(tmp_path: Path) -> None:
    write(tmp_path, 'gallery = "usual"\n')
    write(tmp_path, 'gallery = "named"\n', "night.toml")
    found = load_settings({"SIGHTLINE_SETTINGS": "night.toml"}, tmp_path)
    assert found.gallery == tmp_path / "named"


def test_a_named_file_that_is_missing_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"night\.toml: cannot read the settings: No such"):
        load_settings({"SIGHTLINE_SETTINGS": "night.toml"}, tmp_path)


def test_all_faults_are_told_at_once_with_their_place(tmp_path: Path) -> None:
    path = write(tmp_path, '# where things lie\ngalery = "x"\nengine = 5\n\n[deep]\na = 1\n')
    with pytest.raises(SettingsError, match="did you mean") as caught:
        load_settings({"SIGHTLINE_GALERY": "y", "SIGHTLINE_ENGINE": " "}, tmp_path)
    assert set(caught.value.faults) == {
        "SIGHTLINE_GALERY: unknown environment variable, did you mean SIGHTLINE_GALLERY?",
        "SIGHTLINE_ENGINE: is empty",
        f"{path}:2: galery: unknown key, did you mean gallery?",
        f"{path}:3: engine: want a path in quotes (got 5)",
        f"{path}:5: deep: unknown key (known: backend, cache, engine, gallery, precision)",
    }


def test_a_file_that_is_not_toml_says_where(tmp_path: Path) -> None:
    write(tmp_path, "gallery week\n")
    with pytest.raises(SettingsError, match=r"sightline\.toml: not TOML: .*line 1"):
        load_settings({}, tmp_path)


def test_other_variables_are_nobodys_business(tmp_path: Path) -> None:
    assert load_settings({"SIGHT": "1", "PATH": "/bin"}, tmp_path) == Settings()


def test_words_are_words_and_paths_are_paths(tmp_path: Path) -> None:
    write(tmp_path, 'backend = "openvino"\nprecision = "bf16"\ncache = "plans"\n')
    found = load_settings({"SIGHTLINE_PRECISION": "fp32"}, tmp_path)
    assert (found.backend, found.precision) == ("openvino", "fp32")
    assert found.cache == tmp_path / "plans"


def test_a_word_that_is_not_known_is_a_fault_with_the_words_that_are(tmp_path: Path) -> None:
    path = write(tmp_path, 'backend = "abacus"\nprecision = 8\n')
    with pytest.raises(SettingsError, match="want one of") as caught:
        load_settings({"SIGHTLINE_PRECISION": "fp8"}, tmp_path)
    backends = "auto, onnxruntime, openvino, tensorrt, reference"
    assert set(caught.value.faults) == {
        f"{path}:1: backend: want one of {backends} (got 'abacus')",
        f"{path}:2: precision: want one of fp32, bf16, fp16, int8 (got 8)",
        "SIGHTLINE_PRECISION: want one of fp32, bf16, fp16, int8 (got 'fp8')",
    }
