"""Pieces of a page that stands by itself: its style, tables, curves as SVG, pictures within it.

Every text goes through ``escaped``: names of classes and files may hold anything.
"""

from __future__ import annotations

import base64
import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["bars", "cards", "curves", "escaped", "heat", "page", "picture", "section", "table"]

_COLORS = ("var(--one)", "var(--two)", "var(--three)")
_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP, _RIGHT = 420, 230, 52, 30, 12, 12
_STYLE = """\
:root{color-scheme:light dark;--ink:#1f2937;--soft:#6b7280;--line:#e5e7eb;--paper:#fff;
--card:#f9fafb;--one:#2563eb;--two:#dc2626;--three:#059669;--good:37,99,235;--bad:220,38,38}
@media(prefers-color-scheme:dark){:root{--ink:#e5e7eb;--soft:#9ca3af;--line:#374151;
--paper:#111827;--card:#1f2937;--one:#60a5fa;--two:#f87171;--three:#34d399;
--good:96,165,250;--bad:248,113,113}}
*{box-sizing:border-box}body{margin:0;background:var(--paper);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1060px;margin:0 auto;padding:28px 20px 60px}h1{font-size:24px;margin:0 0 2px}
h2{font-size:17px;margin:38px 0 10px;border-bottom:1px solid var(--line);padding-bottom:5px}
p{margin:6px 0}.soft{color:var(--soft)}.cards{display:flex;flex-wrap:wrap;gap:12px;margin:20px 0}
.card{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:10px 16px;
min-width:120px}.card b{display:block;font-size:22px;font-variant-numeric:tabular-nums}
.card span{color:var(--soft);font-size:13px}.row{display:flex;flex-wrap:wrap;gap:20px}
figure{margin:0}figcaption{font-size:13px;color:var(--soft);margin:0 0 4px}
svg{max-width:100%;height:auto}svg text{fill:var(--soft);font-size:11px}
.wide{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums}
th,td{padding:4px 12px 4px 0;text-align:right;border-bottom:1px solid var(--line);
white-space:nowrap}th{font-weight:600;color:var(--soft);font-size:13px}
th:first-child,td:first-child{text-align:left;max-width:340px;overflow:hidden;
text-overflow:ellipsis}.plain td{text-align:left}.bar{display:inline-block;height:9px;
border-radius:2px;background:var(--one);vertical-align:baseline}
.heat td{padding:0;width:34px;height:28px;min-width:34px;text-align:center;font-size:12px;
border:1px solid var(--paper)}.heat th{font-weight:400;padding:2px 6px;border:0}
.heat th.turned{writing-mode:vertical-rl;transform:rotate(180deg);text-align:left;
max-height:120px;padding:4px 2px}img{max-width:100%;border-radius:6px;background:#202020}
"""


def escaped(value: Any) -> str:
    """A value as text that means nothing to a browser."""
    return html.escape(str(value), quote=True)


def page(title: str, parts: Sequence[str]) -> str:
    """The whole document."""
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    return (
        "<!DOCTYPE html>\n"
        '<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escaped(title)}</title>\n<style>{_STYLE}</style></head>\n<body><main>\n"
        + "\n".join(parts)
        + "\n</main></body></html>\n"
    )


def section(title: str, *parts: str) -> str:
    """A heading and what stands under it; nothing without a part."""
    inside = "\n".join(part for part in parts if part)
    return f"<section><h2>{escaped(title)}</h2>\n{inside}</section>" if inside else ""


def cards(numbers: Mapping[str, str]) -> str:
    """Numbers that are seen first."""
    each = "".join(
        f'<div class="card"><b>{escaped(value)}</b><span>{escaped(name)}</span></div>'
        for name, value in numbers.items()
    )
    return f'<div class="cards">{each}</div>'


