# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the API server, or who is behind it, does on no demand: it hangs."""

from __future__ import annotations

import json
from typing import Any

import pytest
from kubernetes.client.exceptions import ApiException
from kubernetes.dynamic.exceptions import DynamicApiError
from urllib3.exceptions import ReadTimeoutError

from ansible_collections.aigateway.metering.plugins.module_utils._errors import MeteringError, RefusedError
from ansible_collections.aigateway.metering.plugins.module_utils._kubernetes import client as _client
from ansible_collections.aigateway.metering.plugins.module_utils._kubernetes.connection import Connection
from ansible_collections.aigateway.metering.plugins.module_utils._prometheus import api
from ansible_collections.aigateway.metering.plugins.module_utils._prometheus.api import NotLetInError
from ansible_collections.aigateway.metering.plugins.module_utils._secrets import Secrets


def cluster_with(client: Any) -> _client.Cluster:
    """A cluster whose API server is a double."""
    connection = object.__new__(Connection)
    connection._client, connection.server, connection._secrets = client, "https://api", Secrets([])
    connection._is_settled, connection._starting_until = True, 0.0
    connection._refused, connection._is_gone = set(), False
    cluster = object.__new__(_client.Cluster)
    cluster._connection, cluster._known_groups, cluster._discoveries = connection, {}, {}
    return cluster


class Hanging:
    """A client whose every request takes longer than it may."""

    def __init__(self) -> None:
        self.allowed: list[int] = []

    def request(self, *dummy: Any, _request_timeout: tuple[int, int], **options: Any) -> None:
        del options
        self.allowed.append(_request_timeout[1])
        pool: Any = None
        raise ReadTimeoutError(pool, "/", "Read timed out.")


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> tuple[_client.Cluster, Hanging]:
    monkeypatch.setattr("time.sleep", lambda dummy: None)
    client = Hanging()
    return cluster_with(client), client


def test_who_hangs_behind_the_api_server_is_named_and_not_the_api_server(hanging):
    cluster, dummy = hanging
    with pytest.raises(
        MeteringError, match=r"^pod monitoring/p:9090 did not answer /api/v1/targets in 2 attempts of 15 s\."
    ):
        cluster.proxied("monitoring", "p", 9090, "/api/v1/targets")


def test_who_hangs_behind_the_api_server_is_not_waited_for_long(hanging):
    cluster, client = hanging
    with pytest.raises(MeteringError):
        cluster.proxied("monitoring", "p", 9090, "/api/v1/targets")
    assert client.allowed == [15, 15]


def test_an_api_server_that_hangs_is_named(hanging):
    cluster, client = hanging
    with pytest.raises(MeteringError, match="The API server https://api can no longer be reached"):
        cluster.get("v1", "configmaps", "ns", "name")
    assert client.allowed == [60, 60, 60, 60]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        pytest.param(b'{"status": "error", "error": "no store matches"}', "no store matches", id="of Prometheus's API"),
        pytest.param(b'{"kind": "Status", "message": "quota exceeded"}', "quota exceeded", id="the API server's own"),
        pytest.param(b"<html>", "<html>", id="a page"),
        pytest.param(b"\x00\x1b[31m", "Unprocessable Entity", id="none that can be read"),
        pytest.param(b"", "Unprocessable Entity", id="none at all"),
    ],
)
def test_whoever_refuses_says_why_in_its_own_words(body, said):
    class Refusing:
        def request(self, *dummy: Any, **options: Any) -> None:
            del options
            error = ApiException(status=422, reason="Unprocessable Entity")
            error.body = body
            raise DynamicApiError(error)

    cluster = cluster_with(Refusing())
    with pytest.raises(MeteringError, match=f"answered 422 .*: {said}"):
        cluster.service("monitoring/thanos-query:9090", "/api/v1/query", [], 15)


# What the API server's pod proxy, and what stands behind it, answer (the first three seen on the stand).
BEHIND = {
    "a pod that speaks HTTPS": (
        400,
        b"Client sent an HTTP request to an HTTPS server.\n",
        NotLetInError,
        "uses HTTPS",
    ),
    "an auth proxy": (401, b"Unauthorized\n", NotLetInError, "something in front of it"),
    "kube-rbac-proxy": (403, b"Forbidden (user=system:anonymous)\n", NotLetInError, "something in front of it"),
    "a client certificate": (
        502,
        b'{"kind":"Status","message":"error trying to reach service: remote error: tls: certificate required"}',
        NotLetInError,
        "asks for a client certificate",
    ),
    "the right to the pod": (
        403,
        b'{"kind":"Status","message":"pods is forbidden"}',
        MeteringError,
        "does not allow this account to",
    ),
    "a pod that listens nowhere": (
        503,
        b'{"kind":"Status","message":"error trying to reach service: dial tcp: connection refused"}',
        MeteringError,
        "pod monitoring/p:9090 cannot be reached by the API server https://api",
    ),
    "a Prometheus that starts": (503, b"Service Unavailable", MeteringError, "pod monitoring/p:9090 answered 503"),
}


