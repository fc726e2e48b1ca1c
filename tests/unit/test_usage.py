# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A period as it is read from a store: no scrape changes what is billed, and what cannot be known is told."""

from __future__ import annotations

import re
from typing import Any

import pytest

from ansible_collections.aigateway.metering.plugins.module_utils import _accounting, _usage

START, END, STEP = 100_000.0, 103_600.0, 30.0
SUM = "gen_ai_client_token_usage_sum"
OF_TEAM = {"user_namespace": "team-a", "gen_ai_token_type": "input"}


class Store:
    """A Prometheus that holds some series, and knows the three queries that a period is read by."""

    def __init__(self) -> None:
        self.series: list[tuple[dict[str, str], list[tuple[float, float]]]] = []
        self.asked: list[str] = []

    def scrape(self, target, begin, end, value, *, own=None, tokens=True, step=STEP):
        """What a target stores: that it is up, and a counter's values by the time."""
        times = [begin + index * step for index in range(int((end - begin) / step) + 1)]
        labels = {"instance": "10.0.0.1:1064", **target}
        exposed = {"up": 1.0, "scrape_samples_scraped": 20.0, "scrape_samples_post_metric_relabeling": 20.0}
        if not tokens:
            exposed["scrape_samples_post_metric_relabeling"] = 5.0
        for name, number in exposed.items():
            self.series.append(({"__name__": name, **labels}, [(time, number) for time in times]))
        if tokens:
            values = [(time, float(value(time))) for time in times if value(time) is not None]
            self.series.append(({"__name__": SUM, **labels, **(OF_TEAM if own is None else own)}, values))

    def query(self, promql: str, at: float) -> list[dict[str, Any]]:
        self.asked.append(promql)
        grouped = promql.startswith("group by")
        body = re.search(r"\{(.*)\}\[(\d+)([sd])\]", promql)
        assert body, promql
        window = int(body[2]) * (86400 if body[3] == "d" else 1)
        matchers = re.findall(r'(\w+)(=~|=)"((?:[^"\\]|\\.)*)"', body[1])
        found: list[dict[str, Any]] = []
        for labels, samples in self.series:
            fits = all(
                re.fullmatch(text, labels.get(name, "")) if sign == "=~" else labels.get(name, "") == text
                for name, sign, text in matchers
            )
            inside = [(time, str(value)) for time, value in samples if at - window < time <= at]
            if fits and inside:
                last = {"value": inside[-1]} if "last_over_time" in promql else {"values": inside}
                named = {name: labels[name] for name in ("pod", "instance") if name in labels}
                found.append({"metric": named if grouped else labels, **last})
        return found


def read(store, began=(), **matchers):
    """The tokens of the period, and its doubts."""
    period = _usage.Period([store], START, END, END, ports=[1064], began=dict(began), matchers=matchers)
    counters = period.read()
    used = _accounting.summed({key: counter.total for key, counter in counters.items()}, ["namespace"])
    return {key[0]: usage.total for key, usage in used.items()}, period.doubts(counters)


def rising(time):
    """A counter of an old process: a million before the period, and one token each second in it."""
    return 1_000_000 + (time - START)


ONE = {"pod": "p", "namespace": "gateways", "job": "one"}
WHOLE = (START - 600, END)
MIDDLE = START + 1800
TOKENS = {"team-a": 3600}


def test_one_scrape_that_goes_on_is_billed_what_it_grew():
    store = Store()
    store.scrape(ONE, *WHOLE, rising)
    assert read(store)[0] == TOKENS


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({**ONE, "job": "two"}, id="another job"),
        pytest.param({**ONE, "app": "envoy"}, id="a label of the pod that was added to the target"),
        pytest.param({**ONE, "cluster": "c"}, id="an external label"),
        pytest.param({"job": "by-hand"}, id="a scrape that does not say the pod"),
    ],
)
@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(WHOLE, WHOLE, id="beside it"),
        pytest.param((START - 600, MIDDLE), (MIDDLE + STEP, END), id="after it"),
    ],
)
def test_another_scrape_bills_nothing_twice(other, first, second):
    store = Store()
    for target, (begin, end) in ((ONE, first), (other, second)):
        store.scrape(target, begin, end, rising)
    assert read(store)[0] == TOKENS


@pytest.mark.parametrize("name", ["service", "replica", "prometheus"])
def test_a_label_of_the_sidecar_counts_whatever_its_name(name):
    store = Store()
    for value in ("x", "y"):
        store.scrape(ONE, *WHOLE, rising, own={**OF_TEAM, name: value})
    assert read(store)[0] == {"team-a": 7200}


def test_a_counter_that_appears_at_a_target_that_was_scraped_before_is_new():
    store = Store()
    store.scrape(ONE, *WHOLE, lambda time: 7 if time >= MIDDLE else None)
    assert read(store) == (
        {"team-a": 7},
        ["p has ended after its last scrape at 1970-01-02T04:46:40+00:00: what it counted then is lost."],
    )


def test_the_past_of_a_sidecar_that_is_scraped_late_is_told_and_not_billed():
    store = Store()
    store.scrape(ONE, MIDDLE, END, rising)
    tokens, doubts = read(store, began={"p": START - 9999})
    assert tokens == {"team-a": 1800}
    assert any("1001800 input tokens of team-a on p were there at the first scrape" in doubt for doubt in doubts)
    assert any("p was not scraped from" in doubt for doubt in doubts)


