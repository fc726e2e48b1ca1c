# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What sidecars expose and nobody stores is found, whatever dropped it on the way."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.aigateway.metering.plugins.module_utils._gateway.exposition import TokenSum
from ansible_collections.aigateway.metering.plugins.module_utils._scrape import stored_tokens
from ansible_collections.aigateway.metering.plugins.module_utils._scrape.stored_tokens import Item, StoredTokens
from ansible_collections.aigateway.metering.tests.unit.objects import sidecar

TARGET = {"job": "ns/m", "namespace": "gateways", "pod": "p", "instance": "10.0.0.1:1064", "container": "c"}


def exposed(tokens=10, kind="input", **labels):
    return TokenSum({"gen_ai_token_type": kind, "user_namespace": "a", "otel_scope_name": "x", **labels}, tokens)


def stored(tokens=10, kind="input", target=None, **labels):
    own = {"__name__": "gen_ai_client_token_usage_sum", "gen_ai_token_type": kind, "user_namespace": "a"}
    return Item({**(target or TARGET), **own, **labels}, tokens)


TWICE = {**TARGET, "job": "other"}


@pytest.mark.parametrize(
    ("samples", "items", "lacking"),
    [
        pytest.param([exposed()], [stored()], 0, id="as it is exposed"),
        pytest.param([exposed(10)], [stored(3)], 0, id="as it was at the last scrape"),
        pytest.param([exposed()], [], 10, id="nothing"),
        pytest.param([exposed(), exposed(5, user_namespace="b")], [stored()], 5, id="a part"),
        pytest.param([exposed(), exposed(4, "output")], [stored()], 4, id="one type"),
        pytest.param([exposed(), exposed(4, "cached_input")], [stored()], 0, id="a part of what is in the total"),
        pytest.param([exposed()], [stored(department="x")], 0, id="with a label more"),
        pytest.param([exposed()], [stored(user_namespace="A")], 0, id="with labels that were edited"),
        pytest.param([exposed()], [stored(4, user_namespace="A")], 6, id="edited, and less"),
        pytest.param([exposed(10)], [stored(6, x="1"), stored(6, target=TWICE, user_namespace="b")], 0, id="twice"),
        pytest.param([exposed(0)], [], 0, id="no token yet"),
        pytest.param([], [], 0, id="no request yet"),
        pytest.param(
            [exposed()],
            [Item({**TARGET, "gen__ai_dot_token_dot_type": "input", "user_namespace": "a"}, 10)],
            0,
            id="under escaped names",
        ),
        pytest.param(
            [exposed(service="s")], [stored(exported_service="s", service="t")], 0, id="a label that the scrape renames"
        ),
    ],
)
def test_what_is_not_stored_is_counted(samples, items, lacking):
    assert stored_tokens.unstored(samples, items) == lacking


def test_a_native_histogram_has_its_tokens_in_its_sum():
    assert stored_tokens.value_of({"metric": {}, "histogram": [1.0, {"count": "2", "sum": "17"}]}) == 17
    assert stored_tokens.value_of({"metric": {}, "value": [1.0, "17"]}) == 17


P = sidecar("p", ip="10.0.0.1")
OTHER = sidecar("p", "elsewhere", ip="10.0.0.2")


@pytest.mark.parametrize(
    ("labels", "among", "own"),
    [
        pytest.param(TARGET, [P], True, id="its own"),
        pytest.param(
            {**TARGET, "namespace": "elsewhere", "instance": "10.0.0.2:1064"}, [P, OTHER], False, id="another"
        ),
        pytest.param(
            {**TARGET, "namespace": "enforced"}, [P, OTHER], True, id="at its address, under another namespace"
        ),
        pytest.param({**TARGET, "namespace": "enforced", "instance": "x"}, [P], True, id="the only one of its name"),
        pytest.param({"instance": "10.0.0.1:1064", "job": "by-hand"}, [P], True, id="without the pod"),
        pytest.param({"instance": "10.0.0.9:1064", "job": "by-hand"}, [P], False, id="without the pod, elsewhere"),
    ],
)
def test_whose_a_stored_series_is(labels, among, own):
    assert bool(StoredTokens(among, [Item(labels, 1.0)]).of_sidecar(P)) is own


class Replica:
    """A replica that remembers what it was asked, and has one series of each pod."""

    def __init__(self):
        self.asked = []

    def query(self, promql):
        self.asked.append(promql)
        return [
            {"metric": {"pod": name, "namespace": "gateways"}, "value": [0, "1"]}
            for name in promql.partition('pod=~"')[2].partition('"')[0].split("|")
        ]


def test_many_sidecars_are_asked_for_in_parts_that_fit_into_an_address():
    replica: Any = Replica()
    many = [sidecar(f"p{number}") for number in range(250)]
    stored = stored_tokens.read_stored_tokens(replica, many)
    assert len(replica.asked) == 3
    assert max(map(len, replica.asked)) < 8000
    assert all(stored.of_sidecar(item) for item in many)
