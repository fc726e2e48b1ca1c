# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Prometheus, its agents and VictoriaMetrics: who scrapes what."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.aigateway.metering.plugins.module_utils._errors import MeteringError
from ansible_collections.aigateway.metering.plugins.module_utils._kubernetes import selectors
from ansible_collections.aigateway.metering.plugins.module_utils._scrape import (
    backend,
    discovery,
    live_targets,
    scrapers,
    sources,
)
from ansible_collections.aigateway.metering.plugins.module_utils._scrape import plan as _plan
from ansible_collections.aigateway.metering.tests.unit.objects import (
    GATEWAYS,
    MONITORING,
    OURS,
    PROXY,
    container,
    extproc,
    monitoring,
    pod_monitor,
    prometheus,
    sidecar,
)

PLATFORM = "ai-gateway-extproc-metrics"


def vmagent(name="vm", **spec):
    return scrapers.Scraper({"metadata": {"name": name, "namespace": "vm"}, "spec": spec}, {GATEWAYS: {}}, "VMAgent")


def pod_scrape(name="monitor", labels=None, **endpoint):
    return {
        "apiVersion": "operator.victoriametrics.com/v1beta1",
        "kind": "VMPodScrape",
        "metadata": {"name": name, "namespace": GATEWAYS, "labels": labels or {}, "creationTimestamp": "2026-01-01"},
        "spec": {"selector": {"matchLabels": PROXY}, "podMetricsEndpoints": [{"targetPort": 1064, **endpoint}]},
    }


EVERYTHING = {"selectAllByDefault": True}


@pytest.mark.parametrize(
    ("spec", "selected"),
    [
        pytest.param({}, False, id="nothing by default"),
        pytest.param(EVERYTHING, True, id="all by default"),
        pytest.param({"podScrapeSelector": {}, "podScrapeNamespaceSelector": {}}, True, id="both empty"),
        pytest.param({"podScrapeSelector": {}}, False, id="nil namespaces: its own"),
        pytest.param({"podScrapeNamespaceSelector": {}}, True, id="nil labels, with namespaces"),
        pytest.param(
            {"podScrapeSelector": {"matchLabels": {"a": "b"}}, "podScrapeNamespaceSelector": {}}, False, id="by labels"
        ),
    ],
)
def test_a_vmagent_selects_as_its_operator_says(spec, selected):
    assert vmagent(**spec).selects("VMPodScrape", pod_scrape()) is selected


def test_a_vmagent_reads_no_pod_monitor():
    assert not vmagent(**EVERYTHING).selects("PodMonitor", pod_monitor())


def test_for_a_vmagent_a_pod_scrape_is_created_that_old_operators_understand():
    by = vmagent(**EVERYTHING)
    created = _plan.plan_scrape(monitoring(scrapers=[by]), by, [sidecar("p")]).create
    assert created is not None
    assert (created["kind"], created["spec"]["podMetricsEndpoints"][0]["targetPort"]) == ("VMPodScrape", 1064)


def test_what_is_created_for_a_vmagent_is_left_alone_by_the_next_run():
    by = vmagent(**EVERYTHING)
    created = _plan.plan_scrape(monitoring(scrapers=[by]), by, [sidecar("p")]).create
    assert created is not None
    plan = _plan.plan_scrape(monitoring(dict(created), scrapers=[by]), by, [sidecar("p")])
    assert (plan.create, plan.update, plan.kept) == (None, None, "gateways/ai-gateway-metrics")


def test_a_pod_scrape_whose_pod_monitor_is_gone_is_told_with_the_command_that_removes_it():
    """The operator converts PodMonitors, and leaves what it has made when they go."""
    by = vmagent(**EVERYTHING)
    plan = _plan.plan_scrape(monitoring(pod_scrape("a"), pod_scrape("orphan"), scrapers=[by]), by, [sidecar("p")])
    assert [remedy.command for dummy, remedy in plan.left] == ["kubectl -n gateways delete vmpodscrape orphan"]


