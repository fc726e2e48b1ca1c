# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""The entrance to a Prometheus that shows each caller only the usage of the namespaces that it may read, as objects.

One pod with two containers. kube-rbac-proxy ends TLS, has the API server say who the caller is, and asks it whether the
caller may read the namespace that a header names. prom-label-proxy, which listens on the pod's loopback only, adds
that namespace to each selector of the query.

Both read the namespace from a header. As a parameter it could stand in the body of a request as well, which
prom-label-proxy reads and kube-rbac-proxy does not (seen with v0.11.1 and v0.19.1).

Only the paths of queries are let through. The paths of label names and values are not: Prometheus reads selectors of a
GET from a multipart body, which prom-label-proxy passes on as it is (seen with v0.11.1 and Prometheus v3.13.1).

Pure: no input or output, no Ansible, no clock.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .. import _names
from .._errors import MeteringError
from .._kubernetes.objects import Object

HEADER = "X-Namespace"
PORT, HEALTH_PORT, LOOPBACK_PORT = 8443, 8643, 8080
PATHS = ("/api/v1/query", "/api/v1/query_range")
# A resource that no API server serves: a role grants it all the same, and grants nothing else with it.
GROUP, RESOURCE = "aigateway.metering", "tokenusages"
DEFAULT_RESOURCE = f"{RESOURCE}.{GROUP}"
COMPONENT_LABEL, COMPONENT = "app.kubernetes.io/component", "query-entrance"
OF_ENTRANCES = {COMPONENT_LABEL: COMPONENT}
NAME_LABEL = "app.kubernetes.io/name"
RBAC = "rbac.authorization.k8s.io"
# Neither container's image has a user that Kubernetes could tell from root.
USER = 65532
# By what somebody else could reach the loopback, or have a container run something else.
ABSENT_OF_POD = dict.fromkeys(("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace", "initContainers"))
ABSENT_OF_CONTAINER = dict.fromkeys(("command", "env", "envFrom", "lifecycle"))


@dataclass(frozen=True)
class Upstream:
    """What is asked for series."""

    address: str = ""
    """Its address; empty where its pods are known."""
    pods: Mapping[str, str] | None = None
    """The labels of its pods."""
    port: int = 0
    prefix: str = ""


@dataclass(frozen=True)
class Entrance:
    """What an entrance is made of."""

    name: str
    namespace: str
    store: Upstream
    resource: str
    """What a caller has to be allowed to get in a namespace: `resource` or `resource.group`."""
    rbac_image: str
    label_image: str
    secret: str
    """The Secret with the certificate, in the same namespace."""
    certificate: str = ""
    """The certificate, where it is ours: pods that have an older one start again. kube-rbac-proxy reads others anew."""

    @property
    def hosts(self) -> list[str]:
        """The names by which the entrance is reached within the cluster."""
        names = [self.name, f"{self.name}.{self.namespace}", f"{self.name}.{self.namespace}.svc"]
        return [*names, f"{names[-1]}.cluster.local"]

    @property
    def url(self) -> str:
        return f"https://{self.name}.{self.namespace}.svc"

    @property
    def upstream(self) -> str:
        """The address that prom-label-proxy asks."""
        own = f"http://{self.name}-store.{self.namespace}.svc:{self.store.port}{self.store.prefix}"
        return self.store.address or own

    @property
    def cluster_name(self) -> str:
        """The name of what has no namespace."""
        return f"{self.namespace}:{self.name}"


def objects_of(entrance: Entrance) -> list[dict[str, Any]]:
    """The objects of an entrance but for its certificate: what is needed first comes first."""
    return [
        _object(entrance, "v1", "ServiceAccount", automountServiceAccountToken=False),
        *_roles(entrance),
        _object(entrance, "v1", "ConfigMap", data={"config.json": _configuration(entrance)}),
        *_store_service(entrance),
        _deployment(entrance),
        _object(
            entrance,
            "v1",
            "Service",
            spec={"selector": _selector(entrance), "ports": [{"name": "https", "port": 443, "targetPort": "https"}]},
        ),
    ]


