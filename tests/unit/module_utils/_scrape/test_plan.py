# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which monitor is kept, created, changed and removed, so that each sidecar is scraped once."""

from __future__ import annotations

import dataclasses
import functools
from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.aigateway.metering.plugins.module_utils._errors import ConflictError, MeteringError
from ansible_collections.aigateway.metering.plugins.module_utils._kubernetes import ownership, selectors
from ansible_collections.aigateway.metering.plugins.module_utils._kubernetes.client import UnknownFieldsError
from ansible_collections.aigateway.metering.plugins.module_utils._kubernetes.objects import name_of
from ansible_collections.aigateway.metering.plugins.module_utils._modules import podmonitor_dedupe
from ansible_collections.aigateway.metering.plugins.module_utils._scrape import cluster_plan, context, scrapers
from ansible_collections.aigateway.metering.plugins.module_utils._scrape import monitor as _monitor
from ansible_collections.aigateway.metering.plugins.module_utils._scrape import plan as _plan
from ansible_collections.aigateway.metering.plugins.module_utils._scrape.backend import Backend
from ansible_collections.aigateway.metering.plugins.module_utils._scrape.sources import Source
from ansible_collections.aigateway.metering.tests.unit.objects import (
    GATEWAYS,
    MONITORING,
    OURS,
    PROXY,
    container,
    covered,
    extproc,
    gateway_labels,
    monitoring,
    pod_monitor,
    prometheus,
    sidecar,
)

PLATFORM = "ai-gateway-extproc-metrics"


def expression(key, operator, *values):
    return {"key": key, "operator": operator, **({"values": list(values)} if values else {})}


# --- selectors --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("selector", "labels", "selected"),
    [
        pytest.param(None, {"a": "1"}, False, id="nil selects nothing"),
        pytest.param({}, {}, True, id="an empty one selects everything"),
        pytest.param({"matchLabels": {}}, {"a": "1"}, True, id="empty matchLabels select everything"),
        pytest.param({"matchLabels": {"a": "1"}}, {"a": "1", "b": "2"}, True, id="matchLabels among others"),
        pytest.param({"matchLabels": {"a": "1"}}, {"a": "2"}, False, id="matchLabels: another value"),
        pytest.param({"matchLabels": {"a": ""}}, {}, False, id="matchLabels: an empty value is not an absent label"),
        pytest.param({"matchLabels": {"a": "1", "b": "2"}}, {"a": "1"}, False, id="matchLabels: one of two"),
        pytest.param({"matchExpressions": [expression("a", "In", "1", "2")]}, {"a": "2"}, True, id="In"),
        pytest.param({"matchExpressions": [expression("a", "In", "1", "2")]}, {"a": "3"}, False, id="In: another"),
        pytest.param({"matchExpressions": [expression("a", "In", "1", "2")]}, {}, False, id="In: absent"),
        pytest.param({"matchExpressions": [expression("a", "NotIn", "1")]}, {"a": "1"}, False, id="NotIn"),
        pytest.param({"matchExpressions": [expression("a", "NotIn", "1")]}, {"a": "2"}, True, id="NotIn: another"),
        pytest.param({"matchExpressions": [expression("a", "NotIn", "1")]}, {}, True, id="NotIn: absent"),
        pytest.param({"matchExpressions": [expression("a", "Exists")]}, {"a": ""}, True, id="Exists"),
        pytest.param({"matchExpressions": [expression("a", "Exists")]}, {}, False, id="Exists: absent"),
        pytest.param({"matchExpressions": [expression("a", "DoesNotExist")]}, {}, True, id="DoesNotExist"),
        pytest.param({"matchExpressions": [expression("a", "DoesNotExist")]}, {"a": ""}, False, id="DoesNotExist: is"),
        pytest.param({"matchExpressions": [expression("a", "Gt", "1")]}, {"a": "2"}, False, id="an unknown operator"),
        pytest.param(
            {"matchLabels": {"a": "1"}, "matchExpressions": [expression("b", "Exists")]}, {"a": "1"}, False, id="both"
        ),
    ],
)
def test_a_selector_selects_as_kubernetes_does(selector, labels, selected):
    assert selectors.matches(selector, labels) is selected


@pytest.mark.parametrize(
    ("selector", "labels"),
    [
        pytest.param({}, {}, id="everything"),
        pytest.param({"matchLabels": {"a": "1"}}, {"a": "1"}, id="matchLabels"),
        pytest.param({"matchExpressions": [expression("a", "In", "1", "2")]}, {"a": "1"}, id="In"),
        pytest.param({"matchExpressions": [expression("a", "Exists")]}, {"a": "true"}, id="Exists"),
        pytest.param({"matchExpressions": [expression("a", "NotIn", "1")]}, {}, id="NotIn"),
        pytest.param({"matchExpressions": [expression("a", "DoesNotExist")]}, {}, id="DoesNotExist"),
    ],
)
def test_a_selector_is_satisfied_by_as_few_labels_as_possible(selector, labels):
    assert selectors.satisfying(selector) == labels


