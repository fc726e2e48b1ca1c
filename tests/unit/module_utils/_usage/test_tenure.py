# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whose an address was at each moment, by what is around that moment and by nothing else."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.aigateway.metering.plugins.module_utils._usage.tenure import ABOUT, KEEPS, Span, tenures


def owner(seen, time, made):
    """Who has an address at a time: a pod, `free`, or `nobody`, straight from the rule's words."""
    before = [(at, pod) for at, pod in seen if at <= time][-1:]
    after = [(at, pod) for at, pod in seen if at > time][:1]
    # A pod that was made before another was seen there may have the address only since shortly before it is seen.
    kept = [pod for at, pod in before if time - KEEPS < at]
    known = [made[pod] if pod in made and (not before or made[pod] > before[0][0]) else at - ABOUT for at, pod in after]
    coming = [pod for (dummy, pod), since in zip(after, known, strict=True) if time >= since]
    if kept and coming and kept != coming:
        return "nobody"
    return (kept or coming or ["free"])[0]


def told(seen, time, made=None):
    owned, free = tenures(seen, made)
    found = [pod for pod, spans in owned.items() if any(span.begin <= time < span.until for span in spans)]
    found += ["free"] if any(span.begin <= time < span.until for span in free) else []
    assert len(found) <= 1
    return found[0] if found else "nobody"


TIMES = st.one_of(st.integers(0, 4000), st.integers(0, 400_000))
SEEN = st.lists(st.tuples(TIMES, st.sampled_from("ab")), max_size=6, unique_by=lambda item: item[0]).map(sorted)


MADE = st.dictionaries(st.sampled_from("ab"), TIMES)


@given(SEEN, TIMES, MADE)
def test_an_address_is_whose_the_rule_says(seen, time, made):
    assert told(seen, time, made) == owner(seen, time, made)


@given(SEEN, TIMES, TIMES)
def test_what_is_far_away_does_not_matter(seen, time, cut):
    """Two reports that meet at a moment look a fixed time beyond it, and attribute alike what is around it."""
    near = [(at, pod) for at, pod in seen if time - KEEPS <= at <= time + ABOUT]
    assert told(seen, time) == told(near, time)
    if time <= cut:
        assert told(seen, time) == told([item for item in seen if item[0] <= cut + ABOUT], time)


def test_since_a_pod_was_made_an_address_is_its_own_where_no_other_was_seen_since():
    owned, free = tenures([(10_000.0, "p")], {"p": 4_000.0})
    assert owned["p"][0].begin == 4_000.0
    assert free[0].until == 4_000.0
    later, dummy = tenures([(5_000.0, "q"), (10_000.0, "p")], {"p": 4_000.0})
    assert later["q"] == [Span(5_000.0 - ABOUT, 10_000.0 - ABOUT)]
