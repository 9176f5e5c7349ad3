"""Freezing parts of networks, and groups of parameters for fine-tuning."""

from __future__ import annotations

import numpy as np
import pytest

import fovea
from fovea import nn, optim
from fovea.errors import ArgumentError
from fovea.nn.utils import (
    freeze,
    param_groups_layer_decay,
    param_groups_weight_decay,
    train_unfrozen,
    unfreeze,
)
from fovea.training.trainer import Trainer
from fovea.vision import models


def net() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 4, 2))


def test_patterns_name_modules_and_parameters() -> None:
    model = models.resnet18(num_classes=2)
    assert freeze(model, "fc") == ["fc.weight", "fc.bias"]
    assert all(name.startswith("layer1.") for name in freeze(model, "layer1.*"))
    assert freeze(model, ["bn1", "conv1.weight"]) == ["conv1.weight", "bn1.weight", "bn1.bias"]
    frozen = {n for n, p in model.named_parameters() if not p.requires_grad}
    assert {n.partition(".")[0] for n in frozen} == {"fc", "layer1", "bn1", "conv1"}
    unfreeze(model)
    assert all(p.requires_grad for p in model.parameters())
    with pytest.raises(ArgumentError, match="'lyer1'"):
        freeze(model, "lyer1")


def test_frozen_batch_normalization_stays_in_evaluation() -> None:
    model = net()
    freeze(model, ["0", "1"])
    assert not model[1].training
    assert train_unfrozen(model).training
    assert not model[1].training
    unfreeze(model)
    assert model[1].training


def test_the_trainer_changes_only_what_is_not_frozen() -> None:
    model = net()
    freeze(model, ["0", "1"])
    before = {name: value.numpy().copy() for name, value in model.state_dict().items()}
    images = np.random.default_rng(0).normal(2, 1, (8, 3, 4, 4)).astype(np.float32)
    data = fovea.tensor(images), fovea.arange(8) % 2
    groups = param_groups_weight_decay(model, 0.1)
    trainer = Trainer(model, nn.CrossEntropyLoss(), optim.SGD(groups, lr=0.1))
    trainer.fit(data, validation=data, epochs=2, batch_size=4, verbose=0)
    changed = {n for n, v in model.state_dict().items() if not np.array_equal(v.numpy(), before[n])}
    assert changed == {"3.weight", "3.bias"}


def test_groups_without_decay() -> None:
    model = net()
    without, decayed = param_groups_weight_decay(model, 0.1, "3.*")
    assert (without["weight_decay"], decayed["weight_decay"]) == (0, 0.1)
    assert [p.ndim for p in decayed["params"]] == [4]
    assert len(without["params"]) == 5


@pytest.mark.parametrize("name", ["resnet18", "vit_ti_16", "mobilenet_v3_small", "convnext_tiny"])
def test_layers_learn_the_slower_the_earlier(name: str) -> None:
    with nn.init.skipped():
        model = models.get_model(name)
    groups = param_groups_layer_decay(model, 0.05, layer_decay=0.5, lr=1.0)
    held = [p for group in groups for p in group["params"]]
    assert sorted(map(id, held)) == sorted(map(id, model.parameters()))
    rates = [group["lr"] for group in groups]
    assert rates == sorted(rates)
    assert rates[-1] == 1
    assert all(
        group["weight_decay"] == (0.05 if p.ndim > 1 else 0)
        for group in groups
        for p in group["params"]
    )
    of = {id(p): group["lr"] for group in groups for p in group["params"]}
    in_order = [of[id(p)] for n, p in model.named_parameters() if not n.endswith(("token", "ding"))]
    assert in_order == sorted(in_order)
    optim.AdamW(groups, lr=1.0)


def test_frozen_parameters_are_in_no_group() -> None:
    model = net()
    freeze(model, "0")
    assert sum(len(g["params"]) for g in param_groups_layer_decay(model)) == 4
    with pytest.raises(ArgumentError, match="layer_decay"):
        param_groups_layer_decay(model, layer_decay=0)