@pytest.mark.parametrize(
    "selector",
    [
        pytest.param(
            {"matchLabels": {"a": "2"}, "matchExpressions": [expression("a", "In", "1", "2")]}, id="matchLabels and In"
        ),
        pytest.param({"matchExpressions": [expression("a", "In", "1"), expression("a", "Exists")]}, id="In, Exists"),
        pytest.param({"matchExpressions": [expression("a", "Exists"), expression("a", "In", "1")]}, id="Exists, In"),
        pytest.param({"matchExpressions": [expression("a", "In", "1", "2"), expression("a", "In", "2")]}, id="In, In"),
        pytest.param(
            {"matchExpressions": [expression("a", "In", "1", "2"), expression("a", "NotIn", "1")]}, id="In, NotIn"
        ),
        pytest.param(
            {"matchExpressions": [expression("a", "Exists"), expression("a", "NotIn", "true")]}, id="Exists, NotIn"
        ),
    ],
)
def test_several_conditions_on_one_label_are_satisfied_together(selector):
    assert selectors.matches(selector, selectors.satisfying(selector) or {"nothing": "found"})


@pytest.mark.parametrize(
    "selector",
    [
        pytest.param(None, id="nil"),
        pytest.param(
            {"matchLabels": {"a": "1"}, "matchExpressions": [expression("a", "NotIn", "1")]}, id="one and not one"
        ),
        pytest.param(
            {"matchLabels": {"a": "1"}, "matchExpressions": [expression("a", "DoesNotExist")]}, id="there and absent"
        ),
    ],
)
def test_a_selector_that_nothing_satisfies_is_told(selector):
    assert selectors.satisfying(selector) is None


# --- the Prometheus ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "namespace", "taken"),
    [
        pytest.param({"takes_all": False, "selector": {}}, MONITORING, True, id="nil: its own namespace"),
        pytest.param({"takes_all": False, "selector": {}}, GATEWAYS, False, id="nil: no other"),
        pytest.param({}, GATEWAYS, True, id="empty: all"),
        pytest.param(
            {"namespace_selector": {"matchLabels": {"kubernetes.io/metadata.name": GATEWAYS}}},
            GATEWAYS,
            True,
            id="by the namespace's labels",
        ),
        pytest.param(
            {"namespace_selector": {"matchLabels": {"kubernetes.io/metadata.name": GATEWAYS}}},
            MONITORING,
            False,
            id="not its own unless selected",
        ),
        pytest.param({"takes_all": False}, MONITORING, False, id="no podMonitorSelector: none"),
        pytest.param({"selector": {"matchLabels": {"team": "x"}}}, MONITORING, False, id="the labels count as well"),
    ],
)
def test_a_monitor_counts_when_both_selectors_select_it(spec, namespace, taken):
    assert prometheus(**spec).selects("PodMonitor", pod_monitor(namespace=namespace)) is taken


ABLE, OTHER = prometheus("able"), prometheus("other")
UNABLE = prometheus("unable", takes_all=False)
IMPOSSIBLE = prometheus(
    "impossible", selector={"matchLabels": {"a": "1"}, "matchExpressions": [expression("a", "NotIn", "1")]}
)


@pytest.mark.parametrize(
    ("found", "named", "chosen"),
    [
        pytest.param([ABLE], "", ABLE, id="the only one"),
        pytest.param([UNABLE, ABLE], "", ABLE, id="the only one that takes PodMonitors"),
        pytest.param([ABLE, OTHER], "monitoring/other", OTHER, id="the named one"),
    ],
)
def test_a_prometheus_is_chosen(found, named, chosen):
    assert scrapers.choose_scraper(found, named) is chosen


@pytest.mark.parametrize(
    ("found", "named", "message"),
    [
        pytest.param([], "", "there is no Prometheus object", id="none"),
        pytest.param([UNABLE], "", r"monitoring/unable \(its selector", id="none that is able"),
        pytest.param([OTHER, ABLE], "", "Several .*monitoring/able, monitoring/other.*scrape_prometheus", id="several"),
        pytest.param(
            [ABLE], "ns/x", r"Prometheus ns/x does not exist\. Found: monitoring/able", id="the named one is not there"
        ),
        pytest.param([], "ns/x", "Found: none at all", id="the named one, and none is there"),
        pytest.param(
            [ABLE, UNABLE], "monitoring/unable", "its selector for these is absent", id="the named one is unable"
        ),
        pytest.param([IMPOSSIBLE], "monitoring/impossible", "no labels satisfy", id="the named one is impossible"),
    ],
)
def test_a_prometheus_is_not_guessed(found, named, message):
    with pytest.raises(MeteringError, match=message):
        scrapers.choose_scraper(found, named)


# --- what a monitor covers --------------------------------------------------------------------------------------------


def covers(monitor, *sidecars, **spec):
    return covered(monitor, sidecars or (sidecar("p"),), prometheus(**spec))


ONE = {"gateways/p": 1}


