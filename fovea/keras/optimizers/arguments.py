"""The arguments that all of Keras's optimizers share, and attributes of update ops."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from fovea.ops.update import UpdateAttrs

__all__ = ["attributes_of", "common"]


@lru_cache(256)
def attributes_of(cls: type[UpdateAttrs], *values: Any) -> UpdateAttrs:
    return cls.of(*values)


def common(local: dict[str, Any]) -> dict[str, Any]:
    """The arguments that every optimizer passes to its base."""
    names = (
        "weight_decay",
        "clipnorm",
        "clipvalue",
        "global_clipnorm",
        "use_ema",
        "ema_momentum",
        "ema_overwrite_frequency",
        "loss_scale_factor",
        "gradient_accumulation_steps",
        "name",
    )
    return {**{n: local[n] for n in names}, **local["kwargs"]}
