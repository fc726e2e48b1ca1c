# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What made a wrong bill or a wrong verdict and ended with exit code 0, on the real gateway and Prometheus."""

from __future__ import annotations

import datetime
import json
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from harness import accuracy
from harness.accuracy import BY, served_since, wait_for_scrapes, when
from harness.cluster import CONTROLLER, FLAG
from harness.fronts import Front, anybody
from harness.runs import BIN, QUICK, ROOT
from harness.stand import Stand
from standlib import platform, tenants, traffic
from standlib.progress import wait_until

NAMESPACE, MONITORING = platform.GATEWAY_NAMESPACE, "cpaas-system"
PROMETHEUS = "kube-prometheus-0"
OURS = "ai-gateway-metrics"


def set_prometheus(stand: Stand, **spec: Any) -> None:
    stand.patch("prometheus", MONITORING, PROMETHEUS, {"spec": spec})


def doubts_and_rows(stand: Stand, start: float, **options: Any) -> tuple[list[str], dict[tuple[str, ...], int]]:
    """What the report of a period until now has, by who, what and token type."""
    found = accuracy.account(stand, start, wait_for_scrapes(stand), **options)
    return found.said["doubts"], found.counted


def settle(stand: Stand) -> None:
    """Wait until the live targets and what is stored are right again."""
    wait_until("the scrape to be right", lambda: "pools" in stand.module("prom_scrape_check", timeout=0), 180)


# --- native histograms ------------------------------------------------------------------------------------------------


@pytest.fixture
def converting(unscraped: Stand) -> Iterator[Stand]:
    """A Prometheus that stores no sums: it converts every classic histogram into a native one."""
    set_prometheus(unscraped, convertClassicHistogramsToNHCB=True)
    yield unscraped
    set_prometheus(unscraped, convertClassicHistogramsToNHCB=None)
    unscraped.delete("podmonitor", NAMESPACE, "by-hand")


def test_a_prometheus_that_converts_histograms_is_billed_to_the_token(converting: Stand) -> None:
    converting.apply(converting.pod_monitor("by-hand"))
    run = converting.site()
    assert run.code == 0, run.output
    start = wait_for_scrapes(converting)
    converting.send()
    dummy, counted = doubts_and_rows(converting, start)
    assert counted == served_since(converting, start)
    converting.restart_proxies()
    converting.send()
    dummy, counted = doubts_and_rows(converting, start)
    assert counted == served_since(converting, start)
    checked = converting.module("prom_scrape_check", timeout=60)
    # For five minutes what was stored before the change is found as well.
    assert "gen_ai_client_token_usage" in checked["names"]
    assert checked["token_types"], checked
    run = converting.site()
    assert run.code == 0, run.output
    assert "stored as: gen_ai_client_token_usage" in run.text
    run = converting.play("check")
    assert run.code == 0, run.output


def test_ours_keeps_the_sums_whatever_the_prometheus_converts(converting: Stand) -> None:
    run = converting.site()
    assert run.code == 0, run.output
    start = wait_for_scrapes(converting)
    converting.send()
    dummy, counted = doubts_and_rows(converting, start)
    assert counted == served_since(converting, start)
    assert "gen_ai_client_token_usage_sum" in converting.module("prom_scrape_check", timeout=60)["names"]


# --- what is exposed and not stored -----------------------------------------------------------------------------------


@pytest.fixture
def dropping(fresh: Stand) -> Iterator[Stand]:
    """A monitor by hand that scrapes every sidecar with success, and drops the tokens."""
    rule = {"action": "drop", "sourceLabels": ["gen_ai_token_type"], "regex": ".+"}
    fresh.apply(fresh.pod_monitor("by-hand", metricRelabelings=[rule]))
    yield fresh
    fresh.delete("podmonitor", NAMESPACE, "by-hand")


