# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A period as it is read from a store: no scrape changes what is billed, and what cannot be known is told."""

from __future__ import annotations

import functools
import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import promql_parser
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.aigateway.metering.plugins.module_utils import _calendar
from ansible_collections.aigateway.metering.plugins.module_utils._prometheus import promql as _promql
from ansible_collections.aigateway.metering.plugins.module_utils._usage import doubts as _doubts
from ansible_collections.aigateway.metering.plugins.module_utils._usage import owners as _owners
from ansible_collections.aigateway.metering.plugins.module_utils._usage import period as _period
from ansible_collections.aigateway.metering.plugins.module_utils._usage import pod_history, pod_reader, totals
from ansible_collections.aigateway.metering.plugins.module_utils._usage import store as _store
from ansible_collections.aigateway.metering.tests.unit.objects import pod as pod_document

START, END, STEP = 100_000.0, 103_600.0, 30.0
SUM = "gen_ai_client_token_usage_sum"
EXPOSED, KEPT = "scrape_samples_scraped", "scrape_samples_post_metric_relabeling"
LATER = END + 3600
OF_TEAM = {"user_namespace": "team-a", "gen_ai_token_type": "input"}


QUESTION = re.compile(r'label_replace\((.*?), "__question", "((?:[^"\\]|\\.)*)", "", ""\)(?: or |$)')
RANGE = re.compile(r"\{(.*?)\}\[(\d+)(ms|d)\]")
MATCHER = re.compile(r'("?)([\w.]+)\1(=~|!=|=)"((?:[^"\\]|\\.)*)"')
HOLDS: dict[str, Callable[[str, str], bool]] = {
    "=~": lambda have, text: re.fullmatch(text, have) is not None,
    "=": lambda have, text: have == text,
    "!=": lambda have, text: have != text,
}
FUNCTIONS: dict[str, Callable[[list[float]], float]] = {
    "count_over_time": len,
    "sum_over_time": sum,
    "min_over_time": min,
    "last_over_time": lambda values: values[-1],
    "max_over_time": max,
    "resets": lambda values: sum(later < earlier for earlier, later in pairwise(values)),
}
# Of a native histogram: its sum, and how many requests it has, one for each ten tokens.


