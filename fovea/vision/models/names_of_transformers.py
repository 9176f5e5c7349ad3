"""Names that Hugging Face's transformers give the architectures, in its files and in memory."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from fovea.vision.models.naming import Naming, Rule, stage

__all__ = ["BASES", "NAMINGS"]

# What networks for a task put before the names of the network that they stand on.
BASES = re.compile(
    r"^(?:vit|deit|resnet|convnext|swin|regnet)\."
    r"(?=(?:embeddings|embedder|encoder|layers|layernorm|pooler)\.)"
)
_PARTS = {"q_proj": "query", "k_proj": "key", "v_proj": "value"}


def _part(pattern: str) -> Callable[[re.Match[str]], str]:
    """A name of a third of a tensor; the match's last groups are the third's name and the leaf."""

    def name(found: re.Match[str]) -> str:
        *_, third, leaf = found.groups()
        return found.expand(pattern).replace("LEAF", leaf) + f"#{_PARTS.get(third, third)}"

    return name


_THIRD = r"(query|key|value|q_proj|k_proj|v_proj)\.(weight|bias)$"
_VIT_LAYER = r"encoder.layers.encoder_layer_\1."
_L = r"(?:encoder\.layer|layers)\.(\d+)\."
_VIT: tuple[Rule, ...] = (
    (r"embeddings\.cls_token$", "class_token"),
    (r"embeddings\.position_embeddings$", "encoder.pos_embedding"),
    (r"embeddings\.patch_embeddings\.projection\.", "conv_proj."),
    (_L + r"layernorm_before\.", _VIT_LAYER + "ln_1."),
    (_L + r"layernorm_after\.", _VIT_LAYER + "ln_2."),
    (
        _L + r"attention\.(?:attention\.)?" + _THIRD,
        _part(_VIT_LAYER + "self_attention.in_proj_LEAF"),
    ),
    (_L + r"attention\.(?:output\.dense|o_proj)\.", _VIT_LAYER + "self_attention.out_proj."),
    (_L + r"(?:intermediate\.dense|mlp\.fc1)\.", _VIT_LAYER + "mlp.0."),
    (_L + r"(?:output\.dense|mlp\.fc2)\.", _VIT_LAYER + "mlp.3."),
    (r"layernorm\.", "encoder.ln."),
    (r"classifier\.", "heads.head."),
    (r"(?:pooler\.|embeddings\.mask_token$).*", ""),
)
_C = r"encoder\.stages\.(\d+)\.layers\.(\d+)\."
_CONVNEXT: tuple[Rule, ...] = (
    (r"embeddings\.patch_embeddings\.", "features.0.0."),
    (r"embeddings\.layernorm\.", "features.0.1."),
    (_C + r"layer_scale_parameter$", stage(r"\2.layer_scale", True)),
    (_C + r"dwconv\.", stage(r"\2.block.0.", True)),
    (_C + r"layernorm\.", stage(r"\2.block.2.", True)),
    (_C + r"pwconv1\.", stage(r"\2.block.3.", True)),
    (_C + r"pwconv2\.", stage(r"\2.block.5.", True)),
    (r"encoder\.stages\.(\d+)\.downsampling_layer\.", stage("")),
    (r"layernorm\.", "classifier.0."),
    (r"classifier\.", "classifier.2."),
)
_S = r"encoder\.layers\.(\d+)\.blocks\.(\d+)\."
_SWIN: tuple[Rule, ...] = (
    (r"embeddings\.patch_embeddings\.projection\.", "features.0.0."),
    (r"embeddings\.norm\.", "features.0.2."),
    (_S + r"layernorm_before\.", stage(r"\2.norm1.", True)),
    (_S + r"layernorm_after\.", stage(r"\2.norm2.", True)),
    (
        _S + r"attention\.(?:self\.)?" + _THIRD,
        lambda m: _part(stage(r"\2.attn.qkv.LEAF", True)(m))(m),
    ),
    (
        _S + r"attention\.(?:self\.|relative_position_bias\.)relative_position_bias_table$",
        stage(r"\2.attn.relative_position_bias_table", True),
    ),
    (_S + r"attention\.(?:output\.dense|o_proj)\.", stage(r"\2.attn.proj.", True)),
    (_S + r"(?:intermediate\.dense|mlp\.fc1)\.", stage(r"\2.mlp.0.", True)),
    (_S + r"(?:output\.dense|mlp\.fc2)\.", stage(r"\2.mlp.3.", True)),
    (_S + r"attention\..*relative_position_index$", ""),
    (r"encoder\.layers\.(\d+)\.downsample\.", stage("", shift=2)),
    (r"layernorm\.", "norm."),
    (r"classifier\.", "head."),
    (r"embeddings\.mask_token$", ""),
)
_UNIT: Mapping[str, int] = {"convolution": 0, "normalization": 1}


def _resnet(found: re.Match[str]) -> str:
    kind = "conv" if found[4] == "convolution" else "bn"
    return f"layer{int(found[1]) + 1}.{found[2]}.{kind}{int(found[3]) + 1}."


def _beside(before: str, between: str) -> Callable[[re.Match[str]], str]:
    """The shortcut of a block."""

    def name(found: re.Match[str]) -> str:
        block = before.format(int(found[1]) + 1, found[2])
        return f"{block}.{between}.{_UNIT[found[3]]}."

    return name


_R = r"encoder\.stages\.(\d+)\.layers\.(\d+)\."
_KIND = r"(convolution|normalization)\."
_RESNET: tuple[Rule, ...] = (
    (r"embedder\.embedder\.convolution\.", "conv1."),
    (r"embedder\.embedder\.normalization\.", "bn1."),
    (_R + r"layer\.(\d)\." + _KIND, _resnet),
    (_R + r"shortcut\." + _KIND, _beside("layer{}.{}", "downsample")),
    (r"classifier\.1\.", "fc."),
)


def _regnet(found: re.Match[str]) -> str:
    first = int(found[1]) + 1
    part = "abcc"[int(found[3])]  # the third of RegNetX's and the fourth of RegNetY's are the last
    return f"trunk_output.block{first}.block{first}-{found[2]}.f.{part}.{_UNIT[found[4]]}."


def _excitation(found: re.Match[str]) -> str:
    first, layer = int(found[1]) + 1, {"0": "fc1", "2": "fc2"}[found[3]]
    return f"trunk_output.block{first}.block{first}-{found[2]}.f.se.{layer}."


_REGNET: tuple[Rule, ...] = (
    (r"embedder\.embedder\.convolution\.", "stem.0."),
    (r"embedder\.embedder\.normalization\.", "stem.1."),
    (_R + r"layer\.(\d)\." + _KIND, _regnet),
    (_R + r"layer\.2\.attention\.([02])\.", _excitation),
    (_R + r"shortcut\." + _KIND, _beside("trunk_output.block{0}.block{0}-{1}", "proj")),
    (r"classifier\.1\.", "fc."),
)
NAMINGS: dict[str, Naming] = {
    "VisionTransformer": Naming("embeddings.cls_token", _VIT),
    "ConvNeXt": Naming("embeddings.patch_embeddings.weight", _CONVNEXT),
    "SwinTransformer": Naming("embeddings.patch_embeddings.projection.weight", _SWIN),
    "ResNet": Naming("embedder.embedder.convolution.weight", _RESNET),
    "RegNet": Naming("embedder.embedder.convolution.weight", _REGNET),
}