def test_a_restart_in_the_period_does_not_make_an_older_counter_new():
    """Kubernetes tells when the present process has begun, not the one before it."""
    store = Store()
    store.scrape(ONE, MIDDLE, END, lambda time: rising(time) if time < MIDDLE + 900 else time - MIDDLE - 900)
    tokens, doubts = read(store, began={"p": MIDDLE + 900})
    assert tokens["team-a"] < 1_000_000
    assert any("may be older than the period" in doubt for doubt in doubts)


def test_what_another_target_of_the_pod_has_seen_does_not_make_a_counter_new():
    store = Store()
    store.scrape({**ONE, "job": "drops-the-tokens"}, *WHOLE, rising, tokens=False)
    store.scrape(ONE, MIDDLE, END, rising)
    tokens, dummy = read(store)
    assert tokens == {"team-a": 1800}


def test_a_sidecar_that_began_in_the_period_is_billed_from_0():
    store = Store()
    store.scrape(ONE, MIDDLE + STEP, END, lambda time: time - MIDDLE)
    assert read(store, began={"p": MIDDLE})[0] == {"team-a": 1800}


def test_an_older_series_of_the_pod_does_not_hide_the_present_one():
    store = Store()
    store.scrape({**ONE, "instance": "10.0.0.9:1064"}, START - 50_000, START - 40_000, lambda _: 50_000)
    store.scrape(ONE, *WHOLE, lambda time: 100 + (time - START + 600))
    assert read(store)[0] == TOKENS


def test_a_running_sidecar_that_nobody_scrapes_any_more_is_told():
    store = Store()
    store.scrape(ONE, START - 600, MIDDLE, rising)
    dummy, doubts = read(store, began={"p": START - 9999})
    assert [doubt for doubt in doubts if doubt.startswith("p was not scraped from")] != []


def test_a_running_sidecar_that_was_never_scraped_is_told():
    dummy, doubts = read(Store(), began={"p": START - 9999})
    assert any(doubt.startswith("p was not scraped from") for doubt in doubts)


def test_tokens_of_nobody_are_told():
    store = Store()
    store.scrape(ONE, *WHOLE, rising, own={"gen_ai_token_type": "input"})
    dummy, doubts = read(store)
    assert "3600 tokens carry no user_namespace: they can be billed to nobody." in doubts


def test_both_names_of_the_metric_are_one_counter():
    store = Store()
    store.scrape(ONE, START - 600, MIDDLE, rising)
    labels, samples = store.series.pop()
    renamed = {name.replace("gen_ai_token", "gen_ai.token"): value for name, value in labels.items()}
    store.series.append(({**renamed, "__name__": "gen_ai.client.token.usage_token_sum"}, samples))
    store.scrape(ONE, MIDDLE + STEP, END, rising)
    assert read(store)[0] == TOKENS


def test_a_restart_that_scrapes_have_shown_is_seen_however_high_the_counter_is_again():
    """The pod is scraped, and has no such counter until the first request after the restart."""
    store = Store()
    store.scrape(ONE, START - 600, END, lambda time: 1000 if time < MIDDLE else 1500 if time > MIDDLE + 600 else None)
    assert read(store)[0] == {"team-a": 1500}


def test_tokens_that_were_dropped_and_then_kept_are_not_billed_for_their_past():
    store = Store()
    store.scrape(ONE, START - 600, MIDDLE, rising, tokens=False)
    store.scrape(ONE, MIDDLE + STEP, END, rising)
    assert read(store)[0] == {"team-a": 1770}


def test_another_application_with_the_same_metric_is_not_billed():
    store = Store()
    store.scrape(ONE, *WHOLE, rising)
    store.scrape({"pod": "app", "job": "app", "instance": "10.0.0.7:8000"}, WHOLE[0], WHOLE[1], rising)
    assert read(store)[0] == TOKENS


def test_another_cluster_in_the_store_is_left_out_where_labels_tell_it():
    store = Store()
    for name in ("a", "b"):
        store.scrape({**ONE, "pod": name, "cluster": name}, *WHOLE, rising)
    assert read(store, cluster="a")[0] == TOKENS


def test_an_address_that_two_pods_had_bills_nothing_twice():
    store = Store()
    store.scrape({**ONE, "pod": "p1"}, START - 600, MIDDLE, rising)
    store.scrape({**ONE, "pod": "p2"}, MIDDLE + STEP, END, lambda time: time - MIDDLE)
    store.scrape({"job": "by-hand"}, *WHOLE, lambda time: rising(time) if time <= MIDDLE else time - MIDDLE)
    tokens, doubts = read(store, began={"p2": MIDDLE + 1})
    assert tokens == {"team-a": 1800 + 1800}
    assert any("Several pods had the address 10.0.0.1:1064" in doubt for doubt in doubts)


def test_a_pod_that_began_after_the_period_is_no_doubt():
    store = Store()
    store.scrape(ONE, *WHOLE, rising)
    assert not any(doubt.startswith("late") for doubt in read(store, began={"late": END + 99})[1])


def test_a_period_of_many_parts_adds_up_and_asks_little_of_pods_that_were_not_there(monkeypatch):
    monkeypatch.setattr(_usage, "PART", 600)
    store = Store()
    store.scrape(ONE, START - 600, START + 1380, rising)
    store.scrape({**ONE, "pod": "q", "instance": "10.0.0.2:1064"}, MIDDLE + 1200, END, lambda time: time - MIDDLE)
    tokens, dummy = read(store, began={"q": MIDDLE + 1})
    assert tokens == {"team-a": 1380 + 1800}
    # Of six parts the first pod was there in three, and shortly before the fourth; the second in two.
    looks = [
        sum(f'pod="{pod}"' in asked and asked.startswith('{__name__=~"up|') for asked in store.asked) for pod in "pq"
    ]
    assert looks == [4, 2]
