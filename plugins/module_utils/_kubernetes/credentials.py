# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""Which cluster a module is for, and with whose credentials; what is kept of these ends with the module.

Authentication is kubernetes.core's: the same parameters, the same K8S_AUTH_* variables, the same in-cluster default
where it is allowed.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.kubernetes.core.plugins.module_utils.args_common import AUTH_ARG_SPEC

from .._errors import MeteringError

# kubernetes.core's own, whether the credentials of the pod in which it runs may be used, and what they let it read.
AUTH_OPTIONS: dict[str, Any] = {
    **AUTH_ARG_SPEC,
    "in_cluster": {"type": "bool", "default": False},
    "namespaces": {"type": "list", "elements": "str", "default": []},
}


@contextlib.contextmanager
def clients_of_one_run() -> Iterator[None]:
    """Let clients be made as in a new process, and remove what they leave in one that goes on.

    The kubernetes client looks where its configuration is when it is imported, and takes the last configuration for
    the next one's beginning. It removes its files with client keys when Python ends; a worker of Ansible's ends
    otherwise. kubernetes.core keeps its clients, which need these files. Of that, only the default has a public way.
    """
    from kubernetes.client import Configuration
    from kubernetes.config import kube_config

    before = kube_config.KUBE_CONFIG_DEFAULT_LOCATION
    kube_config.KUBE_CONFIG_DEFAULT_LOCATION = os.environ.get("KUBECONFIG", "~/.kube/config")
    Configuration.set_default(None)
    try:
        yield
    finally:
        kube_config.KUBE_CONFIG_DEFAULT_LOCATION = before
        Configuration.set_default(None)
        forget_clients()
        with contextlib.suppress(AttributeError):
            kube_config._cleanup_temp_files()


def forget_clients() -> None:
    """Have kubernetes.core make a client anew when it is asked for one."""
    with contextlib.suppress(ImportError, AttributeError):
        from ansible_collections.kubernetes.core.plugins.module_utils.k8s import client

        client._pool.clear()


# What kubernetes.core takes for enough; anything else, and it looks for a pod's credentials first. An option is given
# as such, or in the environment, for some under their old names as well.
_ADDRESS = ("host",)
_SAYS_WHICH = (
    (("kubeconfig",),),
    (("context",),),
    (_ADDRESS, ("api_key",)),
    (_ADDRESS, ("username",), ("password",)),
    (_ADDRESS, ("client_cert", "cert_file"), ("client_key", "key_file")),
)


def _is_given(module: AnsibleModule, *names: str) -> bool:
    return any(module.params.get(name) or os.environ.get(f"K8S_AUTH_{name.upper()}") for name in names)


def refuse_pod_credentials(module: AnsibleModule) -> None:
    """Refuse what kubernetes.core takes where nothing says which cluster is meant: the pod's own, if this is a pod.

    Raises:
        MeteringError: the pod's own credentials would be used.
    """
    if any(all(_is_given(module, *name) for name in names) for names in _SAYS_WHICH):
        return
    from kubernetes.client import Configuration
    from kubernetes.config import ConfigException, load_incluster_config

    own = Configuration()
    try:
        load_incluster_config(client_configuration=own)
    except ConfigException:
        return
    raise MeteringError(
        f"Nothing says which cluster is meant, and this runs in a pod: its credentials would be used, for {own.host}.",
        "In a job of AWX that is the cluster on which AWX runs. In a pod, KUBECONFIG and ~/.kube/config are not read.",
        "Set metering_kubeconfig, or metering_host and metering_api_key (or K8S_AUTH_*). Where the pod's own cluster "
        "is meant, add -e metering_in_cluster=true.",
    )
