"""Every operator of the reference, held against ONNX Runtime or ONNX's own evaluator.

Each case is a graph of one node. It is run twice: once with all inputs given, once with all but
the first as weights, which is how sizes and axes mostly come.
"""

import warnings
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from engines.lint import ALLOWED_OPS
from engines.reference.program import FAMILIES, Program
from engines.reference.registry import OPERATORS

onnx = pytest.importorskip("onnx", reason="the package onnx builds the graphs of this test")
evaluator = pytest.importorskip("onnx.reference")
torch = pytest.importorskip("torch", reason="the reference runs in torch")
ort = pytest.importorskip("onnxruntime")

Array = NDArray[Any]
RNG = np.random.default_rng(3)


class Case(NamedTuple):
    op: str
    inputs: tuple[Array | None, ...]
    attributes: Mapping[str, Any] = MappingProxyType({})
    outputs: int = 1
    opset: int = 20
    by: str = "ort"


def f(*shape: int, low: float = -2.0, high: float = 2.0) -> Array:
    """Random float32."""
    return RNG.uniform(low, high, shape).astype(np.float32)


def i(*values: int) -> Array:
    return np.array(values, np.int64)


def s(value: float, dtype: Any = np.float32) -> Array:
    return np.array(value, dtype)


def b(*shape: int) -> Array:
    return RNG.integers(0, 2, shape).astype(bool)


_UNARY = """
    Abs Ceil Cos Elu Erf Exp Floor HardSigmoid HardSwish Identity LeakyRelu LogSoftmax Neg Relu
    Round Sigmoid Sign Sin Softmax Softplus Tanh Flatten
"""
UNARY = _UNARY.split()
HALVES = np.array([-2.5, -1.5, -0.5, 0.0, 0.5, 1.5, 2.5, 30.0, -30.0], np.float32)
IMAGE = f(2, 4, 7, 9)
KERNEL = f(6, 4, 3, 3)
TIES = np.array([[3, 1, 3, 2, 3, 1], [0, 0, 0, 0, 0, 0]], np.float32)
MANY_TIES = RNG.integers(0, 5, (2, 3000)).astype(np.float32)
BYTES = RNG.integers(0, 256, (3, 4), dtype=np.uint8)
SIGNED = RNG.integers(-128, 128, (3, 4), dtype=np.int8)
SCALES = np.array([0.1, 0.02, 0.5, 1.0], np.float32)