def leftovers(entrance: Entrance) -> list[Object]:
    """What an entrance of this name may have had with other settings, by kind and name, and does not have now."""
    possible = [_reader(entrance), _service_of_pods(entrance)]
    wanted = [(item["kind"], item["metadata"]["name"]) for item in objects_of(entrance)]
    return [item for item in possible if (item["kind"], item["metadata"]["name"]) not in wanted]


def every_object(name: str, namespace: str) -> list[Object]:
    """All that an entrance of this name can have. Its Deployment, by which it is found, comes last."""
    entrance = Entrance(name, namespace, Upstream(pods={}), DEFAULT_RESOURCE, "", "", f"{name}-tls")
    found = [*objects_of(entrance), certificate_object(entrance, {})]
    return sorted(found, key=lambda item: str(item["kind"]) == "Deployment")


def certificate_object(entrance: Entrance, data: Mapping[str, str]) -> dict[str, Any]:
    """The Secret with a certificate of ours.

    Args:
        entrance: the entrance.
        data: its values by key, in base64.
    """
    document = _object(entrance, "v1", "Secret", type="kubernetes.io/tls", data=dict(data))
    document["metadata"]["name"] = entrance.secret
    return document


def resource_parts(resource: str) -> tuple[str, str]:
    """A resource and its group, of `resource` or `resource.group`.

    Raises:
        MeteringError: it is neither.
    """
    name, dummy, group = resource.partition(".")
    if not name.replace("-", "").isalnum() or name != name.lower() or (dummy and not group):
        raise MeteringError(
            f"dashboard_isolation_resource is {resource!r}, which names no resource.",
            "A caller has to be allowed to get it in a namespace, to read the usage of that namespace.",
            f"set dashboard_isolation_resource to RESOURCE or RESOURCE.GROUP in lower case, as {DEFAULT_RESOURCE}",
        )
    return name, group


def _object(entrance: Entrance, api: str, kind: str, **content: Any) -> dict[str, Any]:
    metadata = {"name": entrance.name, "namespace": entrance.namespace, "labels": _labels(entrance)}
    return {"apiVersion": api, "kind": kind, "metadata": metadata, **content}


def _labels(entrance: Entrance) -> dict[str, str]:
    return {_names.MANAGED_BY_LABEL: _names.MANAGED_BY, **_selector(entrance)}


def _selector(entrance: Entrance) -> dict[str, str]:
    return {NAME_LABEL: entrance.name, COMPONENT_LABEL: COMPONENT}


def _roles(entrance: Entrance) -> list[dict[str, Any]]:
    """The permission to ask the API server about callers; and the one to read usage, as a part of the role `view`."""
    account = {"kind": "ServiceAccount", "name": entrance.name, "namespace": entrance.namespace}
    role = {"apiGroup": RBAC, "kind": "ClusterRole", "name": "system:auth-delegator"}
    binding = {
        "apiVersion": f"{RBAC}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": entrance.cluster_name, "labels": _labels(entrance)},
        "roleRef": role,
        "subjects": [account],
    }
    return [binding, *([_reader(entrance)] if entrance.resource == DEFAULT_RESOURCE else [])]


def _reader(entrance: Entrance) -> dict[str, Any]:
    # kube-rbac-proxy takes a POST for the verb create: Grafana sends long queries so.
    rule = {"apiGroups": [GROUP], "resources": [RESOURCE], "verbs": ["get", "create"]}
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": "ClusterRole",
        "metadata": {
            "name": f"{entrance.cluster_name}:reader",
            "labels": {**_labels(entrance), f"{RBAC}/aggregate-to-view": "true"},
        },
        "aggregationRule": None,
        "rules": [rule],
    }


def _store_service(entrance: Entrance) -> list[dict[str, Any]]:
    return [] if entrance.store.address else [_service_of_pods(entrance)]


