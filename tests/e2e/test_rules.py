# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the rules record and when the alerts fire, by promtool, for each form in which the metric is stored."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from harness.promtool import NAMINGS, POD, Naming, Promtool, up


@pytest.fixture(params=list(NAMINGS.values()), ids=list(NAMINGS))
def naming(request: pytest.FixtureRequest) -> Naming:
    return request.param


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