def test_tokens_that_are_exposed_and_not_stored_are_a_failure_a_drift_and_a_doubt(dropping: Stand) -> None:
    # Proxies that have counted nothing yet show nothing that could be missing.
    run = dropping.site()
    assert run.code == 0, run.output
    start = traffic.now()
    dropping.send()
    run = dropping.site(scrape_timeout=60)
    assert run.code != 0
    assert "are not stored" in run.text
    assert "Tokens that are not stored cannot be billed." in run.text
    drifts = dropping.module("drift_info", timeout=20)["drifts"]
    assert {drift["kind"] for drift in drifts} >= {"unstored"}, drifts
    said = dropping.module("token_usage_info", start=when(start), end=when(traffic.now()), by=BY)
    told = [doubt for doubt in said["doubts"] if "tokens at present, of which" in doubt]
    served = sum(tokens for key, tokens in served_since(dropping, start).items() if key[3] in accuracy.TOTAL)
    assert sum(int(doubt.split(" shows ")[1].split()[0]) for doubt in told) == served, said["doubts"]


# --- proxies that nobody meters ---------------------------------------------------------------------------------------


@pytest.fixture
def unmetered(metered: Stand) -> Iterator[str]:
    """A proxy that came up while the webhook that adds the sidecar was away; its Gateway's name."""
    kind = "mutatingwebhookconfiguration"
    (webhook,) = [it for it in metered.all(kind) if "gateway-pod-mutator" in it["metadata"]["name"]]
    (pod,) = [name for name in metered.mappings() if "gateway-b" in name]
    metered.kubectl.run(metered.step, "delete", kind, webhook["metadata"]["name"])
    saved = {key: webhook["metadata"][key] for key in ("name", "labels", "annotations") if key in webhook["metadata"]}
    try:
        metered.kubectl.run(metered.step, "delete", "pod", pod, "-n", NAMESPACE)
        workloads = [f"deployment/{name}" for name in metered.revisions()]
        metered.kubectl.rollout(metered.step, NAMESPACE, *workloads)
        yield "team-b/gateway-b"
    finally:
        metered.apply({**webhook, "metadata": saved})
        metered.restart_proxies()
        settle(metered)


def test_a_proxy_without_a_sidecar_is_named_by_site_check_and_verify(unmetered: str, stand: Stand) -> None:
    run = stand.site(scrape_timeout=20)
    assert run.code != 0
    assert f"of gateway {unmetered} is unmetered: it runs without the container ai-gateway-extproc" in run.text
    assert "caution: " in run.text
    run = stand.play("check")
    assert run.code != 0
    assert "unmetered envoy-gateway-system/envoy-team-b-gateway-b" in run.text
    gateways = stand.gateways()
    token = gateways.token(tenants.CALLERS[0])
    address = gateways.address("gateway-a")
    run = stand.play("verify", verify_address=address, verify_model="chat-small", verify_tokens=[token])
    assert run.code != 0
    assert f"of gateway {unmetered} is unmetered" in run.text


# --- who is told by name ----------------------------------------------------------------------------------------------


@pytest.fixture
def alike(metered: Stand) -> Iterator[Stand]:
    """Two Gateways whose proxies' Deployments are called `ai` and `ai-gw`."""

    def call(team: str, gateway: str, name: str | None) -> None:
        body = {"spec": {"provider": {"kubernetes": {"envoyDeployment": {"name": name}}}}}
        metered.patch("envoyproxy", team, gateway, body)

    def are_called(*names: str) -> bool:
        return set(names) <= set(metered.revisions()) and len(metered.revisions()) == 2

    before = set(metered.revisions())
    call("team-a", "gateway-a", "ai")
    call("team-b", "gateway-b", "ai-gw")
    wait_until("the Deployments to be called so", lambda: are_called("ai", "ai-gw"), 60)
    metered.kubectl.rollout(metered.step, NAMESPACE, "deployment/ai", "deployment/ai-gw")
    try:
        yield metered
    finally:
        call("team-a", "gateway-a", None)
        call("team-b", "gateway-b", None)
        wait_until("the Deployments to be called as before", lambda: set(metered.revisions()) == before, 60)
        metered.kubectl.rollout(metered.step, NAMESPACE, *(f"deployment/{name}" for name in before))
        settle(metered)


