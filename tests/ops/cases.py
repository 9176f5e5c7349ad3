"""Sample inputs for every op: what the walk over the op table and the fuzzer start from.

Values keep away from kinks (so differences are valid) and from the edges of a function's domain.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Case = tuple[list[Array | None], dict[str, Any]]

RNG = np.random.default_rng(7)
P = {"stride": (1, 1), "padding": (0, 0, 0, 0), "dilation": (1, 1)}


def real(*shape: int) -> Array:
    """Distinct values away from 0 and from integers and their halves."""
    n = int(np.prod(shape))
    values = (RNG.permutation(n) - n / 2 + 0.3) * (3.3 / max(n, 1)) + 0.017
    return values.reshape(shape)


def other(*shape: int) -> Array:
    """Like ``real``, but equal to none of its values."""
    return real(*shape) * 0.93 + 0.0113


def positive(*shape: int) -> Array:
    return np.abs(real(*shape)) + 0.2


def unit(*shape: int) -> Array:
    return RNG.uniform(-0.8, 0.8, shape)


def well(*shape: int) -> Array:
    """Square matrices that are far from singular."""
    n = shape[-1]
    return RNG.uniform(-1, 1, (*shape, n)) + 2 * np.eye(n)


def whole(*shape: int, low: int = 0, high: int = 5) -> Array:
    return RNG.integers(low, high, shape)


def truth(*shape: int) -> Array:
    return RNG.random(shape) > 0.5


def choices(*shape: int) -> Array:
    """Which element each window of four chose; 255 is none."""
    return np.array([0, 1, 2, 3, 255], np.uint8)[RNG.integers(0, 5, shape)]


def unary(domain: Any, *names: str) -> dict[str, list[Case]]:
    return {
        n: [
            ([domain(3, 5)], {}),
            ([domain()], {}),
            ([domain(2, 3, 4, 5)], {}),
            ([domain(0, 3)], {}),
        ]
        for n in names
    }


def binary(first: Any, second: Any, *names: str) -> dict[str, list[Case]]:
    shapes = [((3, 4), (3, 4)), ((3, 1), (4,)), ((2, 3, 4), ()), ((0, 3), (1, 3))]
    return {n: [([first(*a), second(*b)], {}) for a, b in shapes] for n in names}


def reduction(*names: str, make: Any = real) -> dict[str, list[Case]]:
    dims = [(0,), (1,), (0, 2), (0, 1, 2), ()]
    return {
        n: [([make(2, 3, 4)], {"dims": d, "keepdim": k}) for d in dims for k in (False, True)]
        for n in names
    }


SMOOTH = ["neg", "abs", "square", "exp", "exp2", "expm1", "sin", "cos", "atan", "sinh", "cosh", "tanh", "sigmoid",
          "erf", "relu", "sign", "floor", "ceil", "trunc", "round", "isnan", "isinf", "isfinite", "alias",
          "silu", "mish", "hardsigmoid", "hardswish"]  # fmt: skip
CONV = {**P, "groups": 1}
POOL = {
    "kernel": (2, 2),
    "stride": (2, 2),
    "padding": (0, 0, 0, 0),
    "dilation": (1, 1),
    "ceil_mode": False,
}
ODD_POOL = {
    "kernel": (3, 2),
    "stride": (2, 1),
    "padding": (1, 1, 1, 0),
    "dilation": (1, 2),
    "ceil_mode": True,
}
AVG = {"kernel": (3, 2), "stride": (2, 1), "padding": (1, 1, 0, 0), "ceil_mode": False, "count_include_pad": True,
       "divisor": None}  # fmt: skip
RESIZE = {
    "output_size": (5, 7),
    "mode": "bilinear",
    "align_corners": False,
    "scale": (3 / 5, 4 / 7),
}

RELU_NORM = {"eps": 1e-3, "axis": 1, "activation": ("relu", ())}

CASES: dict[str, list[Case]] = {
    **unary(real, *SMOOTH),
    **unary(positive, "log", "log2", "log10", "log1p", "sqrt", "rsqrt", "reciprocal"),
    **unary(unit, "asin", "acos", "tan", "atanh", "erfinv"),
    **unary(real, "asinh", "erfc", "erfcx", "i0", "i0e", "i1", "i1e", "log_ndtr"),
    **unary(positive, "lgamma"),
    "acosh": [([positive(3, 5) + 1], {})],
    **unary(truth, "logical_not"),
    **unary(whole, "bitwise_not"),
    **binary(real, other, "add", "sub", "mul", "maximum", "minimum", "atan2", "clamp_min", "clamp_max", "eq", "ne",
             "lt", "le", "gt", "ge", "relu_grad", "silu_grad", "mish_grad", "hardsigmoid_grad", "hardswish_grad"),
    **binary(real, positive, "div", "remainder", "fmod", "floor_divide"),
    **binary(positive, real, "pow"),
    **binary(positive, positive, "igamma", "igammac", "gamma_slope"),
    **binary(truth, truth, "logical_and", "logical_or", "logical_xor"),
    **binary(real, other, "nextafter"),
    **binary(whole, whole, "gcd", "bitwise_and", "bitwise_or", "bitwise_xor", "left_shift", "right_shift"),
    **reduction("sum", "mean", "prod", "amax", "amin"),
    **reduction("any", "all", make=truth),
    "cast": [([real(3, 4)], {"dtype": "float32"}), ([whole(3)], {"dtype": "float64"})],
    "where": [([truth(3, 4), real(3, 4), real(4)], {}), ([truth(3, 1), real(), real(2)], {})],
    "view": [([real(3, 4)], {"shape": (3, 2, 2)})],
    "permute": [([real(2, 3, 4)], {"dims": (2, 0, 1)})],
    "expand": [([real(3, 1)], {"shape": (2, 3, 4)})],
    "slice": [([real(4, 5)], {"start": (1, 0), "length": (2, 3), "step": (1, 2)})],
    "pick": [([real(4, 5)], {"start": (1, 0), "length": (1, 3), "step": (1, 2), "shape": (3, 1)})],
    "diagonal": [([real(3, 4, 2)], {"offset": 1, "dim1": 0, "dim2": 1})],
    "unfold": [([real(7, 3)], {"dim": 0, "size": 3, "step": s}) for s in (1, 2)],
    "polygamma": [([positive(3, 4)], {"n": n}) for n in (0, 1, 2)],
    "solve": [([well(3), real(3, 2)], {}), ([well(2, 3), real(2, 3, 1)], {})],
    "inverse": [([well(3)], {}), ([well(2, 3)], {})],
    "pinv": [([real(*s)], {"rtol": 1e-10, "atol": 0.0}) for s in ((4, 3), (2, 4), (2, 3, 3))],
    "det": [([well(3)], {}), ([well(2, 2)], {})],
    "slogdet": [([well(3)], {}), ([well(2, 2)], {})],
    "matrix_exp": [([real(3, 3)], {}), ([real(2, 2, 2) * 3], {})],
    "slice_scatter": [([real(2, 3)], {"shape": (4, 5), "start": (1, 0), "length": (2, 3), "step": (1, 2)})],
    "lay_out": [([real(2, 3, 4)], {"strides": s}) for s in ((12, 4, 1), (1, 8, 2), (4, 8, 1))],
    "relu_max_pool2d": [([real(*s)], {"kernel": k, "stride": t, "padding": (0, 0, 0, 0), "dilation": (1, 1), "ceil_mode": False})
                        for s, k, t in (((2, 3, 4, 6), (2, 2), (2, 2)), ((1, 9, 8, 7), (3, 2), (3, 4)), ((2, 17, 5, 5), (1, 1), (2, 2)))],
    "relu_max_pool2d_grad": [([real(2, c, 2, 2), choices(2, c, 2, 2)], {"kernel": (2, 2), "stride": t, "input_size": n})
                             for c, t, n in ((3, (2, 2), (4, 4)), (19, (2, 3), (5, 7)))],
    "clone": [([real(2, 3, 4, 5)], {"layout": k}) for k in ("preserve", "contiguous", "channels_last")]
    + [([real(2, 3, 2, 4, 5)], {"layout": "channels_last_3d"})],
    "cat": [([real(2, 3), real(2, 1), real(2, 4)], {"dim": 1}), ([real(2, 3, 2, 2), real(1, 3, 2, 2)], {"dim": 0})],
    "stack": [([real(2, 3), real(2, 3), real(2, 3)], {"dim": d}) for d in (0, 1, 2)] + [([real(), real()], {"dim": 0})],
    "nonfinite": [([real(2, 3), real(4)], {}), ([real(2, 3), np.array([[0.5, -np.inf]])], {})],
    "pad": [([real(2, 3)], {"before": (1, 0), "after": (0, 2), "value": 0.5}),
            ([real(2, 4)], {"before": (0, -1), "after": (1, -1), "value": 0.0})],
    "flip": [([real(2, 3, 4)], {"dims": (0, 2)})],
    "roll": [([real(3, 4)], {"shifts": (1, -2), "dims": (0, 1)})],
    "tril": [([real(2, 3, 4)], {"diagonal": 1})],
    "triu": [([real(3, 3)], {"diagonal": -1})],
    "argmax": [([real(3, 4)], {"dim": d, "keepdim": k}) for d in (0, 1) for k in (False, True)],
    "argmin": [([real(3, 4)], {"dim": d, "keepdim": False}) for d in (0, 1)],
    "cumsum": [([real(3, 4)], {"dim": d}) for d in (0, 1)],
    "cumprod": [([real(3, 4)], {"dim": d}) for d in (0, 1)],
    "index": [([real(5, 3), whole(2, 2)], {"dims": (0,)}), ([real(5, 2, 5), whole(3), whole(1)], {"dims": (0, 2)})],
    "index_grad": [([real(4, 3), whole(4)], {"dims": (0,), "shape": (5, 3)})],
    "index_put": [([real(6, 3), real(4, 3), np.array([0, 5, 2, 3])], {"dims": (0,), "accumulate": a}) for a in (False, True)],
    "gather": [([real(5, 3), whole(2, 3)], {"dim": 0})],
    "scatter": [([real(5, 3), np.array([[0, 1, 2], [3, 4, 0]]), real(2, 3)], {"dim": 0})],
    "scatter_add": [([real(5, 3), whole(4, 3), real(4, 3)], {"dim": 0})],
    "scatter_reduce": [([real(5, 3), np.array([[0, 1, 2], [0, 4, 0]]), other(2, 3)],
                        {"dim": 0, "reduce": r, "include_self": s}) for r in ("prod", "amax", "amin") for s in (True, False)],
    "cummax": [([real(4, 3)], {"dim": d}) for d in (0, 1)],
    "cummin": [([real(4, 3)], {"dim": d}) for d in (0, 1)],
    "logcumsumexp": [([real(4, 3)], {"dim": d}) for d in (0, 1)],
    "mode": [([real(4, 3)], {"dim": d}) for d in (0, 1)],
    "searchsorted": [([np.sort(real(7)), real(2, 3)], {"right": r}) for r in (False, True)],
    "topk": [
        ([real(4, 9)], {"count": n, "largest": k}) for n in (0, 1, 4, 9) for k in (False, True)
    ],
    "sort": [([real(4, 3)], {"dim": d, "descending": k}) for d in (0, 1) for k in (False, True)],
    "matmul": [([real(3, 4), real(4, 5)], {}), ([real(2, 1, 3, 4), real(5, 4, 2)], {}), ([real(3, 0), real(0, 2)], {})],
    "linear": [([real(3, 4), real(5, 4), real(5)], {}), ([real(2, 3, 4), real(5, 4), None], {})],
    "linear_fused": [([real(3, 4), real(5, 4), real(5), real(3, 5)], {"activation": ("silu", ())}),
                     ([real(4), real(5, 4), None, real(5)], {"activation": ("relu", ()), "residual_after": True}),
                     ([real(2, 3, 4), real(5, 4), real(5), None], {"activation": ("gelu", ("none",))})],
    "matmul_fused": [([real(3, 4), real(4, 5), real(5), real(3, 5)], {"activation": ("silu", ())}),
                     ([real(2, 1, 3, 4), real(5, 4, 2), None, real(2, 5, 3, 2)], {"activation": ("relu", ())})],
    "gelu": [([real(3, 4)], {"approximate": k}) for k in ("none", "tanh")],
    "gelu_grad": [([real(3, 4), real(3, 4)], {"approximate": k}) for k in ("none", "tanh")],
    "softplus": [([real(3, 4)], {"beta": 1.5, "threshold": 20.0})],
    "softplus_grad": [([real(3, 4), real(3, 4)], {"beta": 1.5, "threshold": 20.0})],
    "leaky_relu": [([real(3, 4)], {"slope": 0.1})],
    "leaky_relu_grad": [([real(3, 4), real(3, 4)], {"slope": 0.1})],
    "elu": [([real(3, 4)], {"alpha": 1.2, "scale": 1.1, "input_scale": 0.9})],
    "elu_grad": [([real(3, 4), real(3, 4)], {"alpha": 1.2, "scale": 1.1, "input_scale": 0.9})],
    "hardtanh": [([real(3, 4)], {"low": -0.7, "high": 0.8})],
    "hardtanh_grad": [([real(3, 4), real(3, 4)], {"low": -0.7, "high": 0.8})],
    "conv2d": [([real(2, 3, 5, 6), real(4, 3, 3, 2), real(4)], CONV),
               ([real(1, 4, 6, 5), real(6, 2, 3, 3), None],
                {"stride": (2, 1), "padding": (1, 0, 2, 1), "dilation": (1, 2), "groups": 2}),
               ([real(2, 3, 4, 4), real(3, 1, 3, 3), None], {**CONV, "groups": 3})],
    "conv2d_fused": [([real(2, 3, 5, 6), real(4, 3, 3, 2), real(4), real(4), real(2, 4, 3, 5),
                       real(4)], {**CONV, "activation": ("silu", ())}),
                     ([real(2, 4, 5, 5), real(6, 2, 1, 1), None, None, real(2, 6, 5, 5), None],
                      {**CONV, "groups": 2, "activation": ("relu", ()), "residual_after": True})],
    "conv2d_max_pool": [([real(2, 3, 7, 9), real(4, 3, 3, 2), real(4), real(4), real(4)],
                         {**CONV, "activation": ("relu", ()), "pool_kernel": (2, 1), "pool_stride": (2, 2)}),
                        ([real(1, 4, 6, 5), real(6, 2, 1, 1), None, None, None],
                         {**CONV, "stride": (1, 1), "groups": 2, "activation": ("silu", ())})],
    "conv2d_moments": [([real(2, 3, 5, 6), real(4, 3, 3, 2), real(4)], {**CONV, "eps": 1e-3}),
                       ([real(2, 3, 4, 4), real(3, 1, 3, 3), None], {**CONV, "groups": 3})],
    "conv2d_input_grad": [([real(2, 4, 3, 5), real(4, 3, 3, 2)], {**CONV, "input_size": (5, 6)}),
                          ([real(2, 4, 2, 3), real(4, 2, 3, 2)],
                           {"stride": (2, 2), "padding": (1, 1, 0, 0), "dilation": (1, 1), "groups": 2,
                            "input_size": (4, 6)})],
    "conv2d_weight_grad": [([real(2, 4, 3, 5), real(2, 3, 5, 6)], {**CONV, "kernel": (3, 2)})],
    "max_pool2d": [([real(2, 3, 4, 6)], POOL), ([real(1, 2, 5, 6)], ODD_POOL)],
    "max_pool2d_with_indices": [([real(2, 3, 4, 6)], POOL), ([real(1, 2, 5, 6)], ODD_POOL)],
    "avg_pool2d": [([real(2, 3, 5, 6)], AVG), ([real(1, 2, 4, 4)], {**AVG, "count_include_pad": False})],
    "avg_pool2d_grad": [([real(2, 3, 3, 5)], {**AVG, "input_size": (5, 6)})],
    "adaptive_avg_pool2d": [([real(2, 3, 5, 7)], {"output_size": s}) for s in ((1, 1), (2, 3), (7, 7))],
    "adaptive_avg_pool2d_grad": [([real(2, 3, 2, 3)], {"input_size": (5, 7)})],
    "adaptive_max_pool2d": [([real(2, 3, 5, 7)], {"output_size": (2, 3)})],
    "resize2d": [([real(1, 2, 3, 4)], RESIZE)],
    "resize2d_grad": [([real(1, 2, 5, 7)], {**RESIZE, "input_size": (3, 4)})],
    "sample2d": [
        ([real(2, 3, 4, 5), RNG.uniform(-3, 7, (2, 3, 2, 2))], {"mode": mode, "outside": outside, "fill": 0.5})
        for mode in ("bilinear", "nearest") for outside in ("constant", "border", "reflect", "mirror", "wrap")
    ] + [
        ([real(1, 17, 3, 4), RNG.uniform(-1.4, 1.4, (1, 5, 7, 2))], {"mode": "bilinear", "outside": "border", "grid": grid})
        for grid in ("corners", "edges")
    ],
    "sample2d_grad": [
        ([real(2, 3, 2, 2), real(2, 3, 4, 5), RNG.uniform(-3, 7, (2, 2, 2, 2))],
         {"mode": mode, "outside": outside, "fill": 0.5})
        for mode in ("bilinear", "nearest") for outside in ("constant", "border", "reflect", "mirror", "wrap")
    ] + [
        ([real(1, 17, 5, 7), real(1, 17, 3, 4), RNG.uniform(-1.4, 1.4, (1, 5, 7, 2))],
         {"mode": "bilinear", "outside": "border", "grid": grid})
        for grid in ("corners", "edges")
    ],
    "suppress": [
        ([np.cumsum(RNG.uniform(0.5, 4, (4, 40)), 0) + RNG.uniform(0, 9, 40), np.array(starts)], {"threshold": t})
        for starts, t in (([0, 40], 0.3), ([0, 1, 19, 19, 40], 0.1))
    ],
    "softmax": [([real(3, 4, 2)], {"dim": d}) for d in (0, 1, 2)],
    "softmax_grad": [([real(3, 4), np.full((3, 4), 0.25)], {"dim": 1})],
    "log_softmax": [([real(3, 4, 2)], {"dim": d}) for d in (0, 1, 2)],
    "log_softmax_grad": [([real(3, 4), np.log(np.full((3, 4), 0.25))], {"dim": 1})],
    "cross_entropy": [([real(4, 5), whole(4)], {"ignore_index": -100})],
    "cross_entropy_grad": [([real(4), real(4, 5), whole(4)], {"ignore_index": -100})],
    "nll_loss": [([real(4, 5), whole(4)], {"ignore_index": -100})],
    "nll_loss_grad": [([real(4), whole(4)], {"ignore_index": -100, "classes": 5})],
    "binary_cross_entropy": [([RNG.uniform(0.1, 0.9, (3, 4)), RNG.uniform(0.1, 0.9, (3, 4))], {})],
    "binary_cross_entropy_grad": [
        ([real(3, 4), RNG.uniform(0.1, 0.9, (3, 4)), RNG.uniform(0.1, 0.9, (3, 4))], {})],
    "batch_norm_train": [([real(4, 3, 2, 2), real(3), real(3)], {"eps": 1e-3, "axis": 1}),
                         ([real(6, 3), None, None], {"eps": 1e-3, "axis": 1})],
    "batch_norm_train_grad": [([real(4, 3, 2, 2), real(4, 3, 2, 2), real(3), real(3), positive(3)],
                               {"eps": 1e-3, "axis": 1})],
    "batch_norm_infer": [([real(4, 3, 2, 2), real(3), positive(3), real(3), real(3)], {"eps": 1e-3, "axis": 1})],
    "batch_norm_apply": [([real(4, 3, 2, 2), real(3), positive(3), real(3), real(3), real(4, 3, 2, 2)], a)
                         for a in (RELU_NORM, {**RELU_NORM, "variance": True})],
    "batch_norm_train_fused": [([real(4, 3, 2, 2), real(3), real(3), real(4, 3, 2, 2)], RELU_NORM),
                               ([real(6, 3), None, None, None], {"eps": 1e-3, "activation": ("gelu", ("none",))})],
    "batch_norm_grad_fused": [([real(4, 3, 2, 2), real(4, 3, 2, 2), real(3), None, real(3), positive(3),
                                np.maximum(real(4, 3, 2, 2), 0)], {**RELU_NORM, "residual": True}),
                              ([real(4, 3, 2, 2), real(4, 3, 2, 2), real(3), real(3), real(3), positive(3), None],
                               {"eps": 1e-3, "activation": ("silu", ())})],
    "layer_norm": [([real(4, 3, 5), real(5), real(5)], {"ndim": 1, "eps": 1e-3}),
                   ([real(2, 3, 4), None, None], {"ndim": 2, "eps": 1e-3})],
    "layer_norm_grad": [([real(4, 5), real(4, 5), real(5), real(4), positive(4)], {"ndim": 1, "eps": 1e-3})],
    "ctc_rows": [([real(*s), truth(*s[1:]), np.array(n)], {}) for s, n in
                 (((4, 2, 5), [4, 3]), ((3, 2, 19), [3, 1]), ((2, 1, 1), [2]), ((1, 2, 3), [1, 0]))],
    "ctc_rows_grad": [([real(*s), real(*s), real(*s) - 3, truth(*s[1:]), np.array(n)], {}) for s, n in
                      (((4, 2, 5), [4, 3]), ((3, 2, 19), [3, 1]), ((2, 1, 1), [2]), ((1, 2, 3), [1, 0]))],
    "lstm": [([real(3, 2, 12), real(2, 3), real(2, 3), unit(12, 3), None], {}),
             ([real(2, 3, 8), real(3, 2), real(3, 2), unit(8, 2), truth(2, 3)], {"reverse": True})],
    "lstm_grad": [([real(4, 2, 3), None, None, real(4, 2, 3), unit(3, 2, 12), unit(12, 3), None], {"reverse": True}),
                  ([real(3, 3, 2), real(3, 3, 2), real(2, 3, 8), real(3, 3, 2), unit(2, 3, 8), unit(8, 2), truth(2, 3)], {})],
    "gru": [([real(3, 2, 9), real(2, 3), unit(9, 3), real(9), None], {}),
            ([real(2, 3, 6), real(3, 2), unit(6, 2), None, truth(2, 3)], {"reverse": True}),
            ([real(2, 2, 6), real(2, 2), unit(6, 2), real(6), None], {"update_first": True})],
    "gru_grad": [([real(4, 2, 3), None, real(4, 2, 3), unit(3, 2, 12), unit(9, 3), None], {"reverse": True}),
                 ([real(3, 3, 2), real(2, 3, 8), real(3, 3, 2), unit(2, 3, 8), unit(6, 2), truth(2, 3)], {"update_first": True})],
    "rnn": [([real(3, 2, 3), real(2, 3), unit(3, 3), None], {}),
            ([real(2, 3, 2), real(3, 2), unit(2, 2), truth(2, 3)], {"reverse": True, "relu": True})],
    "rnn_grad": [([real(4, 2, 3), unit(4, 2, 3), unit(3, 3), None], {"reverse": True, "relu": True}),
                 ([real(3, 3, 2), unit(3, 3, 2), unit(2, 2), truth(2, 3)], {})],
}  # fmt: skip


def cases() -> Iterator[tuple[str, int]]:
    """Names and numbers of all cases."""
    for name, found in CASES.items():
        for i in range(len(found)):
            yield name, i