CASES = [
    *(Case(op, (f(3, 5),)) for op in UNARY),
    *(Case(op, (HALVES,)) for op in ("Round", "Sign", "Softplus", "Elu", "Erf", "HardSwish")),
    *(Case(op, (f(3, 5, low=0.1),)) for op in ("Log", "Reciprocal", "Sqrt")),
    Case("Not", (b(4),)),
    Case("Elu", (f(9),), {"alpha": 0.3}),
    Case("LeakyRelu", (f(9),), {"alpha": 0.3}),
    Case("HardSigmoid", (f(9),), {"alpha": 0.5, "beta": 0.25}),
    *(Case(op, (f(2, 3, 4),), {"axis": 1}) for op in ("Softmax", "LogSoftmax")),
    Case("PRelu", (f(2, 3, 4), f(3, 1))),
    *(Case(op, (f(2, 3, 4), f(3, 1))) for op in ("Add", "Sub", "Mul", "Div")),
    *(Case(op, (i(7, -7, 3), i(2, 2, -3))) for op in ("Add", "Sub", "Mul", "Div")),
    *(Case(op, (b(2, 3), b(3))) for op in ("And", "Or")),
    *(
        Case(op, (TIES, TIES[:, ::-1].copy()))
        for op in ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")
    ),
    Case("Equal", (i(1, 2), i(1, 3))),
    Case("Pow", (f(4, low=0.1), s(2.0))),
    Case("Pow", (f(4, low=0.1), i(1, 2, 3, 0))),
    Case("Pow", (i(2, 3), f(2, low=1, high=2))),
    *(Case(op, (f(2, 3), f(3), f(2, 1))) for op in ("Max", "Min", "Sum")),
    *(Case(op, (f(2, 3),)) for op in ("Max", "Min", "Sum")),
    Case("Where", (b(3), f(2, 3), s(0.5))),
    Case("Clip", (f(9), s(-0.5), s(0.5))),
    Case("Clip", (f(9), s(0.5))),
    Case("Clip", (f(9), None, s(0.5))),
    Case("Clip", (f(9),)),
    Case("Clip", (f(9), s(0.5), s(-0.5))),
    Case("Clip", (i(-3, 0, 3), s(-1, np.int64), s(1, np.int64))),
    *(
        Case("Cast", (f(3, 4, low=-100, high=100),), {"to": to})
        for to in (1, 3, 5, 6, 7, 9, 10, 11)
    ),
    Case("Cast", (f(3, 4),), {"to": 16}, by="onnx"),
    Case("Cast", (BYTES,), {"to": 1}),
    Case("Cast", (b(4),), {"to": 1}),
    Case("Cast", (f(3).astype(np.float16),), {"to": 1}),
    # sizes, slices, picks
    *(
        Case("Constant", (), {key: value})
        for key, value in {
            "value_float": 1.5, "value_floats": [1.0, 2.0], "value_int": 3, "value_ints": [4, 5],
            "value": onnx.numpy_helper.from_array(SIGNED),
        }.items()
    ),
    Case("ConstantOfShape", (i(2, 0, 3),)),
    Case("ConstantOfShape", (i(2, 3),), {"value": onnx.numpy_helper.from_array(i(7))}),
    Case("Shape", (f(2, 3, 4),)),
    Case("Shape", (f(2, 3, 4),), {"start": -2, "end": 10}),
    Case("Shape", (f(2, 3, 4),), {"start": 1, "end": -1}),
    Case("Range", (s(1, np.int64), s(10, np.int64), s(4, np.int64))),
    Case("Range", (s(10, np.int32), s(0, np.int32), s(-3, np.int32))),
    Case("Range", (s(0.5), s(2.2), s(0.25))),
    Case("Range", (s(3, np.int64), s(3, np.int64), s(1, np.int64))),
    Case("Reshape", (f(2, 3, 4), i(0, -1))),
    Case("Reshape", (f(2, 0, 4), i(0, 4, 2)), {"allowzero": 1}),
    Case("Reshape", (s(1.0), i(1, 1))),
    *(Case("Flatten", (f(2, 3, 4),), {"axis": axis}) for axis in (0, 1, 2, 3, -1)),
    Case("Squeeze", (f(1, 3, 1),)),
    Case("Squeeze", (f(1, 3, 1), i(-1))),
    Case("Unsqueeze", (f(3, 4), i(0, -1))),
    Case("Unsqueeze", (f(3, 4), i(3, 1))),
    Case("Expand", (f(3, 1), i(2, 1, 4))),
    Case("Expand", (f(3, 4), i(1))),
    Case("Tile", (f(2, 3), i(2, 1))),
    Case("Tile", (f(2, 3), i(0, 2))),
    Case("Transpose", (f(2, 3, 4),)),
    Case("Transpose", (f(2, 3, 4),), {"perm": [1, 2, 0]}),
    Case("Concat", (f(2, 3), f(2, 0), f(2, 1)), {"axis": -1}),
    Case("Split", (f(7, 2),), {"num_outputs": 3}, 3),
    Case("Split", (f(2, 6), i(1, 3, 2)), {"axis": 1}, 3),
    Case("Split", (f(2, 6),), {"axis": -1, "num_outputs": 2}, 2),
    Case("Slice", (f(5, 6), i(1, -3), i(4, 100))),
    Case("Slice", (f(5, 6), i(-1), i(-(2**31)), i(1), i(-2))),
    Case("Slice", (f(5, 6), i(4, 0), i(0, 9), i(-2, -1), i(-1, 3))),
    Case("Slice", (f(5, 6), i(3), i(1), i(0))),
    Case("Slice", (f(5, 6), i(2**60), i(-(2**60)), i(0), i(-1))),
    Case("Slice", (f(5, 0), i(0), i(3), i(1))),
    Case("Gather", (f(4, 5), i(0, -1, 3))),
    Case("Gather", (f(4, 5), np.array([[0, -5], [2, 2]], np.int32)), {"axis": 1}),
    Case("Gather", (f(4, 5), s(2, np.int64)), {"axis": -1}),
    Case("Gather", (f(4, 5), np.zeros((0,), np.int64))),
    Case("GatherElements", (f(4, 5), RNG.integers(-4, 4, (2, 3)))),
    Case("GatherElements", (f(4, 5), RNG.integers(-5, 5, (4, 2))), {"axis": -1}),
    Case("GatherND", (f(3, 4, 5), RNG.integers(-3, 3, (6, 2)))),
    Case("GatherND", (f(3, 4, 5), RNG.integers(-4, 4, (3, 2, 1))), {"batch_dims": 1}),
    Case("GatherND", (f(3, 4, 5), RNG.integers(-4, 4, (3, 1))), {"batch_dims": 1}),
    Case("GatherND", (f(3, 4, 5), RNG.integers(-5, 5, (3, 4, 1))), {"batch_dims": 2}),
    Case("Trilu", (f(2, 4, 5),)),
    Case("Trilu", (f(4, 5), s(1, np.int64)), {"upper": 0}),
    Case("Trilu", (f(4, 5), s(-2, np.int64))),
    Case("Trilu", (b(4, 5), s(1, np.int64))),
    *(Case("TopK", (TIES, i(4)), {"largest": largest}, 2) for largest in (0, 1)),
    *(
        Case("TopK", (MANY_TIES, i(500)), {"largest": largest, "axis": 1}, 2)
        for largest in (0, 1)
    ),
    Case("TopK", (f(6, 3), i(2)), {"axis": 0}, 2),
    Case("TopK", (f(6, 3), i(0)), {"axis": 0}, 2),
    Case("TopK", (np.array([[5, 5, 1]], np.int64), i(3)), {}, 2),
    *(
        Case("Pad", (f(3, 4), i(0, 2, 1, 3)), {"mode": mode})
        for mode in ("constant", "reflect", "edge", "wrap")
    ),
    Case("Pad", (f(3, 4), i(1, 2, 0, 1), s(9.0))),
    Case("Pad", (f(3, 4), i(-1, 0, 0, -2), s(9.0))),
    Case("Pad", (f(2, 3, 4), i(1, 2), s(9.0), i(-2))),
    Case("Pad", (f(3, 4, 1, 2), i(0, 1, 0, 0, 2, 1, 0, 0)), {"mode": "reflect"}),
    # layers
    Case("Conv", (IMAGE, KERNEL, f(6)), {"pads": [1, 1, 1, 1]}),
    Case("Conv", (IMAGE, KERNEL), {"pads": [0, 1, 2, 3], "strides": [2, 1]}),
    Case("Conv", (IMAGE, f(4, 2, 3, 3)), {"group": 2, "dilations": [2, 1], "kernel_shape": [3, 3]}),
    *(
        Case("Conv", (IMAGE, f(3, 4, 2, 3)), {"auto_pad": pad, "strides": [2, 3]})
        for pad in ("SAME_UPPER", "SAME_LOWER", "VALID")
    ),
    Case("Conv", (f(1, 2, 9), f(3, 2, 4)), {"pads": [2, 1]}),
    Case("Conv", (f(1, 2, 4, 5, 6), f(3, 2, 2, 2, 2))),
    Case("ConvTranspose", (f(1, 3, 4, 5), f(3, 2, 3, 3), f(2)), {"strides": [2, 2]}),
    Case(
        "ConvTranspose",
        (f(1, 4, 4, 5), f(4, 2, 3, 3)),
        {"strides": [2, 3], "pads": [1, 0, 2, 1], "output_padding": [1, 2], "group": 2},
    ),
    *(
        Case("ConvTranspose", (f(1, 3, 4, 5), f(3, 2, 3, 3)), {"strides": [2, 2], "auto_pad": pad})
        for pad in ("SAME_UPPER", "SAME_LOWER")
    ),
    Case(
        "ConvTranspose",
        (f(1, 3, 4, 5), f(3, 2, 3, 3)),
        {"strides": [3, 2], "output_shape": [11, 9]},
    ),
    Case("ConvTranspose", (f(1, 3, 4), f(3, 2, 3)), {"dilations": [2]}),
    Case("MatMul", (f(2, 1, 3, 4), f(5, 4, 2))),
    Case("MatMul", (f(4), f(4, 2))),
    Case("Gemm", (f(3, 4), f(4, 2), f(2))),
    Case("Gemm", (f(4, 3), f(2, 4), s(1.5)), {"transA": 1, "transB": 1, "alpha": 0.5, "beta": 2.0}),
    Case("Gemm", (f(3, 4), f(4, 2))),
    Case("Einsum", (f(2, 3, 4), f(2, 4, 5)), {"equation": "bij, bjk -> bik"}),
    Case("Einsum", (f(2, 3, 3),), {"equation": "...ii->...i"}),
    Case("Einsum", (f(3, 4), f(4, 5)), {"equation": "ij,jk"}),
    *(Case("MaxPool", (IMAGE,), {"kernel_shape": [3, 3], **more}) for more in (
        {}, {"strides": [2, 2], "pads": [1, 1, 1, 1]}, {"strides": [2, 2], "ceil_mode": 1},
        {"dilations": [2, 3]}, {"auto_pad": "SAME_UPPER", "strides": [2, 2]},
        {"auto_pad": "SAME_LOWER", "strides": [3, 2]}, {"pads": [0, 1, 2, 2], "ceil_mode": 1,
                                                        "strides": [3, 3]},
    )),
    Case("MaxPool", (f(1, 2, 9),), {"kernel_shape": [2], "strides": [2], "storage_order": 0}),
    *(Case("AveragePool", (IMAGE,), {"kernel_shape": [3, 3], **more}) for more in (
        {}, {"strides": [2, 2], "pads": [1, 1, 1, 1]},
        {"strides": [2, 2], "pads": [1, 1, 1, 1], "count_include_pad": 1},
        {"strides": [2, 2], "ceil_mode": 1}, {"dilations": [2, 3]},
        {"auto_pad": "SAME_UPPER", "strides": [2, 2]},
        {"strides": [2, 2], "pads": [0, 1, 0, 1], "ceil_mode": 1, "count_include_pad": 1},
    )),
    Case("GlobalAveragePool", (IMAGE,)),
    Case("GlobalMaxPool", (IMAGE,)),
    Case("BatchNormalization", (IMAGE, f(4), f(4), f(4), f(4, low=0.1)), {"epsilon": 1e-3}),
    Case("InstanceNormalization", (IMAGE, f(4), f(4)), {"epsilon": 1e-3}),
    Case("LayerNormalization", (f(2, 3, 4), f(4), f(4))),
    Case("LayerNormalization", (f(2, 3, 4), f(3, 4)), {"axis": 1, "epsilon": 1e-2}, 3, by="onnx"),
    Case("LpNormalization", (f(2, 3, 4),)),
    Case("LpNormalization", (f(2, 3, 4),), {"p": 1, "axis": 1}),
    Case("LpNormalization", (np.zeros((2, 3), np.float32),)),
    # one of many
    *(
        Case(op, (f(2, 3, 4), *axes), more)
        for op in ("ReduceL2", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum",
                   "ReduceSumSquare")
        for axes, more in (
            ((), {}), ((i(1),), {"keepdims": 0}), ((i(0, -1),), {}),
            ((i(),), {"noop_with_empty_axes": 1} if op == "ReduceSum" else {}),
        )
    ),
    *(Case(op, (i(1, 5, 3), i(0))) for op in ("ReduceMax", "ReduceMin", "ReduceSum", "ReduceProd")),
    Case("ReduceMax", (b(3, 4), i(1)), by="onnx"),
    # to integers and back
    Case("QuantizeLinear", (f(3, 4), SCALES, np.array([1, 2, 0, 128], np.uint8))),
    Case("QuantizeLinear", (f(3, 4), SCALES, np.array([0, 1, -2, 3], np.int8)), {"axis": -1}),
    Case("QuantizeLinear", (HALVES, s(1.0), s(0, np.int8))),
    Case("QuantizeLinear", (HALVES, s(0.1), s(128, np.uint8))),
    Case("QuantizeLinear", (f(3, 4), s(0.01))),
    Case("QuantizeLinear", (f(3, 4), s(0.01)), {"output_dtype": 3}, opset=21),
    Case("QuantizeLinear", (f(4, 4), f(2, 4, low=0.1)), {"axis": 0, "block_size": 2}, opset=21),
    Case("DequantizeLinear", (BYTES, SCALES, np.array([1, 2, 0, 128], np.uint8))),
    Case("DequantizeLinear", (SIGNED, s(0.1), s(-3, np.int8))),
    Case("DequantizeLinear", (SIGNED, f(3, low=0.1)), {"axis": 0}),
    Case("DequantizeLinear", (RNG.integers(-900, 900, (3, 4), np.int32), s(0.5))),
    Case("DequantizeLinear", (SIGNED, f(3, 2, low=0.1)), {"axis": 1, "block_size": 2}, opset=21),
    # resize
    *(
        Case("Resize", (f(1, 2, 5, 7), None, np.array([1, 1, 2, 1.5], np.float32)),
             {"mode": mode, "coordinate_transformation_mode": where})
        for mode in ("nearest", "linear", "cubic")
        for where in ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric",
                      "half_pixel_symmetric")
    ),
    *(
        Case("Resize", (f(1, 2, 6, 7), None, None, i(3, 4)),
             {"mode": mode, "axes": [2, 3], "coordinate_transformation_mode": "half_pixel"})
        for mode in ("nearest", "linear", "cubic")
    ),
    *(
        Case("Resize", (f(1, 1, 4, 4), None, None, i(1, 1, 7, 6)),
             {"nearest_mode": how, "coordinate_transformation_mode": "asymmetric"})
        for how in ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
    ),
    *(
        Case("Resize", (f(1, 1, 4, 6), None, None, i(8, 9)),
             {"keep_aspect_ratio_policy": policy, "axes": [2, 3], "mode": "linear"})
        for policy in ("stretch", "not_larger", "not_smaller")
    ),
    Case("Resize", (f(1, 1, 4, 4), None, np.array([1, 1, 0.8, 2], np.float32)),
         {"mode": "cubic", "cubic_coeff_a": -0.5, "exclude_outside": 1}),
    Case("Resize", (f(1, 1, 3, 3), None, None, i(1, 1, 1, 1)),
         {"mode": "linear", "coordinate_transformation_mode": "pytorch_half_pixel"}),
]  # fmt: skip


