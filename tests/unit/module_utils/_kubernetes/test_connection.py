# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Moments and verdicts: what is asked again, what is believed, and what a run recognises as its own work."""

from __future__ import annotations

import json
from typing import Any

import pytest
from kubernetes.client.exceptions import ApiException
from kubernetes.dynamic.exceptions import DynamicApiError
from urllib3.exceptions import ProtocolError

from ansible_collections.aigateway.metering.plugins.module_utils._errors import (
    ConflictError,
    MeteringError,
    RefusedError,
)
from ansible_collections.aigateway.metering.plugins.module_utils._kubernetes import client as _client
from ansible_collections.aigateway.metering.plugins.module_utils._kubernetes import connection as _connection
from ansible_collections.aigateway.metering.plugins.module_utils._secrets import Secrets

LOST = ProtocolError("Connection aborted.")
PAGE = "<!DOCTYPE html><title>Bad gateway</title>"
OBJECT: dict[str, Any] = {"metadata": {"namespace": "n", "name": "m", "resourceVersion": "7"}, "spec": {"a": 1}}


def status(code: int, message: str = "no", **headers: str) -> DynamicApiError:
    """An error of the API server's own."""
    error = ApiException(status=code, reason="reason")
    error.body = json.dumps({"kind": "Status", "message": message}).encode()
    error.headers = headers
    return DynamicApiError(error)


class Script:
    """A client whose requests end one after another as it is written, and the last for ever."""

    def __init__(self, *ends: Any, ready: Any = b"ok") -> None:
        self.ends, self.ready = list(ends), ready
        self.asked: list[str] = []

    def request(self, method: str, path: str, **options: Any) -> Any:
        del options
        if path == "/readyz":
            end = self.ready
        else:
            self.asked.append(method)
            end = self.ends.pop(0) if len(self.ends) > 1 else self.ends[0]
        if isinstance(end, Exception):
            raise end
        body = end if isinstance(end, bytes) else end.encode() if isinstance(end, str) else json.dumps(end).encode()
        return type("Answer", (), {"data": body})


@pytest.fixture(autouse=True)
def slept(monkeypatch):
    """The seconds for which it was waited, in no time."""
    found: list[float] = []
    monkeypatch.setattr("time.sleep", found.append)
    return found


def cluster_with(script, *, settled=True):
    connection = object.__new__(_connection.Connection)
    connection._client, connection.server, connection._secrets = script, "https://api", Secrets(["a-secret-word"])
    connection._is_settled, connection._starting_until = settled, 0.0
    connection._refused, connection._is_gone = set(), False
    cluster = object.__new__(_client.Cluster)
    cluster._connection, cluster._known_groups, cluster._discoveries = connection, {}, {}
    return cluster


def get(cluster):
    return cluster.get("v1", "configmaps", "n", "m")


# -- bodies ------------------------------------------------------------------------------------------------------------

NO_DOCUMENTS = [PAGE, "", '{"metadata": {"na', "null", "[]", '"text"', "{}"]


@pytest.mark.parametrize("body", NO_DOCUMENTS)
def test_an_answer_that_is_no_document_is_read_again(body):
    assert get(cluster_with(Script(body, OBJECT))) == OBJECT


@pytest.mark.parametrize("body", NO_DOCUMENTS)
def test_what_stays_none_is_told_with_its_first_characters(body):
    script = Script(body)
    with pytest.raises(
        MeteringError, match="https://api answered get configmaps n/m with something that is not"
    ) as told:
        get(cluster_with(script))
    assert len(script.asked) == _connection.ATTEMPTS
    assert repr(body[:20])[1:-1] in told.value.found


def test_a_secret_in_a_page_is_not_shown():
    with pytest.raises(MeteringError) as told:
        get(cluster_with(Script("<html>a-secret-word")))
    assert "a-secret-word" not in str(told.value)


@pytest.mark.parametrize("body", [PAGE, {"metadata": {}}, {"items": [], "metadata": None}])
def test_a_list_that_is_none_is_told(body):
    with pytest.raises(MeteringError, match="with something that is not"):
        cluster_with(Script(body)).list("v1", "pods")


def test_a_list_that_the_api_server_has_forgotten_is_read_anew():
    first = {"items": [{"metadata": {"name": "a"}}], "metadata": {"continue": "there"}}
    whole = {"items": [{"metadata": {"name": "b"}}], "metadata": {}}
    found = cluster_with(Script(first, status(410, "Expired"), whole)).list("v1", "pods")
    assert [item["metadata"]["name"] for item in found] == ["b"]


# -- moments -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [429, 503])
def test_who_says_when_to_come_back_is_asked_then(slept, code):
    assert get(cluster_with(Script(*[status(code, **{"Retry-After": "7"})] * 6, OBJECT))) == OBJECT
    assert slept == [7.0] * 6


def test_nobody_is_waited_for_without_an_end(slept):
    with pytest.raises(MeteringError, match="answered 429"):
        get(cluster_with(Script(status(429, **{"Retry-After": "25"}))))
    assert sum(slept) <= _connection.PATIENCE_SECONDS + 10


