# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The stand's ledger is summed up whoever has sent the requests."""

from __future__ import annotations

from standlib import tenants, traffic


def entry(caller, tokens=7):
    return {"caller": caller, "model": "chat", "tokens": dict.fromkeys(traffic.TOKEN_TYPES, tokens)}


def test_requests_of_no_caller_of_the_stand_are_summed_up_beside_the_others():
    known = tenants.CALLERS[0]
    totals = traffic.ledger_totals([entry(known.name), entry(""), entry("somebody", 5)])
    assert totals[known.billed_namespace, known.department, "chat", "input"] == 7
    assert totals[traffic.UNKNOWN, "", "chat", "input"] == 12


def test_the_newcomer_is_a_caller_as_well():
    (billed,) = {key[0] for key in traffic.ledger_totals([entry(tenants.NEWCOMER.name)])}
    assert billed == tenants.NEWCOMER.billed_namespace
