# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What AWX is set up with: job templates, their surveys, schedules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

FILE = Path(__file__).resolve().parents[3] / "playbooks" / "vars" / "awx.yml"


class _Loader(yaml.SafeLoader):
    """YAML with Ansible's mark for what is no template."""


def _literal(loader: yaml.SafeLoader, node: yaml.Node) -> Any:
    assert isinstance(node, yaml.ScalarNode)
    return loader.construct_scalar(node)


_Loader.add_constructor("!unsafe", _literal)


def read_setup() -> dict[str, Any]:
    """The file as Ansible reads it."""
    found = yaml.load(FILE.read_text(encoding="utf-8"), _Loader)
    assert isinstance(found, dict)
    return found
