# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run one of the collection's modules by itself: NAME on the command line, options as JSON on standard input."""

from __future__ import annotations

import importlib
import json
import sys

from ansible.module_utils.testing import patch_module_args

options = json.load(sys.stdin)
module = importlib.import_module(f"ansible_collections.aigateway.metering.plugins.modules.{sys.argv[1]}")
with patch_module_args(options):
    module.main()
