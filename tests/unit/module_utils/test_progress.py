# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Long work shows progress, and waits have a bound."""

from __future__ import annotations

import pytest

from ansible_collections.aigateway.metering.plugins.module_utils import _progress
from ansible_collections.aigateway.metering.plugins.module_utils._errors import MeteringError, MomentError


@pytest.fixture
def told(monkeypatch, tmp_path):
    """What has been told so far, as lines."""
    path = tmp_path / "progress"
    path.touch()
    monkeypatch.setenv(_progress.VARIABLE, str(path))
    monkeypatch.setattr(_progress, "FIRST_POLL_SECONDS", 0)
    monkeypatch.setattr(_progress, "POLL_SECONDS", 0)
    return lambda: path.read_text(encoding="utf-8").splitlines()


def answers(*texts):
    """A probe that has these answers, one after another."""
    left = list(texts)
    return lambda: left.pop(0)


def test_each_thing_waited_for_is_told_once_and_then_the_end(told):
    _progress.wait("proxy p", answers("a", "a", "b", ""), 60)
    assert told() == [
        "proxy p: waiting for a (0 s of at most 60 s)",
        "proxy p: waiting for b (0 s of at most 60 s)",
        "proxy p: done after 0 s",
    ]


def test_what_takes_long_is_told_again(told, monkeypatch):
    monkeypatch.setattr(_progress, "REPEAT_SECONDS", 0)
    _progress.wait("proxy p", answers("a", "a", ""), 60)
    assert len(told()) == 3


def test_nothing_is_told_where_nothing_had_to_be_waited_for(told):
    _progress.wait("proxy p", answers(""), 60)
    assert told() == []


@pytest.mark.usefixtures("told")
def test_what_is_still_missing_when_the_time_is_over_is_returned():
    assert _progress.wait("proxy p", lambda: "a", 0) == "a"


def raising(*ends):
    """A probe that ends so, one after another."""
    left = list(ends)

    def probe():
        end = left.pop(0)
        if isinstance(end, Exception):
            raise end
        return end

    return probe


def test_a_wait_goes_on_while_the_api_server_restarts(told):
    gone = MomentError("The API server can no longer be reached.", "why", "command")
    assert _progress.wait("proxy p", raising("a", gone, gone, ""), 60) == ""
    assert "waiting for an answer. The API server can no longer be reached" in " ".join(told())


@pytest.mark.usefixtures("told")
def test_a_wait_ends_with_what_it_could_not_read():
    gone = MomentError("The API server can no longer be reached.", "why", "command")
    with pytest.raises(MomentError, match="can no longer be reached"):
        _progress.wait("proxy p", raising(gone), 0)


@pytest.mark.usefixtures("told")
def test_a_wait_ends_at_once_where_waiting_does_not_help():
    with pytest.raises(MeteringError, match="reverted"):
        _progress.wait("proxy p", raising("a", MeteringError("reverted", "why", "command"), ""), 60)


def test_a_line_is_one_line(told):
    _progress.tell("one\n  two")
    assert told() == ["one two"]


def test_without_a_place_for_it_nothing_is_told(monkeypatch):
    monkeypatch.delenv(_progress.VARIABLE, raising=False)
    _progress.tell("unheard")


def test_a_place_that_is_gone_is_no_failure(monkeypatch, tmp_path):
    monkeypatch.setenv(_progress.VARIABLE, str(tmp_path / "gone" / "progress"))
    _progress.tell("unheard")
