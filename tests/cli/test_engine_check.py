"""``sightline engine verify`` and ``lint`` from outside."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from cli.candidates import parse_candidates
from cli.engineexam import exam_data, part_of
from cli.errors import CliError
from cli.footage import read_frames, spread
from engines.backends import BACKENDS, Opening
from engines.bundle import open_bundle
from engines.choice import choose
from engines.errors import BackendUnavailableError
from engines.pictures import read_picture, write_picture
from engines.plans.build import plan_key
from engines.plans.cache import PlanCache
from engines.verdicts import find
from train.evaluation.engine import load_test
from train.evaluation.protocol import GALLERIES

Run = Callable[..., Any]

VERDICT = {
    "backend", "precision", "verified", "refused", "map_loss", "ap_loss", "in_noise", "runtime",
    "machine", "plan_sha256", "frames", "persons", "matched", "box_px_p99", "cosine_p01",
    "cosine_median", "query_cosine_p01", "queries", "map_reference", "map_here", "map_low",
    "map_high", "ap_reference", "ap_here", "data", "reference", "frames_per_s", "ratio",
    "verified_at",
}  # fmt: skip


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a cache of plans that is this test's alone."""
    monkeypatch.setenv("SIGHTLINE_CACHE", str(tmp_path / "sightline"))
    return tmp_path / "sightline"


@pytest.fixture
def verify(inside: Run, cache: Path, bundle: Path) -> Run:
    """Verify the tiny engine, timed for a moment only."""

    def run(*options: str | Path) -> Any:
        return inside("engine", "verify", bundle, "--seconds", "0.2", "--threads", "1", *options)

    return run


def test_a_labelled_world_gives_a_verdict_that_auto_reads(
    verify: Run, inside: Run, world: Path, bundle: Path, cache: Path
) -> None:
    outcome = verify("--data", world, "--backends", "onnxruntime:fp32", "--json")
    assert outcome.code == 0, outcome.err
    found = outcome.document
    assert set(found) == {"bundle", "model", "data", "labelled", "results", "not_built", "auto"}
    (verdict,) = found["results"]
    assert set(verdict) == VERDICT
    assert verdict["refused"] is None
    assert verdict["map_loss"] == verdict["ap_loss"] == 0
    assert verdict["queries"] > 0
    assert verdict["matched"] == verdict["ratio"] == 1
    assert found["auto"]["backend"] == "onnxruntime"
    assert "the fastest that was verified here" in found["auto"]["reason"]
    (kept,) = find(PlanCache(cache), open_bundle(bundle))
    assert kept.map_here == pytest.approx(verdict["map_here"], abs=1e-6)


def with_layers(tiny: ModuleType) -> Callable[[Any], str]:
    """Return what makes the colours of cells by way of two layers that change nothing."""
    plain, weights = tiny._colours, np.eye(3, dtype=np.float32)[:, :, None, None]

    def colours(g: Any) -> str:
        op = g.op

        def watched(kind: str, *inputs: str, **more: Any) -> str:
            out: str = op(kind, *inputs, **more)
            if kind != "Cast":
                return out
            return str(op("Conv", op("Conv", out, g.const(weights)), g.const(weights)))

        g.op = watched
        try:
            return str(plain(g))
        finally:
            g.op = op

    return colours


