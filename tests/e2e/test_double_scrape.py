# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What tests/double_scrape.py says of each case, shown by the live targets of a real operator and real Prometheuses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import yaml
from harness.stand import Stand
from standlib import images, platform
from standlib.progress import wait_until
from standlib.settings import VERSIONS

from ansible_collections.aigateway.metering.plugins.module_utils._gateway import sidecar
from ansible_collections.aigateway.metering.plugins.module_utils._scrape import live_targets, scrapers
from ansible_collections.aigateway.metering.plugins.module_utils._scrape import sources as _sources
from ansible_collections.aigateway.metering.tests import double_scrape

MONITORING = platform.MONITORING_NAMESPACE
PODS = {"overlap": "prometheus-overlap-0", "apart": "prometheus-apart-0", "agent": "prom-agent-agent-0"}
RUNNING = {
    "image": images.PROMETHEUS,
    "version": VERSIONS["prometheus"],
    "replicas": 1,
    "serviceAccountName": "kube-prometheus",
}
Document = dict[str, Any]


@dataclass(frozen=True)
class Scrape:
    """A target as a scraper has it: what makes it, the pod, the labels, and whether its tokens are kept."""

    source: str
    pod: str
    labels: frozenset[tuple[str, str]]
    keeps_tokens: bool


@dataclass
class Live:
    """The stand with all cases applied at once."""

    stand: Stand

    def sidecars(self) -> list[sidecar.Sidecar]:
        return sidecar.sidecars_of(
            self.stand.get("pods", platform.GATEWAY_NAMESPACE, labels="app.kubernetes.io/name=envoy")
        )

    def api(self, scraper: str, path: str) -> Any:
        target = f"/api/v1/namespaces/{MONITORING}/pods/{PODS[scraper]}:9090/proxy/api/v1/{path}"
        return self.stand.kubectl.raw(target)["data"]

    def targets(self, scraper: str) -> list[Document]:
        return self.api(scraper, "targets?state=active")["activeTargets"]

    def rules(self, scraper: str) -> dict[str, list[Document]]:
        running = yaml.safe_load(self.api(scraper, "status/config")["yaml"])
        return {job["job_name"]: job.get("metric_relabel_configs") or [] for job in running.get("scrape_configs") or ()}

    def shown(self, scraper: str) -> set[Scrape]:
        """What the live targets show of the sidecars."""
        pods = {f"http://{item.address}/metrics": item for item in self.sidecars()}
        rules = self.rules(scraper)
        found = set()
        for target in self.targets(scraper):
            pod = pods.get(target["scrapeUrl"].partition("?")[0])
            if pod:
                keeps = _sources.keeps_tokens(target["labels"], rules[target["scrapePool"]], pod)
                labels = frozenset(target["labels"].items())
                found.add(Scrape(target["scrapePool"].split("/")[2], pod.name, labels, keeps))
        return found

    def predicted(self, scraper: str) -> set[Scrape]:
        """What the objects say, as the API server has them."""
        kinds = ("podmonitors", "servicemonitors", "scrapeconfigs")
        by_kind = {kind: self.stand.all(kind) for kind in kinds}
        monitors = {kind: by_kind[kind.lower() + "s"] for kind in ("PodMonitor", "ServiceMonitor", "ScrapeConfig")}
        namespaces = self.stand.all("namespaces")
        labels = {item["metadata"]["name"]: item["metadata"]["labels"] for item in namespaces}
        documents = self.stand.all("prometheuses") + self.stand.all("prometheusagents")
        (own,) = [
            scrapers.Scraper(item, labels, item["kind"]) for item in documents if item["metadata"]["name"] == scraper
        ]
        there = _sources.Monitoring([own], monitors, self.stand.get("services", platform.GATEWAY_NAMESPACE))
        return {
            Scrape(source.name.partition("/")[2], target.pod, target.labels, target.keeps_tokens)
            for source in _sources.sources_of(there, own, self.sidecars())
            for target in source.targets
            if target.scheme == "http"
        }

    def restricted(self, *sources: tuple[str, str]) -> list[Document]:
        """The live targets of some (scraper, monitor); who scrapes stands in the labels, as in a common store."""
        return [
            target | {"labels": target["labels"] | {"scraper": scraper}}
            for scraper, name in sources
            for target in self.targets(scraper)
            if target["scrapePool"].split("/")[2] == name
        ]

    def verdict(self, *sources: tuple[str, str]) -> live_targets.Verdict:
        rules = {pool: rules for scraper in PODS for pool, rules in self.rules(scraper).items()}
        return live_targets.judge_targets(self.restricted(*sources), self.sidecars(), rules)


