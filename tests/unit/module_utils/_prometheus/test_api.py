# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a store answers on no demand: pages, halves, errors of a moment, things of another kind."""

from __future__ import annotations

import json

import pytest

from ansible_collections.aigateway.metering.plugins.module_utils import _http
from ansible_collections.aigateway.metering.plugins.module_utils._errors import MeteringError, MomentError
from ansible_collections.aigateway.metering.plugins.module_utils._prometheus import api
from ansible_collections.aigateway.metering.plugins.module_utils._prometheus.replica import Replica

RIGHT = json.dumps({"status": "success", "data": {"result": [{"metric": {}, "value": [1, "2"]}]}})
BUSY = json.dumps({"status": "error", "errorType": "unavailable", "error": "TSDB not ready"})
WRONG = json.dumps({"status": "error", "errorType": "bad_data", "error": "parse error"})
PAGES = ["<html>", "", '{"status":"success","data":{"res', "null", '{"status":"success","data":null}', "[]"]


class Script:
    """Somebody who answers one after another as it is written, and the last for ever."""

    name = "monitoring/p"

    def __init__(self, *answers):
        self.answers, self.asked = list(answers), 0

    def text(self, *dummy):
        self.asked += 1
        found = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(found, Exception):
            raise found
        return found

    def hide(self, text):
        return text.replace("a-secret-word", "***")


@pytest.fixture(autouse=True)
def slept(monkeypatch):
    found: list[float] = []
    monkeypatch.setattr("time.sleep", found.append)
    return found


def query(script, at=None):
    return Replica((script,)).query("up", at)


NO_ANSWER = MomentError("monitoring/p does not answer.", "", "")


@pytest.mark.parametrize("first", [*PAGES, BUSY, NO_ANSWER], ids=repr)
def test_a_moment_is_asked_again(first):
    script = Script(first, RIGHT)
    assert query(script) == [{"metric": {}, "value": [1, "2"]}]
    assert script.asked == 2


@pytest.mark.parametrize("page", PAGES)
def test_what_stays_is_told_with_its_first_characters(page):
    with pytest.raises(MeteringError, match="Prometheus monitoring/p answered query with an error: no JSON") as told:
        query(Script(page))
    assert repr(page[:20])[1:-1] in told.value.found


def test_a_question_that_is_wrong_is_asked_once():
    script = Script(WRONG)
    with pytest.raises(MeteringError, match="parse error"):
        query(script)
    assert script.asked == 1


def test_a_report_of_the_past_outlives_a_restart(slept):
    script = Script(*[NO_ANSWER] * 6, RIGHT)
    query(script, at=1000.0)
    assert 30 < sum(slept) <= api.PATIENCE_FOR_PAST


def test_nobody_is_waited_for_without_an_end(slept):
    with pytest.raises(MomentError):
        query(Script(NO_ANSWER), at=1000.0)
    assert sum(slept) <= api.PATIENCE_FOR_PAST
    slept.clear()
    with pytest.raises(MomentError):
        query(Script(NO_ANSWER))
    assert sum(slept) <= api.PATIENCE


@pytest.mark.parametrize("item", ["null", "[]", '"x"', "{}", '{"metric": null}'])
def test_something_that_is_no_series_is_told(item):
    with pytest.raises(MeteringError, match="answered a query with something that is no series"):
        query(Script(f'{{"status": "success", "data": {{"result": [{item}]}}}}'))


def test_a_secret_in_an_answer_is_not_shown():
    with pytest.raises(MeteringError) as told:
        query(Script("<html>a-secret-word"))
    assert "a-secret-word" not in str(told.value)


# -- by an address -----------------------------------------------------------------------------------------------------


class Served:
    """An address that answers one after another as it is written, and the last for ever: status, text, Retry-After."""

    def __init__(self, monkeypatch, *answers):
        self.answers, self.asked = list(answers), 0
        monkeypatch.setattr(api, "request", self._request)

    def _request(self, *dummy, **options):
        del options
        self.asked += 1
        status, text, *after = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return _http.Response(status, text, after[0] if after else 0.0)


ADDRESS = api.Address("https://prometheus.example", {"token": "a-secret-word"})
STATUS = json.dumps({"kind": "Status", "status": "Failure", "message": "of no cause"})


@pytest.mark.parametrize("text", [STATUS, "<html>", "", BUSY])
@pytest.mark.parametrize("status", [401, 403, 408, 409, 410, 425, 429, 500, 502, 503, 504])
def test_a_moment_of_an_address_is_asked_again_whatever_it_says(monkeypatch, status, text):
    served = Served(monkeypatch, (status, text), (200, RIGHT))
    assert query(ADDRESS) == [{"metric": {}, "value": [1, "2"]}]
    assert served.asked == 2


@pytest.mark.parametrize("status", [429, 503])
def test_an_address_is_left_alone_for_as_long_as_it_wants(monkeypatch, slept, status):
    Served(monkeypatch, (status, "", 20.0), (200, RIGHT))
    query(ADDRESS)
    assert slept == [20.0]


def test_an_address_that_wants_to_be_left_alone_for_ever_is_told(monkeypatch, slept):
    Served(monkeypatch, (503, "", 20.0))
    with pytest.raises(MeteringError, match=r"https://prometheus.example answered 503 to /api/v1/query"):
        query(ADDRESS)
    assert sum(slept) <= api.PATIENCE_FOR_PAST


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_of_an_address_is_believed_at_the_second(monkeypatch, status):
    served = Served(monkeypatch, (status, "no"))
    with pytest.raises(api.NotLetInError, match=f"it answered {status}"):
        query(ADDRESS)
    assert served.asked == 2


@pytest.mark.parametrize("status", [404, 405, 501])
def test_what_an_address_does_not_serve_is_asked_for_once(monkeypatch, status):
    served = Served(monkeypatch, (status, "no"))
    with pytest.raises(api.NotServedError):
        query(ADDRESS)
    assert served.asked == 1


@pytest.mark.parametrize(
    ("text", "reason"),
    [(BUSY, "TSDB not ready"), ("<html>\n busy", "<html> busy"), ("", "no reason given"), ("x" * 5000, "xxx…xxx")],
)
def test_the_reason_of_an_address_is_in_its_own_words_and_short(monkeypatch, text, reason):
    Served(monkeypatch, (500, text))
    with pytest.raises(MomentError) as told:
        query(ADDRESS)
    begin, dummy, end = reason.partition("…")
    assert begin in told.value.found
    assert end in told.value.found
    assert len(told.value.found) < 200


def test_a_secret_in_the_reason_of_an_address_is_not_shown(monkeypatch):
    Served(monkeypatch, (500, "you are a-secret-word"))
    with pytest.raises(MomentError) as told:
        query(ADDRESS)
    assert "a-secret-word" not in str(told.value)
