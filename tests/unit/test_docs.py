# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the pages below docs/ name is there: tests, limits."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

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
