# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How many clusters are worked on at once, in the forms in which people give it."""

from __future__ import annotations

import pytest

from ansible_collections.aigateway.metering.plugins.plugin_utils import _options


@pytest.mark.parametrize("given", [None, "", "  ", [""]])
def test_all_clusters_are_done_at_once_where_nothing_is_given(given):
    assert _options.read_serial(given) == ["100%"]


@pytest.mark.parametrize(
    ("given", "read"),
    [(1, ["1"]), ("1", ["1"]), (" 20% ", ["20%"]), ([1, "50%"], ["1", "50%"]), ("1,5", ["1", "5"])],
)
def test_numbers_and_percentages_are_read_in_every_form(given, read):
    assert _options.read_serial(given) == read


@pytest.mark.parametrize("given", ["maybe", 0, -1, 2.5, True, "0%", "%", [1, "x"], {"a": 1}, []])
def test_what_is_no_number_of_clusters_is_named(given):
    with pytest.raises(_options.OptionsError, match=r"^metering_serial is .*neither a number of clusters"):
        _options.read_serial(given)
