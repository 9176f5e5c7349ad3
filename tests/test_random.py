"""Random numbers: published answers, the same bits everywhere, the right distributions."""

from __future__ import annotations

import copy
import math
import pickle
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import fovea
from fovea import dtypes, targets
from fovea import random as generators
from fovea.errors import ArgumentError, DTypeError, InplaceError, ShapeError
from fovea.ops import random as ops
from fovea.ops.philox import NumpyMath, box_muller, exponential, philox, random_words
from fovea.targets.cpu import threads
from fovea.targets.cpu.isa import NAMES
from fovea.targets.reference import REFERENCE

FLOATS = ["float32", "float64", "bfloat16", "float16"]


def generator(seed: int = 0) -> fovea.Generator:
    return fovea.Generator().manual_seed(seed)


# -- the generator ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [  # Random123's kat_vectors for philox4x32 with 10 rounds
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_known_answers(counter: Any, key: Any, expected: Any) -> None:
    words = philox(tuple(np.array([c], np.uint64) for c in counter), key)  # type: ignore[arg-type]
    assert tuple(int(w[0]) for w in words) == expected


def test_words_of_a_counter_depend_on_it_alone() -> None:
    words = random_words(seed=7, offset=2**64 - 3, count=6)
    assert words.shape == (6, 4) and words.dtype == np.uint32
    np.testing.assert_array_equal(random_words(7, 2**64 - 1, 1), words[2:3])
    np.testing.assert_array_equal(random_words(7, 0, 3), words[3:])


def test_formulas_are_accurate() -> None:
    words = random_words(1, 0, 20000).reshape(-1)
    a, b = words[0::2].copy(), words[1::2].copy()
    x, y = box_muller(NumpyMath(32), a, b)
    unit = (a.astype(np.float64) * 2.0**-32 + 2.0**-33).astype(np.float32).astype(np.float64)
    turn = 2 * np.pi * (b >> 8) * 2.0**-24
    radius = np.sqrt(-2 * np.log(unit))
    np.testing.assert_allclose(x, radius * np.cos(turn), rtol=3e-6, atol=1e-6)
    np.testing.assert_allclose(y, radius * np.sin(turn), rtol=3e-6, atol=1e-6)
    wide = words.view(np.uint64)
    x, y = box_muller(NumpyMath(64), wide[0::2].copy(), wide[1::2].copy())
    unit = (wide[0::2] >> 11) * 2.0**-53 + 2.0**-53
    turn = 2 * np.pi * ((wide[1::2] >> 11) * 2.0**-53)
    radius = np.sqrt(-2 * np.log(unit))
    np.testing.assert_allclose(x, radius * np.cos(turn), rtol=1e-13, atol=4e-15)
    np.testing.assert_allclose(y, radius * np.sin(turn), rtol=1e-13, atol=4e-15)
    assert np.isfinite(exponential(NumpyMath(32), np.array([0, 2**32 - 1], np.uint32))).all()
    assert (exponential(NumpyMath(64), np.array([0, 2**64 - 1], np.uint64)) > 0).all()


def test_extreme_words_give_finite_normals() -> None:
    ends = np.array([0, 2**32 - 1], np.uint32)
    x, y = box_muller(NumpyMath(32), ends, ends[::-1].copy())
    assert np.isfinite(x).all() and np.isfinite(y).all()
    assert abs(x[0]) == pytest.approx(math.sqrt(-2 * math.log(2.0**-33)), rel=1e-6)


# -- the same bits on every target -----------------------------------------------------------------


def attributes(name: str, n: int) -> list[tuple[Any, Any]]:
    """Calls of each op that has a kernel."""
    if name in FLOATS:
        kind = dtypes.as_dtype(name)
        return [
            (ops.random_uniform, ops.UniformAttrs.of((n,), kind, -1.25, 2.7)),
            (ops.random_normal, ops.NormalAttrs.of((n,), kind, 0.1, 2.3)),
            (ops.random_exponential, ops.ExponentialAttrs.of((n,), kind, 2.3)),
            (ops.random_integers, ops.IntegersAttrs.of((n,), kind, -7, 100)),
        ]
    kind = dtypes.as_dtype(name)
    low, high = (0, 2) if name == "bool" else (0, 100) if name == "uint8" else (-100, 100)
    calls = [(ops.random_integers, ops.IntegersAttrs.of((n,), kind, low, high))]
    if name == "int64":
        for span in ((0, 2**32), (-(2**63), 2**63), (5, 2**40 + 5)):
            calls.append((ops.random_integers, ops.IntegersAttrs.of((n,), kind, *span)))
        calls.append((ops.random_permutation, ops.PermutationAttrs.of(n, kind)))
    return calls


