"""A model's weights found within what a training run, another library or a person saved."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from fovea.errors import FileFormatError
from fovea.functions.creation import from_numpy
from fovea.interop.records import Record
from fovea.tensorbase import is_tensor

__all__ = ["find_state_dict", "places"]

# Keys under which programs keep a model's weights, in the order in which they are preferred: the
# model as trained before its moving average.
_WRAPPERS = (
    "state_dict", "model_state_dict", "model_state", "model", "net", "network", "params", "weights",
    "module", "state", "state_dict_ema", "model_ema", "ema_state_dict", "params_ema", "ema",
    "shadow_params", "teacher", "student",
)  # fmt: skip
# Keys of what else training programs keep, which holds tensors by name, too.
_BESIDE = (
    "optimizer", "optim", "opt", "scheduler", "lr_scheduler", "scaler", "loops", "callbacks",
    "optimizer_states", "rng", "rng_state", "metrics", "history", "args", "config", "meta",
    "hyper_parameters",
)  # fmt: skip
_ASIDE = {(key,) for key in _BESIDE}
# Beginnings of names that wrappers of modules add: parallel training, torch.compile, Lightning.
_PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.", "ema.", "ema_model.")
# What counters of operations leave on modules; no part of any model.
_LEFT_BY_TOOLS = ("total_ops", "total_params")
_MAX_DEPTH = 8
_MAX_PARTS = 10_000


class _Candidate(NamedTuple):
    """Tensors by name somewhere in a file."""

    path: tuple[str, ...]
    state: dict[str, Any]


def find_state_dict(
    content: Any, wanted: Iterable[str] = (), where: str = "the file"
) -> dict[str, Any]:
    """The tensors by name in what ``fovea.load`` returned.

    Of all dictionaries of tensors in it, the one is taken that has most of the model's names; of
    several, the one that lies below the keys that programs use (``state_dict``, ``model``,
    ``net`` ...). Whole modules are taken apart, NumPy arrays become tensors, and beginnings of
    names that wrappers add (``module.``, ``_orig_mod.``, ``model.``, or whatever stands before all
    of the model's names) are removed unless the model's own names begin so.

    Args:
        content: a state dict, a checkpoint, or the record of a module.
        wanted: the model's own names.
        where: the file's name, for errors.

    Raises:
        FileFormatError: there are no tensors by name in it, or several sets of them and nothing
            that tells which.

    >>> import fovea
    >>> saved = {"epoch": 3, "model": {"module.weight": fovea.ones(2)}, "optimizer": {}}
    >>> find_state_dict(saved)
    {'weight': tensor([1., 1.])}
    >>> find_state_dict({"G": {"net.w": fovea.ones(1)}, "D": {"v": fovea.ones(1)}}, ["w"])
    {'w': tensor([1.])}
    """
    names = list(wanted)
    found = list(_candidates(content, ()))
    if not found:
        if isinstance(content, Mapping) and not content:
            return {}
        raise FileFormatError(
            f"{where}: a model's weights are a dictionary of tensors by name, the file holds "
            f"{_what(content)}.",
            fix="fovea.load shows what is in it; pass the part with the weights to load_state_dict",
        )
    if not names:
        return _without_prefixes(_preferred(found, where).state, names)
    # Sorting keeps the order of what fits as well as others: the preferred keys come first.
    states = [_without_prefixes(candidate.state, names) for candidate in found]
    return max(states, key=lambda state: _fitting(state, names))


def places(content: Any) -> list[tuple[tuple[str, ...], dict[str, Any]]]:
    """Every set of tensors by name in what ``fovea.load`` returned: the keys that lead to it, and
    it; that of a model first.

    >>> import fovea
    >>> [keys for keys, _ in places({"epoch": 3, "net": {"w": fovea.ones(2)}})]
    [('net',)]
    """
    return [(c.path, c.state) for c in _candidates(content, ()) if c.path[:1] not in _ASIDE]


def _fitting(state: Mapping[str, Any], wanted: Iterable[str]) -> int:
    return sum(name in state for name in wanted)


def _preferred(found: list[_Candidate], where: str) -> _Candidate:
    """The one to take where no model tells."""
    first = found[0]
    if len(found) == 1 or not first.path or first.path[0] in _WRAPPERS:
        return first
    ours = [c for c in found if not c.path or c.path[0] not in _BESIDE]
    if len(ours) == 1:
        return ours[0]
    places = ", ".join("".join(f"[{key!r}]" for key in c.path) for c in (ours or found)[:8])
    raise FileFormatError(
        f"{where}: it holds several sets of tensors by name: {places}.",
        fix="pass the one that is meant, or the model's names: "
        "find_state_dict(content, model.state_dict())",
    )


# -- where tensors lie ----------------------------------------------------------------------------


def _candidates(content: Any, path: tuple[str, ...]) -> Iterator[_Candidate]:
    """Everything that holds tensors by name, what is preferred first."""
    if len(path) > _MAX_DEPTH:
        return
    if isinstance(content, Record):
        found = content.state_dict()
        if found:
            yield _Candidate(path, found)
            return
        yield from _candidates(content.mapping or content.attributes, (*path, content.type_name))
        return
    if not isinstance(content, Mapping):
        return
    for key in _keys(content):
        if isinstance(content[key], Mapping | Record):
            yield from _candidates(content[key], (*path, str(key)))
    state = _tensors(content)
    if state:
        yield _Candidate(path, state)


def _keys(content: Mapping[Any, Any]) -> list[Any]:
    """The keys to look below, in order."""
    known = [key for key in _WRAPPERS if key in content]
    others = [key for key in list(content)[:_MAX_PARTS] if key not in known]
    others.sort(key=lambda key: key in _BESIDE)  # such come last
    return [*known, *others]


def _tensors(content: Mapping[Any, Any]) -> dict[str, Any] | None:
    """The content itself, if it holds tensors by name; of its arrays tensors are made."""
    names = [key for key, value in content.items() if is_tensor(value)]
    arrays = {key: v for key, v in content.items() if _is_weight(v)}
    if not names and not any(a.ndim for a in arrays.values()):
        return None
    if arrays or any(not isinstance(key, str) for key in content):
        kept = {**{name: content[name] for name in names}, **arrays}
        order = [key for key in content if key in kept and isinstance(key, str)]
        return {k: from_numpy(kept[k].copy()) if k in arrays else kept[k] for k in order} or None
    # A state's versions of layers come along: loading old states depends on them.
    return content if isinstance(content, dict) else dict(content)


def _is_weight(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind in "biuf" and value.dtype.isnative


# -- names ----------------------------------------------------------------------------------------


def _without_prefixes(state: dict[str, Any], wanted: list[str]) -> dict[str, Any]:
    names = [str(name) for name in state]
    if any("_orig_mod." in name for name in names):
        state = {str(name).replace("_orig_mod.", ""): value for name, value in state.items()}
    left = [n for n in state if str(n).rpartition(".")[2] in _LEFT_BY_TOOLS and n not in wanted]
    if left:
        state = {name: value for name, value in state.items() if name not in left}
    while True:
        names = [str(name) for name in state]
        prefix = next((p for p in _PREFIXES if names and all(n.startswith(p) for n in names)), None)
        if prefix is None or any(name.startswith(prefix) for name in wanted):
            return _below(state, wanted)
        state = {str(name).removeprefix(prefix): value for name, value in state.items()}


def _below(state: dict[str, Any], wanted: list[str]) -> dict[str, Any]:
    """The part of a state that holds a model's names behind a beginning, where that is most of
    them and more than the state has itself; without the rest if nothing is missing then."""
    here = _fitting(state, wanted)
    if here == len(wanted):
        return state
    prefix, count = _most_common_prefix(state, wanted)
    if count <= here or 2 * count < len(wanted):
        return state
    part = {name.removeprefix(prefix): v for name, v in state.items() if name.startswith(prefix)}
    needed = [name for name in wanted if not name.endswith("num_batches_tracked")]
    if all(name in part for name in needed):
        return part
    rest = {name: value for name, value in state.items() if not name.startswith(prefix)}
    return {**part, **rest}


def _most_common_prefix(state: Mapping[str, Any], wanted: Iterable[str]) -> tuple[str, int]:
    """What stands before most of the model's names, and how many of them it leads to."""
    ends: dict[str, list[str]] = {}  # by the first and the last two parts of names
    for name in wanted:
        ends.setdefault(_end(name), []).append(name)
    counts: Counter[str] = Counter()
    for name in state:
        for own in ends.get(_end(name), ())[:200]:
            if len(own) < len(name) and name.endswith("." + own):
                counts[name[: -len(own)]] += 1
    return counts.most_common(1)[0] if counts else ("", 0)


def _end(name: str) -> str:
    return ".".join(name.rsplit(".", 2)[-2:])


def _what(content: Any) -> str:
    if isinstance(content, Mapping):
        keys = ", ".join(repr(key) for key in list(content)[:8])
        return f"a dictionary without tensors, of {keys or 'nothing'}"
    if isinstance(content, list | tuple) and any(map(is_tensor, content)):
        return f"a {type(content).__name__} of {len(content)} tensors without names"
    return type(content).__name__