@pytest.mark.parametrize(
    ("endpoint", "found"),
    [
        pytest.param({"port": "aigw-admin"}, ONE, id="port by name"),
        pytest.param({"port": "aigw-.*"}, ONE, id="port by pattern"),
        pytest.param({"port": "aigw"}, {}, id="port is anchored"),
        pytest.param({"port": "aigw-metrics"}, {}, id="port that the pod has not"),
        pytest.param({"portNumber": 1064}, ONE, id="portNumber"),
        pytest.param({"portNumber": 19001}, {}, id="another portNumber"),
        pytest.param({"targetPort": 1064}, ONE, id="targetPort as number"),
        pytest.param({"targetPort": "aigw-admin"}, ONE, id="targetPort as name"),
        pytest.param({"targetPort": "aigw-.*"}, ONE, id="a textual targetPort is a pattern of names"),
        pytest.param({"targetPort": "1064"}, {}, id="a textual targetPort is no number"),
        pytest.param({"targetPort": "aigw-.*("}, {}, id="a targetPort that is no pattern"),
        pytest.param({"port": "aigw-metrics", "portNumber": 1064}, {}, id="port goes before portNumber"),
        pytest.param({"portNumber": 19001, "targetPort": 1064}, {}, id="portNumber goes before targetPort"),
        pytest.param({}, ONE, id="none of them: every port"),
        pytest.param({"portNumber": 1064, "path": "/metrics"}, ONE, id="the path written out"),
        pytest.param({"portNumber": 1064, "path": ""}, ONE, id="an empty path is the default"),
        pytest.param({"portNumber": 1064, "path": "/health"}, {}, id="another path"),
    ],
)
def test_an_endpoint_is_resolved_on_the_live_pod(endpoint, found):
    assert covers(pod_monitor(endpoints=[endpoint])) == found


def test_the_ports_of_init_containers_count():
    native = sidecar("p", containers=[], init=[extproc()])
    assert covers(pod_monitor(endpoints=[{"port": "aigw-admin"}]), native) == ONE


def test_the_ports_of_other_containers_do_not_count():
    envoy = sidecar("p", containers=[extproc(), container("other", ports={"metrics": 19001})])
    assert covers(pod_monitor(endpoints=[{"port": "metrics"}]), envoy) == {}


def test_a_port_that_the_pod_does_not_declare_is_not_scraped():
    assert covers(pod_monitor(), sidecar("p", containers=[extproc(ports={})])) == {}


def test_two_names_of_one_port_are_one_target_of_an_endpoint():
    """v0.4 declares 1064 twice."""
    v04 = sidecar("p", containers=[extproc(ports={"aigw-admin": 1064, "aigw-metrics": 1064})])
    assert covers(pod_monitor(endpoints=[{"port": "aigw-.*"}]), v04) == ONE


def test_two_endpoints_on_the_port_are_counted_twice():
    assert covers(pod_monitor(endpoints=[{"port": "aigw-admin"}, {"portNumber": 1064}])) == {"gateways/p": 2}


HERE, THERE = sidecar("p", "here"), sidecar("p", "there")


@pytest.mark.parametrize(
    ("namespace_selector", "spec", "found"),
    [
        pytest.param(None, {}, ["here/p"], id="default: its own"),
        pytest.param({}, {}, ["here/p"], id="empty: its own"),
        pytest.param({"matchNames": ["there"]}, {}, ["there/p"], id="matchNames"),
        pytest.param({"any": True}, {}, ["here/p", "there/p"], id="any"),
        pytest.param({"any": True, "matchNames": ["there"]}, {}, ["here/p", "there/p"], id="any goes before"),
        pytest.param({"any": True}, {"ignoreNamespaceSelectors": True}, ["here/p"], id="any, ignored"),
        pytest.param({"matchNames": ["there"]}, {"ignoreNamespaceSelectors": True}, ["here/p"], id="names, ignored"),
    ],
)
def test_a_monitor_looks_for_pods_where_its_namespace_selector_says(namespace_selector, spec, found):
    monitor = pod_monitor(namespace="here", namespace_selector=namespace_selector)
    assert sorted(covers(monitor, HERE, THERE, **spec)) == found


def test_a_monitor_covers_only_pods_that_its_selector_selects():
    team = {"gateway.envoyproxy.io/owning-gateway-namespace": "team-b"}
    monitor = pod_monitor(selector={"matchLabels": team})
    found = covers(monitor, sidecar("a", gateway="team-a/chat"), sidecar("b", gateway="team-b/chat"))
    assert list(found) == ["gateways/b"]


# --- the plan ---------------------------------------------------------------------------------------------------------


def planned(*monitors, sidecars=None, by=None, **options):
    by = by or prometheus()
    return _plan.plan_scrape(monitoring(*monitors, scrapers=[by]), by, sidecars or [sidecar("p")], **options)


def names(found):
    return [source.name for source in found]


def standing_ours(*sidecars, name="ai-gateway-metrics", by=None, **changed):
    """Our monitor as we create it for these sidecars, with some keys of its spec changed since."""
    monitor = _monitor.desired_monitor(by or prometheus(), sidecars or [sidecar("p")], name, "30s")
    metadata = monitor["metadata"] | {"creationTimestamp": "2026-01-01T00:00:00Z"}
    return monitor | {"metadata": metadata, "spec": monitor["spec"] | changed}


