# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""In a pod: its own cluster is meant only if somebody says so."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from kubernetes.config import incluster_config

from ansible_collections.aigateway.metering.plugins.module_utils._errors import MeteringError
from ansible_collections.aigateway.metering.plugins.module_utils._kubernetes import credentials


@pytest.fixture
def in_a_pod(monkeypatch, tmp_path):
    """What Kubernetes gives each pod with a service account."""
    (tmp_path / "token").write_text("a-secret-word")
    (tmp_path / "ca.crt").write_text("an authority")
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(tmp_path / "ca.crt"))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "192.0.2.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    for name in ("KUBECONFIG", "CONTEXT", "HOST", "API_KEY", "USERNAME", "PASSWORD", "CERT_FILE", "KEY_FILE"):
        monkeypatch.delenv(f"K8S_AUTH_{name}", raising=False)


def refuse(**given):
    credentials.refuse_pod_credentials(SimpleNamespace(params=given))


@pytest.mark.usefixtures("in_a_pod")
@pytest.mark.parametrize(
    "given",
    [
        {},
        {"kubeconfig": ""},
        # kubernetes.core would send the pod's token to that address.
        {"host": "https://192.0.2.10:6443"},
        {"host": "https://192.0.2.10:6443", "username": "admin"},
        {"api_key": "a-token"},
    ],
    ids=lambda given: " ".join(given) or "nothing",
)
def test_what_does_not_say_which_cluster_is_refused(given):
    with pytest.raises(MeteringError) as caught:
        refuse(**given)
    assert "https://192.0.2.1:443" in caught.value.found
    assert "metering_in_cluster=true" in caught.value.advice
    assert "a-secret-word" not in str(caught.value)


@pytest.mark.usefixtures("in_a_pod")
@pytest.mark.parametrize(
    "given",
    [
        {"kubeconfig": "a-file"},
        {"context": "production"},
        {"host": "https://192.0.2.10:6443", "api_key": "a-token"},
        {"host": "https://192.0.2.10:6443", "username": "admin", "password": "a-word"},
        {"host": "https://192.0.2.10:6443", "client_cert": "a-file", "client_key": "another"},
    ],
    ids=" ".join,
)
def test_what_says_which_cluster_is_taken(given):
    refuse(**given)


@pytest.mark.usefixtures("in_a_pod")
def test_the_environment_says_it_too(monkeypatch):
    monkeypatch.setenv("K8S_AUTH_KUBECONFIG", "a-file")
    refuse()


def test_elsewhere_than_in_a_pod_the_default_kubeconfig_is_taken(monkeypatch):
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    refuse()
