"""XML files as annotation programs write them, read safely."""

from __future__ import annotations

import os
from xml.etree import ElementTree

from fovea.errors import FileFormatError, MissingFileError

__all__ = ["read_xml"]

_LARGEST = 1 << 24  # bytes of an annotation


def read_xml(path: str | os.PathLike[str], largest: int = _LARGEST) -> ElementTree.Element:
    """The file's first element.

    Args:
        largest: the most bytes that it may have.

    Raises:
        MissingFileError: it is not there.
        FileFormatError: damaged, too large, or with declarations of its own (which can make a small
            file fill the memory).
    """
    try:
        with open(path, "rb") as file:
            text = file.read(largest + 1)
    except FileNotFoundError as error:
        raise MissingFileError(f"there is no file {path}.") from error
    except OSError as error:
        raise FileFormatError(f"{path} cannot be read: {error}") from error
    plain = text.replace(b"\0", b"")  # also of texts whose letters are two bytes
    if len(text) > largest or b"<!DOCTYPE" in plain or b"<!ENTITY" in plain:
        raise FileFormatError(f"{path} is no plain annotation: too large, or with a DOCTYPE.")
    try:
        return ElementTree.fromstring(text)
    except (ElementTree.ParseError, UnicodeError, ValueError, LookupError) as error:
        raise FileFormatError(f"{path} is no XML that can be read: {error}") from error
