"""``fovea info``: versions, the machine, and what is missing; or what a file holds."""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import sys
from importlib import metadata
from typing import Any

from fovea.cli.console import Console, add_output_options
from fovea.cli.weights_file import facts_of, lines_of

__all__ = ["EXTRAS", "add_parser", "facts", "version_of"]

_LIBRARIES = ("numpy", "llvmlite", "ml_dtypes")
# What an extra library is for, and the command that installs it.
EXTRAS = {
    "pillow": ("image files", 'pip install "fovea[vision]"'),
    "matplotlib": ("curves and confusion matrices", 'pip install "fovea[vision]"'),
    "h5py": ("Keras weights in .h5 files", "pip install h5py"),
}


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "info",
        help="versions, the machine, what is missing; or what a file of weights holds",
        description="Show versions, what fovea found of this machine, and which extras are there; "
        "with FILE, what is in a file of weights.",
    )
    parser.add_argument("file", nargs="?", metavar="FILE", help=".pth, .safetensors, .h5, .keras")
    add_output_options(parser)
    parser.set_defaults(run=run, parser=parser)


def run(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    console = Console(args.json, args.quiet)
    if args.file:
        held = facts_of(args.file)
        for line in lines_of(held):
            console.show(line)
        console.document({"command": "info", **held})
        return 0
    found = facts()
    width = 22
    for name, value in found["versions"].items():
        console.show(f"{name:<{width}}{value}")
    console.show("")
    size = found["machine"]["kernel_cache_bytes"]
    for name, value in {**found["machine"], "kernel_cache_bytes": f"{size:,}"}.items():
        console.show(f"{name.replace('_', ' '):<{width}}{value}")
    console.show("")
    for name, extra in found["extras"].items():
        state = extra["version"] or f"missing; {extra['install']}"
        console.show(f"{name:<{width}}{state}  (for {extra['purpose']})")
    console.document({"command": "info", **found})
    return 0


def facts() -> dict[str, Any]:
    """Versions, the machine, and the extras that are there."""
    from fovea.targets.cpu import cache

    folder = str(cache.directory())
    return {
        "versions": versions(),
        "machine": {
            **machine(),
            "kernel_cache": folder,
            "kernel_cache_bytes": _size(folder),
            "package": os.path.dirname(sys.modules["fovea"].__file__ or ""),
        },
        "extras": {
            name: {"version": version_of(name), "purpose": purpose, "install": command}
            for name, (purpose, command) in EXTRAS.items()
        },
    }


def versions() -> dict[str, str]:
    """Versions of fovea, of Python and of the libraries underneath."""
    from fovea.version import __version__

    own = {"fovea": __version__, "python": platform.python_version()}
    return own | {name: version_of(name) or "missing" for name in _LIBRARIES}


def machine() -> dict[str, Any]:
    """What the speed of a run depends on."""
    from fovea import get_num_threads
    from fovea.targets.cpu import isa

    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "vector_unit": isa.active().name,
        "processors": os.cpu_count(),
        "threads": get_num_threads(),
    }


def version_of(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    """The processor's name, as the system tells it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"


def _size(folder: str) -> int:
    """Bytes in the files of a folder and of the folders in it; 0 if it is not there."""
    total = 0
    for place, _, files in os.walk(folder):
        for name in files:
            with contextlib.suppress(OSError):  # another process may replace or remove it
                total += os.stat(os.path.join(place, name)).st_size
    return total
