# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What tests use is pinned, with the hashes of its files."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
WANTED = (TESTS / "requirements-dev.txt").read_text(encoding="utf-8")
PINNED = (TESTS / "requirements-dev.lock").read_text(encoding="utf-8")


def test_each_package_is_pinned_as_it_is_wanted():
    """`make pins` pins them anew."""
    pinned = dict(re.findall(r"^([\w.-]+)==(\S+)", PINNED, re.MULTILINE))
    wanted = dict(re.findall(r"^([\w.-]+)(?:\[\w+\])?==(\S+)", WANTED, re.MULTILINE))
    assert len(wanted) > 20
    assert {name.lower(): version for name, version in wanted.items()}.items() <= pinned.items()


def test_each_pinned_package_has_hashes():
    packages = re.split(r"^(?=[\w.-]+==)", PINNED, flags=re.MULTILINE)[1:]
    assert [package.split()[0] for package in packages if "--hash=sha256:" not in package] == []
