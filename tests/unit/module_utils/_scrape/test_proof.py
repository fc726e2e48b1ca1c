# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the check of the live scrape says once the targets are right: proven, on its way out, or not known."""

from __future__ import annotations

from typing import Any

import promql_parser
import pytest

from ansible_collections.aigateway.metering.plugins.module_utils._errors import MeteringError
from ansible_collections.aigateway.metering.plugins.module_utils._gateway import reader
from ansible_collections.aigateway.metering.plugins.module_utils._gateway.exposition import TokenSum
from ansible_collections.aigateway.metering.plugins.module_utils._gateway.unmetered import Unmetered
from ansible_collections.aigateway.metering.plugins.module_utils._modules import prom_scrape_check
from ansible_collections.aigateway.metering.plugins.module_utils._scrape import live_targets, proof
from ansible_collections.aigateway.metering.plugins.module_utils._scrape.context import View
from ansible_collections.aigateway.metering.tests.unit.objects import (
    monitoring,
    pod_monitor,
    prometheus,
    sidecar,
    target,
)

P = sidecar("p", ip="10.0.0.1")
POOL = "podMonitor/gateways/monitor/0"
RIGHT = {"main-0": live_targets.judge_targets([target("10.0.0.1:1064", POOL)], [P])}


class Cluster:
    """An API server that has one monitor, or none."""

    def __init__(self, monitor=None):
        self.monitor = monitor

    def get(self, api, plural, namespace, name):
        del api, plural
        return self.monitor if (namespace, name) == ("gateways", "monitor") else None


class Backend:
    """A store that answers nothing but why it cannot."""

    has_a_store = True

    def storing(self, dummy):
        raise MeteringError("store-0 does not answer.", "Nothing is known.", "look at store-0.")


def view(**known: Any) -> View:
    backend: Any = known.get("backend")
    return View([P], [], monitoring(), prometheus(**known.get("scraper", {})), backend)


@pytest.mark.parametrize(
    ("monitor", "scraper", "said"),
    [
        pytest.param(pod_monitor("monitor"), {}, "", id="it is there and selected"),
        pytest.param(None, {}, "PodMonitor gateways/monitor is gone", id="it was deleted"),
        pytest.param(
            pod_monitor("monitor"),
            {"selector": {"matchLabels": {"team": "other"}}},
            "PodMonitor gateways/monitor is no longer selected",
            id="it is not selected any more",
        ),
    ],
)
def test_a_target_whose_monitor_has_just_been_withdrawn_proves_nothing(monitor, scraper, said):
    cluster: Any = Cluster(monitor)
    found = proof.withdrawn(cluster, view(scraper=scraper), proof.Seen([P], RIGHT))
    assert [text.partition("; its targets")[0] for text in found] == ([said] if said else [])


def test_a_store_that_does_not_answer_is_named_and_no_scrape_is_blamed(monkeypatch):
    counted = TokenSum({"gen_ai_token_type": "input"}, 10.0)
    monkeypatch.setattr(reader, "read_readable_token_sums", lambda *_: ({P.name: [counted]}, {}))
    seen = proof.Seen([P], RIGHT)
    cluster: Any = Cluster()
    seen.still = proof.still_unstored(cluster, view(backend=Backend()), seen)
    monkeypatch.setattr(proof, "seen_within", lambda *_: seen)
    with pytest.raises(MeteringError, match=r"store-0 does not answer\. .* look at store-0"):
        proof.wait_until_scraped_once(cluster, view(), 0, strict=True)


def test_a_second_scrape_that_is_allowed_hides_no_unmetered_proxy(monkeypatch):
    doubled = live_targets.judge_targets([target("10.0.0.1:1064", POOL), target("10.0.0.1:1064", "by-hand")], [P])
    unmetered = Unmetered("gateways/q", "team-a/chat", "it runs without it", "", "kubectl delete pod q")
    seen = proof.Seen([P], {"main-0": doubled}, still="gateways/q", unmetered=[unmetered])
    monkeypatch.setattr(proof, "seen_within", lambda *_: seen)
    cluster: Any = Cluster()
    with pytest.raises(MeteringError, match="The tokens that these proxies serve are not counted"):
        proof.wait_until_scraped_once(cluster, view(), 0, strict=False)


class Answering:
    """A replica of several shards that says how many series each asked label has."""

    def __init__(self, answers):
        self.answers, self.asked = answers, []

    def query(self, promql):
        self.asked.append(promql)
        return [{"metric": {prom_scrape_check.MARK: name}, "value": [0, str(number)]} for name, number in self.answers]


@pytest.mark.parametrize(
    ("labels", "answers", "told"),
    [
        pytest.param([], [("", 3)], (3, {}), id="no labels"),
        pytest.param(["b", "a"], [("", 2), ("a", 1), ("b", 2)], (2, {"b": 2, "a": 1}), id="some labels"),
        pytest.param(["a"], [("", 1), ("a", 1), ("", 2), ("a", 2)], (3, {"a": 3}), id="summed over shards"),
        pytest.param(["a", "b"], [("", 1), ("a", 1)], (1, {"a": 1}), id="one that no series carries"),
    ],
)
def test_how_many_series_are_stored_and_carry_each_label_is_one_question(labels, answers, told):
    replica: Any = Answering(answers)
    assert prom_scrape_check.stored_series(replica, [sidecar("p")], labels) == told
    assert len(replica.asked) == 1


def test_the_question_for_labels_is_promql_also_for_odd_names():
    replica: Any = Answering([])
    prom_scrape_check.stored_series(replica, [sidecar("p")], ["user_namespace", "user.id"])
    promql_parser.parse(replica.asked[0])
