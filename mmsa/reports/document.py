"""A report as a document: sections of paragraphs, tables and pictures, as one HTML page or as Markdown.

The page is a single file without scripts and requests, so that it can be mailed, and opened where a page may
neither store nor load anything (MLflow shows it in a sandboxed frame). Every text that came from a user is
escaped here, and nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from textwrap import indent

from mmsa.reports.style import STYLE
from mmsa.tracking.location import runs_option, storage_option

_SINGLE = r"[+-]?[\d.:]+(?:e[+-]?\d+)?%?"
_NUMBER = re.compile(rf"{_SINGLE}(?: (?:to|of) {_SINGLE}| \({_SINGLE}(?: to {_SINGLE})?\)| [CG]PU-hours)*")
"""A number, perhaps with its interval or unit."""
_BREAKS = re.compile(r"(?<=\w)([./_])(?=\w)")
"""Where a long name of a setting may go on in the next line."""
_MARKUP = re.compile(r"([\\`*\[\]<|]|^[>#])", re.MULTILINE)
# Underscores within words are no markup, nor are > and # within a line: names of settings, and what is more
# than what, stay readable in a terminal.
_LONGEST_CELL = 400  # characters of a cell of Markdown: a traceback must not break the table
_RETRAIN = "launch/retrain.py"
VERDICT_LENGTH = 200
"""Characters that are seen of a note before it is opened."""


@dataclass(frozen=True)
class Paragraph:
    """One or more sentences.

    Attributes:
        text: plain text.
        is_code: whether it is a command to copy.
    """

    text: str
    is_code: bool = False


@dataclass(frozen=True)
class Table:
    """A table with a caption.

    Attributes:
        caption: what it shows, and what to know to read it.
        head: names of the columns; the first column names the row.
        rows: cells in the order of the columns.
        marked: indices of rows that stand out, such as that of the best trial.
    """

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    marked: frozenset[int] = frozenset()

    def is_numeric(self, column: int) -> bool:
        """Whether a column has numbers, which are aligned to the right."""
        cells = [row[column] for row in self.rows if row[column] not in ("", "-")]
        return column > 0 and bool(cells) and all(_NUMBER.fullmatch(cell) for cell in cells)


@dataclass(frozen=True)
class Picture:
    """A drawing with a caption.

    Attributes:
        svg: an ``<svg>`` element, from ``Drawing``.
        caption: what it shows, and what to know to read it.
    """

    svg: str
    caption: str


Block = Paragraph | Table | Picture


@dataclass(frozen=True)
class Section:
    """A part of a document; one without blocks is left out.

    Attributes:
        title: its heading.
        blocks: what it consists of, in order.
    """

    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Document:
    """A report.

    Attributes:
        title: of the page.
        verdict: the answer in plain text, at most ``VERDICT_LENGTH`` characters.
        sections: in order.
    """

    title: str
    verdict: str
    sections: Sequence[Section]

    def __post_init__(self) -> None:
        assert len(self.verdict) <= VERDICT_LENGTH, self.verdict

    def located(self, runs: Path, storage: str | None) -> Document:
        """The same with commands that find the studies they name, wherever these are."""

        def found(block: Block) -> Block:
            if not (isinstance(block, Paragraph) and block.is_code):
                return block
            lines = [
                # A retraining reads an exported file and no study.
                f"{line}{runs_option(runs)}{'' if _RETRAIN in line else storage_option(storage)}"
                for line in block.text.splitlines()
            ]
            return replace(block, text="\n".join(lines))

        sections = [Section(section.title, [*map(found, section.blocks)]) for section in self.sections]
        return replace(self, sections=sections)

    def html(self) -> str:
        """The complete page."""
        sections = [(f"s{n}", section) for n, section in enumerate(self._filled(), 1)]
        links = "".join(f'<li><a href="#{at}">{escape(section.title)}</a></li>' for at, section in sections)
        body = "".join(
            f'<section id="{at}"><h2>{escape(section.title)}</h2>'
            f"{''.join(map(_html, section.blocks))}</section>"
            for at, section in sections
        )
        return (
            '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            '<meta name="color-scheme" content="light dark">'
            f"<title>{escape(self.title)}</title><style>{STYLE}</style></head>\n<body><main>"
            f'<h1>{escape(self.title)}</h1><p class="verdict">{escape(self.verdict)}</p>'
            f'<nav aria-label="Sections"><ul>{links}</ul></nav>{body}</main></body></html>\n'
        )

    def markdown(self) -> str:
        """The same for a terminal or a note: the verdict first, captions in place of pictures."""
        parts = [_marked_down(self.verdict), f"# {_marked_down(self.title)}"]
        for section in self._filled():
            parts.append(f"## {_marked_down(section.title)}")
            parts += [_markdown(block) for block in section.blocks]
        return "\n\n".join(parts) + "\n"

    def _filled(self) -> Iterator[Section]:
        return (section for section in self.sections if section.blocks)


def _html(block: Block) -> str:
    if isinstance(block, Paragraph):
        return f"<pre>{escape(block.text)}</pre>" if block.is_code else f"<p>{escape(block.text)}</p>"
    if isinstance(block, Picture):
        return f"<figure>{block.svg}<figcaption>{escape(block.caption)}</figcaption></figure>"
    numeric = [' class="n"' if block.is_numeric(column) else "" for column in range(len(block.head))]
    head = "".join(
        f'<th scope="col"{of}>{escape(name)}</th>' for name, of in zip(block.head, numeric, strict=True)
    )
    rows = "".join(
        f"<tr{' class=marked' if number in block.marked else ''}>"
        f'<th scope="row">{_breakable(row[0])}</th>'
        + "".join(f"<td{of}>{escape(cell)}</td>" for cell, of in zip(row[1:], numeric[1:], strict=True))
        + "</tr>"
        for number, row in enumerate(block.rows)
    )
    # A wide table scrolls by itself, also by keyboard, and never the whole page.
    return (
        f'<div class="table" tabindex="0" role="group" aria-label="{escape(block.caption)}"><table>'
        f"<caption>{escape(block.caption)}</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{rows}</tbody></table></div>"
    )


def _breakable(name: str) -> str:
    return _BREAKS.sub(r"\1<wbr>", escape(name))


def _markdown(block: Block) -> str:
    if isinstance(block, Paragraph):
        return indent(block.text, "    ") if block.is_code else _marked_down(block.text)
    if isinstance(block, Picture):
        return f"*Picture in the HTML report: {_marked_down(block.caption)}*"
    cells = [[_cell(cell) for cell in row] for row in (block.head, *block.rows)]
    numeric = [block.is_numeric(column) for column in range(len(block.head))]
    widths = [max(3, *(len(row[column]) for row in cells)) for column in range(len(block.head))]
    rule = ["-" * (width - 1) + (":" if right else "-") for width, right in zip(widths, numeric, strict=True)]
    lines = []
    for row in (cells[0], rule, *cells[1:]):
        shown = (
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        )
        lines.append(f"| {' | '.join(shown)} |")
    return "\n".join([_marked_down(block.caption), "", *lines])


def _cell(text: str) -> str:
    flat = " ".join(text.split())
    return _marked_down(flat if len(flat) <= _LONGEST_CELL else f"{flat[:_LONGEST_CELL]} …")


def _marked_down(text: str) -> str:
    """Text in which nothing is markup: names of studies and reasons of failures may hold anything."""
    return _MARKUP.sub(r"\\\1", text)