def test_the_tokens_of_a_deployment_that_is_gone_go_to_no_other_whose_name_begins_alike(alike: Stand) -> None:
    start = wait_for_scrapes(alike)
    alike.send()
    wait_for_scrapes(alike)
    body = {"spec": {"provider": {"kubernetes": {"envoyDeployment": {"name": "else"}}}}}
    alike.patch("envoyproxy", "team-b", "gateway-b", body)
    wait_until("the Deployment ai-gw to be gone", lambda: set(alike.revisions()) == {"ai", "else"}, 60)
    wait_until("its ReplicaSet and pods to be gone", lambda: not _of_deployment(alike, "ai-gw-"), 180)
    end = traffic.now()
    said = alike.module("token_usage_info", start=when(start), end=when(end), by=["gateway"])
    found = {row["gateway"]: row["total"] for row in said["rows"]}
    served: Counter[str] = Counter()
    callers = {caller.name: caller for caller in tenants.CALLERS}
    for entry in traffic.ledger(alike.kubectl, start):
        gateway = callers[entry["caller"]].gateway
        served[gateway] += sum(entry["tokens"][kind] for kind in accuracy.TOTAL)
    assert found == {"team-a/gateway-a": served["gateway-a"], "": served["gateway-b"]}
    assert any("whose Gateway is not known any more" in doubt for doubt in said["doubts"])


def _of_deployment(stand: Stand, prefix: str) -> list[str]:
    owned = [*stand.get("replicasets", NAMESPACE), *stand.get("pods", NAMESPACE)]
    return [name for item in owned if (name := item["metadata"]["name"]).startswith(prefix)]


# --- masked bills, and secrets ----------------------------------------------------------------------------------------


def test_a_tenant_in_a_header_masks_no_row(metered: Stand, tmp_path: Path) -> None:
    start = wait_for_scrapes(metered)
    metered.send()
    period = {"report_from": when(start), "report_to": when(wait_for_scrapes(metered))}
    with Front(metered, anybody) as front:
        for tenant in ("team-a", "team", "1", "2026"):
            run = metered.play(
                "report",
                **period,
                report_directory=str(tmp_path),
                scrape_api={
                    "url": front.url,
                    "headers": {"X-Scope-OrgID": tenant},
                    "username": "u",
                    "password": tenant,
                },
            )
            assert run.code == 0, run.output
            written = (tmp_path / "localhost.csv").read_text() + (tmp_path / "localhost.json").read_text()
            assert "VALUE_SPECIFIED" not in written
            assert "****" not in written
            rows = json.loads((tmp_path / "localhost.json").read_text())["rows"]
            assert {"team-a", "team-b"} <= {row["namespace"] for row in rows}


def test_tokens_as_a_survey_gives_them_are_in_no_output(metered: Stand) -> None:
    gateways = metered.gateways()
    tokens = [gateways.token(caller) for caller in tenants.CALLERS[:2]]
    options = {"verify_address": gateways.address("gateway-a"), "verify_model": "chat-small"}
    run = metered.play("verify", "-vvv", verify_tokens=",".join(tokens), **options)
    assert run.code == 0, run.output
    # Ansible's own header shows what was given with -e.
    results = run.output.partition("PLAY [")[2]
    assert results
    assert [token for token in tokens if token in results] == []


def test_a_mistyped_key_and_an_address_with_credentials_are_refused_without_showing_them(metered: Stand) -> None:
    for api in ({"pasword": "s3cr3t-word"}, {"url": "https://u:s3cr3t-word@prometheus"}):
        said = metered.module("prom_scrape_check", timeout=0, api=api)
        assert said["failed"]
        assert "s3cr3t-word" not in json.dumps(said)
    assert "scrape_api.username and scrape_api.password" in said["msg"]


# --- inputs as text, and output as JSON -------------------------------------------------------------------------------


def test_false_as_text_is_false(metered: Stand) -> None:
    words = ["-e", "chargeback_rules=false", "-e", "chargeback_cost_management=no"]
    run = metered.play("chargeback", *words)
    assert run.code == 0, run.output
    assert "rules: not asked for" in run.text
    assert metered.all("prometheusrules") == []


