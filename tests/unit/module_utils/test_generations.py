# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which generation of the gateway a version is of."""

from __future__ import annotations

import re

import pytest

from ansible_collections.aigateway.metering.plugins.module_utils import _generations, _names


@pytest.mark.parametrize(
    ("tag", "version"),
    [
        ("v0.3.0", "0.3"),
        ("v0.4.1-rc.2", "0.4"),
        ("0.6.0-1", "0.6"),
        ("v1.0.0", "1.0"),
        ("v1.1", "1.1"),
        ("v0.10.0", "0.6"),
        ("v2.0.0", "1.1"),
    ],
)
def test_a_tag_tells_the_generation(tag, version):
    found = _generations.of_version(tag)
    assert found is not None
    assert found.version == version


@pytest.mark.parametrize("tag", ["", "latest", "sha-0123abc", "v0.1.5"])
def test_a_tag_that_tells_none_is_none(tag):
    assert _generations.of_version(tag) is None


@pytest.mark.parametrize(("tag", "newer"), [("v1.1.0", False), ("v1.2.0", True), ("v2.0.0", True), ("latest", False)])
def test_what_is_newer_than_all_that_is_known_is_told(tag, newer):
    assert _generations.is_newer(tag) is newer


@pytest.mark.parametrize("name", _generations.USAGE_SUMS)
def test_every_name_of_the_token_sum_is_looked_for(name):
    assert re.fullmatch(_names.USAGE_SUM_PATTERN, name)


@pytest.mark.parametrize("known", _generations.TABLE, ids=lambda known: known.version)
def test_every_generation_has_the_types_that_make_the_total(known):
    assert set(_names.TOTAL_TOKEN_TYPES) <= set(known.token_types)
