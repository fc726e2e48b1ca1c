# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
name: options
short_description: The variables of a role, in the types that its argument specification gives them
version_added: 0.1.0
author:
  - The aigateway.metering authors (@aigateway)
description:
  - Ansible checks the variables of a role against its argument specification, and leaves them as they are. What comes
    from C(-e name=value) or from a survey is text, and the text V(false) is true to a condition.
  - This reads the variables of one of the collection's own roles, converts them, and is what the roles use.
options:
  _terms:
    description: The role's name, and its entry point where that is not C(main).
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
  description: One dictionary, with the role's variables by name; one that is not set is none.
  type: list
  elements: dict
"""

from functools import cache
from pathlib import Path
from typing import Any

import yaml
from ansible.errors import AnsibleLookupError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.plugins.lookup import LookupBase

from ansible_collections.aigateway.metering.plugins.module_utils._errors import MeteringError
from ansible_collections.aigateway.metering.plugins.module_utils._gateway import sidecar

ROLES = Path(__file__).resolve().parents[2] / "roles"


@cache
def specification(role: str, entry: str) -> dict[str, dict[str, Any]]:
    """The options of a role's entry point, as its argument_specs.yml has them."""
    document = yaml.safe_load((ROLES / role / "meta" / "argument_specs.yml").read_text(encoding="utf-8"))
    return dict(document["argument_specs"][entry]["options"])


class LookupModule(LookupBase):
    def run(self, terms: list[str], variables: Any = None, **options: Any) -> list[dict[str, Any]]:
        del options
        role, entry = [*terms, "main"][:2]
        spec = specification(role, entry)
        given = {name: self._templar.template(variables[name]) for name in spec if name in (variables or {})}
        result = ArgumentSpecValidator(spec).validate(given)
        if result.error_messages:
            raise AnsibleLookupError(
                f"A variable of the role {role} has a value that it cannot have: {'; '.join(result.error_messages)}. "
                "Nothing was changed. Next: correct it; what it takes is told by ansible-doc -t role "
                f"aigateway.metering.{role}"
            )
        found = result.validated_parameters
        if found.get("metering_gateways"):
            try:
                found["metering_gateways"] = sidecar.scope_of(found["metering_gateways"])
            except MeteringError as error:
                raise AnsibleLookupError(str(error)) from error
        return [found]
