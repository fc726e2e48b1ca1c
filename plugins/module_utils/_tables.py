# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""Tables for a terminal, and texts from outside in a line. Pure: no input or output, no Ansible."""

from __future__ import annotations

from collections.abc import Sequence

# Of a text that somebody else has chosen, in a line: namespace/name has room, and nobody widens a table.
MOST_LETTERS = 80


def visible(text: str) -> str:
    """A text without what could steer a terminal."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def shortened(text: str, most: int = MOST_LETTERS) -> str:
    """A text from outside for a line: visible, and with its middle left out where it is long."""
    shown = visible(text)
    if len(shown) <= most:
        return shown
    end = most // 4
    return f"{shown[: most - end - 1]}\N{HORIZONTAL ELLIPSIS}{shown[-end:]}"


def in_columns(lines: Sequence[Sequence[str]], texts: int | None = None) -> list[str]:
    """Lines of cells as lines of text, each column as wide as its widest cell; long cells are shortened.

    Args:
        lines: the lines, all of the same number of cells.
        texts: so many columns at the left have texts, and begin at one place; the others have numbers, and end at one.
            By default all have texts.
    """
    lines = [[shortened(cell) for cell in line] for line in lines]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    texts = len(widths) if texts is None else texts
    return [
        "  ".join(
            cell.ljust(width) if column < texts else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
