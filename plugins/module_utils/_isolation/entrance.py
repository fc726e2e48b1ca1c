# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""The entrance to a Prometheus that shows each caller only the usage of the namespaces that it may read, as objects.

One pod with three containers, one after the other:

- kube-rbac-proxy ends TLS, has the API server say who the caller is, and asks it whether the caller may read the
  namespace that a header names. It lets only the paths of queries through.
- Envoy, listening on the pod's loopback only, refuses what prom-label-proxy gets wrong. It does not look into the
  parameter of an aggregation, as in `quantile(scalar(OTHERS), MINE)`, and nothing but the function scalar() makes the
  number that stands there out of series (seen with v0.11.1 and v0.14.0). And v0.11.1 writes quoted names in
  lists such as `on ("x) OTHERS #")` without their quotes, so that they are read as a part of the query.
- prom-label-proxy, on the loopback as well, adds the namespace to each other selector of the query.

Both proxies read the namespace from a header. As a parameter it could stand in the body of a request as well, which
prom-label-proxy reads and kube-rbac-proxy does not (v0.11.1, v0.19.1). The paths of label names and values are closed:
Prometheus reads selectors of a GET from a multipart body, which prom-label-proxy passes on as it is (v3.13.1).

Pure: no input or output, no Ansible, no clock.
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .. import _names
from .._errors import MeteringError, doc_of
from .._kubernetes.objects import Object, without_absent
from .query_filter import filter_configuration

HEADER = "X-Namespace"
PORT, HEALTH_PORT = 8443, 8643
# On the loopback: Envoy, and prom-label-proxy.
FILTER_PORT, LABEL_PORT = 8081, 8080
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
ABSENT_OF_POD = dict.fromkeys(
    ("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace", "initContainers", "hostAliases", "dnsConfig")
)
ABSENT_OF_CONTAINER = dict.fromkeys(
    ("command", "env", "envFrom", "lifecycle", "livenessProbe", "startupProbe", "volumeMounts", "ports")
)
# Where pods run, and who may pull their images, are a person's choices.
KEPT = ("nodeSelector", "tolerations", "affinity", "topologySpreadConstraints", "priorityClassName", "imagePullSecrets")
CERTIFICATE_ANNOTATION = f"{_names.MANAGED_BY}/certificate"
RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"


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
    filter_image: str
    label_image: str
    secret: str
    """The Secret with the certificate, in the same namespace."""
    certificate: str = ""
    """The certificate, where it is ours: pods that have an older one start again. kube-rbac-proxy reads others anew."""
    user: int | None = USER
    """The user that the containers run as; None where the platform gives them one."""

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
    """The objects of an entrance but for its certificate: what is needed first comes first.

    The ConfigMap, by which an entrance is found, is the very first.
    """
    return [
        _object(entrance, "v1", "ConfigMap", data=_configurations(entrance)),
        _object(entrance, "v1", "ServiceAccount", automountServiceAccountToken=False),
        *_roles(entrance),
        *([] if entrance.store.address else [_service_of_pods(entrance)]),
        _deployment(entrance),
        _service(entrance, [{"name": "https", "port": 443, "targetPort": "https"}], _selector(entrance)),
    ]


def leftovers(entrance: Entrance) -> list[Object]:
    """What an entrance of this name may have had with other settings, by kind and name, and does not have now."""
    own = dataclasses.replace(entrance, secret=secret_of(entrance.name))
    possible = [_reader(entrance), _service_of_pods(entrance), certificate_object(own, {})]
    wanted = [(item["kind"], item["metadata"]["name"]) for item in objects_of(entrance)]
    wanted.append(("Secret", entrance.secret))
    return [item for item in possible if (item["kind"], item["metadata"]["name"]) not in wanted]


def every_object(name: str, namespace: str) -> list[Object]:
    """All that an entrance of this name can have. Its ConfigMap, by which it is found, comes last."""
    entrance = Entrance(name, namespace, Upstream(pods={}), DEFAULT_RESOURCE, "", "", "", secret_of(name))
    first, *others = objects_of(entrance)
    return [*others, certificate_object(entrance, {}), first]


def secret_of(name: str) -> str:
    """The name of the Secret with a certificate of ours."""
    return f"{name}-tls"


