"""Which dtypes a layer computes in and keeps its weights in."""

from __future__ import annotations

from typing import Any, Final

from fovea.dtypes import DType
from fovea.errors import ArgumentError, DTypeError
from fovea.keras import config
from fovea.keras.objects import serialize_keras_object

__all__ = [
    "DTypePolicy",
    "FloatDTypePolicy",
    "deserialize",
    "dtype_policy",
    "get",
    "serialize",
    "set_dtype_policy",
]

_MIXED: Final = {"mixed_float16": "float16", "mixed_bfloat16": "bfloat16"}


class DTypePolicy:
    """The dtypes of a layer's computation and of its weights.

    Args:
        name: the name of a dtype for both, or ``"mixed_bfloat16"`` or ``"mixed_float16"``:
            computation in that dtype with weights in float32. Default: the global policy's.

    Raises:
        ArgumentError: an unknown name.

    >>> policy = DTypePolicy("mixed_bfloat16")
    >>> policy.compute_dtype, policy.variable_dtype
    ('bfloat16', 'float32')
    """

    keras_module = "keras"

    def __init__(self, name: str | None = None) -> None:
        if name is None:
            name = dtype_policy().name
        if not isinstance(name, str):
            raise DTypeError(f"DTypePolicy: a name is needed, got {name!r}.", fix="'float32'")
        self._name = name
        try:
            self._compute = config.as_dtype(_MIXED.get(name, name))
            self._variable = config.as_dtype("float32") if name in _MIXED else self._compute
        except TypeError:
            known = [*_MIXED, "float32", "float64", "bfloat16", "float16"]
            raise ArgumentError(
                f"DTypePolicy: unknown policy {name!r}.", fix=f"one of {', '.join(known)}"
            ) from None

    @property
    def name(self) -> str:
        """What the policy is called."""
        return self._name

    @property
    def compute_dtype(self) -> str:
        """The name of the dtype that inputs are cast to and outputs have."""
        return self._compute.name

    @property
    def variable_dtype(self) -> str:
        """The name of the dtype of weights."""
        return self._variable.name

    @property
    def quantization_mode(self) -> None:
        """No policy here quantizes."""
        return None

    def get_config(self) -> dict[str, Any]:
        """The arguments to make another one with."""
        return {"name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> DTypePolicy:
        """One with these arguments."""
        return cls(**config)

    def __repr__(self) -> str:
        return f'<DTypePolicy "{self._name}">'

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DTypePolicy) and self._name == other._name

    def __hash__(self) -> int:
        return hash(self._name)


class FloatDTypePolicy(DTypePolicy):
    """``DTypePolicy`` under its older name."""


_global: DTypePolicy | None = None


def dtype_policy() -> DTypePolicy:
    """The policy of layers that are not given one: ``floatx()`` unless set.

    >>> dtype_policy()
    <DTypePolicy "float32">
    """
    return DTypePolicy(config.floatx()) if _global is None else _global


def set_dtype_policy(policy: Any) -> None:
    """Set the policy of layers that are made from now on and not given one.

    Args:
        policy: its name or a ``DTypePolicy``.

    Raises:
        ArgumentError: neither of them.
    """
    global _global
    if not isinstance(policy, str | DTypePolicy):
        raise ArgumentError(
            f"set_dtype_policy: a policy or its name is needed, got {policy!r}.",
            fix="'mixed_bfloat16', 'mixed_float16' or the name of a dtype",
        )
    _global = get(policy)


def reset() -> None:
    """Let ``floatx()`` be the policy of layers again."""
    global _global
    _global = None


def get(identifier: Any) -> DTypePolicy:
    """The policy that a name, a dtype, a description or a policy means; None: the global one.

    >>> import fovea
    >>> get("mixed_float16"), get(fovea.bfloat16)
    (<DTypePolicy "mixed_float16">, <DTypePolicy "bfloat16">)
    """
    if identifier is None:
        return dtype_policy()
    if isinstance(identifier, DTypePolicy):
        return identifier
    if isinstance(identifier, dict):
        return deserialize(identifier)
    if isinstance(identifier, str):
        return DTypePolicy(identifier)
    dtype: DType = config.as_dtype(identifier)
    return DTypePolicy(dtype.name)


def computed(dtype: Any) -> Any:
    """What a loss or a metric computes in, given a dtype or a policy; None stays (``floatx()``)."""
    return None if dtype is None else get(dtype).compute_dtype


def serialize(policy: DTypePolicy) -> Any:
    """Plain data that describes a policy."""
    return serialize_keras_object(policy)


def deserialize(config: dict[str, Any], custom_objects: Any = None) -> DTypePolicy:
    """The policy that plain data describes.

    Raises:
        ArgumentError: a policy that quantizes, or no policy.
    """
    name = config.get("class_name")
    if name not in ("DTypePolicy", "FloatDTypePolicy"):
        raise ArgumentError(f"dtype policy {name!r} is not available here.", fix="dtype='float32'")
    return DTypePolicy(**config.get("config", {}))
