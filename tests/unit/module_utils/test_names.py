# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names of labels in the ways in which they are stored."""

from __future__ import annotations

import pytest

from ansible_collections.aigateway.metering.plugins.module_utils import _names


@pytest.mark.parametrize(
    ("stored", "plain"),
    [
        ("gen_ai_token_type", "gen_ai_token_type"),
        ("gen_ai.token.type", "gen_ai_token_type"),
        ("gen__ai_dot_token_dot_type", "gen_ai_token_type"),
        ("U__gen__ai_2e_token_2e_type", "gen_ai_token_type"),
        ("U__user_2e_id", "user_id"),
        ("U__cost__center_2d_eu_2e_id", "cost_center-eu_id"),
        ("user__id", "user__id"),
        ("user_dot_id", "user_dot_id"),
        ("U__a_2", "a_2"),
    ],
)
def test_a_labels_name_is_read_as_the_present_generation_writes_it(stored, plain):
    assert _names.plain(stored) == plain
