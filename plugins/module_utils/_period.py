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

from ansible_collections.aigateway.metering.plugins.module_utils._errors import MeteringError

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
            f"There is no time zone {name!r}.",
            "A day or a month begins at another moment in another zone.",
            "set report_zone to a name such as Europe/Berlin or UTC; where none is known at all, pip install tzdata.",
        ) from error


def moment(text: str, name: str, zone: datetime.tzinfo | None = None) -> datetime.datetime:
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
            "A period needs a time with its zone: a day does not begin everywhere at once.",
            f"set {name} to something like 2026-11-01T00:00:00+01:00.",
        )
    return found


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
    present = moment(now, "now", datetime.UTC).astimezone(place)
    today = present.replace(hour=0, minute=0, second=0, microsecond=0)
    first = today.replace(day=1)
    if name == "this_month":
        start, end = first, present.replace(microsecond=0)
    elif name == "last_month":
        # The wall clock of a zone: subtracting a day before its first keeps to midnight across a change of the clock.
        start, end = (first - datetime.timedelta(days=1)).replace(day=1), first
    elif name == "yesterday":
        start, end = today - datetime.timedelta(days=1), today
    else:
        raise MeteringError(
            f"There is no period {name!r}.",
            "A report is about one of " + ", ".join(NAMES) + ", or about what lies between two times.",
            "correct report_period, or set report_from and report_to.",
        )
    return {"start": start.isoformat(), "end": end.isoformat()}


def span(zone: str, now: str, *, name: str = "", begin: str = "", end: str = "") -> dict[str, str]:
    """The start and the end of a named period, or of what lies between two times; these are in the zone by default.

    Raises:
        MeteringError: both are given, or half of the second.
    """
    if not begin and not end:
        return period(name or "last_month", zone, now)
    if name or not (begin and end):
        raise MeteringError(
            "A report is about a named period, or about what lies between two times.",
            "Given are " + ", ".join(filter(None, [name, begin and f"from {begin}", end and f"to {end}"])) + ".",
            "set report_period alone, or report_from and report_to together.",
        )
    place = zone_of(zone)
    return {
        "start": moment(begin, "report_from", place).isoformat(),
        "end": moment(end, "report_to", place).isoformat(),
    }


def days(start: float, end: float, zone: str) -> list[tuple[str, float, float]]:
    """The days of a period: the date of each, when it begins and when it ends (Unix seconds), both within the period.

    Raises:
        MeteringError: there is no such zone.
    """
    place = zone_of(zone)
    found = []
    at = start
    while at < end:
        date = datetime.datetime.fromtimestamp(at, place).date()
        midnight = datetime.datetime.combine(date + datetime.timedelta(days=1), datetime.time(), place)
        until = min(midnight.timestamp(), end)
        found.append((date.isoformat(), at, until))
        at = until
    return found
