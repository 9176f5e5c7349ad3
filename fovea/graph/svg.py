"""Boxes and arrows as an SVG picture, placed by `fovea.graph.layers`; frames show what belongs
together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

from fovea.graph.layers import Box, place, ranked

__all__ = ["Arrow", "Card", "cut", "draw"]

_FONT, _LINE, _CHARACTER = 11, 14, 6.7  # pixels
_BOLD = 1.08  # how much wider bold characters are, in fonts of several widths
_WIDEST = 48  # characters


@dataclass(eq=False)
class Card:
    """A box of a drawing.

    Args:
        lines: what it says, the first in bold.
        color: of the box.
        module: the modules that it belongs to, outermost first.
        title: what a browser shows when one points at it.
        rounded: for what goes in and out.
    """

    lines: list[str]
    color: str
    module: tuple[str, ...] = ()
    title: str = ""
    rounded: bool = False

    def box(self) -> Box:
        """Its size, without a place."""
        head, *rest = map(len, self.lines)
        longest = max(head * _BOLD, *rest, 0)
        return Box(longest * _CHARACTER + 16, len(self.lines) * _LINE + 8)


@dataclass(frozen=True, eq=False)
class Arrow:
    """What a card gives to another.

    Args:
        source, target: the cards.
        name: of what is given, for arrows that are cut.
        title: what a browser shows when one points at it.
    """

    source: Card
    target: Card
    name: str
    title: str = ""


def draw(
    cards: Sequence[Card],
    arrows: Sequence[Arrow],
    legend: Mapping[str, str],
    longest: int,
    depth: int,
) -> str:
    """The picture, from top to bottom.

    Args:
        cards: in an order in which no arrow points back.
        arrows: between them.
        legend: colors and what they mean, in order; those that no card has are left out.
        longest: arrows that would pass more rows than this are cut: both ends name the value.
        depth: so many of a card's modules, the outermost, get frames.
    """
    return _Picture(cards, arrows, longest, depth).svg(legend)


def cut(text: str) -> str:
    """A line that is no wider than a box should be."""
    return text if len(text) <= _WIDEST else text[: _WIDEST - 1] + "…"


class _Picture:
    def __init__(
        self, cards: Sequence[Card], arrows: Sequence[Arrow], longest: int, depth: int
    ) -> None:
        self.cards, self.depth = cards, depth
        self.boxes = {card: card.box() for card in cards}
        ranked([*self.boxes.values()], [self._ends(a) for a in arrows])
        self.drawn = [a for a in arrows if self._rows(a) <= longest]
        self._tag([a for a in arrows if self._rows(a) > longest])
        ends = [self._ends(a) for a in self.drawn]
        self.paths = place([*self.boxes.values()], ends, (26.0, 26.0))

    def _ends(self, arrow: Arrow) -> tuple[Box, Box]:
        return self.boxes[arrow.source], self.boxes[arrow.target]

    def _rows(self, arrow: Arrow) -> int:
        above, below = self._ends(arrow)
        return below.rank - above.rank

    def _tag(self, gone: list[Arrow]) -> None:
        """Name what arrows that are not drawn give, at both ends."""
        for card in self.cards:
            coming = [a.name for a in gone if a.target is card]
            going = list(dict.fromkeys(a.name for a in gone if a.source is card))
            for mark, found in (("from", coming), ("as", going)):
                if found:
                    card.lines.append(cut(f"{mark} {', '.join(found)}"))
            if coming or going:
                new, old = card.box(), self.boxes[card]
                old.width, old.height = new.width, new.height

    def svg(self, legend: Mapping[str, str]) -> str:
        boxes = self.boxes.values()
        outer, inner = (
            max((len(name) for c in self.cards for name in c.module[d : d + 1]), default=0)
            for d in (0, 1)
        )
        left, right = 20 + _CHARACTER * outer, 20 + _CHARACTER * inner
        width = max((b.x + b.width / 2 for b in boxes), default=0.0) + left + right
        height = max((b.y + b.height / 2 for b in boxes), default=0.0) + 80
        body = [*self._frames(), *self._arrows(), *(self._drawn_card(c) for c in self.cards)]
        inside = "\n".join(body)
        parts, wide = self._legend(legend)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{max(width, wide):.0f}" '
            f'height="{height:.0f}" font-size="{_FONT}" '
            'font-family="ui-monospace, Menlo, Consolas, monospace">\n'
            f'{_STYLE}\n<rect width="100%" height="100%" fill="#fff"/>\n{parts}\n'
            f'<g transform="translate({left:.0f} 60)">\n{inside}\n</g>\n</svg>\n'
        )

    def _legend(self, legend: Mapping[str, str]) -> tuple[str, float]:
        """What the colors mean, and how wide that is."""
        used = {card.color for card in self.cards}
        parts, x = [], 20.0
        for color, name in legend.items():
            if color in used:
                parts.append(f'<rect x="{x:.0f}" y="12" width="12" height="12" fill="{color}"/>')
                parts.append(f'<text x="{x + 18:.0f}" y="22">{escape(name)}</text>')
                x += 40 + len(name) * _CHARACTER
        return "\n".join(parts), x

    def _frames(self) -> Iterator[str]:
        """A frame around the boxes of each module that stand together."""
        groups: dict[str, list[Box]] = {}
        for card in self.cards:
            for name in card.module[: self.depth]:
                groups.setdefault(name, []).append(self.boxes[card])
        for name, group in sorted(groups.items(), key=lambda g: g[0].count(".")):
            if len(group) < 2:
                continue
            margin = 12 - 4 * name.count(".")
            left = min(b.x - b.width / 2 for b in group) - margin
            right = max(b.x + b.width / 2 for b in group) + margin
            top = min(b.y - b.height / 2 for b in group) - margin
            bottom = max(b.y + b.height / 2 for b in group) + margin
            yield (
                f'<rect class="frame" x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" '
                f'height="{bottom - top:.1f}" rx="6"><title>{escape(name)}</title></rect>'
            )
            at, side = (right + 4, "start") if "." in name else (left - 4, "end")
            if "." not in name or self._free(at, top, len(name) * _CHARACTER):
                yield (
                    f'<text class="module" x="{at:.1f}" y="{top + 10:.1f}" '
                    f'text-anchor="{side}">{escape(name)}</text>'
                )

    def _free(self, left: float, top: float, width: float) -> bool:
        """Whether no box stands where a line of text would."""
        return not any(
            b.x - b.width / 2 < left + width
            and b.x + b.width / 2 > left
            and b.y - b.height / 2 < top + _LINE
            and b.y + b.height / 2 > top
            for b in self.boxes.values()
        )

    def _arrows(self) -> Iterator[str]:
        for path, arrow in zip(self.paths, self.drawn, strict=True):
            line = ""
            for a, b in pairwise(path):  # straight through rows, curved between
                start, end = a.y + a.height / 2, b.y - b.height / 2 - (0 if b.bend else 4)
                half = (start + end) / 2
                line += f"{'L' if line else 'M'}{a.x:.1f} {start:.1f}"
                line += f"C{a.x:.1f} {half:.1f} {b.x:.1f} {half:.1f} {b.x:.1f} {end:.1f}"
            title = f"<title>{escape(arrow.title)}</title>"
            yield f'<path class="arrow" d="{line}">{title}</path>'

    def _drawn_card(self, card: Card) -> str:
        box = self.boxes[card]
        left, top = box.x - box.width / 2, box.y - box.height / 2
        corner = box.height / 2 if card.rounded else 3
        text = "".join(
            f'<text class="{"line" if i else "head"}" x="{box.x:.1f}" '
            f'y="{top + (i + 1) * _LINE + 1:.1f}">{escape(line)}</text>'
            for i, line in enumerate(card.lines)
        )
        return (
            f'<g><title>{escape(card.title)}</title><rect class="box" x="{left:.1f}" '
            f'y="{top:.1f}" width="{box.width:.1f}" height="{box.height:.1f}" '
            f'rx="{corner:.0f}" fill="{card.color}"/>{text}</g>'
        )


_STYLE = (
    "<defs>"
    '<marker id="tip" viewBox="0 0 8 8" refX="6" refY="4" markerWidth="7" markerHeight="7" '
    'orient="auto"><path d="M0 0L8 4L0 8z" fill="#666"/></marker>'
    "</defs><style>"
    ".head,.line{text-anchor:middle} .head{font-weight:bold} .box{stroke:#888} "
    ".arrow{fill:none;stroke:#666;marker-end:url(#tip)} "
    ".frame{fill:#000;fill-opacity:.025;stroke:#bbb;stroke-dasharray:4 3} .module{fill:#777}"
    "</style>"
)
