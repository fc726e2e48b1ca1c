# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The same assertion by whatever way Prometheus is reached: its own answers, behind what stands before it elsewhere."""

from __future__ import annotations

import base64
import datetime
import ipaddress
import json
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from harness.fronts import Front, Headers, anybody
from harness.stand import Stand
from standlib import platform
from standlib.progress import wait_until

# Each way has to be waited for, and agents come up slowly.
pytestmark = pytest.mark.long
SECRET = "a-secret-word"


def is_basic(headers: Headers) -> bool:
    return headers.get("authorization") == "Basic " + base64.b64encode(f"metering:{SECRET}".encode()).decode()


def check(stand: Stand, **api: Any) -> dict[str, Any]:
    """The assertion, with the targets from the address as well, as for a Prometheus that runs elsewhere."""
    options = {"targets_urls": [api["url"]]} if "url" in api else {}
    return stand.module("prom_scrape_check", timeout=30, api=options | api)


def proven(result: dict[str, Any]) -> tuple[Any, Any, Any]:
    return (result.get("targets"), result.get("scraped_once"), result.get("evidence"))


WAYS: dict[str, tuple[Callable[[Headers], bool], dict[str, Any]]] = {
    "nothing": (anybody, {}),
    "basic": (is_basic, {"username": "metering", "password": SECRET}),
    "bearer": (lambda headers: headers.get("authorization") == f"Bearer {SECRET}", {"token": SECRET}),
    "a header": (lambda headers: headers.get("x-scope-orgid") == "team-a", {"headers": {"X-Scope-OrgID": "team-a"}}),
}


@pytest.mark.parametrize("way", WAYS)
def test_an_address_is_asked_with_what_it_takes_to_be_let_in(metered: Stand, way: str) -> None:
    lets_in, options = WAYS[way]
    with Front(metered, lets_in) as front:
        result = check(metered, url=front.url, **options)
    assert proven(result) == (3, True, "targets"), result


@pytest.mark.parametrize("way", [way for way in WAYS if way != "nothing"])
def test_who_is_not_let_in_is_told_what_to_set_and_no_secret(metered: Stand, way: str) -> None:
    lets_in, options = WAYS[way]
    # A user's name is no secret, and is shown as it is.
    wrong = {name: "somebody" if name == "username" else f"{SECRET}-wrong" for name in options if name != "headers"}
    with Front(metered, lets_in) as front:
        result = check(metered, url=front.url, **wrong)
    assert "answered 401" in result["msg"]
    assert "scrape_api" in result["msg"]
    assert SECRET not in json.dumps(result)


def test_a_service_is_asked_through_the_api_server(metered: Stand) -> None:
    result = check(metered, service=f"{platform.MONITORING_NAMESPACE}/prometheus-operated:9090")
    assert proven(result) == (3, True, "targets"), result


def test_a_backend_without_targets_is_judged_by_the_series_up_and_that_is_said(metered: Stand) -> None:
    with Front(metered, anybody, hidden=("/targets", "/scrape_pools", "/status/config")) as front:
        wait_until("the series of ended pods to go stale", lambda: check(metered, url=front.url).get("evidence"), 60)
        result = check(metered, url=front.url)
    assert proven(result) == (3, True, "up"), result
    assert "serves no targets" in json.dumps(result["warnings"])


def test_a_double_scrape_is_found_by_the_series_up(metered: Stand) -> None:
    metered.apply(metered.pod_monitor("by-hand"))
    try:
        with Front(metered, anybody, hidden=("/targets", "/scrape_pools", "/status/config")) as front:
            wait_until(
                "the double scrape to be found", lambda: "scraped 2 times" in str(check(metered, url=front.url)), 120
            )
    finally:
        metered.delete("podmonitor", platform.GATEWAY_NAMESPACE, "by-hand")


def test_an_address_at_another_prefix_is_told(metered: Stand) -> None:
    with Front(metered, anybody) as front:
        result = check(metered, url=front.url.removesuffix("/prefix"))
    assert "does not serve /api/v1/" in result["msg"]


def test_the_platform_says_where_its_monitoring_is(metered: Stand) -> None:
    with Front(metered, is_basic) as front:
        put_feature(metered, front.url)
        try:
            result = metered.module("prom_scrape_check", timeout=30, api={"feature": True})
        finally:
            metered.kubectl.run(metered.step, "delete", "crd", "features.infrastructure.alauda.io")
    assert proven(result) == (3, True, "targets"), result
    assert SECRET not in json.dumps(result)


