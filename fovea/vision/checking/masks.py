"""Checks of masks: those that cannot be read, do not fit their image, or hold unknown classes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from fovea.errors import FoveaError
from fovea.vision.checking.findings import Finding, Report
from fovea.vision.checking.items import Item

__all__ = ["check_masks"]

_IGNORED = 255  # a class that is not counted
_MESSAGES = {
    "unreadable mask": "{} masks cannot be read",
    "mask of other size": "{} masks are not as large as their images",
    "unknown class": "{} masks hold classes that are not in the list",
    "empty mask": "{} masks hold nothing but the background",
}


def check_masks(
    items: Mapping[str, list[Item]],
    sizes: Mapping[str, tuple[int, int]],
    threads: int,
    report: Report,
) -> None:
    """Read the masks of all parts. Items then have the classes that occur in theirs.

    Args:
        items: the samples of each part.
        sizes: width and height of the images that could be read.
        threads: how many read.
        report: what is found goes there.
    """
    for name, part in items.items():
        masked = [item for item in part if item.mask is not None]
        found: dict[str, list[str]] = defaultdict(list)
        with ThreadPoolExecutor(max(threads, 1)) as pool:
            for item, said in zip(masked, pool.map(_look, masked), strict=True):
                _note(item, said, sizes.get(item.path), found)
        for kind, message in _MESSAGES.items():
            if found[kind]:
                text = f"{message.format(len(found[kind]))} ({name})"
                severe = kind != "empty mask"
                report.findings.append(Finding(kind, text, tuple(found[kind]), severe))


def _look(item: Item) -> str | tuple[tuple[int, int], list[int]]:
    """What is wrong with a mask, or its size and the classes in it."""
    assert item.mask is not None
    try:
        values = np.asarray(item.mask[1]())
    except FoveaError as error:
        return error.summary
    if values.ndim != 2:
        return f"{item.mask[0]} has {values.shape[-1]} channels"
    return (values.shape[1], values.shape[0]), np.unique(values).tolist()


def _note(
    item: Item,
    said: str | tuple[tuple[int, int], list[int]],
    size: tuple[int, int] | None,
    found: dict[str, list[str]],
) -> None:
    assert item.mask is not None
    path = item.mask[0]
    if isinstance(said, str):
        found["unreadable mask"].append(said)
        return
    own, values = said
    if size is not None and own != size:
        found["mask of other size"].append(
            f"{path}: {own[0]} x {own[1]}, its image {size[0]} x {size[1]}"
        )
    classes = [v for v in values if v != _IGNORED]
    names = item.names
    unknown = [] if names is None else [v for v in classes if v >= len(names)]
    if unknown:
        found["unknown class"].append(f"{path}: {', '.join(map(str, unknown[:5]))}")
    if not any(classes):
        found["empty mask"].append(path)
    item.classes = [
        names[v] if names is not None and v < len(names) else f"class {v}" for v in classes
    ]