def in_order(entrance: Entrance, secrets: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """All objects in the order in which they are written, with the certificate where it is ours."""
    first, *others = objects_of(entrance)
    return [first, *secrets, *others]


def as_found(document: dict[str, Any], found: Object | None) -> dict[str, Any]:
    """An object as it has to be, with what people may choose as they have chosen it, and nothing else added.

    Args:
        document: the object.
        found: what is in the cluster.
    """
    if found is None:
        return document
    if document["kind"] == "ConfigMap":
        others = {name: None for name in found.get("data") or {} if name not in document["data"]}
        return {**document, "data": {**document["data"], **others}}
    if document["kind"] != "Deployment":
        return document
    own = copy.deepcopy(document)
    template, there = own["spec"]["template"], found["spec"]["template"]
    template["spec"] |= {name: there["spec"][name] for name in KEPT if name in there["spec"]}
    restarted = ((there.get("metadata") or {}).get("annotations") or {}).get(RESTARTED_AT)
    if restarted:
        template["metadata"]["annotations"][RESTARTED_AT] = restarted
    if found["spec"].get("replicas") == 0:
        own["spec"]["replicas"] = 1
    return own


def started_again(document: dict[str, Any], moment: str) -> dict[str, Any]:
    """A Deployment whose pods start again.

    Args:
        document: the Deployment.
        moment: the present time (RFC 3339).
    """
    own = copy.deepcopy(document)
    own["spec"]["template"]["metadata"]["annotations"][RESTARTED_AT] = moment
    return own


def template_patch(document: Object) -> list[dict[str, Any]]:
    """A JSON patch that makes a Deployment's pods what they have to be, whatever else stands in them."""
    return [{"op": "replace", "path": "/spec/template", "value": without_absent(document["spec"]["template"])}]


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
            f"Set dashboard_isolation_resource to RESOURCE or RESOURCE.GROUP in lower case, as {DEFAULT_RESOURCE}.",
            doc_of("dashboard"),
        )
    return name, group


def _object(entrance: Entrance, api: str, kind: str, **content: Any) -> dict[str, Any]:
    metadata = {"name": entrance.name, "namespace": entrance.namespace, "labels": _labels(entrance)}
    return {"apiVersion": api, "kind": kind, "metadata": metadata, **content}


def _labels(entrance: Entrance) -> dict[str, str]:
    return {_names.MANAGED_BY_LABEL: _names.MANAGED_BY, **_selector(entrance)}


def selector_text(entrance: Entrance) -> str:
    """The labels of its pods, as the API server is asked for them."""
    return ",".join(f"{name}={value}" for name, value in _selector(entrance).items())


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


def _service(entrance: Entrance, ports: list[dict[str, Any]], selector: Mapping[str, str]) -> dict[str, Any]:
    closed = {"type": "ClusterIP", "externalIPs": None, "loadBalancerSourceRanges": None}
    return _object(entrance, "v1", "Service", spec={"selector": dict(selector), "ports": ports, **closed})


def _service_of_pods(entrance: Entrance) -> dict[str, Any]:
    """A Service for the pods of one Prometheus: the operator's own has those of every Prometheus of its namespace."""
    port = entrance.store.port or 9090
    document = _service(entrance, [{"name": "http", "port": port, "targetPort": port}], entrance.store.pods or {})
    document["metadata"]["name"] = f"{entrance.name}-store"
    # The replicas' samples differ a little: one of them answers all the time.
    document["spec"]["sessionAffinity"] = "ClientIP"
    return document


def _configurations(entrance: Entrance) -> dict[str, str]:
    return {"config.json": _configuration(entrance), "envoy.json": filter_configuration(FILTER_PORT, LABEL_PORT)}


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
            "paused": None,
            "template": {
                "metadata": {
                    "labels": _selector(entrance),
                    "annotations": {
                        f"{_names.MANAGED_BY}/configuration": _digest(json.dumps(_configurations(entrance))),
                        CERTIFICATE_ANNOTATION: _digest(entrance.certificate),
                    },
                },
                "spec": {
                    **ABSENT_OF_POD,
                    "serviceAccountName": entrance.name,
                    "automountServiceAccountToken": False,
                    "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
                    "containers": [_rbac_proxy(entrance), _query_filter(entrance), _label_proxy(entrance)],
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
        **_container(entrance, "kube-rbac-proxy", entrance.rbac_image),
        "args": [
            f"--secure-listen-address=:{PORT}",
            f"--proxy-endpoints-port={HEALTH_PORT}",
            f"--upstream=http://127.0.0.1:{FILTER_PORT}/",
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


def _query_filter(entrance: Entrance) -> dict[str, Any]:
    return {
        **_container(entrance, "query-filter", entrance.filter_image),
        # Envoy's images differ in what they start.
        "command": ["/usr/local/bin/envoy"],
        "args": [
            "--config-path",
            "/etc/query-filter/envoy.json",
            "--disable-hot-restart",
            "--concurrency",
            "1",
            "--log-level",
            "warning",
        ],
        "volumeMounts": [{"name": "configuration", "mountPath": "/etc/query-filter", "readOnly": True}],
    }


def _label_proxy(entrance: Entrance) -> dict[str, Any]:
    return {
        **_container(entrance, "prom-label-proxy", entrance.label_image),
        "args": [
            f"-insecure-listen-address=127.0.0.1:{LABEL_PORT}",
            f"-upstream={entrance.upstream}",
            f"-label={_names.REQUIRED_PAIR[1]}",
            f"-header-name={HEADER}",
            # Who asks for another namespace is told so, and is not shown his own under its name.
            "-error-on-replace",
        ],
    }


def _container(entrance: Entrance, name: str, image: str) -> dict[str, Any]:
    return {
        **ABSENT_OF_CONTAINER,
        "name": name,
        "image": image,
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}},
        "securityContext": {
            "privileged": None,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
            **({} if entrance.user is None else {"runAsUser": entrance.user}),
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
