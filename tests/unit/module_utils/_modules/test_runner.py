# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every module says where only some namespaces are read."""

from __future__ import annotations

import pytest

from ansible_collections.aigateway.metering.plugins.module_utils._errors import MeteringError
from ansible_collections.aigateway.metering.plugins.module_utils._modules import runner

LIMITS = "Only the namespaces a, b are read (metering_namespaces)."


def test_where_everything_is_read_nothing_is_said():
    assert runner.only_some_namespaces("") == []


def test_where_only_some_namespaces_are_read_a_caution_says_so_with_a_command():
    (caution,) = runner.only_some_namespaces(LIMITS)
    assert caution.startswith(LIMITS)
    assert " Next: kubectl get pods -A" in caution


@pytest.mark.parametrize(
    ("limits", "why"), [(LIMITS, f"Nothing can be scraped. {LIMITS}"), ("", "Nothing can be scraped.")]
)
def test_an_error_about_what_is_missing_says_what_was_not_read(limits, why):
    error = MeteringError("There is no Prometheus.", "Nothing can be scraped.", "Enable it.", "kubectl get x", rows=[1])
    told = runner.with_limits(error, limits)
    assert (told.found, told.why, told.advice, told.command) == (error.found, why, error.advice, error.command)
    assert told.result == {"rows": [1]}