def put_feature(stand: Stand, url: str) -> None:
    """The platform's description of its monitoring, as its documentation shows it."""
    names = {"kind": "Feature", "plural": "features", "singular": "feature", "listKind": "FeatureList"}
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    version = {"name": "v1alpha1", "served": True, "storage": True, "schema": schema}
    stand.apply(
        {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": "features.infrastructure.alauda.io"},
            "spec": {
                "group": "infrastructure.alauda.io",
                "scope": "Cluster",
                "names": names,
                "versions": [version],
            },
        }
    )
    crd = "crd/features.infrastructure.alauda.io"
    stand.kubectl.run(stand.step, "wait", "--for=condition=Established", crd, "--timeout=30s")
    secret = {"name": "monitoring-login", "namespace": platform.MONITORING_NAMESPACE}
    login = {"username": "metering", "password": SECRET}
    stand.apply({"apiVersion": "v1", "kind": "Secret", "metadata": secret, "stringData": login})
    database = {"address": url, "basicAuth": {"secretName": secret["name"]}}
    stand.apply(
        {
            "apiVersion": "infrastructure.alauda.io/v1alpha1",
            "kind": "Feature",
            "metadata": {"name": "monitoring"},
            "spec": {"accessInfo": {"database": database}},
        }
    )


class Authority:
    """A certificate authority, and what it has signed, as PEM files."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")])
        self.path = self._written("authority", self._signed(self.name, self.key, True), self.key)

    def _signed(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, is_authority: bool) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=5))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(x509.BasicConstraints(is_authority, None), critical=True)
            .add_extension(x509.SubjectAlternativeName([address]), critical=False)
            .sign(self.key, hashes.SHA256())
        )

    def _written(self, name: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Path:
        pem = serialization.Encoding.PEM
        path = self.directory / f"{name}.pem"
        path.write_bytes(certificate.public_bytes(pem))
        (self.directory / f"{name}.key").write_bytes(
            key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        )
        return path

    def sign(self, name: str) -> Path:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        return self._written(name, self._signed(subject, key, False), key)


@pytest.fixture
def mutual(metered: Stand, tmp_path: Path) -> Iterator[tuple[Front, Path]]:
    """A front that asks for a certificate of its authority, and the directory with the PEM files."""
    authority = Authority(tmp_path)
    server = authority.sign("server")
    authority.sign("client")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server, server.with_suffix(".key"))
    context.load_verify_locations(authority.path)
    context.verify_mode = ssl.CERT_REQUIRED
    front = Front(metered, anybody)
    front.with_tls(context)
    with front:
        yield front, tmp_path


def test_both_sides_can_be_asked_for_a_certificate(metered: Stand, mutual: tuple[Front, Path]) -> None:
    front, files = mutual
    shown = {"client_cert": str(files / "client.pem"), "client_key": str(files / "client.key")}
    result = check(metered, url=front.url, ca_path=str(files / "authority.pem"), **shown)
    assert proven(result) == (3, True, "targets"), result


def test_a_certificate_of_an_unknown_authority_is_refused(metered: Stand, mutual: tuple[Front, Path]) -> None:
    front, dummy = mutual
    assert "CERTIFICATE_VERIFY_FAILED" in check(metered, url=front.url)["msg"]


# --- an agent, which scrapes and keeps nothing ------------------------------------------------------------------------


@pytest.fixture
def agent(metered: Stand) -> Iterator[str]:
    """An agent that scrapes the sidecars beside the Prometheus, for a store of its own."""
    namespace = platform.MONITORING_NAMESPACE
    (prometheus,) = metered.get("prometheuses", namespace, name="kube-prometheus-0")
    copied = ("image", "version", "serviceAccountName", "podMonitorSelector", "podMonitorNamespaceSelector")
    spec = {key: prometheus["spec"][key] for key in copied}
    metered.apply(
        {
            "apiVersion": "monitoring.coreos.com/v1alpha1",
            "kind": "PrometheusAgent",
            "metadata": {"name": "edge", "namespace": namespace},
            "spec": {**spec, "remoteWrite": [{"url": "http://store.cpaas-system.svc:1/api/v1/write"}]},
        }
    )
    wait_until("the agent's pod", lambda: "prom-agent-edge-0" in str(metered.get("pods", namespace)), 60)
    words = ["wait", "--for=condition=Ready", "pod/prom-agent-edge-0", "-n", namespace, "--timeout=120s"]
    metered.kubectl.run(metered.step, *words)
    yield f"{namespace}/edge"
    metered.delete("prometheusagent", namespace, "edge")
    # It would go on trying to write for a minute, to where nothing listens.
    end = ["delete", "pod", "prom-agent-edge-0", "-n", namespace, "--force", "--grace-period=0", "--ignore-not-found"]
    metered.kubectl.run(metered.step, *end)
    wait_until("the agent's pod to end", lambda: "prom-agent-edge-0" not in str(metered.get("pods", namespace)), 60)


def test_an_agent_is_asked_for_targets_and_another_for_series(metered: Stand, agent: str) -> None:
    service = f"{platform.MONITORING_NAMESPACE}/prometheus-operated:9090"
    result = metered.module("prom_scrape_check", prometheus=agent, timeout=60, api={"service": service})
    assert proven(result) == (3, True, "targets"), result
    assert result["replicas"] == [f"{platform.MONITORING_NAMESPACE}/prom-agent-edge-0"]


def test_without_another_for_series_an_agent_says_what_to_set(metered: Stand, agent: str) -> None:
    result = metered.module("prom_scrape_check", prometheus=agent, timeout=60)
    assert "scrapes, but stores nothing" in result["msg"]
    assert "scrape_api.url" in result["msg"]
