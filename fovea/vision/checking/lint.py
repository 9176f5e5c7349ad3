"""Checks of a data set: files, boxes, pictures that are there twice, classes."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from fovea.errors import FileFormatError
from fovea.vision.checking.findings import Finding, Report
from fovea.vision.checking.items import Item, items_of
from fovea.vision.checking.masks import check_masks
from fovea.vision.io import open_image

__all__ = ["lint"]

Array = np.ndarray[Any, Any]
SMALLEST_IMAGE = 16  # pixels a side
LONGEST_SHAPE = 5.0  # times as long as wide
SMALLEST_BOX = 2.0  # pixels a side
OUTSIDE = 1.0  # pixels by which a box may reach out of its image
RARE = 20.0  # times as many of one class as of another
FLIPS = 3  # of the 64 rises and falls of brightness that near duplicates differ in at most
ALIKE = 6.0  # levels by which small copies of near duplicates differ at most, on average
SEVERE = ("unreadable annotation", "broken box", "box outside", "unknown class", "broken mask")
SAME_BOX = 0.98  # overlap from which two boxes of a class are one


@dataclass
class _Seen:
    """What reading a picture told.

    Args:
        size: width and height.
        pixels: a hash of the values.
        shape: a hash of the brightness of neighbors: alike pictures have alike ones.
        small: a copy of 8 x 8 gray pixels.
    """

    size: tuple[int, int]
    pixels: bytes
    shape: bytes
    small: Array


def lint(
    parts: Mapping[str, Any] | Any,
    *,
    threads: int = 4,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Look for what would spoil training: files that cannot be read, boxes and masks that make no
    sense, the same picture twice or in two parts, classes that are rare or missing.

    Args:
        parts: a data set, or several by name (``{"train": ..., "val": ...}``): an `ImageFolder`,
            `VOCDetection`, `CocoDetection`, `YOLODetection`, `LabelMeDetection`, `CVATDetection`,
            `ImageTable`, `SegmentationFolder`, `VOCSegmentation`, `CityscapesSegmentation` or
            `SceneParse150`.
        threads: how many read pictures.
        progress: called with how many pictures have been read, and of how many.

    Returns:
        The report. It names the files, and changes nothing.

    Raises:
        TypeError: another kind of data set.
    """
    named = dict(parts) if isinstance(parts, Mapping) else {"data": parts}
    items = {name: items_of(dataset) for name, dataset in named.items()}
    report = Report()
    seen = _read_all(items, threads, progress, report)
    check_masks(items, {path: found.size for path, found in seen.items()}, threads, report)
    for name, part in items.items():
        counts = Counter(c for item in part for c in item.classes)
        report.parts[name] = {
            "images": len(part),
            "objects": sum(len(i.boxes) for i in part if i.boxes is not None),
            "classes": dict(sorted(counts.items())),
        }
        _check_annotations(name, part, seen, report)
    _check_shapes(seen, report)
    _check_copies(items, seen, report)
    _check_classes(report)
    report.findings.sort(key=lambda f: not f.severe)
    return report


def _read_all(
    items: Mapping[str, list[Item]],
    threads: int,
    progress: Callable[[int, int], None] | None,
    report: Report,
) -> dict[str, _Seen]:
    pictures = {item.path: item.content for part in items.values() for item in part}
    seen: dict[str, _Seen] = {}
    broken = []
    with ThreadPoolExecutor(max(threads, 1)) as pool:
        looks = pool.map(_look, pictures, pictures.values())
        for number, (path, found) in enumerate(zip(pictures, looks, strict=True), 1):
            if isinstance(found, str):
                broken.append(found)
            else:
                seen[path] = found
            if progress is not None:
                progress(number, len(pictures))
    if broken:
        report.findings.append(
            Finding("unreadable", f"{len(broken)} files are no images that can be read",
                    tuple(broken), severe=True)
        )  # fmt: skip
    return seen


