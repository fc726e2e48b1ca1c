# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""Every name of the gateway, of Kubernetes and of Prometheus that the collection relies on, in one place; those that
differ between generations of the gateway stand in the table of _generations.py.

Sources: envoyproxy/ai-gateway v1.0.0 (internal/internalapi, internal/controller/gateway_mutator.go,
manifests/charts), envoyproxy/gateway v1.8.1, prometheus-operator v0.93.0.
"""

from __future__ import annotations

import re

from . import _generations

# --- ours -----------------------------------------------------------------------------------------------------------
MANAGED_BY_LABEL = "app.kubernetes.io/managed-by"
# Which of our dashboards an object is.
DASHBOARD_LABEL = "aigateway.metering/dashboard"
DASHBOARD_KEYS = ("platform", "team")
MANAGED_BY = "aigateway.metering"
POD_MONITOR_NAME = "ai-gateway-metrics"
# On the controller's Deployment, not on its template: they restart nothing. What we added, what we took out again (so
# that a stale sidecar does not bring it back), and the mapping as we left it (so that a pair that vanished is missed).
ADDED_ANNOTATION = "aigateway.metering/added-pairs"
REMOVED_ANNOTATION = "aigateway.metering/removed-pairs"
MAPPING_ANNOTATION = "aigateway.metering/mapping"

# --- the gateway ----------------------------------------------------------------------------------------------------
SIDECAR = "ai-gateway-extproc"
# From v0.6 on; what it maps reaches metrics, spans and logs alike.
BASE_FLAG = _generations.TABLE[-1].base_flag
# Of all the controller's flags the one that every generation renders: it tells a controller from other Deployments.
CONTROLLER_FLAG = "extProcImage"
CONTROLLER_LABELS = "app.kubernetes.io/name=ai-gateway-helm"
ADMIN_PORT = 1064
METRICS_PATH = "/metrics"
# v1.1 writes a hash of the sidecar's inputs there, so that a changed flag rolls the proxies by itself
# (envoyproxy/ai-gateway#2427). Where the annotation is absent nobody rolls them (#2395).
SELF_ROLL_ANNOTATION = "aigateway.envoyproxy.io/extproc-config-hash"
RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"
HELM_RELEASE_ANNOTATION = "meta.helm.sh/release-name"
HELM_NAMESPACE_ANNOTATION = "meta.helm.sh/release-namespace"
HELM_FIELD_MANAGER = "helm"
PROXY_LABELS = "app.kubernetes.io/managed-by=envoy-gateway,app.kubernetes.io/component=proxy"
GATEWAY_NAME_LABEL = "gateway.envoyproxy.io/owning-gateway-name"
GATEWAY_NAMESPACE_LABEL = "gateway.envoyproxy.io/owning-gateway-namespace"
# Of the shutdown manager in a proxy pod, by EnvoyProxy's spec.shutdown.minDrainDuration.
MIN_DRAIN_FLAG = "min-drain-duration"
AI_GATEWAY_GROUP = "aigateway.envoyproxy.io"
ENVOY_GATEWAY_API = "gateway.envoyproxy.io/v1alpha1"
ENVOY_GATEWAY_CONFIG = "envoy-gateway-config"

# --- identity -------------------------------------------------------------------------------------------------------
REQUIRED_PAIR = ("x-user-namespace", "user_namespace")
DEPARTMENT_LABEL = "department"
DEFAULT_PAIRS = "x-user-namespace:user_namespace,x-user-group:department"
# One series for each user x model x token type x pod: such a label is added only on an explicit word.
PER_USER_HEADERS = frozenset({"x-user-id", "x-user-name", "x-user-email"})
PER_USER_LABELS = frozenset({"user", "user_id", "user_name", "username", "user_email", "email"})

# Envoy's claim_to_headers writes an array claim as base64 of its JSON text (seen with Envoy 1.38.3; its documentation
# speaks of scalar claims only). What the text begins with tells the first letters of the value: `["`, `[-`, a number,
# `[[`, `[{`, true, false, null. It ends with `]`, and so the value with one of three endings. An empty array without
# padding would be `W10`, which is a name as well.
ENCODED_ARRAY_PATTERN = "W(y[I-L0]|z[ABEFIJMNQRUVYZcdghkl]|1[st]|3[stR]|2[5Z])[A-Za-z0-9+/_-]*(d|0=?|XQ(==)?)|W10="

# --- metrics --------------------------------------------------------------------------------------------------------
# A target's own labels: Prometheus renames a scraped label of that name to exported_<name>.
TARGET_LABELS = frozenset({"job", "instance", "namespace", "pod", "container", "endpoint"})
# What a scrape commonly adds to a series.
SCRAPE_LABELS = (*sorted(TARGET_LABELS), "service", "prometheus", "prometheus_replica")
# Labels that the gateway sets itself; a mapped label of that name would override it.
BUILT_IN_LABEL_PREFIXES = ("gen_ai_", "otel_")
BUILT_IN_LABELS = frozenset({"error_type", "le"})
# As exposed, in every generation: dotted or underscored, `usage` or `usage_token`.
_USAGE = r"gen_ai[._]client[._]token[._]usage([._]token)?"
USAGE_SUM_PATTERN = rf"{_USAGE}_sum"
# As stored: a Prometheus that asks for escaped names (nameEscapingScheme Dots, Values) gets the dotted ones so
# (prometheus/common v0.70, model.EscapeName). Without a suffix it is a native histogram, with sum and count in one.
_STORED = (
    rf"({_USAGE}|gen__ai_dot_client_dot_token_dot_usage(__token)?|"
    r"U__gen__ai_2e_client_2e_token_2e_usage(__token)?)"
)
STORED_SUM_PATTERN = rf"{_STORED}(_sum)?"
# The counters that are billed by: tokens and requests.
STORED_COUNTERS_PATTERN = rf"{_STORED}(_(sum|count))?"
# The whole histogram: buckets, count and sum.
STORED_PATTERN = rf"{_STORED}(_(sum|count|bucket))?"
# Underscored, dotted, and dotted as the two schemes escape it: the index of a family of names in each of these.
TOKEN_TYPE_LABELS = (
    "gen_ai_token_type",
    "gen_ai.token.type",
    "gen__ai_dot_token_dot_type",
    "U__gen__ai_2e_token_2e_type",
)
REQUEST_MODEL_LABELS = (
    "gen_ai_request_model",
    "gen_ai.request.model",
    "gen__ai_dot_request_dot_model",
    "U__gen__ai_2e_request_2e_model",
)
PROVIDER_LABELS = (
    "gen_ai_provider_name",
    "gen_ai.provider.name",
    "gen__ai_dot_provider_dot_name",
    "U__gen__ai_2e_provider_2e_name",
)
OPERATION_LABELS = (
    "gen_ai_operation_name",
    "gen_ai.operation.name",
    "gen__ai_dot_operation_dot_name",
    "U__gen__ai_2e_operation_2e_name",
)
# What the caller asked for, and what it was routed to: an override makes them differ.
MODEL_LABELS = ("gen_ai_original_model", "gen_ai_request_model")
# The types overlap: input contains the cached parts, output the reasoning. These two add up to a total;
# _prometheus/token_types.py has the parts and the exceptions.
TOTAL_TOKEN_TYPES = ("input", "output")

# --- chargeback ---------------------------------------------------------------------------------------------------
# Cost Management's collection and display configurations: namespace and name.
CHARGEBACK_CONFIG = ("cpaas-system", "slark-agent-aigateway-config")
CHARGEBACK_DISPLAY = ("kube-public", "slark-display-config-for-aigateway")
COST_MANAGEMENT_NAMESPACES = (CHARGEBACK_CONFIG[0], CHARGEBACK_DISPLAY[0])
# An API group of the platform on which Cost Management runs.
ALAUDA_GROUP = "ait.alauda.io"

# A record of our rules whose labels say what else they record of a month: the currency of amounts, and of which units
# namespaces have budgets. It is there in the first hour of a month as well, when nothing was used yet.
MONTHS_RECORD = "aigateway_metering:months:info"

# --- our playbooks, as a next command ---------------------------------------------------------------------------------
SITE = "ansible-playbook aigateway.metering.site"
CHECK = "ansible-playbook aigateway.metering.check"
VERIFY = "ansible-playbook aigateway.metering.verify"
REPORT = "ansible-playbook aigateway.metering.report"
CHARGEBACK = "ansible-playbook aigateway.metering.chargeback"
REMOVE = "ansible-playbook aigateway.metering.remove"


# --- monitoring -----------------------------------------------------------------------------------------------------
PLATFORM_POD_MONITOR = "ai-gateway-extproc-metrics"


# A letter in a name that is escaped by its value, or an underscore.
_ENCODED = re.compile(r"__|_([0-9a-f]{1,5})_")


def dashboard_name(name: str, key: str) -> str:
    """The name of one of our dashboards: that of the platform has none but the given one."""
    return name if key == DASHBOARD_KEYS[0] else f"{name}-{key}"


def family_of(name: str) -> int:
    """Which family of names a stored metric or label of the gateway is of: the index in the tables above."""
    if name.startswith("U__"):
        return 3
    if name.startswith("gen__ai_dot_"):
        return 2
    return int("." in name)


def plain(name: str) -> str:
    """A stored label's name as the present generation writes it, whichever way it was written or escaped."""
    if name.startswith("U__"):
        name = _ENCODED.sub(lambda code: chr(int(code[1], 16)) if code[1] else "_", name.removeprefix("U__"))
    elif name.startswith("gen__ai_dot_"):
        name = name.replace("__", "\0").replace("_dot_", ".").replace("\0", "_")
    return name.replace(".", "_")
