# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Periods of a calendar: whatever a zone does with its clock, the end of one is the beginning of the next."""

from __future__ import annotations

import datetime
import itertools
import zoneinfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ansible_collections.aigateway.metering.plugins.module_utils import _calendar

ZONES = sorted(zoneinfo.available_timezones() - {"localtime"})
# Midnights that are odd: repeated (St. John's, Havana), skipped (Santiago, Beirut), a whole day skipped (Apia).
ODD = [
    ("America/St_Johns", "2010-11-07T02:40:00+00:00"),
    ("America/St_Johns", "2010-11-07T03:20:00+00:00"),
    ("America/Havana", "2023-11-05T05:30:00+00:00"),
    ("America/Santiago", "2024-09-08T04:10:00+00:00"),
    ("Asia/Beirut", "2022-03-27T00:30:00+00:00"),
    ("Pacific/Apia", "2011-12-30T11:00:00+00:00"),
    ("Pacific/Apia", "2012-01-01T11:00:00+00:00"),
    ("Pacific/Kwajalein", "1993-08-22T13:00:00+00:00"),
    ("America/Asuncion", "2024-10-06T04:30:00+00:00"),
]
moments = st.datetimes(
    min_value=datetime.datetime(1950, 1, 1), max_value=datetime.datetime(2040, 1, 1), timezones=st.just(datetime.UTC)
)


def ends(name: str, zone: str, now: str) -> tuple[float, float]:
    found = _calendar.period(name, zone, now)
    start, end = (datetime.datetime.fromisoformat(found[key]).timestamp() for key in ("start", "end"))
    return start, end


def examples(test):
    for zone, now in ODD:
        test = example(zone=zone, now=datetime.datetime.fromisoformat(now))(test)
    return test


@examples
@settings(max_examples=500, deadline=None)
@given(zone=st.sampled_from(ZONES), now=moments)
def test_the_end_of_a_period_is_the_beginning_of_the_next(zone, now):
    asked = now.isoformat()
    yesterday, last_month, this_month = (ends(name, zone, asked) for name in ("yesterday", "last_month", "this_month"))
    assert last_month[1] == this_month[0] <= this_month[1] <= now.timestamp() + 1e-6
    assert yesterday[0] < yesterday[1] <= now.timestamp()
    # The same day, asked for a day later; and the same month, asked for when it is over.
    later = datetime.datetime.fromtimestamp(yesterday[1] - 1, datetime.UTC).isoformat()
    assert ends("yesterday", zone, later)[1] == yesterday[0]
    later = datetime.datetime.fromtimestamp(last_month[1] - 1, datetime.UTC).isoformat()
    assert ends("this_month", zone, later)[0] == last_month[0]


@examples
@settings(max_examples=500, deadline=None)
@given(zone=st.sampled_from(ZONES), now=moments)
def test_the_days_of_a_period_follow_each_other_and_fill_it(zone, now):
    start, end = now.timestamp(), now.timestamp() + 4 * 86400
    days = _calendar.days_of_period(start, end, zone)
    assert (days[0][1], days[-1][2]) == (start, end)
    assert all(earlier[2] == later[1] for earlier, later in itertools.pairwise(days))
    assert [day[0] for day in days] == sorted({day[0] for day in days})
    assert all(0 < until - begin <= 86400 * 1.5 for dummy, begin, until in days)


@pytest.mark.parametrize(
    ("zone", "now", "start"),
    [
        pytest.param("Pacific/Apia", "2011-12-31T10:00:00+14:00", "2011-12-29T00:00:00-10:00", id="a skipped day"),
        pytest.param("America/Santiago", "2024-09-09T12:00:00-03:00", "2024-09-08T01:00:00-03:00", id="a skipped hour"),
        pytest.param("America/St_Johns", "2010-11-08T12:00:00-03:30", "2010-11-07T00:00:00-02:30", id="shown twice"),
    ],
)
def test_a_day_begins_when_its_zone_first_says_so(zone, now, start):
    found = _calendar.period("yesterday", zone, now)["start"]
    assert datetime.datetime.fromisoformat(found) == datetime.datetime.fromisoformat(start)
