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
      - The Gateways that are meant, as V(namespace/name). What belongs to others is left alone.
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

    REQUIREMENTS = r"""
options: {}
requirements:
  - python >= 3.10
  - kubernetes >= 29.0.0
"""
