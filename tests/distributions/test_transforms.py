"""Transforms and constraints beside PyTorch's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fovea
from fovea.errors import ShapeError
from fovea.ops.incomplete_gamma import gamma_slope

torch = pytest.importorskip("torch")

X = np.array([[0.3, -1.2, 0.7], [2.0, 0.1, -0.4]])
U = np.array([[0.2, 0.5, 0.9], [1.5, 2.0, 0.3]])
SIX = np.array([0.3, -1.2, 0.7, 2.0, 0.1, -0.4])
SQUARE = np.array([[0.3, -1.2, 0.7], [2.0, 0.1, -0.4], [0.5, 0.6, 0.7]])
Make = Callable[[Any, Callable[[Any], Any]], Any]
CASES: dict[str, tuple[Make, Any]] = {
    "affine": (lambda d, t: d.AffineTransform(t(X[0]), t(U[0]) - 0.6), X),
    "affine of numbers": (lambda d, t: d.AffineTransform(1.0, -2.0), X),
    "affine of vectors": (lambda d, t: d.AffineTransform(1.0, t(U[0]), event_dim=1), X),
    "exp": (lambda d, t: d.ExpTransform(), X),
    "sigmoid": (lambda d, t: d.SigmoidTransform(), X),
    "tanh": (lambda d, t: d.TanhTransform(), X),
    "softplus": (lambda d, t: d.SoftplusTransform(), X),
    "power": (lambda d, t: d.PowerTransform(t(np.array([2.0, -1.0, 0.5]))), U),
    "cumulative": (lambda d, t: d.CumulativeDistributionTransform(d.Normal(0.0, 2.0)), X),
    "stick breaking": (lambda d, t: d.StickBreakingTransform(), X),
    "correlations": (lambda d, t: d.CorrCholeskyTransform(), SIX),
    "many correlations": (lambda d, t: d.CorrCholeskyTransform(), X),
    "reshape": (lambda d, t: d.ReshapeTransform((2, 3), (3, 2)), X),
    "independent": (lambda d, t: d.IndependentTransform(d.ExpTransform(), 1), X),
    "compose": (
        lambda d, t: d.ComposeTransform(
            [d.AffineTransform(0.0, 2.0), d.StickBreakingTransform(), d.SigmoidTransform().inv]
        ),
        X,
    ),
    "inverse": (lambda d, t: d.ComposeTransform([d.ExpTransform(), d.TanhTransform()]).inv, U / 3),
    "cat": (
        lambda d, t: d.CatTransform(
            [d.ExpTransform(), d.AffineTransform(1.0, 3.0)], dim=-1, lengths=[1, 2]
        ),
        X,
    ),
    "cat of vectors": (
        lambda d, t: d.CatTransform(
            [d.AffineTransform(1.0, 3.0, 1), d.IndependentTransform(d.ExpTransform(), 1)], dim=0
        ),
        X,
    ),
    "stack": (lambda d, t: d.StackTransform([d.ExpTransform(), d.TanhTransform()], dim=0), X),
    "cached": (lambda d, t: d.TanhTransform(cache_size=1), X * 30),
}
ONE_WAY: dict[str, tuple[Make, Any]] = {
    "abs": (lambda d, t: d.AbsTransform(), X),
    "softmax": (lambda d, t: d.SoftmaxTransform(), X),
    "lower": (lambda d, t: d.LowerCholeskyTransform(), SQUARE),
    "positive definite": (lambda d, t: d.PositiveDefiniteTransform(), SQUARE),
}


def made(case: str, lib: Any, table: Any) -> tuple[Any, Any]:
    make, x = table[case]

    def tensor(array: Any) -> Any:
        return lib.tensor(array.tolist(), dtype=lib.float64)

    return make(lib.distributions, tensor), tensor(x)


def same(ours: Any, theirs: Any) -> None:
    assert tuple(ours.shape) == tuple(theirs.shape)
    np.testing.assert_allclose(
        ours.detach().numpy(), theirs.detach().numpy(), rtol=1e-8, atol=1e-10
    )


@pytest.mark.parametrize("case", CASES)
def test_transforms(case: str) -> None:
    (t, x), (other, their_x) = made(case, fovea, CASES), made(case, torch, CASES)
    x.requires_grad_()
    their_x.requires_grad_()
    y, their_y = t(x), other(their_x)
    same(y, their_y)
    log, their_log = t.log_abs_det_jacobian(x, y), other.log_abs_det_jacobian(their_x, their_y)
    same(log, their_log)
    same(t.inv(y), other.inv(their_y))
    if case != "cached":
        np.testing.assert_allclose(t.inv(y).detach().numpy(), x.detach().numpy(), atol=1e-8)
    else:
        assert t.inv(y) is x
    if log.requires_grad:
        (y.sum() + log.sum()).backward()
        (their_y.sum() + their_log.sum()).backward()
        same(x.grad, their_x.grad)
    assert t.bijective == other.bijective and t.inv.inv is t
    for name in ("domain", "codomain"):
        assert getattr(t, name).event_dim == getattr(other, name).event_dim
        assert getattr(t.inv, name).event_dim == getattr(other.inv, name).event_dim
    assert tuple(t.forward_shape(x.shape)) == tuple(other.forward_shape(their_x.shape))
    assert tuple(t.inverse_shape(y.shape)) == tuple(other.inverse_shape(their_y.shape))
    assert t == made(case, fovea, CASES)[0] or case in ("cumulative", "inverse")
    assert t != fovea.distributions.AbsTransform()
    if case not in ("inverse",):
        assert t.with_cache(1)._cache_size == 1 and t.with_cache(0)._cache_size == 0


@pytest.mark.parametrize("case", ONE_WAY)
def test_transforms_that_cannot_be_undone(case: str) -> None:
    (t, x), (other, their_x) = made(case, fovea, ONE_WAY), made(case, torch, ONE_WAY)
    y, their_y = t(x), other(their_x)
    same(y, their_y)
    same(t.inv(y), other.inv(their_y))
    same(t(t.inv(y)), their_y)
    assert not t.bijective
    with pytest.raises(NotImplementedError):
        t.log_abs_det_jacobian(x, y)


def test_shapes_that_do_not_fit() -> None:
    d = fovea.distributions
    with pytest.raises(ShapeError):
        d.ReshapeTransform((2,), (3,))
    with pytest.raises(ShapeError):
        d.CorrCholeskyTransform()(fovea.ones(4))
    with pytest.raises(ShapeError):
        d.CatTransform([d.ExpTransform()], lengths=[2])(fovea.ones(3))
    with pytest.raises(ValueError):
        d.TransformedDistribution(d.Normal(0.0, 1.0), d.StickBreakingTransform())
    with pytest.raises(ValueError):
        d.TransformedDistribution(d.Normal(0.0, 1.0), [1])


VALUES: dict[str, tuple[Make, Any]] = {
    "real": (lambda c, t: c.real, [0.0, float("nan")]),
    "boolean": (lambda c, t: c.boolean, [0.0, 1.0, 0.5]),
    "positive": (lambda c, t: c.positive, [0.0, 1.0, -1.0]),
    "nonnegative": (lambda c, t: c.nonnegative, [0.0, 1.0, -1.0]),
    "unit interval": (lambda c, t: c.unit_interval, [0.0, 1.0, 1.1]),
    "integers": (lambda c, t: c.nonnegative_integer, [0.0, 1.5, -1.0]),
    "positive integers": (lambda c, t: c.positive_integer, [0.0, 1.0, 1.5]),
    "interval": (lambda c, t: c.interval(-1.0, 2.0), [-1.0, 2.0, 2.1]),
    "half open": (lambda c, t: c.half_open_interval(-1.0, 2.0), [-1.0, 2.0]),
    "integer interval": (lambda c, t: c.integer_interval(-1, 2), [-1.0, 0.5, 3.0]),
    "greater": (lambda c, t: c.greater_than(1.0), [1.0, 2.0]),
    "greater or equal": (lambda c, t: c.greater_than_eq(1.0), [1.0, 0.0]),
    "less": (lambda c, t: c.less_than(1.0), [1.0, 0.0]),
    "vectors": (lambda c, t: c.real_vector, [[0.0, 1.0], [0.0, float("nan")]]),
    "simplex": (lambda c, t: c.simplex, [[0.5, 0.5], [0.5, 0.6], [-0.5, 1.5]]),
    "one hot": (lambda c, t: c.one_hot, [[0.0, 1.0], [0.5, 0.5], [1.0, 1.0]]),
    "multinomial": (lambda c, t: c.multinomial(3), [[2.0, 1.0], [2.0, 2.0], [-1.0, 1.0]]),
    "independent": (lambda c, t: c.independent(c.positive, 1), [[1.0, 1.0], [1.0, 0.0]]),
    "lower": (lambda c, t: c.lower_triangular, [[[1.0, 0.0], [1.0, -1.0]], [[1.0, 1.0], [0, 1.0]]]),
    "cholesky": (
        lambda c, t: c.lower_cholesky, [[[1.0, 0.0], [1.0, 1.0]], [[1.0, 0.0], [1.0, -1.0]]],
    ),
    "correlation": (
        lambda c, t: c.corr_cholesky, [[[1.0, 0.0], [0.6, 0.8]], [[1.0, 0.0], [1.0, 1.0]]],
    ),
    "symmetric": (lambda c, t: c.symmetric, [[[1.0, 2.0], [2.0, 1.0]], [[1.0, 0.0], [1.0, 1.0]]]),
    "positive definite": (
        lambda c, t: c.positive_definite, [[[2.0, 1.0], [1.0, 2.0]], [[1.0, 2.0], [2.0, 1.0]]],
    ),
    "square": (lambda c, t: c.square, [[[float("nan"), 1.0], [1.0, 2.0]]]),
    "not square": (lambda c, t: c.square, [[[1.0, 1.0]]]),
    "symmetric, not square": (lambda c, t: c.symmetric, [[[1.0, 1.0]]]),
    "definite, not square": (lambda c, t: c.positive_definite, [[[1.0, 1.0]]]),
    "semidefinite": (
        lambda c, t: c.positive_semidefinite,
        [[[2.0, 1.0], [1.0, 2.0]], [[1.0, 2.0], [2.0, 1.0]]],
    ),
    "cat": (lambda c, t: c.cat([c.positive, c.boolean], 0, [1, 2]), [1.0, 0.0, 0.5]),
    "stack": (lambda c, t: c.stack([c.positive, c.boolean], 0), [[1.0, 0.0], [1.0, 0.5]]),
}  # fmt: skip


@pytest.mark.parametrize("case", VALUES)
def test_constraints(case: str) -> None:
    make, values = VALUES[case]
    found = []
    for lib in (fovea, torch):
        constraint = make(lib.distributions.constraints, None)
        checked = constraint.check(lib.tensor(values, dtype=lib.float64))
        found.append((checked.tolist(), constraint.is_discrete, constraint.event_dim))
    assert found[0] == found[1]


TARGETS: dict[str, Callable[[Any], Any]] = {
    "real": lambda c: c.real,
    "positive": lambda c: c.positive,
    "above": lambda c: c.greater_than(2.0),
    "below": lambda c: c.less_than(-1.0),
    "unit": lambda c: c.unit_interval,
    "interval": lambda c: c.interval(-2.0, 3.0),
    "simplex": lambda c: c.simplex,
    "correlations": lambda c: c.corr_cholesky,
    "vectors": lambda c: c.independent(c.positive, 1),
}


@pytest.mark.parametrize("case", TARGETS)
@pytest.mark.parametrize("registry", ["biject_to", "transform_to"])
def test_transforms_by_what_they_lead_to(registry: str, case: str) -> None:
    found = []
    for lib in (fovea, torch):
        constraint = TARGETS[case](lib.distributions.constraints)
        t = getattr(lib.distributions, registry)(constraint)
        y = t(lib.tensor(X.tolist(), dtype=lib.float64))
        assert bool(constraint.check(y).all())
        found.append(y)
    same(*found)


def test_transforms_of_one_s_own() -> None:
    d = fovea.distributions
    mine = d.constraints.Constraint("more than 7", lambda x: x > 7)
    with pytest.raises(NotImplementedError):
        d.biject_to(d.constraints.boolean)

    @d.transform_to.register(mine)
    def _(constraint: Any) -> Any:
        return d.ComposeTransform([d.ExpTransform(), d.AffineTransform(7.0, 1.0)])

    assert d.transform_to(mine)(fovea.tensor(0.0)).item() == 8.0


def test_draws_of_gamma_change_with_the_shape_as_pytorch_says() -> None:
    shape = np.array([0.05, 0.3, 1.0, 2.5, 9.0, 40.0, 300.0, 5000.0])[:, None]
    torch.manual_seed(0)
    drawn = torch._standard_gamma(torch.tensor(shape).expand(-1, 200).clone())
    drawn = drawn.clamp(min=1e-300)
    expected = torch._standard_gamma_grad(torch.tensor(shape).expand(-1, 200), drawn)
    got = gamma_slope(fovea.tensor(shape.tolist()).double(), fovea.tensor(drawn.tolist()).double())
    np.testing.assert_allclose(got.numpy(), expected.numpy(), rtol=2e-3, atol=1e-9)
    near, at = fovea.tensor([1e4, 1e4 * 1.001]).double(), fovea.tensor([1.01e4] * 2).double()
    exact, by_cubes = gamma_slope(near, at).tolist()
    assert by_cubes == pytest.approx(exact, rel=1e-2)


@pytest.mark.parametrize("name", ["Gamma", "Beta", "Dirichlet", "StudentT", "InverseGamma"])
def test_gradients_of_means(name: str) -> None:
    d = fovea.distributions
    c = fovea.tensor([3.5, 5.0, 7.0], dtype=fovea.float64, requires_grad=True)
    make: Any = {
        "Gamma": lambda: d.Gamma(c, 2.0),
        "Beta": lambda: d.Beta(c, 2.0),
        "Dirichlet": lambda: d.Dirichlet(c),
        "StudentT": lambda: d.StudentT(c, 0.0, 1.0),
        "InverseGamma": lambda: d.InverseGamma(c, 2.0),
    }[name]
    fovea.manual_seed(0)
    p, weights = make(), fovea.tensor([1.0, 2.0, 4.0], dtype=fovea.float64)
    if name == "StudentT":
        drawn, expected = p.rsample((200_000,)).pow(2), p.variance
    else:
        drawn, expected = p.rsample((200_000,)), p.mean
    (drawn.mean(0) * weights).sum().backward()
    got, c.grad = c.grad, None
    (expected * weights).sum().backward()
    np.testing.assert_allclose(got.numpy(), c.grad.numpy(), rtol=0.15, atol=2e-3)


def test_an_exponential_family_of_one_s_own() -> None:
    class Mine(fovea.distributions.ExponentialFamily):
        """The normal distribution with scale 1."""

        _mean_carrier_measure = -0.5 * np.log(2 * np.pi)

        def __init__(self, loc: Any) -> None:
            self.loc = loc
            super().__init__(loc.shape)

        @property
        def _natural_params(self) -> tuple[Any, ...]:
            return self.loc, self.loc * 0 - 0.5

        def _log_normalizer(self, *natural_params: Any) -> Any:
            a, b = natural_params
            return -a * a / (4 * b) - 0.5 * (-2 * b).log()

    a, b = fovea.tensor([0.5, 1.0]), fovea.tensor([2.0, 1.0])
    plain = fovea.distributions.Normal(a, 1.0), fovea.distributions.Normal(b, 1.0)
    np.testing.assert_allclose(
        Mine(a).entropy().detach().numpy(), plain[0].entropy().numpy(), rtol=1e-6
    )
    found = fovea.distributions.kl_divergence(Mine(a), Mine(b))
    np.testing.assert_allclose(
        found.detach().numpy(), fovea.distributions.kl_divergence(*plain).numpy(), atol=1e-6
    )


def test_a_generalized_pareto_distribution() -> None:
    """In float32: PyTorch's raises in float64."""
    values = [[0.5, -1.0, 2.0], [1.0, 2.0, 0.5], [0.3, -0.5, 0.0]]
    made = []
    for lib in (fovea, torch):
        parts = [lib.tensor(v, requires_grad=True) for v in values]
        p = lib.distributions.GeneralizedPareto(*parts)
        at = lib.tensor([[0.6, 1.0, 2.5], [3.0, -0.9, 2.0]])
        logs = p.log_prob(at)
        (logs.sum() + p.entropy().sum()).backward()
        made.append(
            [
                logs, p.cdf(at), p.icdf(lib.tensor([0.1, 0.5, 0.9])), p.mean, p.variance, p.mode,
                p.entropy(), p.support.check(at + 3), p.expand((2, 3)).log_prob(at),
                *(t.grad for t in parts[:2]),
            ]
        )  # fmt: skip
    for a, b in zip(*made, strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=2e-5, atol=1e-6)
    fovea.manual_seed(0)
    p = fovea.distributions.GeneralizedPareto(*(fovea.tensor(v) for v in values))
    drawn = p.sample((50_000,))
    np.testing.assert_allclose(drawn.mean(0).numpy(), p.mean.numpy(), atol=0.03)


