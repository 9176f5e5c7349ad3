"""Gradient clipping, parameter vectors, fused layers and more of nn.utils against PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fovea
from fovea.errors import GradientError
from fovea.nn import utils
from tests.functions.torch_tables import converted
from tests.nn.oracle import close, rng, torch

SHAPES = [(3, 4), (5,), ()]


def parameters(lib: Any) -> list[Any]:
    r = rng()
    out = []
    for shape in SHAPES:
        p = lib.nn.Parameter(lib.tensor(r.standard_normal(shape)))
        p.grad = lib.tensor(r.standard_normal(shape) * 3)
        out.append(p)
    out.append(lib.nn.Parameter(lib.ones(2)))  # without a gradient
    return out


@pytest.mark.parametrize("norm_type", [2.0, 1.0, float("inf"), 3])
@pytest.mark.parametrize("max_norm", [0.5, 1000.0])
def test_clip_grad_norm(norm_type: float, max_norm: float) -> None:
    ours, theirs = parameters(fovea), parameters(torch)
    before = utils.clip_grad_norm_(ours, max_norm, norm_type)
    close(before, torch.nn.utils.clip_grad_norm_(theirs, max_norm, norm_type), "float64")
    for a, b in zip(ours[:-1], theirs[:-1], strict=True):
        close(a.grad, b.grad, "float64")
    assert ours[-1].grad is None


def test_clip_with_a_known_norm_and_under_the_old_name() -> None:
    ours, theirs = parameters(fovea), parameters(torch)
    for lib, listed in ((fovea, ours), (torch, theirs)):
        norm = lib.nn.utils.get_total_norm([p.grad for p in listed[:-1]])
        lib.nn.utils.clip_grads_with_norm_(listed, 2.0, norm)
        with pytest.warns(FutureWarning, match="deprecated"):
            lib.nn.utils.clip_grad_norm(iter(listed), 1.5, norm_type=1)
    for a, b in zip(ours[:-1], theirs[:-1], strict=True):
        close(a.grad, b.grad, "float64")


def test_clip_grad_norm_of_nothing_and_of_nan() -> None:
    assert utils.clip_grad_norm_([fovea.nn.Parameter(fovea.ones(2))], 1.0).item() == 0.0
    p = fovea.nn.Parameter(fovea.ones(1))
    p.grad = fovea.tensor([float("nan")])
    assert np.isnan(utils.clip_grad_norm_(p, 1.0).item())
    with pytest.raises(GradientError, match="the gradients is nan"):
        utils.clip_grad_norm_(p, 1.0, error_if_nonfinite=True)


def test_clip_grad_value() -> None:
    ours, theirs = parameters(fovea), parameters(torch)
    utils.clip_grad_value_(ours, 0.7)
    torch.nn.utils.clip_grad_value_(theirs, 0.7)
    for a, b in zip(ours[:-1], theirs[:-1], strict=True):
        close(a.grad, b.grad, "float64")


def test_vectors() -> None:
    ours, theirs = parameters(fovea), parameters(torch)
    ours[-1], theirs[-1] = ours[-1].double(), theirs[-1].double()
    close(utils.parameters_to_vector(ours), torch.nn.utils.parameters_to_vector(theirs), "float64")
    vector = rng(1).standard_normal(20)
    leaves = ours[:-1]
    utils.vector_to_parameters(fovea.tensor(vector[:18]), leaves)
    assert np.concatenate([p.detach().numpy().ravel() for p in leaves]).tolist() == (
        vector[:18].tolist()
    )
    assert all(p.is_leaf and p.requires_grad for p in leaves)
    with pytest.raises(ValueError, match="the parameters have 18 elements"):
        utils.vector_to_parameters(fovea.tensor(vector), leaves)


LAYERS: list[tuple[str, tuple[Any, ...], dict[str, Any], str, tuple[int, ...]]] = [
    ("Conv1d", (4, 6, 3), {}, "BatchNorm1d", (2, 4, 7)),
    ("Conv2d", (4, 6, 3), {"bias": False}, "BatchNorm2d", (2, 4, 5, 5)),
    ("Conv2d", (4, 6, 3), {"groups": 2}, "BatchNorm2d", (2, 4, 5, 5)),
    ("Conv3d", (4, 6, 2), {}, "BatchNorm3d", (2, 4, 3, 3, 3)),
    ("ConvTranspose2d", (4, 6, 3), {}, "BatchNorm2d", (2, 4, 5, 5)),
    ("Linear", (4, 6), {}, "BatchNorm1d", (3, 4)),
    ("Linear", (4, 6), {"bias": False}, "BatchNorm1d", (3, 4)),
]


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize(("kind", "sizes", "options", "norm", "shape"), LAYERS)
def test_fusion(kind: str, sizes: Any, options: Any, norm: str, shape: Any, affine: bool) -> None:
    if kind == "Linear" and not affine:
        affine = True  # PyTorch's takes weights only
    torch.manual_seed(0)
    theirs = (
        getattr(torch.nn, kind)(*sizes, **options).double(),
        getattr(torch.nn, norm)(6, affine=affine).double(),
    )
    for t in (*theirs[1].parameters(), *theirs[1].buffers()):
        t.data = torch.rand(t.shape, dtype=torch.float64) if t.ndim else t.data
    ours = (
        getattr(fovea.nn, kind)(*sizes, **options).double(),
        getattr(fovea.nn, norm)(6, affine=affine).double(),
    )
    for a, b in zip(ours, theirs, strict=True):
        a.eval(), b.eval()
        a.load_state_dict(converted(dict(b.state_dict())))
    name = "fuse_linear_bn_eval" if kind == "Linear" else "fuse_conv_bn_eval"
    extra = (True,) if "Transpose" in kind else ()
    fused = getattr(utils, name)(*ours, *extra)
    expected = getattr(torch.nn.utils, name)(*theirs, *extra)
    assert repr(fused).replace("bias=True", "") == repr(expected).replace("bias=True", "")
    for key, value in expected.state_dict().items():
        close(fused.state_dict()[key], value, "float64")
    for p, t in zip(fused.parameters(), expected.parameters(), strict=True):
        assert p.requires_grad == t.requires_grad
    x = fovea.tensor(rng().standard_normal(shape))
    close(fused(x), ours[1](ours[0](x)).detach(), "float64")
    assert fused is not ours[0] and fused.weight is not ours[0].weight


def test_fusion_errors() -> None:
    conv, bn = fovea.nn.Conv2d(3, 4, 1), fovea.nn.BatchNorm2d(4)
    with pytest.raises(ValueError, match="depends on the batch"):
        utils.fuse_conv_bn_eval(conv, bn)
    conv.eval()
    with pytest.raises(ValueError, match="no running statistics"):
        utils.fuse_conv_bn_eval(conv, fovea.nn.BatchNorm2d(4, track_running_stats=False).eval())
    with pytest.raises(ValueError, match="4 outputs, the normalization 3"):
        utils.fuse_linear_bn_eval(fovea.nn.Linear(2, 4).eval(), fovea.nn.BatchNorm1d(3).eval())


def test_layouts() -> None:
    model = fovea.nn.Sequential(fovea.nn.Conv2d(3, 4, 1), fovea.nn.Conv3d(3, 4, 1))
    before = {k: v.tolist() for k, v in model.state_dict().items()}
    assert utils.convert_conv2d_weight_memory_format(model, fovea.channels_last) is model
    assert utils.convert_conv3d_weight_memory_format(model, fovea.channels_last_3d) is model
    assert {k: v.tolist() for k, v in model.state_dict().items()} == before


def test_skip_init() -> None:
    fovea.manual_seed(0)
    layer = utils.skip_init(fovea.nn.Conv2d, 3, 4, kernel_size=1, device="cpu", dtype=fovea.float64)
    drawn = fovea.rand(3)
    fovea.manual_seed(0)
    assert drawn.tolist() == fovea.rand(3).tolist()  # no number was drawn for the layer
    assert layer.weight.shape == (4, 3, 1, 1) and layer.weight.dtype is fovea.float64
    assert repr(layer) == repr(fovea.nn.Conv2d(3, 4, 1))
    with pytest.raises(RuntimeError, match="no class of a module"):
        utils.skip_init(int)  # type: ignore[type-var]
    with pytest.raises(RuntimeError, match="takes no device"):
        utils.skip_init(fovea.nn.ReLU)


def test_stateless() -> None:
    layer = fovea.nn.Linear(2, 1)
    given = {"weight": fovea.ones(1, 2), "bias": fovea.zeros(1)}
    with pytest.warns(FutureWarning, match="fovea.func.functional_call"):
        y = utils.stateless.functional_call(layer, given, fovea.tensor([1.0, 2.0]))
    assert y.tolist() == [3.0]
