"""A softmax over very many classes, frequent ones first."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from fovea import watching
from fovea.errors import ArgumentError, LabelError, ShapeError, describe
from fovea.functions.parts import cat
from fovea.nn import functional as F
from fovea.nn.container import ModuleList, Sequential
from fovea.nn.linear import Linear
from fovea.nn.module import Module
from fovea.tensor import Tensor

__all__ = ["AdaptiveLogSoftmaxWithLoss"]


class ASMoutput(NamedTuple):
    """The logarithm of the probability of each target, and the mean loss."""

    output: Tensor
    loss: Tensor


class AdaptiveLogSoftmaxWithLoss(Module):
    """Log-probabilities of classes that are sorted by frequency, in clusters.

    log p(c) = head(x)[c] for the most frequent ones, head(x)[cluster] + tail(x)[c] for the others

    A rare cluster's outputs are computed only for the samples that need them, and from fewer
    features the rarer it is.

    Args:
        in_features: of the inputs.
        n_classes: C.
        cutoffs: where clusters begin, rising, in [1, C - 1]; classes before the first one stand in
            the head.
        div_value: how much fewer features each further cluster has.
        head_bias: whether the head has a bias.
        device: ``None`` or the CPU.
        dtype: of the parameters.

    Shapes:
        (N, in_features) and int64 targets (N), or without N, to log-probabilities (N) and a scalar.

    Parameters:
        head.weight, (head.bias,) and tail.i.0.weight, tail.i.1.weight of each cluster.

    Raises:
        LabelError: a target outside [0, C). ShapeError: inputs and targets that do not fit.

    Source: Grave et al., "Efficient softmax approximation for GPUs", 2017.

    >>> import fovea
    >>> layer = AdaptiveLogSoftmaxWithLoss(8, 20, cutoffs=[4, 10])
    >>> layer(fovea.randn(3, 8), fovea.tensor([1, 19, 5])).output.shape
    fovea.Size([3])
    """

    def __init__(
        self,
        in_features: int,
        n_classes: int,
        cutoffs: Sequence[int],
        div_value: float = 4.0,
        head_bias: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        places = list(cutoffs)
        rising = all(int(c) == c for c in places) and places == sorted(set(places))
        if not places or not rising or places[0] < 1 or places[-1] > n_classes - 1:
            raise ArgumentError(
                "AdaptiveLogSoftmaxWithLoss: cutoffs must be rising integers in "
                f"[1, {n_classes - 1}], got {places}."
            )
        self.in_features, self.n_classes = in_features, n_classes
        self.cutoffs = [*places, n_classes]
        self.div_value, self.head_bias = div_value, head_bias
        self.shortlist_size, self.n_clusters = places[0], len(places)
        self.head_size = self.shortlist_size + self.n_clusters
        factory = {"device": device, "dtype": dtype}
        self.head = Linear(in_features, self.head_size, bias=head_bias, **factory)
        self.tail = ModuleList(
            Sequential(
                Linear(in_features, int(in_features // div_value ** (i + 1)), False, **factory),
                Linear(int(in_features // div_value ** (i + 1)), last - first, False, **factory),
            )
            for i, (first, last) in enumerate(pairwise(self.cutoffs))
        )

    def reset_parameters(self) -> None:
        """Draw the parameters anew."""
        self.head.reset_parameters()
        for features, classes in self.tail:
            features.reset_parameters()
            classes.reset_parameters()

    def forward(self, input_: Tensor, target_: Tensor) -> ASMoutput:
        """The log-probability of each target, and minus their mean."""
        if target_.ndim > 1 or input_.ndim != target_.ndim + 1:
            raise ShapeError(
                "AdaptiveLogSoftmaxWithLoss: input is (N, features) and target (N), or "
                "(features) and ().",
                {"input": describe(input_), "target": describe(target_)},
            )
        lone = not target_.ndim
        x, target = (input_.unsqueeze(0), target_.unsqueeze(0)) if lone else (input_, target_)
        if x.shape[0] != target.shape[0]:
            raise ShapeError(
                "AdaptiveLogSoftmaxWithLoss: input and target must have one batch size.",
                {"input": describe(input_), "target": describe(target_)},
            )
        watching.look(target, self._check)
        head = F.log_softmax(self.head(x), 1)
        place, output = target, x.new_zeros(x.shape[0])
        for i, (first, last) in enumerate(pairwise(self.cutoffs)):
            within = (target >= first).logical_and(target < last)
            place = place.masked_fill(within, self.shortlist_size + i)
            output = output + self._cluster(i, x, target - first, within, last - first)
        output = output + head.gather(1, place.unsqueeze(1)).squeeze(1)
        loss = -output.mean()
        return ASMoutput(output.squeeze(0) if lone else output, loss)

    def _cluster(self, i: int, x: Tensor, label: Tensor, within: Tensor, n: int) -> Tensor:
        """The log-probability within a cluster of those targets that are, 0 for others."""
        if _captured():
            rows = F.log_softmax(self.tail[i](x), 1)
            all_rows = rows.gather(1, label.clamp(0, n - 1).unsqueeze(1)).squeeze(1)
            return all_rows.masked_fill(~within, 0.0)
        places = within.nonzero().squeeze(1)
        rows = F.log_softmax(self.tail[i](x.index_select(0, places)), 1)
        found = rows.gather(1, label.index_select(0, places).unsqueeze(1)).squeeze(1)
        return x.new_zeros(x.shape[0]).index_add(0, places, found)

    def _check(self, values: Any) -> None:
        if values.size and (int(values.min()) < 0 or int(values.max()) >= self.n_classes):
            raise LabelError(
                f"AdaptiveLogSoftmaxWithLoss: targets must be in [0, {self.n_classes - 1}], got "
                f"[{values.min()}, {values.max()}]."
            )

    def log_prob(self, input: Tensor) -> Tensor:
        """(N, features) to the log-probabilities of all classes, (N, C)."""
        return self._all(input, self.head(input))

    def _all(self, x: Tensor, head: Tensor) -> Tensor:
        first = F.log_softmax(head, 1)
        size = self.shortlist_size
        rest = [
            F.log_softmax(tail(x), 1) + first[:, size + i].unsqueeze(1)
            for i, tail in enumerate(self.tail)
        ]
        return cat([first[:, :size], *rest], 1)

    def predict(self, input: Tensor) -> Tensor:
        """(N, features) to the most probable classes, (N)."""
        head = self.head(input)
        best = head.argmax(1)
        if _captured():
            return best.where(best < self.shortlist_size, self._all(input, head).argmax(1))
        rare = (best >= self.shortlist_size).nonzero().squeeze(1)
        found = self._all(input.index_select(0, rare), head.index_select(0, rare))
        return best.index_copy(0, rare, found.argmax(1))


def _captured() -> bool:
    """Whether a program is made, which cannot depend on how many samples are rare."""
    return watching.watcher is not None and watching.watcher.captures
