"""How things look in a console and in a notebook: one small grid, as aligned text and as HTML.

Everything that a server sends passes through `plain` or `html.escape` before it is shown.
"""

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

MAX_CELL = 60
BAR_CELLS = 20
STYLE = "text-align: left; padding: 0 0.8em 0 0; vertical-align: top"


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Rows of cells under a title and optional headers."""

    title: str
    rows: tuple[tuple[str, ...], ...]
    headers: tuple[str, ...] = ()

    def text(self) -> str:
        """The grid for a console: columns aligned, one row per line."""
        rows = [[short(cell) for cell in row] for row in (*_headed(self.headers), *self.rows)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
        return "\n".join((plain(self.title), *(f"  {line}" for line in lines)))

    def html(self) -> str:
        """The grid for a notebook; every cell is escaped."""
        head = _cells("th", self.headers) if self.headers else ""
        body = "".join(_cells("td", row) for row in self.rows)
        return f"<p>{html.escape(plain(self.title))}</p><table>{head}{body}</table>"


class Shown:
    """A thing that is drawn as a grid wherever it appears."""

    __slots__ = ()

    def _grid(self) -> Grid:
        raise NotImplementedError

    def __repr__(self) -> str:
        return self._grid().text()

    def _repr_html_(self) -> str:
        return self._grid().html()


def plain(text: str) -> str:
    """`text` without the control characters that would move a terminal's cursor or colour it."""
    return "".join(letter if letter.isprintable() or letter == "\n" else "\ufffd" for letter in text)


def short(text: str) -> str:
    """`text` on one line, cut to a cell's width."""
    line = plain(" ".join(text.split()))
    return line if len(line) <= MAX_CELL else line[: MAX_CELL - 1] + "…"


def number(value: float) -> str:
    """A number at a glance: six significant digits, no trailing zeros."""
    return f"{value:.6g}"


def moment(when: datetime | None) -> str:
    """A point in time to the second, or a dash."""
    return when.strftime("%Y-%m-%d %H:%M:%S %Z").strip() if when else "-"


def bar(spent: float, reserved: float, limit: float) -> str:
    """How much of `limit` is gone: full blocks are spent, shaded ones reserved, and the share in percent."""
    if limit <= 0:
        return ""
    share = min((spent + reserved) / limit, 1.0)
    taken = round(share * BAR_CELLS)
    full = min(round(spent / limit * BAR_CELLS), taken)
    return f"{'█' * full}{'▒' * (taken - full)}{'·' * (BAR_CELLS - taken)} {share:.0%} used"


def listed(values: Iterable[object], shown: int = 6) -> str:
    """The first few of `values`, and how many more there are."""
    cells = [str(value) for value in values]
    more = f", … {len(cells) - shown} more" if len(cells) > shown else ""
    return ", ".join(cells[:shown]) + more


def _headed(headers: Sequence[str]) -> list[Sequence[str]]:
    return [headers] if headers else []


def _cells(tag: str, cells: Iterable[str]) -> str:
    inner = "".join(f'<{tag} style="{STYLE}">{html.escape(plain(cell))}</{tag}>' for cell in cells)
    return f"<tr>{inner}</tr>"