class TestWhereNothingCoversTheSidecars:
    def test_a_monitor_is_created(self):
        assert name_of(planned().create) == "gateways/ai-gateway-metrics"

    def test_it_is_marked_as_ours(self):
        assert ownership.is_ours(planned().create)

    def test_it_has_the_name_and_the_interval_that_were_asked_for(self):
        created = planned(name="tokens", interval="15s").create
        assert (created["metadata"]["name"], created["spec"]["podMetricsEndpoints"][0]["interval"]) == ("tokens", "15s")

    @pytest.mark.parametrize(
        ("spec", "namespace"),
        [
            pytest.param({}, GATEWAYS, id="beside the proxies"),
            pytest.param({"takes_all": False, "selector": {}}, MONITORING, id="in the Prometheus's own namespace"),
            pytest.param(
                {"namespace_selector": {"matchLabels": {"kubernetes.io/metadata.name": MONITORING}}},
                MONITORING,
                id="in the one that the namespace selector selects",
            ),
        ],
    )
    def test_it_is_put_where_the_prometheus_looks(self, spec, namespace):
        assert planned(by=prometheus(**spec)).create["metadata"]["namespace"] == namespace

    @pytest.mark.parametrize(
        "selector",
        [
            pytest.param({}, id="everything"),
            pytest.param({"matchLabels": {"prometheus": "kube-prometheus"}}, id="matchLabels"),
            pytest.param({"matchExpressions": [expression("team", "In", "a", "b")]}, id="In"),
            pytest.param({"matchExpressions": [expression("app.kubernetes.io/name", "Exists")]}, id="Exists"),
            pytest.param({"matchLabels": {"app.kubernetes.io/name": "other"}}, id="a label that we set as well"),
        ],
    )
    def test_it_has_the_labels_that_the_prometheus_selects(self, selector):
        chosen = prometheus(selector=selector)
        assert chosen.selects("PodMonitor", planned(by=chosen).create)

    @pytest.mark.parametrize(
        "condition",
        [
            pytest.param(expression("app.kubernetes.io/managed-by", "DoesNotExist"), id="no managed-by label"),
            pytest.param(
                expression("app.kubernetes.io/managed-by", "NotIn", "aigateway.metering"), id="not our managed-by label"
            ),
        ],
    )
    def test_where_our_own_label_keeps_it_from_being_selected_that_is_said(self, condition):
        with pytest.raises(MeteringError, match="main"):
            planned(by=prometheus(selector={"matchExpressions": [condition]}))

    def test_it_covers_every_sidecar_in_whatever_namespace_and_on_whatever_port(self):
        everyone = [HERE, THERE, sidecar("q", "there", containers=[extproc(port=1065)])]
        chosen = prometheus(namespaces=["here", "there", MONITORING])
        created = planned(sidecars=everyone, by=chosen).create
        assert covered(created, everyone, chosen) == {"here/p": 1, "there/p": 1, "there/q": 1}

    def test_pods_that_it_will_not_reach_are_named(self):
        chosen = prometheus(namespaces=["here", "there", MONITORING], ignoreNamespaceSelectors=True)
        assert planned(sidecars=[HERE, THERE], by=chosen).uncovered == ("there/p",)

    def test_no_place_for_it_is_refused(self):
        nowhere = prometheus(namespace_selector={"matchLabels": {"team": "x"}})
        with pytest.raises(MeteringError, match=r"neither from gateways nor from monitoring"):
            planned(by=nowhere)

    def test_a_foreign_monitor_of_its_name_is_not_overwritten(self):
        with pytest.raises(MeteringError, match=r"PodMonitor gateways/ai-gateway-metrics already exists.*not ours"):
            planned(pod_monitor("ai-gateway-metrics", endpoints=[{"portNumber": 80}]))

    def test_one_of_ours_in_another_namespace_is_widened_where_it_stands(self):
        plan = planned(pod_monitor("ai-gateway-metrics", "elsewhere", labels=OURS))
        assert name_of(plan.update) == "elsewhere/ai-gateway-metrics"
        assert plan.update["spec"]["namespaceSelector"] == {"matchNames": ["gateways"]}

    def test_one_of_ours_where_the_prometheus_does_not_look_makes_way_for_a_new_one(self):
        chosen = prometheus(namespace_selector={"matchLabels": {"kubernetes.io/metadata.name": "gateways"}})
        plan = planned(pod_monitor("ai-gateway-metrics", "elsewhere", labels=OURS), by=chosen)
        assert names(plan.remove) == ["elsewhere/ai-gateway-metrics"]

    def test_one_of_ours_in_its_place_is_brought_back(self):
        plan = planned(pod_monitor("ai-gateway-metrics", labels=OURS, endpoints=[{"portNumber": 80}]))
        assert (plan.kept, name_of(plan.update)) == ("gateways/ai-gateway-metrics",) * 2

    def test_one_of_ours_that_the_prometheus_does_not_select_is_brought_back(self):
        chosen = prometheus(selector={"matchLabels": {"prometheus": "main"}})
        plan = planned(standing_ours(), by=chosen)
        assert chosen.selects("PodMonitor", plan.update)


@pytest.mark.parametrize(
    "ignored",
    [
        pytest.param({"monitor": {"labels": {"team": "y"}}}, id="other labels"),
        pytest.param({"monitor": {"namespace": "unseen"}}, id="a namespace that it does not look into"),
        pytest.param({"monitor": {"endpoints": [{"portNumber": 19001}]}}, id="another port"),
        pytest.param({"monitor": {"endpoints": []}}, id="no endpoint"),
    ],
)
def test_a_monitor_that_makes_nobody_scrape_the_sidecars_does_not_count(ignored):
    chosen = prometheus(
        selector={"matchLabels": {"team": "x"}},
        namespace_selector={"matchExpressions": [expression("kubernetes.io/metadata.name", "Exists")]},
    )
    options = {"labels": {"team": "x"}, "namespace_selector": {"any": True}} | ignored["monitor"]
    assert planned(pod_monitor(**options), by=chosen).kept == ""


def test_a_monitor_that_covers_every_sidecar_is_kept_and_nothing_else_done():
    plan = planned(pod_monitor())
    assert (plan.kept, plan.create, plan.update, plan.remove, plan.left, plan.uncovered) == (
        "gateways/monitor",
        None,
        None,
        (),
        (),
        (),
    )


