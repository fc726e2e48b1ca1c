# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Some of the odd inputs of `make fuzz`, for whatever reads what comes from outside."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings

from ansible_collections.aigateway.metering.tests.unit import odd_inputs


@pytest.fixture(autouse=True)
def nothing_is_waited_for(monkeypatch):
    monkeypatch.setattr("time.sleep", lambda dummy: None)


@pytest.mark.parametrize("target", odd_inputs.TARGETS)
def test_an_odd_input_is_told_or_read_and_breaks_nothing(target):
    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(odd_inputs.TARGETS[target][0])
    def attempt(value):
        odd_inputs.try_input(target, value)

    attempt()
