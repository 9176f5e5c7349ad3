"""MTCNN's networks under the names of TropComplique/mtcnn-pytorch, whose linear layers are called
convolutions and read maps channel by channel.
"""

from __future__ import annotations

from fovea.vision.models.naming import Naming

__all__ = ["NAMINGS"]

_INNER = r"(?:features\.)?"  # it may have been taken off as what stands before most names
NAMINGS: dict[str, tuple[Naming, ...]] = {
    "PNet": (Naming("features.conv1.weight", ((_INNER, ""),)),),
    "RNet": (
        Naming(
            "conv5_1.weight",
            (
                (rf"{_INNER}conv4\.", "dense4."),
                (r"conv5_(\d)\.", r"dense5_\1."),
                (_INNER, ""),
            ),
            (("dense4.weight", 9),),
        ),
    ),
    "ONet": (
        Naming(
            "conv6_1.weight",
            (
                (rf"{_INNER}conv5\.", "dense5."),
                (r"conv6_(\d)\.", r"dense6_\1."),
                (_INNER, ""),
            ),
            (("dense5.weight", 9),),
        ),
    ),
}
