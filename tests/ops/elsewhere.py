"""Sample inputs for the ops whose meaning other tests check: those that change state, mean memory,
or have inputs that depend on one another.

The samples are what the fuzzer and the walk over the kernels start from.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fovea import dtypes
from fovea.ops import optim
from fovea.ops.conv import ConvAttrs
from fovea.ops.fused_pointwise import Number, PointwiseAttrs, Step
from fovea.ops.op import Spec
from fovea.ops.update import SCALAR_STATES, UpdateAttrs
from fovea.targets.cpu.fused_conv import conv2d_packing
from fovea.targets.cpu.fused_linear import linear_packing
from tests.ops.cases import CONV, POOL, Array, Case, positive, real

SHAPES = ((3, 4), (5,))  # of the parameters
PLAIN = {"decay": "none", "maximize": False}


def state() -> Array:
    """A generator's seed and offset."""
    return np.array([5, 3], np.int64)


def drawn(**attrs: Any) -> Case:
    return [state()], {"shape": (3, 5), "dtype": dtypes.float32, **attrs}


def update(kind: type[UpdateAttrs], **options: Any) -> Case:
    """Two parameters in float32 with gradients and states, and scalars that make a usual step."""
    attrs = {**PLAIN, **options}
    made = kind(**attrs)
    usual = {
        "lr": 0.1, "weight_decay": 0.01, "momentum": 0.9, "eps": 1e-8, "dampening": 0.1, "skip": 0,
        "shrink": 0.5, "grow": 1.2, "smallest": 1e-6, "largest": 50, "power": -0.5, "l1": 0.1,
    }  # fmt: skip
    tensors: list[Array | None] = [np.array([usual.get(s, 0.9) for s in made.scalars])]
    tensors += [real(*shape).astype("f4") for shape in SHAPES * 2]
    for name in made.states:
        sizes = [() if name in SCALAR_STATES else shape for shape in SHAPES]
        tensors += [np.asarray(positive(*size), "f4") for size in sizes]
    return tensors, attrs


def spec_of(array: Array) -> Spec:
    return Spec(array.shape, dtypes.float64)


