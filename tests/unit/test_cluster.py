# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the API server, or who is behind it, does on no demand: it hangs."""

from __future__ import annotations

from typing import Any

import pytest
from kubernetes.client.exceptions import ApiException
from kubernetes.dynamic.exceptions import DynamicApiError
from urllib3.exceptions import ReadTimeoutError

from ansible_collections.aigateway.metering.plugins.module_utils import _cluster
from ansible_collections.aigateway.metering.plugins.module_utils._errors import MeteringError


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
def hanging(monkeypatch: pytest.MonkeyPatch) -> tuple[_cluster.Cluster, Hanging]:
    monkeypatch.setattr("time.sleep", lambda dummy: None)
    cluster, client = object.__new__(_cluster.Cluster), Hanging()
    cluster._client, cluster.server = client, "https://api"
    return cluster, client


def test_who_hangs_behind_the_api_server_is_named_and_not_the_api_server(hanging):
    cluster, dummy = hanging
    with pytest.raises(
        MeteringError, match=r"^monitoring/p:9090 does not answer /api/v1/targets, 2 times within 15 s\."
    ):
        cluster.proxied("monitoring", "p", 9090, "/api/v1/targets")


def test_who_hangs_behind_the_api_server_is_not_waited_for_long(hanging):
    cluster, client = hanging
    with pytest.raises(MeteringError):
        cluster.proxied("monitoring", "p", 9090, "/api/v1/targets")
    assert client.allowed == [15, 15]


def test_an_api_server_that_hangs_is_named(hanging):
    cluster, client = hanging
    with pytest.raises(MeteringError, match="The API server https://api cannot be reached any more"):
        cluster.get("v1", "configmaps", "ns", "name")
    assert client.allowed == [60, 60, 60, 60]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        pytest.param(b'{"status": "error", "error": "no store matches"}', "no store matches", id="of Prometheus's API"),
        pytest.param(b'{"kind": "Status", "message": "quota exceeded"}', "quota exceeded", id="the API server's own"),
        pytest.param(b"<html>", "Unprocessable Entity", id="none that can be read"),
        pytest.param(b"{}", "Unprocessable Entity", id="none at all"),
    ],
)
def test_whoever_refuses_says_why_in_its_own_words(monkeypatch, body, said):
    class Refusing:
        def request(self, *dummy: Any, **options: Any) -> None:
            del options
            error = ApiException(status=422, reason="Unprocessable Entity")
            error.body = body
            raise DynamicApiError(error)

    cluster = object.__new__(_cluster.Cluster)
    monkeypatch.setattr(cluster, "_client", Refusing(), raising=False)
    monkeypatch.setattr(cluster, "server", "https://api", raising=False)
    with pytest.raises(MeteringError, match=f"answered 422 .*: {said}"):
        cluster.service("monitoring/thanos-query:9090", "/api/v1/query", [], 15)
