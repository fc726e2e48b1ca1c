# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.
"""Periods of a calendar, in a time zone.

Pure: the present moment is handed in; no input or output, no Ansible, no clock. Zones come from the system's database.
"""

from __future__ import annotations

import datetime
import zoneinfo

from ._errors import MeteringError, doc_of

MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
NAMES = ("this_month", "last_month", "yesterday")


def zone_of(name: str) -> zoneinfo.ZoneInfo:
    """A time zone by its name.

    Raises:
        MeteringError: there is none of that name.
    """
    try:
        return zoneinfo.ZoneInfo(name)
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError) as error:
        raise MeteringError(
            f"{name!r} is not a known time zone.",
            "Days and months begin at different times in different time zones.",
            "Set report_zone to a name such as Europe/Berlin or UTC. If no zone is found at all, tzdata is missing.",
            "pip install tzdata",
        ) from error


def parse_time(text: str, name: str, zone: datetime.tzinfo | None = None) -> datetime.datetime:
    """A time in ISO 8601; where it says no zone, in the one that is given.

    Raises:
        MeteringError: it is none, or there is no zone.
    """
    try:
        found = datetime.datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
    except ValueError:
        found = None
    if found is not None and found.tzinfo is None:
        found = None if zone is None else found.replace(tzinfo=zone)
    if found is None:
        raise MeteringError(
            f"{name} is {text!r}.",
            "A time in a report needs its time zone: a day begins at different times in different zones.",
            f"Set {name} to something like 2026-11-01T00:00:00+01:00.",
            doc_of("report"),
        )
    return found


def day_start(day: datetime.date, place: datetime.tzinfo) -> datetime.datetime:
    """The first moment of a day in a zone.

    A midnight that the clock shows twice begins the day when it is shown first. One that it skips, or a whole day that
    it skips, begins at the moment of the change. The result is made from that moment: its offset is one in force.
    """
    return _at(datetime.datetime.combine(day, datetime.time(), place).timestamp(), place)


def day_of(moment: float, place: datetime.tzinfo) -> datetime.date:
    """The day that a moment (Unix seconds) belongs to: the last one that has begun by then.

    Where the clock goes back over midnight, its date goes back as well; the day that has begun does not end again.
    """
    day = _at(moment, place).date() + datetime.timedelta(days=1)
    while day_start(day, place).timestamp() > moment:
        day -= datetime.timedelta(days=1)
    return day


def _at(moment: float, place: datetime.tzinfo) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(moment, place)


def period(name: str, zone: str, now: str) -> dict[str, str]:
    """The start and the end of a period of the calendar, in ISO 8601.

    Args:
        name: one of NAMES. This month ends now.
        zone: the name of the time zone in which its days begin.
        now: the present moment in ISO 8601, in UTC where it says no zone.

    Raises:
        MeteringError: there is no such period or zone.
    """
    place = zone_of(zone)
    present = parse_time(now, "now", datetime.UTC).astimezone(place)
    today = day_of(present.timestamp(), place)
    first = today.replace(day=1)
    if name == "this_month":
        start = day_start(first, place)
        end = max(start, present.replace(microsecond=0), key=datetime.datetime.timestamp)
    elif name == "last_month":
        before = (first - datetime.timedelta(days=1)).replace(day=1)
        start, end = day_start(before, place), day_start(first, place)
    elif name == "yesterday":
        end = day_start(today, place)
        # Not simply the date before: some zones have skipped one.
        start = day_start(day_of(end.timestamp() - 1, place), place)
    else:
        raise MeteringError(
            f"{name!r} is not a known period.",
            "A report covers one of " + ", ".join(NAMES) + ", or a period between two given times.",
            "Correct report_period, or set report_from and report_to.",
            doc_of("report"),
        )
    return {"start": start.isoformat(), "end": end.isoformat()}


def parse_period(zone: str, now: str, *, name: str = "", begin: str = "", end: str = "") -> dict[str, str]:
    """The start and the end of a named period, or of what lies between two times; these are in the zone by default.

    Raises:
        MeteringError: both are given, or half of the second.
    """
    if not begin and not end:
        return period(name or "last_month", zone, now)
    if name or not (begin and end):
        raise MeteringError(
            "A report covers a named period, or the time from report_from to report_to.",
            "Given: " + ", ".join(filter(None, [name, begin and f"from {begin}", end and f"to {end}"])) + ".",
            "Set report_period alone, or report_from and report_to together.",
            doc_of("report"),
        )
    place = zone_of(zone)
    return {
        "start": parse_time(begin, "report_from", place).isoformat(),
        "end": parse_time(end, "report_to", place).isoformat(),
    }


def name_of_span(start: datetime.datetime, end: datetime.datetime) -> str:
    """A period for a person: a month or a day of the calendar by its name, else both days."""
    if end - start <= datetime.timedelta(0):
        return start.date().isoformat()
    place = start.tzinfo or datetime.UTC
    first, last = start.date(), day_of(end.timestamp() - 0.001, place)
    is_whole = day_start(first, place) == start and day_start(last + datetime.timedelta(days=1), place) == end
    following = (first.replace(day=1) + datetime.timedelta(days=32)).replace(day=1)
    if is_whole and first.day == 1 and last == following - datetime.timedelta(days=1):
        return f"{MONTHS[first.month - 1]} {first.year}"
    if first == last:
        return f"{first.day} {MONTHS[first.month - 1]} {first.year}"
    return f"{first.isoformat()} to {last.isoformat()}"


def span_before(zone: str, start: str, end: str) -> dict[str, str]:
    """The period before another: the month before a whole month, else as long a time.

    Args:
        zone: the name of the time zone in which days begin.
        start: when the other begins, in ISO 8601 with its zone.
        end: when it ends.
    """
    place = zone_of(zone)
    begin, until = (parse_time(text, "a period").astimezone(place) for text in (start, end))
    if begin.day == 1 and day_start(begin.date(), place) == begin:
        before = (begin.date() - datetime.timedelta(days=1)).replace(day=1)
        return {"start": day_start(before, place).isoformat(), "end": begin.isoformat()}
    length = until.timestamp() - begin.timestamp()
    return {"start": _at(begin.timestamp() - length, place).isoformat(), "end": begin.isoformat()}


def days_of_period(start: float, end: float, zone: str) -> list[tuple[str, float, float]]:
    """The days of a period: the date of each, when it begins and when it ends (Unix seconds), both within the period.

    Raises:
        MeteringError: there is no such zone.
    """
    place = zone_of(zone)
    found = []
    at = start
    while at < end:
        day = day_of(at, place)
        following = day + datetime.timedelta(days=1)
        # A day that a zone has skipped begins and ends at once.
        while day_start(following, place).timestamp() <= at:
            following += datetime.timedelta(days=1)
        until = min(day_start(following, place).timestamp(), end)
        found.append((day.isoformat(), at, until))
        at = until
    return found
