"""Distributions beside PyTorch's: probabilities, facts, draws, divergences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fovea

torch = pytest.importorskip("torch")

A, B = np.array([0.3, 1.2, -0.7]), np.array([0.5, 1.5, 2.0])
P = np.array([[0.2, 0.3, 0.5], [0.1, 0.1, 0.8]])
L = np.array([[1.0, 0.0], [0.5, 0.7]])
Make = Callable[[Any, Callable[[Any], Any]], Any]
MADE: dict[str, Make] = {
    "Normal": lambda d, t: d.Normal(t(A), t(B)),
    "Normal of numbers": lambda d, t: d.Normal(0.5, t(B)),
    "HalfNormal": lambda d, t: d.HalfNormal(t(B)),
    "Uniform": lambda d, t: d.Uniform(t(A), t(A + B)),
    "Laplace": lambda d, t: d.Laplace(t(A), t(B)),
    "Exponential": lambda d, t: d.Exponential(t(B)),
    "Gumbel": lambda d, t: d.Gumbel(t(A), t(B)),
    "Cauchy": lambda d, t: d.Cauchy(t(A), t(B)),
    "LogNormal": lambda d, t: d.LogNormal(t(A), t(B / 3)),
    "Gamma": lambda d, t: d.Gamma(t(B), t(B + 1)),
    "Chi2": lambda d, t: d.Chi2(t(B)),
    "Beta": lambda d, t: d.Beta(t(B), t(B + 1)),
    "Dirichlet": lambda d, t: d.Dirichlet(t(P * 5)),
    "Bernoulli": lambda d, t: d.Bernoulli(t(P[0])),
    "Bernoulli by logits": lambda d, t: d.Bernoulli(logits=t(A)),
    "Geometric": lambda d, t: d.Geometric(t(P[0])),
    "Poisson": lambda d, t: d.Poisson(t(B)),
    "Categorical": lambda d, t: d.Categorical(t(P)),
    "Categorical by logits": lambda d, t: d.Categorical(logits=t(np.log(P) + 1)),
    "OneHotCategorical": lambda d, t: d.OneHotCategorical(t(P)),
    "OneHotCategoricalStraightThrough": lambda d, t: d.OneHotCategoricalStraightThrough(t(P)),
    "MultivariateNormal": lambda d, t: d.MultivariateNormal(t(A[:2]), t(L @ L.T)),
    "of a factor": lambda d, t: d.MultivariateNormal(t(A[:2]), scale_tril=t(L)),
    "of a precision": lambda d, t: d.MultivariateNormal(t(P[:, :2]), precision_matrix=t(L @ L.T)),
    "Independent": lambda d, t: d.Independent(d.Normal(t(P), t(P + 1)), 1),
    "MixtureSameFamily": lambda d, t: d.MixtureSameFamily(
        d.Categorical(t(P)), d.Normal(t(P), t(P + 1))
    ),
    "mixture of vectors": lambda d, t: d.MixtureSameFamily(
        d.Categorical(t(P[0])), d.Independent(d.Normal(t(P.T * 3), t(P.T)), 1)
    ),
    "Transformed": lambda d, t: d.TransformedDistribution(
        d.Normal(t(A), t(B)), [d.AffineTransform(1.0, t(B)), d.TanhTransform(cache_size=1)]
    ),
    "Sigmoid": lambda d, t: d.TransformedDistribution(d.Normal(t(A), t(B)), d.SigmoidTransform()),
    "of vectors": lambda d, t: d.TransformedDistribution(
        d.MultivariateNormal(t(A[:2]), t(L @ L.T)), [d.AffineTransform(t(A[:2]), 2.0, event_dim=1)]
    ),
    "RelaxedBernoulli": lambda d, t: d.RelaxedBernoulli(t(np.array(0.7)), t(P[0])),
    "RelaxedOneHotCategorical": lambda d, t: d.RelaxedOneHotCategorical(
        t(np.array(0.7)), logits=t(np.log(P))
    ),
}


def pair(case: str, grad: bool = False) -> tuple[Any, Any, list[Any], list[Any]]:
    """The distribution in both, and the arguments that it was made of."""
    given: dict[Any, list[Any]] = {fovea: [], torch: []}
    made = []
    for lib in (fovea, torch):

        def tensor(array: Any, lib: Any = lib) -> Any:
            made_of = lib.tensor(array.tolist(), dtype=lib.float64, requires_grad=grad)
            given[lib].append(made_of)
            return made_of

        distributions = fovea.distributions if lib is fovea else torch.distributions
        made.append(MADE[case](distributions, tensor))
    return made[0], made[1], given[fovea], given[torch]


def same(ours: Any, theirs: Any, **options: Any) -> None:
    assert tuple(ours.shape) == tuple(theirs.shape)
    np.testing.assert_allclose(
        ours.detach().numpy(), theirs.detach().numpy(), rtol=1e-7, atol=1e-9, **options
    )


@pytest.mark.parametrize("case", MADE)
def test_facts(case: str) -> None:
    ours, theirs, *_ = pair(case)
    assert ours.batch_shape == tuple(theirs.batch_shape)
    assert ours.event_shape == tuple(theirs.event_shape)
    for name in ("mean", "mode", "variance", "stddev"):
        try:
            expected = getattr(theirs, name)
        except (NotImplementedError, AttributeError):
            continue
        if name == "mode" and case in ("Uniform", "Beta", "Dirichlet"):
            continue
        same(getattr(ours, name), expected)
    try:
        expected = theirs.entropy()
    except NotImplementedError:
        return
    same(ours.entropy(), expected)
    same(ours.perplexity(), theirs.perplexity())


@pytest.mark.parametrize("case", MADE)
def test_probabilities_of_draws_and_their_gradients(case: str) -> None:
    ours, theirs, mine, others = pair(case, grad=True)
    torch.manual_seed(0)
    value = theirs.sample((5,))
    copied = fovea.tensor(value.tolist(), dtype=getattr(fovea, str(value.dtype)[6:]))
    got, expected = ours.log_prob(copied), theirs.log_prob(value)
    same(got, expected)
    got.sum().backward()
    expected.sum().backward()
    for a, b in zip(mine, others, strict=True):
        if b.grad is not None and "precision" not in case:
            same(a.grad, b.grad)
    for name in ("cdf",):
        try:
            wanted = getattr(theirs, name)(value)
        except NotImplementedError:
            continue
        try:
            same(getattr(ours, name)(copied), wanted)
        except NotImplementedError:
            assert case in ("Gamma", "Chi2", "MixtureSameFamily", "mixture of vectors",
                            "RelaxedBernoulli")  # fmt: skip
    try:
        part = torch.full(theirs.batch_shape, 0.3, dtype=torch.float64)
        wanted = theirs.icdf(part)
        same(ours.icdf(fovea.tensor(part.tolist(), dtype=fovea.float64)), wanted)
    except NotImplementedError:
        pass


@pytest.mark.parametrize("case", MADE)
def test_draws(case: str) -> None:
    ours, theirs, mine, _ = pair(case, grad=True)
    fovea.manual_seed(1)
    drawn = ours.sample((4000,))
    assert drawn.shape == (4000, *ours.batch_shape, *ours.event_shape)
    assert not drawn.requires_grad and drawn.dtype is getattr(fovea, str(theirs.sample().dtype)[6:])
    log_prob = ours.log_prob(drawn)
    assert bool(fovea.isfinite(log_prob).all())
    if case not in ("Cauchy", "Categorical", "Categorical by logits"):
        torch.manual_seed(1)
        others = theirs.sample((4000,)).numpy()
        spread = 5 * others.std(0) / 4000**0.5
        apart = np.abs(drawn.numpy().mean(0) - others.mean(0))
        assert (apart <= 2 * spread + 1e-9).all()
        assert np.allclose(drawn.numpy().std(0), others.std(0), rtol=0.25, atol=1e-6)
    if ours.has_rsample:
        assert theirs.has_rsample
        ours.rsample((3,)).sum().backward()
        assert any(t.grad is not None and bool((t.grad != 0).any()) for t in mine)


def test_classes_come_as_often_as_they_should() -> None:
    drawn = fovea.distributions.Categorical(fovea.tensor(P[0].tolist())).sample((20000,))
    share = fovea.bincount(drawn, minlength=3).float() / 20000
    np.testing.assert_allclose(share.numpy(), P[0], atol=0.02)
    rows = fovea.distributions.Categorical(fovea.tensor(P.tolist())).sample((20000,))
    assert abs(float((rows[:, 1] == 2).float().mean()) - 0.8) < 0.02


KL = [
    ("Normal", lambda d, t: (d.Normal(t(A), t(B)), d.Normal(t(B), t(B + 1)))),
    ("LogNormal", lambda d, t: (d.LogNormal(t(A), t(B)), d.LogNormal(t(B), t(B + 1)))),
    ("Bernoulli", lambda d, t: (d.Bernoulli(t(P[0])), d.Bernoulli(t(P[1])))),
    ("Categorical", lambda d, t: (d.Categorical(t(P)), d.Categorical(logits=t(P)))),
    ("one hot", lambda d, t: (d.OneHotCategorical(t(P)), d.OneHotCategorical(logits=t(P)))),
    ("Laplace", lambda d, t: (d.Laplace(t(A), t(B)), d.Laplace(t(B), t(B + 1)))),
    ("Exponential", lambda d, t: (d.Exponential(t(B)), d.Exponential(t(B + 1)))),
    ("Uniform", lambda d, t: (d.Uniform(t(A), t(A + B)), d.Uniform(t(A - 1), t(A + B - 0.9)))),
    ("Uniform, Normal", lambda d, t: (d.Uniform(t(A), t(A + B)), d.Normal(t(A), t(B)))),
    ("Poisson", lambda d, t: (d.Poisson(t(B)), d.Poisson(t(B + 1)))),
    ("Gamma", lambda d, t: (d.Gamma(t(B), t(B)), d.Gamma(t(B + 1), t(B + 2)))),
    ("Beta", lambda d, t: (d.Beta(t(B), t(B)), d.Beta(t(B + 1), t(B + 2)))),
    ("Dirichlet", lambda d, t: (d.Dirichlet(t(P)), d.Dirichlet(t(P + 1)))),
    (
        "MultivariateNormal",
        lambda d, t: (
            d.MultivariateNormal(t(A[:2]), t(L @ L.T)),
            d.MultivariateNormal(t(B[:2]), t(np.eye(2) * 2)),
        ),
    ),
    (
        "Independent",
        lambda d, t: (
            d.Independent(d.Normal(t(P), t(P + 1)), 1),
            d.Independent(d.Normal(t(P * 0), t(P * 0 + 1)), 1),
        ),
    ),
]


@pytest.mark.parametrize(("name", "make"), KL, ids=[name for name, _ in KL])
def test_divergences(name: str, make: Any) -> None:
    found = []
    for lib in (fovea, torch):
        made = make(lib.distributions, lambda a, lib=lib: lib.tensor(a.tolist(), dtype=lib.float64))
        found.append(lib.distributions.kl_divergence(*made))
    same(*found)


def test_a_rule_of_one_s_own() -> None:
    d = fovea.distributions

    class Mine(d.Normal):  # type: ignore[misc, name-defined]
        pass

    assert d.kl_divergence(Mine(0.0, 1.0), Mine(1.0, 1.0)).item() == 0.5

    @d.register_kl(Mine, Mine)
    def _(p: Any, q: Any) -> Any:
        return fovea.tensor(7.0)

    assert d.kl_divergence(Mine(0.0, 1.0), Mine(1.0, 1.0)).item() == 7
    with pytest.raises(NotImplementedError):
        d.kl_divergence(d.Normal(0.0, 1.0), d.Poisson(1.0))


@pytest.mark.parametrize("case", [c for c in MADE if "mixture" not in c.lower()])
def test_expanding(case: str) -> None:
    ours, theirs, *_ = pair(case)
    shape = (2, *ours.batch_shape)
    try:
        ours = ours.expand(shape)
    except NotImplementedError:
        assert case in ("Transformed", "Sigmoid", "of vectors") or case.startswith("Relaxed")
        return
    theirs = theirs.expand(shape)
    assert ours.batch_shape == shape
    value = theirs.sample()
    copied = fovea.tensor(value.tolist(), dtype=getattr(fovea, str(value.dtype)[6:]))
    same(ours.log_prob(copied), theirs.log_prob(value))


@pytest.mark.parametrize("lib", [fovea, torch])
def test_mistakes(lib: Any) -> None:
    d = lib.distributions
    for call in (
        lambda: d.Normal(0.0, -1.0),
        lambda: d.Normal(lib.tensor([float("nan")]), 1.0),
        lambda: d.Bernoulli(lib.tensor([1.5])),
        lambda: d.Bernoulli(),
        lambda: d.Categorical(lib.tensor([-0.1, 1.1])),
        lambda: d.Uniform(1.0, 0.0),
        lambda: d.Categorical(lib.ones(3)).log_prob(lib.tensor(3)),
        lambda: d.Exponential(1.0).log_prob(lib.tensor(-1.0)),
        lambda: d.MultivariateNormal(lib.zeros(2)),
        lambda: d.Normal(0.0, 1.0).log_prob(1.0),
    ):
        with pytest.raises(ValueError):
            call()
    assert d.Normal(0.0, 1.0, validate_args=False).log_prob(lib.tensor(float("nan"))).isnan()


def test_what_is_printed() -> None:
    for lib in (fovea, torch):
        text = repr(lib.distributions.Normal(lib.zeros(3), lib.ones(3))).replace("torch.", "fovea.")
        assert text == "Normal(loc: fovea.Size([3]), scale: fovea.Size([3]))"


def test_transforms_are_undone() -> None:
    d = fovea.distributions
    x = fovea.tensor([0.3, -0.2], dtype=fovea.float64)
    for t in (
        d.AffineTransform(1.0, -2.0),
        d.ExpTransform(),
        d.SigmoidTransform(),
        d.TanhTransform(),
    ):
        y = t(x)
        assert fovea.allclose(t.inv(y), x) and t.inv.inv is t
        assert fovea.allclose(t.inv.log_abs_det_jacobian(y, x), -t.log_abs_det_jacobian(x, y))
    assert d.identity_transform(x) is x
