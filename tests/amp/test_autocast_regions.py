"""Autocast regions: nesting, threads, decorators, the casts of parameters, backward."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

import fovea
import fovea.nn.functional as F
from fovea import casting
from fovea.errors import ArgumentError, DTypeError

bf16, f16, f32 = fovea.bfloat16, fovea.float16, fovea.float32


@pytest.fixture(autouse=True)
def outside_again() -> Any:
    yield
    assert casting.regions == 0
    assert not casting._state.cache


def product(x: fovea.Tensor) -> fovea.dtype:
    return (x @ x).dtype


def test_nesting() -> None:
    x = fovea.ones(2, 2)
    assert product(x) is f32
    with fovea.autocast("cpu"):
        assert product(x) is bf16
        with fovea.autocast("cpu", enabled=False):
            assert product(x) is f32
            assert not fovea.is_autocast_enabled("cpu")
            with fovea.autocast("cpu", dtype=f16):
                assert product(x) is f16
                assert fovea.get_autocast_dtype("cpu") is f16
        assert product(x) is bf16
    assert product(x) is f32
    assert fovea.get_autocast_dtype("cpu") is bf16


def test_left_by_an_error() -> None:
    with pytest.raises(ZeroDivisionError), fovea.autocast("cpu"):
        _ = 1 // 0
    assert not fovea.is_autocast_enabled("cpu")


def test_the_doors() -> None:
    x = fovea.ones(2, 2)
    for region in (
        fovea.autocast("cpu"),
        fovea.amp.autocast("cpu", bf16),
        fovea.cpu.amp.autocast(),
        fovea.cpu.amp.autocast(dtype=bf16),
    ):
        with region:
            assert product(x) is bf16


def test_decorator_and_recursion() -> None:
    depths: list[bool] = []

    @fovea.autocast("cpu")
    def down(n: int, x: fovea.Tensor) -> fovea.Tensor:
        """Goes down."""
        depths.append(fovea.is_autocast_enabled("cpu"))
        return down(n - 1, x) if n else x @ x

    assert down(3, fovea.ones(2, 2)).dtype is bf16
    assert depths == [True] * 4
    assert down.__doc__ == "Goes down."
    assert not fovea.is_autocast_enabled("cpu")


def test_one_region_object_used_twice_and_within_itself() -> None:
    region, x = fovea.autocast("cpu"), fovea.ones(2, 2)
    with region, region:
        assert product(x) is bf16
    assert product(x) is f32
    with region:
        assert product(x) is bf16


def test_threads_have_their_own_regions() -> None:
    seen: dict[str, fovea.dtype] = {}
    x = fovea.ones(2, 2)
    inside, done = threading.Event(), threading.Event()

    def work() -> None:
        seen["before"] = product(x)
        with fovea.autocast("cpu", dtype=f16):
            seen["inside"] = product(x)
            inside.set()
            done.wait(10)

    with fovea.autocast("cpu"):
        thread = threading.Thread(target=work)
        thread.start()
        inside.wait(10)
        assert product(x) is bf16
    assert product(x) is f32
    done.set()
    thread.join()
    assert seen == {"before": f32, "inside": f16}


def test_what_is_not_cast() -> None:
    with fovea.autocast("cpu"):
        assert product(fovea.ones(2, 2, dtype=fovea.float64)) is fovea.float64
        assert product(fovea.ones(2, 2, dtype=fovea.int64)) is fovea.int64
        with pytest.raises(DTypeError):
            fovea.ones(2, 2) @ fovea.ones(2, 2, dtype=fovea.float64)
    with pytest.raises(DTypeError):
        fovea.ones(2, 2) @ fovea.ones(2, 2, dtype=bf16)


def casts_of(work: Any) -> int:
    """How many casts to a lower precision run."""
    from fovea.ops.elementwise import cast

    calls = 0
    plain = cast.bind

    def counted(inputs: Any, attrs: Any = None) -> Any:
        nonlocal calls
        calls += attrs.dtype is bf16
        return plain(inputs, attrs)

    cast.bind = counted  # type: ignore[method-assign]
    try:
        work()
    finally:
        del cast.bind
    return calls


def test_a_parameter_is_cast_once_in_the_outermost_region() -> None:
    w, x = fovea.ones(3, 3, requires_grad=True), fovea.ones(2, 3, dtype=bf16)

    def shared() -> None:
        with fovea.autocast("cpu"):
            x @ w
            with fovea.autocast("cpu"):
                F.linear(x, w)
            x @ w

    assert casts_of(shared) == 1
    with fovea.autocast("cpu", cache_enabled=False):
        assert casts_of(lambda: [x @ w for _ in range(3)]) == 3
    with fovea.autocast("cpu"):
        assert casts_of(lambda: [x @ w.detach() for _ in range(3)]) == 3  # no parameter
        assert casts_of(lambda: [x @ w for _ in range(3)]) == 1
        fovea.clear_autocast_cache()
        assert casts_of(lambda: [x @ w for _ in range(3)]) == 1


def test_a_changed_parameter_is_cast_anew() -> None:
    w, x = fovea.ones(1, 1, requires_grad=True), fovea.ones(1, 1, dtype=bf16)
    with fovea.autocast("cpu"):
        assert (x @ w).item() == 1
        with fovea.no_grad():
            w.fill_(2)
        assert (x @ w).item() == 2
        w.data = fovea.full((1, 1), 3.0)
        assert (x @ w).item() == 3


def test_a_cast_made_without_gradients_is_not_used_with_them() -> None:
    w, x = fovea.ones(2, 2, requires_grad=True), fovea.ones(2, 2)
    with fovea.autocast("cpu"):
        with fovea.no_grad():
            x @ w
        y = (x @ w).sum()
    y.backward()
    assert w.grad is not None
    assert w.grad.dtype is f32


def test_a_shared_weight_sums_its_gradients() -> None:
    w, x = fovea.ones(2, 2, requires_grad=True), fovea.ones(2, 2)
    with fovea.autocast("cpu"):
        y = (x @ w @ w).sum()
        y.backward()  # inside the region: its types are those of the forward pass
    assert w.grad is not None
    np.testing.assert_array_equal(w.grad.numpy(), np.full((2, 2), 8.0, np.float32))
    again = (x @ w @ w).sum()
    (expected,) = fovea.autograd.grad(again, w)
    np.testing.assert_array_equal(w.grad.numpy(), expected.numpy())


def test_backward_inside_a_region_casts_nothing() -> None:
    w, x = fovea.ones(2, 2, requires_grad=True), fovea.ones(2, 2)
    y = (x @ w).sum()
    with fovea.autocast("cpu"):
        assert casts_of(y.backward) == 0
        assert fovea.is_autocast_enabled("cpu")


def test_higher_derivatives() -> None:
    x = fovea.full((2, 2), 2.0, requires_grad=True)
    with fovea.autocast("cpu"):
        y = (x @ x @ x).sum()
        (g,) = fovea.autograd.grad(y, x, create_graph=True)
        (gg,) = fovea.autograd.grad(g.sum(), x)
    assert g.dtype is f32
    assert gg.dtype is f32
    z = fovea.full((2, 2), 2.0, requires_grad=True)
    (h,) = fovea.autograd.grad((z @ z @ z).sum(), z, create_graph=True)
    (hh,) = fovea.autograd.grad(h.sum(), z)
    np.testing.assert_allclose(gg.numpy(), hh.numpy(), rtol=2e-2)


def test_wrong_requests() -> None:
    with pytest.warns(UserWarning, match="no device 'cuda'"), fovea.autocast("cuda"):
        assert product(fovea.ones(2, 2)) is f32
    with pytest.warns(UserWarning, match="bfloat16 or float16"), fovea.autocast("cpu", f32):
        assert product(fovea.ones(2, 2)) is f32
    with pytest.raises(TypeError):
        fovea.autocast(3)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError):
        fovea.set_autocast_dtype("cpu", f32)
    with pytest.raises(ArgumentError):
        fovea.get_autocast_dtype("tpu")


def test_switches() -> None:
    x = fovea.ones(2, 2)
    fovea.set_autocast_enabled("cpu", True)
    fovea.set_autocast_dtype("cpu", f16)
    try:
        assert product(x) is f16
        with fovea.autocast("cpu"):
            assert product(x) is f16
    finally:
        fovea.set_autocast_enabled("cpu", False)
        fovea.set_autocast_dtype("cpu", bf16)
    fovea.set_autocast_cache_enabled(False)
    assert not fovea.is_autocast_cache_enabled()
    fovea.set_autocast_cache_enabled(True)


class Double(fovea.autograd.Function):
    seen: list[tuple[fovea.dtype, bool]] = []

    @staticmethod
    @fovea.amp.custom_fwd(device_type="cpu", cast_inputs=f32)
    def forward(ctx: Any, x: fovea.Tensor) -> fovea.Tensor:
        Double.seen.append((x.dtype, fovea.is_autocast_enabled("cpu")))
        return x * 2

    @staticmethod
    @fovea.amp.custom_bwd(device_type="cpu")
    def backward(ctx: Any, gy: fovea.Tensor) -> fovea.Tensor:
        Double.seen.append((gy.dtype, fovea.is_autocast_enabled("cpu")))
        return gy * 2


class Plain(Double):
    @staticmethod
    @fovea.amp.custom_fwd(device_type="cpu")
    def forward(ctx: Any, x: fovea.Tensor) -> fovea.Tensor:
        Double.seen.append((x.dtype, fovea.is_autocast_enabled("cpu")))
        return x * 2


def test_custom_functions() -> None:
    x = fovea.ones(2, dtype=bf16, requires_grad=True)
    Double.seen.clear()
    with fovea.autocast("cpu"):
        y = Double.apply(x)
    y.sum().backward()
    assert Double.seen == [(f32, False), (f32, False)]
    Double.seen.clear()
    with fovea.autocast("cpu"):
        z = Plain.apply(x)
    z.sum().backward()
    assert Double.seen == [(bf16, True), (bf16, True)]
    assert x.grad is not None
    assert x.grad.dtype is bf16
