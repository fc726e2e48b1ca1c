# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.
"""Reads configurations that programs written in Go have as YAML."""

from __future__ import annotations

from typing import Any


def parse_configuration(text: str) -> dict[str, Any] | None:
    """A configuration; None where the text is none."""
    import yaml  # it comes with the kubernetes client, whose absence is told when the module starts

    # libyaml reads the configuration of a large Prometheus in a second and not in twenty; not every PyYAML has it.
    base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    class Loader(base):
        """YAML as Go's readers take it: a plain `=` is a text, as in a separator."""

        # It is the key of this type in YAML 1.1 that PyYAML finds, and then cannot construct.
        yaml_implicit_resolvers = {  # noqa: RUF012
            letter: [item for item in resolvers if item[0] != "tag:yaml.org,2002:value"]
            for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
        }

    try:
        document = yaml.load(text, Loader)  # noqa: S506  (of the safe loaders' kind)
    except (yaml.YAMLError, ValueError, TypeError, RecursionError):
        return None
    return document if isinstance(document, dict) else None