def graph_of(case: Case, given: int) -> bytes:
    """The node with its first ``given`` inputs from outside and the others as weights."""
    helper = onnx.helper
    names = ["" if x is None else f"x{n}" for n, x in enumerate(case.inputs)]
    outputs = [f"y{n}" for n in range(case.outputs)]
    node = helper.make_node(case.op, names, outputs, **case.attributes)
    outside, weights = [], []
    for n, (name, array) in enumerate(zip(names, case.inputs, strict=True)):
        if array is None:
            continue
        dtype = helper.np_dtype_to_tensor_dtype(array.dtype)
        if n < given:
            outside.append(helper.make_tensor_value_info(name, dtype, array.shape))
        else:
            weights.append(onnx.numpy_helper.from_array(array, name))
    declared = [onnx.ValueInfoProto(name=name) for name in outputs]
    graph = helper.make_graph([node], "one", outside, declared, weights)
    opset = [helper.make_opsetid("", case.opset)]
    model = onnx.shape_inference.infer_shapes(
        helper.make_model(graph, opset_imports=opset, ir_version=10), data_prop=True
    )
    return bytes(model.SerializeToString())


def expected_of(case: Case, graph: bytes, feed: dict[str, Array]) -> list[Array]:
    if case.by == "onnx":
        plain = evaluator.ReferenceEvaluator(onnx.load_model_from_string(graph))
        answers: list[Array] = plain.run(None, feed)
        return answers
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    return list(session.run(None, feed))


