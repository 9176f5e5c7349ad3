"""Attributes as plain data and back: the same object, and nothing else from data that do not fit."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from fovea import dtypes
from fovea.graph.attributes import attrs_from_plain, attrs_to_plain, op_named
from fovea.ops.activation import SlopeAttrs, leaky_relu
from fovea.ops.elementwise import CastAttrs, cast
from fovea.ops.fused_norm import NormApplyAttrs, batch_norm_apply
from fovea.ops.fused_pointwise import (
    Number,
    PointwiseAttrs,
    PointwiseReduceAttrs,
    Step,
    pointwise,
    pointwise_reduce,
)
from fovea.ops.op import Attrs
from fovea.ops.pool import AvgPoolAttrs, avg_pool2d
from fovea.ops.random import IntegersAttrs, random_integers
from fovea.ops.rearrange import PadAttrs, pad
from fovea.ops.reduce import ReduceAttrs, sum_
from fovea.ops.shape import view
from tests.ops.cases import CASES

NESTED = PointwiseAttrs.of(
    2,
    (Number(-0.0, dtypes.float32), Number(math.inf, dtypes.bfloat16)),
    (
        Step("leaky_relu", SlopeAttrs.of(0.1), (0,), dtypes.float32),
        Step("add", None, (4, 1), dtypes.float32),
    ),
    (5, 4),
)


def there_and_back(op: Any, attrs: Attrs | None) -> Any:
    return attrs_from_plain(op, json.loads(json.dumps(attrs_to_plain(attrs), allow_nan=False)))


@pytest.mark.parametrize("name", sorted(CASES))
def test_every_op(name: str) -> None:
    op = op_named(name)
    for _, keywords in CASES[name]:
        fields = {k: dtypes.as_dtype(v) if k == "dtype" else v for k, v in keywords.items()}
        attrs = op.attrs_class.from_keywords(fields) if op.attrs_class else None
        assert there_and_back(op, attrs) is attrs


@pytest.mark.parametrize(
    ("op", "attrs"),
    [
        (pointwise, NESTED),
        (pointwise_reduce, PointwiseReduceAttrs.of(NESTED, "sum", (0,), True)),
        (batch_norm_apply, NormApplyAttrs.of(0.1, 1, ("nan", (math.inf, "x", 1.0)), True, False)),
        (pad, PadAttrs.of((), (), -0.0)),
        (pad, PadAttrs.of((1,), (-1,), math.nan)),
        (pad, PadAttrs.of((), (), -math.inf)),
        (avg_pool2d, AvgPoolAttrs.of((1, 2), (1, 1), (0, 0, 0, 0), False, True, 3)),
        (random_integers, IntegersAttrs.of((2,), dtypes.int64, -(1 << 63), 1 << 63)),
    ],
)
def test_unusual_values(op: Any, attrs: Attrs) -> None:
    assert there_and_back(op, attrs) is attrs


def test_floats_keep_their_bits() -> None:
    for number in (0.1, 1e-310, 1 / 3, 1.7976931348623157e308):
        assert there_and_back(leaky_relu, SlopeAttrs.of(number)).slope == number


REDUCE = {"dims": [0], "keepdim": True}


@pytest.mark.parametrize(
    ("op", "data"),
    [
        (sum_, None),
        (sum_, []),
        (sum_, {"dims": [0]}),
        (sum_, {**REDUCE, "more": 1}),
        (sum_, {**REDUCE, "keepdim": 1}),
        (sum_, {**REDUCE, "keepdim": None}),
        (sum_, {**REDUCE, "dims": 0}),
        (sum_, {**REDUCE, "dims": [0.5]}),
        (sum_, {**REDUCE, "dims": [True]}),
        (sum_, {**REDUCE, "dims": [1 << 70]}),
        (sum_, {**REDUCE, "dims": {"0": 0}}),
        (sum_, {**REDUCE, "dims": [[0]]}),
        (leaky_relu, {"slope": "0.1"}),
        (leaky_relu, {"slope": "nan"}),
        (leaky_relu, {"slope": {"float": "1.0"}}),
        (leaky_relu, {"slope": {"float": None}}),
        (leaky_relu, {"slope": 10**400}),
        (leaky_relu, {"slope": math.inf}),
        (cast, {"dtype": 4}),
        (cast, {"dtype": ["float32"]}),
        (pointwise, {**attrs_to_plain(NESTED), "constants": [[1.0, "float32"]]}),
        (pointwise, {**attrs_to_plain(NESTED), "constants": [{"value": 1.0}]}),
        (pointwise, {**attrs_to_plain(NESTED), "steps": [{"op": "add", "attrs": {"of": "os.system", "fields": {}}, "operands": [0, 1], "dtype": "float32"}]}),
        (pointwise, {**attrs_to_plain(NESTED), "steps": [{"op": "add", "attrs": {"of": "add", "fields": {}}, "operands": [0, 1], "dtype": "float32"}]}),
        (pointwise, {**attrs_to_plain(NESTED), "steps": [{"op": "add", "attrs": "x", "operands": [0, 1], "dtype": "float32"}]}),
        (op_named("relu"), {}),
        (op_named("avg_pool2d"), {"kernel": [1, 2, 3], "stride": [1, 1], "padding": [0, 0, 0, 0], "ceil_mode": False, "count_include_pad": True, "divisor": None}),
    ],
)  # fmt: skip
def test_data_that_do_not_fit(op: Any, data: Any) -> None:
    with pytest.raises(ValueError, match="."):
        attrs_from_plain(op, data)


def test_unknown_types_and_ops() -> None:
    with pytest.raises(TypeError, match="float128"):
        attrs_from_plain(cast, {"dtype": "float128"})
    with pytest.raises(ValueError, match="no op called 'system'"):
        op_named("system")
    assert there_and_back(cast, CastAttrs.of(dtypes.bool_)).dtype is dtypes.bool_


def test_what_cannot_be_written() -> None:
    with pytest.raises(TypeError, match="of type complex"):
        attrs_to_plain(SlopeAttrs.of(1j))
    assert attrs_to_plain(None) is None
    assert there_and_back(view, view.attrs_class.of((2, 3))).shape == (2, 3)  # type: ignore[union-attr]
    assert there_and_back(sum_, ReduceAttrs.of((), False)).dims == ()
