"""Keys: every field counts, and a file gives back what was written."""

import json
from collections.abc import Callable

import pytest

from engines.plans.keys import PlanKey, parse_key

CHANGES = [
    {"model": "cd" * 32},
    {"search_sha256": "03" * 32},
    {"query_sha256": "03" * 32},
    {"backend": "openvino"},
    {"runtime": "onnxruntime 1.0.1"},
    {"machine": "abacus"},
    {"precision": "fp16"},
    {"settings": {"input_hw": [32, 48], "batch": [1, 4, 16]}},
    {"settings": {"input_hw": [32, 48]}},
]


def test_the_name_tells_model_backend_precision_and_digest(key: PlanKey) -> None:
    assert key.name == f"abababababab-onnxruntime-int8-{key.digest[:8]}"
    assert len(key.digest) == 64


@pytest.mark.parametrize("change", CHANGES, ids="-".join)
def test_any_difference_makes_another_plan(
    key: PlanKey, other_key: Callable[..., PlanKey], change: dict[str, object]
) -> None:
    other = other_key(**change)
    assert other != key
    assert other.digest != key.digest


def test_a_key_comes_back_from_a_file(key: PlanKey, other_key: Callable[..., PlanKey]) -> None:
    assert parse_key(json.loads(json.dumps(key.fields()))) == key
    tuples = other_key(settings={"batch": (1, 4, 8), "input_hw": (32, 48)})
    assert tuples == key, "the order of settings and tuples make no difference"
    assert tuples.digest == key.digest


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model": 5}, "model: input should be a valid string"),
        ({"precision": "fp8"}, "precision: input should be 'fp32', 'bf16', 'fp16' or 'int8'"),
        ({"colour": "red"}, "colour: unexpected keyword argument"),
        ({"settings": []}, "settings: input should be an object"),
    ],
)
def test_a_wrong_key_is_told(key: PlanKey, change: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_key({**key.fields(), **change})
    with pytest.raises(ValueError, match="runtime: field required"):
        parse_key({name: value for name, value in key.fields().items() if name != "runtime"})
