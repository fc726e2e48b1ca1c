# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the pages below docs/ name is there: tests, limits, other pages, also for who has only the built collection."""

from __future__ import annotations

import ast
import fnmatch
import re
import subprocess
from pathlib import Path

import messages
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "generations.md").read_text()
TESTS = "".join(path.read_text() for path in (ROOT / "tests" / "e2e").glob("test_*.py"))
LIMITS = (ROOT / "docs" / "limits.md").read_text()


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(test_\w+)(?:\[.*?\])?`", PAGE))))
def test_a_test_that_the_page_of_generations_names_is_there(name):
    assert f"def {name}(" in TESTS


ROWS = [line for line in LIMITS.splitlines() if line.startswith("| ") and not line.startswith("| what |")]


@pytest.mark.parametrize("row", ROWS, ids=[row.split(" | ")[0].removeprefix("| ")[:40] for row in ROWS])
def test_every_limit_of_the_bill_is_shown_by_a_test(row):
    named = re.findall(r"`(test_\w+\.py)?::(test_\w+)`( \(stand\))?", row.rpartition(" | ")[2])
    assert named
    file = ""
    for path, test, stand in named:
        file = path or file
        folders = ("e2e",) if stand else ("unit", "e2e")
        found = [path for folder in folders for path in (ROOT / "tests" / folder).rglob(file)]
        text = "".join(path.read_text() for path in found)
        assert f"def {test}(" in text, f"{test} is not in {file}"


def shipped() -> list[str]:
    """The files that the built collection has."""
    names = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    ignored = yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))["build_ignore"]
    return [
        name
        for name in names
        if (ROOT / name).exists()
        and not any(fnmatch.fnmatch(name, rule) or fnmatch.fnmatch(name, f"{rule}/*") for rule in ignored)
    ]


SHIPPED = shipped()
PAGES = sorted(name for name in SHIPPED if name.endswith(".md"))


def anchors_of(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_a_link_of_a_shipped_page_leads_to_a_shipped_file(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    links = [*re.findall(r"\]\(([^)\s]+)\)", text), *re.findall(r'(?:src|href)="([^"]+)"', text)]
    wrong = []
    for link in links:
        path, dummy, anchor = link.partition("#")
        if "://" in link:
            continue
        target = (ROOT / page).parent / path if path else ROOT / page
        name = str(target.resolve().relative_to(ROOT))
        if name not in SHIPPED or (anchor and anchor not in anchors_of(target.read_text(encoding="utf-8"))):
            wrong.append(link)
    assert wrong == []


def test_the_page_of_errors_has_every_error_of_the_code():
    """`.venv/bin/python tests/tools/messages.py` writes it anew."""
    assert messages.PAGE.read_text(encoding="utf-8") == messages.page()


def test_errors_are_found_in_the_code():
    found = list(messages.messages())
    assert len(found) > 100
    assert [found for found, why, advice, command in found if not why.strip() or not (advice + command).strip()] == []


# What a next command begins with, where it is not known only in a run.
PROGRAM = re.compile(r"(kubectl|ansible-playbook|ansible-doc|helm|pip|curl) ")
# What a sentence has and a command has not.
PROSE = re.compile(r"\.( |$)|, then| or |; (then|or|if) |\(")


def next_commands():
    """Every next command of the code: of errors, and what follows "Next: " in any text."""
    yield from (command for *dummy, command in messages.messages())
    for path in sorted((ROOT / "plugins").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant | ast.JoinedStr):
                yield from messages.text_of(node).split("Next: ")[1:]
            if isinstance(node, ast.Call):
                yield from (messages.text_of(own.value) for own in node.keywords if own.arg == "command")
    for folder in ("roles", "playbooks"):
        for path in sorted((ROOT / folder).rglob("*.yml")):
            text = re.sub(r"\{\{.*?\}\}", messages.GAP, " ".join(path.read_text(encoding="utf-8").split()))
            yield from (part.partition('"')[0] for part in text.split("Next: ")[1:])


def test_text_for_the_next_command_is_a_command():
    found = {command.strip() for command in next_commands()} - {""}
    assert len(found) > 50
    told = {command for command in found if command.strip(f"{messages.GAP} ;")}
    assert [command for command in told if not PROGRAM.match(command) and not command.startswith(messages.GAP)] == []
    assert [command for command in told if PROSE.search(command)] == []


def test_the_page_of_compatibility_has_each_line_of_the_matrix():
    text = (ROOT / "tests" / "e2e" / "test_matrix.py").read_text(encoding="utf-8")
    ours, *others = re.findall(r'Versions\("([\d.]+)", "([\d.]+)", "([\d.]+)", "([\d.]+)"\)', text)
    page = (ROOT / "docs" / "compatibility.md").read_text(encoding="utf-8")
    lines = set(
        re.findall(r"^\| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \| \d{4}-\d\d-\d\d \|$", page, re.MULTILINE)
    )
    refused = {line for line in others if line[0] == "2.18.19"}
    assert lines == {ours, *others} - refused
