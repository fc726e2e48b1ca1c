# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What others than Prometheus scrape and store: the same proof, and the same bill, with the real programs."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from harness.accuracy import account, wait_for_scrapes
from harness.stand import Stand
from standlib import images, platform, usage
from standlib.progress import wait_until
from standlib.settings import VERSIONS

# The programs are built only for these.
pytestmark = pytest.mark.long
MONITORING = platform.MONITORING_NAMESPACE
# The scraper, and where what it stores is asked.
VM = {"prometheus": f"{MONITORING}/vm", "api": {"service": f"{MONITORING}/victoria-metrics:8428"}}
THANOS = {"prometheus": f"{MONITORING}/replicated", "api": {"service": f"{MONITORING}/thanos-query:9090"}}
Document = dict[str, Any]


def installed(stand: Stand, manifest: str, **values: str) -> None:
    stand.kubectl.apply_text(stand.step, platform.render(manifest, values))


def proven(result: Document) -> tuple[Any, Any, Any]:
    return (result.get("targets"), result.get("scraped_once"), result.get("evidence"))


def for_site(source: Document) -> Document:
    return {"scrape_prometheus": source["prometheus"], "scrape_api": source["api"]}


def assert_equals_the_ledger(stand: Stand, service: str, source: Document) -> None:
    """Of a period with a restart of every proxy, up to the last scrape."""
    asked = usage.SERVICE.format(service)
    stand.send()
    start = wait_for_scrapes(stand, asked)
    stand.send()
    wait_for_scrapes(stand, asked)
    stand.restart_proxies()
    stand.send()
    found = account(stand, start, wait_for_scrapes(stand, asked), **source)
    assert found.counted == found.served


# --- VictoriaMetrics --------------------------------------------------------------------------------------------------


def job(scrape: Document, number: int, endpoint: Document) -> Document:
    """What VictoriaMetrics' operator makes of an endpoint of a VMPodScrape, as far as ours and those below go."""
    name = scrape["metadata"]
    chosen = scrape["spec"]["selector"]["matchLabels"].items()
    label = "__meta_kubernetes_pod_label_" + "{}"
    keep = [
        {"action": "keep", "source_labels": [label.format(key.translate(UNDERSCORED))], "regex": value}
        for key, value in chosen
    ]
    port = {"source_labels": ["__meta_kubernetes_pod_container_port_number"], "regex": str(endpoint["targetPort"])}
    namespaces = (scrape["spec"].get("namespaceSelector") or {}).get("matchNames") or [name["namespace"]]
    told = {
        "namespace": "__meta_kubernetes_namespace",
        "container": "__meta_kubernetes_pod_container_name",
        "pod": "__meta_kubernetes_pod_name",
    }
    named = [{"source_labels": [source], "target_label": target} for target, source in told.items()]
    fixed = {"job": f"{name['namespace']}/{name['name']}", "endpoint": str(endpoint["targetPort"])}
    return {
        "job_name": f"podScrape/{name['namespace']}/{name['name']}/{number}",
        "honor_labels": False,
        "scrape_interval": endpoint["interval"],
        "metrics_path": endpoint["path"],
        "kubernetes_sd_configs": [{"role": "pod", "namespaces": {"names": namespaces}}],
        "relabel_configs": [
            {"action": "drop", "source_labels": ["__meta_kubernetes_pod_phase"], "regex": "Failed|Succeeded"},
            *keep,
            {"action": "keep", **port},
            *named,
            *({"target_label": label, "replacement": value} for label, value in fixed.items()),
        ],
    }


AGENT = {
    "apiVersion": "operator.victoriametrics.com/v1beta1",
    "kind": "VMAgent",
    "metadata": {"name": "vm", "namespace": MONITORING},
    "spec": {
        "podScrapeSelector": {},
        "podScrapeNamespaceSelector": {},
        "remoteWrite": [{"url": f"http://victoria-metrics.{MONITORING}.svc:8428/api/v1/write"}],
    },
}
UNDERSCORED = str.maketrans("./-", "___")


class Operator(threading.Thread):
    """In place of VictoriaMetrics' operator: the agent's configuration follows the VMPodScrapes."""

    def __init__(self, stand: Stand) -> None:
        super().__init__(daemon=True)
        self._stand = stand
        self._ended = threading.Event()
        self._written = ""

    def run(self) -> None:
        while not self._ended.wait(1):
            jobs = [
                job(scrape, number, endpoint)
                for scrape in self._stand.all("vmpodscrapes")
                for number, endpoint in enumerate(scrape["spec"]["podMetricsEndpoints"])
            ]
            text = json.dumps({"scrape_configs": jobs})
            if text != self._written:
                metadata = {"name": "vmagent-vm", "namespace": MONITORING}
                data = {"scrape.yaml": text}
                self._stand.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})
                self._written = text

    def end(self) -> None:
        self._ended.set()
        self.join()


