"""``engine build``, ``engine plans``, ``engine forget``, and the options that use a plan."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from cli.enginebuild import frames_of, parse_batch
from cli.errors import CliError
from engines.bundle import shipped_bundle
from engines.plans.cache import PlanCache

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder of a cache that the tests of this module share."""
    return tmp_path_factory.mktemp("cache") / "plans"


@pytest.fixture
def run(inside: Run, monkeypatch: pytest.MonkeyPatch, folder: Path) -> Run:
    """Run ``sightline`` in this process with that cache."""
    monkeypatch.setenv("SIGHTLINE_CACHE", str(folder))
    return inside


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give two seconds of coloured blocks."""
    path = tmp_path_factory.mktemp("video") / "hall.mp4"
    rng = np.random.default_rng(5)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=5)
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        for _ in range(10):
            blocks = rng.integers(0, 256, (9, 16, 3), np.uint8).repeat(20, 0).repeat(20, 1)
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(blocks), format="rgb24")
            container.mux(stream.encode(frame.reformat(format="yuv420p")))
        container.mux(stream.encode(None))
    return path


def test_without_plans_there_is_nothing_to_list(
    inside: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SIGHTLINE_CACHE", str(tmp_path / "none"))
    outcome = inside("engine", "plans")
    assert (outcome.code, outcome.err) == (0, "")
    assert "no plans in" in outcome.out
    assert "sightline engine build makes one" in outcome.out
    assert inside("engine", "plans", "--json").document["plans"] == []
    assert not (tmp_path / "none").exists()


def test_a_plan_is_made_once_listed_used_and_forgotten(run: Run, folder: Path) -> None:
    words = ("engine", "build", "--backend", "onnxruntime", "--precision", "fp16", "--json")
    outcome = run(*words)
    assert (outcome.code, outcome.err) == (0, "")
    made = outcome.document
    assert made["built"] is True
    assert made["plan"].endswith(f"-onnxruntime-fp16-{made['plan'][-8:]}")
    assert set(made["files"]) == {"search.onnx", "query.onnx"}
    assert made["made"]["parity"]["query_cosine_min"] > 0.99
    assert run(*words).document["built"] is False
    listed = run("engine", "plans", "--json").document
    assert listed["folder"] == str(folder)
    (plan,) = listed["plans"]
    assert (plan["plan"], plan["verified"], plan["unfit"]) == (made["plan"], None, None)
    assert made["plan"] in run("engine", "plans").out
    outcome = run("engine", "forget", made["plan"])
    assert outcome.out.splitlines()[0] == f"deleted {made['plan']}"
    assert PlanCache(folder).plans() == []


def test_int8_is_calibrated_on_a_video(run: Run, folder: Path, video: Path) -> None:
    words = ("engine", "build", "--precision", "int8", "--data", video, "--frames", "2")
    outcome = run(*words)
    assert (outcome.code, outcome.err) == (0, "")
    assert f"2 frames of {video}" in outcome.out
    assert "next: sightline engine verify --backends onnxruntime:int8" in outcome.out
    (plan,) = PlanCache(folder).plans()
    assert plan.made["frames"] == 2
    assert "it was there already" in run(*words).out
    assert run("engine", "forget", "--all", "--json").document["deleted"] == [plan.key.name]


def test_a_bundle_without_layers_cannot_be_lowered(run: Run, video: Path, bundle: Path) -> None:
    outcome = run("engine", "build", bundle, "--precision", "int8", "--data", video)
    assert outcome.code == 4
    assert outcome.err.startswith("error: ")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--backend", "onnxruntime", "--precision", "bf16"), 4, "onnxruntime does not run bf16"),
        (("--precision", "fp32"), 4, "runs fp32 from the bundle itself: nothing to build"),
        (("--batch", "1,8,4"), 2, "--batch: want 1 <= MIN <= OPT <= MAX (got '1,8,4')"),
        (("--batch", "8"), 2, "--batch: want MIN,OPT,MAX, three whole numbers (got '8')"),
        (("--data", "nothing.mp4"), 2, "cannot read frames of nothing.mp4: no such file"),
        (("--backend", "abacus"), 2, "Invalid value for '--backend'"),
    ],
)
def test_what_cannot_be_built_says_why(
    run: Run, words: tuple[str, ...], code: int, said: str
) -> None:
    outcome = run("engine", "build", *words)
    assert (outcome.code, outcome.out) == (code, "")
    assert said in outcome.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "name a plan, or give --all, not both"),
        (("one", "--all"), "name a plan, or give --all, not both"),
        (("one",), "no plan one in"),
    ],
)
def test_forget_needs_a_plan_that_is_there(run: Run, words: tuple[str, ...], said: str) -> None:
    outcome = run("engine", "forget", *words)
    assert outcome.code == 2
    assert said in outcome.err


def test_a_folder_that_others_may_write_is_4_and_says_what_to_do(
    inside: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    open_to_all = tmp_path / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    monkeypatch.setenv("SIGHTLINE_CACHE", str(open_to_all))
    outcome = inside("engine", "plans")
    assert outcome.code == 4
    assert outcome.err.endswith(
        f"others may write to it (mode 0777); run: chmod go-w {open_to_all}\n"
    )


def test_the_cache_key_of_the_settings_is_used(
    inside: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("SIGHTLINE_CACHE")
    (tmp_path / "sightline.toml").write_text('cache = "mine"\n')
    assert inside("engine", "plans", "--json").document["folder"] == str(tmp_path / "mine")


def test_a_missing_plan_is_4_and_names_the_command(run: Run, clip: Path, bundle: Path) -> None:
    outcome = run("ingest", "--camera", f"door={clip}", "--engine", bundle, "--precision", "int8")
    assert outcome.code == 4
    assert f"run: sightline engine build {bundle} --backend onnxruntime" in outcome.err


def test_ingest_tells_what_ran_and_why(sightline: Run, clip: Path, bundle: Path) -> None:
    outcome = sightline(
        "ingest", "--camera", f"door={clip}", "--engine", bundle, "--backend", "onnxruntime",
        "--gallery", "g", "--json",
    )  # fmt: skip
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.document["engine"] == {
        "backend": "onnxruntime", "precision": "fp32", "reason": "onnxruntime fp32: as asked for",
    }  # fmt: skip


def test_the_backend_of_the_settings_is_used(
    sightline: Run,
    write_crop: Callable[..., Path],
    site_gallery: Path,
    bundle: Path,
    tmp_path: Path,
) -> None:
    (tmp_path / "sightline.toml").write_text(f'engine = "{bundle}"\nprecision = "bf16"\n')
    words = ("search", "--image", write_crop((230, 20, 20)), "--crop", "--gallery", site_gallery)
    outcome = sightline(*words, "--backend", "onnxruntime")
    assert outcome.code == 4
    assert "onnxruntime does not run bf16, it runs fp32, fp16, int8" in outcome.err
    assert sightline(*words, "--backend", "onnxruntime", "--precision", "fp32").code == 0


def test_doctor_lists_the_backends(sightline: Run, bundle: Path) -> None:
    document = sightline("doctor", "--json", env={"SIGHTLINE_ENGINE": str(bundle)}).document
    backends = next(check for check in document["checks"] if check["name"] == "backends")
    assert "onnxruntime 1." in backends["detail"]
    engine = next(check for check in document["checks"] if check["name"] == "engine")
    assert "opened on onnxruntime fp32 in" in engine["detail"]
    assert f"run: sightline engine verify {bundle}" in engine["detail"]
    assert backends["required"] is False


def test_frames_come_from_a_data_set_too(world: Path, video: Path) -> None:
    frames = frames_of(world, 3)
    assert [frame.shape for frame in frames] == [(180, 320, 3)] * 3
    assert len(frames_of(video, 4)) == 4
    with pytest.raises(CliError, match="no such file or folder"):
        frames_of(video / "nothing", 4)


def test_batches_are_three_numbers_in_order() -> None:
    assert parse_batch("1,4,8") == (1, 4, 8)
    for wrong in ("0,1,2", "4,2,8", "a,b,c", "1,2"):
        with pytest.raises(CliError, match="--batch: want"):
            parse_batch(wrong)


def test_the_shipped_bundle_is_meant_by_default(run: Run) -> None:
    outcome = run("engine", "build", "--precision", "fp16", "--json")
    assert outcome.document["key"]["model"].startswith(outcome.document["plan"][:12])
    assert shipped_bundle().is_dir()