@pytest.mark.parametrize("text", ["Fri, 31 Dec 1999 23:59:59 GMT", "soon", "-5", ""])
def test_what_is_no_number_of_seconds_is_waited_for_as_usual(slept, text):
    assert get(cluster_with(Script(status(503, **{"Retry-After": text}), OBJECT))) == OBJECT
    assert slept == [0.5]


def test_a_refusal_of_an_api_server_that_begins_is_not_believed():
    script = Script(status(403), status(403), OBJECT, ready=status(500))
    assert get(cluster_with(script, settled=False)) == OBJECT


def test_a_refusal_of_one_that_is_ready_is_believed_at_the_second():
    script = Script(status(403))
    cluster = cluster_with(script, settled=False)
    with pytest.raises(RefusedError, match="does not allow this account to get configmaps n/m"):
        get(cluster)
    assert len(script.asked) == 2
    # What was refused twice is asked no third time.
    with pytest.raises(RefusedError):
        get(cluster)
    assert len(script.asked) == 3


@pytest.mark.parametrize("code", [408, 409, 410, 425])
def test_what_no_read_is_answered_with_is_asked_again(code):
    assert get(cluster_with(Script(status(code), OBJECT))) == OBJECT


def test_a_conflict_of_a_write_is_one_at_once():
    script = Script(status(409))
    with pytest.raises(ConflictError):
        cluster_with(script).create("v1", "configmaps", OBJECT)
    assert len(script.asked) == 1


def test_a_list_whose_next_page_is_gone_begins_anew_at_once(slept):
    page = {"items": [], "metadata": {"continue": "more"}}
    last = {"items": [{"metadata": {"name": "m"}}], "metadata": {}}
    assert cluster_with(Script(page, status(410), last)).list("v1", "configmaps") == last["items"]
    assert slept == []


def test_of_an_api_server_that_is_gone_the_next_thing_is_asked_once():
    script = Script(LOST)
    cluster = cluster_with(script)
    for asked in (4, 5, 6):
        with pytest.raises(MeteringError, match="can no longer be reached"):
            get(cluster)
        assert len(script.asked) == asked


def test_an_api_server_that_is_back_is_asked_as_often_as_ever():
    script = Script(LOST, LOST, LOST, LOST, OBJECT, LOST, LOST, OBJECT)
    cluster = cluster_with(script)
    with pytest.raises(MeteringError):
        get(cluster)
    assert [get(cluster), get(cluster)] == [OBJECT, OBJECT]


def test_a_refusal_of_one_of_several_api_servers_is_not_believed_later_either():
    assert get(cluster_with(Script(status(403), OBJECT), settled=True)) == OBJECT


def test_what_is_refused_of_another_kind_is_asked_for_again():
    script = Script(status(403))
    cluster = cluster_with(script, settled=True)
    for kind in ("configmaps", "secrets"):
        with pytest.raises(RefusedError):
            cluster.get("v1", kind, "n", "m")
    assert len(script.asked) == 4


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/api/v1/pods", ("", "pods")),
        ("/api/v1/namespaces/n", ("", "namespaces")),
        ("/api/v1/namespaces/n/pods/p:90/proxy/api/v1/query", ("n", "pods")),
        ("/apis/apps/v1/namespaces/n/deployments/d", ("n", "deployments")),
        ("/apis/apps/v1/deployments", ("", "deployments")),
        ("/apis", ("", "/apis")),
    ],
)
def test_what_a_role_has_to_allow_is_told_from_the_path(path, kind):
    assert _connection.kind_of("get", path) == ("get", *kind)


def test_where_nobody_may_ask_whether_it_is_ready_some_seconds_have_to_do(monkeypatch, slept):
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0] + sum(slept))
    with pytest.raises(RefusedError):
        get(cluster_with(Script(status(403), ready=status(403)), settled=False))
    assert _connection.STARTING_SECONDS <= sum(slept) <= _connection.STARTING_SECONDS + 2


def test_credentials_that_have_expired_are_read_again(monkeypatch):
    cluster = cluster_with(Script(status(401, "Unauthorized")))
    monkeypatch.setattr(cluster._connection, "_connected", lambda: Script(OBJECT))
    assert get(cluster) == OBJECT


def test_credentials_that_are_not_accepted_are_told_as_such(monkeypatch):
    cluster = cluster_with(Script(status(401, "Unauthorized")))
    monkeypatch.setattr(cluster._connection, "_connected", lambda: Script(status(401, "Unauthorized")))
    with pytest.raises(RefusedError, match=r"does not accept the credentials.*have expired.*Renew them"):
        get(cluster)


# -- writes whose answer was lost --------------------------------------------------------------------------------------

DONE = {"metadata": {"namespace": "n", "name": "m", "resourceVersion": "8"}, "spec": {"a": 2, "defaulted": True}}
CHANGE = {"metadata": {"resourceVersion": "7"}, "spec": {"a": 2}}
MERGE = "application/merge-patch+json"


