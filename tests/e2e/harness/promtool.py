# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Series as promtool writes them, in each form in which the metric is stored, and what it says of rules and queries."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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

    @property
    def provider(self) -> str:
        return self.model.replace("request", "provider").replace("model", "name")

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
            self.provider: "openai",
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


class Promtool:
    """Runs tests of the rules for one form."""

    def __init__(
        self, naming: Naming, directory: Path, *, pace: str = "1m", scrape: str = "1m", **options: Any
    ) -> None:
        self._directory, self._pace, self._scrape = directory, pace, scrape
        rule = prometheus_rule.prometheus_rule(
            naming.metrics,
            name="r",
            place={"namespace": "n", "labels": {}},
            ports=[1064],
            identity=["user_namespace", "department"],
            interval=pace,
            bounds=BOUNDS,
            workloads=["gateways/envoy", "gateways/ai.gw"],
            **options,
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

    def alerts_of(self, name: str, *series: dict[str, str], at: str) -> list[str]:
        """The labels of the alerts of a name that fire at a time, as promtool writes them."""
        expected = [{"alertname": name, "eval_time": at, "exp_alerts": []}]
        done = self._test(series, {"alert_rule_test": expected})
        return re.findall(r"Labels:(\{.*?\})", done.stdout + done.stderr)

    def value(self, query: str, *series: dict[str, str], at: str, labels: str, value: float) -> str:
        """What promtool has to say against a query's only answer."""
        sample = {"labels": labels, "value": value}
        done = self._test(series, {"promql_expr_test": [{"expr": query, "eval_time": at, "exp_samples": [sample]}]})
        return "" if done.returncode == 0 else done.stdout + done.stderr

    def _test(self, series: tuple[dict[str, str], ...], wanted: dict[str, Any]) -> subprocess.CompletedProcess[str]:
        test = {"interval": self._scrape, "input_series": list(series), **wanted}
        document = {"rule_files": ["rules.json"], "evaluation_interval": self._pace, "tests": [test]}
        (self._directory / "test.json").write_text(json.dumps(document))
        return self._run("test", "rules", "test.json")
