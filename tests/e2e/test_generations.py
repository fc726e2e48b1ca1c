# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One site.yml, right on every generation without being told which it is on; see docs/generations.md."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from harness.generations import CLUSTER, Gateway, Shape
from harness.runs import Run
from harness.stand import Stand
from standlib import cluster, images, platform, raising, usage
from standlib.progress import wait_until

# A cluster of its own, and three runs of site.yml for each.
pytestmark = pytest.mark.long
SHAPES = {
    "v0.3": Shape("0.3", native=False),
    "v0.4": Shape("0.4"),
    "v0.5": Shape("0.5"),
    "v0.5 before Kubernetes 1.33": Shape("0.5", native=False),
    "v0.6": Shape("0.6"),
    "v9.9": Shape("9.9"),
}
WANTED = f"{platform.PLATFORM_MAPPING},x-user-group:department"
# (gateway, namespace, department, type, tokens): what the stand-in's ledger holds.
LEDGER = [
    ("gateway-a", "team-a", "research", "input", 100),
    ("gateway-a", "team-a", "research", "output", 20),
    ("gateway-b", "team-b", "sales", "input", 7),
]


@dataclass
class Metered:
    """A generation after two runs of site.yml."""

    gateway: Gateway
    shape: Shape
    revisions_before: dict[str, int]
    first: Run
    revisions_after: dict[str, int] = field(default_factory=dict)
    second: Run = field(default_factory=lambda: Run(1, ""))
    revisions_last: dict[str, int] = field(default_factory=dict)

    @property
    def stand(self) -> Stand:
        return self.gateway.stand


@pytest.fixture(scope="module")
def gateway(worker_id: str) -> Iterator[Gateway]:
    name = f"{CLUSTER}-{worker_id}"
    with raising.one_at_a_time():
        cluster.ensure(name, images.ensure())
        cluster.load_images(name)
    platform.install_monitoring(name)
    stand = Stand(name)
    stand.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": platform.GATEWAY_NAMESPACE}})
    yield Gateway(stand)
    cluster.delete(name)


@pytest.fixture(scope="module", params=SHAPES)
def metered(gateway: Gateway, request: pytest.FixtureRequest) -> Metered:
    shape = SHAPES[request.param]
    gateway.forget()
    gateway.install(shape)
    return meter(gateway, shape)


def meter(gateway: Gateway, shape: Shape) -> Metered:
    """Run site.yml twice, count what the ledger says, and run it once more."""
    stand = gateway.stand
    found = Metered(gateway, shape, stand.revisions(), stand.site())
    assert found.first.code == 0, found.first.output
    found.revisions_after = stand.revisions()
    found.second = stand.site()
    found.revisions_last = stand.revisions()
    for name, namespace, department, kind, tokens in LEDGER:
        gateway.count(name, x_user_namespace=namespace, x_user_group=department, type=kind, tokens=tokens)
    ledger = {(namespace, department, kind): tokens for dummy, namespace, department, kind, tokens in LEDGER}
    wait_until("what is stored to equal the ledger", lambda: stored(gateway, shape) == ledger, 60)
    # The dashboard shows what there is data of.
    assert stand.site().code == 0
    return found


def stored(gateway: Gateway, shape: Shape) -> dict[tuple[str, str, str], int]:
    """The tokens by namespace, department and type, read under the name that this generation has in Prometheus.

    Of running pods only: series end late where their scrape pool went with them.
    """
    known, stand = shape.generation, gateway.stand
    kind = "gen_ai.token.type" if known.is_dotted else "gen_ai_token_type"
    pods = "|".join(pod["metadata"]["name"] for pod in gateway.pods())
    promql = f'sum by (user_namespace, department, "{kind}") ({{"{known.usage}_sum", pod=~"{pods}"}})'
    found = {}
    for item in usage.query(stand.kubectl, promql):
        labels = item["metric"]
        found[labels["user_namespace"], labels.get("department", ""), labels[kind]] = int(item["value"][1])
    return found