REGION = PointwiseAttrs.of(  # two outputs of two operands and a constant
    2,
    (Number(0.75, dtypes.float64),),
    (
        Step("add", None, (0, 1), dtypes.float64),
        Step("mul", None, (3, 2), dtypes.float64),
        Step("silu", None, (4,), dtypes.float64),
    ),
    (4, 5),
)
SYMMETRIC = np.diag([3.0, 2.0, 4.0]) + 0.5
WEIGHT, IMAGES = real(4, 3, 3, 2), real(2, 3, 5, 6)
CONV_PACKING = conv2d_packing(
    spec_of(IMAGES), spec_of(WEIGHT), ConvAttrs.of((1, 1), (0, 0, 0, 0), (1, 1), 1)
)
LINEAR_PACKING = linear_packing(spec_of(real(3, 4)), spec_of(real(5, 4)))
# Ops of complex numbers: PyTorch's tables of cases check them (`tests/functions`).
BY_TABLE = frozenset(
    [
        "complex",
        "complex_abs",
        "complex_angle",
        "conj",
        "real",
        "imag",
        "view_as_real",
        "view_as_complex",
        "fft_c2c",
        "fft_r2c",
        "fft_c2r",
    ]
)
ELSEWHERE: dict[str, list[Case]] = {
    "conv2d_pack": [([WEIGHT], vars(CONV_PACKING))],
    "conv2d_packed": [
        (
            [IMAGES, real(CONV_PACKING.count), real(4), None, real(2, 4, 3, 5), real(4)],
            {**CONV, "weight": WEIGHT.shape, "packing": CONV_PACKING.packing},
        )
    ],
    "linear_pack": [([real(5, 4)], vars(LINEAR_PACKING))],
    "linear_packed": [
        (
            [real(3, 4), real(LINEAR_PACKING.count), real(5), real(3, 5)],
            {"outputs": 5, "packing": LINEAR_PACKING.packing},
        )
    ],
    "random_uniform": [drawn(low=-1.0, high=2.0), drawn(low=0.0, high=1.0, dtype=dtypes.float64)],
    "random_normal": [drawn(mean=1.0, std=2.0), drawn(mean=0.0, std=1.0, dtype=dtypes.bfloat16)],
    "random_exponential": [drawn(rate=1.5)],
    "random_integers": [
        drawn(low=-3, high=9, dtype=dtypes.int64),
        drawn(low=-(2**63), high=2**63, dtype=dtypes.int64),
    ],
    "random_permutation": [([state()], {"n": 17, "dtype": dtypes.int64})],
    "random_multinomial": [
        ([state(), positive(3, 6)], {"count": 4, "replacement": k}) for k in (False, True)
    ],
    "random_poisson": [([state(), positive(3, 6)], {})],
    "sgd_update": [
        update(optim.SgdAttrs),
        update(optim.SgdAttrs, momentum=True, nesterov=True, decay="l2"),
        update(optim.SgdAttrs, momentum=True, first=True, maximize=True),
        update(optim.SgdAttrs, momentum=True, lr_in_velocity=True, decay="decoupled"),
    ],
    "adam_update": [
        update(optim.AdamAttrs),
        update(optim.AdamAttrs, amsgrad=True, decay="decoupled"),
        update(optim.AdamAttrs, eps_mode="raw", decay="l2"),
    ],
    "rmsprop_update": [
        update(optim.RmspropAttrs),
        update(optim.RmspropAttrs, momentum=True, centered=True, decay="l2"),
        update(optim.RmspropAttrs, momentum=True, eps_mode="inside", lr_in_velocity=True),
    ],
    "adagrad_update": [
        update(optim.AdagradAttrs),
        update(optim.AdagradAttrs, eps_mode="inside", decay="l2"),
    ],
    "adamax_update": [update(optim.AdamaxAttrs), update(optim.AdamaxAttrs, eps_mode="ratio")],
    "adadelta_update": [update(optim.AdadeltaAttrs), update(optim.AdadeltaAttrs, decay="l2")],
    "radam_update": [update(optim.RadamAttrs), update(optim.RadamAttrs, decay="decoupled")],
    "rprop_update": [update(optim.RpropAttrs), update(optim.RpropAttrs, maximize=True)],
    "lion_update": [update(optim.LionAttrs), update(optim.LionAttrs, decay="decoupled")],
    "ftrl_update": [update(optim.FtrlAttrs), update(optim.FtrlAttrs, decay="decoupled")],
    "nadam_update": [update(optim.NadamAttrs), update(optim.NadamAttrs, decay="decoupled")],
    "conv2d_bytes": [
        (
            [
                np.arange(2 * 4 * 5 * 6).reshape(2, 4, 5, 6).astype("u1"),
                (np.arange(3 * 4 * 3 * 3).reshape(3, 4, 3, 3) - 50).astype("i1"),
                *(real(3).astype("f4") for _ in range(2)),
            ],
            {**CONV, "border": 7},
        )
    ],
    "batch_norm_update": [
        ([real(4), positive(4), real(4), positive(4)], {"momentum": 0.1, "correction": 1.2})
    ],
    "max_pool2d_grad": [([real(2, 3, 2, 3), real(2, 3, 4, 6), real(2, 3, 2, 3)], POOL)],
    "pointwise": [([real(3, 4), real(4)], vars(REGION))],
    "pointwise_reduce": [
        ([real(3, 4), real(4)], {"expression": REGION, "reduction": r, "dims": (1,), "keepdim": k})
        for r, k in (("sum", False), ("amax", True))
    ],
    # One triangle is read, or signs are free: tests/functions compares them with PyTorch.
    "cholesky": [([SYMMETRIC], {})],
    "eig": [([SYMMETRIC], {})],
    "eigh": [([SYMMETRIC], {"upper": u}) for u in (False, True)],
    "lu_factor": [
        ([real(*s)], {"pivot": True, "strict": False}) for s in ((4, 4), (2, 3, 5), (5, 3))
    ],
    "pivoted_rows": [
        ([np.array([2, 3, 3], np.int32)], {"rows": 4, "inverse": i}) for i in (False, True)
    ],
    "qr": [([real(4, 3)], {"complete": c}) for c in (False, True)],
    "solve_triangular": [
        ([(np.triu if u else np.tril)(real(4, 4)) + 4 * np.eye(4), real(4, 2)], {"upper": u})
        for u in (False, True)
    ],
    "svd": [([real(4, 3)], {"full": f}) for f in (False, True)],
    "strided": [([real(4, 6)], {"shape": (2, 3), "strides": (6, 2), "offset": 7})],
    "strided_scatter": [
        ([real(4, 6), real(2, 3)], {"shape": (2, 3), "strides": (6, 2), "offset": 7})
    ],
}
