"""Samples in tar files, read one after the other: WebDataset's shards.

Files whose names are alike up to the first dot of the last part belong together: ``a/7.jpg`` and
``a/7.cls`` are the sample ``a/7`` with the entries ``jpg`` and ``cls``.
"""

from __future__ import annotations

import glob
import itertools
import json
import os
import re
import tarfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from fovea.errors import ArgumentError, FileFormatError
from fovea.utils.data import IterableDataset, get_worker_info
from fovea.vision.datasets.vision import DatasetNotFoundError
from fovea.vision.io import open_image
from fovea.vision.transforms import draws

__all__ = ["WebDataset", "expand_braces"]

Sample = dict[str, Any]
LARGEST = 1 << 30  # bytes of an entry
_IMAGES = ("jpg", "jpeg", "png", "ppm", "pgm", "bmp", "webp", "tif", "tiff")
_TEXTS = ("txt", "text", "transcript")
_NUMBERS = ("cls", "cls2", "class", "count", "index", "inx", "id")


def expand_braces(text: str) -> list[str]:
    """Names with ranges of numbers in braces, and files by patterns.

    >>> expand_braces("train-{008..010}.tar")
    ['train-008.tar', 'train-009.tar', 'train-010.tar']
    """
    found = re.search(r"\{(\d+)\.\.(\d+)\}", text)
    if found is None:
        return sorted(glob.glob(text)) if any(c in text for c in "*?[") else [text]
    first, last = found.groups()
    names = (str(i).zfill(len(first)) for i in range(int(first), int(last) + 1))
    made = (text[: found.start()] + name + text[found.end() :] for name in names)
    return [path for name in made for path in expand_braces(name)]


class WebDataset(IterableDataset[Any]):
    """Samples of tar files, each a dictionary: ``__key__``, ``__url__`` and its entries by their
    endings, decoded.

    A loader's workers share the files between them. Pictures are decoded to RGB PIL images, ``cls``
    and the like to numbers, ``json`` and ``txt`` to what they hold; what else there is stays bytes.

    Args:
        shards: paths, one or several, with ranges in braces (``train-{000..099}.tar``) or patterns
            (``*.tar``).
        keys: entries to give as a tuple instead, such as ``("jpg;png", "cls")`` (of several endings
            the first that is there).
        shuffle: how many samples are held to draw the next one from; 0: as they come. With it, the
            shards come in random order, too.
        transform: a function of the sample, after decoding.
        skip_bad: leave out, with one warning, samples and shards that cannot be read, and count
            them in ``skipped`` (of this process).

    Raises:
        DatasetNotFoundError: no such file.
        FileFormatError: a damaged shard or entry, or a sample without a key; names both.
    """

    def __init__(
        self,
        shards: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        keys: Sequence[str] | None = None,
        *,
        shuffle: int = 0,
        transform: Callable[[Any], Any] | None = None,
        skip_bad: bool = False,
    ) -> None:
        listed = [shards] if isinstance(shards, str | os.PathLike) else list(shards)
        self.shards = [path for name in listed for path in expand_braces(os.fspath(name))]
        missing = [path for path in self.shards if not os.path.isfile(path)]
        if missing or not self.shards:
            raise DatasetNotFoundError(
                f"WebDataset: there is no file {missing[0] if missing else listed}."
            )
        if shuffle < 0:
            raise ArgumentError(f"WebDataset: shuffle must not be negative, got {shuffle}.")
        self.keys, self.shuffle = keys, shuffle
        self.transform, self.skip_bad = transform, skip_bad
        self.skipped = 0

    def __iter__(self) -> Iterator[Any]:
        samples = self._decoded(self._own_shards())
        return _shuffled(samples, self.shuffle) if self.shuffle else samples

    def _own_shards(self) -> list[str]:
        worker = get_worker_info()
        own = self.shards if worker is None else self.shards[worker.id :: worker.num_workers]
        return [own[i] for i in draws.permutation(len(own))] if self.shuffle else own

    def _decoded(self, shards: Iterable[str]) -> Iterator[Any]:
        for path in shards:
            entries = _entries(path)
            while True:
                try:
                    raw = next(entries, None)
                    if raw is None:
                        break
                    yield self._made(raw)
                except FileFormatError as error:
                    if not self.skip_bad:
                        raise
                    if not self.skipped:
                        warnings.warn(f"WebDataset: left out: {error}", stacklevel=2)
                    self.skipped += 1

    def _made(self, raw: Sample) -> Any:
        sample = {name: _decode(name, value, raw) for name, value in raw.items()}
        if self.keys is not None:
            sample = tuple(_entry(sample, key) for key in self.keys)  # type: ignore[assignment]
        return sample if self.transform is None else self.transform(sample)


def _entries(path: str) -> Iterator[Sample]:
    """The samples of a shard, as bytes."""
    sample: Sample = {}
    end = 0
    try:
        with tarfile.open(path, "r|*") as archive:
            for member in archive:
                end = member.offset_data + -(-member.size // 512) * 512
                if not member.isreg():
                    continue
                folder, _, name = member.name.rpartition("/")
                stem, dot, ending = name.partition(".")
                if not stem or not dot:
                    continue
                if member.size > LARGEST:
                    raise FileFormatError(f"{path}: {member.name} claims {member.size:,} bytes.")
                key = f"{folder}/{stem}" if folder else stem
                if sample and sample["__key__"] != key:
                    yield sample
                    sample = {}
                sample.setdefault("__key__", key)
                sample.setdefault("__url__", path)
                file = archive.extractfile(member)
                sample[ending.lower()] = b"" if file is None else file.read()
        _check_end(path, end)
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        if isinstance(error, FileFormatError):
            raise
        raise FileFormatError(f"{path} is damaged or no tar file: {error}") from error
    if sample:
        yield sample


def _check_end(path: str, end: int) -> None:
    """Python takes a file that was cut between two entries for whole."""
    if path.endswith(".tar"):
        with open(path, "rb") as file:
            file.seek(end)
            rest = file.read(512)
        if rest and (len(rest) < 512 or any(rest)):
            raise FileFormatError(f"{path} is cut short.")


def _decode(name: str, value: Any, sample: Sample) -> Any:
    """An entry by its ending."""
    if name.startswith("__"):
        return value
    kind = name.rpartition(".")[2]
    try:
        if kind in _IMAGES:
            return open_image(value)
        if kind in _NUMBERS:
            return int(value)
        if kind in _TEXTS:
            return value.decode("utf-8")
        return json.loads(value) if kind == "json" else value
    except (FileFormatError, ValueError, RecursionError) as error:
        raise FileFormatError(
            f"{sample['__url__']}: {name} of {sample['__key__']} cannot be read: {error}"
        ) from error


def _entry(sample: Sample, key: str) -> Any:
    for name in key.split(";"):
        if name in sample:
            return sample[name]
    there = ", ".join(k for k in sample if not k.startswith("__"))
    raise FileFormatError(f"{sample['__url__']}: {sample['__key__']} has no {key}, but {there}.")


def _shuffled(samples: Iterator[Any], count: int) -> Iterator[Any]:
    """Samples drawn from so many that are held."""
    held = list(itertools.islice(samples, count))
    for sample in samples:
        place = draws.integer(0, len(held))
        held[place], drawn = sample, held[place]
        yield drawn
    for i in draws.permutation(len(held)):
        yield held[i]
