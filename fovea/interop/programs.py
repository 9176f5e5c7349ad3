"""Programs in files: a captured graph with the tensors that it needs, to run without the Python
that it was captured from.

A file is a zip archive: ``program/graph.json`` says what is computed (`fovea.graph.serialize`), and
``program/data/<n>`` holds the elements of a state or a constant, little-endian, as they lie in
memory. Where the batch size may vary, ``graph.json`` has the graphs of two sizes or more, which
tell all others (`fovea.graph.symbolic`); they share their states. Everything is stored
uncompressed, and each entry begins at a multiple of 64 bytes.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any

from fovea import targets
from fovea.errors import (
    ArgumentError,
    FileFormatError,
    GraphError,
    MissingFileError,
    ShapeError,
    describe,
)
from fovea.functions.creation import from_array
from fovea.graph.graph import Graph, Value
from fovea.graph.interpret import interpret
from fovea.graph.passes import optimize
from fovea.graph.printer import format_type, value_names
from fovea.graph.serialize import graph_from_plain, graph_to_plain, stored_tensors
from fovea.graph.symbolic import Template, template_of
from fovea.graph.tensors import constant_tensor, memory_of
from fovea.interop.atomic import atomic_write
from fovea.interop.stored_zip import StoredArchive, write_entry
from fovea.tensorbase import is_tensor
from fovea.version import __version__

if TYPE_CHECKING:
    from fovea.storage import Storage
    from fovea.tensor import Tensor

__all__ = ["Program", "load_program", "save_program"]

_FORMAT, _VERSION = "fovea program", 1
_MOST_SIZES = 64  # programs of one file, in memory
_MOST_OTHERS = 8  # graphs of one file
Path = str | os.PathLike[str]
_Run = Callable[[Sequence[Any]], Sequence[Any]]


class Program:
    """A program from a file. Calling it runs it; it is compiled when a batch size comes first.

    Args:
        graph: what it computes; its states hold tensors.
        metadata: what was saved beside it.
        others: the same at other batch sizes, with the same states: they tell all sizes from 2 on.

    Raises:
        GraphError: graphs that are not alike.

    Attributes:
        states: the tensors that live from call to call, by name: parameters, running statistics.
    """

    def __init__(
        self, graph: Graph, metadata: dict[str, Any], others: Sequence[Graph] = ()
    ) -> None:
        self.graph, self.metadata = graph, metadata
        self._template, self._alone = _told(graph, others)
        names = value_names(graph)
        self.states: dict[str, Tensor] = {names[s.value]: s.tensor for s in graph.states}
        self._runs: OrderedDict[Any, _Run] = OrderedDict()

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
        wanted = len(self.graph.inputs)
        if len(inputs) != wanted:
            raise ArgumentError(f"{self!r} takes {wanted} inputs, got {len(inputs)}.")
        tensors = [t if is_tensor(t) else from_array(t) for t in inputs]
        kinds = tuple((tuple(t.shape), t.dtype) for t in tensors)
        run = self._runs.get(kinds)
        if run is None:
            graph = self._graph_for(tensors)
            if len(self._runs) >= _MOST_SIZES:
                self._runs.popitem(last=False)
            run = self._runs[kinds] = _runner(graph)
        outputs = tuple(run(tensors))
        return outputs[0] if len(outputs) == 1 else outputs

    def _graph_for(self, tensors: Sequence[Tensor]) -> Graph:
        """The graph for inputs of these shapes."""
        misfit = _misfit(self.graph, tensors)
        if misfit is None:
            return self.graph
        if self._alone is not None and _misfit(self._alone, tensors) is None:
            return self._alone
        if self._template is not None:
            with suppress(GraphError):
                size = self._template.size_of([t.shape for t in tensors])
                graph, _ = self._template.instantiate(size)
                misfit = _misfit(graph, tensors)
                if misfit is None:
                    return graph
        i, value = misfit if misfit is not None else (0, self.graph.inputs[0])
        raise ShapeError(
            f"input {i} of the program does not fit.",
            {
                "expected": f"{value.name} {format_type(value)}".strip(),
                "got": describe(tensors[i]),
            },
        )

    def __repr__(self) -> str:
        inputs = ", ".join(format_type(v) for v in self.graph.inputs)
        outputs = ", ".join(format_type(v) for v in self.graph.outputs)
        return f"<program ({inputs}) -> ({outputs})>"


def _told(graph: Graph, others: Sequence[Graph]) -> tuple[Template | None, Graph | None]:
    """What tells all batch sizes, and the graph of a batch of one, which is told by none (it
    broadcasts); that is the last of the others if there is one.
    """
    if not others:
        return None, None
    try:
        return template_of([graph, *others]), None
    except GraphError:
        return template_of([graph, *others[:-1]]), others[-1]


def _runner(graph: Graph) -> _Run:
    """What runs a graph on the active target."""
    if targets.active().name == "cpu":
        from fovea.targets.cpu.executable import Executable

        return Executable(optimize(graph)).run

    def run(inputs: Sequence[Tensor]) -> Sequence[Tensor]:
        outputs, states = interpret(graph, inputs)
        updated = {old for old, _ in graph.updates}
        for state, new in zip(graph.states, states, strict=True):
            if state.value in updated:
                state.tensor._array()[...] = new._array()
                state.tensor.storage.version += 1
        return outputs

    return run


def _misfit(graph: Graph, tensors: Sequence[Tensor]) -> tuple[int, Value] | None:
    """The first input that a tensor does not fit."""
    for i, (value, t) in enumerate(zip(graph.inputs, tensors, strict=True)):
        if tuple(t.shape) != tuple(value.shape) or t.dtype is not value.dtype:
            return i, value
    return None


def save_program(program: Any, path: Path, *, metadata: Mapping[str, Any] | None = None) -> None:
    """Write what a compiled function or module does, with the present values of its parameters
    and other states, to a file that runs without the Python that wrote it. If it has taken several
    batch sizes, so that it knows all (see docs/compile.md), so does the file.

    Args:
        program: what `fovea.compile` returned, once it has been called (the program that ran last
            is written); or a graph, or graphs of several batch sizes that tell all, and of a batch
            of one after them.
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
    graph, *others = _graphs_of(program)
    content = {
        "format": _FORMAT,
        "version": _VERSION,
        "fovea": __version__,
        "metadata": dict(metadata or {}),
    }
    try:
        content["graph"] = graph_to_plain(graph)
        if others:
            content["others"] = [graph_to_plain(other) for other in others]
        text = json.dumps(content, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"save_program: {error}.") from error
    with atomic_write(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        write_entry(archive, file, "program/graph.json", memoryview(text))
        for i, tensor in enumerate(stored_tensors(graph)):
            _write(archive, file, f"data/{i}", tensor)
        for n, other in enumerate(others):
            for i, constant in enumerate(other.constants):
                _write(archive, file, f"others/{n}/{i}", constant_tensor(constant))


def _write(archive: zipfile.ZipFile, file: IO[bytes], name: str, tensor: Any) -> None:
    write_entry(archive, file, f"program/{name}", memory_of(tensor).view("uint8").data)


def _graphs_of(program: Any) -> list[Graph]:
    """A graph, and where these tell all sizes those of other batch sizes."""
    if isinstance(program, Graph):
        return [program]
    if isinstance(program, list):
        _told(program[0], program[1:])
        return program
    if not hasattr(program, "exported"):
        raise ArgumentError(
            f"save_program: {type(program).__name__} is not compiled.",
            fix="use fovea.compile first",
        )
    graphs: list[Graph] = program.exported()
    if not graphs:
        raise ArgumentError(
            "save_program: nothing was captured yet.", fix="call it with an example first"
        )
    try:
        template_of(graphs)
    except GraphError:
        return graphs[:1]
    return graphs


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
        raise MissingFileError(f"there is no file {name}.") from error
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
        others = [
            graph_from_plain(plain, _shared(archive, graph, n))
            for n, plain in enumerate(_list_of_others(content))
        ]
        return Program(graph, metadata, others)
    except (FileFormatError, GraphError, RecursionError) as error:
        raise _ReadError(
            getattr(error, "summary", "it is nested too deeply").rstrip(".")
        ) from error


def _list_of_others(content: dict[str, Any]) -> list[Any]:
    others = content.get("others", [])
    if not isinstance(others, list) or len(others) > _MOST_OTHERS:
        raise _ReadError("its graphs of other sizes are missing")
    return others


def _shared(archive: StoredArchive, first: Graph, n: int) -> Callable[[int, int], Storage]:
    """Where graph ``n`` of the others finds its tensors: its states are those of the first."""

    def memory(i: int, nbytes: int) -> Storage:
        if i >= len(first.states):
            return archive.read_storage(f"others/{n}/{i - len(first.states)}", nbytes)
        storage: Storage = first.states[i].tensor.storage
        if storage.nbytes != nbytes:
            raise _ReadError(f"state {i} has {storage.nbytes} bytes, and {nbytes} at another size")
        return storage

    return memory
