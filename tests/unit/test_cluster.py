# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the API server, or who is behind it, does on no demand: it hangs."""

from __future__ import annotations

from typing import Any

import pytest
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