def test_our_own_monitor_as_it_should_be_is_left_alone():
    plan = planned(standing_ours())
    assert (plan.create, plan.update, plan.remove) == (None, None, ())


TWO = [sidecar("p", gateway="team-a/chat"), sidecar("q", gateway="team-b/chat")]
NARROW = {"matchLabels": {"gateway.envoyproxy.io/owning-gateway-namespace": "team-a"}}


@pytest.mark.parametrize(
    ("kept", "other"),
    [
        pytest.param(
            pod_monitor(PLATFORM, created="2026-03-01T00:00:00Z"),
            pod_monitor("a", created="2026-01-01T00:00:00Z"),
            id="the platform's before the oldest",
        ),
        pytest.param(
            pod_monitor("z", created="2026-03-01T00:00:00Z"),
            pod_monitor(PLATFORM, selector=NARROW, created="2026-01-01T00:00:00Z"),
            id="one that covers every pod before the platform's that does not",
        ),
        pytest.param(
            pod_monitor("z", created="2026-03-01T00:00:00Z"),
            pod_monitor("a", selector=NARROW, created="2026-01-01T00:00:00Z"),
            id="the most complete before the oldest",
        ),
        pytest.param(
            pod_monitor("z", created="2026-01-01T00:00:00Z"),
            pod_monitor("a", created="2026-03-01T00:00:00Z"),
            id="the oldest before the first by name",
        ),
        pytest.param(pod_monitor("a"), pod_monitor("z"), id="the first by name"),
    ],
)
@pytest.mark.parametrize("order", [1, -1], ids=["listed first", "listed last"])
def test_one_monitor_is_kept(kept, other, order):
    assert planned(*[kept, other][::order], sidecars=TWO).keepers[0].name == name_of(kept)


REDUNDANT = (pod_monitor(PLATFORM), pod_monitor("foreign"), pod_monitor("mine", labels=OURS))


@pytest.mark.parametrize(
    ("prune", "removed"),
    [("none", []), ("ours", ["gateways/mine"]), ("all", ["gateways/foreign", "gateways/mine"])],
)
def test_of_redundant_monitors_those_are_removed_that_may_be(prune, removed):
    assert names(planned(*REDUNDANT, prune=prune).remove) == removed


@pytest.mark.parametrize(
    ("prune", "left"),
    [("none", ["gateways/foreign", "gateways/mine"]), ("ours", ["gateways/foreign"]), ("all", [])],
)
def test_of_redundant_monitors_the_rest_is_left(prune, left):
    assert names(item for item, dummy in planned(*REDUNDANT, prune=prune).left) == left


def test_a_monitor_that_is_left_comes_with_the_command_that_removes_it():
    plan = planned(pod_monitor(PLATFORM), pod_monitor("foreign"))
    assert [remedy.command for dummy, remedy in plan.left] == ["kubectl -n gateways delete podmonitor foreign"]


def test_our_own_monitor_of_another_name_is_kept_where_it_is_the_only_one():
    plan = planned(standing_ours(name="before"), name="after")
    assert (plan.kept, plan.create, plan.update, plan.remove) == ("gateways/before", None, None, ())


def test_our_own_monitor_of_another_name_is_removed_where_it_is_redundant():
    assert names(planned(pod_monitor(PLATFORM), standing_ours(name="before")).remove) == ["gateways/before"]


def test_a_label_of_ours_with_another_value_makes_a_monitor_foreign():
    assert not ownership.is_ours(pod_monitor(labels={"app.kubernetes.io/managed-by": "Helm"}))


def test_a_monitor_for_other_sidecars_is_not_redundant():
    halves = [
        pod_monitor(team, selector={"matchLabels": {"gateway.envoyproxy.io/owning-gateway-namespace": team}})
        for team in ("team-a", "team-b")
    ]
    plan = planned(*halves, sidecars=TWO, prune="all")
    assert (plan.remove, plan.left, plan.uncovered) == ((), (), ())


def test_beside_one_that_covers_some_gateways_ours_covers_the_others_and_no_pod_twice():
    plan = planned(pod_monitor(selector=NARROW), sidecars=TWO)
    assert (plan.kept, covered(plan.create, TWO, prometheus())) == ("gateways/monitor", {"gateways/q": 1})
    assert (plan.left, plan.uncovered) == ((), ())


def test_ours_beside_another_one_is_left_as_it_is():
    partial = pod_monitor(selector=NARROW)
    created = planned(partial, sidecars=TWO).create
    plan = planned(partial, created, sidecars=TWO)
    assert (plan.create, plan.update, plan.remove, plan.left) == (None, None, (), ())


def test_ours_beside_another_one_is_widened_once_that_is_gone():
    created = planned(pod_monitor(selector=NARROW), sidecars=TWO).create
    plan = planned(created, sidecars=TWO)
    assert covered(plan.update, TWO, prometheus()) == {"gateways/p": 1, "gateways/q": 1}


SAME = [
    sidecar("p", gateway="team-a/chat"),
    sidecar("q", gateway="team-a/chat", labels={**PROXY, **gateway_labels("team-a/chat"), "canary": "yes"}),
]


def test_pods_that_no_labels_tell_from_covered_ones_are_named():
    plan = planned(pod_monitor(selector={"matchLabels": {"canary": "yes"}}), sidecars=SAME)
    assert (plan.create, plan.uncovered) == (None, ("gateways/p",))


