"""Selective checkpointing: which results a checkpoint keeps, and which it computes again.

`create_selective_checkpoint_contexts` makes the two contexts that `checkpoint` takes by
``context_fn``: in the first run a policy is asked for each op, and what it keeps is handed out
again, in the same order, when the function runs for backward.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from typing import Any

from fovea import watching
from fovea.errors import ArgumentError, GradientError, InplaceError
from fovea.tensorbase import is_tensor

__all__ = ["CheckpointPolicy", "SelectiveCheckpointContext", "create_selective_checkpoint_contexts"]


class CheckpointPolicy(enum.Enum):
    """What becomes of an op's result: kept (SAVE), or computed again (RECOMPUTE).

    What ``PREFER`` says, a compiler may decide otherwise; fovea keeps to it.
    """

    MUST_SAVE = 0
    PREFER_SAVE = 1
    MUST_RECOMPUTE = 2
    PREFER_RECOMPUTE = 3
    MUST_CPU_OFFLOAD = 4
    PREFER_CPU_OFFLOAD = 5


_KEPT = (
    CheckpointPolicy.MUST_SAVE,
    CheckpointPolicy.PREFER_SAVE,
    CheckpointPolicy.MUST_CPU_OFFLOAD,  # where everything is already
    CheckpointPolicy.PREFER_CPU_OFFLOAD,
)


class SelectiveCheckpointContext:
    """What a policy is told besides the op.

    Attributes:
        is_recompute: whether this is the run for backward.
    """

    def __init__(self, *, is_recompute: bool, op_output: Any = None) -> None:
        self.is_recompute, self.op_output = is_recompute, op_output


def create_selective_checkpoint_contexts(
    policy_fn_or_list: Callable[..., CheckpointPolicy] | Sequence[Any],
    allow_cache_entry_mutation: bool = False,
) -> tuple[Any, Any]:
    """The contexts of a checkpoint that keeps some results: for its ``context_fn``.

    Args:
        policy_fn_or_list: ``policy(ctx, op, *inputs)`` returns a `CheckpointPolicy` for a call of
            an op (of `fovea.ops`; it has a ``name``); or the ops, or their names, whose results are
            kept.
        allow_cache_entry_mutation: whether what was kept may be changed in place afterwards.

    Raises:
        ArgumentError: the policy is neither a function nor a list.
        InplaceError: (in backward) a kept result was changed in place.

    Within `fovea.compile` all is computed again: the program decides by itself what to keep.

    >>> import fovea, functools
    >>> from fovea.utils.checkpoint import checkpoint
    >>> keeping = functools.partial(create_selective_checkpoint_contexts, ["linear", "matmul"])
    >>> net = fovea.nn.Sequential(fovea.nn.Linear(2, 8), fovea.nn.GELU(), fovea.nn.Linear(8, 1))
    >>> y = checkpoint(net, fovea.ones(3, 2), use_reentrant=False, context_fn=keeping)
    >>> y.sum().backward()
    """
    if callable(policy_fn_or_list):
        policy = policy_fn_or_list
    elif isinstance(policy_fn_or_list, list | tuple | set | frozenset):
        policy = _policy_of({getattr(op, "name", op) for op in policy_fn_or_list})
    else:
        raise ArgumentError(
            "create_selective_checkpoint_contexts: a policy is a function or a list of ops, got "
            f"{type(policy_fn_or_list).__name__}."
        )
    kept: dict[str, list[Any]] = {}
    first = _Keeping(policy, kept, allow_cache_entry_mutation)
    return first, _Giving(first)


def _policy_of(names: set[Any]) -> Callable[..., CheckpointPolicy]:
    def policy(ctx: SelectiveCheckpointContext, op: Any, *args: Any) -> CheckpointPolicy:
        found = op.name in names
        return CheckpointPolicy.MUST_SAVE if found else CheckpointPolicy.PREFER_RECOMPUTE

    return policy


class _Selecting(watching.Observer):
    """Asks the policy of each op; within a capture it stays out."""

    is_recompute = False

    def __init__(self, policy: Callable[..., Any], kept: dict[str, list[Any]], may_change: bool):
        self.policy, self.kept, self.may_change = policy, kept, may_change
        self.active = False

    def __enter__(self) -> Any:
        self.active = watching.watcher is None
        return super().__enter__() if self.active else self

    def __exit__(self, *error: object) -> None:
        if self.active:
            super().__exit__(*error)

    def keeps(self, op: Any, inputs: tuple[Any, ...], op_output: Any) -> bool:
        """Whether the result of a call is kept: never that of one that makes a view."""
        if op.view or op.mutates:
            return False
        ctx = SelectiveCheckpointContext(is_recompute=self.is_recompute, op_output=op_output)
        before, watching.watcher = watching.watcher, None
        try:
            said = self.policy(ctx, op, *inputs)
        finally:
            watching.watcher = before
        if isinstance(said, bool):
            return said
        if not isinstance(said, CheckpointPolicy):
            raise ArgumentError(f"a checkpoint's policy returns a CheckpointPolicy, got {said!r}.")
        return said in _KEPT


class _Keeping(_Selecting):
    """The first run."""

    took_part = False

    def __enter__(self) -> Any:
        super().__enter__()
        self.took_part = self.active
        return self

    def run(self, op: Any, inputs: tuple[Any, ...], attrs: Any, plan: Any) -> Any:
        """Run a plan, and keep what the policy wants."""
        out = plan(inputs)
        if self.keeps(op, inputs, out):
            parts = [out] if is_tensor(out) else list(out)
            self.kept.setdefault(op.name, []).append(
                [(t.detach(), t.storage.version) for t in parts]
            )
        return out


class _Giving(_Selecting):
    """A run for backward."""

    is_recompute = True

    def __init__(self, first: _Keeping) -> None:
        super().__init__(first.policy, first.kept, first.may_change)
        self.first = first

    def __enter__(self) -> Any:
        self.given = dict.fromkeys(self.kept, 0)
        return super().__enter__() if self.first.took_part else self

    def run(self, op: Any, inputs: tuple[Any, ...], attrs: Any, plan: Any) -> Any:
        """Hand out what was kept, or run the plan."""
        if not self.keeps(op, inputs, None):
            return plan(inputs)
        number = self.given.get(op.name, 0)
        known = self.kept.get(op.name, [])
        if number >= len(known):
            raise GradientError(
                f"checkpoint: the policy keeps {op.name} now, but kept it {len(known)} times in "
                "the first run."
            )
        self.given[op.name] = number + 1
        for t, version in known[number]:
            if t.storage.version != version and not self.may_change:
                raise InplaceError(
                    f"checkpoint: a kept result of {op.name} was changed in place.",
                    fix="allow_cache_entry_mutation=True, if that does no harm",
                )
        parts = [t.detach() for t, _ in known[number]]
        return parts[0] if len(op.outputs) == 1 else tuple(parts)
