"""Weights under the names that timm, transformers, the papers' own code and well-known programs
give the same architectures.

``RENAMINGS`` says by the model's class how names are told and how they translate. Networks made of
mobile blocks are matched layer by layer instead, in the order of computation.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from fovea.functions.creation import zeros_like
from fovea.functions.parts import cat
from fovea.nn import BatchNorm2d, Module
from fovea.nn.state import StateDictError
from fovea.vision.models import names_of_cifar, names_of_mtcnn, names_of_transformers
from fovea.vision.models.naming import Naming, Rule, stage

__all__ = ["ALIASES", "renamed"]

_REGNET_SIZES = {
    "400mf": "004", "800mf": "008", "1_6gf": "016", "3_2gf": "032", "8gf": "080", "16gf": "160",
    "32gf": "320",
}  # fmt: skip
_SWIN_SIZES = {"tiny": "t", "small": "s", "base": "b"}
# timm's names of architectures to ours; where both agree, none is needed.
ALIASES = {
    "mobilenetv2_100": "mobilenet_v2",
    "mobilenetv3_large_100": "mobilenet_v3_large",
    "mobilenetv3_small_100": "mobilenet_v3_small",
    "mnasnet_050": "mnasnet0_5",
    "mnasnet_075": "mnasnet0_75",
    "mnasnet_100": "mnasnet1_0",
    "vit_tiny_patch16_224": "vit_ti_16",
    "vit_base_patch16_224": "vit_b_16",
    "vit_base_patch32_224": "vit_b_32",
    "vit_large_patch16_224": "vit_l_16",
    "vit_large_patch32_224": "vit_l_32",
    "vit_huge_patch14_224": "vit_h_14",
    **{f"swin_{s}_patch4_window7_224": f"swin_{ours}" for s, ours in _SWIN_SIZES.items()},
    **{f"swinv2_{s}_window8_256": f"swin_v2_{ours}" for s, ours in _SWIN_SIZES.items()},
    # timm's plain regnetx_004 is narrower in its last stage.
    "regnetx_004_tv": "regnet_x_400mf",
    **{f"regnetx_{n}": f"regnet_x_{ours}" for ours, n in _REGNET_SIZES.items() if ours != "400mf"},
    **{f"regnety_{n}": f"regnet_y_{ours}" for ours, n in _REGNET_SIZES.items()},
}

State = dict[str, Any]
_CONVNEXT = (
    (r"stages\.(\d+)\.blocks\.(\d+)\.gamma", stage(r"\2.layer_scale", True)),
    (r"stages\.(\d+)\.blocks\.(\d+)\.conv_dw\.", stage(r"\2.block.0.", True)),
    (r"stages\.(\d+)\.blocks\.(\d+)\.norm\.", stage(r"\2.block.2.", True)),
    (r"stages\.(\d+)\.blocks\.(\d+)\.mlp\.fc1\.", stage(r"\2.block.3.", True)),
    (r"stages\.(\d+)\.blocks\.(\d+)\.mlp\.fc2\.", stage(r"\2.block.5.", True)),
    (r"stages\.(\d+)\.downsample\.", stage("")),
    (r"stem\.", "features.0."),
    (r"head\.norm\.", "classifier.0."),
    (r"head\.fc\.", "classifier.2."),
)
_CONVNEXT_PAPER = (
    (r"stages\.(\d+)\.(\d+)\.gamma", stage(r"\2.layer_scale", True)),
    (r"stages\.(\d+)\.(\d+)\.dwconv\.", stage(r"\2.block.0.", True)),
    (r"stages\.(\d+)\.(\d+)\.norm\.", stage(r"\2.block.2.", True)),
    (r"stages\.(\d+)\.(\d+)\.pwconv1\.", stage(r"\2.block.3.", True)),
    (r"stages\.(\d+)\.(\d+)\.pwconv2\.", stage(r"\2.block.5.", True)),
    (r"downsample_layers\.(\d+)\.", stage("")),
    (r"norm\.", "classifier.0."),
    (r"head\.", "classifier.2."),
)
_LAYER = r"encoder.layers.encoder_layer_\1."
_VIT = (
    (r"cls_token$", "class_token"),
    (r"pos_embed$", "encoder.pos_embedding"),
    (r"patch_embed\.proj\.", "conv_proj."),
    (r"blocks\.(\d+)\.norm1\.", _LAYER + "ln_1."),
    (r"blocks\.(\d+)\.norm2\.", _LAYER + "ln_2."),
    (r"blocks\.(\d+)\.attn\.qkv\.", _LAYER + "self_attention.in_proj_"),
    (r"blocks\.(\d+)\.attn\.proj\.", _LAYER + "self_attention.out_proj."),
    (r"blocks\.(\d+)\.mlp\.fc1\.", _LAYER + "mlp.0."),
    (r"blocks\.(\d+)\.mlp\.fc2\.", _LAYER + "mlp.3."),
    (r"norm\.", "encoder.ln."),
    (r"head\.", "heads.head."),
)


def _swin(shift: int) -> tuple[Rule, ...]:
    return (
        (r"patch_embed\.proj\.", "features.0.0."),
        (r"patch_embed\.norm\.", "features.0.2."),
        (r"layers\.(\d+)\.downsample\.", stage("", shift=shift)),
        (r"layers\.(\d+)\.blocks\.(\d+)\.mlp\.fc1\.", stage(r"\2.mlp.0.", True)),
        (r"layers\.(\d+)\.blocks\.(\d+)\.mlp\.fc2\.", stage(r"\2.mlp.3.", True)),
        (r"layers\.(\d+)\.blocks\.(\d+)\.", stage(r"\2.", True)),
        (r"head\.fc\.", "head."),
    )


def _regnet_block(found: re.Match[str]) -> str:
    return f"trunk_output.block{found[1]}.block{found[1]}-{int(found[2]) - 1}."


_SWIN = (
    # The paper's code, and timm once, make maps smaller at the end of a stage.
    Naming("layers.0.downsample.norm.weight", _swin(2)),
    Naming("patch_embed.proj.weight", _swin(0)),
)
RENAMINGS: dict[str, tuple[Naming, ...]] = {
    "VGG": (
        Naming(
            "pre_logits.fc1.weight",
            (
                (r"pre_logits\.fc1\.", "classifier.0."),
                (r"pre_logits\.fc2\.", "classifier.3."),
                (r"head\.fc\.", "classifier.6."),
            ),
        ),
    ),
    "ConvNeXt": (
        Naming("stem.0.weight", _CONVNEXT),
        Naming("downsample_layers.0.0.weight", _CONVNEXT_PAPER),
    ),
    "VisionTransformer": (Naming("cls_token", _VIT),),
    "SwinTransformer": _SWIN,
    **names_of_cifar.NAMINGS,
    **names_of_mtcnn.NAMINGS,
    "RegNet": (
        Naming(
            "s1.b1.conv1.conv.weight",
            (
                (r"stem\.conv\.", "stem.0."),
                (r"stem\.bn\.", "stem.1."),
                (r"s(\d)\.b(\d+)\.", _regnet_block),
                (r"head\.fc\.", "fc."),
            ),
        ),
    ),
}
# What is inside a block of RegNet, where only its beginning has been translated.
_REGNET_PARTS = {
    ".conv1.conv.": ".f.a.0.", ".conv1.bn.": ".f.a.1.",
    ".conv2.conv.": ".f.b.0.", ".conv2.bn.": ".f.b.1.",
    ".conv3.conv.": ".f.c.0.", ".conv3.bn.": ".f.c.1.",
    ".downsample.conv.": ".proj.0.", ".downsample.bn.": ".proj.1.",
    ".se.": ".f.se.",
}  # fmt: skip
_MOBILE = frozenset({"EfficientNet", "MobileNetV2", "MobileNetV3", "MNASNet"})


def renamed(model: Module, state: State) -> State:
    """The state under the model's names, where it has another library's for this architecture.

    Args:
        model: which it is for.
        state: tensors by name; returned as it is unless its names are known.

    Raises:
        StateDictError: the names are timm's, and the layers are not the model's.
    """
    kind = type(model).__name__
    if kind in _MOBILE and "conv_stem.weight" in state:
        return _shaped(model, _by_order(model, state))
    known = RENAMINGS.get(kind, ())
    if kind in names_of_transformers.NAMINGS:
        naming = names_of_transformers.NAMINGS[kind]
        bare = {names_of_transformers.BASES.sub("", name): value for name, value in state.items()}
        if naming.sign in bare:
            state, known = bare, (naming,)
    for naming in known:
        if naming.sign in state:
            new = {_translate(name, naming.rules): value for name, value in state.items()}
            new.pop("", None)
            for name, places in naming.flattened:
                if name in new:
                    new[name] = _place_by_place(new[name], places)
            return _shaped(model, _completed(model, _joined(new)))
    return state


def _translate(name: str, rules: tuple[Rule, ...]) -> str:
    for pattern, new in rules:
        result, count = re.subn(f"^{pattern}", new, name)
        if count:
            break
    else:
        return name
    if result.startswith("trunk_output.") and ".f." not in result:
        for old, part in _REGNET_PARTS.items():
            result = result.replace(old, part)
    return result


def _joined(state: State) -> State:
    """Tensors put together of those of queries, keys and values."""
    done = {name: value for name, value in state.items() if "#" not in name}
    for name in dict.fromkeys(n.partition("#")[0] for n in state if "#" in n):
        parts = [f"{name}#{part}" for part in ("query", "key", "value")]
        if all(part in state for part in parts):
            done[name] = cat([state[part] for part in parts])
    return done


def _place_by_place(weight: Any, places: int) -> Any:
    """A linear layer's weight (outputs, channels · places) as (outputs, places · channels)."""
    outputs, columns = weight.shape
    if columns % places:
        return weight
    parts = weight.reshape(outputs, columns // places, places)
    return parts.permute(0, 2, 1).reshape(outputs, columns)


def _completed(model: Module, state: State) -> State:
    """Swin: tables that follow from the window's size alone are the model's own, and biases of
    queries and values are those of the keys' layer as well, where keys have none."""
    own = model.state_dict()
    done = {name: value for name, value in state.items() if not name.endswith("attn_mask")}
    for name in own:
        if name.endswith((".relative_position_index", ".relative_coords_table")):
            done[name] = own[name]
        query = name.replace(".qkv.bias", ".q_bias")
        if query != name and query in done:
            q, v = done.pop(query), done.pop(name.replace(".qkv.bias", ".v_bias"))
            done.pop(name.replace(".qkv.bias", ".k_bias"), None)
            done[name] = cat([q, zeros_like(q), v])
    return done


def _shaped(model: Module, state: State) -> State:
    """Values of the model's shapes where only axes of length 1, or a linear layer's flattening,
    are between them."""
    own = model.state_dict()
    return {
        name: value.reshape(own[name].shape) if _same(own.get(name), value) else value
        for name, value in state.items()
    }


def _same(own: Any, value: Any) -> bool:
    if own is None or not hasattr(value, "shape") or own.numel() != value.numel():
        return False
    mine, others = tuple(own.shape), tuple(value.shape)
    flat = len(mine) == 2 and len(others) == 4 and mine[0] == others[0]
    return flat or [n for n in mine if n != 1] == [n for n in others if n != 1]


# -- mobile blocks: the same layers in the same order --------------------------------------------

_ORDERS = {  # by a layer that only this kind of block has
    "conv_exp": ("conv_exp", "bn1", "se", "conv_pwl", "bn2"),
    "conv_pwl": ("conv_pw", "bn1", "conv_dw", "bn2", "se", "conv_pwl", "bn3"),
    "conv_dw": ("conv_dw", "bn1", "se", "conv_pw", "bn2"),
    "conv": ("conv", "bn1"),
}
_BESIDE = ("conv_stem", "bn1", "blocks", "conv_head", "bn2", "classifier")
_EXCITATION = ("conv_reduce", "conv_expand")


def _by_order(model: Module, state: State) -> State:
    theirs = sorted({name.rpartition(".")[0] for name in state}, key=_place(state))
    ours = list(dict.fromkeys(name.rpartition(".")[0] for name in model.state_dict()))
    if len(theirs) != len(ours):
        raise StateDictError(
            f"the weights have timm's names, and {len(theirs)} layers; this "
            f"{type(model).__name__} has {len(ours)}.",
            fix="another size of the architecture: the file's name usually says which",
        )
    if type(model).__name__ == "MobileNetV3":
        _set_eps(model, 1e-5)
    new = dict(zip(theirs, ours, strict=True))
    return {
        f"{new[layer]}.{leaf}": value
        for (layer, _, leaf), value in ((n.rpartition("."), v) for n, v in state.items())
    }


def _place(state: State) -> Callable[[str], tuple[int, ...]]:
    """Where a layer stands in the order of computation."""
    kinds: dict[str, tuple[str, ...]] = {}
    for block in _blocks(state):
        kinds[block] = next(
            (order for sign, order in _ORDERS.items() if f"{block}.{sign}.weight" in state), ()
        )

    def place(layer: str) -> tuple[int, ...]:
        first, *rest = layer.split(".")
        outer = _BESIDE.index(first) if first in _BESIDE else len(_BESIDE)
        if first != "blocks" or len(rest) < 3 or not (rest[0] + rest[1]).isdecimal():
            return (outer,)
        order = kinds[f"blocks.{rest[0]}.{rest[1]}"]
        inner = order.index(rest[2]) if rest[2] in order else len(order)
        last = _EXCITATION.index(rest[3]) if rest[3:] and rest[3] in _EXCITATION else 0
        return (outer, int(rest[0]), int(rest[1]), inner, last)

    return place


def _blocks(state: State) -> Iterator[str]:
    """The blocks that names tell of."""
    seen = {m[0] for m in (re.match(r"blocks\.\d+\.\d+(?=\.)", name) for name in state) if m}
    yield from seen


def _set_eps(model: Module, eps: float) -> None:
    """timm trains MobileNetV3 with another constant in its normalizations than torchvision."""
    for module in model.modules():
        if isinstance(module, BatchNorm2d):
            module.eps = eps