def test_pods_that_several_monitors_cover_are_named_with_these():
    plan = planned(pod_monitor("a"), pod_monitor("b", selector=NARROW), sidecars=TWO)
    assert plan.doubly_covered == {"gateways/p": ("gateways/a", "gateways/b")}


def test_pods_that_one_monitor_covers_twice_are_named():
    twice = pod_monitor("a", endpoints=[{"port": "aigw-admin"}, {"portNumber": 1064}])
    assert planned(twice).doubly_covered == {"gateways/p": ("gateways/a", "gateways/a")}


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"podMetricsEndpoints": [{"portNumber": 1064, "interval": "5s"}]}, id="another interval"),
        pytest.param({"podMetricsEndpoints": [{"port": "aigw-admin", "interval": "30s"}]}, id="the port by name again"),
        pytest.param({"podMetricsEndpoints": [{"portNumber": 1064}, {"portNumber": 1064}]}, id="an endpoint too many"),
        pytest.param({"selector": NARROW}, id="another selector"),
        pytest.param(
            {
                "selector": {
                    "matchLabels": _monitor.desired_monitor(prometheus(), TWO, "x", "30s")["spec"]["selector"][
                        "matchLabels"
                    ]
                    | NARROW["matchLabels"]
                }
            },
            id="a selector narrowed by a label",
        ),
    ],
)
def test_our_own_monitor_that_drifted_is_brought_back(changed):
    plan = planned(standing_ours(*TWO, **changed), sidecars=TWO)
    assert plan.update["spec"] == _monitor.desired_monitor(prometheus(), TWO, "ai-gateway-metrics", "30s")["spec"]


def test_what_the_api_server_adds_to_our_own_monitor_is_no_drift():
    monitor = standing_ours()
    endpoints = [{**item, "filterRunning": True} for item in monitor["spec"]["podMetricsEndpoints"]]
    defaulted = monitor | {"spec": monitor["spec"] | {"podMetricsEndpoints": endpoints, "sampleLimit": 0}}
    assert planned(defaulted).update is None


def test_a_foreign_monitor_is_never_changed():
    assert planned(pod_monitor(selector=NARROW), sidecars=TWO).update is None


def test_our_own_monitor_comes_to_cover_a_gateway_in_a_further_namespace():
    """Also where that namespace comes first by name: proxies live beside their Gateways in GatewayNamespace mode."""
    chosen = prometheus(namespaces=["a-team", "b-team", MONITORING])
    first, later = sidecar("p", "b-team"), sidecar("q", "a-team")
    plan = planned(standing_ours(first, by=chosen), sidecars=[later, first], by=chosen)
    assert plan.uncovered == ()


# --- scope ------------------------------------------------------------------------------------------------------------

IN_SCOPE = (sidecar("p", gateway="team-a/chat"),)
BEYOND = (sidecar("q", gateway="team-b/chat"),)


def scoped(*monitors, scope=("team-a/chat",), sidecars=IN_SCOPE, others=BEYOND):
    return _plan.plan_scrape(monitoring(*monitors), prometheus(), sidecars, scope=scope, others=others)


def test_a_monitor_for_a_scope_covers_that_and_no_more():
    created = scoped().create
    assert list(covered(created, [*IN_SCOPE, *BEYOND], prometheus())) == ["gateways/p"]


def test_a_monitor_for_a_scope_has_a_name_of_its_own():
    assert name_of(scoped().create) == "gateways/ai-gateway-metrics-team-a-chat"


def test_a_name_that_is_too_long_for_a_label_is_shortened():
    name = _monitor.scoped_name([f"namespace-{number}/gateway" for number in range(9)])
    assert len(name) <= 63


def test_two_scopes_have_two_names():
    assert _monitor.scoped_name(["a/b"]) != _monitor.scoped_name(["a/c"])


def test_the_order_of_a_scope_does_not_matter():
    assert _monitor.scoped_name(["a/b", "c/d"]) == _monitor.scoped_name(["c/d", "a/b"])


def test_a_scope_that_labels_cannot_select_is_refused_naming_who_would_be_beyond():
    crossed = [sidecar("x", gateway="team-a/other"), sidecar("y", gateway="team-b/chat")]
    mixed = [sidecar("p", gateway="team-a/chat"), sidecar("q", gateway="team-b/other")]
    with pytest.raises(MeteringError, match=r"team-a/other, team-b/chat as well"):
        scoped(scope=("team-a/chat", "team-b/other"), sidecars=mixed, others=crossed)


def test_a_wider_monitor_of_ours_is_not_narrowed_by_a_run_for_a_scope():
    wide = standing_ours(*IN_SCOPE, *BEYOND)
    plan = scoped(wide)
    assert (plan.own, plan.create, plan.update, plan.remove) == (wide, None, None, ())


def test_a_wider_monitor_of_somebody_is_kept_by_a_run_for_a_scope():
    assert scoped(pod_monitor()).kept == "gateways/monitor"


def test_a_wider_monitor_of_ours_is_kept_before_a_narrow_one_of_somebody():
    wide = standing_ours(*IN_SCOPE, *BEYOND)
    narrow = pod_monitor("narrow", selector=NARROW, created="2025-01-01T00:00:00Z")
    plan = scoped(wide, narrow)
    assert (plan.own, plan.remove, [item.name for item, dummy in plan.left]) == (wide, (), ["gateways/narrow"])


# --- nobody is uncovered by a removal ---------------------------------------------------------------------------------

