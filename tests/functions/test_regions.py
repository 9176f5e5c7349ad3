"""Views that no op makes: where they lie, and what becomes of them when a gradient comes later."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fovea
from fovea.errors import FoveaError

torch = pytest.importorskip("torch")

KEYS: list[Any] = [
    0, -1, (1, 2), (slice(None), 1), (..., 0), (0, ...), (..., None), (None, 1), (None, None),
    slice(1, 3), slice(None, None, 2), slice(3, 1), slice(-2, None), (slice(1, None, 3), -1),
    (slice(None), None, slice(0, 2)), (1, None, ..., slice(1, 2)), (..., slice(5, 9)), (),
    (2, 3, 1), (slice(0, 0), 1), (None, ..., None), Ellipsis, None,
]  # fmt: skip


def pair(*shape: int) -> tuple[Any, Any]:
    values = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    return fovea.tensor(values), torch.tensor(values)


@pytest.mark.parametrize("key", KEYS, ids=str)
@pytest.mark.parametrize("moved", [False, True])
def test_keys(key: Any, moved: bool) -> None:
    ours, theirs = pair(4, 5, 2)
    if moved:
        ours, theirs = ours.permute(1, 0, 2)[1:], theirs.permute(1, 0, 2)[1:]
    found, expected = ours[key], theirs[key]
    np.testing.assert_array_equal(found.numpy(), expected.numpy())
    assert found.storage_offset() == expected.storage_offset() or not expected.numel()
    many = [n for n, size in enumerate(expected.shape) if size > 1]
    assert [found.stride()[n] for n in many] == [expected.stride()[n] for n in many]
    ours[key], theirs[key] = 7.0, 7.0
    np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


@pytest.mark.parametrize("key", [4, -5, (0, 5), (0, 0, 0, 0), (..., 0, ...), (..., 2)])
def test_keys_that_are_out_of_range(key: Any) -> None:
    x = fovea.zeros(4, 5, 2)
    with pytest.raises((FoveaError, IndexError)):
        x[key]
    with pytest.raises((FoveaError, IndexError)):
        x[key] = 1.0
    assert not x.any()


VIEWS = {
    "column": lambda x: x[:, 1],
    "new dimension": lambda x: x[None, ..., 0],
    "steps": lambda x: x[1::2, :, 1:],
    "select": lambda x: x.select(-1, 1),
    "narrow": lambda x: x.narrow(1, 1, 3),
    "unbind": lambda x: x.unbind(1)[2],
    "split": lambda x: x.split([1, 3], 0)[1],
    "chunk": lambda x: x.chunk(2, 1)[1],
    "view of a view": lambda x: x[1:, 2].narrow(0, 1, 2).unbind(1)[0],
}

# Views of which there are several may not change in place in PyTorch: the same, one by one.
ALONE = VIEWS | {
    "unbind": lambda x: x.select(1, 2),
    "split": lambda x: x.narrow(0, 1, 3),
    "chunk": lambda x: x[:, 3:],
    "view of a view": lambda x: x[1:, 2].narrow(0, 1, 2).select(1, 0),
}


@pytest.mark.parametrize("name", VIEWS)
def test_a_gradient_that_comes_later(name: str) -> None:
    """The base changes in place by way of a view, or the other way round."""
    for lib, x in zip((fovea, torch), pair(4, 5, 2), strict=True):
        w = lib.ones(1, requires_grad=True)
        see = VIEWS[name] if lib is fovea else ALONE[name]
        view = see(x)
        assert not view.requires_grad
        view.mul_(w * 3)
        assert x.requires_grad and view.requires_grad
        (x * x).sum().backward()
        through_base = float(w.grad)
        y = lib.ones(4, 5, 2) * 2
        other = see(y)
        y.mul_(w)
        (other * other).sum().backward()
        seen = (through_base, float(w.grad), x.detach().numpy())
        if lib is fovea:
            ours = seen
    np.testing.assert_allclose(ours[:2], seen[:2], rtol=1e-6)
    np.testing.assert_allclose(ours[2], seen[2], rtol=1e-6)


@pytest.mark.parametrize("name", VIEWS)
def test_compiled(name: str) -> None:
    ours, _ = pair(4, 5, 2)
    compiled = fovea.compile(lambda x: VIEWS[name](x * 2) + 1, strict=True)
    for x in (ours, ours + 1):
        np.testing.assert_array_equal(compiled(x).numpy(), (VIEWS[name](x * 2) + 1).numpy())


@pytest.mark.parametrize("gradients", [False, True])
def test_what_compares_equal_is_not_the_same_key(gradients: bool) -> None:
    """Regions and filled tensors are looked up by keys and sizes: 1, True and 1.0 are equal."""
    x, t = fovea.ones(3, 4), torch.ones(3, 4)
    for each in (x, t):
        each.requires_grad_(gradients)
    for _ in range(3):
        for key in ((1, 1), (slice(1, 3), 1), (1, slice(None)), (..., 1), (None, 1)):
            assert tuple(x[key].shape) == tuple(t[key].shape)
        for key in (True, False, (slice(None), True), (1, True)):
            np.testing.assert_array_equal(
                x[key].detach().numpy(), t[key].detach().numpy(), str(key)
            )
        with pytest.raises(IndexError):
            x[3, 1]
        assert fovea.zeros(4).shape == fovea.zeros((4,)).shape == (4,)
        with pytest.raises(TypeError):
            fovea.zeros(4.0)


@pytest.mark.parametrize("keep", [True, False])
def test_a_single_truth_value_picks_all_or_nothing(keep: bool) -> None:
    x, t = pair(3, 4)
    np.testing.assert_array_equal(x[fovea.tensor(keep)].numpy(), t[torch.tensor(keep)].numpy())
    x[keep], t[keep] = 7.0, 7.0
    np.testing.assert_array_equal(x.numpy(), t.numpy())
