"""Weights under names that other libraries and well-known programs give the same layers."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fovea
from fovea.nn.state import StateDictError
from fovea.vision import models

Rename = Callable[[str], str]


def by(*rules: tuple[str, str]) -> Rename:
    """Names translated by patterns, all of them in turn."""

    def rename(name: str) -> str:
        for pattern, new in rules:
            name = re.sub(pattern, new, name)
        return name

    return rename


def drawn(name: str, **config: Any) -> Any:
    """A network whose every value is another."""
    net = models.get_model(name, **config)
    rng = np.random.default_rng(0)
    for value in net.state_dict().values():
        if value.dtype is fovea.float32:
            value.copy_(fovea.from_numpy(rng.random(value.shape, np.float32)))
    return net


def taken(name: str, state: dict[str, Any], path: Path, **config: Any) -> Any:
    plain = path.suffix == ".safetensors"
    fovea.save(state if plain else {"state_dict": state}, path)
    return models.get_model(name, weights=str(path), **config).state_dict()


def same(found: Any, expected: Any) -> None:
    assert list(found) == list(expected)
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name].numpy(), value.numpy(), err_msg=name)


def small_to_large(name: str) -> str:
    return name.replace("shortcut", "downsample").replace("linear", "fc")


def large_to_small(name: str) -> str:
    return name.replace("downsample", "shortcut").replace("fc.", "linear.")


def in_lists(name: str) -> str:
    """Blocks as lists of layers, stages counted from the stem."""
    places = {"conv1": 0, "bn1": 1, "conv2": 3, "bn2": 4, "conv3": 6, "bn3": 7}
    stage, _, rest = name.partition(".")
    if stage in ("conv1", "bn1"):
        return f"conv1.{int(stage == 'bn1')}.{rest}"
    if not stage.startswith("layer"):
        return name
    block, layer, leaf = rest.split(".", 2)
    inner = f"residual_function.{places[layer]}" if layer in places else "shortcut"
    return f"conv{int(stage[5:]) + 1}_x.{block}.{inner}.{leaf}"


@pytest.mark.parametrize(
    ("name", "rename", "config"),
    [
        ("resnet20", small_to_large, {"option": "B"}),
        ("resnet18", large_to_small, {"small_input": True, "num_classes": 10}),
        ("resnet50", large_to_small, {"small_input": True, "num_classes": 10}),
        ("resnet18", in_lists, {"small_input": True, "num_classes": 100}),
        ("resnet50", in_lists, {"small_input": True, "num_classes": 100}),
    ],
)
def test_programs_for_cifar(name: str, rename: Rename, config: Any, tmp_path: Path) -> None:
    own = drawn(name, **config).state_dict()
    state = {"module." + rename(n): v for n, v in own.items()}
    assert len(state) == len(own)
    same(taken(name, state, tmp_path / "a.pth", **config), own)


# -- Hugging Face's transformers ------------------------------------------------------------------


def thirds(state: dict[str, Any], pattern: str, parts: tuple[str, str, str]) -> dict[str, Any]:
    """Layers of queries, keys and values on their own."""
    done = {}
    for name, value in state.items():
        found = re.match(pattern, name)
        if not found:
            done[name] = value
            continue
        for part, third in zip(parts, value.chunk(3), strict=True):
            done[f"{found[1]}{part}.{found[2]}"] = third
    return done


def vit(state: dict[str, Any], in_files: bool) -> dict[str, Any]:
    inner = "attention.attention." if in_files else "attention."
    layer = r"vit.encoder.layer.\1." if in_files else r"vit.layers.\1."
    rename = by(
        ("^class_token", "vit.embeddings.cls_token"),
        ("^conv_proj", "vit.embeddings.patch_embeddings.projection"),
        (r"^encoder\.pos_embedding", "vit.embeddings.position_embeddings"),
        (r"^encoder\.ln\.", "vit.layernorm."),
        (r"^heads\.head", "classifier"),
        (r"^encoder\.layers\.encoder_layer_(\d+)\.", layer),
        (r"\.ln_1", ".layernorm_before"),
        (r"\.ln_2", ".layernorm_after"),
        (r"\.mlp\.0", ".intermediate.dense" if in_files else ".mlp.fc1"),
        (r"\.mlp\.3", ".output.dense" if in_files else ".mlp.fc2"),
        (r"self_attention\.out_proj", "attention.output.dense" if in_files else "attention.o_proj"),
        (r"self_attention\.in_proj_", inner + "all."),
    )
    named = {rename(name): value for name, value in state.items()}
    parts = ("query", "key", "value") if in_files else ("q_proj", "k_proj", "v_proj")
    return thirds(named, r"(.*attention\.)all\.(weight|bias)$", parts)


def swin(state: dict[str, Any], in_files: bool) -> dict[str, Any]:
    inner = "attention.self." if in_files else "attention."

    def place(match: re.Match[str]) -> str:
        at = int(match[1])
        if at % 2:
            return f"swin.encoder.layers.{at // 2}.blocks."
        return f"swin.encoder.layers.{at // 2 - 1}.downsample."

    rename = by(
        (r"^features\.0\.0\.", "swin.embeddings.patch_embeddings.projection."),
        (r"^features\.0\.2\.", "swin.embeddings.norm."),
        (r"^norm\.", "swin.layernorm."),
        (r"^head\.", "classifier."),
        (r"\.norm1", ".layernorm_before"),
        (r"\.norm2", ".layernorm_after"),
        (r"\.mlp\.0", ".intermediate.dense" if in_files else ".mlp.fc1"),
        (r"\.mlp\.3", ".output.dense" if in_files else ".mlp.fc2"),
        (r"attn\.proj", "attention.output.dense" if in_files else "attention.o_proj"),
        (r"attn\.qkv", inner + "all"),
        (
            r"attn\.relative_position_bias_table",
            inner
            + ("" if in_files else "relative_position_bias.")
            + "relative_position_bias_table",
        ),
    )
    named = {
        re.sub(r"^features\.(\d+)\.", place, rename(name)): value
        for name, value in state.items()
        if not name.endswith("relative_position_index")
    }
    parts = ("query", "key", "value") if in_files else ("q_proj", "k_proj", "v_proj")
    return thirds(named, r"(.*attention\.(?:self\.)?)all\.(weight|bias)$", parts)


def convnext(state: dict[str, Any], in_files: bool) -> dict[str, Any]:
    kinds = {"0": "dwconv", "2": "layernorm", "3": "pwconv1", "5": "pwconv2"}

    def rename(name: str) -> str:
        first, at, *rest = name.split(".")
        if first == "classifier":
            return ("convnext.layernorm." if at == "0" else "classifier.") + rest[0]
        if at == "0":
            return (
                f"convnext.embeddings.{('patch_embeddings', 'layernorm')[int(rest[0])]}.{rest[1]}"
            )
        where = f"convnext.encoder.stages.{int(at) // 2}."
        if int(at) % 2 == 0:
            return f"{where}downsampling_layer.{'.'.join(rest)}"
        if rest[1] == "layer_scale":
            return f"{where}layers.{rest[0]}.layer_scale_parameter"
        return f"{where}layers.{rest[0]}.{kinds[rest[2]]}.{rest[3]}"

    return {rename(n): v.reshape(-1) if "scale" in n else v for n, v in state.items()}


def resnet(state: dict[str, Any], in_files: bool) -> dict[str, Any]:
    rename = by(
        (r"^conv1\.", "resnet.embedder.embedder.convolution."),
        (r"^bn1\.", "resnet.embedder.embedder.normalization."),
        (r"downsample\.0", "shortcut.convolution"),
        (r"downsample\.1", "shortcut.normalization"),
        (r"^fc\.", "classifier.1."),
    )

    def block(match: re.Match[str]) -> str:
        kind = {"conv": "convolution", "bn": "normalization"}[match[3]]
        return f"layer{match[1]}.{match[2]}.layer.{int(match[4]) - 1}.{kind}."

    def stage(match: re.Match[str]) -> str:
        return f"resnet.encoder.stages.{int(match[1]) - 1}.layers."

    done = {}
    for name, value in state.items():
        inner = re.sub(r"^layer(\d)\.(\d+)\.(conv|bn)(\d)\.", block, rename(name))
        done[re.sub(r"^layer(\d)\.", stage, inner)] = value
    return done


def regnet(state: dict[str, Any], in_files: bool) -> dict[str, Any]:
    kinds = {"0": "convolution", "1": "normalization"}
    last = "3" if any(".f.se." in name for name in state) else "2"
    parts = {"a": "0", "b": "1", "c": last}

    def rename(name: str) -> str:
        if name.startswith("stem"):
            _, kind, leaf = name.split(".")
            return f"regnet.embedder.embedder.{kinds[kind]}.{leaf}"
        if name.startswith("fc"):
            return name.replace("fc.", "classifier.1.")
        _, stage, block, part, *rest = name.split(".")
        where = f"regnet.encoder.stages.{int(stage[5:]) - 1}.layers.{block.partition('-')[2]}."
        if part == "proj":
            return f"{where}shortcut.{kinds[rest[0]]}.{rest[1]}"
        if rest[0] == "se":
            return f"{where}layer.2.attention.{('0', '2')[rest[1] == 'fc2']}.{rest[2]}"
        return f"{where}layer.{parts[rest[0]]}.{kinds[rest[1]]}.{rest[2]}"

    return {rename(name): value for name, value in state.items()}


@pytest.mark.parametrize("in_files", [True, False])
@pytest.mark.parametrize(
    ("name", "rename"),
    [
        ("vit_ti_16", vit),
        ("swin_t", swin),
        ("convnext_tiny", convnext),
        ("resnet18", resnet),
        ("resnet50", resnet),
        ("regnet_x_400mf", regnet),
        ("regnet_y_400mf", regnet),
    ],
)
def test_transformers(
    name: str, rename: Callable[[dict[str, Any], bool], Any], in_files: bool, tmp_path: Path
) -> None:
    own = drawn(name).state_dict()
    named = rename(own, in_files)
    assert not set(named) & {n for n in own if n.endswith("weight")}
    same(taken(name, named, tmp_path / "model.safetensors"), own)
    if in_files:
        base = {n.partition(".")[2]: v for n, v in named.items() if not n.startswith("classifier")}
        with pytest.warns(UserWarning, match="loaded but for .*, which start anew, which the"):
            found = taken(name, base, tmp_path / "base.pth", num_classes=1000)
        head = [n for n in own if n.startswith(("fc", "head", "classifier.2"))]
        same({n: v for n, v in found.items() if n not in head}, without(own, head))


def without(state: Any, names: list[str]) -> dict[str, Any]:
    return {name: value for name, value in state.items() if name not in names}


# -- what to do where weights do not fit ----------------------------------------------------------


@pytest.mark.parametrize(
    ("held", "wanted", "hint"),
    [
        (("resnet20", {"option": "B"}), ("resnet20", {}), 'option="B" makes the shortcuts'),
        (("resnet20", {}), ("resnet20", {"option": "B"}), 'option="A" makes the shortcuts'),
        (("resnet32", {}), ("resnet20", {}), "the weights of a resnet32"),
        (("resnet18", {}), ("resnet34", {}), "the weights of a resnet18"),
        (("resnet50", {}), ("resnet18", {}), "the weights of a resnet50"),
        (("resnext50_32x4d", {}), ("resnet50", {}), "the weights of a resnext50_32x4d"),
        (("wide_resnet50_2", {}), ("resnet50", {}), "the weights of a wide_resnet50_2"),
        (("resnet18", {"small_input": True}), ("resnet18", {}), "small_input=True makes"),
        (("resnet18", {}), ("resnet18", {"small_input": True}), "small_input=False makes"),
        (
            ("resnet18", {"num_classes": 10}),
            ("resnet18", {}),
            "fc has 10 outputs .* make it for 10",
        ),
        (
            ("googlenet", {"aux_logits": False}),
            ("googlenet", {"aux_logits": True}),
            "aux_logits=False",
        ),
        (
            ("googlenet", {"aux_logits": True}),
            ("googlenet", {"aux_logits": False}),
            "aux_logits=True",
        ),
    ],
)
def test_the_error_says_what_would_fit(held: Any, wanted: Any, hint: str) -> None:
    state = models.get_model(held[0], **held[1]).state_dict()
    net = models.get_model(wanted[0], **wanted[1])
    with pytest.raises(StateDictError, match=rf"fix +[^\n]*{hint}"):
        net.load_state_dict(state)
