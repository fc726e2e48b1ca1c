# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Roles: their specifications, READMEs and tasks hold together."""

from __future__ import annotations

import pathlib

import pytest
import role_readmes
import yaml

ROLES = sorted((pathlib.Path(__file__).parents[2] / "roles").glob("*/meta/argument_specs.yml"))

every_role = pytest.mark.parametrize("specs", ROLES, ids=[path.parents[1].name for path in ROLES])


def defaults_of(specs):
    """A role's defaults; a role may have none."""
    path = specs.parents[1] / "defaults" / "main.yml"
    return (yaml.safe_load(path.read_text(encoding="utf-8")) or {}) if path.exists() else {}


def options_of(specs):
    return yaml.safe_load(specs.read_text(encoding="utf-8"))["argument_specs"]["main"].get("options") or {}


def test_there_are_roles():
    assert ROLES


@every_role
def test_the_documented_defaults_are_the_defaults(specs):
    documented = {name: option["default"] for name, option in options_of(specs).items() if "default" in option}
    assert documented == defaults_of(specs)


@every_role
def test_every_default_is_of_the_documented_type(specs):
    types = {
        "str": str,
        "path": str,
        "bool": bool,
        "int": int,
        "float": float,
        "list": list,
        "dict": dict,
        "raw": object,
    }
    options = options_of(specs)
    wrong = [
        name
        for name, value in defaults_of(specs).items()
        if name in options and not isinstance(value, types[options[name]["type"]])
    ]
    assert wrong == []


@every_role
def test_every_default_is_among_the_documented_choices(specs):
    options = options_of(specs)
    chosen = [
        (name, item)
        for name, value in defaults_of(specs).items()
        for item in (value if isinstance(value, list) else [value])
    ]
    wrong = [name for name, item in chosen if item not in options.get(name, {}).get("choices", [item])]
    assert wrong == []


@every_role
def test_every_option_is_described(specs):
    assert [name for name, option in options_of(specs).items() if not option.get("description")] == []


def test_an_option_of_several_roles_is_of_one_type():
    types: dict[str, set[str]] = {}
    for specs in ROLES:
        for name, option in options_of(specs).items():
            types.setdefault(name, set()).add(option["type"])
    assert {name: found for name, found in types.items() if len(found) > 1} == {}


@every_role
def test_the_readme_says_what_the_specification_says(specs):
    """`.venv/bin/python tests/tools/role_readmes.py` writes it anew."""
    role = specs.parents[1]
    assert (role / "README.md").read_text(encoding="utf-8") == role_readmes.readme(role.name)
