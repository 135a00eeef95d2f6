"""Calibration in bounded memory: groups of tensors, and the same ranges however they fall."""

from typing import Any

import numpy as np
import pytest

from engines.errors import BuildError
from engines.precision import calibrate
from engines.precision.calibrate import open_session, run, spreads_of
from engines.precision.graph import open_net
from engines.precision.pairs import plan_pairs

pytest.importorskip("onnx", reason="precision is lowered with the package onnx")


def tensors_of(net: Any) -> list[str]:
    return list(plan_pairs(net, [n.name for n in net.view.heavy], "u8s8").takers)


def feeds_of(mini: Any) -> list[dict[str, Any]]:
    return [{"frames": frame[None]} for frame in mini.frames]


def quiet(_: str) -> None:
    pass


def test_sizes_are_those_of_one_frame(mini: Any) -> None:
    net = open_net(mini.search)
    sizes = calibrate._sizes(net, tensors_of(net))
    assert sizes[net.view.layers[0].input[0]] == 3 * 32 * 48 * 4
    pooled = next(n for n in net.view.layers if n.name == "net.reid.fc6").input[0]
    assert sizes[pooled] == 4 * 16 * 4  # four persons, though the batch is open


def test_groups_hold_no_more_than_the_limit() -> None:
    sizes = {"a": 6, "b": 4, "c": 5, "d": 30, "e": 1}
    assert list(calibrate._groups(sizes, 10)) == [["a", "b"], ["c"], ["d"], ["e"]]
    assert list(calibrate._groups({}, 10)) == []


def test_the_groups_change_nothing_but_the_memory(mini: Any) -> None:
    net = open_net(mini.search)
    tensors, told = tensors_of(net), []
    whole = spreads_of(net, tensors, feeds_of(mini), quiet, kind="search")
    parts = spreads_of(net, tensors, feeds_of(mini), told.append, kind="search", group_bytes=20_000)
    assert len(told) > 2 * len(mini.frames)
    for name in tensors:
        assert (whole[name].lowest, whole[name].highest) == pytest.approx(
            (parts[name].lowest, parts[name].highest), rel=1e-5
        )
        assert whole[name].counts.sum() == parts[name].counts.sum()


def test_ranges_are_those_of_the_values(mini: Any) -> None:
    net = open_net(mini.search)
    first = net.view.layers[0].input[0]
    spread = spreads_of(net, [first], feeds_of(mini), quiet, kind="search")[first]
    pixels = (np.stack(mini.frames).astype(np.float32) - 114) / 58
    assert (spread.lowest, spread.highest) == pytest.approx((pixels.min(), pixels.max()), rel=1e-6)
    assert spread.counts.sum() == pixels.size


def test_the_graph_is_left_as_it_was(mini: Any) -> None:
    net = open_net(mini.search)
    before = net.data()
    spreads_of(net, tensors_of(net), feeds_of(mini)[:1], quiet, kind="search")
    assert net.data() == before


def test_failures_of_the_runtime_are_ours(mini: Any) -> None:
    with pytest.raises(BuildError, match="onnxruntime cannot load the search graph"):
        open_session(b"no graph", "search graph")
    session = open_session(mini.search, "search graph")
    with pytest.raises(BuildError, match="onnxruntime cannot run the search graph"):
        run(session, ["boxes"], {"frames": np.zeros((1, 3, 8, 8), np.uint8)}, "search graph")