def _service_of_pods(entrance: Entrance) -> dict[str, Any]:
    """A Service for the pods of one Prometheus: the operator's own has those of every Prometheus of its namespace."""
    port = entrance.store.port or 9090
    ports = [{"name": "http", "port": port, "targetPort": port}]
    document = _object(entrance, "v1", "Service", spec={"selector": dict(entrance.store.pods or {}), "ports": ports})
    document["metadata"]["name"] = f"{entrance.name}-store"
    return document


def _configuration(entrance: Entrance) -> str:
    """What kube-rbac-proxy has to ask the API server; YAML reads JSON."""
    resource, group = resource_parts(entrance.resource)
    authorization = {
        "rewrites": {"byHttpHeader": {"name": HEADER}},
        "resourceAttributes": {"apiGroup": group, "resource": resource, "namespace": "{{ .Value }}"},
    }
    return json.dumps({"authorization": authorization}, indent=2, sort_keys=True) + "\n"


def _deployment(entrance: Entrance) -> dict[str, Any]:
    return _object(
        entrance,
        "apps/v1",
        "Deployment",
        spec={
            "selector": {"matchLabels": _selector(entrance)},
            "template": {
                "metadata": {
                    "labels": _selector(entrance),
                    "annotations": {
                        f"{_names.MANAGED_BY}/configuration": _digest(_configuration(entrance)),
                        f"{_names.MANAGED_BY}/certificate": _digest(entrance.certificate),
                    },
                },
                "spec": {
                    **ABSENT_OF_POD,
                    "serviceAccountName": entrance.name,
                    "automountServiceAccountToken": False,
                    "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
                    "containers": [_rbac_proxy(entrance), _label_proxy(entrance)],
                    "volumes": _volumes(entrance),
                },
            },
        },
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _rbac_proxy(entrance: Entrance) -> dict[str, Any]:
    health = {"path": "/healthz", "port": HEALTH_PORT, "scheme": "HTTPS"}
    return {
        **_container("kube-rbac-proxy", entrance.rbac_image),
        "args": [
            f"--secure-listen-address=:{PORT}",
            f"--proxy-endpoints-port={HEALTH_PORT}",
            f"--upstream=http://127.0.0.1:{LOOPBACK_PORT}/",
            "--config-file=/etc/kube-rbac-proxy/config.json",
            "--tls-cert-file=/etc/tls/private/tls.crt",
            "--tls-private-key-file=/etc/tls/private/tls.key",
            f"--allow-paths={','.join(PATHS)}",
        ],
        "ports": [{"name": "https", "containerPort": PORT}],
        "readinessProbe": {"httpGet": health},
        "volumeMounts": [
            {"name": "configuration", "mountPath": "/etc/kube-rbac-proxy", "readOnly": True},
            {"name": "certificate", "mountPath": "/etc/tls/private", "readOnly": True},
            # Only here: the other container reads what callers have written.
            {"name": "token", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "readOnly": True},
        ],
    }


def _label_proxy(entrance: Entrance) -> dict[str, Any]:
    return {
        **_container("prom-label-proxy", entrance.label_image),
        "args": [
            f"-insecure-listen-address=127.0.0.1:{LOOPBACK_PORT}",
            f"-upstream={entrance.upstream}",
            f"-label={_names.REQUIRED_PAIR[1]}",
            f"-header-name={HEADER}",
            # Who asks for another namespace is told so, and is not shown his own under its name.
            "-error-on-replace",
        ],
    }


def _container(name: str, image: str) -> dict[str, Any]:
    return {
        **ABSENT_OF_CONTAINER,
        "name": name,
        "image": image,
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
            "runAsUser": USER,
        },
    }


def _volumes(entrance: Entrance) -> list[dict[str, Any]]:
    authority = {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}
    namespace = {"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}
    token = [
        {"serviceAccountToken": {"path": "token", "expirationSeconds": 3600}},
        {"configMap": authority},
        {"downwardAPI": {"items": [namespace]}},
    ]
    return [
        {"name": "configuration", "configMap": {"name": entrance.name}},
        {"name": "certificate", "secret": {"secretName": entrance.secret}},
        {"name": "token", "projected": {"sources": token}},
    ]
