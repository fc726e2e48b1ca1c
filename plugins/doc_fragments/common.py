# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    CONTROLLER = r"""
options:
  controller:
    description:
      - The AI gateway controller's Deployment as V(namespace/name).
      - By default the only Deployment that carries the controller's flags.
    type: str
    default: ""
"""

    GATEWAYS = r"""
options:
  gateways:
    description:
      - Gateways to manage, as V(namespace/name). What belongs to others is left alone.
      - By default all that have a proxy with the AI gateway's sidecar.
    type: list
    elements: str
    default: []
"""

    PROMETHEUS = r"""
options:
  prometheus:
    description:
      - The Prometheus object that scrapes the sidecars, as V(namespace/name).
      - By default the only one that takes PodMonitors.
    type: str
    default: ""
"""

    API = r"""
options:
  api:
    description:
      - How Prometheus's API is reached. By default each running pod of the Prometheus object is asked through the API
        server, which needs no address and no credentials.
      - Targets are asked of those pods even where an address is given for series, unless O(api.targets_urls) says
        otherwise or there is no such object.
      - A backend that serves no targets is judged by its series C(up), and a warning says so.
    type: dict
    default: {}
    suboptions:
      url:
        description:
          - The address that is asked for series, without C(/api/v1); with Mimir it ends with C(/prometheus).
          - It is needed for an agent, which keeps nothing, and for what is outside of the cluster.
          - A user name or a password in it is refused, because an address is shown; O(api.username), O(api.password)
            and O(api.token) are not.
        type: str
      service:
        description: A service V(namespace/[https:]name[:port]) that is asked through the API server, in place of
          O(api.url). It needs the permission to get C(services/proxy).
        type: str
      feature:
        description: Take address, user name and password from Alauda's C(feature monitoring) and its Secret.
        type: bool
        default: false
      targets_urls:
        description: The addresses that are asked for targets, one for each replica.
        type: list
        elements: str
        default: []
      username:
        description: The user name for basic authentication.
        type: str
      password:
        description: The password for basic authentication.
        type: str
      token:
        description: A bearer token.
        type: str
      headers:
        description: Further headers, such as C(X-Scope-OrgID).
        type: dict
        default: {}
      secret_headers:
        description:
          - Names of further O(api.headers) whose values are secret and are in no output.
          - Those whose names have auth, cookie, token, secret, pass, key, credential, session, signature or bearer in
            them are always secret.
        type: list
        elements: str
        default: []
      client_cert:
        description: A PEM file with the certificate, and perhaps the key, that this run shows.
        type: path
      client_key:
        description: A PEM file with its key.
        type: path
      ca_path:
        description: A PEM file with the authorities that are trusted.
        type: path
      validate_certs:
        description: Whether the certificate of the address is verified.
        type: bool
        default: true
"""

    REQUIREMENTS = r"""
options: {}
requirements:
  - python >= 3.11
  - kubernetes >= 29.0.0
"""