def test_progress_is_shown_beside_what_a_callback_prints(metered: Stand) -> None:
    """A callback may print JSON, as ansible.posix.json does: whatever else stood there would break it."""
    command = [str(BIN / "ansible-playbook"), "playbooks/check.yml", "-e", "check_timeout=15"]
    metered.apply(metered.pod_monitor("by-hand"))
    try:
        twice = "is scraped 2 times"
        wait_until("a second scrape", lambda: twice in json.dumps(metered.module("prom_scrape_check", timeout=0)), 60)
        environment = metered.environment()
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    finally:
        metered.delete("podmonitor", NAMESPACE, "by-hand")
    assert "waiting for" in done.stderr
    assert "waiting for" not in done.stdout.partition("TASK [Fail on drift]")[0]


# --- verdicts ---------------------------------------------------------------------------------------------------------


def test_a_target_of_somebody_else_with_an_odd_address_breaks_no_check(metered: Stand) -> None:
    odd = {
        "apiVersion": "monitoring.coreos.com/v1alpha1",
        "kind": "ScrapeConfig",
        "metadata": {"name": "odd", "namespace": MONITORING, "labels": {"prometheus": "kube-prometheus"}},
        "spec": {"staticConfigs": [{"targets": ["exporter:9100:9100"]}]},
    }
    set_prometheus(metered, scrapeConfigSelector={}, scrapeConfigNamespaceSelector={})
    metered.apply(odd)

    def is_there() -> bool:
        path = f"/api/v1/namespaces/{MONITORING}/pods/prometheus-{PROMETHEUS}-0:9090/proxy/api/v1/targets?state=active"
        return "exporter:9100:9100" in metered.kubectl.text(path)

    try:
        wait_until("the odd target", is_there, 120)
        assert "pools" in metered.module("prom_scrape_check", timeout=30)
        assert metered.module("drift_info", timeout=30, interval=QUICK["scrape_interval"])["drifts"] == []
    finally:
        metered.delete("scrapeconfig", MONITORING, "odd")
        set_prometheus(metered, scrapeConfigSelector=None, scrapeConfigNamespaceSelector=None)


def test_a_monitor_that_has_just_been_deleted_is_no_monitor(metered: Stand) -> None:
    metered.delete("podmonitor", NAMESPACE, OURS)
    said = metered.module("prom_scrape_check", timeout=0)
    assert said.get("failed"), said
    assert f"PodMonitor {NAMESPACE}/{OURS} is gone" in said["msg"] or "is not scraped" in said["msg"], said


