"""Bundles: written whole, refused when anything about them changed."""

import json
import os
import stat
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from engines import bundle as bundle_module
from engines.bundle import open_bundle, shipped_bundle, write_bundle
from engines.errors import BundleError
from engines.manifest import MANIFEST_FILE, QUERY_GRAPH, SEARCH_GRAPH, model_id, seal_manifest

FILES = [MANIFEST_FILE, QUERY_GRAPH, SEARCH_GRAPH]
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Give a function that writes a bundle of small made-up graphs to ``tmp_path / "b"``."""

    def write(**changes: Any) -> Path:
        fields: dict[str, Any] = {
            "search": b"search graph",
            "query": b"query graph!",
            "name": "tiny",
            "input_hw": (512, 896),
            "max_persons": 32,
            "query_boxes": 8,
            "dim": 256,
            "score_threshold": 0.5,
            "nms_threshold": 0.4,
            "preset": "small",
            "dataset": "worlds 1-3",
            "metrics": {"search": {"map": 0.7123456789}, "worlds": [1, 2, 3]},
            "training": {"command": "sightline train fit", "seed": 7, "duration_s": 1e-05},
            "attributions": ["photograph by Zoë, CC BY 2.0"],
            "versions": {"torch": "2.15.0"},
        }
        return write_bundle(tmp_path / "b", **{**fields, **changes})

    return write


@pytest.fixture
def bundle(write: Write) -> Path:
    return write()


def edit(bundle: Path, change: Callable[[dict[str, Any]], None], *, sealed: bool = True) -> None:
    """Change the manifest; ``sealed`` also gives it the seal that fits the change."""
    path = bundle / MANIFEST_FILE
    fields = json.loads(path.read_text())
    change(fields)
    if sealed:
        del fields["seal"]
        path.write_bytes(seal_manifest(fields))
    else:
        path.write_text(json.dumps(fields, indent=2, sort_keys=True))


def test_what_was_written_is_read_again(write: Write) -> None:
    created = datetime(2026, 3, 2, 14, 0, tzinfo=UTC)
    opened = open_bundle(write(created=created))
    assert opened.search_graph() == b"search graph"
    assert opened.query_graph() == b"query graph!"
    manifest = opened.manifest
    assert manifest.created == created
    assert manifest.input_hw == (512, 896)
    assert manifest.metrics == {"search": {"map": 0.7123456789}, "worlds": [1, 2, 3]}
    assert manifest.attributions == ("photograph by Zoë, CC BY 2.0",)
    assert manifest.files.search.bytes == 12
    assert manifest.model == model_id(manifest.files.search.sha256, manifest.files.query.sha256)


def test_nothing_but_the_bundle_is_left(bundle: Path, tmp_path: Path) -> None:
    assert [path.name for path in tmp_path.iterdir()] == ["b"]
    assert sorted(path.name for path in bundle.iterdir()) == FILES
    assert stat.S_IMODE(bundle.stat().st_mode) == 0o777 & ~current_umask()


def current_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_the_model_id_follows_graphs_and_preprocessing_alone(write: Write) -> None:
    def model(**changes: Any) -> str:
        return open_bundle(write(overwrite=True, **changes)).manifest.model

    first = model()
    assert model(name="other", score_threshold=0.1) == first
    assert len({first, model(search=b"x"), model(query=b"x")}) == 3
    assert model_id("a", "b") != model_id("a", "b", "another preprocessing")
    assert model(search=b"1", query=b"2") != model(search=b"2", query=b"1")


@pytest.mark.parametrize("name", FILES)
def test_any_changed_byte_is_found_and_its_file_named(bundle: Path, name: str) -> None:
    path = bundle / name
    good = path.read_bytes()
    for position in range(len(good)):
        path.write_bytes(good[:position] + bytes([good[position] ^ 1]) + good[position + 1 :])
        # A byte of a graph's hash in the manifest accuses the graph: either may be the wrong one.
        with pytest.raises(BundleError, match=r"manifest\.json|model id|format" if name ==
                           MANIFEST_FILE else name):  # fmt: skip
            open_bundle(bundle)
    path.write_bytes(good)
    open_bundle(bundle)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("extra", [b"\n", b"", None], ids=["longer", "empty", "shorter"])
def test_another_length_is_found(bundle: Path, name: str, extra: bytes | None) -> None:
    path = bundle / name
    good = path.read_bytes()
    path.write_bytes(good[:-1] if extra is None else good + extra if extra else b"")
    with pytest.raises(BundleError, match=name):
        open_bundle(bundle)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(bundle: Path, name: str) -> None:
    (bundle / name).unlink()
    with pytest.raises(BundleError, match=f"{name} missing"):
        open_bundle(bundle)


def test_files_and_folders_that_do_not_belong_are_refused(bundle: Path) -> None:
    (bundle / "weights.pkl").write_bytes(b"x")
    with pytest.raises(BundleError, match=r"weights\.pkl does not belong there"):
        open_bundle(bundle)
    (bundle / "weights.pkl").unlink()
    (bundle / SEARCH_GRAPH).unlink()
    (bundle / SEARCH_GRAPH).mkdir()
    with pytest.raises(BundleError, match=r"search\.onnx is not a file"):
        open_bundle(bundle)


def test_swapped_graphs_are_refused(bundle: Path) -> None:
    search, query = bundle / SEARCH_GRAPH, bundle / QUERY_GRAPH
    search.rename(bundle / "x")
    query.rename(search)
    (bundle / "x").rename(query)
    with pytest.raises(BundleError, match=r"search\.onnx was changed"):
        open_bundle(bundle)


def test_graphs_swapped_with_their_entries_do_not_fit_the_model_id(bundle: Path) -> None:
    def swap(fields: dict[str, Any]) -> None:
        files = fields["files"]
        files[SEARCH_GRAPH], files[QUERY_GRAPH] = files[QUERY_GRAPH], files[SEARCH_GRAPH]

    edit(bundle, swap)
    with pytest.raises(BundleError, match=r"model id [0-9a-f]{64} does not fit its files"):
        open_bundle(bundle)


def test_an_edit_without_a_new_seal_is_refused(bundle: Path) -> None:
    edit(bundle, lambda fields: fields.update(score_threshold=0.9), sealed=False)
    with pytest.raises(BundleError, match=r"manifest\.json was changed after it was written"):
        open_bundle(bundle)


def test_a_careful_edit_is_accepted(bundle: Path) -> None:
    edit(bundle, lambda fields: fields.update(score_threshold=0.9))
    assert open_bundle(bundle).manifest.score_threshold == 0.9


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("extra", 1, r"extra: extra inputs are not permitted \(got 1\)"),
        ("input_hw", [512], "input_hw.1: field required"),
        ("input_hw", ["512", "896"], r"input_hw.0: .*integer \(got '512'\)"),
        ("input_hw", [0, 896], "input_hw.0: .*greater than or equal to 1"),
        ("max_persons", 32.5, "max_persons: .*integer"),
        ("max_persons", True, r"max_persons: .*integer \(got True\)"),
        ("query_boxes", None, r"query_boxes: .*integer \(got None\)"),
        ("dim", 128, "dim: .*equal to 256"),
        ("score_threshold", 1.5, "score_threshold: .*less than or equal to 1"),
        ("created", "2026-03-02T14:00:00", "created: .*timezone"),
        ("model", "A" * 64, "model: .*match pattern"),
        ("versions", {"torch": 2}, r"versions.torch: .*string \(got 2\)"),
        ("files", {}, r"files.search.onnx: .*required.*; files.query.onnx"),
        ("format", 2, "format 2 is not known; this version reads format 1"),
        ("preprocessing", "bgr", "another preprocessing"),
    ],
)
def test_a_wrong_field_is_named_with_its_value(
    bundle: Path, field: str, value: Any, reason: str
) -> None:
    edit(bundle, lambda fields: fields.update({field: value}))
    with pytest.raises(BundleError, match=reason):
        open_bundle(bundle)


def test_an_unknown_field_deep_inside_is_named(bundle: Path) -> None:
    edit(bundle, lambda fields: fields["files"][SEARCH_GRAPH].update(url="http://x"))
    with pytest.raises(BundleError, match=r"files\.search\.onnx\.url: extra inputs"):
        open_bundle(bundle)


def test_all_faults_are_told_at_once(bundle: Path) -> None:
    def spoil(fields: dict[str, Any]) -> None:
        del fields["name"]
        fields.update(dim="256", colour=1)

    edit(bundle, spoil)
    with pytest.raises(BundleError, match=r"name: field required.*dim: .*colour: extra inputs"):
        open_bundle(bundle)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"\xff\xfe{}", b"[" * 100_000, b"null"])
def test_a_manifest_that_is_no_json_object_is_refused(bundle: Path, text: bytes) -> None:
    (bundle / MANIFEST_FILE).write_bytes(text)
    with pytest.raises(BundleError, match=r"manifest\.json is not"):
        open_bundle(bundle)


def test_sizes_are_capped_before_reading(bundle: Path) -> None:
    for name in (MANIFEST_FILE, SEARCH_GRAPH):
        good = (bundle / name).read_bytes()
        os.truncate(bundle / name, 600 * 2**20)  # sparse: takes no space
        with pytest.raises(BundleError, match=f"{name} is larger than"):
            open_bundle(bundle)
        (bundle / name).write_bytes(good)


def test_a_graph_changed_after_opening_is_found_when_it_is_read(bundle: Path) -> None:
    opened = open_bundle(bundle)
    (bundle / QUERY_GRAPH).write_bytes(b"query graph?")
    with pytest.raises(BundleError, match=r"query\.onnx was changed"):
        opened.query_graph()


def test_what_is_no_bundle_is_named(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"cannot use engine bundle .*gone: no such folder"):
        open_bundle(tmp_path / "gone")
    (tmp_path / "file").write_text("x")
    with pytest.raises(BundleError, match="file: not a folder"):
        open_bundle(tmp_path / "file")
    with pytest.raises(BundleError, match=r"manifest\.json, query\.onnx, search\.onnx missing"):
        open_bundle(tmp_path)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"dim": 128}, "dim"),
        ({"score_threshold": -0.1}, "score_threshold"),
        ({"metrics": {"map": float("nan")}}, "nan"),
        ({"metrics": {"map": object()}}, "not JSON serializable"),
        ({"search": b""}, r"files\.search\.onnx\.bytes"),
        ({"name": ""}, "name"),
        ({"created": datetime(2026, 3, 2)}, "created"),
    ],
)
def test_a_bundle_that_could_not_be_read_is_not_written(
    write: Write, tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(BundleError, match=reason):
        write(**changes)
    assert not list(tmp_path.iterdir())


def test_number_keys_of_metrics_become_text(write: Write) -> None:
    opened = open_bundle(write(metrics={9: 1, 10: (2, 3)}))
    assert opened.manifest.metrics == {"9": 1, "10": [2, 3]}


def test_an_existing_bundle_is_replaced_only_when_asked(write: Write, tmp_path: Path) -> None:
    write(name="old")
    with pytest.raises(BundleError, match="the folder is not empty"):
        write(name="new")
    assert open_bundle(tmp_path / "b").manifest.name == "old"
    assert open_bundle(write(name="new", overwrite=True)).manifest.name == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_a_folder_of_other_things_is_never_replaced(write: Write, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "thesis.txt").write_text("x")
    with pytest.raises(BundleError, match="holds other things than a bundle"):
        write(overwrite=True)
    assert (tmp_path / "b" / "thesis.txt").read_text() == "x"


def test_an_empty_folder_is_filled(write: Write, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    open_bundle(write())


def test_a_file_in_the_way_is_left_alone(write: Write, tmp_path: Path) -> None:
    (tmp_path / "b").write_text("x")
    with pytest.raises(BundleError, match="a file lies there"):
        write(overwrite=True)
    assert (tmp_path / "b").read_text() == "x"


def test_a_failed_write_leaves_the_old_bundle_and_nothing_else(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(name="old")
    written = bundle_module._write_durably

    def full_disk(path: Path, data: bytes) -> None:
        if path.name == QUERY_GRAPH:
            raise OSError(28, "No space left on device")
        written(path, data)

    monkeypatch.setattr(bundle_module, "_write_durably", full_disk)
    with pytest.raises(BundleError, match="cannot write it: No space left on device"):
        write(name="new", overwrite=True)
    assert open_bundle(tmp_path / "b").manifest.name == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_the_shipped_bundle_is_found_or_its_absence_told() -> None:
    expected = Path(bundle_module.__file__).parent / "bundles" / "sightline-small"
    if expected.is_dir():
        assert shipped_bundle() == expected
    else:
        with pytest.raises(BundleError, match="sightline-small: this installation has no engine"):
            shipped_bundle()