def test_every_sidecar_has_the_pairs_of_the_platform_and_ours(metered: Metered) -> None:
    assert set(metered.gateway.mappings()) == {WANTED}


def test_each_stale_proxy_is_restarted_once(metered: Metered) -> None:
    assert metered.revisions_after == {name: number + 1 for name, number in metered.revisions_before.items()}


def test_the_second_run_changes_nothing(metered: Metered) -> None:
    assert (metered.second.changed, metered.revisions_last) == (0, metered.revisions_after), metered.second.output


def test_the_namespaces_are_stored_under_the_name_of_the_generation(metered: Metered) -> None:
    assert {key[0] for key in stored(metered.gateway, metered.shape)} == {"team-a", "team-b"}


def test_it_is_said_which_generation_was_found(metered: Metered) -> None:
    info = metered.stand.module("gateway_info")
    known = metered.shape.generation
    assert (info["controller"]["generation"], info["controller"]["flag"]) == (known.version, known.header_flag)


def test_the_dashboard_reads_the_name_that_is_stored(metered: Metered) -> None:
    dashboard, dummy = metered.stand.all("monitordashboards")
    assert f"{metered.shape.generation.usage}_sum" in json.dumps(dashboard["spec"])


@pytest.mark.parametrize("flag", ["metricsRequestHeaderLabels", "metricsRequestHeaderAttributes"])
def test_a_controller_without_a_mapping_gets_the_flag_that_it_knows(gateway: Gateway, flag: str) -> None:
    """An unknown flag would end it."""
    gateway.forget()
    gateway.install(Shape("0.3", native=False) if flag.endswith("Labels") else Shape("0.4"), mapping="")
    run = gateway.stand.site()
    assert run.code == 0, run.output
    args = gateway.stand.controller()["spec"]["template"]["spec"]["containers"][0]["args"]
    assert [word for word in args if word.startswith(f"--{flag}=")]


def test_an_unknown_newer_generation_is_warned_of_and_not_refused(gateway: Gateway) -> None:
    gateway.install(Shape("9.9"))
    info = gateway.stand.module("gateway_info")
    assert (info["problems"], "newer than v1.1" in " ".join(info["cautions"])) == ([], True)


def test_a_gateway_that_maps_no_headers_is_refused(gateway: Gateway) -> None:
    gateway.install(Shape("0.2", native=False), mapping="")
    run = gateway.stand.site()
    assert run.code != 0
    assert "is v0.2" in run.text
    assert "Upgrade Envoy AI Gateway to v0.4 or later" in run.text


@pytest.fixture(scope="module")
def upgraded(gateway: Gateway) -> tuple[Metered, Metered]:
    """v0.4 metered, then upgraded in place to v1.1, with the values that the run has named, and metered again."""
    gateway.forget()
    gateway.install(Shape("0.4"))
    before = meter(gateway, Shape("0.4"))
    after = Shape("1.1", rolls_itself=True)
    gateway.install(after, mapping=WANTED)
    return before, meter(gateway, after)


def test_an_upgrade_in_place_loses_no_label(upgraded: tuple[Metered, Metered]) -> None:
    dummy, after = upgraded
    assert {key[:2] for key in stored(after.gateway, after.shape)} >= {row[1:3] for row in LEDGER}


def test_an_upgrade_in_place_leaves_one_scrape_pool(upgraded: tuple[Metered, Metered]) -> None:
    assert len(upgraded[1].stand.module("prom_scrape_check", timeout=60)["pools"]) == 1


def test_after_an_upgrade_in_place_the_dashboard_reads_both_names(upgraded: tuple[Metered, Metered]) -> None:
    dashboard, dummy = upgraded[1].stand.all("monitordashboards")
    text = json.dumps(dashboard["spec"])
    assert [
        name for name in ("gen_ai.client.token.usage_token_sum", "gen_ai_client_token_usage_sum") if name not in text
    ] == []
