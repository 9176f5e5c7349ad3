"""``--config FILE``: a command's options in a YAML file, and the file that repeats a run."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from fovea.errors import FileFormatError, MissingExtraError
from fovea.interop.atomic import atomic_write

__all__ = ["add_config_option", "apply_config", "write_config"]

_LARGEST = 1 << 20  # bytes
_NOT_IN_FILES = ("help", "config", "resume", "json", "quiet")


def add_config_option(parser: argparse.ArgumentParser) -> None:
    """``--config``."""
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="a YAML file with these options, such as runs/NAME/config.yaml; what is given here"
        " goes first",
    )


def apply_config(parser: argparse.ArgumentParser, path: str) -> None:
    """Make a file's values the defaults of a command's options.

    Args:
        parser: the command's.
        path: a mapping of options without their dashes; ``data:``, ``training:`` and ``output:``
            may hold those of their group.

    Raises:
        FileFormatError: the file is missing or no such mapping, an unknown option, a wrong value.
        MissingExtraError: PyYAML is not installed.
    """
    actions = {
        a.option_strings[-1].lstrip("-") if a.option_strings else a.dest: a
        for a in parser._actions
        if a.dest not in _NOT_IN_FILES
    }
    groups = {g.title for g in parser._action_groups if g.title}
    values: dict[str, Any] = {}
    for name, value, line in _entries(path, groups):
        action = actions.get(name.replace("_", "-"))
        if action is None:
            near = get_close_matches(name.replace("_", "-"), list(actions), 1)
            raise FileFormatError(
                f"{path}, line {line}: there is no option {name!r}.",
                fix=f"perhaps {near[0]}" if near else f"one of {', '.join(sorted(actions))}",
            )
        try:
            values[action.dest] = _checked(action, value)
        except (argparse.ArgumentTypeError, TypeError, ValueError) as error:
            raise FileFormatError(f"{path}, line {line}: {name}: {error}.") from None
    parser.set_defaults(**values)


def _entries(path: str, groups: set[str]) -> Iterator[tuple[str, Any, int]]:
    """Names, values and lines; those of groups, too."""
    for name, value, line in _mapping(path):
        if isinstance(value, list) and name in groups:
            yield from value
        elif isinstance(value, list):
            raise FileFormatError(f"{path}, line {line}: {name} is one value.")
        else:
            yield name, value, line


def _mapping(path: str) -> list[tuple[str, Any, int]]:
    """What a file says: (name, value or list of the same, line) of each entry."""
    try:
        import yaml
    except ImportError:
        raise MissingExtraError(
            "--config needs PyYAML, which is not installed.", fix='pip install "fovea[vision]"'
        ) from None
    try:
        with open(path, "rb") as file:
            text = file.read(_LARGEST + 1)
    except OSError as error:
        raise FileFormatError(f"{path} cannot be read: {error.strerror}.") from None
    if len(text) > _LARGEST:
        raise FileFormatError(f"{path} has more than {_LARGEST:,} bytes: no file of options.")
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        return [] if root is None else _read(path, yaml, loader, root, 0)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark is not None else ""
        said = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise FileFormatError(f"{path}{where}: no YAML: {said}.") from None


def _read(path: str, yaml: Any, loader: Any, node: Any, depth: int) -> list[tuple[str, Any, int]]:
    if not isinstance(node, yaml.MappingNode) or depth > 1:
        raise FileFormatError(
            f"{path}, line {node.start_mark.line + 1}: options are lines such as epochs: 20."
        )
    entries: list[tuple[str, Any, int]] = []
    for key, value in node.value:
        line = key.start_mark.line + 1
        name = str(loader.construct_object(key))
        if any(name == known for known, _, _ in entries):
            raise FileFormatError(f"{path}, line {line}: {name} stands there twice.")
        if isinstance(value, yaml.ScalarNode):
            entries.append((name, loader.construct_object(value), line))
        else:
            entries.append((name, _read(path, yaml, loader, value, depth + 1), line))
    return entries


def _checked(action: argparse.Action, value: Any) -> Any:
    """A value as the command line would have it."""
    if value is None:
        return None
    if action.nargs == 0:  # a switch
        if not isinstance(value, bool):
            raise TypeError(f"true or false is wanted, got {value!r}")
        return value
    if isinstance(value, bool):
        raise TypeError(f"a value is wanted, got {str(value).lower()}")
    made = action.type(str(value)) if callable(action.type) else str(value)
    if action.choices is not None and made not in action.choices:
        raise ValueError(f"one of {', '.join(map(str, action.choices))} is wanted, got {made!r}")
    return made


def write_config(folder: Path, options: Mapping[str, Any]) -> Path:
    """Write the options of a run as ``config.yaml``, those that are None left out."""
    lines = ["# fovea train --config config.yaml does this again\n"]
    for name, value in options.items():
        if value is not None:
            plain = os.fspath(value) if isinstance(value, os.PathLike) else value
            lines.append(f"{name}: {json.dumps(plain, ensure_ascii=False)}\n")
    path = folder / "config.yaml"
    with atomic_write(path) as file:
        file.write("".join(lines).encode())
    return path