def _look(path: str, content: bytes | None) -> _Seen | str:
    try:
        image = open_image(path if content is None else content)
    except FileFormatError as error:
        return error.summary if content is None else f"{path}: {error.summary}"
    pixels = np.asarray(image)
    digest = hashlib.blake2b(str(pixels.shape).encode(), digest_size=16)
    digest.update(pixels.tobytes())
    gray = np.asarray(image.convert("L").resize((9, 8)), np.int16)
    rises = np.packbits(gray[:, 1:] > gray[:, :-1]).tobytes()
    return _Seen(image.size, digest.digest(), rises, gray[:, :8])


def _check_annotations(
    name: str, part: list[Item], seen: Mapping[str, _Seen], report: Report
) -> None:
    """Annotations that cannot be read, and boxes that make no sense."""
    found: dict[str, list[str]] = defaultdict(list)
    for item in part:
        if item.problem is not None:
            found["unreadable annotation"].append(item.problem)
        for kind, text in item.wrong:
            found[kind].append(f"{item.path}: {text}")
        if item.boxes is None or item.path not in seen:
            continue
        size = seen[item.path].size
        if item.size is not None and item.size != size and item.size != size[::-1]:
            stated = f"{item.size[0]} x {item.size[1]}"
            found["other size"].append(f"{item.path}: {size[0]} x {size[1]}, annotated {stated}")
        if not len(item.boxes) and item.problem is None:
            found["no objects"].append(item.path)
        for kind, text in _box_problems(item, size):
            found[kind].append(f"{item.path}: {text}")
    messages = {
        "unreadable annotation": "{} annotations cannot be read",
        "other size": "{} images are not as large as their annotations say",
        "unknown class": "{} objects are of classes that there are not",
        "broken mask": "{} outlines do not fit their images, or are none",
        "point outside": "{} objects have points outside of their images",
        "broken box": "{} boxes have no area or no numbers",
        "box outside": "{} boxes reach out of their image",
        "tiny box": "{} boxes are less than 2 pixels wide or high",
        "box twice": "{} boxes lie on another of the same class",
        "no objects": "{} images have no objects",
    }
    for kind, message in messages.items():
        if found[kind]:
            severe = kind in SEVERE
            text = f"{message.format(len(found[kind]))} ({name})"
            report.findings.append(Finding(kind, text, tuple(found[kind]), severe))


def _box_problems(item: Item, size: tuple[int, int]) -> list[tuple[str, str]]:
    assert item.boxes is not None
    scale = np.array([*size, *size], float)
    boxes = item.boxes * scale if item.relative else item.boxes
    found = []
    with np.errstate(invalid="ignore"):
        sides = boxes[:, 2:] - boxes[:, :2]
        broken = ~np.isfinite(boxes).all(1) | (sides <= 0).any(1)
        outside = ~broken & ((boxes < -OUTSIDE) | (boxes > scale + OUTSIDE)).any(1)
        tiny = ~broken & (sides < SMALLEST_BOX).any(1)
    for kind, which in (("broken box", broken), ("box outside", outside), ("tiny box", tiny)):
        found += [(kind, f"{item.classes[i]} {boxes[i].round(1).tolist()}")
                  for i in np.flatnonzero(which)]  # fmt: skip
    whole = np.flatnonzero(~broken)
    for first, second in _same_boxes(boxes[whole]):
        i, j = whole[first], whole[second]
        if item.classes[i] == item.classes[j]:
            found.append(("box twice", f"{item.classes[i]} {boxes[i].round(1).tolist()}"))
    return found


def _same_boxes(boxes: Array) -> list[tuple[int, int]]:
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    common = np.clip(high - low, 0, None).prod(2)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    union = area[:, None] + area[None, :] - common
    pairs = np.argwhere(np.triu(common > SAME_BOX * union, 1))
    return [(int(i), int(j)) for i, j in pairs]


