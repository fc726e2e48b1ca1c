# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writes the README of each role out of its argument specification, where every fact about it stands."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
# What a role does, by its task file.
FILES = {
    "main": "",
    **{name: f"tasks_from: {name}" for name in ("remove", "plan", "isolation", "merge", "merge_files")},
}


def plain(text: str) -> str:
    """Ansible's markup as Markdown; what stands in a table's cell."""
    text = re.sub(r"O\(([\w.]+)#module:(\w+)\)", r"`\2` of `\1`", text)
    text = re.sub(r"[CVOE]\(([^()]*)\)", r"`\1`", text)
    return re.sub(r"M\(([^()]*)\)", r"`\1`", text).replace("|", r"\|")


def sentences(description: str | list[str] | None) -> str:
    return plain(" ".join([description] if isinstance(description, str) else description or []))


def default_of(option: dict[str, Any]) -> str:
    if "default" not in option:
        return ""
    return f"`{json.dumps(option['default'], ensure_ascii=False)}`".replace("|", r"\|")


def readme(role: str) -> str:
    """The README of a role."""
    specification = yaml.safe_load((ROOT / "roles" / role / "meta" / "argument_specs.yml").read_text())
    entries = specification["argument_specs"]
    main = entries["main"]
    lines = [
        f"# aigateway.metering.{role}",
        "",
        f"{plain(main['short_description'])}.",
        "",
        *(plain(text) + "\n" for text in main.get("description", [])),
        "```yaml",
        "- ansible.builtin.include_role:",
        f"    name: aigateway.metering.{role}",
        "```",
        "",
    ]
    for name, entry in entries.items():
        if name != "main":
            text = f"{plain(entry['short_description'])}. {sentences(entry.get('description'))}".strip()
            lines += [f"With `{FILES[name]}`: {text}", ""]
    lines += ["| variable | type | default | |", "|---|---|---|---|"]
    for name, option in sorted((main.get("options") or {}).items()):
        lines.append(f"| `{name}` | {option['type']} | {default_of(option)} | {sentences(option.get('description'))} |")
    return "\n".join(lines) + "\n"


def roles() -> list[str]:
    return sorted(path.name for path in (ROOT / "roles").iterdir())


if __name__ == "__main__":
    for item in roles():
        (ROOT / "roles" / item / "README.md").write_text(readme(item))
