# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Configurations of programs written in Go."""

from __future__ import annotations

import pytest

from ansible_collections.aigateway.metering.plugins.module_utils import _configuration


def test_an_equals_sign_is_a_text():
    assert _configuration.parse_configuration("a: {separator: =, x: on, y: 1}") == {
        "a": {"separator": "=", "x": True, "y": 1}
    }


@pytest.mark.parametrize("text", ["", "- a", "just text", "a: [", "a: !!python/name:os.system", "[" * 5000])
def test_what_is_no_configuration_is_none(text):
    assert _configuration.parse_configuration(text) is None