@pytest.mark.parametrize("case", BEHIND)
def test_who_did_not_answer_is_named(monkeypatch, case):
    status, body, kind, said = BEHIND[case]

    class Refusing:
        def request(self, *dummy: Any, **options: Any) -> None:
            del options
            error = ApiException(status=status, reason="reason")
            error.body = body
            raise DynamicApiError(error)

    monkeypatch.setattr("time.sleep", lambda dummy: None)
    cluster = cluster_with(Refusing())
    with pytest.raises(MeteringError, match=said) as refused:
        api.Pod(cluster, "monitoring", "p", 9090, "").text("/api/v1/targets", [])
    assert isinstance(refused.value, kind)
    assert kind is MeteringError or "scrape_api" in refused.value.advice


def test_a_pod_that_speaks_https_is_asked_so():
    asked = []

    class Answering:
        def request(self, method: str, path: str, **options: Any) -> Any:
            del method, options
            asked.append(path)
            return type("Answer", (), {"data": b"{}"})

    cluster = cluster_with(Answering())
    api.Pod(cluster, "monitoring", "p", 9090, "", "https").text("/api/v1/targets", [])
    assert asked == ["/api/v1/namespaces/monitoring/pods/https:p:9090/proxy/api/v1/targets"]


def answering(status=200, body=b'{"metadata": {}}'):
    """A cluster whose API server answers each write so, and what it was asked."""
    asked = []

    class Client:
        def request(self, method: str, path: str, *, query_params: Any, **options: Any) -> Any:
            del options
            asked.append((method, path, dict(query_params)))
            if status != 200:
                error = ApiException(status=status, reason="reason")
                error.body = body
                raise DynamicApiError(error)
            return type("Answer", (), {"data": body})

    cluster = cluster_with(Client())
    return cluster, asked


OBJECT = {"metadata": {"namespace": "n", "name": "m"}}


def rehearsed(status=200, text=""):
    body = json.dumps({"kind": "Status", "message": text}).encode() if status != 200 else b'{"spec": {}}'
    cluster, dummy = answering(status, body)
    return cluster.rehearse(cluster.create, "v1", "configmaps", OBJECT)


def test_a_rehearsal_changes_nothing_and_is_strict():
    cluster, asked = answering(body=b'{"metadata": {}}')
    assert cluster.rehearse(cluster.create, "v1", "configmaps", OBJECT) == {"metadata": {}}
    cluster.rehearse(cluster.replace, "v1", "configmaps", OBJECT)
    cluster.rehearse(cluster.patch, "v1", "configmaps", OBJECT, {}, content_type="application/merge-patch+json")
    assert [query["dryRun"] for dummy, dummy_path, query in asked] == ["All"] * 3
    assert {query["fieldValidation"] for dummy, dummy_path, query in asked} == {"Strict"}


@pytest.mark.parametrize(
    ("status", "text"),
    [
        pytest.param(400, 'admission webhook "x" does not support dry run', id="a webhook that knows no dry run"),
        pytest.param(409, "already exists", id="somebody else was quicker"),
    ],
)
def test_what_cannot_be_rehearsed_is_not_known(status, text):
    assert rehearsed(status, text) is None


def test_the_rehearsal_of_a_removal_removes_nothing():
    bodies = []

    class Client:
        def request(self, *dummy: Any, **options: Any) -> Any:
            bodies.append(options["body"])
            return type("Answer", (), {"data": b'{"kind": "Status"}'})

    cluster = cluster_with(Client())
    cluster.rehearse(cluster.delete, "v1", "configmaps", {"metadata": {**OBJECT["metadata"], "uid": "u"}})
    assert bodies == [{"preconditions": {"uid": "u"}, "dryRun": ["All"]}]


@pytest.mark.parametrize("verb", ["create", "update", "patch", "delete"])
def test_a_rehearsal_shows_that_the_account_may_not_write(verb):
    with pytest.raises(RefusedError, match=f"cannot {verb} resource"):
        rehearsed(403, f'podmonitors is forbidden: User "x" cannot {verb} resource "podmonitors"')


def test_fields_that_a_kind_lacks_are_told():
    text = 'PodMonitor in version "v1" cannot be handled: strict decoding error: unknown field "spec.a", '
    with pytest.raises(_client.UnknownFieldsError) as told:
        rehearsed(400, text + 'unknown field "spec.b[0].c"')
    assert told.value.fields == {"spec.a", "spec.b[0].c"}


