"""Data sets without the samples that cannot be read."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from fovea.errors import FoveaError
from fovea.utils.data import Subset

__all__ = ["readable"]


def readable(
    dataset: Any,
    *,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Subset[Any], list[str]]:
    """Read every sample once, whole, and leave out those that raise an error.

    Args:
        dataset: with ``len`` and samples by number.
        threads: that read; None: as many as there are processors.
        progress: called with how many have been read, and how many there are.

    Returns:
        The good samples in their order, and a sentence for each of the others.

    Raises:
        Exception: what is wrong with the data set itself, such as a bug in its code: only errors
            of fovea, of files and of decoders (``ValueError``, ``SyntaxError``) count as a bad
            sample.

    >>> import pathlib, tempfile
    >>> from PIL import Image
    >>> from fovea.vision.datasets import ImageFolder
    >>> folder = tempfile.TemporaryDirectory()
    >>> cats = pathlib.Path(folder.name, "cat")
    >>> cats.mkdir()
    >>> Image.new("RGB", (4, 4)).save(cats / "good.png")
    >>> _ = (cats / "torn.png").write_bytes((cats / "good.png").read_bytes()[:40])
    >>> good, bad = readable(ImageFolder(folder.name))
    >>> len(good), len(bad), "torn.png" in bad[0]
    (1, 1, True)
    >>> folder.cleanup()
    """

    def problem(index: int) -> str | None:
        try:
            dataset[index]
        except FoveaError as error:
            return error.summary
        except (OSError, ValueError, SyntaxError) as error:  # decoders raise these
            return f"sample {index}: {error}"
        return None

    count = len(dataset)
    kept: list[int] = []
    bad: list[str] = []
    with ThreadPoolExecutor(threads or os.cpu_count() or 1) as pool:
        for index, said in enumerate(pool.map(problem, range(count))):
            if said is None:
                kept.append(index)
            else:
                bad.append(said)
            if progress is not None:
                progress(index + 1, count)
    return Subset(dataset, kept), bad
