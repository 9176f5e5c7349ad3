"""Where fovea does not do what PyTorch's table of cases asks, and why. Keep this list short.

Keys are names of entries in ``op_db`` (with the variant, if it has one), or ``name:form`` or
``name:check`` to except only one form (``function``, ``method``, ``inplace``) or one check
(``values``, ``gradients``, or the name of a dtype).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

NOT_COMPLEX = "it takes no complex numbers"
_INTEGERS = "images are floating point"
_VIEW = "the table's input is part of a larger block, which the conversion does not keep"

_TRIANGLE = "the triangle that is not read has a gradient of 0"
_HERMITIAN = "with upper=True, gradients differ by what is zero for Hermitian matrices"

EXCEPTIONS: dict[str, str] = {
    **dict.fromkeys(("linalg.cholesky:complex", "linalg.cholesky_ex:complex"), _HERMITIAN),
    "addbmm:inplace": "PyTorch's addbmm_ enlarges a tensor that has to broadcast",
    "addbmm:bfloat16": "PyTorch rounds between the products that it sums",
    "nextafter:gradients": "it has none",
    "addr:bool": "sums of booleans are int64",
    "as_strided": "not recorded for backward",
    "as_strided/partial_views": _VIEW,
    **dict.fromkeys(("cholesky_inverse:gradients", "cholesky_inverse:complex"), _TRIANGLE),
    **dict.fromkeys(("cholesky_solve:gradients", "cholesky_solve:complex"), _TRIANGLE),
    **dict.fromkeys(
        ("linalg.pinv/hermitian:gradients", "linalg.pinv/hermitian:complex"), _TRIANGLE
    ),
    "matrix_exp:bfloat16": "PyTorch overflows to NaN",
    "matrix_exp:values": "PyTorch's float32 results are less exact (float64 ones are compared)",
    "nn.functional.avg_pool1d:int64": _INTEGERS,
    "nn.functional.avg_pool2d:int64": _INTEGERS,
    "nn.functional.avg_pool3d:int64": _INTEGERS,
    "nn.functional.conv3d:int64": _INTEGERS,
    "nn.functional.conv_transpose3d:bfloat16": "sums of planes are rounded in between",
    "nn.functional.conv_transpose3d:int64": _INTEGERS,
    "nn.functional.grid_sample:bfloat16": "PyTorch rounds places to bfloat16, fovea keeps float32",
    "nn.functional.triplet_margin_with_distance_loss": "the table passes PyTorch's distance",
    "nn.functional.conv1d:int64": _INTEGERS,
    "nn.functional.conv2d:int64": _INTEGERS,
    "nn.functional.conv_transpose1d:int64": _INTEGERS,
    "nn.functional.conv_transpose2d:int64": _INTEGERS,
    "nn.functional.interpolate/nearest:uint8": _INTEGERS,
    "nn.functional.interpolate/nearest-exact:uint8": _INTEGERS,
    "nn.functional.cosine_embedding_loss:bool": "losses of booleans",
    "nn.functional.hardtanh:int64": _INTEGERS,
    "nn.functional.interpolate/bicubic:uint8": _INTEGERS,
    "nn.functional.interpolate/bilinear:uint8": _INTEGERS,
    "nn.functional.upsample_nearest:uint8": _INTEGERS,
    "nn.functional.upsample_bilinear:uint8": _INTEGERS,
    "nn.functional.local_response_norm:int64": _INTEGERS,
    "nn.functional.relu6:int64": _INTEGERS,
    "nn.functional.relu6:uint8": _INTEGERS,
    "nn.functional.scaled_dot_product_attention:bfloat16": "PyTorch rounds scores on the way",
    "nn.functional.softmin/with_dtype:uint8": "PyTorch negates before it widens: uint8 wraps",
    "special.entr:gradients": "outside its domain the gradient is 0, not NaN",
}

_REAL_ONLY = """
    logaddexp logcumsumexp
    nn.functional.conv1d nn.functional.conv2d nn.functional.conv3d
    nn.functional.conv_transpose1d nn.functional.conv_transpose2d nn.functional.conv_transpose3d
    nn.functional.silu/complex
"""
EXCEPTIONS |= {f"{key}:complex": NOT_COMPLEX for key in _REAL_ONLY.split()}

_PADDED = (
    "output_padding of more than the stride",
    lambda s: _larger(s.kwargs.get("output_padding", 0), s.kwargs.get("stride", 1)),
)
_NO_CLASSES = ("0-d inputs", lambda s: not s.input.ndim)

# Samples of an entry that are left out: why, and which.
LEFT_OUT: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "gradient": (
        "spacing by coordinates",
        lambda s: any(getattr(h, "ndim", 0) for h in _listed(s.kwargs.get("spacing"))),
    ),
    "nn.functional.batch_norm": ("1-D inputs of no elements", lambda s: s.input.ndim < 2),
    "nn.functional.conv_transpose2d": _PADDED,
    "nn.functional.conv_transpose3d": _PADDED,
    "nn.functional.multi_head_attention_forward": ("random dropout", lambda s: s.args[9] > 0),
    "nn.functional.multi_margin_loss": _NO_CLASSES,
    "nn.functional.multilabel_margin_loss": _NO_CLASSES,
    "nn.functional.feature_alpha_dropout/without_train": ("1-D inputs", lambda s: s.input.ndim < 2),
    "nn.functional.pad/replicate_negative": (
        "replication of an image that cropping left empty",
        lambda s: _emptied(s.input.shape, s.args[0]),
    ),
}


def _listed(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else [value]


def _emptied(shape: Any, amounts: Any) -> bool:
    """Whether cropping leaves nothing of a dimension."""
    pairs = zip(amounts[::2], amounts[1::2], strict=True)
    return any(
        n + min(b, 0) + min(e, 0) <= 0 for n, (b, e) in zip(shape[::-1], pairs, strict=False)
    )


def _larger(one: Any, other: Any) -> bool:
    """Whether a size is as large as another, in any dimension."""
    a, b = _listed(one), _listed(other)
    longest = max(len(a), len(b))
    pairs = zip(list(a) * (longest // len(a)), list(b) * (longest // len(b)), strict=True)
    return any(n >= m for n, m in pairs)


def reason(key: str, *parts: str) -> str | None:
    """Why a check of an entry is left out, or None."""
    for name in (key, *(f"{key}:{p}" for p in parts)):
        if name in EXCEPTIONS:
            return EXCEPTIONS[name]
    return None