def test_a_pod_scrape_made_from_a_pod_monitor_goes_with_that():
    by = vmagent(**EVERYTHING)
    there = monitoring(pod_scrape("a"), pod_scrape("b"), pod_monitor("b"), scrapers=[by])
    ((dummy, remedy),) = _plan.plan_scrape(there, by, [sidecar("p")]).left
    assert remedy.command == "kubectl -n gateways delete podmonitor b; kubectl -n gateways delete vmpodscrape b"


def test_the_rules_of_a_pod_scrape_count_under_their_own_names():
    dropping = pod_scrape(
        "b", metricRelabelConfigs=[{"action": "drop", "source_labels": ["__name__"], "regex": "gen_ai.*"}]
    )
    by = vmagent(**EVERYTHING)
    assert sources.source_of("VMPodScrape", dropping, by, [sidecar("p")]).covered == {}


# --- where several store ----------------------------------------------------------------------------------------------


def writing(name, url):
    return prometheus(name, remoteWrite=[{"url": url}])


@pytest.mark.parametrize(
    ("other", "doubled"),
    [
        pytest.param(prometheus("other"), False, id="each for itself"),
        pytest.param(writing("other", "http://elsewhere"), False, id="to different places"),
        pytest.param(writing("other", "http://store"), True, id="to the same place"),
    ],
)
def test_one_monitor_that_two_select_doubles_where_they_store_in_one_place(other, doubled):
    first = writing("main", "http://store")
    plan = _plan.plan_scrape(monitoring(pod_monitor(), scrapers=[first, other]), first, [sidecar("p")])
    assert bool(plan.doubly_covered) is doubled


def test_of_two_that_store_in_one_place_it_is_said_that_only_one_may_select_it():
    first, second = writing("main", "http://store"), writing("other", "http://store")
    plan = _plan.plan_scrape(monitoring(pod_monitor(), scrapers=[first, second]), first, [sidecar("p")])
    assert [remedy for dummy, remedy in plan.left] == [
        (
            "Let only one of monitoring/main and monitoring/other select it.",
            "kubectl -n monitoring edit prometheus other",
        )
    ]


def test_one_bucket_is_one_place():
    thanos = {"objectStorageConfig": {"name": "bucket", "key": "thanos.yaml"}}
    assert prometheus("a", thanos=thanos).stores & prometheus("b", thanos=thanos).stores


# --- the choice -------------------------------------------------------------------------------------------------------


def test_of_several_the_one_is_chosen_that_scrapes_the_sidecars_already():
    idle = prometheus("idle", selector={"matchLabels": {"team": "x"}})
    busy = prometheus("busy", selector={"matchLabels": {"team": "y"}})
    there = monitoring(pod_monitor(labels={"team": "y"}), scrapers=[idle, busy])
    assert sources.choose_scraper_of(there, "", [sidecar("p")]) is busy


def test_of_several_that_scrape_the_sidecars_none_is_guessed():
    there = monitoring(pod_monitor(), scrapers=[prometheus("a"), prometheus("b")])
    with pytest.raises(MeteringError, match="Several Prometheuses could scrape"):
        sources.choose_scraper_of(there, "", [sidecar("p")])


def test_what_scrapes_outside_of_the_cluster_is_taken_to_read_every_monitor():
    outside = scrapers.scraper_without_object("https://metrics")
    assert outside.selects("PodMonitor", pod_monitor())


# --- jobs without an object -------------------------------------------------------------------------------------------


def job(*pods, labels=frozenset({("job", "by-hand")})):
    targets = tuple(sources.Target(pod, "http", labels, keeps_tokens=True) for pod in pods)
    return sources.Source("scrape job", "by-hand", prometheus(), targets)


def test_a_job_written_by_hand_that_scrapes_all_is_kept_and_nothing_added():
    plan = _plan.plan_scrape(monitoring(), prometheus(), [sidecar("p")], jobs=[job("gateways/p")])
    assert (plan.kept, plan.create) == ("by-hand", None)


