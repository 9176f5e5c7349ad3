"""The rules of most ops, by kind. Those of images and of indices have files of their own.

A rule takes a `Call` and returns the results, all samples of each along a first dimension.
"""

from __future__ import annotations

from typing import Any

from fovea.errors import ArgumentError
from fovea.func.batching.batched import Draws, current
from fovea.func.batching.call import (
    RULES,
    Call,
    Rule,
    Shared,
    aligned,
    in_parts,
    pointwise,
    shifted,
    together,
)
from fovea.functions.parts import stack
from fovea.functions.shaping import expand, permute, reshape
from fovea.ops import (
    activation,
    bessel,
    complex_numbers,
    ctc,
    elementwise,
    incomplete_gamma,
    index,
    linalg,
    loss,
    lu,
    matrices,
    order,
    rearrange,
    recurrent,
    reduce,
    resize,
    sampling,
    scatter,
    shape,
    softmax,
    special,
    topk,
    triangular,
)
from fovea.ops import random as draws
from fovea.ops.op import Op, numel

__all__ = ["ELSEWHERE", "declare", "folded", "one_batch", "ops_of", "refolded"]

ELSEWHERE = {
    "optimizers update parameters, which are no samples": "sgd_update ada*_update rmsprop_update "
    "nadam_update radam_update rprop_update lion_update ftrl_update",
    "passes over a graph make them": "pointwise* *_fused *_pack *_packed conv2d_moments "
    "batch_norm_apply relu_max_pool2d* lay_out strided strided_scatter conv2d_bytes "
    "conv2d_max_pool",
    "gradient scalers ask it of parameters": "nonfinite",
    "how many boxes stay is another number for each sample": "suppress",
}


def declare(rule: Rule, *ops: Op) -> None:
    """Ops that a rule is for."""
    RULES.update(dict.fromkeys(ops, rule))


def ops_of(family: Any) -> list[Op]:
    """The ops that a module of `fovea.ops` declares."""
    return [op for op in vars(family).values() if isinstance(op, Op)]


def leading(call: Call) -> Any:
    """Ops that take any dimensions in front as they are."""
    return call.bind(call.fronts())


declare(
    pointwise,
    *ops_of(elementwise),
    *ops_of(special),
    *ops_of(bessel),
    *ops_of(incomplete_gamma),
    *ops_of(activation),
)
declare(
    together,
    *ops_of(complex_numbers),
    loss.binary_cross_entropy,
    loss.binary_cross_entropy_grad,
    shape.alias,
    shape.view,
    shape.slice_,
    shape.diagonal,
    shape.unfold,
    shape.slice_scatter,
    shape.cat,
    rearrange.pad,
    rearrange.flip,
    rearrange.roll,
    *ops_of(reduce),
    *ops_of(softmax),
    *ops_of(order),
    index.gather,
    index.scatter,
    index.scatter_add,
    index.sort,
    scatter.scatter_reduce,
)
declare(pointwise, complex_numbers.join)
declare(leading, rearrange.tril, rearrange.triu, topk.topk,
        *ops_of(matrices), triangular.solve_triangular, lu.lu_factor, lu.pivoted_rows)  # fmt: skip


# -- shapes ---------------------------------------------------------------------------------------


def _permute(call: Call) -> Any:
    return permute(call.front(0), (0, *(d + 1 for d in call.attrs.dims)))  # type: ignore[union-attr]


def _expand(call: Call) -> Any:
    target = call.attrs.shape  # type: ignore[union-attr]
    x = call.front(0)
    x = reshape(x, (call.size, *(1,) * (len(target) - call.rank(0)), *x.shape[1:]))
    return expand(x, (call.size, *target))


def _clone(call: Call) -> Any:
    if call.attrs.layout not in shape.CHANNELS_LAST:  # type: ignore[union-attr]
        return call.bind((call.front(0),))
    return refolded(call, call.bind((folded(call, 0),)))


declare(in_parts, shape.pick, shape.stack, ctc.ctc_rows, ctc.ctc_rows_grad)
declare(_permute, shape.permute)
declare(_expand, shape.expand)
declare(_clone, shape.clone)


# -- products -------------------------------------------------------------------------------------


def _matmul(call: Call) -> Any:
    a, b = call.inputs
    if not call.batched[1] and call.rank(1) == 2:  # one product of all rows
        rows = reshape(a, (numel(a.shape[:-1]), a.shape[-1]))
        return reshape(call.bind((rows, b)), (*a.shape[:-1], b.shape[-1]))
    if not call.batched[0] and call.rank(0) == 2 and call.rank(1) == 2 and b.shape[-1] == 1:
        vectors = call.bind((reshape(b, b.shape[:-1]), permute(a, (1, 0))))
        return reshape(vectors, (*vectors.shape, 1))
    return call.bind(aligned(call))


