"""What ``fovea.summary`` returns: totals, and the rows as text or HTML."""

from __future__ import annotations

import html
from typing import Any

from fovea.nn.module import Module
from fovea.summaries.rows import Row, bytes_of

__all__ = ["COLUMNS", "ModelSummary"]

COLUMNS = {
    "input_size": "Input shape",
    "output_size": "Output shape",
    "num_params": "Param #",
    "params_percent": "Param %",
    "kernel_size": "Kernel shape",
    "groups": "Groups",
    "mult_adds": "Mult-adds",
    "trainable": "Trainable",
}


class ModelSummary:
    """What `summary` found.

    Attributes:
        rows: a `Row` for each call of a module, in order; modules that were not called, too.
        total_params, trainable_params: numbers in all parameters, each counted once.
        total_mult_adds: multiply-adds of all contractions of the run.
        total_input, total_output_bytes, total_param_bytes: bytes of the inputs, of what the modules
            without others within return, and of parameters and buffers.
    """

    def __init__(
        self, model: Module, rows: list[Row], inputs: Any, columns: tuple[str, ...], depth: int
    ) -> None:
        self.rows, self.columns, self.depth = rows, columns, depth
        self.model_name = type(model).__name__
        parameters = list(model.parameters())
        self.total_params = sum(p.numel() for p in parameters)
        self.trainable_params = sum(p.numel() for p in parameters if p.requires_grad)
        self.total_mult_adds = rows[0].mult_adds
        self.total_input = bytes_of(list(inputs.values()) if isinstance(inputs, dict) else inputs)
        self.total_output_bytes = sum(row.own_bytes for row in rows)
        self.total_param_bytes = sum(bytes_of(t) for t in (*parameters, *model.buffers()))

    def _shown(self) -> list[Row]:
        return [row for row in self.rows if row.depth <= self.depth]

    def _open(self, row: Row) -> bool:
        """Whether the modules within have rows of their own."""
        return bool(row.children) and row.depth < self.depth

    def _cell(self, row: Row, column: str) -> str:
        if column in ("input_size", "output_size"):
            found = getattr(row, column)
            return "--" if found is None else _text(found)
        if column in ("num_params", "params_percent"):
            if row.repeated:
                return "(shared)"
            count = row.own_params if self._open(row) else row.params
            if not count:
                return "--"
            if column == "params_percent":
                return f"{100 * count / self.total_params:.2f}%"
            return f"{count:,}"
        if column == "mult_adds":
            count = row.own_mult_adds if self._open(row) else row.mult_adds
            return f"{count:,}" if count else "--"
        if column == "trainable":
            return {True: "yes", False: "no", None: "partly" if row.params else "--"}[row.trainable]
        value = row.kernel_size if column == "kernel_size" else getattr(row.module, "groups", None)
        return "--" if value is None else _text(value)

    def _table(self) -> list[list[str]]:
        """The header, and a list of cells for each row; the first is the module with its place."""
        table = [["Layer (name: type)", *(COLUMNS[c] for c in self.columns)]]
        shown = self._shown()
        for n, row in enumerate(shown):
            label = f"{row.name}: {row.type}" if row.name else row.type
            label = _branch(shown, n) + label
            table.append([label, *(self._cell(row, c) for c in self.columns)])
        return table

    def _totals(self) -> list[tuple[str, str]]:
        frozen = self.total_params - self.trainable_params
        memory = self.total_input + self.total_output_bytes + self.total_param_bytes
        return [
            ("Total params", f"{self.total_params:,}"),
            ("Trainable params", f"{self.trainable_params:,}"),
            ("Non-trainable params", f"{frozen:,}"),
            ("Total mult-adds", _scaled(self.total_mult_adds)),
            ("Input size (MB)", f"{self.total_input / 1e6:.2f}"),
            ("Outputs of layers (MB)", f"{self.total_output_bytes / 1e6:.2f}"),
            ("Params size (MB)", f"{self.total_param_bytes / 1e6:.2f}"),
            ("Estimated total size (MB)", f"{memory / 1e6:.2f}"),
        ]

    def __str__(self) -> str:
        table = self._table()
        widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
        lines = [
            "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip()
            for row in table
        ]
        rule = "=" * (sum(widths) + 2 * (len(widths) - 1))
        totals = [f"{name}: {value}" for name, value in self._totals()]
        parts = [rule, lines[0], rule, *lines[1:], rule, *totals[:4], rule, *totals[4:], rule]
        return "\n".join(parts)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        head, *rows = self._table()
        align = ["left", *["right"] * (len(head) - 1)]

        def line(cells: list[str], tag: str) -> str:
            return "<tr>" + "".join(
                f'<{tag} style="text-align:{a};white-space:pre">{html.escape(c)}</{tag}>'
                for c, a in zip(cells, align, strict=True)
            ) + "</tr>"  # fmt: skip

        body = "".join(line(row, "td") for row in rows)
        totals = " · ".join(f"{name}: <b>{value}</b>" for name, value in self._totals())
        return (
            f"<table><thead>{line(head, 'th')}</thead><tbody>{body}</tbody></table><p>{totals}</p>"
        )


def _branch(rows: list[Row], n: int) -> str:
    """The lines of the tree in front of a row's name."""
    row = rows[n]
    if row.depth == 0:
        return ""
    marks = ""
    for level in range(1, row.depth + 1):
        later = next((r.depth for r in rows[n + 1 :] if r.depth <= level), 0)
        if level == row.depth:
            marks += "├─ " if later == level else "└─ "
        else:
            marks += "│  " if later == level else "   "
    return marks


def _text(size: Any) -> str:
    if isinstance(size, dict):
        return "{" + ", ".join(f"{k}: {_text(v)}" for k, v in size.items()) + "}"
    return str(list(size) if isinstance(size, tuple) else size).replace("(", "[").replace(")", "]")


def _scaled(count: int) -> str:
    for name, size in (("T", 10**12), ("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if count >= size:
            return f"{count / size:.2f} {name}"
    return str(count)
