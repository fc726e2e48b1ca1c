"""What is installed on a cluster: the gateway with its charts, the monitoring stack, the teams."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from string import Template

import yaml

from . import binaries, images, tenants
from .cluster import NODE_PORTS
from .kube import Kubectl
from .progress import StandError, Step, step, wait_until
from .settings import CACHE, GATEWAY_VERSIONS, GENERATION, STAND, VERSIONS, kubeconfig

GATEWAY_NAMESPACE = "envoy-gateway-system"
MONITORING_NAMESPACE = "cpaas-system"
# The pairs the platform ships in the controller's one flag.
PLATFORM_MAPPING = "x-user-name:user,x-user-namespace:user_namespace,x-access-meta:client_id"
MANIFESTS = STAND / "manifests"


def install(cluster: str) -> None:
    """Bring a cluster to the platform's state; what is there already is left as it is."""
    kubectl = Kubectl(cluster)
    ai_gateway = binaries.module_directory("github.com/envoyproxy/ai-gateway")
    envoy_gateway = binaries.module_directory("github.com/envoyproxy/gateway")
    install_monitoring(cluster)
    with step(f"gateway on {cluster}") as current:
        charts = ai_gateway / "manifests" / "charts"
        _helm(current, cluster, "ai-gateway-crds", charts / "ai-gateway-crds-helm", "ai_gateway", {})
        values = _envoy_gateway_values(ai_gateway)
        _helm(current, cluster, "envoy-gateway", envoy_gateway / "charts" / "gateway-helm", "envoy_gateway", values)
        install_ai_gateway(current, cluster)
        kubectl.rollout(current, GATEWAY_NAMESPACE, "deployment/envoy-gateway", "deployment/ai-gateway-controller")
    with step(f"teams on {cluster}") as current:
        kubectl.apply_text(current, render("20-upstream.yaml", {"python_image": images.PYTHON}))
        program = (STAND / "upstream" / "upstream.py").read_text()
        kubectl.apply_object(
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": "upstream", "namespace": "upstream"},
                "data": {"upstream.py": program},
            },
        )
        kubectl.apply_text(current, render("30-gatewayclass.yaml", {}))
        jwks = tenants.signing_key(kubectl).jwks()
        for team in tenants.TEAMS:
            kubectl.apply_text(
                current,
                render(
                    "40-team.yaml",
                    {
                        "team": team.namespace,
                        "gateway": team.gateway,
                        "replicas": str(team.replicas),
                        "node_port": str(NODE_PORTS[team.gateway]),
                        "envoy_image": images.ENVOY,
                        "jwks": jwks,
                    },
                ),
            )
    with step(f"everything ready on {cluster}") as current:
        for team in tenants.TEAMS:
            kubectl.wait(current, team.namespace, "Programmed", f"gateway/{team.gateway}")
            kubectl.wait(current, team.namespace, "Accepted", "aigatewayroute/models")
        kubectl.rollout(current, "upstream", "deployment/upstream")
        kubectl.rollout(current, MONITORING_NAMESPACE, "deployment/prometheus-operator")
        kubectl.wait(current, MONITORING_NAMESPACE, "Available", "prometheus/kube-prometheus-0")
        # A proxy that began before the webhook was there has no sidecar, and is rolled for that a moment later.
        wait_until("every proxy to have its sidecar", lambda: _all_have_sidecars(kubectl), 120)
        proxies = kubectl.get("deployments", GATEWAY_NAMESPACE, labels="app.kubernetes.io/component=proxy")
        kubectl.rollout(
            current,
            GATEWAY_NAMESPACE,
            *(f"deployment/{item['metadata']['name']}" for item in proxies),
        )


def _all_have_sidecars(kubectl: Kubectl) -> bool:
    pods = kubectl.get("pods", GATEWAY_NAMESPACE, labels="app.kubernetes.io/component=proxy")
    named = [{item["name"] for item in pod["spec"].get("initContainers", ())} for pod in pods]
    return bool(named) and all("ai-gateway-extproc" in names for names in named)


def install_monitoring(cluster: str) -> None:
    """The operator with its kinds, a Prometheus as the platform names it, and the kind of the platform's dashboards."""
    kubectl = Kubectl(cluster)
    operator = binaries.module_directory("github.com/prometheus-operator/prometheus-operator")
    substitutions = {
        "prometheus_operator_image": images.PROMETHEUS_OPERATOR,
        "config_reloader_image": images.CONFIG_RELOADER,
        "prometheus_image": images.PROMETHEUS,
        "prometheus_version": VERSIONS["prometheus"],
    }
    with step(f"monitoring on {cluster}") as current:
        kubectl.apply(current, operator / "example" / "prometheus-operator-crd")
        kubectl.apply_text(current, render("00-monitordashboard-crd.yaml", {}))
        kubectl.apply_text(current, render("10-monitoring.yaml", substitutions))