def test_ours_makes_way_for_a_job_written_by_hand():
    ours = {**pod_monitor("ai-gateway-metrics", labels=OURS)}
    plan = _plan.plan_scrape(monitoring(ours), prometheus(), [sidecar("p")], jobs=[job("gateways/p")])
    assert [source.name for source in plan.remove] == ["gateways/ai-gateway-metrics"]


def test_beside_a_job_written_by_hand_for_some_gateways_ours_covers_the_others():
    two = [sidecar("p", gateway="team-a/chat"), sidecar("q", gateway="team-b/chat")]
    plan = _plan.plan_scrape(monitoring(), prometheus(), two, jobs=[job("gateways/p")])
    assert plan.create is not None
    assert sources.source_of("PodMonitor", plan.create, prometheus(), two).covered == {"gateways/q": 1}


def test_a_job_beside_a_monitor_of_others_is_named_with_what_to_do():
    platforms = pod_monitor("ai-gateway-extproc-metrics")
    two = [sidecar("p"), sidecar("q")]
    plan = _plan.plan_scrape(monitoring(platforms), prometheus(), two, jobs=[job("gateways/p")])
    assert [remedy for dummy, remedy in plan.left] == [
        (
            "Remove the job by-hand from the scrape configuration of monitoring/main.",
            "kubectl -n monitoring edit prometheus main",
        )
    ]


# --- what the live targets show and no object predicts ----------------------------------------------------------------

P = sidecar("p")


def live(pool, **labels):
    return {"scrapeUrl": "http://10.0.0.1:1064/metrics", "scrapePool": pool, "labels": {"job": pool, **labels}}


def jobs(*targets, monitors=(), rules=None):
    return [
        source.name
        for source in live_targets.jobs_of_targets(targets, [P], prometheus(), rules or {}, monitoring(*monitors))
    ]


DISCOVERED_BY_HTTP = {
    "apiVersion": "monitoring.coreos.com/v1alpha1",
    "kind": "ScrapeConfig",
    "metadata": {"name": "found", "namespace": GATEWAYS},
    "spec": {"httpSDConfigs": [{"url": "http://discovery"}]},
}


@pytest.mark.parametrize(
    ("pool", "monitors", "found"),
    [
        pytest.param("by-hand", [], ["by-hand"], id="a job written by hand"),
        pytest.param("podMonitor/gateways/monitor/0", [pod_monitor()], [], id="a monitor that is predicted"),
        pytest.param("podMonitor/gateways/gone/0", [], [], id="a monitor that is gone, before the reload"),
        pytest.param(
            "scrapeConfig/gateways/found", [DISCOVERED_BY_HTTP], ["scrapeConfig/gateways/found"], id="other discovery"
        ),
        pytest.param("serviceScrape/vm/x/0", [], ["serviceScrape/vm/x/0"], id="a kind that is not read"),
        pytest.param(
            "podMonitor/gateways/monitor/0",
            [pod_monitor(endpoints=[{"portNumber": 80}])],
            [],
            id="a monitor that no longer covers the sidecars, before the reload",
        ),
        pytest.param(
            "podScrape/gateways/x/0", [], ["podScrape/gateways/x/0"], id="a kind that this scraper does not read"
        ),
    ],
)
def test_what_scrapes_without_being_predicted_is_told(pool, monitors, found):
    assert jobs(live(pool), monitors=monitors) == found


def test_a_job_that_drops_the_tokens_covers_nobody():
    rules = {"by-hand": [{"source_labels": ["__name__"], "regex": "gen_ai.*", "action": "drop"}]}
    (source,) = live_targets.jobs_of_targets([live("by-hand")], [P], prometheus(), rules, monitoring())
    assert source.covered == {}


# --- what a monitor does beside ---------------------------------------------------------------------------------------


