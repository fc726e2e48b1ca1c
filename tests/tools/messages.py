# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writes the list of every error in docs/troubleshooting.md out of the code, where each says why it matters."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "troubleshooting.md"
BEGIN = "<!-- written by tests/tools/messages.py -->"
# Where the arguments of each kind of error begin: what was found, why it matters, what to do, and the next command.
ERRORS = {"BehindError": 1} | dict.fromkeys(
    ["MeteringError", "MomentError", "RefusedError", "NoDocumentError", "NotServedError", "NotLetInError", "kind"], 0
)
GAP = "…"


def text_of(node: ast.expr) -> str:
    """A text of the code, with a gap for each part that is only known in a run."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else GAP for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return text_of(node.left) + text_of(node.right)
    if isinstance(node, ast.IfExp):
        return f"{text_of(node.body)} / {text_of(node.orelse)}"
    return GAP


def messages() -> Iterator[tuple[str, str, str, str]]:
    """Of each error in the code what was found, why it matters, what to do, and the next command."""
    for path in sorted((ROOT / "plugins").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ERRORS:
                first = ERRORS[node.func.id]
                if len(node.args) < first + 3:
                    continue
                found, why, advice, *command = (text_of(part) for part in node.args[first : first + 4])
                # What another error has said is listed with that one.
                if re.sub(r"\W", "", found.replace(GAP, "")):
                    yield found, why, advice, "".join(command)


def cell(text: str) -> str:
    # Of gaps one behind another one is enough.
    return re.sub(rf"{GAP}(\W*{GAP})+", GAP, " ".join(text.split())).replace("|", r"\|").replace("<", "&lt;")


def shown(command: str) -> str:
    """A command as code; one that is known only in a run has none."""
    return f"`{command}`" if command.strip(GAP) else command


def table() -> str:
    """The list, in the order of its first words."""
    rows = sorted(
        {tuple(map(cell, message)) for message in messages()}, key=lambda row: row[0].lstrip(f"{GAP} ").lower()
    )
    return "\n".join(
        [
            "| what was found | why it matters | what to do | next command |",
            "|---|---|---|---|",
            *(f"| {found} | {why} | {advice} | {shown(command)} |" for found, why, advice, command in rows),
        ]
    )


def page() -> str:
    """The page as it has to be."""
    return f"{PAGE.read_text(encoding='utf-8').partition(BEGIN)[0]}{BEGIN}\n\n{table()}\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
