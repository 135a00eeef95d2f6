"""Operators that treat each element by itself."""

from functools import reduce
from typing import Any

from engines.reference.registry import Attributes, operator
from engines.reference.types import torch_type

_UNARY = {
    "Abs": "abs", "Ceil": "ceil", "Cos": "cos", "Erf": "erf", "Exp": "exp", "Floor": "floor",
    "Log": "log", "Neg": "neg", "Not": "logical_not", "Reciprocal": "reciprocal",
    "Relu": "relu", "Round": "round", "Sigmoid": "sigmoid", "Sign": "sign", "Sin": "sin",
    "Sqrt": "sqrt", "Tanh": "tanh",
}  # fmt: skip
_BINARY = {
    "Add": "add", "And": "logical_and", "Equal": "eq", "Greater": "gt", "GreaterOrEqual": "ge",
    "Less": "lt", "LessOrEqual": "le", "Mul": "mul", "Or": "logical_or", "Sub": "sub",
}  # fmt: skip
_VARIADIC = {"Max": "maximum", "Min": "minimum", "Sum": "add"}


def _register_plain(name: str, function: str) -> None:
    def run(torch: Any, _: Attributes, *inputs: Any) -> Any:
        return getattr(torch, function)(*inputs)

    operator(name)(run)


def _register_variadic(name: str, function: str) -> None:
    def run(torch: Any, _: Attributes, *inputs: Any) -> Any:
        return reduce(getattr(torch, function), inputs)

    operator(name)(run)


for _name, _function in (_UNARY | _BINARY).items():
    _register_plain(_name, _function)
for _name, _function in _VARIADIC.items():
    _register_variadic(_name, _function)


@operator("Identity")
def _identity(torch: Any, a: Attributes, x: Any) -> Any:
    return x


@operator("Cast", to=0, saturate=1, round_mode="up")
def _cast(torch: Any, a: Attributes, x: Any) -> Any:
    return x.to(torch_type(torch, a.to))


@operator("Div")
def _div(torch: Any, a: Attributes, x: Any, y: Any) -> Any:
    return torch.div(x, y, rounding_mode=None if x.is_floating_point() else "trunc")


@operator("Pow")
def _pow(torch: Any, a: Attributes, x: Any, y: Any) -> Any:
    return torch.pow(x, y).to(x.dtype)


@operator("Where")
def _where(torch: Any, a: Attributes, condition: Any, x: Any, y: Any) -> Any:
    return torch.where(condition, x, y)


@operator("Clip")
def _clip(torch: Any, a: Attributes, x: Any, least: Any = None, most: Any = None) -> Any:
    if least is not None:
        x = torch.maximum(x, least)
    return x if most is None else torch.minimum(x, most)


@operator("Elu", alpha=1.0)
def _elu(torch: Any, a: Attributes, x: Any) -> Any:
    return torch.where(x > 0, x, a.alpha * torch.expm1(torch.clamp(x, max=0)))


@operator("LeakyRelu", alpha=0.01)
def _leaky_relu(torch: Any, a: Attributes, x: Any) -> Any:
    return torch.where(x >= 0, x, a.alpha * x)


@operator("PRelu")
def _prelu(torch: Any, a: Attributes, x: Any, slope: Any) -> Any:
    return torch.where(x >= 0, x, slope * x)


@operator("HardSigmoid", alpha=0.2, beta=0.5)
def _hard_sigmoid(torch: Any, a: Attributes, x: Any) -> Any:
    return torch.clamp(a.alpha * x + a.beta, 0, 1)


@operator("HardSwish")
def _hard_swish(torch: Any, a: Attributes, x: Any) -> Any:
    return x * torch.clamp(x / 6 + 0.5, 0, 1)


@operator("Softplus")
def _softplus(torch: Any, a: Attributes, x: Any) -> Any:
    return torch.logaddexp(x, torch.zeros_like(x))