@pytest.fixture(scope="module")
def live(stand: Stand) -> Iterator[Live]:
    cases = [double_scrape.FIRST, *(case.document for case in double_scrape.CASES)]
    for scraper in double_scrape.SCRAPERS:
        stand.apply({**scraper, "spec": {**scraper["spec"], **RUNNING}})
    for document in cases:
        stand.apply(document)
    found = Live(stand)
    for name, pod in PODS.items():
        wait_until(f"{pod} to answer", lambda pod=pod: pod in str(stand.get("pods", MONITORING)), 60)
        stand.kubectl.run(stand.step, "wait", "--for=condition=Ready", f"pod/{pod}", "-n", MONITORING, "--timeout=120s")
        wait_until(f"the targets of {name}", lambda name=name: found.shown(name) >= found.predicted(name), 120)
    yield found
    for document in [*cases, *double_scrape.SCRAPERS]:
        stand.delete(document["kind"].lower(), document["metadata"]["namespace"], document["metadata"]["name"])


@pytest.mark.parametrize("scraper", PODS)
def test_the_live_targets_are_those_that_were_predicted_label_by_label(live: Live, scraper: str) -> None:
    assert live.shown(scraper) == live.predicted(scraper)


@pytest.mark.parametrize("case", double_scrape.CASES, ids=lambda case: case.rule)
def test_the_live_targets_show_whether_tokens_are_doubled(live: Live, case: double_scrape.Case) -> None:
    # What stores apart doubles nothing of the other's.
    sources = [("overlap", "first")] if case.seen_by != "apart" else []
    verdict = live.verdict(*sources, (case.seen_by, double_scrape.name_of(case.rule)))
    assert bool(verdict.doubled) is case.doubles


def seeds_check(targets: list[Document], port: str) -> bool:
    """The procedure's own check: one scrape pool by the label `endpoint`, whose first target is up."""
    pools: dict[str, list[Document]] = {}
    for target in targets:
        if target["labels"].get("endpoint") == port:
            pools.setdefault(target["scrapePool"], []).append(target)
    return len(pools) == 1 and next(iter(pools.values()))[0]["health"] == "up"


BY_NAME, OF_A, OF_B = ("port by name", *(f"for the pods of gateway-{x} by the name of the port" for x in "ab"))
SITUATIONS = {
    "scraped once, by number: the label endpoint is not there": ((), True),
    "scraped twice, once by number": ((BY_NAME,), False),
    "scraped twice, once through services": ((BY_NAME, "through services by target port"), False),
    "scraped twice, once by a scrape config": ((BY_NAME, "a scrape config of pods"), False),
    "scraped once, each gateway by a monitor of its own": ((OF_A, OF_B), True),
    "one gateway is scraped by nobody": ((OF_A,), False),
}


@pytest.mark.parametrize("situation", SITUATIONS)
def test_our_verdict_is_right_where_the_procedures_check_is_wrong(live: Live, situation: str) -> None:
    rules, right = SITUATIONS[situation]
    with_first = not rules or situation.endswith("once by number")
    sources = [("overlap", double_scrape.name_of(rule)) for rule in rules] + (
        [("overlap", "first")] if with_first else []
    )
    wait_until(
        "the first scrapes", lambda: not [it for it in live.restricted(*sources) if it["health"] == "unknown"], 60
    )
    # With the name that this generation gives to the port: the procedure's own is never there.
    assert (live.verdict(*sources).is_right, seeds_check(live.restricted(*sources), "aigw-admin")) == (right, not right)