@pytest.fixture(scope="module")
def victoria(stand: Stand) -> Iterator[Stand]:
    """A stand on which a VMAgent scrapes, and VictoriaMetrics stores; `site.yml` has run for it."""
    stand.reset()
    stand.have_images(images.VICTORIA_METRICS, images.VMAGENT)
    values = {"agent_image": images.VMAGENT.reference, "store_image": images.VICTORIA_METRICS.reference}
    installed(stand, "60-victoria.yaml", **values)
    for kind in ("vmagents", "vmpodscrapes"):
        crd = f"crd/{kind}.operator.victoriametrics.com"
        stand.kubectl.run(stand.step, "wait", "--for=condition=Established", crd, "--timeout=30s")
    stand.apply(AGENT)
    stand.kubectl.rollout(stand.step, MONITORING, "deployment/vmagent-vm", "deployment/victoria-metrics")
    operator = Operator(stand)
    operator.start()
    run = stand.site(**for_site(VM))
    assert run.code == 0, run.output
    yield stand
    operator.end()
    words = ["delete", "--ignore-not-found", "-f", "-"]
    stand.kubectl.run(stand.step, *words, stdin=platform.render("60-victoria.yaml", values))


def test_a_vmagent_is_given_a_pod_scrape_and_no_pod_monitor(victoria: Stand) -> None:
    made = [
        (item["kind"], item["metadata"]["name"])
        for kind in ("vmpodscrapes", "podmonitors")
        for item in victoria.all(kind)
    ]
    assert made == [("VMPodScrape", "ai-gateway-metrics")]


def test_a_second_run_for_a_vmagent_changes_nothing(victoria: Stand) -> None:
    run = victoria.site(**for_site(VM))
    assert (run.code, run.changed) == (0, 0), run.output


def test_the_targets_of_a_vmagent_prove_that_each_sidecar_is_scraped_once(victoria: Stand) -> None:
    result = victoria.module("prom_scrape_check", timeout=60, **VM)
    assert proven(result) == (3, True, "targets"), result


def test_a_double_scrape_by_a_vmagent_is_found_on_its_targets(victoria: Stand) -> None:
    (ours,) = victoria.all("vmpodscrapes")
    second = {"name": "by-hand", "namespace": ours["metadata"]["namespace"]}
    victoria.apply({key: ours[key] for key in ("apiVersion", "kind", "spec")} | {"metadata": second})
    try:
        wait_until(
            "the double scrape to be found",
            lambda: "scraped 2 times" in str(victoria.module("prom_scrape_check", timeout=0, **VM)),
            60,
        )
    finally:
        victoria.delete("vmpodscrape", second["namespace"], second["name"])
    wait_until(
        "it to be over",
        lambda: "pools" in victoria.module("prom_scrape_check", timeout=0, **VM),
        60,
    )


def test_what_victoria_metrics_has_stored_equals_the_ledger(victoria: Stand) -> None:
    assert_equals_the_ledger(victoria, "victoria-metrics:8428", VM)


# --- Thanos -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def replicated(stand: Stand) -> Iterator[Stand]:
    """A stand with a Prometheus of two replicas, and Thanos's Querier over both; `site.yml` has run for it."""
    stand.reset()
    stand.have_images(images.THANOS)
    values = {
        "prometheus_image": images.PROMETHEUS,
        "prometheus_version": VERSIONS["prometheus"],
        "thanos_image": images.THANOS.reference,
        "thanos_version": VERSIONS["thanos"],
    }
    installed(stand, "61-thanos.yaml", **values)
    stand.kubectl.wait(stand.step, MONITORING, "Available", "prometheus/replicated")
    stand.kubectl.rollout(stand.step, MONITORING, "deployment/thanos-query")
    run = stand.site(**for_site(THANOS))
    assert run.code == 0, run.output
    yield stand
    words = ["delete", "--ignore-not-found", "-f", "-"]
    stand.kubectl.run(stand.step, *words, stdin=platform.render("61-thanos.yaml", values))


def test_each_replica_is_asked_for_its_targets(replicated: Stand) -> None:
    result = replicated.module("prom_scrape_check", timeout=60, **THANOS)
    assert proven(result) == (3, True, "targets"), result
    assert result["replicas"] == [f"{MONITORING}/prometheus-replicated-{number}" for number in (0, 1)]


def test_what_a_querier_of_two_replicas_tells_equals_the_ledger(replicated: Stand) -> None:
    assert_equals_the_ledger(replicated, "thanos-query:9090", THANOS)
