"""Compiled kernels on disk, so that a process seldom compiles anything.

One file a kernel: a magic line, a checksum, the symbol and the names of the kernel and its buffers,
the object file. It is found by the kernel's key, or else (the generator's source has changed) by
the assembly that was built anew: the same assembly is compiled once. Files appear whole (written
aside, then renamed), a damaged one counts as absent and is replaced, and a directory that cannot be
written is done without.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import tempfile
from functools import cache
from pathlib import Path

from fovea.targets.cpu.isa import Isa

_MAGIC = b"fovea kernel 1\n"
_CHECKSUM = 32
_PACKAGE = Path(__file__).parent


def directory() -> Path:
    """Where kernels are kept: `FOVEA_CACHE_DIR`, or fovea/kernels in the user's cache directory."""
    chosen = os.environ.get("FOVEA_CACHE_DIR")
    if chosen:
        return Path(chosen)
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or os.path.expanduser("~/AppData/Local")
    elif sys.platform == "darwin":
        base = os.path.expanduser("~/Library/Caches")
    else:
        base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(base) / "fovea" / "kernels"


@cache
def generator() -> str:
    """A digest of what turns a key into machine code: this package's source, llvmlite, Python and
    the platform.
    """
    import llvmlite

    h = hashlib.sha256()
    for source in sorted(_PACKAGE.glob("*.py")):
        h.update(source.name.encode())
        h.update(source.read_bytes())
    h.update(f"{llvmlite.__version__} {sys.platform} {sys.maxsize}".encode())
    return h.hexdigest()


def digest(key: str, isa: Isa, checked: bool) -> str:
    """The name under which a kernel is stored."""
    text = "\n".join((generator(), isa.name, isa.features, str(checked), key))
    return hashlib.sha256(text.encode()).hexdigest()


def code_digest(assembly: str, isa: Isa) -> str:
    """The name under which machine code is stored by what it was made from: source that changed
    may still generate the same kernel.
    """
    import llvmlite

    made_with = f"{llvmlite.__version__} {sys.platform} {passes_and_options()}"
    text = "\n".join((made_with, isa.name, isa.features, assembly))
    return hashlib.sha256(text.encode()).hexdigest()


@cache
def passes_and_options() -> str:
    """A digest of the source that hands assembly to LLVM."""
    return hashlib.sha256((_PACKAGE / "compile.py").read_bytes()).hexdigest()


def _path(name: str) -> str:
    return os.path.join(directory(), name[:2], name[2:] + ".o")


def read(name: str) -> tuple[bytes, tuple[str, ...]] | None:
    """The object file and names stored under `name`; None where there is no sound entry."""
    try:
        with open(_path(name), "rb") as file:
            data = file.read()
    except OSError:
        return None
    start = len(_MAGIC) + _CHECKSUM
    body = data[start:]
    if not data.startswith(_MAGIC) or hashlib.sha256(body).digest() != data[len(_MAGIC) : start]:
        return None
    names, _, image = body.partition(b"\n")
    return image, tuple(names.decode().split(" "))


def write(name: str, image: bytes, names: tuple[str, ...]) -> None:
    """Store an object file; where that is impossible, do nothing."""
    body = " ".join(names).encode() + b"\n" + image
    data = _MAGIC + hashlib.sha256(body).digest() + body
    path = _path(name)
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        handle, aside = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".new-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            os.replace(aside, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(aside)
            raise
    except OSError:
        return