def _linear(call: Call) -> Any:
    x, weight, bias = call.inputs if len(call.inputs) == 3 else (*call.inputs, None)
    if not any(call.batched[1:]):
        return call.bind((x, weight, bias))
    *lead, features = call.given[0].shape
    each = (numel(lead), features)
    rows = reshape(x, (call.size, *each) if call.batched[0] else each)
    turned = permute(weight, (0, 2, 1)) if call.batched[1] else permute(weight, (1, 0))
    y = linalg.matmul.bind((rows, turned))
    if bias is not None:
        y = y + (reshape(bias, (call.size, 1, y.shape[-1])) if call.batched[2] else bias)
    y = expand(y, (call.size, *y.shape[-2:]))
    return reshape(y, (call.size, *lead, y.shape[-1]))


declare(_matmul, linalg.matmul)
declare(_linear, linalg.linear)


# -- rows and images: samples are more of them ----------------------------------------------------


def folded(call: Call, i: int) -> Any:
    """All samples of an input whose samples are batches: one batch."""
    t = call.front(i)
    return None if t is None else reshape(t, (t.shape[0] * t.shape[1], *t.shape[2:]))


def refolded(call: Call, out: Any) -> Any:
    """Results of one batch, sample by sample again."""
    if isinstance(out, tuple):
        return tuple(refolded(call, t) for t in out)
    n = out.shape[0] // call.size if call.size else 0
    return reshape(out, (call.size, n, *out.shape[1:]))


def one_batch(call: Call) -> Any:
    """Ops that treat each element of a batch by itself."""
    return refolded(call, call.bind([folded(call, i) for i in range(len(call.given))]))


declare(
    one_batch,
    loss.cross_entropy,
    loss.cross_entropy_grad,
    loss.nll_loss,
    loss.nll_loss_grad,
    *ops_of(resize),
    *ops_of(sampling),
)


def _recurrent(call: Call) -> Any:
    """Sequences of samples that share the weights are more sequences."""
    shared = [i for i, name in enumerate(call.op.inputs) if name in ("weight", "bias")]
    if any(call.batched[i] for i in shared):
        return in_parts(call)
    given: list[Any] = []
    for i, name in enumerate(call.op.inputs):
        t = call.inputs[i] if i in shared else call.front(i)
        if t is not None and i not in shared:
            t = t.movedim(0, -3 if name != "mask" else -2)
            t = t.flatten(-3, -2) if name != "mask" else t.flatten(-2)
        given.append(t)
    found = call.bind(given)
    outs = found if isinstance(found, tuple) else (found,)
    n = outs[0].shape[-2] // call.size if call.size else 0
    samples = (reshape(t, (*t.shape[:-2], call.size, n, t.shape[-1])) for t in outs)
    return tuple(t.movedim(-3, 0) for t in samples)


declare(
    _recurrent,
    recurrent.lstm,
    recurrent.lstm_grad,
    recurrent.gru,
    recurrent.gru_grad,
    recurrent.rnn,
    recurrent.rnn_grad,
)


def _searchsorted(call: Call) -> Any:
    sequence, values = call.inputs
    if not call.batched[0] and call.rank(0) == 1:
        return call.bind((sequence, values))
    if call.rank(0) > 1:
        return call.bind(call.fronts())
    found = call.bind((sequence, reshape(call.front(1), (call.size, numel(call.given[1].shape)))))
    return reshape(found, (call.size, *call.given[1].shape))


declare(_searchsorted, order.searchsorted)


# -- draws ----------------------------------------------------------------------------------------


def _draw(call: Call) -> Any:
    """Random numbers: for all samples the same, or for each its own."""
    mode = current(call.level).randomness
    if mode == "error":
        raise ArgumentError(
            f"vmap: {call.op.name} was called with randomness='error', the default.",
            fix="randomness='different' for draws of its own for each sample, or 'same'",
        )
    given = call.given[0]
    state = given.physical if isinstance(given, Draws) and given._level == call.level else given
    weights = call.inputs[1:]
    if mode == "same":
        if any(call.batched[1:]):
            raise ArgumentError(
                f"vmap: {call.op.name} cannot draw the same for samples with weights of their own.",
                fix="randomness='different'",
            )
        return Shared(call.bind((state, *weights)))
    if call.op is draws.random_permutation:
        return stack([call.bind((state,)) for _ in range(call.size)])
    if call.op is draws.random_multinomial:
        matrix = call.rank(1) == 2
        rows = folded(call, 1) if matrix else call.front(1)
        found = call.bind((state, rows))
        return refolded(call, found) if matrix else found
    if weights:
        return call.bind((state, call.front(1)))
    return call.bind((state,), shifted(call.attrs, call.size))


declare(_draw, *ops_of(draws))
