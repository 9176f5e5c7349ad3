"""What the commands share: where messages go, the one JSON document, checked arguments."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from typing import Any, TextIO

__all__ = ["Console", "UsageError", "add_output_options", "at_least", "positive_number"]


class UsageError(Exception):
    """Arguments that do not go together; the command's usage is printed and the exit code is 2."""


class Console:
    """Messages for people, and the document for programs.

    Args:
        as_json: print one JSON document on standard out; messages go to standard error.
        quiet: leave messages out, but not results.
    """

    def __init__(self, as_json: bool = False, quiet: bool = False) -> None:
        self.as_json, self.quiet = as_json, quiet

    @property
    def stream(self) -> TextIO:
        """Where messages go."""
        return sys.stderr if self.as_json else sys.stdout

    def say(self, text: str = "") -> None:
        """A message on the way; not with ``--quiet``."""
        if not self.quiet:
            self.show(text)

    def show(self, text: str) -> None:
        """A part of the result, for people."""
        encoding = self.stream.encoding or "utf-8"
        print(text.encode(encoding, "replace").decode(encoding), file=self.stream, flush=True)

    def warn(self, text: str) -> None:
        """A problem that does not end the command."""
        print(f"fovea: {text}", file=sys.stderr, flush=True)

    def document(self, content: dict[str, Any]) -> None:
        """The result for programs, with ``--json``."""
        if self.as_json:
            print(json.dumps(content, indent=2))


def add_output_options(parser: argparse.ArgumentParser) -> None:
    """``--json`` and ``--quiet``."""
    parser.add_argument(
        "--json", action="store_true", help="print one JSON document; messages go to stderr"
    )
    parser.add_argument("--quiet", action="store_true", help="print only the result")


def at_least(minimum: int) -> Callable[[str], int]:
    """A checker of whole numbers for argparse."""

    def check(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
        if value < minimum:
            raise argparse.ArgumentTypeError(f"must be at least {minimum}, got {value}")
        return value

    return check


def positive_number(text: str) -> float:
    """A checker of numbers above zero for argparse."""
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number above 0, got {text}")
    return value
