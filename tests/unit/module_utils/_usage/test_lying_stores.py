# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Stores that lack a part of what was scraped: the bill is never too high, and what it lacks is a doubt."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.aigateway.metering.plugins.module_utils._usage import doubts as _doubts
from ansible_collections.aigateway.metering.tests.unit.module_utils._usage.test_period import (
    END,
    MIDDLE,
    ONE,
    START,
    STEP,
    TOKENS,
    Replica,
    metered_before,
    read,
    rising,
    running,
    summed,
)

HOLE = (MIDDLE, MIDDLE + 900)


def without(store, begin, until):
    """The same store, in which nothing is stored of a time."""
    for dummy, samples in store.series:
        samples[:] = [(time, value) for time, value in samples if not begin <= time < until]
    return store


def later(store, seconds):
    """The same store, by a clock that is so many seconds ahead."""
    for dummy, samples in store.series:
        samples[:] = [(time + seconds, value) for time, value in samples]
    return store


def scraped(value=rising, **target):
    store = metered_before(Replica())
    store.scrape({**ONE, **target}, START - 600, END, value)
    return store


def read_all(*stores, **known):
    period, sums = summed(list(stores), **known)
    tokens = {key[0]: usage.total for key, usage in sums.used.items()}
    return tokens, _doubts.gravest_first(period.doubts(sums))


# --- a part of the period is not there --------------------------------------------------------------------------------


def test_a_restored_backup_with_a_hole_bills_all_and_tells_how_much_may_be_billed_later():
    tokens, doubts = read(without(scraped(), *HOLE))
    assert tokens == TOKENS
    assert any("it may have counted up to 930 s of traffic" in doubt for doubt in doubts), doubts


def test_what_a_process_had_counted_that_ended_in_a_hole_is_a_doubt_with_its_size():
    ended = HOLE[0] + 600
    tokens, doubts = read(without(scraped(lambda time: rising(time) if time < ended else time - ended), *HOLE))
    seen_last = HOLE[0] - STEP
    assert tokens == {"team-a": 3600 - (ended - seen_last)}
    assert any(re.search(r"up to \d+ s of traffic", doubt) for doubt in doubts), doubts


@pytest.mark.parametrize(
    ("begin", "until"), [(START - 7200, START + 900), (END - 900, END + 1)], ids=["the beginning", "the end"]
)
def test_an_edge_of_the_period_that_is_not_there_is_a_doubt(begin, until):
    store = Replica()
    store.scrape(ONE, START - 600, END, rising)
    tokens, doubts = read(without(store, begin, until), pods=[running("p", START - 9999)])
    assert 0 < tokens["team-a"] < 3600
    assert any("was not scraped from" in doubt or "were there at the first scrape" in doubt for doubt in doubts), doubts


@pytest.mark.parametrize("seconds", [900, 3600, 39_990])
def test_a_gap_that_begins_long_before_the_period_is_told_with_its_whole_length(seconds):
    store = metered_before(Replica())
    store.scrape(ONE, START - seconds - 600, END, rising)
    without(store, START - seconds + 1, START + STEP)
    dummy, doubts = read(store, pods=[running("p", START - 99_999)])
    assert any(f"it may have counted up to {seconds + 30} s of traffic" in doubt for doubt in doubts), doubts


def test_a_scrape_of_another_pod_at_the_same_address_is_not_the_pods_own():
    store = metered_before(Replica())
    store.scrape({"job": "by-hand", "instance": "10.0.0.1:1064"}, START - 43_200, START - 42_000, rising)
    store.scrape(ONE, START + 1800, END, rising)
    dummy, doubts = read(store, pods=[running("p", START - 3000)])
    assert any("it may have counted up to 1800 s of traffic" in doubt for doubt in doubts), doubts


# --- replicas that do not agree ---------------------------------------------------------------------------------------


def test_a_replica_that_is_behind_takes_nothing_from_the_bill():
    behind = without(scraped(), MIDDLE, END + 1)
    assert read_all(behind, scraped())[0] == read_all(scraped(), behind)[0] == TOKENS


def test_the_holes_of_two_replicas_are_filled_by_each_other():
    first, second = without(scraped(), *HOLE), without(scraped(), HOLE[1], HOLE[1] + 900)
    tokens, doubts = read_all(first, second)
    assert tokens == TOKENS
    assert not any("was not scraped" in doubt for doubt in doubts), doubts


@given(seconds=st.integers(-300, 300))
def test_a_clock_that_is_minutes_wrong_bills_nothing_twice(seconds):
    """What the wrong clock puts over an edge of the period is at most what was counted in that time."""
    tokens, dummy = read_all(scraped(), later(scraped(), seconds))
    assert abs(tokens["team-a"] - 3600) <= abs(seconds) + STEP


# --- whatever is not there --------------------------------------------------------------------------------------------


@st.composite
def holes(draw):
    """A sidecar that may begin anew once, of which some times are not stored: the store, and what was counted.

    A second time might be hidden: nothing shows it where the process has counted more by then than the one before.
    """
    begins = [START + draw(st.integers(0, 3500))] if draw(st.booleans()) else []

    def value(time):
        since = max((begin for begin in begins if begin <= time), default=None)
        return rising(time) if since is None else time - since

    store = scraped(value)
    for dummy in range(draw(st.integers(1, 3))):
        begin = START + draw(st.integers(-600, 3500))
        without(store, begin, begin + draw(st.integers(30, 1500)))
    times = [START, *begins, END]
    return store, sum(until - begin for begin, until in pairwise(times))


@given(holes())
def test_the_bill_is_never_too_high_and_what_it_lacks_is_a_doubt(found):
    store, counted = found
    tokens, doubts = read(store, pods=[running("p", START - 9999)])
    billed = tokens.get("team-a", 0)
    # One scrape that is not stored is no gap.
    told = [int(seconds) for doubt in doubts for seconds in re.findall(r"up to (\d+) s of traffic", doubt)]
    assert billed <= counted + sum(told) + 2 * STEP
    if billed < counted - 2 * STEP:
        assert told or any("were there at the first scrape" in doubt for doubt in doubts), (billed, counted, doubts)