@pytest.mark.parametrize(
    ("status", "text"),
    [
        pytest.param(422, "spec.interval: Invalid value", id="the schema"),
        pytest.param(403, 'admission webhook "policy" denied the request: no', id="a policy"),
        pytest.param(403, 'podmonitors "m" is forbidden: exceeded quota: q', id="a quota"),
    ],
)
def test_what_the_api_server_would_refuse_is_told_before_anything_is_changed(status, text):
    with pytest.raises(MeteringError, match=r"would reject a change that this run has to make: .*Nothing was changed"):
        rehearsed(status, text)


def test_the_fields_of_a_kind_are_found_at_any_depth_of_its_schema():
    endpoint: Any = {"properties": {"portNumber": {}}}
    spec = {"properties": {"endpoints": {"items": endpoint}}}
    kind = {"group": "g", "version": "v1", "kind": "Monitor"}
    schemas = {
        "a": {"x-kubernetes-group-version-kind": [kind], "properties": {"spec": spec}},
        "b": {"properties": {"x": {}}},
    }

    class Answering:
        def request(self, *dummy: Any, **options: Any) -> Any:
            del options
            return type("Answer", (), {"data": json.dumps({"components": {"schemas": schemas}}).encode()})

    cluster = cluster_with(Answering())
    found = [cluster.fields_of("g/v1", name) for name in ("Monitor", "Other")]
    assert found == [{"spec", "endpoints", "portNumber"}, None]


# -- an account with Roles in some namespaces --------------------------------------------------------------------------


class Listing:
    """An API server of two namespaces that lists one object in each; it was asked for these paths."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def request(self, dummy: str, path: str, **options: Any) -> Any:
        del options
        self.asked.append(path)
        place = path.split("/")[4] if "/namespaces/" in path else ""
        if place not in ("", "a", "b"):
            raise DynamicApiError(ApiException(status=404, reason="Not Found"))
        item = {"metadata": {"name": place or "everywhere"}}
        return type("Answer", (), {"data": json.dumps({**item, "items": [item]}).encode()})


def names_of(items: list[dict[str, Any]]) -> list[str]:
    return [item["metadata"]["name"] for item in items]


@pytest.mark.parametrize(
    ("named", "kind", "namespace", "found"),
    [
        pytest.param([], "pods", "", ["everywhere"], id="none is named"),
        pytest.param(["a", "b"], "pods", "", ["a", "b"], id="in those that are named"),
        pytest.param(["a", "a"], "pods", "", ["a"], id="in each once"),
        pytest.param(["a"], "pods", "b", ["b"], id="in the one that is asked for"),
        pytest.param(["a", "b"], "namespaces", "", ["a", "b"], id="these themselves"),
        pytest.param(["a"], "clusterrolebindings", "", ["everywhere"], id="what is in no namespace"),
    ],
)
def test_a_list_is_of_the_namespaces_that_are_named(named, kind, namespace, found):
    cluster = cluster_with(Listing())
    cluster._named = named
    assert names_of(cluster.list("v1", kind, namespace=namespace)) == found


def test_no_list_of_the_whole_cluster_is_asked_for_where_namespaces_are_named():
    client = Listing()
    cluster = cluster_with(client)
    cluster._named = ["a", "b"]
    cluster.list("v1", "pods")
    # Those of the same kind are asked for at once.
    assert sorted(client.asked[:2]) == ["/api/v1/namespaces/a", "/api/v1/namespaces/b"]
    assert sorted(client.asked[2:]) == ["/api/v1/namespaces/a/pods", "/api/v1/namespaces/b/pods"]


@pytest.mark.parametrize(
    ("named", "namespace", "reads"),
    [([], "c", True), (["a"], "a", True), (["a"], "b", False), (["a"], "", True)],
)
def test_what_is_read_is_what_is_named(named, namespace, reads):
    cluster = cluster_with(Listing())
    cluster._named = named
    assert cluster.reads(namespace) == reads


def test_a_namespace_that_is_not_there_is_named():
    cluster = cluster_with(Listing())
    cluster._named = ["a", "tema-b"]
    with pytest.raises(MeteringError, match="metering_namespaces names tema-b: there is no such namespace, or"):
        cluster.list("v1", "pods")


@pytest.mark.parametrize("name", ["monitoring/pods", "..", "Team-A", "-a", "a" * 64, "a.b", "*"])
def test_what_is_no_name_of_a_namespace_is_refused_before_anything_is_asked(name):
    client = Listing()
    cluster = cluster_with(client)
    cluster._named = ["a", name]
    with pytest.raises(MeteringError, match=r"^metering_namespaces has '.*A namespace's name has only lower-case"):
        cluster.list("v1", "pods")
    assert client.asked == []
