"""Parametrized, weight, spectral and orthogonal normalization against PyTorch's, states both ways."""

from __future__ import annotations

import copy
import pickle
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fovea
from tests.functions.torch_tables import converted
from tests.nn.oracle import close, rng, torch

MAKERS: dict[str, tuple[str, tuple[Any, ...], tuple[int, ...]]] = {
    "linear": ("Linear", (5, 4), (3, 5)),
    "wide": ("Linear", (3, 7), (2, 3)),
    "square": ("Linear", (4, 4), (2, 4)),
    "conv2d": ("Conv2d", (3, 4, 3), (2, 3, 5, 5)),
    "transposed": ("ConvTranspose2d", (3, 4, 3), (2, 3, 4, 4)),
}
Change = Callable[[Any, Any], Any]  # the library, a module of it

CHANGES: dict[str, Change] = {
    "weight_norm": lambda lib, m: lib.nn.utils.parametrizations.weight_norm(m),
    "weight_norm, dim 1": lambda lib, m: lib.nn.utils.parametrizations.weight_norm(m, dim=1),
    "weight_norm, whole": lambda lib, m: lib.nn.utils.parametrizations.weight_norm(m, dim=None),
    "weight_norm, bias": lambda lib, m: lib.nn.utils.parametrizations.weight_norm(m, "bias"),
    "spectral_norm": lambda lib, m: lib.nn.utils.parametrizations.spectral_norm(m),
    "spectral_norm, 3 times": lambda lib, m: lib.nn.utils.parametrizations.spectral_norm(
        m, n_power_iterations=3, dim=-1
    ),
    "spectral_norm, bias": lambda lib, m: lib.nn.utils.parametrizations.spectral_norm(
        m, "bias", dim=0
    ),
    "two": lambda lib, m: lib.nn.utils.parametrizations.spectral_norm(
        lib.nn.utils.parametrizations.weight_norm(m)
    ),
    "old weight_norm": lambda lib, m: lib.nn.utils.weight_norm(m),
    "old weight_norm, whole": lambda lib, m: lib.nn.utils.weight_norm(m, dim=None),
    "old spectral_norm": lambda lib, m: lib.nn.utils.spectral_norm(m),
    "old spectral_norm, dim 1": lambda lib, m: lib.nn.utils.spectral_norm(
        m, n_power_iterations=2, dim=1
    ),
}


def pair(maker: str, change: Change) -> tuple[Any, Any]:
    """The changed module on both sides, in float64, with PyTorch's state."""
    name, arguments, _ = MAKERS[maker]
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        theirs = change(torch, getattr(torch.nn, name)(*arguments, dtype=torch.float64))
        ours = change(fovea, getattr(fovea.nn, name)(*arguments, dtype=fovea.float64))
    assert repr(ours) == repr(theirs)
    ours.load_state_dict(converted(dict(theirs.state_dict())))
    return ours, theirs


def states_agree(ours: Any, theirs: Any) -> None:
    a, b = ours.state_dict(), theirs.state_dict()
    assert list(a) == list(b)
    for key in a:
        close(a[key], b[key], "float64", key)


def gradients_agree(ours: Any, theirs: Any) -> None:
    b = dict(theirs.named_parameters())
    a = dict(ours.named_parameters())
    assert list(a) == list(b)
    for key in a:
        assert (a[key].grad is None) == (b[key].grad is None), key
        if b[key].grad is not None:
            close(a[key].grad, b[key].grad, "float64", key)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("maker", MAKERS)
def test_training_and_evaluation(maker: str, change: str) -> None:
    ours, theirs = pair(maker, CHANGES[change])
    x = rng().standard_normal(MAKERS[maker][2])
    sgd = [lib.optim.SGD(m.parameters(), lr=0.1) for lib, m in ((fovea, ours), (torch, theirs))]
    for training in (True, True, False):
        ours.train(training), theirs.train(training)
        y, t = ours(fovea.tensor(x)), theirs(torch.tensor(x))
        close(y, t, "float64")
        (y * y).mean().backward(), (t * t).mean().backward()
        gradients_agree(ours, theirs)
        for optimizer in sgd:
            optimizer.step()
            optimizer.zero_grad()
        states_agree(ours, theirs)


