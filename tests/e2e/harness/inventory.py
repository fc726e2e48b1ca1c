# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Playbooks over an inventory in which each host stands for a cluster."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .runs import Run
from .stand import Stand


def play_hosts(
    stand: Stand, hosts: dict[str, dict[str, Any]], directory: Path, playbook: str, *words: str, **more: Any
) -> Run:
    """A playbook over an inventory that says nothing but what each host has.

    Args:
        stand: what runs the playbook.
        hosts: the variables of each host.
        directory: for the inventory.
        playbook: its name.
        words: for the command line.
        more: extra variables; `strategy` is Ansible's own.
    """
    directory.mkdir(exist_ok=True)
    inventory = directory.with_name(f"{directory.name}-clusters.json")
    inventory.write_text(json.dumps({"all": {"vars": {"ansible_connection": "local"}, "hosts": hosts}}))
    # Nothing but the inventory may lead to a cluster.
    own = {"K8S_AUTH_KUBECONFIG": str(directory / "none")}
    if "strategy" in more:
        own["ANSIBLE_STRATEGY"] = more.pop("strategy")
    environment = stand.environment(**own)
    return stand.play(playbook, "-i", str(inventory), *words, environment=environment, metering_hosts="all", **more)


def recap(run: Run) -> dict[str, str]:
    """The end of each host."""
    lines = run.output.rpartition("PLAY RECAP")[2].splitlines()[1:]
    return {line.split()[0]: "failed" if "failed=0" not in line else "ok" for line in lines if line.strip()}
