# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
name: options
short_description: The variables of roles, in the types that their argument specifications give them
version_added: 0.1.0
author:
  - The aigateway.metering authors (@aigateway)
description:
  - Ansible checks the variables of a role against its argument specification, and leaves them as they are. What comes
    from C(-e name=value) or from a survey is text, and the text V(false) is true to a condition. An unanswered question
    of a survey gives an empty text.
  - An answer of a survey is an extra variable, and would hide what the inventory says even where it is empty. So each
    variable may also be given with C(survey_) before its name, which counts only where it is not empty.
  - This reads the variables of the collection's own roles, converts them, and is what the roles and playbooks use. An
    empty text is not set. A list may be a text with commas or lines. A relative path begins where the command was
    given.
options:
  _terms:
    description: The roles' names.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Show whether rules are wanted, whatever the text that says so
  ansible.builtin.debug:
    msg: "{{ lookup('aigateway.metering.options', 'chargeback').chargeback_rules }}"
  vars:
    chargeback_rules: "no"
"""

RETURN = r"""
_raw:
  description:
    - One dictionary, with the roles' variables by name; one that is not set has its default, or is none.
    - Results that one role hands on to another (C(scrape_known), C(dashboard_known)) are not among them.
  type: list
  elements: dict
"""

from functools import cache
from pathlib import Path
from typing import Any

import yaml
from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

from ansible_collections.aigateway.metering.plugins.module_utils._errors import MeteringError
from ansible_collections.aigateway.metering.plugins.module_utils._gateway import sidecar
from ansible_collections.aigateway.metering.plugins.plugin_utils import _environment, _options

ROLES = Path(__file__).resolve().parents[2] / "roles"
# Large, and nothing that a person gives.
HANDED_ON = ("scrape_known", "dashboard_known")


@cache
def specification(*roles: str) -> dict[str, dict[str, Any]]:
    """The options of all entry points of roles, as their argument_specs.yml have them; the later role's go before."""
    found: dict[str, dict[str, Any]] = {}
    for role in roles:
        document = yaml.safe_load((ROLES / role / "meta" / "argument_specs.yml").read_text(encoding="utf-8"))
        for entry in reversed(document["argument_specs"].values()):
            for name, option in (entry.get("options") or {}).items():
                # One that is told without its default is documented elsewhere.
                if "default" in option or "default" not in found.get(name, {}):
                    found[name] = option
    return {name: option for name, option in found.items() if name not in HANDED_ON}


# An answer of a survey; one that was not given leaves what the inventory says.
ANSWER = "survey_"


class LookupModule(LookupBase):
    def _given(self, name: str, variables: Any) -> Any:
        answer = self._templar.template(variables[ANSWER + name]) if ANSWER + name in variables else None
        if not _options.is_unset(answer):
            return answer
        return self._templar.template(variables[name]) if name in variables else None

    def run(self, terms: list[str], variables: Any = None, **options: Any) -> list[dict[str, Any]]:
        del options
        spec = specification(*terms)
        given = {name: self._given(name, variables or {}) for name in spec}
        try:
            found = _options.read_options(spec, given, _environment.directory_of_command())
            if found.get("metering_gateways"):
                found["metering_gateways"] = sidecar.scope_of(found["metering_gateways"])
        except _options.OptionsError as error:
            roles = [role for role in terms if set(error.names) & set(specification(role))]
            raise AnsibleLookupError(
                f"{error}. Nothing was changed. Correct it. Next: ansible-doc -t role "
                + " ".join(f"aigateway.metering.{role}" for role in roles)
            ) from None
        except MeteringError as error:
            raise AnsibleLookupError(str(error)) from error
        return [found]
