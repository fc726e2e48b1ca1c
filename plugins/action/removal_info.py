# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.aigateway.metering.plugins.plugin_utils._module_action import ModuleAction, load_worker


class ActionModule(ModuleAction):
    worker = load_worker("removal_info")
