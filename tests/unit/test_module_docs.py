# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a module's documentation has: a sample of each returned value, and examples that the module takes."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

PLUGINS = Path(__file__).resolve().parents[2] / "plugins"
MODULES = sorted(path.stem for path in (PLUGINS / "modules").glob("*.py"))
BASE = "ansible_collections.aigateway.metering.plugins"


def documented(name: str, part: str) -> Any:
    return yaml.safe_load(getattr(importlib.import_module(f"{BASE}.modules.{name}"), part))


def values(returned: dict[str, Any], where: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    for key, value in returned.items():
        yield f"{where}{key}", value
        yield from values(value.get("contains", {}), f"{where}{key}.")


@pytest.mark.parametrize("name", MODULES)
def test_each_returned_value_has_a_sample_or_says_what_it_contains(name):
    bare = [where for where, value in values(documented(name, "RETURN")) if not {"sample", "contains"} & value.keys()]
    assert bare == []


@pytest.mark.parametrize("name", MODULES)
def test_each_list_of_dictionaries_says_what_these_contain(name):
    lists = [(where, value) for where, value in values(documented(name, "RETURN")) if value.get("elements") == "dict"]
    assert [where for where, value in lists if not value.get("contains")] == []


@pytest.mark.parametrize("name", MODULES)
def test_there_are_two_examples_that_the_module_takes(name):
    options = importlib.import_module(f"{BASE}.module_utils._modules.{name}").OPTIONS
    examples = documented(name, "EXAMPLES")
    given = [task.get(f"aigateway.metering.{name}") or {} for task in examples]
    assert len(examples) > 1
    assert [key for task in given for key in task if key not in options] == []


def test_our_options_for_credentials_are_those_of_kubernetes_core():
    """Its documentation is not there where it is not installed; its code reads them."""
    from ansible_collections.aigateway.metering.plugins.doc_fragments.auth import ModuleDocFragment
    from ansible_collections.aigateway.metering.plugins.module_utils._kubernetes.credentials import AUTH_OPTIONS

    def shape(options: dict[str, Any]) -> dict[str, Any]:
        """What an argument specification and its documentation have in common."""
        return {
            name: {
                "type": option.get("type", "str"),
                **{key: option[key] for key in ("aliases", "elements", "default") if key in option},
                "options": shape(option.get("options", option.get("suboptions", {}))),
            }
            for name, option in options.items()
        }

    assert shape(yaml.safe_load(ModuleDocFragment.DOCUMENTATION)["options"]) == shape(AUTH_OPTIONS)
