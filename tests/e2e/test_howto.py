# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The how-to pages: every command in them is run as it stands."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from harness.runs import BIN, ROOT
from harness.stand import Stand
from standlib import binaries, images, platform, settings, tenants

PAGES = sorted(page for page in (ROOT / "docs" / "howto").glob("*.md") if "```sh\n" in page.read_text())
# Pages that start from a cluster that is metered already, with the defaults, as they say.
METERED = {
    "chargeback",
    "gateway-upgrade",
    "identity-providers",
    "nightly-audit",
    "prices-and-budgets",
    "removal",
    "report",
}


def commands(page: Path) -> str:
    """The shell blocks of a page, one after another."""
    return "\n".join(re.findall(r"^```sh\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE))


def files(page: Path) -> dict[str, str]:
    """The YAML blocks of a page that say in their first line which file they are."""
    found = re.findall(r"^```yaml\n# ([\w-]+\.yml)\b.*?\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)
    return dict(found)


@pytest.fixture
def reader(stand: Stand, tmp_path: Path) -> dict[str, str]:
    """The environment of somebody who follows a page: a home with a kubeconfig, and the files that pages speak of."""
    config = tmp_path / ".kube" / "config"
    config.parent.mkdir()
    shutil.copy(settings.kubeconfig(stand.name), config)
    gateways = stand.gateways()
    (tmp_path / "tokens.yml").write_text(
        yaml.safe_dump(
            {
                "verify_address": gateways.address("gateway-a"),
                "verify_model": "chat-small",
                "verify_tokens": [gateways.token(caller) for caller in tenants.CALLERS[:2]],
            }
        )
    )
    (tmp_path / "budgets.yml").write_text("budgets: [{namespace: team-a, tokens: 1000000}]\n")
    prices = "currency: EUR\nprices: [{model: '*', per_million: {input: 0.15, output: 0.60}}]\n"
    (tmp_path / "prices.yml").write_text(prices)
    chart = platform.ai_gateway_chart(stand.step, tmp_path / "chart")
    chart.rename(tmp_path / "ai-gateway-helm.tgz")
    environment = stand.environment(HOME=str(tmp_path))
    environment["PATH"] = f"{BIN}:{Path(binaries.tool('helm')).parent}:{os.environ['PATH']}"
    del environment["K8S_AUTH_KUBECONFIG"]
    return environment


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_every_command_of_a_page_does_what_it_says(fresh: Stand, reader: dict[str, str], page: Path) -> None:
    if page.stem == "isolation":
        fresh.have_images(*images.ISOLATION)
    for name, text in files(page).items():
        # Those with credentials are there already.
        if not (Path(reader["HOME"]) / name).exists():
            (Path(reader["HOME"]) / name).write_text(text)
    if page.stem in METERED:
        assert fresh.site(scrape_interval="30s").code == 0
    try:
        done = subprocess.run(
            ["bash", "-euc", commands(page)],
            cwd=reader["HOME"],
            env=reader,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    finally:
        if page.stem == "isolation":
            assert fresh.play("remove").code == 0
            fresh.delete("serviceaccount", "team-a", "usage-reader")
            fresh.delete("rolebinding", "team-a", "usage-reader")
        if page.stem == "chargeback":
            fresh.delete("prometheusrule", platform.MONITORING_NAMESPACE, "ai-gateway-token-usage")
        if page.stem == "helm":
            platform.install_ai_gateway(fresh.step, fresh.name)
            fresh.wait_for_controller()