def test_a_monitor_that_drops_the_only_name_of_this_generation_does_not_cover():
    drop = {"action": "drop", "sourceLabels": ["__name__"], "regex": "gen_ai_client_token_usage.*"}
    dropping = pod_monitor("x", endpoints=[{"portNumber": 1064, "metricRelabelings": [drop]}])
    plan = _plan.plan_scrape(monitoring(dropping), prometheus(), [P])
    assert (plan.create is not None, plan.left) == (True, ())


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"selector": {}, "namespace_selector": {"any": True}}, id="of any pod"),
        pytest.param({"endpoints": [{}]}, id="on every port"),
        pytest.param({"endpoints": [{"portNumber": 1064}, {"port": "metrics"}]}, id="on another port as well"),
    ],
)
def test_what_scrapes_other_things_as_well_is_not_removed(options):
    envoy = container("envoy", ports={"metrics": 19001})
    both = [sidecar("p", containers=[extproc(), envoy])]
    wide = pod_monitor("wide", **options)
    plan = _plan.plan_scrape(monitoring(pod_monitor(PLATFORM), wide), prometheus(), both, prune="all")
    ((source, remedy),) = plan.left
    assert (plan.remove, source.name, "edit podmonitor wide" in remedy.command) == ((), "gateways/wide", True)


@pytest.mark.parametrize(
    "rule",
    [
        pytest.param({"sourceLabels": ["absent"], "targetLabel": "__metrics_path__"}, id="the path is removed"),
        pytest.param({"sourceLabels": ["absent"], "targetLabel": "__scheme__"}, id="the scheme is removed"),
        pytest.param({"action": "labelkeep", "regex": "job"}, id="the address is removed"),
        pytest.param({"action": "replace", "replacement": "x"}, id="no label to write to"),
        pytest.param({"action": "hashmod", "sourceLabels": ["job"]}, id="no modulus"),
    ],
)
def test_no_rule_of_somebody_elses_monitor_ends_a_run(rule):
    odd = pod_monitor("odd", endpoints=[{"portNumber": 1064, "relabelings": [rule]}])
    assert _plan.plan_scrape(monitoring(odd), prometheus(), [P]).uncovered == ()


def test_two_kinds_of_one_name_are_not_one():
    agent = scrapers.Scraper(
        {"metadata": {"name": "main", "namespace": MONITORING}, "spec": {**prometheus().spec}},
        prometheus().namespaces,
        "PrometheusAgent",
    )
    idle = prometheus(selector={"matchLabels": {"team": "x"}})
    plan = _plan.plan_scrape(monitoring(pod_monitor(), scrapers=[idle, agent]), idle, [P])
    assert plan.create is not None


# --- selectors in text form -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "labels", "selected"),
    [
        ("", {}, True),
        ("a=b", {"a": "b"}, True),
        ("a==b", {"a": "c"}, False),
        ("a!=b", {"a": "c"}, True),
        ("a!=b", {"a": "b"}, False),
        ("a in (b, c),d", {"a": "c", "d": ""}, True),
        ("a in (b, c),d", {"a": "c"}, False),
        ("a notin (b)", {"a": "b"}, False),
        ("!a, x.y/z = w", {"x.y/z": "w"}, True),
        ("!a", {"a": ""}, False),
    ],
)
def test_a_selector_in_text_form_selects_as_the_api_server_does(text, labels, selected):
    assert selectors.matches(selectors.parse_selector(text), labels) is selected


# --- what a scraper adds to every monitor, or to those that name a class of it ----------------------------------------

DROPS = {"name": "drops", "metricRelabelings": [{"action": "drop", "regex": "gen_ai.*", "sourceLabels": ["__name__"]}]}
ELSEWHERE = {"name": "elsewhere", "relabelings": [{"targetLabel": "__metrics_path__", "replacement": "/other"}]}


