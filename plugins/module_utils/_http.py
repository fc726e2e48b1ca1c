# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""Requests to addresses that are reached directly, and what can go wrong with one before it is answered."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from http.client import HTTPException, InvalidURL
from typing import Any, NamedTuple
from urllib.error import HTTPError, URLError

from ansible.module_utils.urls import open_url

# Statuses of a moment: whoever answers so can be asked again. Some of them no read is answered with cause, but by
# whatever stands between.
RETRIED = frozenset({429, 500, 502, 503, 504})
RETRIED_READS = RETRIED | {408, 409, 410, 425}
# Nobody who wants to be left alone for a moment is asked again sooner.
FIRST_PAUSE = 0.5


class Response(NamedTuple):
    """What came back, whatever the status is."""

    status: int
    text: str
    after: float
    """The seconds after which it wants to be asked again; 0 where it does not say."""


class UnreachableError(Exception):
    """Nothing answered, or not to the end; the text is the reason."""


class InvalidRequestError(Exception):
    """No request could be made of an address and its headers. It has no text: that may have a header in it."""


def seconds_to_wait(headers: Mapping[str, str] | None) -> float:
    """The seconds after which somebody wants to be asked again; 0 where the headers do not say."""
    with contextlib.suppress(TypeError, ValueError):
        found = float((headers or {}).get("Retry-After") or 0)
        return max(found, FIRST_PAUSE) if found > 0 else 0.0
    return 0.0  # a date, which hardly anybody sends


def request(url: str, **options: Any) -> Response:
    """What an address answers.

    Args:
        url: the address.
        options: those of open_url(). Redirects are not followed: they would take credentials elsewhere.

    Raises:
        UnreachableError: nothing answered, or not to the end.
        InvalidRequestError: the address or a header is not valid.
    """
    try:
        try:
            answer = open_url(url, http_agent="aigateway.metering", follow_redirects="none", **options)
        except HTTPError as error:
            answer = error
        with answer:
            text = answer.read().decode("utf-8", "replace")
            return Response(int(answer.status), text, seconds_to_wait(answer.headers))
    except (ValueError, InvalidURL) as error:
        raise InvalidRequestError from error
    except (URLError, OSError, HTTPException) as error:  # an answer that breaks off is none
        raise UnreachableError(str(getattr(error, "reason", error)) or type(error).__name__) from error
