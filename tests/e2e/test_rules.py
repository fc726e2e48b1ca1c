# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the rules record and when the alerts fire, by promtool, for each form in which the metric is stored."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from standlib import binaries

from ansible_collections.aigateway.metering.plugins.plugin_utils._render import prometheus_rule

BOUNDS = prometheus_rule.Bounds("5m", "5m", 6, 0.05)
POD = {"namespace": "gateways", "pod": "envoy-1", "instance": "10.0.0.1:1064"}


@dataclass(frozen=True)
class Naming:
    """The names of one form."""

    metrics: tuple[str, ...]
    model: str
    token_type: str
    is_native: bool = False

    def histogram(self, values: str, metric: str) -> str:
        """Values as promtool writes those of a native histogram: of the sum or of the count, ten tokens a request."""

        def one(text: str) -> str:
            number = float(text)
            tokens, requests = (number, number / 10) if metric == "_sum" else (number * 10, number)
            return f"{{{{schema:0 sum:{tokens:g} count:{requests:g} buckets:[{requests:g}]}}}}"

        return re.sub(r"(?<![x_\d.])\d+(?=[+ x]|\Z)|(?<=\+)\d+", lambda match: one(match.group()), values)

    def series(self, values: str, *, metric: str = "_sum", job: str = "a", **labels: str) -> dict[str, str]:
        """A counter of the sidecar as promtool writes it."""
        name = self.metrics[0].removesuffix("_sum") + ("" if self.is_native else metric)
        values = self.histogram(values, metric) if self.is_native else values
        told = {
            "__name__": name,
            **POD,
            "job": job,
            self.model: "chat",
            self.token_type: "input",
            "user_namespace": "team-a",
            "department": "research",
        }
        told |= {self.token_type if name == "kind" else name: value for name, value in labels.items()}
        inside = ",".join(
            f'"{name}"={json.dumps(value)}' for name, value in told.items() if name != "__name__" and value
        )
        return {"series": f'{{"{told["__name__"]}",{inside}}}', "values": values}


NAMINGS = {
    "native": Naming(("gen_ai_client_token_usage",), "gen_ai_request_model", "gen_ai_token_type", is_native=True),
    "dotted, native": Naming(
        ("gen_ai.client.token.usage_token",), "gen_ai.request.model", "gen_ai.token.type", is_native=True
    ),
    "underscored": Naming(("gen_ai_client_token_usage_sum",), "gen_ai_request_model", "gen_ai_token_type"),
    "dotted": Naming(("gen_ai.client.token.usage_token_sum",), "gen_ai.request.model", "gen_ai.token.type"),
    "both": Naming(
        ("gen_ai_client_token_usage_sum", "gen_ai.client.token.usage_token_sum"),
        "gen_ai_request_model",
        "gen_ai_token_type",
    ),
}


def up(values: str, job: str = "a", **other: str) -> dict[str, str]:
    labels = ",".join(f"{name}={json.dumps(value)}" for name, value in {**POD, "job": job, **other}.items() if value)
    return {"series": f"up{{{labels}}}", "values": values}


@pytest.fixture(params=list(NAMINGS.values()), ids=list(NAMINGS))
def naming(request: pytest.FixtureRequest) -> Naming:
    return request.param