@pytest.mark.parametrize(
    ("classes", "named", "covers"),
    [
        pytest.param([DROPS], "", True, id="a class that nobody names"),
        pytest.param([DROPS], "drops", False, id="a class that drops the tokens"),
        pytest.param([{**DROPS, "default": True}], "", False, id="a default class"),
        pytest.param([{**DROPS, "default": True}, {"name": "other"}], "other", True, id="another than the default"),
        pytest.param([ELSEWHERE], "elsewhere", False, id="a class that scrapes another path"),
        pytest.param([DROPS], "unknown", False, id="a class that is not there: the operator rejects the monitor"),
    ],
)
def test_the_rules_of_a_scrape_class_count(classes, named, covers):
    monitor = pod_monitor()
    monitor["spec"] |= {"scrapeClass": named} if named else {}
    found = sources.source_of("PodMonitor", monitor, prometheus(scrapeClasses=classes), [sidecar("p")])
    assert bool(found.covered) is covers


def test_the_rules_of_a_class_come_before_those_of_the_endpoint():
    classes = [{"name": "c", "default": True, "relabelings": [{"targetLabel": "tier", "replacement": "class"}]}]
    monitor = pod_monitor(
        endpoints=[{"portNumber": 1064, "relabelings": [{"targetLabel": "tier", "replacement": "own"}]}]
    )
    found = sources.source_of("PodMonitor", monitor, prometheus(scrapeClasses=classes), [sidecar("p")])
    assert [dict(target.labels)["tier"] for target in found.targets] == ["own"]


@pytest.mark.parametrize(
    ("spec", "namespace"),
    [
        pytest.param({}, GATEWAYS, id="nothing is enforced"),
        pytest.param({"enforcedNamespaceLabel": "namespace"}, "teams", id="the monitor's namespace is enforced"),
        pytest.param(
            {
                "enforcedNamespaceLabel": "namespace",
                "excludedFromEnforcement": [{"resource": "podmonitors", "namespace": "teams"}],
            },
            GATEWAYS,
            id="but not on the monitors of that namespace",
        ),
    ],
)
def test_an_enforced_label_has_the_namespace_of_the_monitor(spec, namespace):
    monitor = pod_monitor(namespace="teams", namespace_selector={"any": True})
    found = sources.source_of("PodMonitor", monitor, prometheus(**spec), [sidecar("p")])
    assert [dict(target.labels)["namespace"] for target in found.targets] == [namespace]


@pytest.mark.parametrize(
    ("spec", "covers"),
    [
        pytest.param({}, True, id="nothing is added"),
        pytest.param(
            {"podScrapeRelabelTemplate": [{"action": "drop", "source_labels": ["pod"], "regex": "p"}]},
            False,
            id="a rule for every VMPodScrape that drops the pod",
        ),
        pytest.param(
            {"inlineRelabelConfig": [{"action": "drop_metrics", "regex": "gen_ai.*"}]},
            False,
            id="a rule for every sample that drops the tokens",
        ),
        pytest.param(
            {"serviceScrapeRelabelTemplate": [{"action": "drop", "source_labels": ["pod"], "regex": "p"}]},
            True,
            id="a rule for another kind",
        ),
    ],
)
def test_what_a_vmagent_adds_to_every_monitor_counts(spec, covers):
    found = sources.source_of("VMPodScrape", pod_scrape(), vmagent(**EVERYTHING, **spec), [sidecar("p")])
    assert bool(found.covered) is covers


def vmsingle(**spec):
    return scrapers.Scraper({"metadata": {"name": "vm", "namespace": "vm"}, "spec": spec}, {GATEWAYS: {}}, "VMSingle")


@pytest.mark.parametrize(
    ("spec", "selected"),
    [
        pytest.param(EVERYTHING, False, id="it only stores by default"),
        pytest.param({**EVERYTHING, "ingestOnlyMode": False}, True, id="it scrapes by itself"),
        pytest.param({"ingestOnlyMode": False}, False, id="it scrapes nothing that it does not select"),
    ],
)
def test_a_vmsingle_scrapes_where_it_is_told_to(spec, selected):
    assert vmsingle(**spec).selects("VMPodScrape", pod_scrape()) is selected


