"""Tensors made by compiled code: what they hold, what is given back, and what misuse raises."""

from __future__ import annotations

import gc
import sys
from typing import Any

import numpy as np
import pytest

import fovea
from fovea.form import form_of
from fovea.ops import elementwise, shape
from fovea.ops.op import Spec
from fovea.size import Size
from fovea.storage import shelf_of
from fovea.targets.cpu import objects
from fovea.targets.cpu.target import CPU

SPEC = Spec(Size((3, 5)), fovea.float32, (1, 3))


def plan_of_add(x: fovea.Tensor) -> Any:
    return CPU.plan(elementwise.add, (x, x), None, (Spec(x.shape, x.dtype),))


def test_slots_are_found() -> None:
    assert sys.implementation.name != "cpython" or objects._places() is not None


@pytest.mark.parametrize("native", [True, False])
def test_what_is_made(native: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not native:
        monkeypatch.setattr(objects, "_places", lambda: None)
    t = objects.maker(SPEC)()
    assert type(t) is fovea.Tensor
    assert (t.shape, t.strides, t.offset, t.dtype) == (SPEC.shape, (1, 3), 0, fovea.float32)
    assert t._form is form_of(fovea.empty_strided((3, 5), (1, 3)))
    assert (t.requires_grad, t.grad_fn, t.grad, t._base) == (False, None, None, None)
    assert (t.storage.nbytes, t.storage.version, t.address % 64) == (60, 0, 0)
    x = fovea.arange(6, dtype=fovea.float32).view(2, 3).t()
    np.testing.assert_array_equal(plan_of_add(x)((x, x)).numpy(), 2 * x.numpy())
    step = (shape.permute, shape.PermuteAttrs.of((1, 0)))
    seen = CPU.view_plan(*step[:1], (x,), step[1])((x,))
    assert seen._base is x._base and len(seen._replay) == len(x._replay) + 1
    np.testing.assert_array_equal(seen.numpy(), x.numpy().T)


@pytest.mark.parametrize("bad", [(1, 2), (None, None), (), [1], "ab"], ids=str)
def test_misuse_is_an_error(bad: Any) -> None:
    x = fovea.ones(4)
    for plan in (plan_of_add(x), CPU.view_plan(shape.alias, (x,), None)):
        with pytest.raises((TypeError, IndexError, SystemError)):
            plan(bad)


def test_everything_is_given_back() -> None:
    x, make = fovea.ones(7, 11), objects.maker(SPEC)
    plan = plan_of_add(x)
    look = CPU.view_plan(shape.view, (x,), shape.ShapeAttrs.of((77,)))
    plan((x, x)), look((x,)), make()
    gc.collect()
    shelf, nothing = shelf_of(x.nbytes), (None,)
    held = (x, x.storage, x.shape, SPEC.shape, shelf, nothing)
    before = [sys.getrefcount(o) for o in held], shelf.made, len(shelf.free)
    for _ in range(1000):
        plan((x, x)), look((x,)), make()
    gc.collect()
    assert before == ([sys.getrefcount(o) for o in held], shelf.made, len(shelf.free))


def test_a_view_follows_its_base_on_the_tape() -> None:
    x = fovea.ones(2, 3, requires_grad=True)
    y = x * 1
    row, flat = y[0], y.reshape(6)
    y.mul_(2)
    (row.sum() + flat.sum()).backward()
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad.numpy(), [[4, 4, 4], [2, 2, 2]])


def test_sizes_given_otherwise() -> None:
    x = fovea.arange(6)
    for sizes in ((2, 3), ([2, 3],), ((2, -1),), (fovea.Size((2, 3)),), (np.int64(2), 3)):
        assert x.reshape(*sizes).shape == (2, 3)
    with pytest.raises(fovea.errors.ShapeError, match="6 elements"):
        x.reshape(4)
    with pytest.raises((TypeError, fovea.errors.OutOfRangeError)):
        x.view(2, 3).transpose(0.0, 1)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "call",
    ["permute(x, (1, 0))", "transpose(x, 0, 1)", "unsqueeze(x, 0)", "t(x)"],
)
def test_views_of_arrays_are_refused(call: str) -> None:
    with pytest.raises(fovea.errors.DTypeError, match="of a tensor, got numpy.ndarray|must be a"):
        eval(f"fovea.{call}", {"fovea": fovea, "x": np.ones((2, 3))})


def test_views_with_gradients_are_as_op_views() -> None:
    x = fovea.arange(24, dtype=fovea.float32).reshape(2, 3, 4).clone().requires_grad_()
    z = fovea.ones(2, 1, 4, requires_grad=True)
    for _ in range(2):  # the second time from what is kept
        for view, same in (
            (x.permute(2, 0, 1), np.s_[:, :, :]),
            (x.narrow(1, 1, 2), np.s_[:, 1:3]),
            (x.select(1, -1), np.s_[:, -1]),
            (x[1], np.s_[1]),
            (x[0:1], np.s_[0:1]),
        ):
            expected = x.detach().numpy()[same]
            expected = expected.transpose(2, 0, 1) if view.shape == (4, 2, 3) else expected
            np.testing.assert_array_equal(view.detach().numpy(), expected)
            assert view._base is x
            (g,) = fovea.autograd.grad((view * view).sum(), x)
            mask = np.zeros(x.shape, np.float32)
            mask[same] = 1
            np.testing.assert_array_equal(g.numpy(), 2 * mask * x.detach().numpy())
        assert z.expand(2, 3, -1).shape == (2, 3, 4) and z.squeeze(1).shape == (2, 4)
        (g,) = fovea.autograd.grad(z.expand(2, 3, -1).sum(), z)
        np.testing.assert_array_equal(g.numpy(), np.full((2, 1, 4), 3, np.float32))


@pytest.mark.parametrize("value", [0, 1, 0.0, -0.0, True, 2.5])
@pytest.mark.parametrize("dtype", [fovea.float32, fovea.int8, fovea.bool, fovea.bfloat16])
@pytest.mark.parametrize("size", [(), (0, 3), (3, 5), (2000,)])
def test_filled(value: Any, dtype: Any, size: tuple[int, ...]) -> None:
    for _ in range(2):
        t = fovea.full(size, value, dtype=dtype)
        expected = np.full(size, value).astype(dtype.numpy)
        assert t.shape == size and t.numpy().tobytes() == expected.tobytes()
        t.fill_(3)
