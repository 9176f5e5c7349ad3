"""Distributions beside PyTorch's: probabilities, facts, draws, divergences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fovea
from tests.distributions.cases import KINDS, KL, MADE, P

torch = pytest.importorskip("torch")


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


def same(ours: Any, theirs: Any, rtol: float = 1e-7) -> None:
    assert tuple(ours.shape) == tuple(theirs.shape)
    np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), rtol=rtol, atol=1e-9)


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
    same(got, expected, 1e-6 if case == "VonMises" else 1e-7)  # PyTorch's Bessel function is rough
    got.sum().backward()
    expected.sum().backward()
    for a, b in zip(mine, others, strict=True):
        if b.grad is None or "precision" in case:
            continue
        if "factor" in case and a.ndim == 2:  # PyTorch's has numbers above the diagonal, too
            same(a.grad.tril(), b.grad.tril())
        else:
            same(a.grad, b.grad, 1e-4 if case == "VonMises" else 1e-7)
    try:
        wanted = theirs.cdf(value)
        same(ours.cdf(copied), wanted)
    except NotImplementedError:
        with pytest.raises(NotImplementedError):
            theirs.cdf(value)
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
    if case not in (
        "Cauchy", "HalfCauchy", "Categorical", "Categorical by logits", "StudentT with heavy tails",
    ):  # fmt: skip
        torch.manual_seed(1)
        others = theirs.sample((4000,)).numpy()
        spread = 5 * others.std(0) / 4000**0.5
        apart = np.abs(drawn.numpy().mean(0) - others.mean(0))
        assert (apart <= 2 * spread + 1e-9).all()
        assert np.allclose(drawn.numpy().std(0), others.std(0), rtol=0.25, atol=1e-6)
    if ours.has_rsample:
        assert theirs.has_rsample
        ours.rsample((3,)).pow(2).sum().backward()
        assert any(t.grad is not None and bool((t.grad != 0).any()) for t in mine)


def test_classes_come_as_often_as_they_should() -> None:
    drawn = fovea.distributions.Categorical(fovea.tensor(P[0].tolist())).sample((20000,))
    share = fovea.bincount(drawn, minlength=3).float() / 20000
    np.testing.assert_allclose(share.numpy(), P[0], atol=0.02)
    rows = fovea.distributions.Categorical(fovea.tensor(P.tolist())).sample((20000,))
    assert abs(float((rows[:, 1] == 2).float().mean()) - 0.8) < 0.02


@pytest.mark.parametrize(("name", "make"), KL, ids=[name for name, _ in KL])
def test_divergences(name: str, make: Any) -> None:
    found = []
    for lib in (fovea, torch):
        made = make(lib.distributions, lambda a, lib=lib: lib.tensor(a.tolist(), dtype=lib.float64))
        found.append(lib.distributions.kl_divergence(*made))
    same(*found)


@pytest.mark.parametrize("first", KINDS)
def test_divergences_of_two_kinds(first: str) -> None:
    count = 0
    for second in KINDS:
        found = []
        for lib in (torch, fovea):

            def tensor(array: Any, lib: Any = lib) -> Any:
                return lib.tensor(array.tolist(), dtype=lib.float64)

            p, q = (KINDS[name](lib.distributions, tensor) for name in (first, second))
            try:
                found.append(lib.distributions.kl_divergence(p, q))
            except NotImplementedError:
                break
        if not found:
            continue
        assert len(found) == 2, f"no rule for {first} and {second}"
        theirs, ours = found
        if (first, second) in DIFFERENT:
            continue
        same(ours, theirs)
        count += 1
    assert count


# PyTorch says that a uniform distribution over exactly [0, 1] excludes some of [0, 1], and that
# (-1, 2) holds all of it only if both ends say so.
DIFFERENT = {("ContinuousBernoulli", "Uniform"), ("Uniform", "ContinuousBernoulli")}


def test_a_uniform_distribution_beside_a_continuous_bernoulli() -> None:
    d = fovea.distributions
    inner, outer = d.Uniform(0.1, 0.9), d.Uniform(-1.0, 2.0)
    p = d.ContinuousBernoulli(fovea.tensor(0.3))
    found = d.kl_divergence(inner, p)
    expected = torch.distributions.kl_divergence(
        torch.distributions.Uniform(0.1, 0.9),
        torch.distributions.ContinuousBernoulli(torch.tensor(0.3)),
    )
    np.testing.assert_allclose(found.item(), expected.item(), rtol=1e-5)
    assert d.kl_divergence(outer, p).item() == float("inf")
    assert d.kl_divergence(p, inner).item() == float("inf")
    np.testing.assert_allclose(
        d.kl_divergence(p, outer).item(), np.log(3.0) - p.entropy().item(), rtol=1e-5
    )


def test_divergences_of_several_wishart_distributions() -> None:
    """PyTorch sums over them."""
    d, scale = fovea.distributions, fovea.eye(2, dtype=fovea.float64)
    df, others = fovea.tensor([3.0, 4.5]).double(), fovea.tensor([5.0, 2.5]).double()
    both = d.kl_divergence(d.Wishart(df, scale), d.Wishart(others, 2 * scale))
    for i in range(2):
        one = d.kl_divergence(d.Wishart(df[i], scale), d.Wishart(others[i], 2 * scale))
        assert one.item() == pytest.approx(both[i].item())


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


@pytest.mark.parametrize("case", MADE)
def test_expanding(case: str) -> None:
    ours, theirs, *_ = pair(case)
    shape = (2, *ours.batch_shape)
    ours, theirs = ours.expand(shape), theirs.expand(shape)
    assert ours.batch_shape == shape
    value = theirs.sample()
    copied = fovea.tensor(value.tolist(), dtype=getattr(fovea, str(value.dtype)[6:]))
    same(ours.log_prob(copied), theirs.log_prob(value))


@pytest.mark.parametrize("case", [c for c in MADE if pair(c)[1].has_enumerate_support])
@pytest.mark.parametrize("expand", [False, True])
def test_all_values(case: str, expand: bool) -> None:
    ours, theirs, *_ = pair(case)
    same(ours.enumerate_support(expand), theirs.enumerate_support(expand))


@pytest.mark.parametrize(
    "case", ["Gamma", "Chi2", "Dirichlet", "Beta", "Uniform", "RelaxedBernoulli", "InverseGamma"]
)
@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_probabilities_at_the_ends(case: str, value: float) -> None:
    ours, theirs, *_ = pair(case)
    shape = (*ours.batch_shape, *ours.event_shape)
    ours._validate_args = theirs._validate_args = False
    given = torch.full(shape, value, dtype=torch.float64)
    copied = fovea.full(shape, value, dtype=fovea.float64)
    if case != "InverseGamma" or value:
        same(ours.log_prob(copied), theirs.log_prob(given))
    if case in ("Gamma", "Chi2", "InverseGamma", "Uniform"):
        same(ours.cdf(copied), theirs.cdf(given))


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
        lambda: d.MultivariateNormal(lib.zeros(2), lib.tensor([[1.0, 0.0], [0.5, 1.0]])),
        lambda: d.MultivariateNormal(lib.zeros(2), lib.tensor([[1.0, 2.0], [2.0, 1.0]])),
        lambda: d.MultivariateNormal(lib.zeros(2), scale_tril=lib.ones(2, 2)),
        lambda: d.Wishart(lib.tensor(3.0), lib.tensor([[1.0, 2.0], [2.0, 1.0]])),
        lambda: d.RelaxedBernoulli(lib.tensor(1.0), lib.tensor([1.5])),
        lambda: d.Normal(0.0, 1.0).log_prob(1.0),
    ):
        with pytest.raises(ValueError):
            call()
    assert d.Normal(0.0, 1.0, validate_args=False).log_prob(lib.tensor(float("nan"))).isnan()


def test_what_is_printed() -> None:
    for lib in (fovea, torch):
        text = repr(lib.distributions.Normal(lib.zeros(3), lib.ones(3))).replace("torch.", "fovea.")
        assert text == "Normal(loc: fovea.Size([3]), scale: fovea.Size([3]))"