def test_a_vmsingle_that_only_stores_is_named_with_what_to_set():
    with pytest.raises(MeteringError, match=r"VMSingle vm/vm only stores.*ingestOnlyMode: false"):
        scrapers.choose_scraper([vmsingle(**EVERYTHING)])


def test_where_only_something_that_stores_is_in_the_cluster_what_the_options_name_scrapes():
    found = backend.monitoring_with(sources.Monitoring([vmsingle()], {}), {"url": "https://vm"})
    assert [scraper.is_unseen for scraper in found.scrapers] == [True]


@pytest.mark.parametrize(
    ("scraper", "together"),
    [
        pytest.param(vmagent(daemonSetMode=True), True, id="a VMAgent on every node"),
        pytest.param(vmagent(), False, id="a VMAgent"),
        pytest.param(prometheus(mode="DaemonSet"), True, id="an agent on every node"),
    ],
)
def test_the_pods_on_every_node_are_one_replica_together(scraper, together):
    class Cluster:
        def list(self, *dummy, **options):
            del options
            names = ("vmagent-vm-abcde", "vmagent-vm-fghij")
            return [
                {"metadata": {"name": name}, "status": {"phase": "Running"}, "spec": {"containers": []}}
                for name in names
            ]

    cluster: Any = Cluster()
    assert len(backend.Backend(cluster, scraper, {}).scraping()) == (1 if together else 2)


@pytest.mark.parametrize(
    ("spec", "scheme"),
    [
        ({}, "http"),
        ({"web": {"tlsConfig": {"cert": {"secret": {"name": "tls", "key": "tls.crt"}}}}}, "https"),
        ({"web": {"pageTitle": "x"}}, "http"),
        ({"extraArgs": {"tls": "true"}}, "https"),
        ({"extraArgs": {"tls": "false"}}, "http"),
    ],
)
def test_what_serves_its_api_by_tls_is_asked_so(spec, scheme):
    assert prometheus(**spec).scheme == scheme


def test_a_scraper_that_says_nothing_selects_nothing_and_is_no_error():
    document = {"metadata": {"namespace": "monitoring", "name": "vm"}}
    assert scrapers.Scraper(document, {}, "VMAgent").spec == {}


@pytest.mark.parametrize(
    ("spec", "prefix"),
    [
        ({}, ""),
        ({"routePrefix": "/"}, ""),
        ({"routePrefix": "/prometheus/"}, "/prometheus"),
        ({"extraArgs": {"http.pathPrefix": "/vm"}}, "/vm"),
    ],
)
def test_an_api_below_a_path_is_asked_there(spec, prefix):
    assert vmagent(**spec).prefix == prefix


# --- where a monitor looks --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "selector", "scraper", "reached"),
    [
        pytest.param("PodMonitor", None, {}, ["b/q"], id="its own namespace"),
        pytest.param("PodMonitor", {"any": True}, {}, ["a/p", "b/q", "c/r"], id="every namespace"),
        pytest.param("ServiceMonitor", {"matchNames": ["a", "c"]}, {}, ["a/p", "c/r"], id="some namespaces"),
        pytest.param("PodMonitor", {"any": True}, {"ignoreNamespaceSelectors": True}, ["b/q"], id="bound to its own"),
        pytest.param("ScrapeConfig", None, {}, ["a/p", "b/q", "c/r"], id="discoveries of its own"),
    ],
)
def test_only_sidecars_within_reach_of_a_monitor_are_looked_at(kind, selector, scraper, reached):
    sidecars = {space: [sidecar(name, space)] for space, name in zip("abc", "pqr", strict=True)}
    monitor = pod_monitor("m", "b", namespace_selector=selector)
    found = discovery.within_reach(kind, monitor, prometheus(**scraper), sidecars)
    assert [item.name for item in found] == reached