THREE = [sidecar(name, namespace, gateway=f"{namespace}/chat") for name, namespace in zip("pqr", "abc", strict=True)]
EVERYWHERE = prometheus(namespaces=["a", "b", "c", MONITORING])


def test_a_partial_monitor_of_ours_is_widened_to_what_the_platforms_leaves_out():
    ours = standing_ours(*THREE[:2], by=EVERYWHERE)
    plan = planned(pod_monitor(PLATFORM, "a"), ours, sidecars=THREE, by=EVERYWHERE)
    assert covered(plan.update, THREE, EVERYWHERE) == {"b/q": 1, "c/r": 1}
    assert (plan.remove, plan.left, plan.uncovered) == ((), (), ())


KEEPER = pod_monitor(PLATFORM, "a", namespace_selector={"matchNames": ["a", "b"]})
OVERLAPPING = pod_monitor("wider", "a", namespace_selector={"matchNames": ["b", "c"]})


def test_what_an_overlapping_monitor_alone_covers_is_not_covered_once_more_by_ours():
    plan = planned(KEEPER, OVERLAPPING, sidecars=THREE, by=EVERYWHERE)
    assert (plan.kept, plan.create, plan.remove, plan.uncovered) == (f"a/{PLATFORM}", None, (), ())
    assert names(item for item, dummy in plan.left) == ["a/wider"]


def test_an_overlapping_monitor_is_removed_once_ours_covers_what_it_alone_covered():
    plan = planned(KEEPER, OVERLAPPING, sidecars=THREE, by=EVERYWHERE, prune="all")
    assert (covered(plan.create, THREE, EVERYWHERE), names(plan.remove)) == ({"c/r": 1}, ["a/wider"])


# --- what the served kind does not have -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lacking", "endpoint", "kept"),
    [
        pytest.param(set(), {"portNumber": 1064}, True, id="the newest operator"),
        pytest.param({"portNumber", *_monitor.KEEPS_CLASSIC}, {"targetPort": 1064}, False, id="before 0.78"),
        pytest.param({"portNumber"}, {"targetPort": 1064}, True, id="without port numbers"),
    ],
)
def test_ours_uses_no_field_that_the_served_kind_lacks(lacking, endpoint, kept):
    monitor = _monitor.desired_monitor(prometheus(), TWO, "x", "30s", lacking=lacking)
    (found,) = monitor["spec"]["podMetricsEndpoints"]
    assert endpoint.items() <= found.items()
    assert not {"portNumber", "targetPort"} - endpoint.keys() <= found.keys()
    assert {name: monitor["spec"].get(name) for name in _monitor.KEEPS_CLASSIC} == (
        _monitor.KEEPS_CLASSIC if kept else dict.fromkeys(_monitor.KEEPS_CLASSIC)
    )
    assert covered(monitor, TWO, prometheus()) == dict.fromkeys([item.name for item in TWO], 1)


def test_a_monitor_that_was_stored_without_a_field_is_read_again():
    class Pruning(Served):
        def create(self, api: str, plural: str, wish: Any) -> Any:  # type: ignore[override]
            return self.rehearse(None, api, plural, wish)

    plan = _plan.plan_scrape(monitoring(), prometheus(), TWO)
    served: Any = Pruning({"scrapeClassicHistograms", "convertClassicHistogramsToNHCB"}, "pruning")
    with pytest.raises(ConflictError, match="was stored without portNumber"):
        podmonitor_dedupe.carry_out(served, plan)


def test_a_second_plan_is_tried_like_the_first():
    class Twice(Served):
        """It refuses one field at a time."""

        def rehearse(self, dummy, api, plural, wish):
            unknown = sorted(cluster_plan._fields(wish) - self.has)
            if unknown:
                raise UnknownFieldsError(frozenset(unknown[:1]))
            return super().rehearse(dummy, api, plural, wish)

    def plan(lacking=frozenset()):
        return _plan.plan_scrape(monitoring(), prometheus(), TWO, lacking=lacking)

    served: Any = Twice(set(), "strict")
    created = cluster_plan.accepted_plan(served, plan).create
    assert created is not None
    assert cluster_plan._fields(created) == set()


class Served:
    """An API server whose PodMonitor has some fields, and that may be strict about others or prune them."""

    def __init__(self, has, how):
        self.has, self.how, self.asked = has, how, 0

    create = replace = None

    def fields_of(self, *dummy):
        return {*self.has, "selector"} if self.how == "forbidden" else None

    def rehearse(self, dummy, api, plural, wish):
        del api, plural
        self.asked += 1
        if self.how in ("forbidden", "blind"):
            return None
        unknown = cluster_plan._fields(wish) - self.has
        if unknown and self.how == "strict":
            raise UnknownFieldsError(frozenset(f"spec.podMetricsEndpoints[0].{name}" for name in unknown))
        spec = {name: value for name, value in wish["spec"].items() if name not in unknown}
        endpoints = [
            {name: value for name, value in item.items() if name not in unknown} for item in spec["podMetricsEndpoints"]
        ]
        return {**wish, "spec": {**spec, "podMetricsEndpoints": endpoints}}


