"""Rules of convolutions, pools and normalizations."""

from __future__ import annotations

import dataclasses
from typing import Any

from fovea.errors import InplaceError, ShapeError
from fovea.func.batching.call import Call, in_parts
from fovea.func.batching.rules import declare, folded, one_batch, ops_of, refolded
from fovea.functions.parts import stack
from fovea.functions.shaping import movedim, reshape
from fovea.ops import conv, norm, pool

declare(one_batch, *ops_of(pool))


# -- convolutions: samples become groups of channels ----------------------------------------------


def _as_channels(t: Any) -> Any:
    """(samples, N, C, ...) to (N, samples * C, ...)."""
    turned = movedim(t, 0, 1)
    n, size, channels, *plane = turned.shape
    return reshape(turned, (n, size * channels, *plane))


def _from_channels(t: Any, size: int) -> Any:
    """(N, samples * C, ...) to (samples, N, C, ...)."""
    n, channels, *plane = t.shape
    return movedim(reshape(t, (n, size, _each(channels, size), *plane)), 1, 0)


def _each(channels: int, size: int) -> int:
    """How many of all samples' channels are one's."""
    if not size:
        raise ShapeError(
            "vmap: there is no sample, but a convolution or normalization with weights of its own "
            "for each."
        )
    return channels // size


def _joined(t: Any) -> Any:
    """(samples, O, ...) to (samples * O, ...)."""
    return None if t is None else reshape(t, (t.shape[0] * t.shape[1], *t.shape[2:]))


def _grouped(call: Call) -> Any:
    """The op's attributes with groups for each sample."""
    values = {f.name: getattr(call.attrs, f.name) for f in dataclasses.fields(call.attrs)}  # type: ignore[arg-type]
    values["groups"] *= call.size
    return type(call.attrs).from_keywords(values)  # type: ignore[union-attr]


def _conv2d(call: Call) -> Any:
    x, weight, *rest = call.inputs
    bias = rest[0] if rest else None
    if not any(call.batched[1:]):
        return refolded(call, call.bind((folded(call, 0), weight, bias)))
    one_bias = None if bias is None else _joined(call.front(2))
    if not call.batched[0] and call.attrs.groups == 1:  # type: ignore[union-attr]
        return _from_channels(call.bind((x, _joined(call.front(1)), one_bias)), call.size)
    y = call.bind((_as_channels(call.front(0)), _joined(call.front(1)), one_bias), _grouped(call))
    return _from_channels(y, call.size)


def _conv2d_input_grad(call: Call) -> Any:
    if not call.batched[1]:
        return refolded(call, call.bind((folded(call, 0), call.inputs[1])))
    inputs = (_as_channels(call.front(0)), _joined(call.front(1)))
    return _from_channels(call.bind(inputs, _grouped(call)), call.size)


def _conv2d_weight_grad(call: Call) -> Any:
    """Each sample's own: the kernels that sum over a batch, once a sample."""
    gy, x = call.inputs
    if not call.size:
        out, groups = call.given[0].shape[1], call.attrs.groups  # type: ignore[union-attr]
        kernel = call.attrs.kernel  # type: ignore[union-attr]
        return gy.new_zeros((0, out, call.given[1].shape[1] // groups, *kernel))
    pairs = [
        (gy[n] if call.batched[0] else gy, x[n] if call.batched[1] else x) for n in range(call.size)
    ]
    return stack([call.bind(pair) for pair in pairs])


declare(_conv2d, conv.conv2d)
declare(_conv2d_input_grad, conv.conv2d_input_grad)
declare(_conv2d_weight_grad, conv.conv2d_weight_grad)


# -- normalizations -------------------------------------------------------------------------------


def _channels(call: Call, i: int, axis: int) -> Any:
    """An image whose channels are those of all samples."""
    t = movedim(call.front(i), 0, axis)
    channels = t.shape[axis] * t.shape[axis + 1]
    return reshape(t, (*t.shape[:axis], channels, *t.shape[axis + 2 :]))


def _images(t: Any, axis: int, size: int) -> Any:
    channels = _each(t.shape[axis], size)
    split = reshape(t, (*t.shape[:axis], size, channels, *t.shape[axis + 1 :]))
    return movedim(split, axis, 0)


def _batch_norm(call: Call) -> Any:
    """Statistics are a sample's: as if its channels were others than another's."""
    axis = call.attrs.axis  # type: ignore[union-attr]
    full = [call.rank(i) > 1 for i in range(len(call.given))]
    inputs = [
        _channels(call, i, axis) if image else _joined(call.front(i))
        for i, image in enumerate(full)
    ]
    y, *rest = call.bind(inputs)
    return _images(y, axis, call.size), *(
        reshape(t, (call.size, _each(t.shape[0], call.size))) for t in rest
    )


def _batch_norm_infer(call: Call) -> Any:
    if any(call.batched[1:]):
        return in_parts(call)
    return refolded(call, call.bind((folded(call, 0), *call.inputs[1:])))


def _batch_norm_update(call: Call) -> None:
    if not all(call.batched[:2]):
        raise InplaceError(
            "vmap: batch normalization would update running statistics that all samples share.",
            fix="track_running_stats=False, eval(), or statistics for each sample",
        )
    call.bind([t.view(-1) for t in call.fronts()])


def _layer_norm(call: Call) -> Any:
    x, weight, bias = call.fronts()
    if not any(call.batched[1:]):
        return call.bind((x, *call.inputs[1:]))
    y, *rest = call.bind((x, None, None))
    lead = (1,) * (call.rank(0) - call.attrs.ndim)  # type: ignore[union-attr]
    for t, use in ((weight, y.__class__.__mul__), (bias, y.__class__.__add__)):
        if t is not None:
            y = use(y, reshape(t, (call.size, *lead, *t.shape[1:])))
    return (y, *rest)


declare(_batch_norm, norm.batch_norm_train, norm.batch_norm_train_grad)
declare(_batch_norm_infer, norm.batch_norm_infer)
declare(_batch_norm_update, norm.batch_norm_update)
declare(_layer_norm, norm.layer_norm)
declare(in_parts, norm.layer_norm_grad)
