# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "generations.md").read_text()
TESTS = "".join(path.read_text() for path in (ROOT / "tests" / "integration").glob("test_*.py"))


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(test_\w+)(?:\[.*?\])?`", PAGE))))
def test_a_test_that_the_page_of_generations_names_is_there(name):
    assert f"def {name}(" in TESTS