def table(head: Sequence[str], rows: Sequence[Sequence[Any]], kind: str = "") -> str:
    """Rows of texts; a cell that is marked as ``Raw`` is HTML already."""
    top = "".join(f"<th>{escaped(cell)}</th>" for cell in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{_cell(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    top = f"<thead><tr>{top}</tr></thead>" if head else ""
    return f'<div class="wide"><table class="{kind}">{top}<tbody>{body}</tbody></table></div>'


class Raw(str):
    """HTML that was made here."""


def _cell(cell: Any) -> str:
    return cell if isinstance(cell, Raw) else escaped(cell)


def bars(rows: Mapping[str, Sequence[float]], head: Sequence[str], count: str = "") -> str:
    """A row for each name with its numbers from 0 to 1, the first of them as a bar, too.

    Args:
        rows: names, and their numbers; with ``count`` the last one is a count.
        head: what the numbers are called.
        count: what the count is called.
    """
    made: list[list[Any]] = []
    for name, numbers in rows.items():
        shares = numbers[:-1] if count else numbers
        width = max(0.0, min(1.0, shares[0])) if shares and math.isfinite(shares[0]) else 0.0
        bar = Raw(f'<span class="bar" style="width:{160 * width:.0f}px"></span>')
        cells = [f"{v:.2%}" if math.isfinite(v) else "–" for v in shares]
        made.append([name, *cells, *([f"{numbers[-1]:,.0f}"] if count else []), bar])
    return table(["class", *head, *([count] if count else []), ""], made)


def heat(counts: Sequence[Sequence[int]], names: Sequence[str]) -> str:
    """A confusion matrix: a row a true class, the color the share of the row."""
    top = "<th></th>" + "".join(f'<th class="turned">{escaped(n)}</th>' for n in names)
    rows = []
    for i, row in enumerate(counts):
        total, cells = sum(row) or 1, []
        for j, n in enumerate(row):
            share = n / total
            color = f"rgba(var(--{'good' if i == j else 'bad'}),{0.15 + 0.75 * share:.2f})"
            style = f' style="background:{color}"' if n else ""
            said = f"{names[i]} taken for {names[j]}: {n}" if i != j else f"{names[i]}: {n} right"
            cells.append(f'<td{style} title="{escaped(said)}">{n or ""}</td>')
        rows.append(f"<tr><th>{escaped(names[i])}</th>{''.join(cells)}</tr>")
    return f'<div class="wide"><table class="heat"><tr>{top}</tr>{"".join(rows)}</table></div>'


def picture(data: bytes, kind: str, caption: str) -> str:
    """An image within the page."""
    encoded = base64.b64encode(data).decode("ascii")
    return (
        f'<figure><figcaption>{escaped(caption)}</figcaption><img alt="{escaped(caption)}" '
        f'src="data:image/{kind};base64,{encoded}"></figure>'
    )


def curves(title: str, lines: Mapping[str, Sequence[float]], percent: bool = False) -> str:
    """Values over epochs as an SVG; a point tells its value under the pointer."""
    lines = {name: values for name, values in lines.items() if len(values)}
    finite = [v for values in lines.values() for v in values if math.isfinite(v)]
    if not finite:
        return ""
    ticks = _ticks(min(0.0, *finite) if not percent else min(finite), max(finite))
    low, high = ticks[0], ticks[-1]
    longest = max(map(len, lines.values()))

    def x(epoch: int) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * ((epoch + 0.5) / longest)

    def y(value: float) -> float:
        share = (value - low) / ((high - low) or 1)
        return _HEIGHT - _BOTTOM - (_HEIGHT - _BOTTOM - _TOP) * share

    def shown(value: float) -> str:
        return f"{value:.4g}" if not percent else f"{value:.2%}"

    digits = 0 if high - low > 0.05 else 1
    drawn = []
    for tick in ticks:
        name = f"{tick:.{digits}%}" if percent else f"{tick:.3g}"
        drawn.append(
            f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(tick):.1f}" y2="{y(tick):.1f}" '
            f'stroke="var(--line)"/><text x="{_LEFT - 7}" y="{y(tick) + 4:.1f}" '
            f'text-anchor="end">{name}</text>'
        )
    step = max(1, math.ceil(longest / 8))
    for epoch in range(step - 1, longest, step):
        drawn.append(
            f'<text x="{x(epoch):.1f}" y="{_HEIGHT - 10}" text-anchor="middle">{epoch + 1}</text>'
        )
    legend = []
    for color, (name, values) in zip(_COLORS, lines.items(), strict=False):
        points = [(x(i), y(v), i, v) for i, v in enumerate(values) if math.isfinite(v)]
        way = " ".join(f"{a:.1f},{b:.1f}" for a, b, _, _ in points)
        drawn.append(f'<polyline points="{way}" fill="none" stroke="{color}" stroke-width="2"/>')
        drawn += [
            f'<circle cx="{a:.1f}" cy="{b:.1f}" r="{3 if longest < 40 else 1.5}" fill="{color}">'
            f"<title>{escaped(name)}, epoch {i + 1}: {shown(v)}</title></circle>"
            for a, b, i, v in points
        ]
        last = shown(values[-1])
        legend.append(f'<span style="color:{color}">■</span> {escaped(name)} {last}')
    return (
        f"<figure><figcaption><b>{escaped(title)}</b>&ensp;{'&ensp;'.join(legend)}</figcaption>"
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}" role="img" '
        f'aria-label="{escaped(title)} over epochs">{"".join(drawn)}</svg></figure>'
    )


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers around values.

    >>> _ticks(0.0, 0.93)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    span = (high - low) or abs(high) or 1.0
    raw = span / 5
    scale = 10.0 ** math.floor(math.log10(raw))
    step = next(s * scale for s in (1, 2, 2.5, 5, 10) if s * scale >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, max(last, first + 1) + 1)]
