"""Values from Matlab's files, which several data sets come with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fovea.errors import FileFormatError, MissingExtraError

__all__ = ["read_matlab"]


def read_matlab(owner: str, path: Path, *names: str, squeeze: bool = False) -> list[Any]:
    """Arrays from a ``.mat`` file.

    Args:
        owner: the data set, for messages.
        path: the file.
        names: of the arrays.
        squeeze: leave out axes of one element, as SciPy's ``squeeze_me`` does.

    Raises:
        FileFormatError: it is damaged, or an array is not in it.
        MissingExtraError: SciPy is not installed.
    """
    try:
        from scipy.io import loadmat
    except ImportError:
        raise MissingExtraError(
            f"{owner}: reading its files needs SciPy, which is not installed.",
            fix="pip install scipy",
        ) from None
    try:
        content = loadmat(path, squeeze_me=squeeze, variable_names=list(names))
        return [content[name] for name in names]
    except Exception as error:  # SciPy raises what the damage happens to hit
        raise FileFormatError(f"{path} cannot be read: {error}") from error