def histogram(value):
    return {"sum": str(value), "count": str(int(value) // 10)}


class Replica:
    """A Prometheus that holds some series, and knows the queries that a period is read by."""

    is_sharded = False

    def __init__(self) -> None:
        self.series: list[tuple[dict[str, str], list[tuple[float, float]]]] = []
        self.asked: list[str] = []

    def scrape(self, target, begin, end, value, *, own=None, tokens=True, step=STEP):
        """What a target stores: that it is up, and a counter's values by the time."""
        times = [begin + index * step for index in range(int((end - begin) / step) + 1)]
        self.scrape_at(times, target, value, own=own, tokens=tokens)

    def scrape_at(self, times, target, value, *, failed=(), own=None, tokens=True):
        labels = {"instance": "10.0.0.1:1064", **target}
        counts = {time: None if time in failed else value(time) for time in times}
        self.put("up", labels, {time: 0.0 if time in failed else 1.0 for time in times})
        # The sidecar exposes more with each counter that it has. A scrape that failed is stored as one of nothing.
        there = {time: 0.0 if time in failed else 20.0 + (count is not None) for time, count in counts.items()}
        kept = there if tokens else {time: 0.0 if time in failed else 5.0 for time in counts}
        self.put_scrapes(EXPOSED, labels, there)
        self.put_scrapes(KEPT, labels, kept)
        if tokens:
            told = {time: float(count) for time, count in counts.items() if count is not None}
            self.put(SUM, {**labels, **(OF_TEAM if own is None else own)}, told)

    def put_scrapes(self, name, labels, samples):
        """Store what is told of a target's scrapes: each further counter of it is one sample more."""
        for labels_there, there in self.series:
            if labels_there == {"__name__": name, **labels}:
                there[:] = [(time, value + samples.get(time, 0.0) % 5) for time, value in there]
        self.put(name, labels, samples)

    def put(self, name, labels, samples):
        """Store samples, if there are none of that series."""
        own = {"__name__": name, **labels}
        if all(there != own for there, dummy in self.series):
            self.series.append((own, sorted(samples.items())))

    def query(self, promql: str, at: float, *, apart: bool = False) -> list[dict[str, Any]]:
        assert apart or "kube_" in promql
        self.asked.append(promql)
        if not promql.startswith("label_replace"):
            return self.answer(promql, at)
        return [
            {**item, "metric": {**item["metric"], "__question": question}}
            for text, question in QUESTION.findall(promql)
            for item in self.answer(text, at)
        ]

    def answer(self, promql: str, at: float) -> list[dict[str, Any]]:
        body = RANGE.search(promql)
        assert body, promql
        window = int(body[2]) * {"ms": 0.001, "d": 86400}[body[3]]
        function = next((name for name in FUNCTIONS if f"{name}(" in promql), "")
        grouping = re.search(r" by \((.*?)\)", promql)
        found: list[dict[str, Any]] = []
        matchers = [(name, sign, json.loads(f'"{text}"')) for dummy, name, sign, text in MATCHER.findall(body[1])]
        for labels, samples in self.series:
            fits = all(HOLDS[sign](labels.get(name, ""), text) for name, sign, text in matchers)
            inside = [(time, value) for time, value in samples if at - window < time <= at]
            if not fits or not inside:
                continue
            native = not labels["__name__"].endswith(("_sum", "_count")) and "usage" in labels["__name__"]
            part = "histogram_count" if "histogram_count(" in promql else "histogram_sum"
            kept = dict(labels)
            if grouping:
                kept = {name: labels[name] for name in grouping[1].split(", ") if name in labels}
            elif function and (function != "last_over_time" or part in promql):
                del kept["__name__"]
            if not function and native:
                found.append({"metric": kept, "histograms": [(time, histogram(value)) for time, value in inside]})
                continue
            if not function:
                found.append({"metric": kept, "values": [(time, str(value)) for time, value in inside]})
                continue
            value = FUNCTIONS[function]([value for dummy, value in inside])
            if native and part in promql:
                value = float(histogram(value)[part.removeprefix("histogram_")])
            if value or not promql.endswith("> 0"):
                found.append({"metric": kept, "value": (at, str(value))})
        return found


def moment(seconds):
    return _doubts.utc(seconds).isoformat()


def running(name, began, *, namespace="gateways", ip="10.0.0.1", gateway="team/a", created=None):
    """A pod that is there, whose sidecar has begun at some time."""
    found = pod_document(name, namespace, ip=ip, gateway=gateway)
    found["metadata"]["creationTimestamp"] = moment(began if created is None else created)
    state = {"name": "ai-gateway-extproc", "state": {"running": {"startedAt": moment(began)}}}
    found["status"]["containerStatuses"] = [state]
    return found


def replicaset(name, made, *, namespace="gateways", gateway="team/a"):
    return _owners.Workload("ReplicaSet", namespace, name, gateway, made)


def summed(replicas, *, pods=(), workloads=(), zone="UTC", start=START, end=END, by=("namespace",), **matchers):
    """The period of a store, and its sums."""
    store = _store.Store(replicas, [1064], matchers)
    owners = _owners.Owners(list(pods), list(workloads))
    period = _period.Period(store, start, end, LATER, owners)
    days = _calendar.days_of_period(start, end, zone)
    sums = totals.Sums(by, [totals.Usage() for dummy in days], period.gateway)
    period.read(sums, [(begin, until) for dummy, begin, until in days])
    return period, sums


def read(replica, **known):
    """The tokens of the period, and its doubts."""
    period, sums = summed([replica], **known)
    tokens = {key[0]: usage.total for key, usage in sums.used.items()}
    return tokens, _doubts.gravest_first(period.doubts(sums))


def metered_before(replica):
    """The store has scraped another sidecar for long, which counts nothing."""
    target = {"pod": "older", "namespace": "gateways", "job": "one", "instance": "10.0.0.200:1064"}
    replica.scrape(target, START - 7200, END, lambda _: None, step=300)
    return replica


def rising(time):
    """A counter of an old process: a million before the period, and one token each second in it."""
    return 1_000_000 + (time - START)


ONE = {"pod": "p", "namespace": "gateways", "job": "one"}
WHOLE = (START - 600, END)
MIDDLE = START + 1800
TOKENS = {"team-a": 3600}


def test_one_scrape_that_goes_on_is_billed_what_it_grew():
    store = Replica()
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
    store = Replica()
    for target, (begin, end) in ((ONE, first), (other, second)):
        store.scrape(target, begin, end, rising)
    assert read(store)[0] == TOKENS


@pytest.mark.parametrize("name", ["service", "replica", "prometheus"])
def test_a_label_of_the_sidecar_counts_whatever_its_name(name):
    store = Replica()
    for value in ("x", "y"):
        store.scrape(ONE, *WHOLE, rising, own={**OF_TEAM, name: value})
    assert read(store)[0] == {"team-a": 7200}


def test_a_counter_that_appears_at_a_target_that_was_scraped_before_is_new():
    store = Replica()
    store.scrape(ONE, *WHOLE, lambda time: 7 if time >= MIDDLE else None)
    assert read(store) == (
        {"team-a": 7},
        [
            "gateways/p has ended after its last scrape at 1970-01-02T04:46:40+00:00: it may have counted up to 30 s "
            "of traffic after that, which is lost."
        ],
    )


def test_the_past_of_a_sidecar_that_is_scraped_late_is_told_and_not_billed():
    store = Replica()
    store.scrape(ONE, MIDDLE, END, rising)
    tokens, doubts = read(store, pods=[running("p", START - 9999)])
    assert tokens == {"team-a": 1800}
    assert any(
        "1001800 input tokens of team-a on gateways/p were there at the first scrape" in doubt for doubt in doubts
    )
    assert any("gateways/p was not scraped from" in doubt for doubt in doubts)


def test_a_restart_in_the_period_does_not_make_an_older_counter_new():
    """Kubernetes tells when the present process has begun, not the one before it."""
    store = Replica()
    store.scrape(ONE, MIDDLE, END, lambda time: rising(time) if time < MIDDLE + 900 else time - MIDDLE - 900)
    tokens, doubts = read(store, pods=[running("p", MIDDLE + 900, created=START - 9999)])
    assert tokens["team-a"] < 1_000_000
    assert any("may be older than the period" in doubt for doubt in doubts)


def test_what_another_target_of_the_pod_has_seen_does_not_make_a_counter_new():
    store = Replica()
    store.scrape({**ONE, "job": "drops-the-tokens"}, *WHOLE, rising, tokens=False)
    store.scrape(ONE, MIDDLE, END, rising)
    tokens, dummy = read(store)
    assert tokens == {"team-a": 1800}


def test_a_sidecar_that_began_while_others_were_scraped_is_billed_from_0():
    store = metered_before(Replica())
    store.scrape(ONE, MIDDLE + STEP, END, lambda time: time - MIDDLE)
    assert read(store, pods=[running("p", MIDDLE)])[0] == {"team-a": 1800}


def test_a_sidecar_that_began_before_anything_was_scraped_is_not_billed_for_that():
    store = Replica()
    store.scrape(ONE, MIDDLE + STEP, END, lambda time: time - MIDDLE)
    tokens, doubts = read(store, pods=[running("p", MIDDLE)])
    assert tokens == {"team-a": 1770}
    assert any("30 input tokens of team-a on gateways/p were there at the first scrape" in doubt for doubt in doubts)


OF_REVISION = {**ONE, "pod": "envoy-gateway-5d4f6b7c9d-x2x4z"}
SIBLING = {**ONE, "pod": "envoy-gateway-5d4f6b7c9d-b2b4b", "instance": "10.0.0.2:1064"}
ENDED_FIRST = 30


def scaled_up(sibling_since=START - 3000, **sibling):
    """A pod that ended, of which the first scrape shows what it has counted; a sibling was scraped before."""
    store = Replica()
    store.scrape({**SIBLING, **sibling}, sibling_since, END, lambda _: 0, own={**OF_TEAM, "user_namespace": "b"})
    store.scrape(OF_REVISION, MIDDLE + STEP, END, lambda time: time - MIDDLE)
    return store


def test_a_pod_that_came_after_a_sibling_is_billed_from_0():
    tokens, doubts = read(scaled_up())
    assert tokens["team-a"] == 1800
    assert not any("were there at the first scrape" in doubt for doubt in doubts)


@pytest.mark.parametrize(
    "sibling",
    [
        {"pod": "envoy-gateway-6c5fd94b7-b2b4b"},
        {"pod": "envoy-gateway-5d4f6b7c9d-b2b4b-b2b4b"},
        {"namespace": "other"},
        {"sibling_since": MIDDLE + STEP - 299},
    ],
    ids=["of another revision", "of a longer name", "in another namespace", "scraped only now"],
)
def test_a_pod_that_came_after_somebody_else_is_not_known_to_be_new(sibling):
    tokens, doubts = read(scaled_up(**sibling))
    assert tokens["team-a"] == 1800 - ENDED_FIRST
    assert any(
        "30 input tokens of team-a on gateways/envoy-gateway-5d4f6b7c9d-x2x4z were there" in doubt for doubt in doubts
    )


def test_a_pod_whose_scrapes_had_failed_for_long_may_be_as_old_as_its_sibling():
    store = scaled_up()
    failing = [START - 3000 + STEP * index for index in range(20)]
    store.put("up", {"instance": "10.0.0.1:1064", **OF_REVISION, "job": "other"}, dict.fromkeys(failing, 0.0))
    assert read(store)[0]["team-a"] == 1800 - ENDED_FIRST


def test_a_sibling_that_was_scraped_long_ago_proves_nothing():
    store = metered_before(Replica())
    store.scrape(SIBLING, START - 9000, START - 6000, lambda _: 0, own={**OF_TEAM, "user_namespace": "b"})
    store.scrape(OF_REVISION, MIDDLE + STEP, END, lambda time: time - MIDDLE)
    assert read(store)[0]["team-a"] == 1800 - ENDED_FIRST


def test_a_sibling_proves_nothing_where_kubernetes_tells_that_the_process_is_older():
    tokens, doubts = read(scaled_up(), pods=[running("envoy-gateway-5d4f6b7c9d-x2x4z", START - 99_999)])
    assert tokens["team-a"] == 1800 - ENDED_FIRST
    assert any("were there at the first scrape" in doubt for doubt in doubts)


def test_a_sibling_of_a_daemon_set_proves_nothing():
    store = metered_before(Replica())
    one, other = (
        {**ONE, "pod": f"envoy-gateway-b65c6264-{end}", "instance": f"{end}:1064"} for end in ("x2x4z", "b2b4b")
    )
    store.scrape(other, START - 3000, END, lambda _: 0, own={**OF_TEAM, "user_namespace": "b"})
    store.scrape(one, MIDDLE + STEP, END, lambda time: time - MIDDLE)
    assert read(store)[0]["team-a"] == 1800 - ENDED_FIRST


def test_a_pod_with_many_counters_is_asked_for_once():
    store = scaled_up()
    for number in range(20):
        own = {**OF_TEAM, "user_namespace": f"team-{number}"}
        store.scrape(OF_REVISION, MIDDLE + STEP, END, lambda time: time - MIDDLE, own=own)
    read(store)
    assert sum("max_over_time" in text and "[bcdf" in text for text in store.asked) == 1


def test_a_sibling_proves_nothing_where_each_target_is_scraped_by_one_of_several():
    store = scaled_up()
    store.is_sharded = True
    assert read(store)[0]["team-a"] == 1800 - ENDED_FIRST


@pytest.mark.parametrize("cut", [MIDDLE - STEP, MIDDLE, MIDDLE + STEP, MIDDLE + 2 * STEP, MIDDLE + 900])
def test_a_pod_that_came_after_a_sibling_is_billed_once_wherever_a_period_is_cut(cut):
    def billed(start, end):
        dummy, sums = summed([scaled_up()], start=start, end=end)
        return sum(usage.total for usage in sums.used.values())

    assert billed(START, cut) + billed(cut, END) == billed(START, END) == 1800


MADE = pytest.mark.parametrize(
    ("made", "tokens"),
    [(MIDDLE, 1800), (START - 5, 1800), (START - 9999, 1770)],
    ids=["in the period", "before it", "before anything was scraped"],
)


@MADE
def test_an_ended_pod_is_billed_from_0_where_its_replicaset_was_made_while_others_were_scraped(made, tokens):
    store = metered_before(Replica())
    store.scrape(OF_REVISION, MIDDLE + STEP, END, lambda time: time - MIDDLE)
    assert read(store, workloads=[replicaset("envoy-gateway-5d4f6b7c9d", made)])[0] == {"team-a": tokens}


@MADE
@pytest.mark.parametrize("prefix", ["", "exported_"], ids=["honorLabels", "without honorLabels"])
def test_an_ended_pod_is_billed_from_0_where_kube_state_metrics_has_seen_it_made_meanwhile(made, tokens, prefix):
    store = metered_before(Replica())
    store.scrape(OF_REVISION, MIDDLE + STEP, END, lambda time: time - MIDDLE)
    told = {"__name__": "kube_pod_created", f"{prefix}pod": OF_REVISION["pod"], f"{prefix}namespace": "gateways"}
    told |= {"pod": "kube-state-metrics", "namespace": "monitoring"} if prefix else {}
    store.series.append((told, [(MIDDLE + 2 * STEP, made)]))
    assert read(store, workloads=[replicaset("envoy-gateway-5d4f6b7c9d", START - 9999)])[0] == {"team-a": tokens}


def test_an_older_series_of_the_pod_does_not_hide_the_present_one():
    store = Replica()
    store.scrape({**ONE, "instance": "10.0.0.9:1064"}, START - 50_000, START - 40_000, lambda _: 50_000)
    store.scrape(ONE, *WHOLE, lambda time: 100 + (time - START + 600))
    assert read(store)[0] == TOKENS


def test_a_running_sidecar_that_nobody_scrapes_any_more_is_told():
    store = Replica()
    store.scrape(ONE, START - 600, MIDDLE, rising)
    dummy, doubts = read(store, pods=[running("p", START - 9999)])
    assert [doubt for doubt in doubts if doubt.startswith("gateways/p was not scraped from")] != []


def test_a_running_sidecar_that_was_never_scraped_is_told():
    dummy, doubts = read(Replica(), pods=[running("p", START - 9999)])
    assert any(doubt.startswith("gateways/p was not scraped from") for doubt in doubts)


def test_a_pod_that_ended_before_it_was_scraped_in_the_period_is_told():
    store = Replica()
    store.scrape(ONE, START - 600, START - STEP, rising)
    dummy, doubts = read(store)
    assert [
        doubt for doubt in doubts if "gateways/p has ended after its last scrape at 1970-01-02T03:46:10" in doubt
    ] != []


def test_tokens_of_nobody_are_told():
    store = Replica()
    store.scrape(ONE, *WHOLE, rising, own={"gen_ai_token_type": "input"})
    dummy, doubts = read(store)
    assert "3600 tokens carry no user_namespace: they cannot be billed." in doubts


def test_both_names_of_the_metric_are_one_counter():
    store = Replica()
    store.scrape(ONE, START - 600, MIDDLE, rising)
    labels, samples = store.series.pop()
    renamed = {name.replace("gen_ai_token", "gen_ai.token"): value for name, value in labels.items()}
    store.series.append(({**renamed, "__name__": "gen_ai.client.token.usage_token_sum"}, samples))
    store.scrape(ONE, MIDDLE + STEP, END, rising)
    assert read(store)[0] == TOKENS


def test_a_restart_that_scrapes_have_shown_is_seen_however_high_the_counter_is_again():
    """The pod is scraped, and has no such counter until the first request after the restart."""
    store = Replica()
    store.scrape(ONE, START - 600, END, lambda time: 1000 if time < MIDDLE else 1500 if time > MIDDLE + 600 else None)
    assert read(store)[0] == {"team-a": 1500}


def test_tokens_that_were_dropped_and_then_kept_are_not_billed_for_their_past():
    store = Replica()
    store.scrape(ONE, START - 600, MIDDLE, rising, tokens=False)
    store.scrape(ONE, MIDDLE + STEP, END, rising)
    assert read(store)[0] == {"team-a": 1770}


def test_another_application_with_the_same_metric_is_not_billed():
    store = Replica()
    store.scrape(ONE, *WHOLE, rising)
    store.scrape({"pod": "app", "job": "app", "instance": "10.0.0.7:8000"}, WHOLE[0], WHOLE[1], rising)
    assert read(store)[0] == TOKENS


def test_another_cluster_in_the_store_is_left_out_where_labels_tell_it():
    store = Replica()
    for name in ("a", "b"):
        store.scrape({**ONE, "pod": name, "cluster": name}, *WHOLE, rising)
    assert read(store, cluster="a")[0] == TOKENS


def test_an_address_that_two_pods_had_bills_nothing_twice():
    store = Replica()
    store.scrape({**ONE, "pod": "p1"}, START - 600, MIDDLE, rising)
    store.scrape({**ONE, "pod": "p2"}, MIDDLE + STEP, END, lambda time: time - MIDDLE)
    store.scrape({"job": "by-hand"}, *WHOLE, lambda time: rising(time) if time <= MIDDLE else time - MIDDLE)
    tokens, dummy = read(metered_before(store), pods=[running("p2", MIDDLE + 1)])
    assert tokens == {"team-a": 1800 + 1800}


def test_a_pod_that_began_after_the_period_is_no_doubt():
    store = Replica()
    store.scrape(ONE, *WHOLE, rising)
    assert not any("late" in doubt for doubt in read(store, pods=[running("late", END + 99, ip="10.0.0.8")])[1])


def test_a_period_of_many_windows_adds_up_and_reads_samples_only_where_something_happened(monkeypatch):
    monkeypatch.setattr(pod_reader, "WINDOWS", (1200, 300))
    monkeypatch.setattr(pod_reader, "LEAF", 300)
    monkeypatch.setattr(pod_history, "AHEAD", 60)
    store = Replica()
    store.scrape(ONE, START - 600, END, rising)
    store.scrape({**ONE, "pod": "q", "instance": "10.0.0.2:1064"}, MIDDLE + 690, END, lambda time: time - MIDDLE)
    tokens, dummy = read(metered_before(store), pods=[running("q", MIDDLE + 1, ip="10.0.0.2")])
    assert tokens == {"team-a": 3600 + 1800}
    # One pod's first window of all; the other's as well, and the four of the longer one in which it appears.
    for pod, looks in (("p", 1), ("q", 5)):
        own = [
            asked for asked in store.asked if asked.startswith("{") and "gen_ai" in asked and f'pod="{pod}"' in asked
        ]
        assert len(own) == looks


@st.composite
def stores(draw):
    """A pod over the period: restarts, failed and missing scrapes, counters that appear, and one or two that scrape."""
    lives = sorted(draw(st.sets(st.integers(0, 3600), max_size=2)))
    born = draw(st.integers(-900, 2400))
    store = Replica()
    speed, base, idle = (
        draw(st.sampled_from([1, 0, 3])),
        draw(st.integers(0, 50)),
        draw(st.sampled_from([0, 100, 1500])),
    )

    def count(time):
        """What the process has counted, or None where it has no counter yet."""
        since = max([life for life in lives if life <= time - START], default=None)
        if since is None:
            return None if time - START < born else base + int(speed * (time - START - born))
        age = time - START - since
        return None if age < idle else int(speed * age)

    for job in draw(st.sampled_from([["one"], ["one", "second"]])):
        first, last = draw(st.integers(-20, 60)), draw(st.integers(90, 120))
        skipped, failing = (draw(st.sets(st.integers(-20, 120), max_size=2)) for dummy in range(2))
        times = [START + index * STEP + len(job) for index in range(first, last + 1) if index not in skipped]
        failed = {START + index * STEP + len(job) for index in failing}
        store.scrape_at(times, {**ONE, "job": job}, count, failed=failed)
    return store


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(store=stores(), began=st.integers(-3600, 3600))
def test_windows_tell_what_every_sample_would(monkeypatch, store, began):
    found = []
    for lengths in ((900, 150), (10**6,)):
        monkeypatch.setattr(pod_reader, "WINDOWS", lengths)
        monkeypatch.setattr(pod_reader, "LEAF", lengths[-1])
        dummy, sums = summed([store], pods=[running("p", START + began)])
        found.append((sums.used, sums.baselines, sums.whole, sums.days))
    assert found[0] == found[1]


@dataclass(frozen=True)
class Life:
    """One process of the sidecar: from when on it is there, and from when on it has the counter."""

    begin: float
    born: float
    speed: int

    def count(self, time):
        return int(self.speed * (time - self.born)) + 1


@st.composite
def histories(draw):
    """What a pod's sidecar really counted: its lives, each with the first request a while after its beginning."""
    restarts = sorted(draw(st.sets(st.integers(0, 56), max_size=2)))
    begins = [START - 9000, *(START + 60 * minute for minute in restarts)]
    # At least one scrape sees a new process before its first request.
    return [Life(begin, begin + draw(st.integers(61, 1500)), draw(st.integers(0, 4))) for begin in begins]


def life_at(lives, time):
    return [life for life in lives if life.begin <= time][-1]


@settings(max_examples=200, deadline=None)
@given(
    lives=histories(),
    first=st.tuples(st.integers(-20, 0), st.integers(10, 120)),
    overlap=st.integers(-1, 30),
    ended=st.integers(0, 20),
    dotted=st.booleans(),
)
def test_what_is_summed_up_equals_what_was_counted_by_hand(lives, first, overlap, ended, dotted):
    """One monitor, then another (beside it for a while), under the old and the new names, until the pod ends."""
    store = Replica()
    last = 120 - ended
    hand_over = min(first[1], last)
    looks = {"one": range(first[0], hand_over + 1), "two": range(max(hand_over - overlap, first[0]), last + 1)}

    def value(time):
        life = life_at(lives, time)
        return life.count(time) if time >= life.born else None

    for job, indexes in looks.items():
        store.scrape_at([START + STEP * index for index in indexes], {**ONE, "job": job}, value)
    if dotted:
        labels, samples = next(it for it in store.series if it[0]["__name__"] == SUM and it[0]["job"] == "one")
        renamed = {name.replace("gen_ai_token", "gen_ai.token"): text for name, text in labels.items()}
        store.series[store.series.index((labels, samples))] = (
            {**renamed, "__name__": "gen_ai.client.token.usage_token_sum"},
            samples,
        )
    times = sorted({START + STEP * index for own in looks.values() for index in own})
    total = 0
    for life in lives:
        seen = [time for time in times if life_at(lives, time) is life]
        shown = [time for time in seen if time >= life.born]
        before = [life.count(time) for time in shown if time <= START]
        inside = [life.count(time) for time in shown if START < time <= END]
        # It is known to be new where a scrape has shown the pod without it.
        is_new = any(time < min(shown, default=0.0) for time in times)
        base = before[-1] if before else 0 if is_new else inside[0] if inside else 0
        total += inside[-1] - base if inside else 0
    assert read(store)[0].get("team-a", 0) == total


def test_days_begin_in_the_zone_and_end_with_the_period():
    start, end = (
        _calendar.parse_time(text, "x").timestamp() for text in ("2026-10-24T12:00:00Z", "2026-10-26T01:00:00Z")
    )
    found = _calendar.days_of_period(start, end, "Europe/Berlin")
    assert [(date, (until - begin) / 3600) for date, begin, until in found] == [
        ("2026-10-24", 10.0),
        # The clocks go back.
        ("2026-10-25", 25.0),
        ("2026-10-26", 2.0),
    ]


# --- what is no restart, and what is nothing new ----------------------------------------------------------------------


def without(store, name, times):
    """The store as if some samples of a series had never arrived."""
    for labels, samples in store.series:
        if labels["__name__"] == name:
            samples[:] = [(time, value) for time, value in samples if time not in times]


def test_a_sample_that_was_never_stored_is_no_restart():
    store = Replica()
    store.scrape(ONE, *WHOLE, rising)
    without(store, SUM, {MIDDLE})
    assert read(store)[0] == TOKENS


@pytest.mark.parametrize(
    "relabel",
    [
        pytest.param(lambda labels: {n: v for n, v in labels.items() if n != "otel_scope_name"}, id="one is dropped"),
        pytest.param(lambda labels: {**labels, "cluster": "c"}, id="one is added"),
    ],
)
def test_labels_that_change_on_the_way_bill_nothing_twice(relabel):
    store = Replica()
    own = {**OF_TEAM, "otel_scope_name": "ai-gateway"}
    store.scrape(ONE, *WHOLE, rising, own=own)
    labels, samples = store.series.pop()
    store.series.append((labels, [(time, value) for time, value in samples if time <= MIDDLE]))
    store.series.append((relabel(labels), [(time, value) for time, value in samples if time > MIDDLE]))
    tokens, doubts = read(store)
    # Where it cannot be told that it is the same counter, what it had is a doubt.
    assert tokens["team-a"] in (3600, 3570)
    assert tokens["team-a"] == 3600 or any("may be older than the period" in doubt for doubt in doubts)


def test_a_label_of_the_sidecar_that_one_scrape_renames_is_the_same():
    store = Replica()
    store.scrape(ONE, *WHOLE, rising, own={**OF_TEAM, "service": "s"})
    store.scrape({**ONE, "job": "two", "service": "t"}, *WHOLE, rising, own={**OF_TEAM, "exported_service": "s"})
    assert read(store)[0] == TOKENS


@pytest.mark.parametrize(
    "edited",
    [
        pytest.param({"gen_ai_token_type": "input"}, id="one is dropped"),
        pytest.param({**OF_TEAM, "team": "red"}, id="one is added"),
        pytest.param({"tenant": "team-a", "gen_ai_token_type": "input"}, id="one is renamed"),
        pytest.param({**OF_TEAM, "user_namespace": "TEAM-A"}, id="a value is changed"),
    ],
)
def test_a_monitor_beside_another_that_edits_labels_is_told(edited):
    store = Replica()
    store.scrape(ONE, *WHOLE, rising)
    store.scrape({**ONE, "job": "two"}, *WHOLE, rising, own=edited)
    dummy, doubts = read(store)
    assert any("Up to 3600 tokens of gateways/p are billed twice" in doubt for doubt in doubts), doubts


@pytest.mark.parametrize(
    "second",
    [
        pytest.param((WHOLE, {"user_namespace": "team-b", "gen_ai_token_type": "input"}, 2), id="keeps others only"),
        pytest.param(((MIDDLE + STEP, END), {**OF_TEAM, "team": "red"}, 1), id="comes after the first has gone"),
    ],
)
def test_a_monitor_that_doubles_nothing_is_not_told(second):
    (begin, end), own, pace = second
    store = Replica()
    store.scrape(ONE, START - 600, MIDDLE if pace == 1 else END, rising)
    store.scrape({**ONE, "job": "two"}, begin, end, lambda time: pace * rising(time), own=own)
    assert not any("billed twice" in doubt for doubt in read(store)[1])


def test_a_monitor_that_drops_the_buckets_still_shows_what_is_new():
    store = Replica()
    store.scrape(ONE, *WHOLE, lambda time: time - MIDDLE + 7 if time >= MIDDLE else None)
    for labels, samples in store.series:
        if labels["__name__"] == EXPOSED:
            # Ten buckets for each counter, and for what else there is, are dropped.
            samples[:] = [(time, value * 11) for time, value in samples]
    assert read(store)[0] == {"team-a": 1807}


def test_a_late_answer_before_another_monitor_takes_over_is_no_restart():
    store = Replica()
    store.scrape_at([START + STEP * index for index in range(-20, 61)], ONE, lambda time: rising(time + 1))
    store.scrape_at([START + 0.4 + STEP * index for index in range(60, 121)], {**ONE, "job": "two"}, rising)
    assert read(store)[0]["team-a"] <= 3601


def test_what_a_store_tells_of_an_ended_series_is_no_sample():
    store = Replica()
    store.scrape(ONE, *WHOLE, rising)
    for dummy, samples in store.series:
        samples.append((END - 1, float("nan")))
    assert read(store)[0] == TOKENS


# --- what is told -----------------------------------------------------------------------------------------------------


def test_a_time_without_tokens_of_a_pod_that_had_some_is_told():
    store = Replica()
    store.scrape(ONE, *WHOLE, rising)
    without(store, SUM, {MIDDLE + STEP * index for index in range(61)})
    tokens, doubts = read(store)
    assert tokens == {"team-a": 1770}
    assert any("gateways/p was scraped from" in doubt and "its tokens were not stored" in doubt for doubt in doubts), (
        doubts
    )


def test_what_a_restart_in_place_has_lost_is_told():
    store = Replica()
    store.scrape(ONE, *WHOLE, lambda time: rising(time) if time < MIDDLE else max(time - MIDDLE - 60, 0) or None)
    dummy, doubts = read(store)
    assert [doubt for doubt in doubts if doubt.startswith("The sidecar of gateways/p has restarted between")] != []
    assert not any("its tokens were not stored" in doubt for doubt in doubts)


def test_a_period_that_has_only_just_ended_is_told():
    store = Replica()
    store.scrape(ONE, *WHOLE, rising)
    period, sums = summed([store])
    period._now = END + 30
    assert any("has only just ended" in doubt.text for doubt in period.doubts(sums))


# --- what is asked ----------------------------------------------------------------------------------------------------


def test_the_name_of_a_pod_breaks_no_query():
    text = _promql.alternatives(['x"} or vector(1) #', "a(b", "envoy-1.2"])
    parsed = promql_parser.parse(f"up{{pod=~{text}}}")
    assert isinstance(parsed, promql_parser.VectorSelector)
    (matcher,) = parsed.matchers.matchers
    assert re.fullmatch(matcher.value, "a(b")
    assert re.fullmatch(matcher.value, "envoy-1.2")
    assert not re.fullmatch(matcher.value, "envoy-112")


def test_a_pod_without_a_single_request_is_asked_little_about(monkeypatch):
    monkeypatch.setattr(pod_reader, "WINDOWS", (600, 150))
    monkeypatch.setattr(pod_reader, "LEAF", 150)
    idle = Replica()
    idle.scrape(ONE, *WHOLE, lambda _: None)
    assert read(idle)[0] == {}
    assert len(idle.asked) < 20


def test_another_application_is_not_asked_about_at_all():
    store = Replica()
    store.scrape({"pod": "app", "job": "app", "instance": "10.0.0.7:8000"}, WHOLE[0], WHOLE[1], rising)
    assert read(store)[0] == {}
    assert not any('pod="app"' in asked for asked in store.asked)


# --- native histograms ------------------------------------------------------------------------------------------------

NATIVE = "gen_ai_client_token_usage"


def as_native(store):
    """The store as a Prometheus has it that converts classic histograms: one series with sum and count in one."""
    for labels, dummy in store.series:
        if labels["__name__"] == SUM:
            labels["__name__"] = NATIVE
    return store


def test_a_native_histogram_is_billed_as_its_sum_and_its_count():
    store = Replica()
    store.scrape(ONE, *WHOLE, rising)
    dummy, sums = summed([as_native(store)])
    used = next(iter(sums.used.values()))
    assert (used.total, used.requests) == (3600, 360)


def test_a_native_histogram_that_appears_or_begins_anew_is_billed_as_a_classic_one():
    store = Replica()
    store.scrape(ONE, *WHOLE, lambda time: None if time < START + 300 else 50 if time < MIDDLE else 20)
    assert read(as_native(store))[0] == {"team-a": 70}


@pytest.mark.parametrize("kind", ["after it", "beside it"])
def test_a_counter_that_is_stored_both_ways_is_one(kind):
    store = Replica()
    store.scrape(ONE, *WHOLE, rising)
    labels, samples = next(item for item in store.series if item[0]["__name__"] == SUM)
    both = [(time, value) for time, value in samples if kind == "beside it" or time > MIDDLE]
    store.series.append(({**labels, "__name__": NATIVE}, both))
    if kind == "after it":
        samples[:] = [(time, value) for time, value in samples if time <= MIDDLE]
    assert read(store)[0] == TOKENS


def test_windows_of_native_histograms_read_samples_only_where_something_happened(monkeypatch):
    monkeypatch.setattr(pod_reader, "WINDOWS", (1200, 300))
    monkeypatch.setattr(pod_reader, "LEAF", 300)
    store = Replica()
    store.scrape(ONE, START - 600, END, rising)
    assert read(as_native(store))[0] == TOKENS
    assert sum(asked.startswith("{") and "gen_ai" in asked for asked in store.asked) == 1


@pytest.mark.parametrize(
    ("metric", "kind"),
    [
        ("gen__ai_dot_client_dot_token_dot_usage__token_sum", "gen__ai_dot_token_dot_type"),
        ("U__gen__ai_2e_client_2e_token_2e_usage__token_sum", "U__gen__ai_2e_token_2e_type"),
    ],
)
def test_escaped_names_are_the_same_counter(metric, kind):
    """As a Prometheus stores them whose nameEscapingScheme is Dots or Values."""
    store = Replica()
    store.scrape(ONE, START - 600, MIDDLE, rising)
    store.scrape(ONE, MIDDLE + STEP, END, rising)
    labels, samples = store.series.pop()
    del labels["gen_ai_token_type"]
    store.series.append(({**labels, "__name__": metric, kind: "input"}, samples))
    store.scrape(ONE, MIDDLE + STEP, END, rising)
    assert read(store)[0] == TOKENS


# --- names that are alike ---------------------------------------------------------------------------------------------


def by_gateway(store, pods=(), workloads=()):
    dummy, sums = summed([store], pods=pods, workloads=workloads, by=("gateway",))
    return {key[0]: usage.total for key, usage in sums.used.items()}


def test_two_pods_of_one_name_are_told_by_their_namespace():
    store = Replica()
    for namespace, number in (("a", 1), ("b", 2)):
        target = {"pod": "p", "namespace": namespace, "job": "one", "instance": f"10.0.0.{number}:1064"}
        store.scrape(target, *WHOLE, lambda time, pace=number: pace * rising(time))
    pods = [
        running("p", START - 9999, namespace=namespace, gateway=f"{namespace}/gw", ip=f"10.0.0.{number}")
        for namespace, number in (("a", 1), ("b", 2))
    ]
    assert by_gateway(store, pods) == {"a/gw": 3600, "b/gw": 7200}


def test_two_pods_of_one_name_under_an_enforced_namespace_are_told_by_their_address():
    store = Replica()
    for number in (1, 2):
        target = {"pod": "p", "namespace": "monitors", "job": "one", "instance": f"10.0.0.{number}:1064"}
        store.scrape(target, *WHOLE, lambda time, pace=number: pace * rising(time))
    pods = [
        running("p", START - 9999, namespace=namespace, gateway=f"{namespace}/gw", ip=f"10.0.0.{number}")
        for namespace, number in (("a", 1), ("b", 2))
    ]
    assert by_gateway(store, pods) == {"a/gw": 3600, "b/gw": 7200}


def test_a_workload_of_another_namespace_tells_nothing_of_a_pod_that_is_gone():
    store = metered_before(Replica())
    store.scrape({**ONE, "pod": "ai-5d4f7-x2x4z"}, MIDDLE, END, lambda time: 7 + time - MIDDLE)
    own = replicaset("ai-5d4f7", MIDDLE - 60, gateway="team/a")
    other = _owners.Workload("DaemonSet", "elsewhere", "ai-5d4f7", "elsewhere/b", START - 99999)
    for workloads in ([own, other], [other, own]):
        assert by_gateway(store, workloads=workloads) == {"team/a": 1807}


def test_the_gateway_of_a_pod_whose_workload_is_gone_is_not_guessed_from_its_name():
    """`ai` is another Gateway's Deployment, beside the deleted `ai-gw`."""
    store = metered_before(Replica())
    store.scrape({**ONE, "pod": "ai-gw-5d4f7c9b8-x2x4z"}, *WHOLE, rising)
    workloads = [
        _owners.Workload("Deployment", "gateways", "ai", "team/ai", START - 99999),
        replicaset("ai-77bc4d5f8", START - 99999, gateway="team/ai"),
    ]
    period, sums = summed([store], workloads=workloads, by=("gateway",))
    assert {key[0]: usage.total for key, usage in sums.used.items()} == {"": 3600}
    assert any("3600 tokens are of pods whose Gateway is not known any more" in it.text for it in period.doubts(sums))


@pytest.mark.parametrize("deployment", [True, False], ids=["its Deployment is there", "its ReplicaSet is there"])
def test_the_owner_of_a_pod_that_is_gone_is_read_where_it_is_stored(deployment):
    store = metered_before(Replica())
    store.scrape({**ONE, "pod": "renamed"}, *WHOLE, rising)
    owner = {"owner_kind": "ReplicaSet", "owner_name": "ai-gw-5d4f7"}
    of_pod = {"__name__": "kube_pod_owner", "namespace": "gateways", "pod": "renamed", **owner}
    of_set = {"__name__": "kube_replicaset_owner", "namespace": "gateways", "replicaset": "ai-gw-5d4f7"}
    store.series.append((of_pod, [(MIDDLE, 1.0)]))
    store.series.append(({**of_set, "owner_kind": "Deployment", "owner_name": "ai-gw"}, [(MIDDLE, 1.0)]))
    kind, name = ("Deployment", "ai-gw") if deployment else ("ReplicaSet", "ai-gw-5d4f7")
    workloads = [
        _owners.Workload(kind, "gateways", name, "team/gw", START - 9999),
        _owners.Workload("Deployment", "elsewhere", "ai-gw", "elsewhere/b", START - 9999),
    ]
    assert by_gateway(store, workloads=workloads) == {"team/gw": 3600}


# --- doubts -----------------------------------------------------------------------------------------------------------


def test_a_sidecar_that_restarted_before_the_period_and_had_no_request_yet_is_no_doubt():
    store = metered_before(Replica())
    store.scrape(ONE, START - 3600, END, lambda time: 500 if time < START - 120 else None)
    dummy, doubts = read(store, pods=[running("p", START - 120, created=START - 9999)])
    assert not any("gateways/p" in doubt for doubt in doubts), doubts


def test_those_doubts_come_first_that_may_be_the_most_tokens():
    doubts = [_doubts.Doubt("c", 5, 100), _doubts.Doubt("a"), _doubts.Doubt("b", 50), _doubts.Doubt("d", 0, 7)]
    assert _doubts.gravest_first(doubts) == ["b", "c", "d", "a"]


def test_a_gap_says_how_much_traffic_it_may_be():
    store = Replica()
    store.scrape(ONE, *WHOLE, rising)
    for samples in [own for dummy, own in store.series]:
        samples[:] = [(time, value) for time, value in samples if not MIDDLE <= time < MIDDLE + 600]
    dummy, doubts = read(store)
    (found,) = [doubt for doubt in doubts if "was not scraped from" in doubt]
    assert "it may have counted up to 630 s of traffic (some 764 tokens at its rate)" in found


def test_pods_that_had_counted_nothing_and_ended_are_one_doubt():
    store = Replica()
    for number in range(3):
        store.scrape({**ONE, "pod": f"idle-{number}"}, START, MIDDLE, lambda _: None)
    dummy, doubts = read(store)
    assert len([doubt for doubt in doubts if "have ended" in doubt]) == 1
    assert any(doubt.startswith("3 pods that had counted nothing have ended") for doubt in doubts), doubts


def test_a_sidecar_that_was_scraped_late_is_billed_and_told():
    store = metered_before(Replica())
    store.scrape(ONE, MIDDLE, END, rising)
    tokens, doubts = read(store, pods=[running("p", START - 600)])
    assert tokens == {"team-a": 1_003_600}
    assert any("was scraped first at" in doubt and "2400 s after its sidecar started" in doubt for doubt in doubts), (
        doubts
    )


def test_a_restart_that_nothing_shows_hides_what_the_counter_had_before():
    """The new process exposes as much, and has counted as much, at the very next scrape."""
    store = Replica()
    store.scrape(ONE, *WHOLE, lambda time: 100 if time < MIDDLE else 130)
    served = 130
    assert read(store)[0] == {"team-a": served - 100}


def test_a_period_before_anything_was_stored_is_told():
    store = Replica()
    store.scrape(ONE, MIDDLE, END, rising)
    assert any("Nothing is stored of 1970-01-02T03:46:40+00:00 or before" in doubt for doubt in read(store)[1])
    assert not any("Nothing is stored" in doubt for doubt in read(metered_before(store))[1])


# --- periods add up ---------------------------------------------------------------------------------------------------


class Sidecar:
    """A pod with its processes: what it exposes at any time, and what the ledger has of it."""

    def __init__(self, name, address, begins, pace, requests):
        self.name, self.address, self.begins, self.pace, self.requests = name, address, sorted(begins), pace, requests

    def value(self, time, team):
        """The tokens of a team that the present process has counted; None before its first request."""
        since = max((begin for begin in self.begins if begin <= time), default=None)
        if since is None:
            return None
        times = [at for at in self.requests.get(team, ()) if since <= at <= time]
        return self.pace * len(times) if times else None


SUFFIXES = ("x2x4z", "b2b4b", "c2c4c")
HASHES = ("5d4f6b7c9d", "6c5fd94b7", "8674f8dfbb")


@st.composite
def clusters(draw):
    """Some pods one after another or beside each other, on addresses that are used again, under one or two jobs."""
    store = metered_before(Replica()) if draw(st.booleans()) else Replica()
    pods: list[tuple[Sidecar, float, float]] = []
    workloads: list[_owners.Workload] = []
    cut = draw(st.integers(600, 3000))
    reused = draw(st.booleans())
    for number in range(draw(st.integers(1, 3))):
        # Often right around the cut, where it is difficult.
        near = st.one_of(st.integers(cut - 200, cut + 200), st.integers(-1500, 3300))
        born = START + draw(near)
        lives = [born, *(born + draw(st.integers(1, 1500)) for dummy in range(draw(st.integers(0, 2))))]
        ended = born + draw(st.integers(100, 3000)) if draw(st.booleans()) else END + 1200
        requests = {
            team: sorted(born + draw(st.integers(0, 3000)) for dummy in range(draw(st.integers(0, 6))))
            for team in ("team-a", "team-b")
        }
        address = "10.0.0.1:1064" if reused else f"10.0.0.{number + 1}:1064"
        if reused and pods:
            # It is free only once the one before has ended.
            born = max(born, pods[-1][2] + draw(st.integers(1, 900)))
            lives = [born, *(it for it in lives if it > born)]
            ended = max(ended, born + 60)
        # Some are siblings.
        owner = f"envoy-gw-{draw(st.sampled_from([HASHES[0], HASHES[number]]))}"
        sidecar = Sidecar(f"{owner}-{SUFFIXES[number]}", address, lives, draw(st.integers(1, 50)), requests)
        pods.append((sidecar, born, ended))
        if draw(st.booleans()) and all(workload.name != owner for workload in workloads):
            workloads.append(replicaset(owner, born - draw(st.integers(0, 600))))
        for job in draw(st.sampled_from([["one"], ["one", "two"], ["one", "by-hand"]])):
            offset, step = draw(st.integers(0, 29)), draw(st.sampled_from([STEP, STEP, 300.0]))
            times = [START - 1800 + offset + step * index for index in range(int(6000 / step))]
            times = [time for time in times if born <= time <= ended]
            dark = START + cut + draw(st.integers(-2500, 300))
            outage = (dark, dark + draw(st.sampled_from([0, 0, 400, 1500, 2400])))
            times = [t for t in times if not outage[0] <= t < outage[1]]
            failed = {t for t in times if draw(st.integers(0, 30)) == 0}
            target = {"job": job, "instance": address}
            target |= {} if job == "by-hand" else {"pod": sidecar.name, "namespace": "gateways"}
            for team in ("team-a", "team-b"):
                own = {"user_namespace": team, "gen_ai_token_type": "input"}
                store.scrape_at(times, target, functools.partial(sidecar.value, team=team), failed=failed, own=own)
    return store, workloads, START + cut


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(clusters())
def test_the_parts_of_a_period_add_up_to_the_whole(cluster):
    store, workloads, cut = cluster

    def rows(start, end):
        dummy, sums = summed([store], workloads=workloads, start=start, end=end, by=("namespace", "pod", "gateway"))
        return Counter({key: usage.total for key, usage in sums.used.items() if usage.total})

    assert rows(START, cut) + rows(cut, END) == rows(START, END)


# Stores of one pod's counter whose parts, read apart, add up to the whole; each with what a sidecar of it has counted
# while it was looked at.
LONG = START - 6000
EVERY = [LONG + STEP * index for index in range(int((END - LONG) / STEP) + 1)]
TWO = {**ONE, "job": "two"}
BY_HAND = {"job": "by-hand"}


def since(begin):
    """A counter that was born at some time, and counts a token each second."""
    return lambda time: int(time - begin) if time >= begin else None


def without_times(begin, end):
    return [time for time in EVERY if not begin < time < end]


def failing_over_the_cut():
    store = Replica()
    store.scrape_at(EVERY, ONE, rising, failed={time for time in EVERY if START - 1800 < time < START + 600})
    return [store], [], END - LONG


def replicas_that_ended_apart(order):
    stores = [Replica(), Replica()]
    for store, end in zip(stores, (START - 1000, START - 2500), strict=True):
        store.scrape_at(without_times(end, START + 600), ONE, rising)
    return stores[::order], [], END - LONG


def jobs_that_ended_apart():
    store = Replica()
    store.scrape_at(without_times(START - 1000, START + 600), ONE, rising)
    store.scrape_at(without_times(START - 2500, START + 600), TWO, rising)
    return [store], [], END - LONG


def a_job_that_ended_before_a_restart():
    store = Replica()

    def value(time):
        if START - 2400 <= time < START - 2000:
            return None
        return 5000 + time - LONG if time < START - 2400 else 3000 + time - START + 2000

    store.scrape_at([time for time in EVERY if time <= START - 2500], ONE, value)
    store.scrape_at(without_times(START - 1000, START + 600), TWO, value)
    # The second has seen the restart; what the first life had after its last scrape by anybody is lost.
    return [store], [], START - 2430 - LONG + 3000 + END - START + 2000


def another_that_has_seen_it_absent():
    store = Replica()
    store.scrape_at(EVERY, ONE, since(START + 590), failed={it for it in EVERY if START - 3000 < it < START + 600})
    store.scrape_at([time + 15 for time in EVERY[:-1]], TWO, since(START + 590))
    return [store], [], END - START - 590


def an_unnamed_scrape_that_ended_before():
    store = metered_before(Replica())
    store.scrape_at([time for time in EVERY if time <= START - 1500], BY_HAND, rising)
    store.scrape_at([time for time in EVERY if time >= START + 600], ONE, rising)
    return [store], [running("p", LONG - 500)], END - LONG


def an_unnamed_scrape_and_later_a_named_one():
    store = metered_before(Replica())
    store.scrape_at(EVERY, BY_HAND, since(START - 3500))
    store.scrape_at([time for time in EVERY if time >= MIDDLE], ONE, since(START - 3500))
    return [store], [running("p", START - 3510)], END - START + 3500


@pytest.mark.parametrize(
    ("stores", "pods", "counted"),
    [
        pytest.param(*failing_over_the_cut(), id="scrapes failed at the cut"),
        pytest.param(*replicas_that_ended_apart(1), id="replicas ended apart"),
        pytest.param(*replicas_that_ended_apart(-1), id="replicas ended apart, the other first"),
        pytest.param(*jobs_that_ended_apart(), id="jobs ended apart"),
        pytest.param(*a_job_that_ended_before_a_restart(), id="a job ended before a restart"),
        pytest.param(*another_that_has_seen_it_absent(), id="another has seen that it was not there"),
        pytest.param(*an_unnamed_scrape_that_ended_before(), id="a scrape without the pod ended before"),
        pytest.param(*an_unnamed_scrape_and_later_a_named_one(), id="without the pod, and later with it"),
    ],
)
def test_what_was_counted_is_billed_once_wherever_a_period_is_cut(stores, pods, counted):
    def billed(start, end):
        dummy, sums = summed(stores, pods=pods, start=start, end=end)
        return sum(usage.total for usage in sums.used.values())

    assert billed(LONG, END) == counted
    assert billed(LONG, START) + billed(START, END) == counted


def relabeled_on_the_way(store):
    store.scrape(ONE, START - 3000, END, rising)
    labels, samples = store.series.pop()
    store.series.append((labels, [item for item in samples if item[0] <= MIDDLE]))
    store.series.append(({**labels, "cluster": "c"}, [item for item in samples if item[0] > MIDDLE]))


def followed_by_one_that_edits(store):
    store.scrape(ONE, START - 3000, MIDDLE, rising)
    store.scrape(TWO, MIDDLE + STEP, END, rising, own={**OF_TEAM, "team": "red"})


@pytest.mark.parametrize("scrape", [relabeled_on_the_way, followed_by_one_that_edits])
def test_a_label_that_is_edited_on_the_way_bills_no_past_again(scrape):
    store = metered_before(Replica())
    scrape(store)
    tokens, doubts = read(store, pods=[running("p", START - 3100)])
    assert tokens == {"team-a": END - START - STEP}
    assert any("were there at the first scrape" in doubt for doubt in doubts)


def test_a_target_that_fails_beside_a_steady_one_makes_nothing_new():
    store, end = Replica(), START + 6 * 3600
    times = [START - 600 + STEP * index for index in range(int((end - START + 600) / STEP) + 1)]
    store.scrape_at(times, ONE, rising, tokens=False)
    store.scrape_at(times, TWO, rising, failed={time for time in times if time < START + 5 * 3600})
    dummy, sums = summed([store], start=START, end=end)
    assert [usage.total for usage in sums.used.values()] == [3600]


def test_a_target_that_ends_beside_a_steady_one_is_no_restart():
    store, end = Replica(), START + 6 * 3600
    store.scrape(ONE, START - 600, end, rising)
    store.scrape(TWO, START - 600, START + 9000, rising, tokens=False)
    period, sums = summed([store], start=START, end=end)
    assert [usage.total for usage in sums.used.values()] == [6 * 3600]
    assert not [doubt for doubt in period.doubts(sums) if "begun anew" in doubt.text]


def test_a_scrape_without_the_pod_does_not_hide_that_a_counter_is_new():
    store, born, end = Replica(), START + 9000, START + 4 * 3600
    times = [START - 600 + STEP * index for index in range(int((end - START + 600) / STEP) + 1)]

    def value(time):
        return None if time < born else 500 + int(time - born)

    store.scrape_at([time + 10 for time in times], ONE, value)
    store.scrape_at(times, BY_HAND, value)
    dummy, sums = summed([store], start=START, end=end)
    assert [usage.total for usage in sums.used.values()] == [500 + end - born]


def test_a_restart_after_a_window_in_which_a_counter_only_went_on_is_seen_wherever_it_ends():
    store, edge, end = Replica(), START + 9000, START + 6 * 3600
    times = [START - 593 + STEP * index for index in range(int((end - START + 593) / STEP) + 1)]
    times = [time for time in times if not edge - 20 < time < edge + 620]
    store.scrape_at(times, ONE, lambda t: 100 + (t - START) // 100 if t < edge + 300 else 5000 + int(t - edge))
    other = {**OF_TEAM, "user_namespace": "team-b"}
    store.scrape_at(times, ONE, lambda t: 7 if START + 5000 <= t <= edge else None, own=other)

    def billed(start, end):
        dummy, sums = summed([store], start=start, end=end)
        return sum(usage.total for usage in sums.used.values())

    assert billed(START, edge - 300) + billed(edge - 300, end) == billed(START, end)
    assert billed(START, edge) + billed(edge, end) == billed(START, end)


def test_a_pod_that_was_made_later_is_not_the_one_that_was_scraped_at_its_address():
    store = metered_before(Replica())
    store.scrape(BY_HAND, START - 600, END, rising)
    assert set(by_gateway(store, pods=[running("q", END + 600)])) == {""}


def test_a_running_pod_under_an_enforced_namespace_is_no_doubt():
    store = metered_before(Replica())
    store.scrape({**ONE, "namespace": "monitors"}, START - 3600, END, rising)
    dummy, doubts = read(store, pods=[running("p", START - 9999, namespace="a")])
    assert not [doubt for doubt in doubts if "was not scraped" in doubt or doubt.startswith("monitors/p has ended")]


def test_tokens_beside_their_whole_that_are_not_billed_are_told():
    store = Replica()
    own = {**OF_TEAM, "gen_ai_token_type": "cached_input", "gen_ai_provider_name": "aws.bedrock"}
    store.scrape(ONE, START + 60, END, lambda time: 5000 + time - START, own=own)
    store.series = [
        ({**it, "__name__": it["__name__"].replace(SUM, "gen_ai_client_token_usage_token_sum")}, samples)
        for it, samples in store.series
    ]
    dummy, doubts = read(store)
    assert any(doubt.startswith("5060 cached_input tokens of team-a") for doubt in doubts)


def test_a_time_without_a_scrape_is_told_once():
    store = metered_before(Replica())
    store.scrape_at([time for time in EVERY if not MIDDLE < time < MIDDLE + 600], ONE, rising)
    dummy, doubts = read(store, pods=[running("p", LONG - 500)])
    assert len([doubt for doubt in doubts if "scraped from" in doubt]) == 1


@pytest.mark.parametrize("enforced", ["monitors", "a"], ids=["of the monitors", "that one of them has"])
def test_pods_of_one_name_that_followed_each_other_under_an_enforced_namespace_are_two(enforced):
    store = Replica()
    name = {"pod": "p", "namespace": enforced, "job": "one"}
    store.scrape({**name, "instance": "10.0.0.1:1064"}, LONG, START - 1000, rising)
    store.scrape({**name, "instance": "10.0.0.2:1064"}, START + 300, END, lambda time: 2 * rising(time))
    pods = [
        running("p", LONG - 9999, namespace=namespace, gateway=f"{namespace}/gw", ip=f"10.0.0.{number}")
        for number, namespace in enumerate("ab", start=1)
    ]

    def billed(start, end):
        dummy, sums = summed([store], pods=pods, start=start, end=end, by=("gateway",))
        return Counter({key[0]: usage.total for key, usage in sums.used.items() if usage.total})

    assert billed(LONG, START) + billed(START, END) == billed(LONG, END)
    assert billed(LONG, END)["b/gw"] == 2 * (END - START - 300)


@pytest.mark.parametrize("by", [("namespace",), ("gateway",), ("pod", "model")])
def test_what_is_billed_does_not_depend_on_what_it_is_summed_by(by):
    store = metered_before(Replica())
    store.scrape(ONE, START + 60, END, lambda time: 500 + int(time - START))
    known = {"namespace": "gateways", "pod": "p", "owner_kind": "DaemonSet", "owner_name": "proxies"}
    store.put("kube_pod_owner", known, dict.fromkeys((START, END - STEP), 1.0))
    owner = _owners.Workload("DaemonSet", "gateways", "proxies", "team/a", START - 300)
    dummy, sums = summed([store], workloads=[owner], by=by)
    assert sum(usage.total for usage in sums.used.values()) == 500 + END - START


def test_a_name_that_is_known_only_days_later_changes_no_sum():
    store = metered_before(Replica())
    day = 86_400
    store.scrape(BY_HAND, START, START + 3 * day, since(START - 60), step=300)
    store.scrape(ONE, START + 2.5 * day, START + 3 * day, since(START - 60), step=300)
    pods = [running("p", START - 70)]

    def billed(start, end):
        dummy, sums = summed([store], pods=pods, start=start, end=end)
        return sum(usage.total for usage in sums.used.values())

    days = [billed(START + number * day, START + (number + 1) * day) for number in range(3)]
    assert sum(days) == billed(START, START + 3 * day) == 3 * day


def test_what_a_store_without_scrapes_has_of_the_past_is_read():
    store = Replica()
    store.scrape_at([time for time in EVERY if not START - 1200 < time < START + 600], ONE, rising)
    store.series = [(labels, samples) for labels, samples in store.series if labels["__name__"] == SUM]
    dummy, sums = summed([store])
    assert [usage.total for usage in sums.used.values()] == [END - START + 1200]