def writes():
    """Each way to write the same change."""
    steps: list[dict[str, Any]] = [{"op": "test", "path": "/metadata/resourceVersion", "value": "7"}]
    steps += [{"op": "replace", "path": "/spec/a", "value": 2}, {"op": "remove", "path": "/spec/b"}]
    where = ("v1", "configmaps", OBJECT)
    return {
        "create": lambda cluster: cluster.create("v1", "configmaps", {**OBJECT, "spec": {"a": 2}}),
        "replace": lambda cluster: cluster.replace("v1", "configmaps", {**OBJECT, "spec": {"a": 2}}),
        "merge patch": lambda cluster: cluster.patch(*where, CHANGE, content_type=MERGE),
        "JSON patch": lambda cluster: cluster.patch(*where, steps, content_type="application/json-patch+json"),
    }


every_write = pytest.mark.parametrize("write", writes().values(), ids=writes())


@every_write
@pytest.mark.parametrize("end", [LOST, status(504), PAGE], ids=["no answer", "a proxy's 504", "a page"])
def test_a_write_that_was_carried_out_is_recognised(write, end):
    script = Script(PAGE, DONE) if end is PAGE else Script(end, status(409), DONE)
    assert write(cluster_with(script)) == DONE


@every_write
def test_a_write_that_was_not_carried_out_is_sent_again(write):
    assert write(cluster_with(Script(LOST, DONE))) == DONE


@every_write
def test_a_conflict_with_somebody_else_stays_one(write):
    others = {**DONE, "spec": {"a": 3}}
    with pytest.raises(ConflictError):
        write(cluster_with(Script(LOST, status(409), others)))
    with pytest.raises(ConflictError):
        write(cluster_with(Script(status(409), DONE)))


def test_of_containers_only_the_one_that_was_patched_is_compared():
    def deployment(args: str) -> dict[str, Any]:
        own, other = {"name": "controller", "args": [args], "image": "i"}, {"name": "other"}
        return {**OBJECT, "spec": {"template": {"spec": {"containers": [other, own]}}}}

    body = {
        "metadata": {"resourceVersion": "7", "annotations": {"gone": None}},
        "spec": {"template": {"spec": {"containers": [{"name": "controller", "args": ["new"]}]}}},
    }

    def patch(found: dict[str, Any]) -> dict[str, Any]:
        where = ("apps/v1", "deployments", OBJECT, body)
        found["metadata"] = {**found["metadata"], "annotations": {}}
        return cluster_with(Script(LOST, status(409), found)).patch(
            *where, content_type="application/strategic-merge-patch+json"
        )

    assert patch(deployment("new"))["spec"] == deployment("new")["spec"]
    with pytest.raises(ConflictError):
        patch(deployment("old"))


def test_a_removal_whose_answer_was_lost_is_done():
    cluster_with(Script(LOST, status(404))).delete("v1", "configmaps", {"metadata": {**OBJECT["metadata"], "uid": "u"}})


GONE = {"metadata": {**OBJECT["metadata"], "uid": "u"}}


def test_a_page_in_place_of_a_removal_is_not_believed():
    with pytest.raises(MeteringError, match="answered delete configmaps n/m with something that is not"):
        cluster_with(Script(PAGE, GONE)).delete("v1", "configmaps", GONE)
    cluster_with(Script(PAGE, status(404))).delete("v1", "configmaps", GONE)
    # Another of the same name is another.
    cluster_with(Script(PAGE, OBJECT)).delete("v1", "configmaps", GONE)


@pytest.mark.parametrize("text", ["0.001", "1"])
def test_however_often_somebody_asks_for_patience_it_ends(slept, text):
    script = Script(status(429, **{"Retry-After": text}))
    with pytest.raises(MeteringError, match="answered 429"):
        get(cluster_with(script))
    assert len(script.asked) < 130
    assert sum(slept) <= _connection.PATIENCE_SECONDS + 10


# -- before anything is asked ------------------------------------------------------------------------------------------


def test_a_certificate_that_nobody_has_signed_is_told_as_such():
    error = ApiException(status=0, reason="SSLError certificate verify failed: unable to get local issuer certificate")
    with pytest.raises(MeteringError, match=r"No secure connection.*certificate verify failed.*metering_ca_cert"):
        get(cluster_with(Script(DynamicApiError(error))))


@pytest.mark.parametrize(
    "text", ["", "a text", "[1, 2]", "kind: Config", "clusters: 7"], ids=["empty", "a text", "a list", "empty", "odd"]
)
def test_a_kubeconfig_that_is_none_is_named(tmp_path, monkeypatch, text):
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    path = tmp_path / "config"
    path.write_text(text)
    module = type("Module", (), {"params": {"kubeconfig": str(path)}})()
    with pytest.raises(MeteringError) as told:
        _connection.Connection(module)
    assert str(path) in told.value.found
    assert "Traceback" not in str(told.value)
    assert "traceback" not in str(told.value)


def test_a_kubeconfig_that_is_not_there_is_named(tmp_path):
    module = type("Module", (), {"params": {"kubeconfig": str(tmp_path / "none")}})()
    with pytest.raises(MeteringError, match=f"from {tmp_path}/none"):
        _connection.Connection(module)
