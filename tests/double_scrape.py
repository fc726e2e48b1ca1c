# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""When two things that scrape count each token twice: a case for each rule, for the domain code and for the stand.

Each case is what somebody puts beside FIRST, which scrapes every sidecar. Whether tokens are then counted twice is
said here; the domain code has to predict it from the objects, and the live targets of a real Prometheus to show it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Document = dict[str, Any]

# Where the monitors stand, and the label by which the Prometheus of these tests selects them.
NAMESPACE = "envoy-gateway-system"
ELSEWHERE = "upstream"
SELECTED = {"overlap": "yes"}
PROXIES = {"matchLabels": {"app.kubernetes.io/component": "proxy"}}
GATEWAY = "gateway.envoyproxy.io/owning-gateway-name"
TOKENS = {"sourceLabels": ["__name__"], "regex": "gen_ai[._]client.*"}


def monitor(
    *endpoints: Document,
    kind: str = "PodMonitor",
    name: str = "",
    namespace: str = NAMESPACE,
    selected: bool = True,
    **spec: Any,
) -> Document:
    """A PodMonitor for every proxy, or a ServiceMonitor for the services of every proxy."""
    key = "endpoints" if kind == "ServiceMonitor" else "podMetricsEndpoints"
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace, "labels": SELECTED if selected else {}},
        "spec": {"selector": PROXIES, key: list(endpoints), **spec},
    }


def scrape_config(*relabelings: Document, role: str = "Pod", **spec: Any) -> Document:
    """A ScrapeConfig that keeps the port of the sidecars."""
    discovery = {"role": role, "namespaces": {"names": [NAMESPACE]}}
    port = {
        "action": "Keep",
        "sourceLabels": ["__meta_kubernetes_pod_container_port_number"],
        "regex": "1064",
    }
    return {
        "apiVersion": "monitoring.coreos.com/v1alpha1",
        "kind": "ScrapeConfig",
        "metadata": {"name": "", "namespace": NAMESPACE, "labels": SELECTED},
        "spec": {"kubernetesSDConfigs": [discovery], "relabelings": [port, *relabelings], **spec},
    }


FIRST = monitor({"portNumber": 1064}, name="first")


def name_of(rule: str) -> str:
    """The name of what stands for a rule."""
    return "".join(letter if letter.isalnum() else "-" for letter in rule.lower())


@dataclass(frozen=True)
class Case:
    """Something beside FIRST, and whether it doubles the tokens of some sidecar."""

    rule: str
    second: Document
    doubles: bool
    seen_by: str = "overlap"
    """The scraper that selects it."""

    @property
    def document(self) -> Document:
        """The second with a name of its own."""
        own: Document = {"name": name_of(self.rule)}
        if self.seen_by != "overlap":
            own["labels"] = {"overlap": self.seen_by}
        return {**self.second, "metadata": {**self.second["metadata"], **own}}


def _dropping(**rule: Any) -> Document:
    return monitor({"portNumber": 1064, "metricRelabelings": [rule]})


def _relabeled(*rules: Document) -> Document:
    return monitor({"portNumber": 1064, "relabelings": list(rules)})


def _of_gateway(name: str) -> Document:
    return monitor({"port": "aigw-admin"}, selector={"matchLabels": {GATEWAY: name}})


