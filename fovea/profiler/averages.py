"""Events summed up by name, and the table of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from fovea.errors import ArgumentError
from fovea.profiler.recorder import Event

__all__ = ["Average", "EventList", "averages", "nested"]


def nested(events: Sequence[Event]) -> list[Event]:
    """Events in the order of their beginnings; each knows those within it, and its own time."""
    found = sorted(events, key=lambda e: (e.thread, e.begin, -e.end))
    stack: list[Event] = []
    for event in found:
        event.self_ns, event.children = event.ns, []
        while stack and (stack[-1].thread != event.thread or stack[-1].end < event.end):
            stack.pop()
        if stack:
            stack[-1].children.append(event)
            stack[-1].self_ns -= event.ns
        stack.append(event)
    return sorted(found, key=lambda e: e.begin)


class Average:
    """All events of one name (and shapes, module, or line).

    Attributes:
        key: the name.
        count: how many there were.
        cpu_time_total, self_cpu_time_total: microseconds in all; ``self`` leaves out what ran
            within.
        flops: multiplications and additions of contractions.
        cpu_memory_usage, self_cpu_memory_usage: bytes of results; ``self``: without those of what
            ran within.
        input_shapes, module, stack: as of the events, where they were told apart by them.
    """

    def __init__(self, key: str, events: Sequence[Event]) -> None:
        first = events[0]
        self.key, self.count = key, len(events)
        self.cpu_time_total = sum(e.ns for e in events) / 1e3
        self.self_cpu_time_total = sum(e.self_ns for e in events) / 1e3
        self.flops = sum(_flops(e) for e in events)
        self.self_cpu_memory_usage = sum(e.bytes for e in events)
        self.cpu_memory_usage = sum(_bytes(e) for e in events)
        self.input_shapes, self.stack = list(first.shapes), list(first.stack)
        self.module = first.module + (" (backward)" if first.backward and first.module else "")
        self.kind = first.kind

    @property
    def cpu_time(self) -> float:
        """Microseconds of one event, on average."""
        return self.cpu_time_total / self.count

    def __repr__(self) -> str:
        return f"<{self.key}: {self.count} calls, {_time(self.cpu_time_total)}>"


def _bytes(event: Event) -> int:
    return event.bytes + sum(_bytes(child) for child in event.children if not event.bytes)


def _flops(event: Event) -> int:
    return event.flops or sum(_flops(child) for child in event.children)


def averages(
    events: Sequence[Event], by: str, shapes: bool, lines: int, modules: bool
) -> EventList:
    """Events summed up.

    Args:
        by: ``"name"``, or ``"module"``: the ops that ran in each module itself.
        shapes: tell inputs of different shapes apart.
        lines: tell apart by so many lines of the program.
        modules: list modules by their classes, too.
    """
    if by not in ("name", "module"):
        raise ArgumentError(f"key_averages: by is 'name' or 'module', got {by!r}.")
    groups: dict[Any, list[Event]] = {}
    for event in events:
        if event.kind == "module" and not modules:
            continue
        if by == "module" and event.kind not in ("op", "kernel"):
            continue
        key: Any = event.name
        if by == "module":
            key = (event.module or "(none)") + (" (backward)" if event.backward else "")
        key = (key, event.shapes if shapes else (), event.stack[:lines])
        groups.setdefault(key, []).append(event)
    total = sum(e.self_ns for e in events) / 1e3
    return EventList(
        (Average(key[0], group) for key, group in groups.items()), total, shapes, lines
    )


_ALIASES = {"cuda": "cpu", "device": "cpu", "xpu": "cpu"}  # all that there is runs on the CPU
_SORTS = (
    "cpu_time", "cpu_time_total", "self_cpu_time_total", "cpu_memory_usage",
    "self_cpu_memory_usage", "count", "flops",
)  # fmt: skip


class EventList(list[Average]):
    """Averages, the longest first."""

    def __init__(
        self, rows: Iterable[Average], total: float, shapes: bool = False, lines: int = 0
    ) -> None:
        super().__init__(sorted(rows, key=lambda a: -a.cpu_time_total))
        self.self_cpu_time_total, self._shapes, self._lines = total, shapes, lines

    def total_average(self) -> Average | None:
        """The sum of all rows; None if there are none."""
        if not self:
            return None
        total = Average("Total", [Event("Total", "user", 0, 0, 0)])
        for name in ("count", "cpu_time_total", "self_cpu_time_total", "flops",
                     "self_cpu_memory_usage"):  # fmt: skip
            setattr(total, name, sum(getattr(row, name) for row in self))
        total.cpu_memory_usage = total.self_cpu_memory_usage
        return total

    def table(
        self,
        sort_by: str | None = None,
        row_limit: int = 100,
        max_src_column_width: int = 75,
        max_name_column_width: int = 55,
        max_shapes_column_width: int = 80,
        header: str | None = None,
        top_level_events_only: bool = False,
    ) -> str:
        """The rows as text.

        Args:
            sort_by: ``"cpu_time_total"``, ``"self_cpu_time_total"``, ``"cpu_time"``,
                ``"cpu_memory_usage"``, ``"self_cpu_memory_usage"``, ``"count"`` or ``"flops"``;
                times of a device are those of the CPU.
            row_limit: how many rows to show; -1 for all.
            max_src_column_width, max_name_column_width, max_shapes_column_width: longer texts are
                cut.
            header: a line above.
            top_level_events_only: leave ops out that ran within something else.

        Raises:
            ArgumentError: an unknown ``sort_by``.
        """
        rows = list(self)
        if sort_by is not None:
            rows.sort(key=lambda row: -getattr(row, _sort_key(sort_by)))
        if top_level_events_only:
            rows = [row for row in rows if row.kind in ("user", "program", "module")]
        rows = rows[:row_limit] if row_limit >= 0 else rows
        columns = list(self._columns(rows))
        widths = (max_name_column_width, max_shapes_column_width, max_src_column_width)
        cells = [[name for name, _ in columns]]
        for row in rows:
            cells.append([_cut(text(row), name, widths) for name, text in columns])
        total = f"Self CPU time total: {_time(self.self_cpu_time_total)}"
        return "\n".join([*([header] if header else []), *_aligned(cells), total, ""])

    def _columns(self, rows: Sequence[Average]) -> Iterator[tuple[str, Any]]:
        """Names of columns, and what each shows of a row."""
        total = self.self_cpu_time_total or 1.0
        yield "Name", lambda r: r.key
        yield "Self CPU %", lambda r: f"{100 * r.self_cpu_time_total / total:.2f}%"
        yield "Self CPU", lambda r: _time(r.self_cpu_time_total)
        yield "CPU total %", lambda r: f"{100 * r.cpu_time_total / total:.2f}%"
        yield "CPU total", lambda r: _time(r.cpu_time_total)
        yield "CPU time avg", lambda r: _time(r.cpu_time)
        if any(r.cpu_memory_usage for r in rows):
            yield "CPU Mem", lambda r: _memory(r.cpu_memory_usage)
            yield "Self CPU Mem", lambda r: _memory(r.self_cpu_memory_usage)
        yield "# of Calls", lambda r: str(r.count)
        if any(r.flops for r in rows):
            yield "GFLOP/s", lambda r: f"{_rate(r):.1f}" if r.flops else "--"
        if self._shapes:
            yield "Input Shapes", lambda r: str([list(s) for s in r.input_shapes])
        if self._lines:
            yield "Source Location", lambda r: " < ".join(r.stack[: self._lines])

    def __str__(self) -> str:
        return self.table()


def _sort_key(name: str) -> str:
    kind, _, rest = name.removeprefix("self_").partition("_")
    own = f"{_ALIASES.get(kind, kind)}_{rest}" if rest else kind
    found = f"self_{own}" if name.startswith("self_") else own
    if found not in _SORTS:
        raise ArgumentError(f"table: unknown sort_by {name!r}.", fix=f"one of {', '.join(_SORTS)}")
    return found


def _rate(row: Average) -> float:
    return row.flops / (1e3 * row.cpu_time_total) if row.cpu_time_total else 0.0


def _cut(text: str, column: str, widths: tuple[int, int, int]) -> str:
    width = dict(zip(("Name", "Input Shapes", "Source Location"), widths, strict=True)).get(column)
    return text if not width or len(text) <= width else text[: width - 3] + "..."


def _aligned(cells: list[list[str]]) -> list[str]:
    """Lines of a table: the first column to the left, the others to the right."""
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    rule = "  ".join("-" * w for w in widths)
    lines = [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in cells
    ]
    return [rule, lines[0], rule, *lines[1:], rule]


def _time(us: float) -> str:
    if us >= 1e6:
        return f"{us / 1e6:.3f}s"
    return f"{us / 1e3:.3f}ms" if us >= 1e3 else f"{us:.3f}us"


def _memory(count: int) -> str:
    for name, size in (("GB", 1 << 30), ("MB", 1 << 20), ("KB", 1 << 10)):
        if abs(count) >= size:
            return f"{count / size:.2f} {name}"
    return f"{count} B"
