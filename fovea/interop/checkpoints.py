"""A model's weights found within what a training run, another library or a person saved."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fovea.errors import FileFormatError
from fovea.interop.records import Record
from fovea.tensorbase import is_tensor

__all__ = ["find_state_dict"]

# Keys under which programs keep a model's weights, in the order in which they are preferred: the
# model as trained before its moving average.
_WRAPPERS = (
    "state_dict", "model_state_dict", "model_state", "model", "net", "network", "params", "weights",
    "module", "state", "state_dict_ema", "model_ema", "ema_state_dict", "params_ema", "ema",
    "shadow_params", "teacher", "student",
)  # fmt: skip
# Beginnings of names that wrappers of modules add: parallel training, torch.compile, Lightning.
_PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.", "ema.", "ema_model.")
_MAX_DEPTH = 8


def find_state_dict(
    content: Any, wanted: Iterable[str] = (), where: str = "the file"
) -> dict[str, Any]:
    """The tensors by name in what ``fovea.load`` returned.

    Looks below the keys that programs use (``state_dict``, ``model``, ``net`` ...), takes whole
    modules apart, and removes beginnings that all names share (``module.``, ``_orig_mod.``,
    ``model.``) unless the model's own names begin so.

    Args:
        content: a state dict, a checkpoint, or the record of a module.
        wanted: the model's own names.
        where: the file's name, for errors.

    Raises:
        FileFormatError: there are no tensors by name in it.

    >>> import fovea
    >>> saved = {"epoch": 3, "model": {"module.weight": fovea.ones(2)}, "optimizer": {}}
    >>> find_state_dict(saved)
    {'weight': tensor([1., 1.])}
    """
    state = _search(content, 0)
    if state is None:
        raise FileFormatError(
            f"{where}: a model's weights are a dictionary of tensors by name, the file holds "
            f"{_what(content)}.",
            fix="fovea.load shows what is in it; pass the part with the weights to load_state_dict",
        )
    return _without_prefixes(state, list(wanted))


def _search(content: Any, depth: int) -> dict[str, Any] | None:
    if depth > _MAX_DEPTH:
        return None
    if isinstance(content, Record):
        found = content.state_dict()
        return found or _search(content.attributes, depth + 1)
    if not isinstance(content, Mapping):
        return None
    for key in _WRAPPERS:
        inner = content.get(key)
        if isinstance(inner, Mapping | Record):
            found = _search(inner, depth + 1) or {}
            if found:
                return found
    if any(is_tensor(value) for value in content.values()):
        # A state's versions of layers come along: loading old states depends on them.
        return content if isinstance(content, dict) else dict(content)
    return {} if not content and depth == 0 else None


def _without_prefixes(state: dict[str, Any], wanted: list[str]) -> dict[str, Any]:
    names = [str(name) for name in state]
    if any("_orig_mod." in name for name in names):
        state = {str(name).replace("_orig_mod.", ""): value for name, value in state.items()}
    while True:
        names = [str(name) for name in state]
        prefix = next((p for p in _PREFIXES if names and all(n.startswith(p) for n in names)), None)
        if prefix is None or any(name.startswith(prefix) for name in wanted):
            return state
        state = {str(name).removeprefix(prefix): value for name, value in state.items()}


def _what(content: Any) -> str:
    if isinstance(content, Mapping):
        keys = ", ".join(repr(key) for key in list(content)[:8])
        return f"a dictionary without tensors, of {keys or 'nothing'}"
    return type(content).__name__