class Promtool:
    """Runs tests of the rules for one form."""

    def __init__(self, naming: Naming, directory: Path) -> None:
        self._directory = directory
        rule = prometheus_rule.prometheus_rule(
            naming.metrics,
            name="r",
            place={"namespace": "n", "labels": {}},
            ports=[1064],
            identity=["user_namespace", "department"],
            interval="1m",
            bounds=BOUNDS,
            workloads=["gateways/envoy", "gateways/ai.gw"],
        )
        (directory / "rules.json").write_text(json.dumps(rule["spec"]))

    def _run(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [binaries.tool("promtool"), *words]
        return subprocess.run(command, cwd=self._directory, capture_output=True, text=True, check=False)

    def check(self) -> subprocess.CompletedProcess[str]:
        return self._run("check", "rules", "--lint=all", "rules.json")

    def firing(self, *series: dict[str, str], at: str) -> set[str]:
        """The alerts that fire at a time: promtool tells of each that none was expected."""
        names = ["TokenMetricAbsent", "SidecarDown", "SidecarScrapedTwice", "TokensOfNobody", "TooManyTokenSeries"]
        names += ["TokensNotStored", "ProxyUnmetered"]
        expected = [
            {"alertname": f"AIGateway{name}", "eval_time": at, "exp_alerts": []} for name in [*names, "LabelVanished"]
        ]
        done = self._test(series, {"alert_rule_test": expected})
        found = set(re.findall(r"alertname: AIGateway(\w+), time", done.stdout + done.stderr))
        assert bool(found) == bool(done.returncode), done.stdout + done.stderr
        return found

    def value(self, query: str, *series: dict[str, str], at: str, labels: str, value: float) -> str:
        """What promtool has to say against a query's only answer."""
        sample = {"labels": labels, "value": value}
        done = self._test(series, {"promql_expr_test": [{"expr": query, "eval_time": at, "exp_samples": [sample]}]})
        return "" if done.returncode == 0 else done.stdout + done.stderr

    def _test(self, series: tuple[dict[str, str], ...], wanted: dict[str, Any]) -> subprocess.CompletedProcess[str]:
        test = {"interval": "1m", "input_series": list(series), **wanted}
        document = {"rule_files": ["rules.json"], "evaluation_interval": "1m", "tests": [test]}
        (self._directory / "test.json").write_text(json.dumps(document))
        return self._run("test", "rules", "test.json")


@pytest.fixture
def promtool(naming: Naming, tmp_path: Path) -> Promtool:
    return Promtool(naming, tmp_path)


def test_the_rules_are_right_in_form(promtool: Promtool) -> None:
    done = promtool.check()
    assert done.returncode == 0, done.stdout + done.stderr


def test_nothing_fires_while_all_is_well(naming: Naming, promtool: Promtool) -> None:
    assert promtool.firing(up("1x30"), naming.series("0+60x30"), at="30m") == set()


def test_a_metric_that_is_gone_fires(naming: Naming, promtool: Promtool) -> None:
    assert promtool.firing(up("1x60"), naming.series("0+60x20 stale"), at="40m") == {"TokenMetricAbsent"}


def test_sidecars_that_are_scraped_no_more_fire(naming: Naming, promtool: Promtool) -> None:
    assert promtool.firing(up("1x20 stale"), naming.series("0+60x20 stale"), at="40m") == {"TokenMetricAbsent"}


def test_a_restart_without_a_request_since_does_not_fire(naming: Naming, promtool: Promtool) -> None:
    before = [up("1x20 stale"), naming.series("0+60x20 stale")]
    after = up("_x20 1x40", pod="envoy-2", instance="10.0.0.2:1064")
    assert promtool.firing(*before, after, at="40m") == set()


def test_another_application_with_the_same_metric_does_not_matter(naming: Naming, promtool: Promtool) -> None:
    other = {"pod": "app", "instance": "10.0.0.7:8000"}
    nobody = naming.series("0+600x60", user_namespace="", department="", **other)
    app = [up("1x60", **other), up("1x60", "b", **other), nobody]
    assert promtool.firing(up("1x60"), naming.series("0+60x60"), *app, at="40m") == set()
    assert promtool.firing(up("1x60"), naming.series("0+60x20 stale"), *app, at="40m") == {"TokenMetricAbsent"}


def test_a_metric_that_never_was_does_not_fire(promtool: Promtool) -> None:
    assert promtool.firing(up("1x60"), at="40m") == set()


def test_a_sidecar_that_is_down_fires(naming: Naming, promtool: Promtool) -> None:
    assert promtool.firing(up("1x10 0x20"), naming.series("0+60x30"), at="25m") == {"SidecarDown"}


def test_one_failed_scrape_does_not_fire(naming: Naming, promtool: Promtool) -> None:
    assert promtool.firing(up("1x10 0 1x20"), naming.series("0+60x30"), at="14m") == set()


def test_a_sidecar_that_is_scraped_twice_fires(naming: Naming, promtool: Promtool) -> None:
    twice = [up("1x30"), up("1x30", "b"), naming.series("0+60x30"), naming.series("0+60x30", job="b")]
    assert promtool.firing(*twice, at="20m") == {"SidecarScrapedTwice"}


def test_a_second_scrape_that_does_not_say_the_pod_fires_and_is_recorded_once(
    naming: Naming, promtool: Promtool
) -> None:
    unnamed = {"job": "b", "pod": "", "namespace": ""}
    twice = [naming.series("0+60x30"), naming.series("0+60x30", **unnamed)]
    assert promtool.firing(up("1x30"), up("1x30", **unnamed), *twice, at="20m") == {"SidecarScrapedTwice"}
    labels = (
        'aigateway_metering:tokens:rate{user_namespace="team-a",department="research",gen_ai_request_model="chat",'
        'gen_ai_token_type="input"}'
    )
    assert promtool.value("aigateway_metering:tokens:rate", *twice, at="20m", labels=labels, value=1) == ""


@pytest.mark.parametrize(("rate", "found"), [(2, set()), (10, {"TokensOfNobody"})], ids=["few", "many"])
def test_a_share_of_tokens_without_a_namespace_fires(
    naming: Naming, promtool: Promtool, rate: int, found: set[str]
) -> None:
    nobody = naming.series(f"0+{rate}x30", user_namespace="", department="x")
    assert promtool.firing(up("1x30"), naming.series("0+60x30"), nobody, at="20m") == found


def test_too_many_series_fire(naming: Naming, promtool: Promtool) -> None:
    series = [naming.series("0+60x30", department=f"d{number}") for number in range(7)]
    assert promtool.firing(up("1x30"), *series, at="20m") == {"TooManyTokenSeries"}


def test_a_label_that_has_vanished_fires(naming: Naming, promtool: Promtool) -> None:
    before, after = naming.series("0+60x20 stale"), naming.series("_x20 0+60x30", department="")
    assert promtool.firing(up("1x60"), before, after, at="40m") == {"LabelVanished"}


def test_a_label_that_some_never_had_does_not_fire(naming: Naming, promtool: Promtool) -> None:
    before = [naming.series("0+60x20 stale")]
    others = naming.series("_x20 0+60x30", department="", user_namespace="team-b")
    assert (
        promtool.firing(up("1x20 stale"), up("_x20 1x40", instance="10.0.0.2:1064"), *before, others, at="40m") == set()
    )


def test_a_namespace_that_has_vanished_from_all_fires(naming: Naming, promtool: Promtool) -> None:
    before, after = naming.series("0+60x20 stale"), naming.series("_x20 0+60x30", user_namespace="", department="")
    found = promtool.firing(up("1x60"), before, after, at="40m")
    assert found == {"LabelVanished", "TokensOfNobody"}


def test_a_rate_is_recorded_once_whoever_scrapes(naming: Naming, promtool: Promtool) -> None:
    labels = (
        'aigateway_metering:tokens:rate{user_namespace="team-a",department="research",gen_ai_request_model="chat",'
        'gen_ai_token_type="input"}'
    )
    series = [naming.series("0+60x30"), naming.series("0+60x30", job="b")]
    assert promtool.value("aigateway_metering:tokens:rate", *series, at="20m", labels=labels, value=1) == ""


def test_a_request_is_recorded_once_for_all_its_types(naming: Naming, promtool: Promtool) -> None:
    labels = (
        'aigateway_metering:requests:rate{user_namespace="team-a",department="research",gen_ai_request_model="chat"}'
    )
    series = [naming.series("0+6x30", metric="_count", kind=kind) for kind in ("input", "output", "cached_input")]
    assert promtool.value("aigateway_metering:requests:rate", *series, at="20m", labels=labels, value=0.1) == ""


def scraped(exposed: int, kept: int) -> list[dict[str, str]]:
    """What Prometheus stores of each scrape: how many samples there were, and how many were kept."""
    labels = ",".join(f"{name}={json.dumps(value)}" for name, value in {**POD, "job": "a"}.items())
    return [
        {"series": f"scrape_samples_scraped{{{labels}}}", "values": f"{exposed}x60"},
        {"series": f"scrape_samples_post_metric_relabeling{{{labels}}}", "values": f"{kept}x60"},
    ]


@pytest.mark.parametrize(
    ("exposed", "kept", "found"),
    [
        pytest.param(40, 1, {"TokensNotStored"}, id="the tokens are dropped"),
        pytest.param(1, 0, set(), id="an idle sidecar, of which what it is called is dropped"),
        pytest.param(40, 40, set(), id="nothing is dropped, and no request has succeeded"),
    ],
)
def test_tokens_that_a_rule_of_the_scrape_drops_fire(
    promtool: Promtool, exposed: int, kept: int, found: set[str]
) -> None:
    assert promtool.firing(up("1x60"), *scraped(exposed, kept), at="40m") == found


def test_a_rule_that_drops_something_else_does_not_fire(naming: Naming, promtool: Promtool) -> None:
    assert promtool.firing(up("1x60"), naming.series("0+60x60"), *scraped(40, 20), at="40m") == set()


def container(
    pod: str, name: str, kind: str = "kube_pod_container_info", namespace: str = "gateways"
) -> dict[str, str]:
    """What kube-state-metrics tells of a container."""
    return {"series": f'{kind}{{namespace="{namespace}",pod="{pod}",container="{name}"}}', "values": "1x60"}


INIT = "kube_pod_init_container_info"


@pytest.mark.parametrize(
    ("containers", "found"),
    [
        pytest.param([container("envoy-1", "envoy")], {"ProxyUnmetered"}, id="no sidecar"),
        pytest.param(
            [container("envoy-1", "envoy"), container("envoy-1", "ai-gateway-extproc", INIT)], set(), id="a native one"
        ),
        pytest.param(
            [container("envoy-1", "envoy"), container("envoy-1", "ai-gateway-extproc")], set(), id="one beside"
        ),
        pytest.param(
            [container("envoy-1", "envoy"), container("envoy-2", "ai-gateway-extproc", INIT)],
            {"ProxyUnmetered"},
            id="another pod's",
        ),
        pytest.param([container("envoy-1", "envoy", namespace="plain")], set(), id="of another namespace"),
        pytest.param([container("ai-gw-1", "envoy")], set(), id="of another name"),
        pytest.param([], set(), id="without kube-state-metrics"),
    ],
)
def test_a_proxy_that_serves_without_a_sidecar_fires(
    promtool: Promtool, containers: list[dict[str, str]], found: set[str]
) -> None:
    assert promtool.firing(up("1x60"), *containers, at="40m") == found