def test_draws_of_what_is_no_shape_end() -> None:
    shape = fovea.tensor([float("nan"), -0.2, -2.0, float("inf"), 0.0, 2.0])
    found = fovea.distributions.Gamma(shape, 1.0, validate_args=False).sample().tolist()
    assert [np.isnan(v) for v in found] == [True, True, True, False, False, False]
    assert found[3] == float("inf") and 0 < found[4] < 1e-30 < found[5]
    count, prob = fovea.tensor([float("inf"), 3.0, 40.0, 40.0]), fovea.tensor([0.5, 1.0, 1.0, 1.0])
    prob[2] = float("nan")
    drawn = fovea.binomial(count, prob).tolist()
    assert np.isnan(drawn[0]) and np.isnan(drawn[2]) and (drawn[1], drawn[3]) == (3.0, 40.0)


def test_counts_of_successes() -> None:
    fovea.manual_seed(0)
    count = fovea.tensor([0.0, 5.0, 16.0, 17.0, 1000.0]).expand(20_000, 5)
    prob = fovea.tensor([0.5, 0.3, 0.9, 0.02, 0.25])
    drawn = fovea.binomial(count, prob.expand(20_000, 5)).numpy()
    n, p = count[0].numpy(), prob.numpy()
    spread = np.sqrt(n * p * (1 - p))
    np.testing.assert_allclose(drawn.mean(0), n * p, atol=5 * spread.max() / 20_000**0.5)
    np.testing.assert_allclose(drawn.std(0), spread, rtol=0.03)
    assert (drawn >= 0).all() and (drawn <= n).all() and (drawn % 1 == 0).all()
    ends = fovea.binomial(fovea.full((3,), 100.0), fovea.tensor([0.0, 1.0, 1.0]))
    assert ends.tolist() == [0.0, 100.0, 100.0]
    with pytest.raises(TypeError):
        fovea.binomial(fovea.tensor([3]), fovea.tensor([0.5]))