CASES = [
    # 1. The same Prometheus selects both, or both feed one store.
    Case("selected by the same one", monitor({"portNumber": 1064}), True),
    Case("not selected by its label", monitor({"portNumber": 1064}, selected=False), False),
    Case(
        "in a namespace that is not looked into",
        monitor({"portNumber": 1064}, namespace=ELSEWHERE, namespaceSelector={"any": True}),
        False,
    ),
    Case("selected by another that stores apart", monitor({"portNumber": 1064}), False, "apart"),
    Case("selected by an agent that feeds the same store", monitor({"portNumber": 1064}), True, "agent"),
    # 2. The pods.
    Case(
        "for the pods of one gateway",
        monitor({"portNumber": 1064}, selector={"matchLabels": {GATEWAY: "gateway-b"}}),
        True,
    ),
    Case("for no pod", monitor({"portNumber": 1064}, selector={"matchLabels": {GATEWAY: "none"}}), False),
    Case(
        "by expressions that meet",
        monitor({"portNumber": 1064}, selector={"matchExpressions": [{"key": GATEWAY, "operator": "Exists"}]}),
        True,
    ),
    Case(
        "by expressions that do not meet",
        monitor({"portNumber": 1064}, selector={"matchExpressions": [{"key": GATEWAY, "operator": "DoesNotExist"}]}),
        False,
    ),
    Case("for another namespace", monitor({"portNumber": 1064}, namespaceSelector={"matchNames": [ELSEWHERE]}), False),
    Case("for named namespaces", monitor({"portNumber": 1064}, namespaceSelector={"matchNames": [NAMESPACE]}), True),
    Case("for any namespace", monitor({"portNumber": 1064}, namespaceSelector={"any": True}), True),
    Case("for the pods of gateway-a by the name of the port", _of_gateway("gateway-a"), True),
    Case("for the pods of gateway-b by the name of the port", _of_gateway("gateway-b"), True),
    # 3. The port.
    Case("port by name", monitor({"port": "aigw-admin"}), True),
    Case("port as a pattern", monitor({"port": "aigw-.*"}), True),
    Case("port as a pattern is anchored", monitor({"port": "aigw"}), False),
    Case("another port number", monitor({"portNumber": 19001}), False),
    Case("target port by number", monitor({"targetPort": 1064}), True),
    Case("target port by name", monitor({"targetPort": "aigw-admin"}), True),
    Case("no port at all", monitor({"interval": "30s"}), True),
    Case("one of several endpoints", monitor({"portNumber": 19001}, {"port": "aigw-admin"}), True),
    Case("through services by target port", monitor({"targetPort": 1064}, kind="ServiceMonitor"), True),
    Case("through services by target port name", monitor({"targetPort": "aigw-admin"}, kind="ServiceMonitor"), True),
    Case("through services by their own port", monitor({"port": "http-80"}, kind="ServiceMonitor"), False),
    Case("a scrape config of pods", scrape_config(), True),
    Case("a scrape config of endpoints", scrape_config(role="EndpointSlice"), True),
    Case(
        "a scrape config that selects other pods",
        scrape_config(
            {
                "action": "Drop",
                "sourceLabels": ["__meta_kubernetes_pod_label_app_kubernetes_io_component"],
                "regex": "proxy",
            }
        ),
        False,
    ),
    # 4. Path, scheme, parameters. The sidecar speaks plain HTTP, and parameters change nothing of what it answers.
    Case("another path", monitor({"portNumber": 1064, "path": "/health"}), False),
    Case(
        "another scheme",
        monitor({"portNumber": 1064, "scheme": "https", "tlsConfig": {"insecureSkipVerify": True}}),
        False,
    ),
    Case("other parameters", monitor({"portNumber": 1064, "params": {"x": ["y"]}}), True),
    # 5. What is kept.
    Case("the tokens are dropped", _dropping(action="drop", **TOKENS), False),
    Case("only other metrics are kept", _dropping(action="keep", sourceLabels=["__name__"], regex="go_.*"), False),
    Case("the tokens are kept", _dropping(action="keep", **TOKENS), True),
    Case(
        "the targets are dropped",
        _relabeled({"action": "drop", "sourceLabels": ["__meta_kubernetes_pod_container_name"], "regex": "ai-.*"}),
        False,
    ),
    Case(
        "the address is rewritten to another port",
        _relabeled(
            {"targetLabel": "__address__", "sourceLabels": ["__meta_kubernetes_pod_ip"], "replacement": "$1:19001"}
        ),
        False,
    ),
    Case(
        "the address is rewritten to the port of the sidecar",
        monitor(
            {
                "portNumber": 19001,
                "relabelings": [
                    {
                        "targetLabel": "__address__",
                        "sourceLabels": ["__meta_kubernetes_pod_ip"],
                        "replacement": "$1:1064",
                    }
                ],
            }
        ),
        True,
    ),
    # 6. The labels.
    Case(
        "with the very labels of the first",
        _relabeled({"targetLabel": "job", "replacement": f"{NAMESPACE}/first"}),
        False,
    ),
    Case(
        "with its labels but for one",
        _relabeled(
            {"targetLabel": "job", "replacement": f"{NAMESPACE}/first"}, {"targetLabel": "team", "replacement": "x"}
        ),
        True,
    ),
    Case(
        "with labels that differ in case",
        _relabeled({"action": "uppercase", "sourceLabels": ["job"], "targetLabel": "job"}),
        True,
    ),
]


def _scraper(kind: str, name: str, **spec: Any) -> Document:
    """A Prometheus that selects what has the label, in the namespace of the proxies."""
    selectors: Document = {}
    for stem in ("podMonitor", "serviceMonitor", "scrapeConfig"):
        selectors[f"{stem}Selector"] = {"matchLabels": SELECTED if name == "overlap" else {"overlap": name}}
        selectors[f"{stem}NamespaceSelector"] = {"matchLabels": {"kubernetes.io/metadata.name": NAMESPACE}}
    version = "v1alpha1" if kind == "PrometheusAgent" else "v1"
    return {
        "apiVersion": f"monitoring.coreos.com/{version}",
        "kind": kind,
        "metadata": {"name": name, "namespace": "cpaas-system"},
        "spec": {**selectors, **spec},
    }


# Where nothing listens: what counts is that two write to the same place.
STORE = {"remoteWrite": [{"url": "http://store.cpaas-system.svc:1/api/v1/write"}]}
SCRAPERS = [
    _scraper("Prometheus", "overlap", **STORE),
    _scraper("Prometheus", "apart"),
    _scraper("PrometheusAgent", "agent", **STORE),
]