@pytest.fixture
def behind_tls(metered: Stand) -> Iterator[Stand]:
    """The Prometheus with its API behind TLS."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "prometheus")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()
    data = {"tls.crt": certificate.public_bytes(pem).decode(), "tls.key": private}
    metadata = {"name": "prometheus-tls", "namespace": MONITORING}
    metered.apply({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data})
    own = {"secret": {"name": "prometheus-tls", "key": "tls.crt"}}
    tls = {"cert": own, "keySecret": {"name": "prometheus-tls", "key": "tls.key"}}
    statefulset = f"statefulset/prometheus-{PROMETHEUS}"

    def serve(web: dict[str, Any] | None, scheme: str) -> None:
        set_prometheus(metered, web=web)

        def is_served() -> bool:
            (found,) = metered.get("statefulsets", MONITORING)
            (container,) = [it for it in found["spec"]["template"]["spec"]["containers"] if it["name"] == "prometheus"]
            return container["readinessProbe"]["httpGet"].get("scheme", "HTTP") == scheme.upper()

        wait_until(f"Prometheus to be made for {scheme}", is_served, 60)
        metered.kubectl.rollout(metered.step, MONITORING, statefulset)

    serve({"tlsConfig": tls}, "https")
    yield metered
    serve(None, "http")
    settle(metered)


def test_a_prometheus_behind_tls_is_asked_by_tls(behind_tls: Stand) -> None:
    assert "pools" in behind_tls.module("prom_scrape_check", timeout=120)
    assert behind_tls.module("drift_info", timeout=60, interval=QUICK["scrape_interval"])["drifts"] == []


def test_an_operator_without_port_numbers_gets_a_monitor_that_it_understands(unscraped: Stand) -> None:
    name = "podmonitors.monitoring.coreos.com"
    crd = json.loads(unscraped.kubectl.run(unscraped.step, "get", "crd", name, "-o", "json"))
    removed: list[dict[str, Any]] = []
    for number, version in enumerate(crd["spec"]["versions"]):
        schema = f"/spec/versions/{number}/schema/openAPIV3Schema/properties/spec/properties"
        spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
        endpoints = spec["podMetricsEndpoints"]["items"]["properties"]
        removed.append(
            {"path": f"{schema}/podMetricsEndpoints/items/properties/portNumber", "value": endpoints["portNumber"]}
        )
        for field in ("convertClassicHistogramsToNHCB", "scrapeClassicHistograms"):
            removed.append({"path": f"{schema}/{field}", "value": spec[field]})

    def patch(operation: str) -> None:
        body = [{"op": operation, **(item if operation == "add" else {"path": item["path"]})} for item in removed]
        unscraped.kubectl.run(unscraped.step, "patch", "crd", name, "--type=json", "-p", json.dumps(body))

    patch("remove")
    try:
        # The API server takes a moment until it serves the new schema.
        wait_until("the schema without it", lambda: "portNumber" not in _explained(unscraped), 60)
        run = unscraped.site()
        assert run.code == 0, run.output
        (monitor,) = unscraped.all("podmonitors")
        (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
        assert (endpoint.get("targetPort"), endpoint.get("portNumber")) == (1064, None)
        run = unscraped.site()
        assert (run.code, run.changed) == (0, 0), run.output
    finally:
        patch("add")
        wait_until("the schema with it", lambda: "portNumber" in _explained(unscraped), 60)


def _explained(stand: Stand) -> list[str]:
    text = stand.kubectl.run(stand.step, "explain", "podmonitor.spec.podMetricsEndpoints")
    return re.findall(r"^  (\w+)\t", text, re.MULTILINE)


def test_a_proxy_that_never_rolls_is_told_before_the_flag_is_changed(fresh: Stand) -> None:
    name = next(iter(fresh.revisions()))
    before = fresh.controller()["spec"]
    fresh.patch("deployment", NAMESPACE, name, {"spec": {"paused": True}})
    try:
        run = fresh.site()
        assert run.code != 0
        assert f"Deployment {NAMESPACE}/{name} is paused (spec.paused)" in run.text
        assert f"rollout resume deployment/{name}" in run.text
        assert fresh.controller()["spec"] == before
    finally:
        fresh.patch("deployment", NAMESPACE, name, {"spec": {"paused": None}})


def test_an_interval_that_the_operator_refuses_is_told_before_anything_is_changed(fresh: Stand) -> None:
    before = fresh.state()
    run = fresh.site(scrape_interval="30s1m")
    assert run.code != 0
    assert "The interval is '30s1m'" in run.text
    assert fresh.state() == before


def test_a_flag_that_stands_twice_is_told_and_stands_once_after_a_write(fresh: Stand) -> None:
    container = fresh.controller()["spec"]["template"]["spec"]["containers"][0]
    args = [f"{FLAG}x-lost:lost", *container["args"]]
    body = {"spec": {"template": {"spec": {"containers": [{"name": container["name"], "args": args}]}}}}
    fresh.patch("deployment", NAMESPACE, CONTROLLER, body, how="strategic")
    fresh.wait_for_controller()
    run = fresh.site()
    assert run.code == 0, run.output
    assert f"{FLAG}x-lost:lost in its flags, but the gateway ignores it" in run.text
    args = fresh.controller()["spec"]["template"]["spec"]["containers"][0]["args"]
    assert len([word for word in args if word.startswith(FLAG)]) == 1


# --- periods ----------------------------------------------------------------------------------------------------------


def test_a_period_cut_anywhere_is_the_sum_of_its_parts(metered: Stand) -> None:
    start = wait_for_scrapes(metered)
    metered.send()
    cuts = [traffic.now()]
    metered.restart_proxies()
    cuts.append(traffic.now())
    metered.send()
    cuts.append(traffic.now())
    end = wait_for_scrapes(metered)
    # Right around the births of the new proxies, to the second.
    cuts += [cuts[1] - 7, cuts[1] - 3, cuts[1] + 4]
    whole = accuracy.account(metered, start, end).counted
    assert whole
    for cut in sorted(cut for cut in cuts if start < cut < end):
        assert accuracy.parts(metered, start, cut, end) == whole, cut - start
