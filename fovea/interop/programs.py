"""Programs in files: a captured graph with the tensors that it needs, to run without the Python
that it was captured from.

A file is a zip archive: ``program/graph.json`` says what is computed (`fovea.graph.serialize`), and
``program/data/<n>`` holds the elements of a state or a constant, little-endian, as they lie in
memory. Everything is stored uncompressed, and each entry begins at a multiple of 64 bytes.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable, Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any

from fovea import targets
from fovea.errors import ArgumentError, FileFormatError, ShapeError, describe
from fovea.functions.creation import from_array
from fovea.graph.graph import Graph
from fovea.graph.interpret import interpret
from fovea.graph.passes import optimize
from fovea.graph.printer import format_type, value_names
from fovea.graph.serialize import graph_from_plain, graph_to_plain, stored_tensors
from fovea.graph.tensors import memory_of
from fovea.interop.atomic import atomic_write
from fovea.interop.stored_zip import StoredArchive, write_entry
from fovea.tensorbase import is_tensor
from fovea.version import __version__

if TYPE_CHECKING:
    from fovea.storage import Storage
    from fovea.tensor import Tensor

__all__ = ["Program", "load_program", "save_program"]

_FORMAT, _VERSION = "fovea program", 1
Path = str | os.PathLike[str]


class Program:
    """A program from a file. Calling it runs it; it is compiled at the first call.

    Args:
        graph: what it computes; its states hold tensors.
        metadata: what was saved beside it.

    Attributes:
        states: the tensors that live from call to call, by name: parameters, running statistics.
    """

    def __init__(self, graph: Graph, metadata: dict[str, Any]) -> None:
        self.graph, self.metadata = graph, metadata
        names = value_names(graph)
        self.states: dict[str, Tensor] = {names[s.value]: s.tensor for s in graph.states}
        self._run: Callable[[Sequence[Tensor]], Sequence[Tensor]] | None = None

    def __call__(self, *inputs: Any) -> Any:
        """Run it.

        Args:
            inputs: a tensor or a NumPy array for each of the graph's inputs.

        Returns:
            The output, or a tuple of them if there are several.

        Raises:
            ArgumentError: another number of inputs.
            ShapeError: an input of another shape or dtype.
        """
        tensors = self._checked(inputs)
        if self._run is None:
            self._run = self._compiled() if targets.active().name == "cpu" else self._interpret
        outputs = tuple(self._run(tensors))
        return outputs[0] if len(outputs) == 1 else outputs

    def _compiled(self) -> Callable[[Sequence[Tensor]], Sequence[Tensor]]:
        from fovea.targets.cpu.executable import Executable

        return Executable(optimize(self.graph, inference=not self.graph.updates)).run

    def _interpret(self, inputs: Sequence[Tensor]) -> Sequence[Tensor]:
        outputs, states = interpret(self.graph, inputs)
        updated = {old for old, _ in self.graph.updates}
        for state, new in zip(self.graph.states, states, strict=True):
            if state.value in updated:
                state.tensor._array()[...] = new._array()
                state.tensor.storage.version += 1
        return outputs

    def _checked(self, inputs: tuple[Any, ...]) -> list[Tensor]:
        wanted = self.graph.inputs
        if len(inputs) != len(wanted):
            raise ArgumentError(f"{self!r} takes {len(wanted)} inputs, got {len(inputs)}.")
        tensors = [t if is_tensor(t) else from_array(t) for t in inputs]
        for i, (value, t) in enumerate(zip(wanted, tensors, strict=True)):
            if tuple(t.shape) != tuple(value.shape) or t.dtype is not value.dtype:
                raise ShapeError(
                    f"input {i} of the program does not fit.",
                    {"expected": f"{value.name} {format_type(value)}".strip(), "got": describe(t)},
                )
        return tensors

    def __repr__(self) -> str:
        inputs = ", ".join(format_type(v) for v in self.graph.inputs)
        outputs = ", ".join(format_type(v) for v in self.graph.outputs)
        return f"<program ({inputs}) -> ({outputs})>"


def save_program(program: Any, path: Path, *, metadata: Mapping[str, Any] | None = None) -> None:
    """Write what a compiled function or module does, with the present values of its parameters
    and other states, to a file that runs without the Python that wrote it.

    Args:
        program: what `fovea.compile` returned, once it has been called (the program that ran last
            is written); or a graph.
        path: the file; it appears when it is complete.
        metadata: anything that JSON can hold, such as the names of classes, to keep beside it.

    Raises:
        ArgumentError: nothing was captured yet, or something that such a file cannot hold.

    >>> import tempfile, fovea
    >>> model = fovea.compile(fovea.nn.Linear(3, 2).eval())
    >>> x = fovea.ones(1, 3)
    >>> y = model(x)
    >>> path = tempfile.mkdtemp() + "/linear.fovea"
    >>> save_program(model, path)
    >>> fovea.equal(load_program(path)(x), y)
    True
    """
    graph = _graph_of(program)
    content = {
        "format": _FORMAT,
        "version": _VERSION,
        "fovea": __version__,
        "metadata": dict(metadata or {}),
    }
    try:
        content["graph"] = graph_to_plain(graph)
        text = json.dumps(content, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"save_program: {error}.") from error
    with atomic_write(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        write_entry(archive, file, "program/graph.json", memoryview(text))
        for i, tensor in enumerate(stored_tensors(graph)):
            data = memory_of(tensor).view("uint8").data
            write_entry(archive, file, f"program/data/{i}", data)


def _graph_of(program: Any) -> Graph:
    if isinstance(program, Graph):
        return program
    captured = getattr(program, "programs", None)
    if captured is None:
        raise ArgumentError(
            f"save_program: {type(program).__name__} is not compiled.",
            fix="use fovea.compile first",
        )
    if not captured:
        raise ArgumentError(
            "save_program: nothing was captured yet.", fix="call it with an example first"
        )
    graph: Graph = captured[0].exported()
    return graph


def load_program(path: Path) -> Program:
    """Read a program.

    The file may come from anybody: no code in it runs, and no more memory is taken than a small
    multiple of its size.

    Raises:
        FileFormatError: the file is missing, damaged, cut short, or no program.
    """
    name = os.fspath(path)
    try:
        with open(path, "rb") as file:
            return _read(file)
    except FileNotFoundError as error:
        raise FileFormatError(f"there is no file {name}.") from error
    except IsADirectoryError as error:
        raise FileFormatError(f"{name} is a folder, not a program.") from error
    except _ReadError as error:
        raise FileFormatError(f"{name} cannot be read as a program: {error}.") from error


class _ReadError(Exception):
    """What is wrong with a file; the message says it of "it"."""


def _read(file: IO[bytes]) -> Program:
    archive = StoredArchive(file, _ReadError)
    try:
        content = json.loads(archive.read("graph.json"))
    except (ValueError, RecursionError) as error:
        raise _ReadError(f"its graph.json is damaged ({error})") from error
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise _ReadError("its graph.json describes no program")
    if content.get("version") != _VERSION:
        raise _ReadError(f"it has version {content.get('version')}, this is fovea {__version__}")
    metadata = content.get("metadata")
    if not isinstance(metadata, dict):
        raise _ReadError("its metadata are missing")

    def memory(i: int, nbytes: int) -> Storage:
        return archive.read_storage(f"data/{i}", nbytes)

    try:
        graph = graph_from_plain(content.get("graph"), memory)
    except (FileFormatError, RecursionError) as error:
        raise _ReadError(
            getattr(error, "summary", "it is nested too deeply").rstrip(".")
        ) from error
    return Program(graph, metadata)
