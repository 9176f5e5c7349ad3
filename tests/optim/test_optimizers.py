"""Each optimizer with all its options follows PyTorch's, step by step, from the same gradients."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import fovea
from fovea import optim

torch = pytest.importorskip("torch")

SHAPES = [(7,), (3, 5), (4, 3, 3, 3), (), (0, 2), (1,), (33, 17)]


def grid(**options: list[Any]) -> list[dict[str, Any]]:
    """Every combination of the values."""
    rows = itertools.product(*options.values())
    return [dict(zip(options, row, strict=True)) for row in rows]


SGD = [
    {"lr": 0.05, "momentum": m, "dampening": d, "weight_decay": w, "nesterov": n, "maximize": x}
    for m, d, w, n, x in itertools.product(
        [0, 0.9], [0, 0.3], [0, 0.1], [False, True], [False, True]
    )
    if not n or (m and not d)
]
ADAM = grid(
    betas=[(0.9, 0.999), (0.5, 0.9)], eps=[1e-8, 1e-3], weight_decay=[0, 0.1],
    amsgrad=[False, True], maximize=[False, True],
)  # fmt: skip
RMSPROP = grid(
    alpha=[0.99, 0.5], eps=[1e-8, 1e-3], weight_decay=[0, 0.1], momentum=[0, 0.8],
    centered=[False, True], maximize=[False, True],
)  # fmt: skip
ADAGRAD = grid(
    lr_decay=[0, 0.2], weight_decay=[0, 0.1], initial_accumulator_value=[0, 0.5],
    maximize=[False, True],
)  # fmt: skip
ADAMAX = grid(
    betas=[(0.9, 0.999), (0.5, 0.7)],
    eps=[1e-8, 1e-3],
    weight_decay=[0, 0.1],
    maximize=[False, True],
)
NADAM = grid(
    weight_decay=[0, 0.1], momentum_decay=[4e-3, 0.5], decoupled_weight_decay=[False, True],
    maximize=[False, True],
)  # fmt: skip
ADADELTA = grid(
    lr=[1.0, 0.3], rho=[0.9, 0.5], eps=[1e-6, 1e-3], weight_decay=[0, 0.1], maximize=[False, True],
)  # fmt: skip
RADAM = grid(
    betas=[(0.9, 0.999), (0.5, 0.7)], eps=[1e-8, 1e-3], weight_decay=[0, 0.1],
    decoupled_weight_decay=[False, True], maximize=[False, True],
)  # fmt: skip
RPROP = grid(
    lr=[0.01, 0.2], etas=[(0.5, 1.2), (0.3, 2.0)], step_sizes=[(1e-6, 50), (5e-3, 0.3)],
    maximize=[False, True],
)  # fmt: skip
CASES = [
    (name, options)
    for name, family in [
        ("SGD", SGD), ("Adam", [{"lr": 0.02, **o} for o in ADAM]), ("RMSprop", RMSPROP),
        ("AdamW", [{"lr": 0.02, **o} for o in ADAM]), ("Adagrad", ADAGRAD), ("Adamax", ADAMAX),
        ("NAdam", NADAM), ("Adadelta", ADADELTA), ("RAdam", [{"lr": 0.02, **o} for o in RADAM]),
        ("Rprop", RPROP),
    ]
    for options in family
]  # fmt: skip


def pair(dtype: str, seed: int = 0, shapes: Any = SHAPES) -> tuple[list[Any], list[Any]]:
    """The same parameters in fovea and in PyTorch."""
    rng = np.random.default_rng(seed)
    arrays = [rng.normal(size=s).astype(np.float64) for s in shapes]
    mine = [fovea.tensor(a, dtype=getattr(fovea, dtype)).requires_grad_() for a in arrays]
    theirs = [torch.tensor(a, dtype=getattr(torch, dtype)).requires_grad_() for a in arrays]
    return mine, theirs


def give_gradients(mine: list[Any], theirs: list[Any], rng: np.random.Generator) -> None:
    for p, q in zip(mine, theirs, strict=True):
        g = rng.normal(size=tuple(p.shape))
        p.grad = fovea.tensor(g, dtype=p.dtype)
        q.grad = torch.tensor(g, dtype=q.dtype)


def assert_same(mine: list[Any], theirs: list[Any], tolerance: float) -> None:
    for p, q in zip(mine, theirs, strict=True):
        a, b = p.detach().to("float64").numpy(), q.detach().double().numpy()
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    ("name", "options"), CASES, ids=[f"{n}-{'-'.join(map(str, o.values()))}" for n, o in CASES]
)
def test_trajectories_follow_pytorch(name: str, options: dict[str, Any], dtype: str) -> None:
    mine, theirs = pair(dtype)
    ours = getattr(optim, name)(mine, **options)
    reference = getattr(torch.optim, name)(theirs, **options, foreach=False)
    rng = np.random.default_rng(1)
    for _ in range(22):
        give_gradients(mine, theirs, rng)
        ours.step()
        reference.step()
    # float32: 22 roundings of numbers near 1, some of them through a square root.
    assert_same(mine, theirs, 1e-12 if dtype == "float64" else 4e-6)
    _assert_same_states(ours, reference, 1e-11 if dtype == "float64" else 1e-5)


def _assert_same_states(ours: Any, reference: Any, tolerance: float) -> None:
    saved, expected = ours.state_dict(), reference.state_dict()
    assert saved["state"].keys() == expected["state"].keys()
    for number, state in expected["state"].items():
        mine = {k: v for k, v in saved["state"][number].items() if v is not None}
        theirs = {k: v for k, v in state.items() if v is not None}
        assert mine.keys() == theirs.keys()
        for key, value in theirs.items():
            assert str(mine[key].dtype).split(".")[1] == str(value.dtype).split(".")[1]
            a, b = mine[key].to("float64").numpy(), value.double().numpy()
            np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


HALVES = ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "Adamax", "NAdam", "Adadelta", "RAdam"]


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("name", HALVES)
def test_half_parameters_are_computed_in_float32(name: str, dtype: str) -> None:
    options = {"momentum": 0.9} if name == "SGD" else {"eps": 1e-3}
    half = getattr(torch, dtype)
    mine, _ = pair(dtype)
    theirs = [torch.tensor(p.detach().float().numpy()).requires_grad_() for p in mine]
    ours = getattr(optim, name)(mine, lr=0.05, **options)
    reference = getattr(torch.optim, name)(theirs, lr=0.05, **options)
    rng = np.random.default_rng(1)
    for _ in range(6):
        give_gradients(mine, theirs, rng)
        for p, q in zip(mine, theirs, strict=True):
            q.grad = torch.tensor(p.grad.float().numpy())
        ours.step()
        reference.step()
        with torch.no_grad():  # what is kept between steps has the parameter's precision
            for q in theirs:
                q.copy_(q.to(half))
                for key, state in reference.state[q].items():
                    if key not in ("step", "mu_product"):
                        state.copy_(state.to(half))
    assert all(p.dtype is getattr(fovea, dtype) for p in mine)
    # One unit in the last place of numbers around 2, should a rounding go the other way.
    assert_same(mine, theirs, 0.016 if dtype == "bfloat16" else 0.002)


@pytest.mark.parametrize(
    "name", ["SGD", "Adam", "RMSprop", "Adagrad", "Adamax", "NAdam", "Adadelta", "RAdam", "Rprop"]
)
def test_parameters_without_gradient_are_skipped(name: str) -> None:
    mine, theirs = pair("float64")
    ours, reference = getattr(optim, name)(mine), getattr(torch.optim, name)(theirs)
    rng = np.random.default_rng(2)
    for step in range(6):
        give_gradients(mine, theirs, rng)
        for skipped in range(len(mine)):
            if (step + skipped) % 3 == 0:  # another set at each step
                mine[skipped].grad = theirs[skipped].grad = None
        ours.step()
        reference.step()
    assert_same(mine, theirs, 1e-12)
    _assert_same_states(ours, reference, 1e-12)


def test_no_gradients_at_all_changes_nothing() -> None:
    p = fovea.ones(3, requires_grad=True)
    optimizer = optim.Adam([p])
    optimizer.step()
    assert p.tolist() == [1.0, 1.0, 1.0]
    assert optimizer.state_dict()["state"] == {}


def test_groups_have_their_own_options() -> None:
    mine, theirs = pair("float64")
    made = []
    for params, library in ((mine, optim), (theirs, torch.optim)):
        made.append(library.SGD(
            [
                {"params": params[:2], "lr": 0.5, "momentum": 0.9},
                {"params": []},
                {"params": params[2:4], "weight_decay": 0.1, "nesterov": False},
                {"params": params[4:], "maximize": True},
            ],
            lr=0.1,
        ))  # fmt: skip
    rng = np.random.default_rng(3)
    for step in range(20):
        give_gradients(mine, theirs, rng)
        for optimizer in made:
            optimizer.param_groups[0]["lr"] = 0.5 / (1 + step)
            optimizer.step()
    assert_same(mine, theirs, 1e-12)


def test_momentum_that_starts_later_and_dampening() -> None:
    mine, theirs = pair("float64")
    ours, reference = optim.SGD(mine, dampening=0.5), torch.optim.SGD(theirs, dampening=0.5)
    rng = np.random.default_rng(4)
    for step in range(8):
        for optimizer in (ours, reference):
            optimizer.param_groups[0]["momentum"] = 0.9 if step > 2 else 0
        give_gradients(mine, theirs, rng)
        if step == 4:
            mine[0].grad = theirs[0].grad = None
        ours.step()
        reference.step()
    assert_same(mine, theirs, 1e-12)


def test_mixed_dtypes_in_one_group() -> None:
    wide, wide_reference = pair("float64", 1)
    narrow, narrow_reference = pair("float32", 2)
    mine, theirs = [*wide, *narrow], [*wide_reference, *narrow_reference]
    ours, reference = optim.Adam(mine, lr=0.1), torch.optim.Adam(theirs, lr=0.1)
    rng = np.random.default_rng(5)
    for _ in range(10):
        give_gradients(mine, theirs, rng)
        ours.step()
        reference.step()
    assert_same(wide, wide_reference, 1e-12)
    assert_same(narrow, narrow_reference, 4e-6)


def _laid_out(a: np.ndarray, how: str) -> Any:
    """A leaf with these values, whose memory is not row-major."""
    if how == "channels last":
        t = fovea.tensor(np.ascontiguousarray(a.transpose(0, 2, 3, 1))).permute(0, 3, 1, 2)
    elif how == "transposed":
        t = fovea.tensor(np.ascontiguousarray(a.T)).permute(3, 2, 1, 0)
    else:  # every second column of something larger
        t = fovea.tensor(np.repeat(a, 2, axis=3))[..., ::2]
    leaf = t.detach().requires_grad_()
    assert not leaf.is_contiguous()
    return leaf


@pytest.mark.parametrize("how", ["channels last", "transposed", "with gaps"])
@pytest.mark.parametrize("gradient", ["like the parameter", "contiguous", "expanded"])
@pytest.mark.parametrize("name", ["SGD", "Adam", "RMSprop"])
def test_any_memory_layout(name: str, how: str, gradient: str) -> None:
    rng = np.random.default_rng(6)
    a = rng.normal(size=(4, 3, 5, 2))
    mine = [_laid_out(a, how), fovea.tensor(a[0], dtype=fovea.float64).requires_grad_()]
    theirs = [torch.tensor(a).requires_grad_(), torch.tensor(a[0]).requires_grad_()]
    options = {"momentum": 0.9} if name == "SGD" else {}
    ours = getattr(optim, name)(mine, lr=0.1, **options)
    reference = getattr(torch.optim, name)(theirs, lr=0.1, **options)
    for _ in range(4):
        give_gradients(mine, theirs, rng)
        g = rng.normal(size=(4, 1, 1, 2) if gradient == "expanded" else a.shape)
        theirs[0].grad = torch.tensor(g).expand(a.shape)
        mine[0].grad = fovea.tensor(g).expand(a.shape)
        if gradient == "like the parameter":
            mine[0].grad = _laid_out(g, how).detach()
        ours.step()
        reference.step()
    assert_same(mine, theirs, 1e-12)


def test_replaced_memory_and_states_are_noticed() -> None:
    mine, theirs = pair("float64")
    ours, reference = optim.Adam(mine, lr=0.1), torch.optim.Adam(theirs, lr=0.1)
    rng = np.random.default_rng(7)
    for step in range(9):
        give_gradients(mine, theirs, rng)
        if step == 2:  # other memory
            mine[1].data, theirs[1].data = mine[1].detach() * 2, theirs[1].detach() * 2
        if step == 3:  # another tensor in the state
            for o, p in ((ours, mine[2]), (reference, theirs[2])):
                o.state[p]["exp_avg"] = o.state[p]["exp_avg"] * 3
        if step == 4:  # changed in place
            for o, p in ((ours, mine[0]), (reference, theirs[0])):
                o.state[p]["step"] += 5
                o.state[p]["exp_avg_sq"].zero_()
        if step == 5:  # forgotten
            del ours.state[mine[3]], reference.state[theirs[3]]
        if step == 6:  # a state of another layout
            held = ours.state[mine[6]]
            held["exp_avg"] = fovea.tensor(held["exp_avg"].numpy().T.copy()).permute(1, 0)
        if step == 7:  # options
            for o in (ours, reference):
                o.param_groups[0].update(betas=(0.8, 0.9), weight_decay=0.3, maximize=True)
        ours.step()
        reference.step()
    assert_same(mine, theirs, 1e-12)


def test_versions_rise_so_that_backward_notices() -> None:
    w = fovea.tensor([2.0, 3.0], requires_grad=True)
    loss = (w * w).sum()
    loss.backward(retain_graph=True)
    optim.SGD([w]).step()
    with pytest.raises(fovea.errors.InplaceError, match="changed in place"):
        loss.backward()


def test_a_gradient_that_does_not_fit_is_an_error() -> None:
    w = fovea.zeros(2, 3, requires_grad=True)
    optimizer = optim.Adam([w])
    w.grad = fovea.zeros(3, 2)
    with pytest.raises(fovea.errors.ShapeError, match="gradient"):
        optimizer.step()
    w.grad = fovea.zeros(2, 3, dtype=fovea.float64)
    with pytest.raises(fovea.errors.DTypeError, match="gradient"):
        optimizer.step()


def test_training_a_small_network_follows_pytorch() -> None:
    rng = np.random.default_rng(8)
    x, y = rng.normal(size=(16, 6)), rng.normal(size=(16, 2))
    mine, theirs = pair("float64", shapes=[(6, 12), (12,), (12, 2), (2,)])
    losses = []
    for library, (w1, b1, w2, b2), inputs, targets in (
        (fovea, mine, fovea.tensor(x), fovea.tensor(y)),
        (torch, theirs, torch.tensor(x), torch.tensor(y)),
    ):
        optimizer = library.optim.AdamW([w1, b1, w2, b2], lr=0.01)
        schedule = library.optim.lr_scheduler.CosineAnnealingLR(optimizer, 30)
        history = []
        for _ in range(30):
            optimizer.zero_grad()
            loss = ((library.tanh(inputs @ w1 + b1) @ w2 + b2 - targets) ** 2).mean()
            loss.backward()
            optimizer.step()
            schedule.step()
            history.append(float(loss.detach()))
        losses.append(history)
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-10)
    assert losses[0][-1] < losses[0][0] / 2


def test_update_ops_check_what_they_are_given() -> None:
    from fovea.ops.optim import AdamAttrs, SgdAttrs, adam_update, sgd_update

    plain = SgdAttrs.of("none", False, False, False, False, False)
    five = fovea.tensor([0.5, 0.0, 0.0, 0.0, 0.0], dtype=fovea.float64)
    p, g = fovea.ones(3), fovea.ones(3)
    sgd_update.bind((five, p, g), plain)
    assert p.tolist() == [0.5, 0.5, 0.5]
    with pytest.raises(fovea.errors.ShapeError, match="scalars"):
        sgd_update.bind((five[:2], p, g), plain)
    with pytest.raises(fovea.errors.ShapeError, match="scalars"):
        sgd_update.bind((five.float(), p, g), plain)
    with pytest.raises(fovea.errors.ShapeError, match="gradient of parameter 0"):
        sgd_update.bind((five, p, fovea.ones(2)), plain)
    with pytest.raises(fovea.errors.DTypeError, match="parameter 0"):
        sgd_update.bind((five, p.long(), g.long()), plain)
    with pytest.raises(fovea.errors.ArgumentError, match="decay"):
        wrong = SgdAttrs.of("l3", False, False, False, False, False)
        sgd_update.bind((five, p, g), wrong)
    with pytest.raises(TypeError, match="2 tensors"):
        adam_update.bind((fovea.zeros(6, dtype=fovea.float64), p, g), AdamAttrs.of("none", False))


def test_update_ops_take_any_strides() -> None:
    from fovea.ops.optim import SgdAttrs, sgd_update

    plain = SgdAttrs.of("none", False, False, False, False, False)
    spread = fovea.zeros(10, dtype=fovea.float64)[::2]
    spread[0] = 0.5
    p = fovea.ones(2, 6)[:, ::3]
    wide = fovea.ones(4, dtype=fovea.float64)
    half = fovea.ones(2, dtype=fovea.bfloat16)
    inputs = (spread, p, wide, half, fovea.ones(1).expand(2, 2), wide * 2, half * 2)
    sgd_update.bind(inputs, plain)
    assert p.tolist() == [[0.5, 0.5], [0.5, 0.5]]
    assert wide.tolist() == [0.0] * 4 and half.tolist() == [0.0, 0.0]


def test_a_parameter_that_shrinks_is_noticed() -> None:
    p = fovea.ones(6, requires_grad=True)
    optimizer = optim.SGD([p], lr=0.5)
    p.grad = fovea.ones(6)
    optimizer.step()
    for part in (p.detach()[:2], p.detach()[1:2]):
        p.data = part
        p.grad = fovea.ones(part.shape)
        optimizer.step()
    assert p.tolist() == [-0.5]
