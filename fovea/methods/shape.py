"""Views, joining and splitting as methods."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fovea.functions import joining, parts, shaping

if TYPE_CHECKING:
    from fovea.tensor import Tensor


def sum_to_size(self: Tensor, *size: Any) -> Tensor:
    """Sum over what broadcasting from ``size`` would repeat."""
    from fovea.functions.sizes import parse_size
    from fovea.ops.rules import sum_to

    counted = self if self.dtype.is_inexact else self.long()
    return sum_to(counted, tuple(parse_size(*size)))


class ShapeMethods:
    """The same elements in another shape or order."""

    reshape = shaping.reshape
    view = shaping.view
    permute = shaping.permute
    transpose = shaping.transpose
    t = shaping.t
    movedim = shaping.movedim
    moveaxis = shaping.movedim
    swapaxes = shaping.transpose
    swapdims = shaping.transpose
    expand = shaping.expand
    expand_as = shaping.expand_as
    broadcast_to = shaping.broadcast_to
    squeeze = shaping.squeeze
    unsqueeze = shaping.unsqueeze
    flatten = shaping.flatten
    unflatten = shaping.unflatten
    ravel = shaping.ravel
    narrow = shaping.narrow
    select = shaping.select
    split = parts.split
    split_with_sizes = parts.split
    chunk = parts.chunk
    unbind = parts.unbind
    repeat = parts.repeat
    tile = parts.tile
    flip = shaping.flip
    repeat_interleave = parts.repeat_interleave
    roll = shaping.roll
    tril = shaping.tril
    triu = shaping.triu
    diagonal = shaping.diagonal
    diag = shaping.diag
    as_strided = shaping.as_strided
    contiguous = shaping.contiguous
    is_contiguous = shaping.is_contiguous
    clone = shaping.clone
    unfold = shaping.unfold
    tensor_split = joining.tensor_split
    hsplit = joining.hsplit
    vsplit = joining.vsplit
    dsplit = joining.dsplit
    rot90 = joining.rot90
    fliplr = joining.fliplr
    flipud = joining.flipud
    diag_embed = joining.diag_embed
    diagflat = joining.diagflat
    narrow_copy = shaping.narrow_copy
    sum_to_size = sum_to_size
