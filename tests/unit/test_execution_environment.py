# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The definition of an execution environment is one that ansible-builder takes, and has what the collection needs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
DEFINITION = ROOT / "docs" / "execution-environment.yml"


def test_ansible_builder_takes_it(tmp_path):
    words = [Path(sys.executable).with_name("ansible-builder"), "create", "-f", DEFINITION, "-c", tmp_path]
    words += ["--output-filename", "Containerfile"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    text = (tmp_path / "Containerfile").read_text(encoding="utf-8")
    assert "/usr/local/bin/helm" in text


def test_it_has_what_the_collection_needs():
    found = yaml.safe_load(DEFINITION.read_text(encoding="utf-8"))["dependencies"]
    needed = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if not line.startswith("#")]
    assert found["python"] == needed
    collections = {item["name"]: item.get("version") for item in found["galaxy"]["collections"]}
    wanted = yaml.safe_load((ROOT / "galaxy.yml").read_text())["dependencies"]
    assert collections == {"aigateway.metering": None, **wanted}
