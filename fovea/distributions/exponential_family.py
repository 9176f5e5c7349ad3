"""Distributions whose logarithm is linear in natural parameters, but for their own normalizer."""

from __future__ import annotations

from typing import Any

from fovea.autograd import enable_grad
from fovea.backward import grad
from fovea.distributions.distribution import Distribution

__all__ = ["ExponentialFamily"]


class ExponentialFamily(Distribution):
    """exp(t(x) . theta - F(theta) + k(x))

    A subclass gives ``_natural_params`` (a tuple of tensors: theta), ``_log_normalizer`` (F of
    them) and ``_mean_carrier_measure`` (the mean of k); entropy and the divergence between two of
    the same kind follow.

    Source: Nielsen and Nock, "Entropies and cross-entropies of exponential families", 2010.
    """

    _mean_carrier_measure: Any = 0.0

    @property
    def _natural_params(self) -> tuple[Any, ...]:
        raise NotImplementedError(f"{type(self).__name__} gives no _natural_params.")

    def _log_normalizer(self, *natural_params: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} gives no _log_normalizer.")

    def _normalizer_and_means(self) -> tuple[list[Any], Any, list[Any]]:
        """Parameters as leaves, F of them, and F's gradient: the means of t(x)."""
        with enable_grad():
            params = [p.detach().requires_grad_() for p in self._natural_params]
            value = self._log_normalizer(*params)
            means = grad(value.sum(), params, create_graph=True)
        return params, value, list(means)

    def entropy(self) -> Any:
        params, found, means = self._normalizer_and_means()
        found = found - self._mean_carrier_measure
        for p, m in zip(params, means, strict=True):
            found = found - (p * m).reshape(*self._batch_shape, -1).sum(-1)
        return found