@pytest.mark.parametrize(
    "change", ["weight_norm", "spectral_norm", "old weight_norm", "old spectral_norm"]
)
def test_files_both_ways(change: str, tmp_path: Any) -> None:
    ours, theirs = pair("conv2d", CHANGES[change])
    theirs.eval(), ours.eval()
    x = rng().standard_normal((1, 3, 5, 5))
    torch.save(theirs.state_dict(), tmp_path / "theirs.pt")
    ours.load_state_dict(fovea.load(tmp_path / "theirs.pt"))
    close(ours(fovea.tensor(x)), theirs(torch.tensor(x)), "float64")
    with fovea.no_grad():
        for p in ours.parameters():
            p.mul_(1.5)
    fovea.save(ours.state_dict(), tmp_path / "ours.pt")
    theirs.load_state_dict(torch.load(tmp_path / "ours.pt"))
    close(ours(fovea.tensor(x)), theirs(torch.tensor(x)), "float64")


@pytest.mark.parametrize("change", [c for c in CHANGES if c != "two"])
def test_removing(change: str) -> None:
    ours, theirs = pair("square", CHANGES[change])
    ours.eval(), theirs.eval()
    name = "bias" if "bias" in change else "weight"
    for lib, module in ((fovea, ours), (torch, theirs)):
        if change.startswith("old"):
            kind = "weight_norm" if "weight_norm" in change else "spectral_norm"
            getattr(lib.nn.utils, f"remove_{kind}")(module)
            with pytest.raises(ValueError, match=f"{kind} of 'weight' not found"):
                getattr(lib.nn.utils, f"remove_{kind}")(module)
        else:
            lib.nn.utils.parametrize.remove_parametrizations(module, name)
            assert not lib.nn.utils.parametrize.is_parametrized(module)
    assert type(ours) is fovea.nn.Linear
    states_agree(ours, theirs)
    assert [n for n, _ in ours.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    x = rng().standard_normal((2, 4))
    close(ours(fovea.tensor(x)), theirs(torch.tensor(x)), "float64")


@pytest.mark.parametrize("map_name", ["matrix_exp", "cayley", "householder", None])
@pytest.mark.parametrize("trivial", [True, False])
@pytest.mark.parametrize("maker", ["linear", "wide", "square", "conv2d"])
def test_orthogonal(maker: str, map_name: str | None, trivial: bool) -> None:
    ours, theirs = pair(
        maker,
        lambda lib, m: lib.nn.utils.parametrizations.orthogonal(
            m, orthogonal_map=map_name, use_trivialization=trivial
        ),
    )
    for p, t in zip(ours.parameters(), theirs.parameters(), strict=True):
        step = rng(1).standard_normal(tuple(t.shape)) * 0.1
        step = np.tril(step, -1) + np.triu(step, 1)
        with torch.no_grad():
            t.add_(torch.tensor(step) if t.ndim > 1 else 0)
        with fovea.no_grad():
            p.add_(fovea.tensor(step) if p.ndim > 1 else 0)
    w, t = ours.weight, theirs.weight
    close(w, t, "float64")
    (w * w.cumsum(0)).sum().backward(), (t * t.cumsum(0)).sum().backward()
    gradients_agree(ours, theirs)
    tall = w.detach().mT if w.shape[-2] < w.shape[-1] else w.detach()
    eye = fovea.eye(tall.shape[-1], dtype=fovea.float64).expand(*tall.shape[:-2], -1, -1)
    close(tall.mT @ tall, eye, "float64")


@pytest.mark.parametrize("shape", [(4, 4), (6, 3), (3, 6), (2, 5, 3)])
@pytest.mark.parametrize(
    "options", [{}, {"orthogonal_map": "householder", "use_trivialization": False}]
)
def test_orthogonal_starts_at_the_weight(shape: tuple[int, ...], options: Any) -> None:
    wide = shape[-2] < shape[-1]
    array = rng().standard_normal(shape)
    q = np.linalg.qr(array.swapaxes(-1, -2) if wide else array)[0]
    q = q.swapaxes(-1, -2) if wide else q
    module = fovea.nn.Module()
    module.weight = fovea.nn.Parameter(fovea.tensor(q))
    fovea.nn.utils.parametrizations.orthogonal(module, **options)
    # Of several columns that complete a base any may be taken, but the first ones are the weight's.
    if options or shape[-1] == shape[-2]:
        close(module.weight, torch.tensor(q), "float64")
    np.testing.assert_allclose(np.abs(module.weight.detach().numpy()), np.abs(q), atol=1e-12)
    module.weight = fovea.tensor(-q)
    np.testing.assert_allclose(np.abs(module.weight.detach().numpy()), np.abs(q), atol=1e-12)


class Symmetric:
    """A parametrization of either library."""

    def __new__(cls, lib: Any) -> Any:
        class Made(lib.nn.Module):
            def forward(self, x: Any) -> Any:
                return x.triu() + x.triu(1).mT

            def right_inverse(self, x: Any) -> Any:
                return x.triu()

        return Made()


class Doubled(fovea.nn.Module):
    def forward(self, x: Any) -> Any:
        return x * 2

    def right_inverse(self, x: Any) -> Any:
        return x / 2


def test_chains_buffers_and_assignment() -> None:
    sides = []
    for lib in (fovea, torch):
        parametrize = lib.nn.utils.parametrize
        m = lib.nn.BatchNorm1d(3)
        m.register_buffer("table", lib.arange(9.0).reshape(3, 3))
        m.half_table = lib.nn.Parameter(lib.ones(3, 3))
        parametrize.register_parametrization(m, "table", Symmetric(lib))
        first = m.table.tolist()
        parametrize.register_parametrization(m, "table", Symmetric(lib))
        parametrize.register_parametrization(m, "half_table", Symmetric(lib))
        assert parametrize.is_parametrized(m) and parametrize.is_parametrized(m, "table")
        assert not parametrize.is_parametrized(m, "weight")
        m.half_table = lib.arange(9.0).reshape(3, 3)
        state = {k: v.tolist() for k, v in m.state_dict().items()}
        left = m.half_table.tolist()
        parametrize.remove_parametrizations(m, "half_table", leave_parametrized=False)
        assert parametrize.type_before_parametrizations(m) is lib.nn.BatchNorm1d
        parametrize.remove_parametrizations(m, "table")
        assert type(m) is lib.nn.BatchNorm1d
        assert not hasattr(m, "parametrizations")
        sides.append(
            (first, state, left, m.half_table.tolist(), m.table.tolist(), list(m._buffers))
        )
    assert sides[0] == sides[1]


def test_the_parameter_stays_the_same_object() -> None:
    layer = fovea.nn.Linear(3, 3)
    weight = layer.weight
    optimizer = fovea.optim.SGD(layer.parameters(), lr=1.0)
    parametrize = fovea.nn.utils.parametrize
    parametrize.register_parametrization(layer, "weight", Symmetric(fovea))
    assert layer.parametrizations.weight.original is weight
    layer(fovea.ones(1, 3)).sum().backward()
    optimizer.step()
    assert layer.weight.tolist() == layer.weight.T.tolist()
    parametrize.remove_parametrizations(layer, "weight")
    assert layer.weight is weight


def test_caching() -> None:
    calls = []

    class Counts(fovea.nn.Module):
        def forward(self, x: Any) -> Any:
            calls.append(1)
            return x * 2

    layer = fovea.nn.Linear(2, 2)
    parametrize = fovea.nn.utils.parametrize
    parametrize.register_parametrization(layer, "weight", Counts())
    calls.clear()
    with parametrize.cached():
        assert layer.weight is layer.weight
        with parametrize.cached():
            assert layer.weight is layer.weight
        (layer.weight + layer.weight).sum().backward()
        assert len(calls) == 1
    assert layer.weight is not layer.weight
    assert layer.parametrizations.weight.original.grad.tolist() == [[4.0, 4.0], [4.0, 4.0]]


def test_copies_and_pickles() -> None:
    layer = fovea.nn.Linear(3, 3)
    parametrize = fovea.nn.utils.parametrize
    parametrize.register_parametrization(layer, "weight", Doubled())
    fovea.nn.utils.parametrizations.weight_norm(layer, "bias")
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert type(other) is type(layer)
        assert other.weight.tolist() == layer.weight.tolist()
        with fovea.no_grad():
            other.parametrizations.weight.original.add_(1)
        assert other.weight.tolist() != layer.weight.tolist()
        parametrize.remove_parametrizations(other, "weight")
        assert parametrize.is_parametrized(other) and parametrize.is_parametrized(layer, "weight")
    for kind in ("weight_norm", "spectral_norm"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            old = getattr(fovea.nn.utils, kind)(fovea.nn.Linear(3, 3))
        for other in (copy.deepcopy(old), pickle.loads(pickle.dumps(old))):
            other(fovea.ones(1, 3))
            other.eval(), old.eval()
            getattr(fovea.nn.utils, f"remove_{kind}")(other)
            assert not other._forward_pre_hooks and not other._state_dict_hooks
            assert isinstance(other.weight, fovea.nn.Parameter)
            assert not isinstance(old.weight, fovea.nn.Parameter)


def test_transfer() -> None:
    sides = []
    for lib in (fovea, torch):
        parametrize = lib.nn.utils.parametrize
        source, target, other = lib.nn.Linear(3, 3), lib.nn.Linear(3, 3), lib.nn.Module()
        parametrize.register_parametrization(source, "weight", Symmetric(lib))
        parametrize.register_parametrization(source, "bias", lib.nn.Identity())
        assert parametrize.transfer_parametrizations_and_params(source, target) is target
        parametrize.transfer_parametrizations_and_params(source, other, "weight")
        for module in (target, other):
            assert module.weight.tolist() == source.weight.tolist()
            same = (
                module.parametrizations.weight.original is source.parametrizations.weight.original
            )
            assert same
        plain = lib.nn.Linear(3, 3)
        parametrize.transfer_parametrizations_and_params(plain, lib.nn.Linear(3, 3))
        sides.append((list(target.state_dict()), list(other.state_dict())))
    assert sides[0] == sides[1]


def test_recurrent_layers_and_old_states() -> None:
    torch.manual_seed(0)
    with pytest.warns(FutureWarning, match="deprecated"):
        old = torch.nn.utils.weight_norm(torch.nn.LSTM(3, 4), "weight_hh_l0")
    ours = fovea.nn.utils.parametrizations.weight_norm(fovea.nn.LSTM(3, 4), "weight_hh_l0")
    ours.load_state_dict(converted(dict(old.state_dict())))
    x = rng().standard_normal((5, 2, 3)).astype("float32")
    with fovea.nn.utils.parametrize.cached():
        close(ours(fovea.tensor(x))[0], old(torch.tensor(x))[0], "float32")


def test_states_of_the_first_spectral_norm() -> None:
    torch.manual_seed(0)
    theirs = torch.nn.utils.spectral_norm(torch.nn.Linear(3, 4, dtype=torch.float64))
    ours = fovea.nn.utils.spectral_norm(fovea.nn.Linear(3, 4, dtype=fovea.float64))
    for _ in range(3):
        theirs(torch.ones(1, 3, dtype=torch.float64))
    state = dict(theirs.state_dict())
    del state["weight_v"]
    state["weight"] = theirs.weight.detach().clone()
    ours.load_state_dict(converted(state))
    ours.eval(), theirs.eval()
    close(ours.weight, state["weight"], "float64")
    del state["weight_u"]
    with pytest.raises(fovea.nn.state.StateDictError, match="weight_u"):
        ours.load_state_dict(converted(state))


@pytest.mark.parametrize("change", [*CHANGES, "orthogonal"])
def test_captured(change: str) -> None:
    """A compiled training step does what eager steps do, power iterations included."""
    made = {"orthogonal": lambda lib, m: lib.nn.utils.parametrizations.orthogonal(m)} | CHANGES

    def train(compiled: bool) -> list[Any]:
        fovea.manual_seed(0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            layer = made[change](fovea, fovea.nn.Linear(4, 3))
        optimizer = fovea.optim.SGD(layer.parameters(), lr=0.1)

        def step(x: Any) -> Any:
            optimizer.zero_grad()
            loss = (layer(x) ** 2).sum()
            loss.backward()
            optimizer.step()
            return loss

        run = fovea.compile(step, strict=change != "orthogonal") if compiled else step
        losses = [run(fovea.ones(2, 4) * i).item() for i in range(4)]
        return [losses, {k: v.tolist() for k, v in layer.state_dict().items()}]

    eager, compiled = train(False), train(True)
    np.testing.assert_allclose(compiled[0], eager[0], rtol=1e-4)
    for key, value in eager[1].items():
        np.testing.assert_allclose(compiled[1][key], value, rtol=1e-4, atol=1e-6)


def test_registering_again_captures_again() -> None:
    layer = fovea.nn.utils.parametrize.register_parametrization(
        fovea.nn.Linear(2, 2), "weight", Doubled()
    )
    program, x = fovea.compile(layer, strict=True), fovea.ones(1, 2)
    for _ in range(2):
        assert program(x).tolist() == layer(x).tolist()
    fovea.nn.utils.parametrize.register_parametrization(layer, "weight", Doubled())
    assert program(x).tolist() == layer(x).tolist()
    fovea.nn.utils.parametrize.remove_parametrizations(layer, "weight")
    assert program(x).tolist() == layer(x).tolist()


class Wider(fovea.nn.Module):
    def forward(self, x: Any) -> Any:
        return fovea.cat([x, x])


class Halved(fovea.nn.Module):
    def forward(self, x: Any) -> Any:
        return x.half()


def test_errors() -> None:
    layer, parametrize = fovea.nn.Linear(2, 3), fovea.nn.utils.parametrize
    with pytest.raises(ValueError, match="no parameter, buffer or parametrized tensor 'wieght'"):
        parametrize.register_parametrization(layer, "wieght", Doubled())
    with pytest.raises(ValueError, match="may not change the shape"):
        parametrize.register_parametrization(layer, "weight", Wider())
    with pytest.raises(ValueError, match="may not change the dtype"):
        parametrize.register_parametrization(layer, "weight", Halved())
    assert type(layer) is fovea.nn.Linear
    assert "weight" in dict(layer.named_parameters())
    parametrize.register_parametrization(layer, "weight", Wider(), unsafe=True)
    assert layer.weight.shape == (6, 2)
    with pytest.raises(RuntimeError, match="Wider has no right_inverse"):
        layer.weight = fovea.ones(6, 2)
    with pytest.raises(ValueError, match="is not parametrized"):
        parametrize.remove_parametrizations(layer, "bias")
    normed = fovea.nn.utils.parametrizations.weight_norm(fovea.nn.Linear(2, 3))
    with pytest.raises(ValueError, match="made of 2 tensors"):
        parametrize.remove_parametrizations(normed, "weight", leave_parametrized=False)
    with pytest.raises(ValueError, match="at least 2 dimensions"):
        fovea.nn.utils.parametrizations.orthogonal(fovea.nn.Linear(2, 3), "bias")
    with pytest.raises(ValueError, match="orthogonal_map is one of"):
        fovea.nn.utils.parametrizations.orthogonal(fovea.nn.Linear(2, 3), orthogonal_map="euler")
    with pytest.raises(NotImplementedError, match="cannot be set"):
        fovea.nn.utils.parametrizations.orthogonal(
            fovea.nn.Linear(2, 2), use_trivialization=False
        ).weight = fovea.eye(2)
    with pytest.raises(ValueError, match="n_power_iterations must be positive"):
        fovea.nn.utils.spectral_norm(fovea.nn.Linear(2, 3), n_power_iterations=0)
    with pytest.raises(IndexError, match="dim 2 is out of range"):
        fovea.nn.utils.parametrizations.spectral_norm(fovea.nn.Linear(2, 3), dim=2)
    once = fovea.nn.utils.spectral_norm(fovea.nn.Linear(2, 3))
    with pytest.raises(RuntimeError, match="normalized already"):
        fovea.nn.utils.spectral_norm(once)
    with pytest.raises(TypeError, match="is computed by SpectralNorm"):
        once.weight = fovea.ones(3, 2)
    with pytest.raises(ValueError, match="has no values yet"):
        fovea.nn.utils.spectral_norm(fovea.nn.LazyLinear(3))
