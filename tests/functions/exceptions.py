"""Where fovea does not do what PyTorch's table of cases asks, and why. Keep this list short.

Keys are names of entries in ``op_db`` (with the variant, if it has one), or ``name:form`` or
``name:check`` to except only one form (``function``, ``method``, ``inplace``) or one check
(``values``, ``gradients``, or the name of a dtype).
"""

from __future__ import annotations

_COMPLEX = "eigenvalues may be complex numbers"
_FIVE = "5-D input: no volumes yet"
_INTEGERS = "images are floating point"
_VIEW = "the table's input is part of a larger block, which the conversion does not keep"

EXCEPTIONS: dict[str, str] = {
    "addbmm:inplace": "PyTorch's addbmm_ enlarges a tensor that has to broadcast",
    "addbmm:bfloat16": "PyTorch rounds between the products that it sums",
    "gradient": "spacing by coordinates",
    "nextafter:gradients": "it has none",
    "addr:bool": "sums of booleans are int64",
    "as_strided": "not recorded for backward",
    "as_strided/partial_views": _VIEW,
    "nn.functional.batch_norm": "1-D inputs of no elements",
    "nn.functional.conv_transpose2d": "output_padding of more than the stride",
    "nn.functional.feature_alpha_dropout/without_train": "1-D inputs",
    "nn.functional.interpolate/area": _FIVE,
    "nn.functional.interpolate/nearest": _FIVE,
    "nn.functional.interpolate/nearest-exact": _FIVE,
    "nn.functional.interpolate/trilinear": _FIVE,
    "nn.functional.pad/replicate_negative": "replication of an image that cropping left empty",
    "cholesky_inverse:gradients": "the triangle that is not read has a gradient of 0",
    "cholesky_solve:gradients": "the triangle that is not read has a gradient of 0",
    "linalg.eig": _COMPLEX,
    "linalg.eigvals": _COMPLEX,
    "linalg.pinv/hermitian:gradients": "the triangle that is not read has a gradient of 0",
    "matrix_exp:bfloat16": "PyTorch overflows to NaN",
    "matrix_exp:values": "PyTorch's float32 results are less exact (float64 ones are compared)",
    "nn.functional.avg_pool1d:int64": _INTEGERS,
    "nn.functional.avg_pool2d:int64": _INTEGERS,
    "nn.functional.conv1d:int64": _INTEGERS,
    "nn.functional.conv2d:int64": _INTEGERS,
    "nn.functional.conv_transpose1d:int64": _INTEGERS,
    "nn.functional.cosine_embedding_loss:bool": "losses of booleans",
    "nn.functional.hardtanh:int64": _INTEGERS,
    "nn.functional.interpolate/bicubic:uint8": _INTEGERS,
    "nn.functional.interpolate/bilinear:uint8": _INTEGERS,
    "nn.functional.local_response_norm:int64": _INTEGERS,
    "nn.functional.relu6:int64": _INTEGERS,
    "nn.functional.relu6:uint8": _INTEGERS,
    "nn.functional.scaled_dot_product_attention:bfloat16": "PyTorch rounds scores on the way",
    "nn.functional.softmin/with_dtype:uint8": "PyTorch negates before it widens: uint8 wraps",
    "special.entr:gradients": "outside its domain the gradient is 0, not NaN",
}


def reason(key: str, *parts: str) -> str | None:
    """Why a check of an entry is left out, or None."""
    for name in (key, *(f"{key}:{p}" for p in parts)):
        if name in EXCEPTIONS:
            return EXCEPTIONS[name]
    return None
