"""What a contestant cannot do: tables leave it out, and say why below."""

from __future__ import annotations

__all__ = ["Unsupported"]


class Unsupported(Exception):  # noqa: N818 - not a failure
    """The case is not one for this contestant."""
