"""Weights under timm's names, in the models of the same architecture, against timm."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fovea
from fovea.errors import ArgumentError
from fovea.nn.state import StateDictError
from fovea.vision import models
from fovea.vision.models.other_names import ALIASES, renamed

NAMES = (
    "resnet18", "mobilenetv2_100", "mobilenetv3_small_100", "mnasnet_050", "efficientnet_b0",
    "regnety_004", "regnetx_004_tv", "convnext_tiny", "vit_tiny_patch16_224",
    "swin_tiny_patch4_window7_224", "swinv2_tiny_window8_256", "densenet121",
)  # fmt: skip


@pytest.fixture(scope="module")
def timm(torchvision: Any) -> Any:
    from bench.nets.models import without_compiled_operators

    with without_compiled_operators():
        return pytest.importorskip("timm")


def disturbed(model: Any) -> Any:
    """No value of it is 0 or 1 any more, so that a wrong place of one shows."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if value.is_floating_point() and "relative" not in name:
                value += 0.02 * torch.rand_like(value)
    return model.eval()


@pytest.mark.parametrize("name", NAMES)
def test_files_of_timm_load_under_timms_names(name: str, timm: Any, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    theirs = disturbed(timm.create_model(name, pretrained=False))
    path = tmp_path / "timm.safetensors"
    fovea.save({k: fovea.tensor(v.numpy()) for k, v in theirs.state_dict().items()}, path)
    ours = models.get_model(name, weights=path).eval()
    size = theirs.default_cfg["input_size"][-1] if "_224" in name or "_256" in name else 64
    x = np.random.default_rng(0).standard_normal((1, 3, size, size)).astype(np.float32)
    with torch.no_grad(), fovea.no_grad():
        expected, found = theirs(torch.from_numpy(x)).numpy(), ours(fovea.tensor(x)).numpy()
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()


def test_timms_inception_sees_images_as_they_are(
    timm: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch")
    theirs = disturbed(timm.create_model("inception_v3", pretrained=False))
    path = tmp_path / "timm.safetensors"
    fovea.save({k: fovea.tensor(v.numpy()) for k, v in theirs.state_dict().items()}, path)
    asked: list[Any] = []
    fetched = "fovea.interop.sources.load_from"
    monkeypatch.setattr(fetched, lambda place, **_: asked.append(place) or fovea.load(path))
    address = "hf://timm/inception_v3.gluon_in1k"
    ours = models.inception_v3(weights=address, aux_logits=False).eval()
    assert asked == [address] and not ours.transform_input
    x = np.random.default_rng(0).standard_normal((1, 3, 80, 80)).astype(np.float32)
    with torch.no_grad(), fovea.no_grad():
        expected, found = theirs(torch.from_numpy(x)).numpy(), ours(fovea.tensor(x)).numpy()
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()
    assert models.inception_v3(weights=str(path), aux_logits=False).transform_input


def test_vggs_layers_of_the_whole_map_become_linear() -> None:
    with fovea.nn.init.skipped():
        model = models.vgg11(num_classes=2)
    timms = {
        "features.0.weight": fovea.zeros(64, 3, 3, 3),
        "pre_logits.fc1.weight": fovea.zeros(4096, 512, 7, 7),
        "pre_logits.fc2.bias": fovea.zeros(4096),
        "head.fc.weight": fovea.zeros(2, 4096),
    }
    found = {name: tuple(value.shape) for name, value in renamed(model, timms).items()}
    assert found == {
        "features.0.weight": (64, 3, 3, 3),
        "classifier.0.weight": (4096, 25088),
        "classifier.3.bias": (4096,),
        "classifier.6.weight": (2, 4096),
    }


def test_names_of_the_convnext_papers_code() -> None:
    with fovea.nn.init.skipped():
        model = models.convnext_tiny()
    state = {
        "downsample_layers.0.0.weight": fovea.zeros(96, 3, 4, 4),
        "downsample_layers.1.0.bias": fovea.zeros(96),
        "stages.1.2.pwconv1.weight": fovea.zeros(768, 192),
        "stages.0.0.gamma": fovea.zeros(96),
        "norm.weight": fovea.zeros(768),
        "head.bias": fovea.zeros(1000),
    }
    own = model.state_dict()
    found = renamed(model, state)
    assert len(found) == len(state)
    assert all(own[name].shape == value.shape for name, value in found.items())


def test_every_alias_is_a_model() -> None:
    known = set(models.list_models())
    assert set(ALIASES.values()) <= known
    assert not known & set(ALIASES)


def test_another_size_is_an_error() -> None:
    model = models.mnasnet0_5()
    with pytest.raises(StateDictError, match=r"timm's names, and 1 layers"):
        renamed(model, {"conv_stem.weight": fovea.zeros(16, 3, 3, 3)})


def test_networks_that_pad_otherwise_are_named() -> None:
    with pytest.raises(ArgumentError, match="TensorFlow"):
        models.get_model("tf_efficientnet_b0")
