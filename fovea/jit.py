"""``fovea.jit``: what programs do with TorchScript, done with `fovea.compile` and its files.

Python runs as it is, so that nothing needs to be translated: decorators return what they are
given, ``script`` and ``trace`` compile, ``save`` and ``load`` are `fovea.save_program` and
`fovea.load_program`. TorchScript's own files are read by `fovea.load`, which gives their weights.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, TypeVar

from fovea import compiler
from fovea.autograd import no_grad
from fovea.compiler import CompiledFunction, CompiledModule
from fovea.errors import ArgumentError, FoveaError
from fovea.functions.joining import cat
from fovea.nn.module import Module
from fovea.tensorbase import is_tensor

__all__ = [
    "Final",
    "LoadedModule",
    "ScriptFunction",
    "ScriptModule",
    "annotate",
    "export",
    "fork",
    "freeze",
    "ignore",
    "is_scripting",
    "is_tracing",
    "load",
    "optimize_for_inference",
    "save",
    "script",
    "script_method",
    "trace",
    "unused",
    "wait",
]

T = TypeVar("T")
ScriptFunction = CompiledFunction


class ScriptModule(Module):
    """A module, by TorchScript's name for a base class."""

    def save(self, f: Any) -> None:
        """See `save`."""
        save(self, f)


# -- compiling ------------------------------------------------------------------------------------


def script(
    obj: Any,
    optimize: Any = None,
    _frames_up: int = 0,
    _rcb: Any = None,
    example_inputs: Any = None,
) -> Any:
    """A function or a class as it is; a module compiled, with a ``save`` of its own.

    Args:
        obj: what is to be run.
        example_inputs: lists of arguments to call it with at once.
        optimize: accepted.

    >>> import fovea
    >>> @script
    ... def swish(x): return x * x.sigmoid()
    >>> swish(fovea.zeros(2))
    tensor([0., 0.])
    """
    if not isinstance(obj, Module):
        return obj
    made = _compiled(obj)
    for arguments in example_inputs or []:
        made(*arguments)
    return made


def trace(
    func: Any,
    example_inputs: Any = None,
    optimize: Any = None,
    check_trace: bool = True,
    check_inputs: Any = None,
    check_tolerance: float = 1e-5,
    strict: bool = True,
    **kwargs: Any,
) -> Any:
    """Compile a function or a module by a call with examples.

    Other than in PyTorch, arguments of other kinds are captured anew, and so is what decides
    otherwise for them: no branch is wrong.

    Args:
        func: the function or module.
        example_inputs: a tensor, or a tuple of arguments.
        optimize, check_trace, check_inputs, check_tolerance, strict: accepted.

    >>> import fovea
    >>> traced = trace(fovea.nn.Linear(3, 2), fovea.ones(1, 3))
    >>> traced(fovea.ones(4, 3)).shape
    fovea.Size([4, 2])
    """
    if example_inputs is None:
        example_inputs = kwargs.get("example_kwarg_inputs") or ()
    made = _compiled(func)
    if isinstance(example_inputs, dict):
        made(**example_inputs)
    else:
        several = isinstance(example_inputs, tuple | list)
        arguments = example_inputs if several else (example_inputs,)
        made(*arguments)
        if isinstance(made, CompiledModule):
            vars(made)["_examples"] = tuple(arguments)
    return made


def _compiled(obj: Any) -> Any:
    if isinstance(obj, CompiledModule | CompiledFunction):
        return obj
    made = compiler.compile(obj)
    if isinstance(made, CompiledModule):
        vars(made)["save"] = lambda f: save(made, f)
    return made


def freeze(mod: Any, preserved_attrs: Any = None, optimize_numerics: bool = True) -> Any:
    """The module as it is: what is captured reads its parameters, so that it stays true."""
    return mod


def optimize_for_inference(mod: Any, other_methods: Any = None) -> Any:
    """The module as it is: programs are optimized when they are made."""
    return mod


# -- what code says about itself ------------------------------------------------------------------


def ignore(drop: Any = False, **kwargs: Any) -> Any:
    """The function as it is; a decorator with or without arguments."""
    return drop if callable(drop) else lambda function: function


def unused(fn: T) -> T:
    """The function as it is."""
    return fn


def export(fn: T) -> T:
    """The function as it is."""
    return fn


def script_method(fn: T) -> T:
    """The function as it is."""
    return fn


def annotate(the_type: Any, the_value: T) -> T:
    """The value.

    >>> annotate(list[int], [])
    []
    """
    return the_value


def is_scripting() -> bool:
    """False: Python runs."""
    return False


def is_tracing() -> bool:
    """False: Python runs."""
    return False


def fork(func: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Call the function now."""
    return func(*args, **kwargs)


def wait(future: T) -> T:
    """What ``fork`` returned."""
    return future


# -- files ----------------------------------------------------------------------------------------


def save(m: Any, f: Any, _extra_files: Any = None) -> None:
    """Write what was scripted or traced, as `fovea.save_program` does.

    Of a module that has taken one batch size others are tried first, on a copy, so that the file
    takes all.

    Args:
        m: what `trace`, or `script` and then a call, gave.
        f: a path.

    Raises:
        ArgumentError: it was never called, so that nothing is known of its inputs.
    """
    from fovea.interop.programs import save_program

    examples = vars(m).get("_examples", ()) if isinstance(m, Module) else ()
    if not isinstance(m, CompiledModule | CompiledFunction) or not m.programs:
        raise ArgumentError(
            "jit.save: nothing was captured yet.", fix="call it once, or jit.trace(model, example)"
        )
    whole: Any = m
    if len(m.programs) == 1 and examples and all(is_tensor(x) and x.ndim for x in examples):
        with suppress(FoveaError), no_grad():
            twin = _compiled(copy.deepcopy(whole._original))  # calls may change what it holds
            graphs = _of_sizes(twin, examples)
            twin.load_state_dict(whole.state_dict())
            save_program(graphs, f)
            return
    save_program(m, f)


def _of_sizes(m: Any, examples: tuple[Any, ...]) -> list[Any]:
    """Graphs that tell all batch sizes, and that of a batch of one if there is one."""
    if len({x.shape[0] for x in examples}) != 1:
        raise ArgumentError("jit.save: the examples are of several batch sizes.")
    one = []
    with suppress(FoveaError):  # of one sample, statistics of a batch are not to be had
        m(*(x[:1] for x in examples))
        one = m.exported()[:1]
    for times in (2, 3):
        m(*(cat([x[:1]] * times) for x in examples))
    return [*m.exported(), *one]


def load(f: Any, map_location: Any = None, _extra_files: Any = None) -> LoadedModule:
    """What `save` wrote, as a module."""
    from fovea.interop.programs import load_program

    return LoadedModule(load_program(f))


class LoadedModule(Module):
    """A program from a file, with a module's habits.

    Args:
        program: what `fovea.load_program` gave.
    """

    def __init__(self, program: Any) -> None:
        super().__init__()
        self.program = program

    def forward(self, *inputs: Any) -> Any:
        return self.program(*inputs)

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """The program's parameters and other states by name."""
        return dict(self.program.states)