def names(case: Case) -> str:
    shapes = "_".join("x".join(map(str, x.shape)) for x in case.inputs if x is not None)
    return f"{case.op}-{shapes}"


@pytest.mark.parametrize("weights", [False, True], ids=["given", "weights"])
@pytest.mark.parametrize("case", CASES, ids=names)
def test_an_operator_answers_as_the_runtimes_do(case: Case, weights: bool) -> None:
    given = min(1, len(case.inputs)) if weights else len(case.inputs)
    graph = graph_of(case, given)
    feed = {f"x{n}": x for n, x in enumerate(case.inputs[:given]) if x is not None}
    expected = expected_of(case, graph, feed)
    program = Program(graph, "cpu")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        outputs = program.run({name: torch.from_numpy(x.copy()) for name, x in feed.items()})
    for n, wanted in enumerate(expected):
        found = outputs[f"y{n}"]
        assert str(found.dtype) == f"torch.{wanted.dtype.name}"
        assert tuple(found.shape) == wanted.shape
        array = found.to(torch.float32) if wanted.dtype.name == "bfloat16" else found
        assert_allclose(array.numpy(), wanted.astype(array.numpy().dtype), rtol=2e-5, atol=2e-6)


def test_every_allowed_operator_is_known_and_tested() -> None:
    assert FAMILIES
    assert OPERATORS.keys() == ALLOWED_OPS
    assert {case.op for case in CASES} == ALLOWED_OPS


@pytest.mark.parametrize("op", sorted(ALLOWED_OPS))
def test_every_attribute_and_default_is_that_of_onnx(op: str) -> None:
    schema = onnx.defs.get_schema(op, 26)
    known = OPERATORS[op].defaults
    unused = {"value_string", "value_strings", "sparse_value"}
    assert known.keys() == schema.attributes.keys() - unused
    for name, attribute in schema.attributes.items():
        default = attribute.default_value
        if name in known and default.type:
            value = onnx.helper.get_attribute_value(default)
            text = value.decode() if isinstance(value, bytes) else value
            assert known[name] == pytest.approx(text), name