@pytest.fixture
def layered(tiny: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a tiny bundle whose graphs have layers that can be lowered."""
    monkeypatch.setattr(tiny, "_colours", with_layers(tiny))
    path: Path = tiny.write_tiny(tmp_path / "layered")
    return path


def test_plans_that_are_missing_are_named_or_built(
    inside: Run, cache: Path, layered: Path, world: Path
) -> None:
    command = ("engine", "verify", layered, "--data", world, "--seconds", "0.2", "--threads", "1",
               "--backends", "onnxruntime", "--precisions", "fp16,int8")  # fmt: skip
    missing = inside(*command)
    assert missing.code == 4, "they were asked for by name"
    assert inside(*command[:-2]).code == 0, "fp32 runs, the others are only told"
    assert "onnxruntime int8: not verified: no plan was made yet" in missing.out
    assert f"sightline engine build {layered} --backend onnxruntime --precision int8" in missing.out
    scored = inside(*command, "--build")
    assert scored.code == 2
    assert "every frame of the data is scored: name others to --calibrate on" in scored.err
    built = inside(*command, "--build", "--frames", "6", "--json")
    assert built.code == 0, built.err
    half, quarter = built.document["results"]
    assert (half["precision"], quarter["precision"]) == ("fp16", "int8")
    assert half["matched"] == 1
    for one in (half, quarter):
        assert set(one["plan_sha256"]) == {"search.onnx", "query.onnx"}
        assert one["queries"] > 0
    assert built.document["not_built"] == []
    assert inside("engine", "lint", layered, "--precision", "fp16").code == 0
    document = inside("engine", "lint", layered, "--precision", "int8", "--json").document
    assert [graph["graph"] for graph in document["graphs"]] == [
        "onnxruntime query.onnx", "onnxruntime search.onnx"
    ]  # fmt: skip


def test_frames_without_labels_allow_no_reduced_precision(
    verify: Run, clip: Path, bundle: Path, cache: Path
) -> None:
    opened, plans = open_bundle(bundle), PlanCache(cache)
    graphs = {"search.onnx": opened.search_graph(), "query.onnx": opened.query_graph()}
    plans.store(plan_key(opened, "onnxruntime", "fp16"), graphs, {})
    options = ("--data", clip, "--backends", "onnxruntime", "--precisions", "fp32,fp16",
               "--frames", "12")  # fmt: skip
    outcome = verify(*options)
    assert outcome.code == 0, "a refusal is no error"
    assert "refused as a default: not scored" in outcome.out
    assert "needs data with identities" in outcome.out
    exact, half = find(plans, opened)
    assert {exact.key.precision, half.key.precision} == {"fp32", "fp16"}
    assert (exact.frames, exact.map_here) == (12, None)
    assert choose(opened, plans).precision == "fp32"


def test_a_backend_that_cannot_run_is_told_and_4(
    verify: Run, world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(_: Opening) -> Any:
        raise BackendUnavailableError("openvino is not installed; run: pip install x")

    monkeypatch.setitem(BACKENDS, "openvino", replace(BACKENDS["openvino"], open=gone))
    options = ("--backends", "openvino:fp32,onnxruntime:fp32", "--frames", "12")
    outcome = verify("--data", world, *options, "--json")
    assert outcome.code == 4
    openvino, onnxruntime = outcome.document["results"]
    assert onnxruntime["verified"] is True
    assert openvino["verified"] is False
    assert openvino["problem"] == "openvino is not installed; run: pip install x"


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--backends", "caffe"], 4, "no engine backend 'caffe'"),
        (["--backends", "onnxruntime:bf16"], 4, "onnxruntime does not run bf16"),
        (["--backends", "openvino", "--precisions", "fp16"], 2, "leave nothing to verify"),
        (["--reference", "tensorrt"], 2, "--reference: choose onnxruntime or reference"),
        (["--data", "nowhere.mp4"], 2, "cannot read frames of nowhere.mp4: no such file"),
        (["--frames", "0"], 2, "Invalid value for '--frames'"),
    ],
)
def test_what_cannot_be_verified_is_told(
    verify: Run, options: list[str], code: int, said: str
) -> None:
    outcome = verify(*options)
    assert (outcome.code, outcome.out) == (code, "")
    assert said in outcome.err


def test_backends_are_read() -> None:
    read = parse_candidates("onnxruntime, openvino:bf16,onnxruntime:fp32", None)
    assert [str(one) for one in read] == [
        "onnxruntime fp32", "onnxruntime fp16", "onnxruntime int8", "openvino bf16",
    ]  # fmt: skip
    assert [str(one) for one in parse_candidates("onnxruntime", "fp32,bf16")] == [
        "onnxruntime fp32"
    ]
    assert "reference" not in {one.backend for one in parse_candidates(None, None)}
    with pytest.raises(BackendUnavailableError, match="no precision 'fp8'"):
        parse_candidates("onnxruntime", "fp8")


def test_a_part_of_a_split_holds_only_queries_that_have_an_answer(world: Path) -> None:
    test, rule = load_test(world)
    whole = part_of(test, rule, 1000)
    assert len(whole.images) == len(test.images)
    part = part_of(test, rule, 6)
    assert len(part.images) == 6
    assert 0 < len(part.queries) <= 6
    for query in part.queries:
        others = [image for image in part.images if image.camera != query.camera]
        assert any(query.pid in image.ids for image in others)
    one = test.images[0]
    alone = [query for query in test.queries if query.camera == one.camera]
    nobody = replace(test, images=(one,), queries=tuple(alone))
    with pytest.raises(CliError, match="--frames 9: nobody who is searched for in"):
        part_of(nobody, GALLERIES["cross-camera"], 9)


def test_galleries_of_its_own_name_the_frames_that_are_left(world: Path) -> None:
    test, _ = load_test(world)
    every = np.arange(len(test.images), dtype=np.int32)
    own = replace(test, queries=tuple(replace(q, gallery=every) for q in test.queries))
    part = part_of(own, GALLERIES["own"], 5)
    for query in part.queries:
        assert query.gallery is not None
        np.testing.assert_array_equal(query.gallery, np.arange(5))
        assert any(query.pid in part.images[place].ids for place in query.gallery)


def test_frames_to_calibrate_on_are_not_scored(world: Path, clip: Path) -> None:
    with exam_data(world, None, frames=6, threshold=0.5) as data:
        assert data.labelled
        scored = {image.path for image in data.exam.test.images}  # type: ignore[attr-defined]
        scored |= {query.path for query in data.exam.test.queries}  # type: ignore[attr-defined]
        pixels = {read_picture(path).tobytes() for path in scored}
        assert data.calibration()
        assert pixels.isdisjoint(frame.tobytes() for frame in data.calibration())
    with exam_data(clip, None, frames=5, threshold=0.5) as data:
        assert not data.labelled
        assert len(data.calibration()) == 5


def test_frames_of_a_video_and_of_a_folder_are_spread(clip: Path, tmp_path: Path) -> None:
    assert len(read_frames(clip, 1000)) == 40
    every, few = read_frames(clip, 40), read_frames(clip, 8)
    assert len(few) == 8
    # The persons walk to the right: the columns where it is brightest grow, by leaps.
    columns = [int(one[8:16].sum(axis=(0, 2)).argmax()) for one in few]
    assert columns == sorted(columns)
    assert columns[-1] - columns[0] >= 32
    for number in range(5):
        write_picture(tmp_path / f"{number}.jpg", every[number])
    (tmp_path / "notes.txt").write_text("no picture")
    assert len(read_frames(tmp_path, 3)) == 3
    with pytest.raises(CliError, match="cannot decode"):
        read_frames(tmp_path / "notes.txt", 3)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(CliError, match="there is no picture and no video in it"):
        read_frames(empty, 3)


def test_items_are_spread_evenly() -> None:
    assert spread(list(range(10)), 4) == [0, 2, 5, 7]
    assert spread([1, 2], 5) == [1, 2]


def test_the_shipped_rules_are_kept(inside: Run, bundle: Path) -> None:
    outcome = inside("engine", "lint", bundle, "--json")
    assert outcome.code == 0
    document = outcome.document
    assert document["clean"] is True
    assert [graph["graph"] for graph in document["graphs"]] == ["search.onnx", "query.onnx"]
    assert inside("engine", "lint", bundle).out.splitlines() == [
        "search.onnx: keeps every rule (fp32)", "query.onnx: keeps every rule (fp32)",
    ]  # fmt: skip


def test_a_broken_rule_is_printed_and_4(inside: Run, tiny: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "search.onnx"
    path.write_bytes(tiny.search_graph(batch=2))
    outcome = inside("engine", "lint", path)
    assert (outcome.code, outcome.err) == (4, "")
    assert outcome.out.startswith("search.onnx: ")
    assert "rules broken" in outcome.out
    assert "fixed batch of 2" in outcome.out
    document = inside("engine", "lint", path, "--json").document
    assert document["clean"] is False
    assert any("fixed batch of 2" in rule for rule in document["graphs"][0]["broken"])


@pytest.mark.parametrize(
    ("path", "options", "code", "said"),
    [
        ("nowhere", [], 4, "no such folder"),
        ("bundle", ["--precision", "int8"], 2, "no int8 graph of"),
        ("bundle", ["--precision", "fp8"], 2, "Invalid value for '--precision'"),
        ("junk.onnx", [], 4, ""),
    ],
)
def test_what_cannot_be_linted_is_told(
    inside: Run, cache: Path, bundle: Path, tmp_path: Path, path: str, options: list[str],
    code: int, said: str,
) -> None:  # fmt: skip
    (tmp_path / "junk.onnx").write_bytes(b"no graph at all")
    outcome = inside("engine", "lint", bundle if path == "bundle" else tmp_path / path, *options)
    assert outcome.code == code
    assert said in outcome.err
    if path == "junk.onnx":
        assert "junk.onnx: 1 rules broken" in outcome.out


@pytest.mark.parametrize("command", ["verify", "bench", "lint"])
def test_help_fits_eighty_columns(sightline: Run, command: str) -> None:
    outcome = sightline("engine", command, "--help", env={"COLUMNS": "80"})
    assert (outcome.code, outcome.err) == (0, "")
    assert max(len(line) for line in outcome.out.splitlines()) <= 80
