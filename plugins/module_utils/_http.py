# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""Requests to addresses that are reached directly, and what can go wrong with one before it is answered."""

from __future__ import annotations

from http.client import HTTPException, InvalidURL
from typing import Any
from urllib.error import HTTPError, URLError

from ansible.module_utils.urls import open_url


class UnreachableError(Exception):
    """Nothing answered, or not to the end; the text is the reason."""


class InvalidRequestError(Exception):
    """No request could be made of an address and its headers. It has no text: that may have a header in it."""


def request(url: str, **options: Any) -> tuple[int, str]:
    """The status and the text of an answer, whatever the status is.

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
            return int(answer.status), answer.read().decode("utf-8", "replace")
    except (ValueError, InvalidURL) as error:
        raise InvalidRequestError from error
    except (URLError, OSError, HTTPException) as error:  # an answer that breaks off is none
        raise UnreachableError(str(getattr(error, "reason", error)) or type(error).__name__) from error