@pytest.mark.parametrize("isa", NAMES)
@pytest.mark.parametrize("name", [*FLOATS, "int8", "uint8", "int16", "int32", "int64", "bool"])
@pytest.mark.parametrize("n", [0, 1, 7, 64, 20003])
def test_kernels_give_the_reference_bits(
    name: str, isa: str, n: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOVEA_CPU_ISA", isa)
    cpu = targets.named("cpu")
    for op, attrs in attributes(name, n):
        results = []
        for target in (cpu, REFERENCE):
            g = generator(0x123456789ABCDEF0)
            g._words()[1] = 2**32 - 3  # the counter crosses its first word
            inputs = (g.state,)
            plan = target.plan(op, inputs, attrs, op.specs(inputs, attrs))
            results.append((plan(inputs)._array().copy(), g._words().tolist()))
        (mine, state), (reference, expected) = results
        assert state == expected
        np.testing.assert_array_equal(mine.view(np.uint8), reference.view(np.uint8))


@pytest.mark.parametrize("draw", [fovea.rand, fovea.randn])
def test_any_number_of_threads_gives_the_same_bits(draw: Callable[..., Any]) -> None:
    before = threads.get_num_threads()
    results = []
    try:
        for count in (1, 2, 3):
            threads.set_num_threads(count)
            results.append(draw(100_001, generator=generator(3)))
    finally:
        threads.set_num_threads(before)
    assert fovea.equal(results[0], results[1]) and fovea.equal(results[0], results[2])


def test_a_call_consumes_a_counter_for_four_words() -> None:
    g = generator()
    used = []
    for draw in (
        lambda: fovea.rand(9, generator=g),
        lambda: fovea.randn(9, generator=g),
        lambda: fovea.rand(9, dtype=fovea.float64, generator=g),
        lambda: fovea.randint(9, (9,), generator=g),
        lambda: fovea.rand(0, generator=g),
        lambda: fovea.randint(0, 2**40, (9,), generator=g),
    ):
        start = int(g._words()[1])
        draw()
        used.append(int(g._words()[1]) - start)
    assert used == [3, 3, 5, 5, 0, 9]


def test_order_is_row_major_whatever_the_layout() -> None:
    expected = fovea.rand(2, 3, 4, 5, generator=generator(1))
    last = fovea.empty(2, 4, 5, 3).permute(0, 3, 1, 2).uniform_(generator=generator(1))
    assert not last.is_contiguous() and fovea.equal(last, expected)
    like = fovea.rand_like(last, generator=generator(1))
    assert like.strides == last.strides and fovea.equal(like, expected)
    every_second = fovea.zeros(2, 3, 4, 10)
    every_second[..., ::2].uniform_(generator=generator(1))
    assert fovea.equal(every_second[..., ::2], expected)
    assert float(every_second[..., 1::2].abs().sum()) == 0.0


def test_threads_of_python_never_draw_the_same_numbers() -> None:
    g = generator(5)
    drawn: list[Any] = []

    def work() -> None:
        for _ in range(50):
            drawn.append(fovea.randint(0, 2**31, (40,), generator=g).tolist())

    workers = [threading.Thread(target=work) for _ in range(3)]
    for w in workers:
        w.start()
    for w in workers:
        w.join()
    together = fovea.randint(0, 2**31, (150 * 40,), generator=generator(5)).tolist()
    assert sorted(x for part in drawn for x in part) == sorted(together)


# -- distributions --------------------------------------------------------------------------------


def kolmogorov(sample: np.ndarray, cumulative: Callable[[np.ndarray], np.ndarray]) -> float:
    """The largest distance from the distribution function, in units of its standard error."""
    x = np.sort(sample.astype(np.float64))
    expected, n = cumulative(x), len(x)
    steps = np.arange(n + 1) / n
    distance = max(np.abs(steps[1:] - expected).max(), np.abs(steps[:-1] - expected).max())
    return float(distance * math.sqrt(n))


def normal_cumulative(x: np.ndarray) -> np.ndarray:
    return np.array([0.5 * math.erfc(-v / math.sqrt(2)) for v in x])


@pytest.mark.parametrize("name", ["float32", "float64"])
def test_distributions(name: str) -> None:
    kind, g, n = getattr(fovea, name), generator(11), 40_000
    u = fovea.rand(n, dtype=kind, generator=g).numpy()
    assert u.min() >= 0 and u.max() < 1
    assert kolmogorov(u, lambda x: x) < 1.9  # exceeded once in 700 samples
    z = fovea.randn(n, dtype=kind, generator=g).numpy()
    assert kolmogorov(z, normal_cumulative) < 1.9
    assert abs(np.corrcoef(z[0::2], z[1::2])[0, 1]) < 4 / math.sqrt(n / 2)
    e = fovea.empty(n, dtype=kind).exponential_(2.0, generator=g).numpy()
    assert e.min() > 0
    assert kolmogorov(e, lambda x: 1 - np.exp(-2 * x)) < 1.9
    assert np.isfinite(z).all() and np.isfinite(e).all()


def test_integers_are_evenly_spread() -> None:
    counts = fovea.bincount(fovea.randint(0, 7, (70_000,), generator=generator(2))).numpy()
    assert ((counts - 10_000) ** 2 / 10_000).sum() < 22.5  # chi squared, 6 degrees, 1 in 1000
    wide = fovea.randint(0, 3 * 2**61, (30_000,), generator=generator(2)).numpy() >> 61
    counts = np.bincount(wide)
    assert len(counts) == 3 and ((counts - 10_000) ** 2 / 10_000).sum() < 13.8


@pytest.mark.parametrize("name", FLOATS)
def test_uniform_numbers_stay_below_the_upper_end(name: str) -> None:
    kind = getattr(fovea, name)
    for low, high in ((0.0, 1.0), (-3.0, -2.0), (1.0, 1.0 + 2.0**-6), (5.0, 5.0), (-1.0, 0.0)):
        x = fovea.empty(30_000, dtype=kind).uniform_(low, high, generator=generator(4))
        values = x.to("float64").numpy()
        assert values.min() >= low
        assert values.max() < high or low == high
        if low < high:
            assert len(np.unique(values)) > 1


def test_every_dtype_of_integers_stays_in_its_range() -> None:
    for kind in (fovea.uint8, fovea.int8, fovea.int16, fovea.int32, fovea.int64):
        limits = fovea.iinfo(kind)
        x = fovea.randint(limits.min, limits.max + 1, (5000,), dtype=kind, generator=generator(6))
        assert x.dtype is kind
        assert float((x > limits.max // 2).to("float32").mean()) == pytest.approx(
            0.5 if kind is fovea.uint8 else 0.25, abs=0.04
        )
        y = fovea.empty(5000, dtype=kind).random_(generator=generator(6))
        assert int(y.min()) >= 0 and int(y.max()) > limits.max * 0.9
    assert set(fovea.empty(100, dtype=fovea.bool).random_().tolist()) == {False, True}
    z = fovea.empty(5000).random_(generator=generator(6))
    assert float(z.max()) > 0.99 * 2**24 and fovea.equal(z, z.floor())
    assert set(fovea.empty(200).random_(3).tolist()) == {0.0, 1.0, 2.0}
    assert set(fovea.empty(200).random_(-1, 1).tolist()) == {-1.0, 0.0}


def test_permutations() -> None:
    for n in (0, 1, 2, 1000):
        p = fovea.randperm(n, generator=generator(8))
        assert p.dtype is fovea.int64 and sorted(p.tolist()) == list(range(n))
    seen: dict[tuple[int, ...], int] = {}
    g = generator(9)
    for _ in range(1200):
        p = tuple(fovea.randperm(3, generator=g).tolist())
        seen[p] = seen.get(p, 0) + 1
    assert len(seen) == 6 and all(abs(c - 200) < 60 for c in seen.values())
    assert fovea.randperm(5, dtype=fovea.int32).dtype is fovea.int32


def test_multinomial() -> None:
    weights = fovea.tensor([0.0, 1.0, 3.0, 0.0, 4.0])
    picked = fovea.multinomial(weights, 8000, replacement=True, generator=generator(1))
    counts = np.bincount(picked.numpy(), minlength=5)
    assert counts[0] == counts[3] == 0
    assert abs(counts[1] - 1000) < 120 and abs(counts[4] - 4000) < 200
    rows = weights.repeat(4000, 1)
    pairs = fovea.multinomial(rows, 2, generator=generator(2)).numpy()
    assert pairs.shape == (4000, 2) and (pairs[:, 0] != pairs[:, 1]).all()
    assert set(np.unique(pairs)) == {1, 2, 4}
    assert abs((pairs[:, 0] == 4).mean() - 0.5) < 0.04
    # Second draws follow the weights that are left: 1/8 * 3/7 + 4/8 * 3/4 for the third column.
    assert abs((pairs[:, 1] == 2).mean() - (1 / 8 * 3 / 7 + 4 / 8 * 3 / 4)) < 0.04
    assert sorted(fovea.multinomial(weights[[1, 2]], 2).tolist()) == [0, 1]
    tiny = fovea.tensor([1e-30, 1e-38, 0.0], dtype=fovea.float64)
    assert set(fovea.multinomial(tiny, 50, replacement=True).tolist()) <= {0, 1}


def test_bernoulli() -> None:
    p = fovea.tensor([0.0, 0.25, 1.0]).repeat(8000, 1)
    hits = fovea.bernoulli(p, generator=generator(1))
    assert hits.dtype is fovea.float32
    mean = hits.mean(0).tolist()
    assert mean[0] == 0.0 and mean[2] == 1.0 and abs(mean[1] - 0.25) < 0.02
    assert abs(float(fovea.bernoulli(fovea.zeros(8000), 0.75).mean()) - 0.75) < 0.02
    x = fovea.zeros(8000, dtype=fovea.int32).bernoulli_(0.5, generator=generator(2))
    assert set(x.tolist()) == {0, 1}
    assert fovea.zeros(3).bernoulli_(fovea.tensor([0.0, 1.0, 0.0])).tolist() == [0.0, 1.0, 0.0]
    assert fovea.ones(3, dtype=fovea.float64).bernoulli().tolist() == [1.0, 1.0, 1.0]


def test_normal_takes_numbers_and_tensors() -> None:
    mean = fovea.tensor([0.0, 10.0]).repeat(20_000, 1)
    std = fovea.tensor([1.0, 0.1]).repeat(20_000, 1)
    for spread in (std, std.reshape(40_000)):  # as many elements in another shape will do
        x = fovea.normal(mean, spread, generator=generator(1))
        assert x.mean(0).tolist() == pytest.approx([0.0, 10.0], abs=0.03)
        assert x.std(0).tolist() == pytest.approx([1.0, 0.1], rel=0.03)
    assert float(fovea.normal(mean, 0.0).sum()) == float(mean.sum())
    assert fovea.normal(2.0, std, generator=generator(1)).mean(0).tolist() == pytest.approx(
        [2.0, 2.0], abs=0.03
    )
    assert fovea.normal(3.0, 0.0, (2, 2)).tolist() == [[3.0, 3.0], [3.0, 3.0]]
    assert fovea.normal(0.0, 1.0, size=(3,), dtype=fovea.float64).dtype is fovea.float64


# -- generators, states, arguments ----------------------------------------------------------------


@pytest.fixture
def default_state() -> Iterator[None]:
    with generators.fork_rng():
        yield


@pytest.mark.usefixtures("default_state")
def test_seeds_and_states() -> None:
    assert fovea.manual_seed(5) is fovea.default_generator
    first = fovea.randn(3)
    state = fovea.get_rng_state()
    second = fovea.randn(3)
    assert not fovea.equal(first, second)
    assert state.dtype is fovea.uint8 and state.shape == (16,)
    fovea.set_rng_state(state)
    assert fovea.equal(fovea.randn(3), second)
    assert fovea.initial_seed() == 5
    fovea.manual_seed(5)
    assert fovea.equal(fovea.randn(3), first)
    chosen = fovea.seed()
    assert fovea.initial_seed() == chosen and fovea.seed() != chosen
    with generators.fork_rng(enabled=False):
        fovea.manual_seed(6)
    assert fovea.initial_seed() == 6


def test_generators_are_apart() -> None:
    a, b = generator(1), generator(2)
    x = fovea.rand(4, generator=a)
    assert not fovea.equal(x, fovea.rand(4, generator=b))
    c = a.clone_state()
    assert fovea.equal(fovea.rand(4, generator=a), fovea.rand(4, generator=c))
    for copied in (pickle.loads(pickle.dumps(a)), copy.deepcopy(a)):
        expected = fovea.rand(4, generator=a.clone_state())
        assert fovea.equal(fovea.rand(4, generator=copied), expected)
    assert fovea.Generator().initial_seed() == fovea.Generator().initial_seed()
    assert repr(generator(7)) == "Generator(seed=7, offset=0)"
    assert generator(-1).initial_seed() == 2**64 - 1
    assert generator(2**64 - 1).initial_seed() == 2**64 - 1
    with pytest.raises(ArgumentError, match="64 bits"):
        generator(2**64)
    with pytest.raises(DTypeError, match="uint8"):
        a.set_state(fovea.zeros(16))
    with pytest.raises(ArgumentError, match="16 bytes"):
        a.set_state(fovea.zeros(3, dtype=fovea.uint8))


def test_shapes_dtypes_and_options() -> None:
    for draw in (fovea.rand, fovea.randn):
        assert draw().shape == () and draw(0, 3).shape == (0, 3)
        assert draw(2, 3).shape == draw((2, 3)).shape == draw([2, 3]).shape == (2, 3)
        assert draw(size=(2, 3)).shape == (2, 3)
        assert draw(2).dtype is fovea.float32
        assert draw(2, dtype=fovea.float64, device="cpu").dtype is fovea.float64
        assert draw(2, requires_grad=True).requires_grad
        out = fovea.empty(3)
        assert draw(3, out=out, generator=generator(1)) is out
        assert fovea.equal(out, draw(3, generator=generator(1)))
        with pytest.raises(DTypeError, match="floating"):
            draw(2, dtype=fovea.int64)
        with pytest.raises(ArgumentError, match="twice"):
            draw(2, size=(2,))
        with pytest.raises(ShapeError):
            draw(-1)
    with pytest.raises(TypeError):
        fovea.rand(2.5)
    assert fovea.randn_like(fovea.zeros(2, dtype=fovea.float64)).dtype is fovea.float64
    assert fovea.rand_like(fovea.zeros(2, dtype=fovea.int32), dtype=fovea.float32).shape == (2,)


def test_forms_of_randint() -> None:
    g = generator
    expected = fovea.randint(0, 9, (4,), generator=g())
    for same in (
        fovea.randint(9, (4,), generator=g()),
        fovea.randint(high=9, size=(4,), generator=g()),
        fovea.randint(low=0, high=9, size=[4], generator=g()),
        fovea.randint(0, 9, size=(4,), generator=g()),
        fovea.randint_like(fovea.zeros(4, dtype=fovea.int64), 9, generator=g()),
        fovea.randint_like(fovea.zeros(4), 0, 9, dtype=fovea.int64, generator=g()),
    ):
        assert same.dtype is fovea.int64 and fovea.equal(same, expected)
    assert fovea.randint(-3, -1, (50,)).max() <= -2
    assert fovea.randint(0, 2, (3,), dtype=fovea.float32).dtype is fovea.float32
    with pytest.raises(TypeError, match="randint takes"):
        fovea.randint(3)
    with pytest.raises(ArgumentError, match="less than"):
        fovea.randint(5, 5, (2,))
    with pytest.raises(ArgumentError, match="does not fit uint8"):
        fovea.randint(0, 300, (2,), dtype=fovea.uint8)


@pytest.mark.parametrize(
    "call",
    [
        lambda: fovea.empty(2).uniform_(2, 1),
        lambda: fovea.empty(2).uniform_(0, math.nan),
        lambda: fovea.empty(2).normal_(0, -1),
        lambda: fovea.empty(2).exponential_(0),
        lambda: fovea.normal(0.0, 1.0),
        lambda: fovea.normal(fovea.zeros(2), -1.0),
        lambda: fovea.normal(fovea.zeros(2), fovea.tensor([1.0, -1.0])),
        lambda: fovea.bernoulli(fovea.tensor([1.5])),
        lambda: fovea.bernoulli(fovea.tensor([math.nan])),
        lambda: fovea.zeros(2).bernoulli_(-0.1),
        lambda: fovea.randperm(-1),
        lambda: fovea.randperm(300, dtype=fovea.uint8),
        lambda: fovea.multinomial(fovea.tensor([0.5, -0.1]), 1),
        lambda: fovea.multinomial(fovea.tensor([0.5, math.inf]), 1),
        lambda: fovea.multinomial(fovea.zeros(3), 1, replacement=True),
        lambda: fovea.multinomial(fovea.ones(3), 4),
        lambda: fovea.multinomial(fovea.tensor([1.0, 0.0]), 2),
        lambda: fovea.multinomial(fovea.ones(3), 0),
        lambda: generator().manual_seed(-(2**63) - 1),
    ],
)
def test_bad_arguments(call: Callable[[], Any]) -> None:
    with pytest.raises(ArgumentError):
        call()


def test_bad_shapes_and_dtypes() -> None:
    with pytest.raises(ShapeError):
        fovea.multinomial(fovea.ones(2, 2, 2), 1)
    with pytest.raises(DTypeError):
        fovea.multinomial(fovea.ones(2, dtype=fovea.int64), 1)
    with pytest.raises(DTypeError):
        fovea.empty(2, dtype=fovea.int32).uniform_()
    with pytest.raises(ShapeError):
        fovea.normal(fovea.zeros(2), fovea.ones(3))
    with pytest.raises(ShapeError):
        fovea.rand(3, out=fovea.empty(2))


def test_gradients_stop_where_numbers_are_written() -> None:
    leaf = fovea.ones(3, requires_grad=True)
    with pytest.raises(InplaceError):
        leaf.uniform_()
    with fovea.no_grad():
        leaf.normal_(generator=generator(1))
    x = leaf * 2
    x.uniform_()
    (x.sum() + leaf.sum()).backward()
    assert leaf.grad.tolist() == [1.0, 1.0, 1.0]
    y = leaf * 2
    y[:1].uniform_()
    leaf.grad = None
    y.sum().backward()
    assert leaf.grad.tolist() == [0.0, 2.0, 2.0]
    saved = leaf * leaf
    with fovea.no_grad():
        leaf.uniform_()
    with pytest.raises(InplaceError):
        saved.sum().backward()


@pytest.mark.parametrize(
    "state",
    [
        lambda: fovea.zeros(2),
        lambda: fovea.zeros(0, dtype=fovea.int64),
        lambda: fovea.zeros(1, dtype=fovea.int64),
        lambda: fovea.zeros(4, dtype=fovea.int64)[::2],
        lambda: fovea.zeros(1, dtype=fovea.int64).expand(2),
    ],
)
def test_ops_refuse_what_is_no_state(state: Callable[[], Any]) -> None:
    with pytest.raises(ShapeError, match="state"):
        ops.random_uniform(state(), shape=(3,), dtype=fovea.float32, low=0.0, high=1.0)
    with pytest.raises(ShapeError, match="state"):
        ops.random_permutation(state(), n=3, dtype=fovea.int64)
    with pytest.raises(ShapeError, match="state"):
        ops.random_multinomial(state(), fovea.ones(3), count=1, replacement=True)


@pytest.mark.parametrize("high", [1.0, 6e4, 1e38, 3e38, 1e300, 1e-45, 5e-324, -1e300, math.inf])
@pytest.mark.parametrize("name", FLOATS)
def test_wild_ranges_do_no_harm(name: str, high: float) -> None:
    kind = dtypes.as_dtype(name)
    attrs = ops.UniformAttrs.of((9,), kind, min(0.0, 2 * high), high)
    results = []
    for target in (targets.named("cpu"), REFERENCE):
        inputs = (generator().state,)
        if abs(high) > fovea.finfo(kind).max:
            with pytest.raises(ArgumentError, match="range"):
                ops.random_uniform.specs(inputs, attrs)
            continue
        specs = ops.random_uniform.specs(inputs, attrs)
        plan = target.plan(ops.random_uniform, inputs, attrs, specs)
        results.append(plan(inputs).to("float64").numpy())
    if results:
        np.testing.assert_array_equal(results[0], results[1])
        assert (results[0] <= high).all() and (results[0] >= min(0.0, 2 * high)).all()


def test_negative_sizes_are_errors() -> None:
    state = generator().state
    with pytest.raises(ShapeError, match="negative"):
        ops.random_normal(state, shape=(-2,), dtype=fovea.float32, mean=0.0, std=1.0)
    with pytest.raises(ShapeError, match="negative"):
        ops.random_integers(state, shape=(2, -2), dtype=fovea.int64, low=0, high=2)


def test_poisson() -> None:
    """Means and variances are the rates; large rates, and rates of zero."""
    fovea.manual_seed(0)
    for rate in (0.3, 7.0, 399.0, 1234.5):
        drawn = fovea.poisson(fovea.full((20000,), rate, dtype=fovea.float64))
        near = 5 * (rate / 20000) ** 0.5
        assert abs(float(drawn.mean()) - rate) < near
        assert float(drawn.var()) == pytest.approx(rate, rel=0.06)
        assert bool((drawn == drawn.round()).all()) and bool((drawn >= 0).all())
    with pytest.raises(ArgumentError):
        fovea.poisson(fovea.tensor([-1.0]))
    with pytest.raises(DTypeError):
        fovea.poisson(fovea.tensor([1]))
    program = fovea.compile(lambda x: fovea.poisson(x * 2) + 1)
    assert program(fovea.full((4,), 50.0)).tolist() != program(fovea.full((4,), 50.0)).tolist()