def _envoy_gateway_values(ai_gateway: Path) -> dict:
    """The values that the AI gateway publishes for Envoy Gateway (hooks, extension APIs), with our namespace."""
    published = yaml.safe_load((ai_gateway / "manifests" / "envoy-gateway-values.yaml").read_text())
    service = published["config"]["envoyGateway"]["extensionManager"]["service"]["fqdn"]
    service["hostname"] = f"ai-gateway-controller.{GATEWAY_NAMESPACE}.svc.cluster.local"
    published["deployment"] = {"envoyGateway": {"resources": {"requests": {"cpu": "10m"}}}}
    return published


def render(name: str, substitutions: dict[str, str]) -> str:
    """A manifest with its ${variables} filled in."""
    return Template((MANIFESTS / name).read_text()).substitute(substitutions)


def ai_gateway_chart(current: Step, directory: Path) -> Path:
    """The AI gateway's chart as an archive in a directory."""
    charts = binaries.module_directory("github.com/envoyproxy/ai-gateway") / "manifests" / "charts"
    return _archive(current, charts / "ai-gateway-helm", "ai_gateway", directory)


def install_ai_gateway(current: Step, cluster: str) -> None:
    """Install the AI gateway's controller as the platform ships it, or bring its release back to that."""
    with tempfile.TemporaryDirectory() as temporary:
        archive = ai_gateway_chart(current, Path(temporary))
        values = {
            "controller": {"metricsRequestHeaderAttributes": PLATFORM_MAPPING},
            # Nothing to do with metering: whoever upgrades the release has to keep it.
            "extProc": {"logLevel": "warn"},
        }
        _upgrade(current, cluster, "ai-gateway", archive, values)


def _helm(current: Step, cluster: str, release: str, chart: Path, program: str, values: dict) -> None:
    """Install or upgrade one chart under its released version."""
    with tempfile.TemporaryDirectory() as temporary:
        _upgrade(current, cluster, release, _archive(current, chart, program, Path(temporary)), values)


def _archive(current: Step, chart: Path, program: str, directory: Path) -> Path:
    """A chart as an archive: out of a Go module's source, or for another generation as it was published."""
    version = GATEWAY_VERSIONS[program]
    if not GENERATION:
        return _packaged(current, chart, version, directory)
    archive = CACHE / "charts" / f"{chart.name}-{version}.tgz"
    if not archive.exists():
        source = f"oci://docker.io/envoyproxy/{chart.name}"
        try:
            current.run(
                [binaries.tool("helm"), "pull", source, "--version", version, "--destination", str(archive.parent)]
            )
        except StandError as error:
            raise StandError(
                f"GENERATION is {GENERATION}, and its chart {source} {version} cannot be pulled, nor is it at {archive}"
            ) from error
    return archive


def _packaged(current: Step, chart: Path, version: str, directory: Path) -> Path:
    """A chart out of a Go module's source as an archive, its values' template filled in."""
    copy = directory / "source" / chart.name
    shutil.copytree(chart, copy, copy_function=shutil.copyfile)
    for inner in [copy, *(path for path in copy.rglob("*") if path.is_dir())]:
        inner.chmod(0o755)
    template = copy / "values.tmpl.yaml"
    if template.exists():
        filled = Template(template.read_text()).safe_substitute(
            GatewayImage=images.ENVOY_GATEWAY, GatewayImagePullPolicy="IfNotPresent"
        )
        (copy / "values.yaml").write_text(filled)
    versions = ["--version", version, "--app-version", version]
    current.run([binaries.tool("helm"), "package", copy, "--destination", directory, *versions])
    (archive,) = directory.glob("*.tgz")
    return archive


def _upgrade(current: Step, cluster: str, release: str, archive: Path, values: dict) -> None:
    current.run(
        [binaries.tool("helm"), "upgrade", "--install", release, str(archive), "--kubeconfig", str(kubeconfig(cluster))]
        + ["--namespace", GATEWAY_NAMESPACE, "--create-namespace", "--values", "-"],
        stdin=yaml.safe_dump(values),
    )
