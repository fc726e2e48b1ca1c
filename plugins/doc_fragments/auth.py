# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    # The options of kubernetes.core, whose code reads them (tests/unit/test_module_docs.py holds these to them): the
    # documentation of a module can be shown where kubernetes.core is not installed.
    DOCUMENTATION = r"""
options:
  kubeconfig:
    description:
      - The path of a kubeconfig, or its content as a dictionary.
      - By default E(K8S_AUTH_KUBECONFIG), then E(KUBECONFIG) or C(~/.kube/config).
      - In a pod with a service account neither E(KUBECONFIG) nor C(~/.kube/config) is read; see O(in_cluster).
    type: raw
  context:
    description: A context of the kubeconfig. By default E(K8S_AUTH_CONTEXT), then its current one.
    type: str
  host:
    description: The address of the API server. By default E(K8S_AUTH_HOST), then that of the kubeconfig.
    type: str
  api_key:
    description: A bearer token. By default E(K8S_AUTH_API_KEY).
    type: str
  username:
    description: A user name for basic authentication. By default E(K8S_AUTH_USERNAME).
    type: str
  password:
    description: Its password. By default E(K8S_AUTH_PASSWORD).
    type: str
  client_cert:
    description: The path of a client certificate. By default E(K8S_AUTH_CERT_FILE).
    type: path
    aliases: [cert_file]
  client_key:
    description: The path of its key. By default E(K8S_AUTH_KEY_FILE).
    type: path
    aliases: [key_file]
  ca_cert:
    description: The path of the authority for the API server's certificate. By default E(K8S_AUTH_SSL_CA_CERT).
    type: path
    aliases: [ssl_ca_cert]
  validate_certs:
    description: Whether the API server's certificate is verified. By default E(K8S_AUTH_VERIFY_SSL), or else it is.
    type: bool
    aliases: [verify_ssl]
  proxy:
    description: The address of an HTTP proxy. By default E(K8S_AUTH_PROXY).
    type: str
  no_proxy:
    description: Hosts, with commas between them, that are reached without the proxy. By default E(K8S_AUTH_NO_PROXY).
    type: str
  proxy_headers:
    description: Headers for the proxy.
    type: dict
    suboptions:
      proxy_basic_auth:
        description: As V(user:password), for the proxy. By default E(K8S_AUTH_PROXY_HEADERS_PROXY_BASIC_AUTH).
        type: str
      basic_auth:
        description: As V(user:password), for the API server. By default E(K8S_AUTH_PROXY_HEADERS_BASIC_AUTH).
        type: str
      user_agent:
        description: The user agent. By default E(K8S_AUTH_PROXY_HEADERS_USER_AGENT).
        type: str
  persist_config:
    description: Whether a refreshed token is written into the kubeconfig. By default E(K8S_AUTH_PERSIST_CONFIG).
    type: bool
  impersonate_user:
    description: The user to act as. By default E(K8S_AUTH_IMPERSONATE_USER).
    type: str
  impersonate_groups:
    description: The groups to act as. By default E(K8S_AUTH_IMPERSONATE_GROUPS), with commas between them.
    type: list
    elements: str
  in_cluster:
    description:
      - Whether the pod's own credentials, and so the pod's own cluster, may be used where nothing else is given.
      - Without it that is refused. In a job of AWX it would be the cluster on which AWX runs.
    type: bool
    default: false
  namespaces:
    description:
      - The only namespaces that are read, for an account that has Roles in them and no ClusterRole.
      - By default all are read. What other namespaces have is not known then, and a caution says so.
    type: list
    elements: str
    default: []
"""
