# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Imports go one way; names are defined once, functions are short, and each test file says what it is about."""

from __future__ import annotations

import ast
import graphlib
from collections.abc import Iterator
from pathlib import Path

import pytest

PLUGINS = Path(__file__).parents[2] / "plugins"
# From the bottom up; packages of one layer do not import each other. What stands in no package is the lowest.
LAYERS = (
    {"module_utils"},
    {"module_utils._kubernetes"},
    {"module_utils._gateway", "module_utils._isolation", "module_utils._prometheus"},
    {"module_utils._scrape", "module_utils._usage"},
    {"module_utils._modules"},
    {"plugin_utils", "plugin_utils._report", "plugin_utils._render"},
    {"modules", "filter", "action", "lookup", "test"},
)
LAYER_OF = {package: number for number, packages in enumerate(LAYERS) for package in packages}
# What several modules share stands below them; these files are no module's own.
SHARED = {
    f"module_utils._modules.{name}"
    for name in (
        *("runner", "drift_findings", "rehearsal", "dashboard_providers", "entrance_plan"),
        *("ours", "mapping_plan", "cost_programs"),
    )
}
FILES = sorted(path for path in PLUGINS.rglob("*/*.py") if "doc_fragments" not in path.parts)


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(PLUGINS).with_suffix("").parts)


KNOWN = {dotted(path) for path in FILES}


def imports_of(path: Path) -> Iterator[str]:
    """The files of ours that a file imports, by their names below plugins."""
    prefix = "ansible_collections.aigateway.metering.plugins."
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ImportFrom):
            continue
        if node.level:
            here = dotted(path).split(".")[: -node.level]
            base = ".".join([*here, *([node.module] if node.module else [])])
        elif (node.module or "").startswith(prefix):
            base = (node.module or "").removeprefix(prefix)
        else:
            continue
        for name in node.names:
            yield f"{base}.{name.name}" if f"{base}.{name.name}" in KNOWN else base


def package(name: str) -> str:
    return name.rpartition(".")[0]


@pytest.mark.parametrize("path", FILES, ids=dotted)
def test_a_file_imports_from_below_or_from_its_own_package(path):
    own = package(dotted(path))
    layer = LAYER_OF[own]
    wrong = [name for name in imports_of(path) if package(name) != own and LAYER_OF[package(name)] >= layer]
    # The packages of plugin_utils may use what stands in none of them.
    assert [name for name in wrong if (layer, package(name)) != (LAYER_OF["plugin_utils"], "plugin_utils")] == []


@pytest.mark.parametrize("path", FILES, ids=dotted)
def test_no_modules_own_file_imports_another_modules(path):
    if package(dotted(path)) == "module_utils._modules":
        others = {name for name in imports_of(path) if package(name) == "module_utils._modules"}
        assert others <= SHARED


def test_there_is_no_circle():
    graphlib.TopologicalSorter({dotted(path): set(imports_of(path)) for path in FILES}).prepare()


@pytest.mark.parametrize("path", sorted(Path(__file__).parents[1].rglob("test_*.py")), ids=lambda path: path.stem)
def test_each_test_file_says_what_it_is_about(path):
    assert ast.get_docstring(ast.parse(path.read_text()))


def functions():
    """Every function of the plugins, with its length in lines and its place."""
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                yield (node.end_lineno or 0) - node.lineno + 1, f"{dotted(path)}.{node.name}"


def test_no_function_is_longer_than_60_lines():
    assert [name for lines, name in functions() if lines > 60] == []


def test_each_name_is_defined_once():
    """Those by which a file is run, and of what it serves Ansible with, have one name by design."""
    by_design = {"run_module", "main", "ActionModule", "FilterModule", "DOCUMENTATION"}
    places: dict[str, list[str]] = {}
    for path in FILES:
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
                places.setdefault(node.name, []).append(dotted(path))
    assert {name: found for name, found in places.items() if len(found) > 1 and name not in by_design} == {}
