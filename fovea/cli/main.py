"""The parser, and what becomes of errors: exit codes and messages."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Sequence

from fovea.cli import compare, data, doctor, evaluate, info, models, predict, report, train
from fovea.cli.config import apply_config
from fovea.cli.console import UsageError
from fovea.errors import FoveaError
from fovea.version import __version__

__all__ = ["main"]

_DESCRIPTION = "Train networks that see, measure them, and use them."
_EPILOG = """\
examples:
  fovea train                                     train on the digits that come with fovea
  fovea train photos/                             train on a folder with a folder a class
  fovea train voc/                                train a detector on photographs with boxes
  fovea train --dataset mnist --root data --download
  fovea train --config runs/digits/config.yaml    do it again
  fovea train --resume runs/digits                go on after it was stopped
  fovea predict runs/digits/model.pt digit.png
  fovea evaluate runs/digits/model.pt
  fovea data lint photos/                         what is wrong with a data set

Exit codes: 0 done, 1 something is wrong with the input, 2 wrong usage, 130 interrupted.
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fovea",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"fovea {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", title="commands")
    for command in (train, evaluate, predict, report, compare, data, models, info, doctor):
        command.add_parser(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: the words after ``fovea`` (default: those of this process).

    Returns:
        The exit code: 0 done, 1 something is wrong with the input, 130 interrupted.

    Raises:
        SystemExit: with code 2, wrong usage; with code 0, after ``--help`` or ``--version``.
    """
    parser = _parser()
    args = parser.parse_args(argv)
    try:
        if getattr(args, "config", None) is not None:
            apply_config(args.parser, args.config)
            args = parser.parse_args(argv)
        elif getattr(args, "resume", None) is not None:
            apply_config(args.parser, os.path.join(args.resume, "config.yaml"))
            args = parser.parse_args(argv)
    except FoveaError as error:
        _report(error, args.json)
        return 1
    if not hasattr(args, "run"):
        parser.print_help()
        return 0
    try:
        code: int = args.run(args)
        sys.stdout.flush()
        return code
    except UsageError as error:
        args.parser.print_usage(sys.stderr)
        print(f"{args.parser.prog}: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as interrupt:
        print(f"\nfovea: {str(interrupt) or 'interrupted'}", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader, such as `head`, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (FoveaError, OSError) as error:
        _report(error, getattr(args, "json", False))
        return 1


def _report(error: Exception, as_json: bool) -> None:
    """The message on standard error; with ``--json`` also as the one document on standard out."""
    summary, rows = _described(error)
    lines = [f"fovea: {summary}", *(f"  {name}: {text}" for name, text in rows.items())]
    print("\n".join(lines), file=sys.stderr)
    if as_json:
        print(json.dumps({"error": {"message": summary, **rows}}, indent=2))


def _without_traceback(summary: str) -> str:
    """The sentence of an error that a loader's worker passed on with its whole traceback."""
    if "\nOriginal Traceback" not in summary:
        return summary
    sentences = re.findall(r"^[\w.]+: (.*)$", summary, re.MULTILINE)
    return sentences[-1] if sentences else summary


def _described(error: Exception) -> tuple[str, dict[str, str]]:
    """An error's sentence, and the rows under it (where in fovea it arose is of no use here)."""
    if isinstance(error, FoveaError):
        return _without_traceback(error.summary), error.details | (
            {"fix": error.fix} if error.fix else {}
        )
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror, {}
    return str(error), {}