def _check_shapes(seen: Mapping[str, _Seen], report: Report) -> None:
    small, long = [], []
    for path, found in seen.items():
        side, other = sorted(found.size)
        text = f"{path}: {found.size[0]} x {found.size[1]}"
        if side < SMALLEST_IMAGE:
            small.append(text)
        elif other > LONGEST_SHAPE * side:
            long.append(text)
    if small:
        message = f"{len(small)} images are less than {SMALLEST_IMAGE} pixels wide or high"
        report.findings.append(Finding("small image", message, tuple(small)))
    if long:
        message = f"{len(long)} images are more than {LONGEST_SHAPE:g} times as long as wide"
        report.findings.append(Finding("long image", message, tuple(long)))


def _check_copies(
    items: Mapping[str, list[Item]], seen: Mapping[str, _Seen], report: Report
) -> None:
    """Pictures that are there twice: in one part, in two, under different classes, and nearly."""
    places: dict[bytes, list[tuple[str, Item]]] = defaultdict(list)
    for name, part in items.items():
        for item in part:
            if item.path in seen:
                places[seen[item.path].pixels].append((name, item))
    leaks, copies, torn = [], [], []
    for found in places.values():
        text = " = ".join(dict.fromkeys(item.path for _, item in found))
        if len(found) < 2:
            continue
        if len({name for name, _ in found}) > 1:
            leaks.append(text)
        else:
            copies.append(text)
        if len({tuple(sorted(item.classes)) for _, item in found}) > 1:
            torn.append(text)
    near = _near_copies(items, seen)
    for kind, texts, message, severe in (
        ("leak", leaks, "{} pictures are in more than one part", True),
        ("near leak", near, "{} pictures are nearly the same in two parts", True),
        ("two labels", torn, "{} pictures have different labels in different places", True),
        ("duplicate", copies, "{} pictures are there more than once", False),
    ):
        if texts:
            report.findings.append(Finding(kind, message.format(len(texts)), tuple(texts), severe))


def _near_copies(items: Mapping[str, list[Item]], seen: Mapping[str, _Seen]) -> list[str]:
    """Pictures of two parts that look alike and are not the same.

    Hashes of 64 rises and falls that differ in at most 3 have one of 4 quarters in common, so only
    pictures that share a quarter are compared.
    """
    alike: dict[tuple[int, bytes], list[tuple[str, str]]] = defaultdict(list)
    for name, part in items.items():
        for item in part:
            if item.path in seen:
                shape = seen[item.path].shape
                for quarter in range(4):
                    place = (quarter, shape[2 * quarter : 2 * quarter + 2])
                    alike[place].append((name, item.path))
    found: dict[str, None] = {}
    for group in alike.values():
        if len(group) > 200:  # plain surfaces, which all look alike
            continue
        for i, (name, path) in enumerate(group):
            for other, beside in group[i + 1 :]:
                if name != other and _look_alike(seen[path], seen[beside]):
                    found[f"{path} ~ {beside}"] = None
    return [*found]


def _look_alike(a: _Seen, b: _Seen) -> bool:
    if a.pixels == b.pixels or not a.small.std():
        return False
    flips = int.from_bytes(a.shape, "big") ^ int.from_bytes(b.shape, "big")
    return flips.bit_count() <= FLIPS and bool(np.abs(a.small - b.small).mean() <= ALIKE)


def _check_classes(report: Report) -> None:
    """Classes that are rare in training, or missing in a part."""
    everywhere = {c for facts in report.parts.values() for c in facts["classes"]}
    for name, facts in report.parts.items():
        counts = facts["classes"]
        missing = sorted(everywhere - {*counts})
        if missing:
            text = f"{name} has none of: {', '.join(missing[:10])}"
            report.findings.append(Finding("missing class", text, severe=name == "train"))
        if len(counts) > 1 and max(counts.values()) > RARE * min(counts.values()):
            most, least = max(counts, key=counts.get), min(counts, key=counts.get)
            text = f"{name} has {counts[most]:,} of {most} and {counts[least]:,} of {least}"
            report.findings.append(Finding("imbalance", text))
