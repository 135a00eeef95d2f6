"""The engine on ONNX Runtime, over a tiny real graph whose answers are known."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

from engines.bundle import open_bundle
from engines.compare import compare
from engines.engine import Engine, open_engine
from engines.errors import BoxError, BundleError, InferenceError
from engines.onnx_backend import OnnxEngine, runtime_errors
from engines.values import Detections

WHITE, RED, GREEN = (255, 255, 255), (255, 0, 0), (0, 255, 0)
Picture = NDArray[np.uint8]
Block = tuple[tuple[int, int], tuple[int, int, int]]


def picture(hw: tuple[int, int], *blocks: Block, size: int = 8) -> Picture:
    """Black, with coloured square blocks whose top left corners are (y, x)."""
    out = np.zeros((*hw, 3), np.uint8)
    for (y, x), colour in blocks:
        out[y : y + size, x : x + size] = colour
    return out


def random_pictures(n: int, seed: int) -> list[Picture]:
    """Pictures of mixed sizes with bright blocks at random places."""
    rng = np.random.default_rng(seed)
    pictures = []
    for _ in range(n):
        hw = tuple(int(v) for v in rng.integers(17, 130, 2))
        blocks: list[Block] = []
        for _ in range(int(rng.integers(0, 7))):
            r, g, b = (int(v) for v in rng.integers(150, 256, 3))
            blocks.append(((int(rng.integers(hw[0])), int(rng.integers(hw[1]))), (r, g, b)))
        pictures.append(picture((hw[0], hw[1]), *blocks, size=max(4, min(hw) // 6)))
    return pictures


@contextmanager
def opened(tiny: ModuleType, path: Path, **changes: Any) -> Iterator[Engine]:
    with open_engine(tiny.write_tiny(path, **changes), threads=1) as engine:
        yield engine


def same(a: Detections, b: Detections) -> bool:
    return compare([a], [b]).within(box_px=1e-4, cosine=1 - 1e-6) and a.full == b.full


def test_a_person_is_found_where_it_is_in_the_source(engine: Engine) -> None:
    # 64 x 96 shrinks to 32 x 48 by two: a cell is 8 x 8 source pixels.
    (found,) = engine.detect([picture((64, 96), ((16, 40), RED))])
    assert_allclose(found.boxes, [[40, 16, 48, 24]], atol=1e-4)
    assert_allclose(found.scores, [1.0], atol=1e-6)
    assert_allclose(found.embeddings[0, :3], [1, 0, 0], atol=1e-6)
    assert found.embeddings.shape == (1, 256)
    assert found.boxes.dtype == found.scores.dtype == found.embeddings.dtype == np.float32
    assert not found.full


def test_padding_is_taken_off_a_portrait_and_a_wide_frame(engine: Engine) -> None:
    # Portrait 64 x 32: scale 1/2, 16 columns used, 16 free on the left. Wide: 8 rows free on top.
    portrait, wide = engine.detect(
        [picture((64, 32), ((24, 8), GREEN)), picture((16, 48), ((4, 4), GREEN), size=4)]
    )
    assert_allclose(portrait.boxes, [[8, 24, 16, 32]], atol=1e-4)
    assert_allclose(wide.boxes, [[4, 4, 8, 8]], atol=1e-4)


def test_persons_come_best_first(engine: Engine) -> None:
    frame = picture((64, 96), ((0, 0), (200, 0, 0)), ((8, 8), WHITE), ((32, 64), (220, 0, 9)))
    (found,) = engine.detect([frame])
    assert_allclose(found.scores, [1.0, 220 / 255, 200 / 255], atol=1e-5)
    assert_array_equal(found.boxes[:, 0].round(), [8, 64, 0])


@pytest.mark.parametrize("n", [0, 1, 7, 8, 9, 16, 17])
def test_any_number_of_frames_is_answered_in_order(engine: Engine, n: int) -> None:
    frames = [picture((64, 96), ((8 * (i % 8), 0), RED)) for i in range(n)]
    answers = engine.detect(frames)
    assert [float(found.boxes[0, 1].round()) for found in answers] == [
        8 * (i % 8) for i in range(n)
    ]


@pytest.mark.parametrize("max_batch", [1, 2, 3, 8])
def test_each_frame_has_the_same_answer_alone_and_in_company(
    tiny_bundle: Path, max_batch: int
) -> None:
    frames = random_pictures(20, seed=5)
    with OnnxEngine(open_bundle(tiny_bundle), threads=1, max_batch=max_batch) as engine:
        together = engine.detect(frames)
        alone = [engine.detect([frame])[0] for frame in frames]
        reverse = engine.detect(frames[::-1])[::-1]
    assert sum(map(len, together)) > 20
    assert all(same(a, b) for a, b in zip(together, alone, strict=True))
    assert all(same(a, b) for a, b in zip(together, reverse, strict=True))


def test_the_threshold_is_the_bundles_unless_told(engine: Engine) -> None:
    # The graph's own floor is 0.5, the bundle's threshold 0.6.
    frame = picture((64, 96), ((0, 0), (140, 0, 0)), ((16, 16), (180, 0, 0)), ((32, 32), WHITE))
    assert [len(engine.detect([frame], min_score=s)[0]) for s in (0.0, 0.55, 0.6, 0.8, 1.1)] == [
        3, 2, 2, 1, 0,
    ]  # fmt: skip
    assert len(engine.detect([frame])[0]) == 2


@pytest.mark.parametrize(("blocks", "full"), [(3, False), (4, True), (5, True)])
def test_full_tells_that_persons_may_have_been_cut(engine: Engine, blocks: int, full: bool) -> None:
    frame = picture((64, 96), *[((8, 16 * i), WHITE) for i in range(blocks)])
    (found,) = engine.detect([frame])
    assert len(found) == min(blocks, 4)
    assert found.full == full


def test_slots_full_of_persons_below_the_threshold_are_not_full(engine: Engine) -> None:
    frame = picture((64, 96), *[((8, 16 * i), (140, 0, 0)) for i in range(5)])
    assert not engine.detect([frame])[0].full
    assert engine.detect([frame], min_score=0.5)[0].full


def test_a_black_and_a_grey_frame_hold_nobody(engine: Engine) -> None:
    for value in (0, 114):
        (found,) = engine.detect([np.full((37, 61, 3), value, np.uint8)])
        assert len(found) == 0
        assert (found.boxes.shape, found.embeddings.shape) == ((0, 4), (0, 256))


@pytest.mark.parametrize("hw", [(1, 1), (1, 200), (200, 1), (31, 47), (33, 49), (720, 1280)])
def test_odd_sizes_keep_boxes_on_the_frame(engine: Engine, hw: tuple[int, int]) -> None:
    (found,) = engine.detect([np.full((*hw, 3), 255, np.uint8)])
    assert (found.boxes >= 0).all()
    assert (found.boxes <= [hw[1], hw[0], hw[1], hw[0]]).all()
    sides = found.boxes[:, 2:] - found.boxes[:, :2]
    assert (sides >= 1).all()


def test_boxes_that_lie_in_the_padding_are_dropped(tiny: ModuleType, tmp_path: Path) -> None:
    corner = np.tile(np.array([0, 0, 4, 4], np.float32), (tiny.CELLS, 1))
    with opened(tiny, tmp_path / "b", search=tiny.search_graph(table=corner)) as engine:
        portrait, fitting = engine.detect(
            [picture((64, 32), ((24, 8), WHITE)), picture((64, 96), ((24, 8), WHITE))]
        )
    assert len(portrait) == 0
    assert_allclose(fitting.boxes, [[0, 0, 8, 8]], atol=1e-4)


def test_a_box_of_a_detection_has_the_detections_embedding(engine: Engine) -> None:
    frames = random_pictures(20, seed=8)
    found = engine.detect(frames)
    embedded = engine.embed(frames, [f.boxes for f in found])
    assert sum(map(len, found)) > 10
    for f, embeddings in zip(found, embedded, strict=True):
        assert_allclose(embeddings, f.embeddings, atol=1e-5)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 7])
def test_any_number_of_boxes_is_embedded_in_order(engine: Engine, n: int) -> None:
    frame = picture((64, 96), *[((8, 8 * i), (255, 30 * i, 0)) for i in range(n)])
    boxes = np.array([[8 * i, 8, 8 * i + 8, 16] for i in range(n)], np.float32).reshape(-1, 4)
    embedded, none = engine.embed([frame, frame], [boxes, boxes[:0]])
    colours = np.array([[255, 30 * i, 0] for i in range(n)], np.float64).reshape(-1, 3)
    lengths = np.linalg.norm(colours, axis=1, keepdims=True)
    assert embedded.shape == (n, 256)
    assert_allclose(embedded[:, :3], colours / lengths, atol=1e-5)
    assert none.shape == (0, 256)


@pytest.mark.parametrize("max_batch", [1, 2, 8])
def test_boxes_of_many_frames_are_embedded_with_their_own(
    tiny_bundle: Path, max_batch: int
) -> None:
    colours = [(255, 10 * i, 0) for i in range(9)]
    frames = [picture((64, 96), ((0, 0), colour)) for colour in colours]
    boxes = [np.tile(np.array([0, 0, 8, 8], np.float32), (i, 1)) for i in range(9)]
    with OnnxEngine(open_bundle(tiny_bundle), threads=1, max_batch=max_batch) as engine:
        embedded = engine.embed(frames, boxes)
    for i, (embeddings, colour) in enumerate(zip(embedded, colours, strict=True)):
        assert embeddings.shape == (i, 256)
        assert_allclose(embeddings[:, 1] / embeddings[:, 0], np.full(i, colour[1] / 255), atol=1e-5)


def test_a_box_over_the_edge_is_cut_and_one_beyond_it_refused(engine: Engine) -> None:
    frame = picture((64, 96), ((0, 0), RED), ((56, 88), GREEN))
    over = np.array([[-40, -40, 8, 8], [88, 56, 500, 500]], np.float32)
    (embedded,) = engine.embed([frame], [over])
    assert_allclose(embedded[:, :3], [[1, 0, 0], [0, 1, 0]], atol=1e-5)
    beyond = np.array([[0, 0, 8, 8], [100, 0, 120, 8]], np.float32)
    with pytest.raises(BoxError, match=r"\(100, 0, 120, 8\) does not lie on the frame of 96 x 64"):
        engine.embed([frame], [beyond])


@pytest.mark.parametrize("box", [(8, 8, 8, 16), (8, 16, 16, 8), (np.nan, 0, 8, 8), (0, 0, 0.5, 8)])
def test_a_box_without_area_is_refused(engine: Engine, box: tuple[float, ...]) -> None:
    with pytest.raises(BoxError, match="does not lie on the frame"):
        engine.embed([picture((64, 96))], [np.array([box], np.float32)])


def test_wrong_arrays_are_refused(engine: Engine) -> None:
    good = picture((64, 96))
    for bad in (good.astype(np.float32), good[..., 0], good[:, :0], np.zeros((4, 4, 4), np.uint8)):
        with pytest.raises(ValueError, match=r"want frames of uint8 \(H, W, 3\)"):
            engine.detect([good, bad])
    with pytest.raises(ValueError, match=r"want boxes of \(R, 4\), got \(4,\)"):
        engine.embed([good], [np.zeros(4, np.float32)])
    with pytest.raises(ValueError, match="2 frames, but boxes for 1"):
        engine.embed([good, good], [np.zeros((0, 4), np.float32)])


def in_threads(work: Callable[[int], bool], threads: int) -> list[bool]:
    """Run ``work(i)`` in threads at once; all that they returned."""
    answers: list[bool] = []
    workers = [
        threading.Thread(target=lambda i=i: answers.append(work(i)), daemon=True)
        for i in range(threads)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert not any(worker.is_alive() for worker in workers)
    return answers


def test_threads_share_one_engine(engine: Engine) -> None:
    batches = [random_pictures(6, seed) for seed in range(6)]
    expected = [engine.detect(batch) for batch in batches]

    def work(i: int) -> bool:
        good = True
        for _ in range(15):
            found = engine.detect(batches[i])
            embedded = engine.embed(batches[i], [f.boxes for f in found])
            good &= all(same(a, b) for a, b in zip(found, expected[i], strict=True))
            good &= all(
                np.allclose(e, f.embeddings, atol=1e-5)
                for e, f in zip(embedded, found, strict=True)
            )
        return good

    assert in_threads(work, len(batches)) == [True] * len(batches)


def test_threads_do_not_share_a_scaler(engine: Engine) -> None:
    """Shared by threads, the scaler of one frame size crashes the process."""
    frames = [picture((1080, 1920), ((120 * i, 240 * i), RED), size=200) for i in range(4)]
    expected = engine.detect(frames)

    def work(i: int) -> bool:
        return all(same(engine.detect([frames[i]])[0], expected[i]) for _ in range(20))

    assert in_threads(work, len(frames)) == [True] * len(frames)


def test_more_sizes_than_are_remembered_are_answered(engine: Engine) -> None:
    frames = [picture((32, 48 + i), ((0, 0), WHITE), size=16) for i in range(150)]
    assert all(len(found) for found in engine.detect(frames))


def test_the_engine_tells_what_it_is(engine: Engine, tiny_bundle: Path) -> None:
    info = engine.info
    assert info.model == open_bundle(tiny_bundle).manifest.model
    assert (info.name, info.backend, info.path) == ("tiny", "onnxruntime", tiny_bundle)
    assert (info.input_hw, info.max_persons, info.query_boxes) == ((32, 48), 4, 3)
    assert (info.dim, info.score_threshold) == (256, 0.6)


def test_a_closed_engine_refuses_to_work(tiny_bundle: Path) -> None:
    engine = open_engine(tiny_bundle)
    engine.close()
    engine.close()
    for call in (lambda: engine.detect([picture((64, 96))]), lambda: engine.embed([], [])):
        with pytest.raises(InferenceError, match="engine tiny is closed"):
            call()


def test_the_query_graph_is_loaded_when_it_is_needed(tiny: ModuleType, tmp_path: Path) -> None:
    frame, box = picture((64, 96), ((0, 0), RED)), np.array([[0, 0, 8, 8]], np.float32)
    with opened(tiny, tmp_path / "b", query=b"no graph at all") as engine:
        assert len(engine.detect([frame])[0]) == 1
        with pytest.raises(BundleError, match=r"query\.onnx: not an ONNX graph"):
            engine.embed([frame], [box])


def test_a_graph_that_cannot_be_loaded_is_named(tiny: ModuleType, tmp_path: Path) -> None:
    g = tiny.Graph()
    g.op("MatMul", g.op("Cast", "frames", to=1), g.const(np.eye(7)), outputs=("boxes",))
    graph = g.build(
        {"frames": (2, ["batch", 3, *tiny.INPUT_HW])}, {"boxes": (1, ["batch", 3, 32, 7])}
    )
    path = tiny.write_tiny(tmp_path / "b", search=graph)
    with pytest.raises(BundleError, match=r"b: onnxruntime cannot load search\.onnx: .*MatMul"):
        open_engine(path)


def test_a_graph_with_weights_elsewhere_does_not_get_them(
    tiny: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load_model_from_string(tiny.search_graph())
    for tensor in model.graph.initializer:
        if tensor.dims == [tiny.CELLS, 4]:
            (tmp_path / "weights.bin").write_bytes(tensor.raw_data)
            tensor.ClearField("raw_data")
            tensor.data_location = onnx.TensorProto.EXTERNAL
            tensor.external_data.add(key="location", value="weights.bin")
    monkeypatch.chdir(tmp_path)
    path = tiny.write_tiny(tmp_path / "b", search=model.SerializeToString())
    with pytest.raises(BundleError, match=r"search\.onnx: weights lie outside the graph's file"):
        open_engine(path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"max_persons": 5}, r"output boxes is \[batch, 4, 4\], not \[batch, 5, 4\]"),
        ({"input_hw": (32, 32)}, r"input frames is \[batch, 3, 32, 48\], not \[batch, 3, 32, 32\]"),
        ({"search": {"batch": 2}}, "input frames has a fixed batch of 2"),
        ({"search": {"counts_type": 6}}, r"output counts is tensor\(int32\), not int64"),
        ({"search": {"boxes_name": "rois"}}, "outputs are rois, scores, embeddings, counts, not b"),
        ({"search": "query"}, "inputs are frames, boxes, not frames"),
    ],
)
def test_a_graph_beside_its_manifest_is_refused(
    tiny: ModuleType, tmp_path: Path, change: dict[str, Any], reason: str
) -> None:
    spoilt = change.get("search")
    if spoilt == "query":
        change = {"search": tiny.query_graph()}
    elif spoilt is not None:
        change = {"search": tiny.search_graph(**spoilt)}
    path = tiny.write_tiny(tmp_path / "b", **change)
    with pytest.raises(
        BundleError, match=f"search.onnx is not the graph of its manifest: .*{reason}"
    ):
        open_engine(path)


def test_a_query_graph_beside_its_manifest_is_refused(tiny: ModuleType, tmp_path: Path) -> None:
    with (
        opened(tiny, tmp_path / "b", query_boxes=9) as engine,
        pytest.raises(BundleError, match=r"query\.onnx is not .*input boxes is \[batch, 3, 4\]"),
    ):
        engine.embed([picture((64, 96))], [np.array([[0, 0, 8, 8]], np.float32)])


def test_a_failure_inside_the_runtime_is_told(tiny: ModuleType, tmp_path: Path) -> None:
    short = tiny.search_graph(table=tiny.cell_boxes()[:3])  # cells beyond the third: no such row
    with (
        opened(tiny, tmp_path / "b", search=short) as engine,
        pytest.raises(InferenceError, match=r"onnxruntime failed on a batch: .*indices"),
    ):
        engine.detect([picture((64, 96), ((32, 32), WHITE))])


def test_every_error_of_the_runtime_is_known() -> None:
    state = pytest.importorskip("onnxruntime.capi.onnxruntime_pybind11_state")
    classes = [c for c in vars(state).values() if isinstance(c, type)]
    errors = [c for c in classes if issubclass(c, Exception)]
    assert {"Fail", "InvalidArgument", "RuntimeException"} <= {c.__name__ for c in errors}
    assert all(issubclass(c, runtime_errors()) for c in errors)
    assert Exception not in runtime_errors()


@pytest.mark.parametrize("where", ["box", "count"])
def test_nonsense_from_a_graph_is_refused(tiny: ModuleType, tmp_path: Path, where: str) -> None:
    nowhere = np.full((tiny.CELLS, 4), np.nan, np.float32)
    graphs = {"box": {"table": nowhere}, "count": {"count_offset": 100}}
    reasons = {"box": "engine tiny answered with NaN", "count": "engine tiny counted 101 persons"}
    with (
        opened(tiny, tmp_path / "b", search=tiny.search_graph(**graphs[where])) as engine,
        pytest.raises(InferenceError, match=reasons[where]),
    ):
        engine.detect([picture((64, 96), ((0, 0), WHITE))])