@pytest.mark.parametrize("how", ["strict", "pruning", "forbidden", "blind"])
@pytest.mark.parametrize("has", [set(), {"portNumber"}, set(_monitor.OPTIONAL_FIELDS)], ids=["none", "one", "all"])
def test_a_run_on_any_operator_settles_and_the_next_one_changes_nothing(how, has):
    def plan(*monitors, lacking=frozenset()):
        return _plan.plan_scrape(monitoring(*monitors), prometheus(), TWO, lacking=lacking)

    served: Any = Served(has, how if how == "pruning" else "strict")
    first = cluster_plan.accepted_plan(served, plan)
    assert first.create is not None
    assert cluster_plan._fields(first.create) == has
    standing = served.rehearse(None, "", "", first.create)
    again: Any = Served(has, how)
    second = cluster_plan.accepted_plan(again, functools.partial(plan, standing))
    assert (second.create, second.update) == (None, None)
    # Where all is as it is wanted nothing is tried.
    assert again.asked == (0 if has == _monitor.OPTIONAL_FIELDS else 1)


@pytest.mark.parametrize("how", ["strict", "pruning", "forbidden"])
def test_a_field_that_somebody_took_out_of_ours_is_missed_also_by_who_may_only_read(how):
    def plan(*monitors, lacking=frozenset()):
        return _plan.plan_scrape(monitoring(*monitors), prometheus(), TWO, lacking=lacking)

    served: Any = Served(set(_monitor.OPTIONAL_FIELDS), "strict")
    standing: Any = cluster_plan.accepted_plan(served, plan).create
    edited = {**standing, "spec": {k: v for k, v in standing["spec"].items() if k != "scrapeClassicHistograms"}}
    again: Any = Served(set(_monitor.OPTIONAL_FIELDS), how)
    assert cluster_plan.accepted_plan(again, functools.partial(plan, edited)).update is not None


# --- only some namespaces are read ------------------------------------------------------------------------------------

READ = [GATEWAYS, MONITORING]
WIDE = {"matchNames": [GATEWAYS, "other"]}


def planned_of_read(*monitors, **options):
    there = dataclasses.replace(monitoring(*monitors), namespaces=READ)
    return _plan.plan_scrape(there, there.scrapers[0], [sidecar("p")], **options)


def test_ours_goes_on_to_look_where_this_run_does_not_read():
    (ours,) = [planned_of_read().create]
    ours["spec"]["namespaceSelector"] = WIDE
    plan = planned_of_read(ours)
    assert (plan.kept, plan.create, plan.update) == (name_of(ours), None, None)


def test_ours_takes_what_it_lacks_and_loses_nothing_that_was_not_read():
    ours = planned_of_read().create
    ours["spec"]["namespaceSelector"] = {"matchNames": ["other"]}
    updated = planned_of_read(ours).update
    assert updated["spec"]["namespaceSelector"] == WIDE


def test_ours_that_looks_everywhere_goes_on_to():
    ours = planned_of_read().create
    ours["spec"]["namespaceSelector"] = {"any": True}
    assert planned_of_read(ours).update is None


@pytest.mark.parametrize("reach", [WIDE, {"any": True}])
@pytest.mark.parametrize("labels", [OURS, {}], ids=["ours", "not ours"])
def test_a_monitor_that_may_scrape_what_was_not_read_is_not_removed(reach, labels):
    wide = pod_monitor("wide", labels=labels, namespace_selector=reach)
    plan = planned_of_read(pod_monitor(PLATFORM), wide, prune="all")
    assert (plan.remove, names(item for item, dummy in plan.left)) == ((), ["gateways/wide"])
    ((dummy, remedy),) = plan.left
    assert "may scrape proxies in namespaces that were not read" in remedy.advice


def test_a_monitor_that_reaches_only_what_was_read_is_removed_as_ever():
    near = pod_monitor("near", namespace_selector={"matchNames": [GATEWAYS]})
    assert names(planned_of_read(pod_monitor(PLATFORM), near, prune="all").remove) == ["gateways/near"]


class Silent(Backend):
    """A backend whose targets cannot be asked."""

    def __init__(self):
        pass

    def scraping(self):
        raise MeteringError("It hangs.", "why.", "advice.", "kubectl top pod")


@pytest.mark.parametrize("namespaces", [[], READ])
def test_where_a_monitor_may_stand_unseen_none_is_created(namespaces):
    there = dataclasses.replace(monitoring(), namespaces=namespaces)
    by = there.scrapers[0]
    view = context.View([sidecar("p")], [], there, by, Silent())
    plan = planned_of_read()
    silent = cluster_plan.read_jobs(SimpleNamespace(warn=print), view)[1]
    if not namespaces:
        cluster_plan.refuse_unseen_monitors(view, plan, silent)
        return
    with pytest.raises(MeteringError, match="a namespace that is not read scrapes the sidecars already: It hangs"):
        cluster_plan.refuse_unseen_monitors(view, plan, silent)


def test_what_stands_already_needs_nothing_to_be_seen():
    there = dataclasses.replace(monitoring(), namespaces=READ)
    view = context.View([sidecar("p")], [], there, there.scrapers[0], Silent())
    kept = planned_of_read(pod_monitor(PLATFORM))
    cluster_plan.refuse_unseen_monitors(view, kept, MeteringError("It hangs.", "why.", "advice."))


def test_a_pool_of_a_monitor_that_was_not_read_is_looked_at_before_anything_is_removed():
    there = dataclasses.replace(monitoring(), namespaces=READ)
    source = Source("job", "podMonitor/other/wide/0", there.scrapers[0], ())
    remedy = _plan.remedy_for(source, planned_of_read(), there)
    assert remedy.command == "kubectl -n other get podmonitor wide -o yaml"
    assert "was not read" in remedy.advice
