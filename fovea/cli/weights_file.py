"""What ``fovea info FILE`` says of a file of weights: where they are, and what they look like."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from typing import Any

__all__ = ["facts_of", "lines_of"]

_SHOWN = 12


def facts_of(path: str) -> dict[str, Any]:
    """What is in a file: its entries, and each set of tensors by name.

    Raises:
        FileFormatError: it is no file of weights; says what it is, as far as that shows.
    """
    from fovea import load
    from fovea.interop.checkpoints import places

    content = load(path)
    entries = {}
    if isinstance(content, Mapping):
        entries = {str(key): _in_short(value) for key, value in content.items()}
    return {
        "path": path,
        "bytes": os.path.getsize(path),
        "holds": _in_short(content),
        "entries": entries,
        "weights": [_set_of(place, state) for place, state in places(content)],
    }


def _in_short(value: Any) -> str:
    if hasattr(value, "type_name"):
        return f"a {value.type_name}, as a record of its attributes"
    if isinstance(value, Mapping | list | tuple):
        return f"{type(value).__name__} of {len(value)}"
    if hasattr(value, "dtype") and getattr(value, "shape", ()) != ():
        return f"{getattr(value.dtype, 'name', value.dtype)} {tuple(value.shape)}"
    text = repr(value.item() if hasattr(value, "item") else value)
    return text if len(text) <= 60 else text[:57] + "..."


def _set_of(place: tuple[str, ...], state: Mapping[str, Any]) -> dict[str, Any]:
    """Facts about tensors by name."""
    from fovea.tensorbase import is_tensor

    tensors = {name: t for name, t in state.items() if is_tensor(t)}
    kinds = Counter(t.dtype.name for t in tensors.values())
    firsts = {str(name).partition(".")[0] for name in tensors}
    return {
        "at": "".join(f"[{key!r}]" for key in place),
        "tensors": len(tensors),
        "elements": sum(t.numel() for t in tensors.values()),
        "dtypes": dict(kinds.most_common()),
        "beginning": firsts.pop() + "." if len(firsts) == 1 and len(tensors) > 1 else "",
        "shapes": {str(name): list(t.shape) for name, t in tensors.items()},
    }


def lines_of(facts: Mapping[str, Any]) -> list[str]:
    """The facts as text for people."""
    lines = [f"{facts['path']}: {facts['bytes']:,} bytes, holds {facts['holds']}"]
    whole = facts["weights"] and not facts["weights"][0]["at"]
    if not whole:
        lines += [f"  {name:<28} {what}" for name, what in list(facts["entries"].items())[:_SHOWN]]
        if len(facts["entries"]) > _SHOWN:
            lines.append(f"  ... and {len(facts['entries']) - _SHOWN} more")
    for one in facts["weights"][:4]:
        kinds = ", ".join(f"{count} of {kind}" for kind, count in one["dtypes"].items())
        where = f" in {one['at']}" if one["at"] else ""
        lines += ["", f"weights{where}: {one['elements']:,} numbers in tensors: {kinds}"]
        if one["beginning"]:
            lines.append(f"  all names begin with {one['beginning']!r}")
        names = list(one["shapes"])
        for name in names if len(names) <= _SHOWN else [*names[:5], "...", *names[-5:]]:
            shape = " × ".join(map(str, one["shapes"].get(name, []))) or ""
            lines.append(f"  {name:<56} {shape}".rstrip())
    if not facts["weights"]:
        lines.append("no tensors by name are in it")
    return lines
