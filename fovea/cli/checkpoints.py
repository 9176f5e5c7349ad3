"""What ``fovea train`` has written, whatever it was trained for."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from fovea.cli.learned import is_learned, learned_of
from fovea.interop import load

if TYPE_CHECKING:
    from fovea.cli.classifier import Classifier
    from fovea.cli.learned import Learned

__all__ = ["read_checkpoint"]


def read_checkpoint(path: str | os.PathLike[str]) -> Classifier | Learned:
    """A classifier, or a detector or segmenter, ready to use.

    Raises:
        FileFormatError: the file is missing, damaged, or not what ``fovea train`` writes.
    """
    where, content = os.fspath(path), load(path)
    if is_learned(content):
        return learned_of(content, where)
    from fovea.cli.classifier import classifier_of

    return classifier_of(content, where)
