"""`CompiledFunction`: a function whose calls become programs."""

from __future__ import annotations

import functools
import warnings
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from fovea import casting, dispatch, targets, watching
from fovea.compiler.capture import Capture, capture, exported
from fovea.compiler.dynamic import Family
from fovea.compiler.structure import flatten
from fovea.errors import CaptureError
from fovea.form import form_of
from fovea.graph.tracer import Uncapturable
from fovea.profiler.recorder import record_function
from fovea.tensorbase import is_tensor

if TYPE_CHECKING:
    from fovea.compiler.program import Program
    from fovea.graph.graph import Graph

__all__ = ["CompiledFunction"]

_MOST_KEYS = 64
_MOST_CAPTURES = 8
_UNHASHABLE = Uncapturable(
    "an argument can be neither compared nor passed to a program", "",
    "pass arrays as tensors, and plain values",
)  # fmt: skip


class _Entry:
    """What is known of calls with the same kinds of arguments."""

    def __init__(self) -> None:
        self.programs: list[Program] = []
        self.escapes = 0
        self.eager = False
        self.seen = 0  # calls that ran eagerly because a program was not worth it yet
        self.derived = False  # from what is known of other sizes, or that was tried


def _arguments(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[list[Any], Any]:
    """The tensors of a call, and what else it is made of: its structure (see `flatten`), None where
    it is nothing else.
    """
    tensors = [a for a in args if is_tensor(a)]
    if not kwargs and len(tensors) == len(args):
        return tensors, None
    found: list[Any] = []
    return found, flatten((args, kwargs), found)


def _sharing(tensors: Sequence[Any]) -> tuple[int, ...] | None:
    """Which arguments share memory: for each the first that it shares with; None if none do."""
    if len(tensors) < 2:
        return None
    first: dict[int, int] = {}
    for n, t in enumerate(tensors):
        first.setdefault(id(t.storage), n)
    if len(first) == len(tensors):
        return None
    return tuple([first[id(t.storage)] for t in tensors])


class CompiledFunction:
    """A function that is captured once for each kind of arguments, and then run as a program.

    Args:
        function: takes and returns tensors, and whatever else.
        strict: raise ``CaptureError`` where a call cannot be captured, instead of running eagerly
            with a warning.
        memory_limit: bytes that a call's intermediate results may take.
        dynamic: whether programs for further sizes follow from those of two. None: where the code
            does not decide by sizes; True: in any case; False: never.
        again: run the program for the captured call, too, in place of what the call did eagerly:
            then a call rounds alike whether or not it is the first, and a run that is interrupted
            and goes on ends with the same bits. It costs a copy of what the first call reads, while
            that lasts.
        exact: programs that give the same bits as calls that run eagerly; a little slower where
            sums could be taken in another order, or half types rounded less often.
        worth: how many calls of a kind make a program worth it: those before run eagerly.
        quiet: do not warn where calls run eagerly.

    Attributes:
        programs: those made so far.
        coming: how many calls of the next one's kind are to be expected, that one included.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        strict: bool = False,
        memory_limit: int | None = None,
        dynamic: bool | None = None,
        again: bool = False,
        exact: bool = False,
        worth: int = 1,
        quiet: bool = False,
    ) -> None:
        self.function, self.memory_limit = function, memory_limit
        self.strict, self.dynamic, self.again = strict, dynamic, again
        self.exact, self.worth, self.coming = exact, worth, 1
        self._families: OrderedDict[Any, Family] = OrderedDict()
        self._entries: OrderedDict[Any, _Entry] = OrderedDict()
        self._last: Program | None = None  # what ran last
        self._leaves: dict[int, Any] = {}  # tensors that got gradients in captures
        self.quiet = self._warned = quiet
        functools.update_wrapper(self, function, updated=())

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        watcher = watching.watcher
        # Part of a larger capture, or of what is looked at op by op.
        if watching.eager or (watcher is not None and watcher.captures):
            return self.function(*args, **kwargs)
        tensors, structure = _arguments(args, kwargs)
        forms = tuple([(t._form or form_of(t), t._requires_grad) for t in tensors])
        modes = (dispatch.grad_enabled(), casting.mode(), targets.generation)
        key = (structure, forms, _sharing(tensors), *modes)
        try:
            entry = self._entries.get(key)
        except TypeError:
            self._warn(_UNHASHABLE)
            return self.function(*args, **kwargs)
        if entry is None:
            entry = self._entry(key)
            entry.eager = entry.eager or any(t._level for t in tensors)  # part of a vmap
        coming, self.coming = self.coming, 1
        if entry.eager:
            return self.function(*args, **kwargs)
        if entry.seen + coming < self.worth and not entry.programs:
            entry.seen += 1
            return self.function(*args, **kwargs)
        if not entry.derived:
            entry.derived = True
            if self.dynamic is not False and self._families:
                self._instantiate(entry, self._family_key(key, tensors), tensors)
        for n, program in enumerate(entry.programs):
            if not program.guards.failed() and (not program.looks or program.fits(tensors)):
                if n:
                    entry.programs.insert(0, entry.programs.pop(n))
                self._last = program
                return program.run(tensors)
        with record_function("fovea.compile"):
            return self._capture(entry, key, args, kwargs, tensors)

    def __get__(self, owner: Any, kind: Any = None) -> Any:
        """Methods: each object has programs of its own."""
        if owner is None:
            return self
        name = f"_compiled_{self.function.__name__}_{id(self)}"
        bound = owner.__dict__.get(name)
        if bound is None:
            method = self.function.__get__(owner, kind)
            bound = owner.__dict__[name] = CompiledFunction(
                method,
                strict=self.strict,
                memory_limit=self.memory_limit,
                dynamic=self.dynamic,
                again=self.again,
                exact=self.exact,
                worth=self.worth,
                quiet=self.quiet,
            )
        return bound

    @property
    def programs(self) -> list[Program]:
        return [p for entry in self._entries.values() for p in entry.programs]

    def exported(self) -> list[Graph]:
        """What the program that ran last computes; then the same at other batch sizes, where these
        tell all others. Empty if there is no program.
        """
        if self._last is None:
            return []
        family = self._last.family
        told_by = family.told_by() if family is not None else []
        graphs = [exported(made) for made in (self._last.made, *told_by)]
        shapes = [[tuple(v.shape) for v in g.inputs] for g in graphs]
        return [g for n, g in enumerate(graphs) if shapes[n] not in shapes[:n]]

    def reset(self) -> None:
        """Forget all programs."""
        self._entries.clear()
        self._families.clear()
        self._last = None
        self._leaves.clear()
        self._warned = self.quiet

    def _entry(self, key: Any) -> _Entry:
        if len(self._entries) >= _MOST_KEYS:
            self._entries.popitem(last=False)
        entry = self._entries[key] = _Entry()
        return entry

    def _capture(
        self,
        entry: _Entry,
        key: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        tensors: Sequence[Any],
    ) -> Any:
        family = self._families.get(self._family_key(key, tensors))
        if family is not None:
            family.forget_failed()
        made = capture(
            self.function, args, kwargs, tensors,
            strict=self._raise if self.strict else None, known_leaves=list(self._leaves.values()),
            undoable=self.again,
        )  # fmt: skip
        self._leaves.update((id(leaf), leaf) for leaf, _ in made.guards.leaves)
        if made.refused is not None:
            self._run_eagerly(entry, made.refused)
        elif made.escaped:
            self._retry(entry, made)
        else:
            if len(entry.programs) >= _MOST_CAPTURES:
                why = entry.programs[-1].guards.failed() or "its checks gave something else"
                self._run_eagerly(
                    entry, Uncapturable(f"it would be captured again and again: {why}", "")
                )
                return made.result
            from fovea.compiler.program import Program  # compilers come when something is compiled

            result = made.result
            program = self._last = Program(made, self.memory_limit, self.exact)
            entry.programs.insert(0, program)
            if self.dynamic is not False and tensors:
                program.family = self._note(self._family_key(key, tensors), made, tensors)
            if self.again:
                made.undo()
                return program.run(tensors)
            return result
        return made.result

    @staticmethod
    def _family_key(key: Any, tensors: Sequence[Any]) -> Any:
        """What calls have in common that differ in sizes alone."""
        structure, _, *rest = key
        kinds = tuple([(t.ndim, t.dtype, t._requires_grad) for t in tensors])
        return (structure, kinds, *rest)

    def _note(self, key: Any, made: Capture, tensors: Sequence[Any]) -> Family:
        """Let a capture tell what it can about other sizes."""
        family = self._families.get(key)
        if family is None:
            if len(self._families) >= _MOST_KEYS:
                self._families.popitem(last=False)
            marked = any("_varies" in t.__dict__ for t in tensors)
            family = self._families[key] = Family(bool(self.dynamic) or marked)
        family.note(made)
        return family

    def _instantiate(self, entry: _Entry, key: Any, tensors: Sequence[Any]) -> None:
        """A program for sizes that were not captured, from those that were."""
        family = self._families.get(key)
        made = family.instantiate(tensors) if family is not None else None
        if made is not None:
            from fovea.compiler.program import Program

            program = Program(made, self.memory_limit, self.exact)
            program.family = family
            entry.programs.insert(0, program)

    def _retry(self, entry: _Entry, made: Capture) -> None:
        """Tensors were left behind: what a first call makes, later ones find. Once, or twice."""
        entry.escapes += 1
        entry.seen = self.worth
        if entry.escapes < 3:
            return
        value = made.escaped[0]
        assert made.graph is not None
        source = next((n.source for n in made.graph.nodes if value in n.outputs), None)
        self._run_eagerly(
            entry,
            Uncapturable(
                "the call leaves a tensor behind that it does not return"
                + (f" (made by {source})" if source is not None and str(source) else ""), "",
                "return it",
            ),
        )  # fmt: skip

    def _run_eagerly(self, entry: _Entry, why: Uncapturable) -> None:
        entry.eager = True
        entry.programs = []
        self._warn(why)

    def _warn(self, why: Uncapturable) -> None:
        """Say once that calls run eagerly, and why; under ``strict``, raise it."""
        if self.strict:
            self._raise(why)
        if not self._warned:
            self._warned = True
            name = getattr(self.function, "__name__", type(self.function).__name__)
            place = f" ({why.line})" if why.line else ""
            fix = f" To mend it: {why.fix}." if why.fix else ""
            warnings.warn(
                f"fovea.compile: {name} runs eagerly: {why.reason}{place}.{fix}", stacklevel=4
            )

    @staticmethod
    def _raise(why: Uncapturable) -> None:
        raise CaptureError(
            f"compile: {why.reason}.", {"at": why.line} if why.line else None, why.fix or None
        )
