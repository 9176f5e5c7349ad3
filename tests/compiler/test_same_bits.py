"""Exact programs of networks in evaluation give the bits that eager calls do, whatever forms kernels
take.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fovea
from fovea import nn
from fovea.compiler import CompiledFunction
from fovea.vision import models


def with_statistics(net: nn.Module) -> nn.Module:
    """The network with statistics, scales and shifts that are neither 0 nor 1."""
    fovea.manual_seed(0)
    for name, t in [*net.named_parameters(), *net.named_buffers()]:
        with fovea.no_grad():
            if name.endswith("running_var"):
                t.uniform_(0.5, 2.0)
            elif t.ndim == 1 and t.dtype.is_floating_point:
                t.normal_(0.3, 0.7)
    return net.eval()


def check_same_bits(net: nn.Module, x: Any) -> None:
    compiled = CompiledFunction(net, strict=True, exact=True)
    with fovea.no_grad():
        eager = net(x).double().contiguous().numpy()
        compiled(x)
        found = compiled(x).double().contiguous().numpy()
    assert compiled.programs
    np.testing.assert_array_equal(found.view(np.uint8), eager.view(np.uint8))


CONVOLUTIONS: dict[str, tuple[int, int, dict[str, Any]]] = {
    "winograd": (32, 48, {"kernel_size": 3, "padding": 1}),
    "direct": (5, 21, {"kernel_size": 3, "stride": 2}),
    "one by one": (24, 32, {"kernel_size": 1}),
    "in blocks": (512, 64, {"kernel_size": 3}),
    "grouped": (8, 12, {"kernel_size": 3, "groups": 4}),
    "groups of four": (40, 40, {"kernel_size": 3, "groups": 10}),
    "depthwise": (37, 37, {"kernel_size": 3, "groups": 37}),
}


@pytest.mark.parametrize("dtype", [fovea.float32, fovea.float64, fovea.bfloat16])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_normalization_after_a_convolution(name: str, bias: bool, dtype: Any) -> None:
    ins, outs, how = CONVOLUTIONS[name]
    parts = [nn.Conv2d(ins, outs, bias=bias, **how), nn.BatchNorm2d(outs), nn.SiLU()]
    net = with_statistics(nn.Sequential(*parts, nn.BatchNorm2d(outs, affine=False), nn.ReLU()))
    fovea.manual_seed(1)
    check_same_bits(net.to(dtype), fovea.randn(3, ins, 9, 8, dtype=dtype))


@pytest.mark.parametrize("name", ["resnet18", "densenet121", "mobilenet_v3_small", "vgg11_bn"])
def test_networks(name: str) -> None:
    net = with_statistics(models.get_model(name, num_classes=7))
    check_same_bits(net, fovea.randn(2, 3, 64, 64))


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small"])
def test_most_programs_are_exact_anyway(name: str) -> None:
    """Those of float32 without a flattened image: a normalization is folded into a convolution the
    way its own kernel computes.
    """
    net = with_statistics(models.get_model(name, num_classes=7))
    x = fovea.randn(2, 3, 64, 64)
    compiled = fovea.compile(net)
    with fovea.no_grad():
        compiled(x)
        np.testing.assert_array_equal(compiled(x).numpy(), net(x).numpy())
