"""The lowered graphs compile strongly typed, with TensorRT's own parser and compiler."""

from typing import Any

import pytest

from engines.precision import fp16_graph, int8_graphs

trt = pytest.importorskip("tensorrt_rtx", reason="compiling without a GPU needs tensorrt_rtx")
pytest.importorskip("onnx", reason="precision is lowered with the package onnx")

BATCHES = (1, 2, 4)


def compiled(graph: bytes) -> tuple[int, list[str]]:
    """Return the size of the compiled plan and what the parser had to say."""
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    typed = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = builder.create_network(typed)
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(graph):
        return 0, [str(parser.get_error(i)) for i in range(parser.num_errors)]
    profile = builder.create_optimization_profile()
    for number in range(network.num_inputs):
        tensor = network.get_input(number)
        profile.set_shape(tensor.name, *((batch, *tuple(tensor.shape)[1:]) for batch in BATCHES))
    config = builder.create_builder_config()
    config.add_optimization_profile(profile)
    plan = builder.build_serialized_network(network, config)
    return 0 if plan is None else plan.nbytes, []


def test_float16_graphs_compile(mini: Any) -> None:
    for graph in (mini.search, mini.query):
        size, faults = compiled(fp16_graph(graph))
        assert faults == []
        assert size > 0


def test_symmetric_int8_graphs_compile_and_asymmetric_ones_do_not(mini: Any) -> None:
    for graph in int8_graphs(mini.search, mini.query, mini.frames, scheme="s8s8")[:2]:
        size, faults = compiled(graph)
        assert faults == []
        assert size > 0
    search = int8_graphs(mini.search, mini.query, mini.frames, scheme="u8s8")[0]
    size, faults = compiled(search)
    assert (size, bool(faults)) == (0, True)
