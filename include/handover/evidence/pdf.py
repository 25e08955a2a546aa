"""A paper as PDF, with the glyphs it uses embedded, so that it reads the same anywhere and in any year.

The same paper gives the same bytes under the same versions of font and library: the only time in it is the
paper's own. What is bound by a digest is the machine-readable form, never the PDF.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Literal

from fontTools.ttLib import TTCollection  # type: ignore[import-untyped]
from fpdf import FPDF, FontFace
from fpdf.enums import Align, TableCellFillMode

from handover.errors import ConfigurationMissing
from handover.evidence.destruction_paper import NONE, Cell, Lines, Paper, Table, footer, shown
from handover.model.policy import Text

FONTS = Path("/usr/share/fonts")
# Debian's fonts-noto-cjk (SIL Open Font License 1.1, which allows embedding): one file holds the faces of
# five regions, whose forms of the same characters differ.
_FILES, _FACE = {"": "NotoSansCJK-Regular.ttc", "B": "NotoSansCJK-Bold.ttc"}, "Noto Sans CJK SC"
_FAMILY, _SIZE, _SMALL = "cjk", 9.0, 7.6
_LINE, _LINE_IN_CELL = 4.6, 3.9
_PADDING, _SIGN_HEIGHT, _CAPTION_HEIGHT = 1.2, 12.0, 8.5
_BULLET, _BULLET_WIDTH = "•", 3.5
# The library adds widths up in another order than we do, and must not break a line that fits.
_ROUNDING = 0.01
# A caption stays with so much of what it stands over.
_ROOM = 28
# These begin no line; an opening bracket ends none.
_CLOSING, _OPENING = "，。、；：？！）》」』”’…%·,.;:?!)]}", "（《「『“‘([{"


def write_pdf(paper: Paper, fonts: Path = FONTS) -> bytes:
    """Return the paper as PDF; raises ConfigurationMissing when the font is not installed."""
    sheet = _Sheet(paper, fonts)
    sheet.heading()
    for part in paper.parts:
        sheet.part(part)
    return bytes(sheet.output())


class _Sheet(FPDF):
    """The document while it is written."""

    def __init__(self, paper: Paper, fonts: Path) -> None:
        super().__init__(orientation="landscape" if paper.wide else "portrait", format="A4")
        self._paper = paper
        self._alias = "{pages}"
        for style, name in _FILES.items():
            path = _font(fonts, name)
            self.add_font(_FAMILY, style, path, collection_font_number=_face(path))
        self._known = _characters(_font(fonts, _FILES[""]))
        self.alias_nb_pages(self._alias)
        self.set_creation_date(paper.at)
        self.set_lang("zh-CN")
        self.set_title(f"{paper.title.zh} {paper.title.en} {paper.number}")
        self.set_margins(18, 13, 13)
        self.c_margin = 0  # text begins where tables begin; cells have a padding of their own
        self.set_auto_page_break(True, 17)
        self.add_page()

    def footer(self) -> None:
        """Name document and page; the library calls it for each page."""
        self.set_y(-11)
        self.set_font(_FAMILY, "", 6.5)
        self.cell(0, 4, self._plain(footer(self._paper)))
        page = f"第 {self.page_no()} / {self._alias} 页 page"
        # How many pages there are is put in at the end: measured is what will stand there, not its name.
        self.set_x(-self.r_margin - self.get_string_width(page.replace(self._alias, "00")))
        self.cell(0, 4, page)

    def heading(self) -> None:
        """Write title, banner and what stands above all parts."""
        paper = self._paper
        self._line(paper.title.zh, "B", 18, 9, Align.C)
        self._line(paper.title.en, "", _SIZE, 6, Align.C)
        if paper.banner is not None:
            self._line(shown(paper.banner), "B", _SIZE, 6, Align.C, border=1)
        self.ln(1.5)
        for name, value in paper.head:
            self._line(f"{shown(name)}：{shown(value)}", "", _SIZE, _LINE)

    def part(self, part: Table | Lines) -> None:
        """Write a part under its caption."""
        if self.will_page_break(self._room(part)):
            self.add_page()
        self.ln(2.5)
        self._line(shown(part.caption), "B", 11, 6)
        if isinstance(part, Table) and part.rows:
            self._table(part)
            return
        for line in (part.lines if isinstance(part, Lines) else ()) or (NONE,):
            self._item(shown(line))

    def _room(self, part: Table | Lines) -> float:
        """Return how much of the page a part needs to begin on it: a table to sign stays in one piece."""
        if not isinstance(part, Table) or not part.rows:
            return _ROOM
        self.set_font(_FAMILY, "", _SMALL)
        least = _SIGN_HEIGHT if part.to_sign else 0.0
        widths = self._widths(part)
        head, *rows = (
            max(least, *(self._height(*one) for one in zip(cells, widths, strict=True)))
            for cells in (part.heads, *part.rows)
        )
        begin, whole = (_CAPTION_HEIGHT + head + height for height in (rows[0], sum(rows)))
        return whole if part.to_sign and whole < self.eph else begin

    def _height(self, cell: Cell, width: float) -> float:
        return _LINE_IN_CELL * (1 + self._celled(cell, width).count("\n")) + 2 * _PADDING

    def _item(self, text: str) -> None:
        """Write a line of a list, its further lines below its first word."""
        self.set_font(_FAMILY, "", _SIZE)
        lines = list(self._broken(text, self.epw - _BULLET_WIDTH))
        self.cell(_BULLET_WIDTH, _LINE, _BULLET)
        self._write(lines, _LINE)

    def _line(
        self,
        text: str,
        style: str,
        size: float,
        height: float,
        align: Align = Align.L,
        border: Literal[0, 1] = 0,
    ) -> None:
        self.set_font(_FAMILY, style, size)
        self._write(self._broken(text, self.epw), height, align, border)

    def _write(
        self, lines: Iterable[str], height: float, align: Align = Align.L, border: Literal[0, 1] = 0
    ) -> None:
        """Write lines that fit from here to the right margin."""
        self.multi_cell(
            0, height, "\n".join(lines), align=align, border=border, new_x="LMARGIN", new_y="NEXT"
        )

    def _widths(self, part: Table) -> list[float]:
        return [self.epw * width / sum(part.widths) for width in part.widths]

    def _table(self, part: Table) -> None:
        widths = self._widths(part)
        self.set_font(_FAMILY, "", _SMALL)
        head = FontFace(family=_FAMILY, emphasis="BOLD", fill_color=(242, 241, 236))
        with self.table(
            col_widths=tuple(widths),
            headings_style=head,
            line_height=_LINE_IN_CELL,
            padding=_PADDING,
            align=Align.L,
            text_align=Align.L,
            cell_fill_mode=TableCellFillMode.NONE,
            min_row_height=_SIGN_HEIGHT if part.to_sign else None,
        ) as table:
            row = table.row(min_height=4)
            self.set_font(_FAMILY, "B", _SMALL)
            for text, width in zip(part.heads, widths, strict=True):
                row.cell(self._celled(text, width), align=Align.C)
            self.set_font(_FAMILY, "", _SMALL)
            for cells in part.rows:
                row = table.row()
                for cell, width in zip(cells, widths, strict=True):
                    row.cell(self._celled(cell, width), align=Align.R if isinstance(cell, int) else Align.L)

    def _celled(self, cell: Cell, width: float) -> str:
        """Return a cell's text in lines, the English below the Chinese."""
        room = width - 2 * _PADDING
        texts = (cell.zh, cell.en) if isinstance(cell, Text) else (shown(cell),)
        return "\n".join(line for text in texts for line in self._broken(text, room))

    def _broken(self, text: str, room: float) -> Iterator[str]:
        """Break a text into lines that fit: between Chinese characters, at spaces, else anywhere."""
        room -= _ROUNDING
        line = ""
        for piece in _pieces(self._plain(text)):
            if line and self.get_string_width((line + piece).rstrip()) > room:
                yield line.rstrip()
                line = ""
                piece = piece.lstrip()
            while self.get_string_width(piece) > room and len(piece) > 1:
                fits = max(
                    n for n in range(1, len(piece)) if n == 1 or self.get_string_width(piece[:n]) <= room
                )
                yield piece[:fits]
                piece = piece[fits:]
            line += piece
        yield line.rstrip()

    def _plain(self, text: str) -> str:
        """Return text in one line; a sign that the font does not have is named instead of left out."""
        return "".join(
            sign if ord(sign) in self._known else f"[U+{ord(sign):04X}]" for sign in " ".join(text.split())
        )


