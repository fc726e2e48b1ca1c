# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the stand says of the versions that it raises."""

from __future__ import annotations

import pathlib
import re

import pytest
import yaml
from standlib import images
from standlib.progress import StandError

STAND = pathlib.Path(__file__).parents[1] / "stand"
VERSIONS = yaml.safe_load((STAND / "versions.yml").read_text(encoding="utf-8"))
GO_MOD = (STAND / "images" / "go" / "go.mod").read_text(encoding="utf-8")
REQUIRED = dict(re.findall(r"^(?:require)?\s+(\S+) (v\S+)", GO_MOD, re.MULTILINE))
REPLACED = {
    module: (by, version)
    for module, by, version in re.findall(r"^(?:replace)?\s+(\S+) => (\S+) (\S+)", GO_MOD, re.MULTILINE)
}


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("kubernetes", "k8s.io/kubernetes"),
        ("etcd", "go.etcd.io/etcd/server/v3"),
        ("coredns", "github.com/coredns/coredns"),
        ("kind", "sigs.k8s.io/kind"),
        ("helm", "helm.sh/helm/v3"),
        ("ai_gateway", "github.com/envoyproxy/ai-gateway"),
        ("envoy_gateway", "github.com/envoyproxy/gateway"),
        ("prometheus_operator", "github.com/prometheus-operator/prometheus-operator"),
    ],
)
def test_a_module_has_the_version_of_the_stand(name, module):
    assert REQUIRED[module] == VERSIONS[name]


def test_prometheus_has_the_version_of_the_stand():
    """Prometheus v3.X.Y is the module's v0.3XX.Y."""
    [(minor, patch)] = re.findall(r"\Av3\.(\d+)\.(\d+)\Z", VERSIONS["prometheus"])
    assert REQUIRED["github.com/prometheus/prometheus"] == f"v0.3{int(minor):02}.{patch}"


@pytest.mark.parametrize("module", sorted(module for module in REPLACED if module.startswith("k8s.io/")))
def test_a_staging_module_is_replaced_by_the_kubernetes_libraries(module):
    assert REPLACED[module] == (module, VERSIONS["kubernetes_libraries"])


def test_every_module_without_a_version_of_its_own_is_replaced():
    assert [name for name, version in REQUIRED.items() if version == "v0.0.0" and name not in REPLACED] == []


def test_the_kubernetes_libraries_belong_to_the_kubernetes():
    assert VERSIONS["kubernetes_libraries"] == re.sub(r"^v1\.", "v0.", VERSIONS["kubernetes"])


def test_the_modules_ask_for_the_go_of_the_stand():
    assert re.findall(r"^go (\S+)$", GO_MOD, re.MULTILINE) == [str(VERSIONS["go"])]


# -- other generations of the gateway ----------------------------------------------------------------------------------

GENERATIONS = yaml.safe_load((STAND / "generations.yml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", GENERATIONS)
def test_a_generation_is_that_of_its_gateway_and_says_all_its_versions(name):
    assert set(GENERATIONS[name]) == {"ai_gateway", "envoy_gateway", "envoy"}
    assert GENERATIONS[name]["ai_gateway"].startswith(f"{name}.")


def test_images_of_a_generation_that_are_nowhere_are_named(monkeypatch):
    monkeypatch.setattr(images, "GENERATION", "v0.4")
    monkeypatch.setattr(images, "_inspect", lambda dummy: None)
    monkeypatch.setattr(images, "_pull", lambda dummy: False)
    with pytest.raises(StandError, match=r"GENERATION is v0\.4.*ai-gateway-controller.*unset GENERATION"):
        images._require_published()


def test_an_image_of_its_name_that_was_built_here_is_none_of_a_generation(monkeypatch):
    pulled: list[str] = []

    def pull(references):
        pulled.extend(references)
        return True

    monkeypatch.setattr(images, "GENERATION", "v0.4")
    monkeypatch.setattr(images, "_inspect", lambda dummy: {"Config": {"Labels": {images.KEY_LABEL: "built"}}})
    monkeypatch.setattr(images, "_pull", pull)
    images._require_published()
    assert pulled == [image.reference for image in images.GATEWAY]
