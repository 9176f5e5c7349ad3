"""Optimizers written as formulas follow PyTorch's, Keras's, or the paper's; compiled steps, too."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import fovea
import fovea.nn as nn
import fovea.nn.functional as F
from fovea import optim
from fovea.errors import ArgumentError
from fovea.optim.muon import orthogonalized
from tests.optim.test_optimizers import assert_same, give_gradients, grid, pair

torch = pytest.importorskip("torch")

SHAPES = [(7,), (3, 5), (4, 3, 3, 3), (), (1,), (5, 2), (33, 17)]
ASGD = grid(
    lambd=[1e-4, 0.1], alpha=[0.75, 0.5], t0=[1e6, 3], weight_decay=[0, 0.1],
    maximize=[False, True],
)  # fmt: skip
ADAFACTOR = grid(
    lr=[0.01, 0.5], beta2_decay=[-0.8, -0.5], eps=[(None, 1e-3), (1e-6, 0.1)], d=[1.0, 2.0],
    weight_decay=[0.0, 0.1], maximize=[False, True],
)  # fmt: skip
CASES = [("ASGD", o) for o in ASGD] + [("Adafactor", o) for o in ADAFACTOR]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    ("name", "options"), CASES, ids=[f"{n}-{'-'.join(map(str, o.values()))}" for n, o in CASES]
)
def test_trajectories_follow_pytorch(name: str, options: dict[str, Any], dtype: str) -> None:
    mine, theirs = pair(dtype, shapes=SHAPES)
    ours = getattr(optim, name)(mine, **options)
    reference = getattr(torch.optim, name)(theirs, **options, foreach=False)
    rng = np.random.default_rng(1)
    for _ in range(8):
        give_gradients(mine, theirs, rng)
        ours.step()
        reference.step()
    # PyTorch keeps Adafactor's and ASGD's rates in float32, here they are float64
    assert_same(mine, theirs, 2e-6 if dtype == "float64" else 2e-5)
    for number, state in reference.state_dict()["state"].items():
        held = ours.state_dict()["state"][number]
        assert held.keys() == {k for k, v in state.items() if v is not None}
        for key, value in state.items():
            got, want = held[key].to("float64").numpy(), value.double().numpy()
            np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("scale", [None, "original", "match_rms_adamw"])
def test_muon_follows_pytorch(nesterov: bool, scale: str | None) -> None:
    shapes = [(3, 5), (33, 17), (8, 8)]
    mine, theirs = pair("float32", shapes=shapes)
    options = {"lr": 0.05, "nesterov": nesterov, "adjust_lr_fn": scale, "weight_decay": 0.2}
    ours, reference = optim.Muon(mine, **options), torch.optim.Muon(theirs, **options)
    rng = np.random.default_rng(1)
    for _ in range(5):
        give_gradients(mine, theirs, rng)
        ours.step()
        reference.step()
    assert_same(mine, theirs, 0.03)  # PyTorch's iterations are in bfloat16
    for number in range(len(shapes)):
        held = ours.state_dict()["state"][number]["momentum_buffer"].numpy()
        want = reference.state_dict()["state"][number]["momentum_buffer"].numpy()
        np.testing.assert_allclose(held, want, rtol=1e-5, atol=1e-6)


def test_iterations_make_singular_values_equal() -> None:
    fovea.manual_seed(0)
    for shape in ((12, 4), (4, 12), (2, 6, 6)):
        out = orthogonalized(fovea.randn(*shape), (2.0, -1.5, 0.5), 1e-7, 25)
        np.testing.assert_allclose(np.linalg.svd(out.numpy())[1], 1.0, atol=1e-4)


MUONS, CUBIC = (3.4445, -4.775, 2.0315), (1.5, -0.5, 0.0)


@pytest.mark.parametrize(
    ("coefficients", "steps"), [(MUONS, 1), (MUONS, 2), (MUONS, 5), (MUONS, 7), (CUBIC, 20)]
)
@pytest.mark.parametrize("rank", [3, 12])
def test_iterations_on_squares_are_those_of_the_matrix(
    coefficients: tuple[float, float, float], steps: int, rank: int
) -> None:
    rng = np.random.default_rng(steps)
    x = rng.normal(size=(2, 12, rank)) @ rng.normal(size=(2, rank, 100))
    want = x / np.linalg.norm(x, axis=(1, 2), keepdims=True)
    for _ in range(steps):
        gram = want @ want.swapaxes(1, 2)
        a, b, c = coefficients
        want = a * want + (b * gram + c * gram @ gram) @ want
    for dtype, least in ((fovea.float64, 1e-9), (fovea.float32, 1e-3)):
        given = fovea.tensor(x, dtype=dtype)
        off = orthogonalized(given, coefficients, 1e-7, steps).numpy() - want
        turned = orthogonalized(given.mT, coefficients, 1e-7, steps).mT.numpy() - want
        assert max(np.linalg.norm(off), np.linalg.norm(turned)) < least * np.linalg.norm(want)


@pytest.mark.parametrize("maximize", [False, True])
def test_lamb_is_the_papers(maximize: bool) -> None:
    mine, theirs = pair("float64", shapes=[(4, 3), (5,), (2, 2, 3, 3)])
    with torch.no_grad():
        theirs[1].zero_()
    mine[1].detach().zero_()
    ours = optim.LAMB(mine, lr=0.02, betas=(0.8, 0.9), weight_decay=0.1, maximize=maximize)
    moments = [(torch.zeros_like(q), torch.zeros_like(q)) for q in theirs]
    rng = np.random.default_rng(1)
    for t in range(1, 12):
        give_gradients(mine, theirs, rng)
        ours.step()
        with torch.no_grad():
            for q, (m, v) in zip(theirs, moments, strict=True):
                g = -q.grad if maximize else q.grad
                m.mul_(0.8).add_(0.2 * g)
                v.mul_(0.9).add_(0.1 * g * g)
                r = m / (1 - 0.8**t) / ((v / (1 - 0.9**t)).sqrt() + 1e-6) + 0.1 * q
                ratio = q.norm() / r.norm() if q.norm() > 0 and r.norm() > 0 else 1.0
                q.sub_(0.02 * ratio * r)
    assert_same(mine, theirs, 1e-12)


@pytest.mark.parametrize("nesterov", [False, True])
def test_lars_is_the_papers(nesterov: bool) -> None:
    mine, theirs = pair("float64", shapes=[(4, 3), (5,), (2, 2, 3, 3)])
    with torch.no_grad():
        theirs[1].zero_()
    mine[1].detach().zero_()
    ours = optim.LARS(mine, lr=0.5, weight_decay=0.1, trust_coefficient=0.02, nesterov=nesterov)
    # PyTorch's SGD on gradients scaled by hand
    reference = torch.optim.SGD(theirs, lr=0.5, momentum=0.9, nesterov=nesterov)
    rng = np.random.default_rng(1)
    for _ in range(10):
        give_gradients(mine, theirs, rng)
        ours.step()
        with torch.no_grad():
            for q in theirs:
                p_norm, g_norm = q.norm(), q.grad.norm()
                trust = 0.02 * p_norm / (g_norm + 0.1 * p_norm + 1e-8) if p_norm > 0 else 1.0
                q.grad = (q.grad + 0.1 * q) * trust
        reference.step()
    assert_same(mine, theirs, 1e-12)


MAKERS = {
    "ASGD": lambda p: optim.ASGD(p, lr=0.05, t0=2),
    "Adafactor": lambda p: optim.Adafactor(p, lr=0.05),
    "Muon": lambda p: optim.Muon([q for q in p if q.ndim == 2], lr=0.05),
    "LAMB": lambda p: optim.LAMB(p, lr=0.05),
    "LARS": lambda p: optim.LARS(p, lr=0.5, weight_decay=1e-3, trust_coefficient=0.02),
    "Lion": lambda p: optim.Lion(p, lr=0.01, weight_decay=0.1),
    "Adadelta": lambda p: optim.Adadelta(p, lr=0.5),
    "RAdam": lambda p: optim.RAdam(p, lr=0.02, betas=(0.8, 0.9)),
    "Rprop": lambda p: optim.Rprop(p, lr=0.01),
}


@pytest.mark.parametrize("name", MAKERS)
def test_compiled_steps_follow_schedules(name: str) -> None:
    fovea.manual_seed(0)
    first = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
    batches = [(fovea.randn(5, 6), fovea.randint(0, 3, (5,))) for _ in range(8)]
    nets = [first, copy.deepcopy(first)]
    losses: list[list[float]] = [[], []]
    for which, net in enumerate(nets):
        optimizer = MAKERS[name](list(net.parameters()))
        schedule = optim.lr_scheduler.StepLR(optimizer, 2, gamma=0.5)

        def step(x: Any, y: Any, net: Any = net, optimizer: Any = optimizer) -> Any:
            optimizer.zero_grad()
            loss = F.cross_entropy(net(x), y)
            loss.backward()
            optimizer.step()
            return loss

        run = fovea.compile(step, strict=True) if which else step
        for x, y in batches:
            losses[which].append(float(run(x, y)))
            schedule.step()
    np.testing.assert_allclose(*losses, rtol=2e-5)
    for p, q in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", MAKERS)
def test_states_survive_saving(name: str) -> None:
    fovea.manual_seed(0)
    a = [fovea.randn(4, 3, requires_grad=True), fovea.randn(2, 5, requires_grad=True)]
    b = [p.detach().clone().requires_grad_() for p in a]
    ours, other = MAKERS[name](a), MAKERS[name](b)
    grads = [[fovea.randn(*p.shape) for p in a] for _ in range(6)]
    for number, several in enumerate(grads):
        for p, q, g in zip(a, b, several, strict=True):
            p.grad, q.grad = g, g.clone()
        ours.step()
        other.step()
        if number == 2:
            saved = copy.deepcopy(other.state_dict())
            other = MAKERS[name](b)
            other.load_state_dict(saved)
    for p, q in zip(a, b, strict=True):
        np.testing.assert_array_equal(p.detach().numpy(), q.detach().numpy())


WRONG = [
    (optim.Adafactor, {"beta2_decay": 0.5}), (optim.Adafactor, {"eps": (-1.0, 0.1)}),
    (optim.Adafactor, {"d": 0.5}), (optim.Muon, {"ns_steps": 100}),
    (optim.Muon, {"adjust_lr_fn": "x"}), (optim.ASGD, {"lr": -1}), (optim.LAMB, {"betas": (1, 0)}),
    (optim.LARS, {"momentum": -1}), (optim.Rprop, {"etas": (1.1, 1.2)}), (optim.Adadelta, {"rho": 2}),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "options"), WRONG)
def test_wrong_options_are_refused(kind: Any, options: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError):
        kind([fovea.zeros(2, 2, requires_grad=True)], **options)


def test_muon_wants_matrices() -> None:
    with pytest.raises(ArgumentError, match="matrices"):
        optim.Muon([fovea.zeros(3, requires_grad=True)])


def test_signatures_are_pytorchs() -> None:
    import inspect

    for name in ("ASGD", "Adafactor", "Adadelta", "Muon", "RAdam", "Rprop"):
        ours, theirs = (
            {
                k: (p.default, p.kind)
                for k, p in inspect.signature(getattr(lib, name)).parameters.items()
            }
            for lib in (optim, torch.optim)
        )
        assert ours == theirs and list(ours) == list(theirs), name