def _pieces(text: str) -> list[str]:
    """Part a text where a line may end."""
    pieces: list[str] = []
    for sign in text:
        last = pieces[-1] if pieces else ""
        held = last[-1:] in _OPENING or sign in _CLOSING or sign == " "
        ends = _is_wide(sign) or _is_wide(last[-1:] or " ") or last[-1:] == " "
        ends = ends or (last[-1:] == "-" and sign.isalpha())
        if last and (held or not ends):
            pieces[-1] += sign
        else:
            pieces.append(sign)
    return pieces


def _is_wide(sign: str) -> bool:
    return unicodedata.east_asian_width(sign) in ("W", "F")


def _font(fonts: Path, name: str) -> Path:
    found = sorted(fonts.rglob(name))
    if not found:
        raise ConfigurationMissing(
            f"no PDF can be made: the font file {name} is not below {fonts}",
            hint="install Debian's fonts-noto-cjk: `make system-deps` does",
            font=name,
        )
    return found[0]


@cache
def _face(path: Path) -> int:
    """Return the number of our face in the collection."""
    with TTCollection(path, lazy=True) as collection:
        names = [face["name"].getDebugName(1) for face in collection.fonts]
    return _one(names, path)


def _one(names: Sequence[str | None], path: Path) -> int:
    wanted = [number for number, name in enumerate(names) if name and name.startswith(_FACE)]
    if not wanted:
        raise ConfigurationMissing(
            f"no PDF can be made: {path.name} has no face {_FACE}", hint="install Debian's fonts-noto-cjk"
        )
    return wanted[0]


@cache
def _characters(path: Path) -> frozenset[int]:
    with TTCollection(path, lazy=True) as collection:
        return frozenset(collection.fonts[_face(path)].getBestCmap())
