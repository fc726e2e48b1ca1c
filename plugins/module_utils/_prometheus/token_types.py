# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.
"""Which token types contain which others, by the name under which a counter is stored and by its provider.

Input commonly contains the cached parts, and output the reasoning; then a total is input and output. The exceptions
stand in one table. It is keyed by what is stored, and not by the gateway that runs now: after an upgrade the old
counters are still in the retention. Pure: no input or output, no Ansible, no clock.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from .. import _names

# The parts that a type contains.
PARTS = {"input": ("cached_input", "cache_creation_input"), "output": ("reasoning",)}
TYPES = tuple(kind for whole, parts in PARTS.items() for kind in (whole, *parts))
# Those that some generation counts beside their whole; reasoning came with v0.6, which counts it within output.
MAY_BE_BESIDE = PARTS["input"]
WHOLE_OF = {part: whole for whole, parts in PARTS.items() for part in parts}

# v0.4 and older count parts as the upstream tells them (envoyproxy/ai-gateway v0.4.0, internal/extproc/translator).
# From v0.5.0 on input contains its parts, whatever the upstream (ExtractTokenUsageFromExplicitCaching).
# What these providers call cached is beside input there: openai_awsbedrock.go, openai_gcpanthropic.go.
BESIDE_PROVIDERS = ("aws.bedrock", "anthropic", "aws.anthropic", "gcp.anthropic")
# Anthropic's own API, whichever the provider: anthropic_anthropic.go.
BESIDE_OPERATIONS = ("messages",)
# What these call cached is contained in input: openai_openai.go, openai_azureopenai.go, openai_gcpvertexai.go.
INSIDE_PROVIDERS = ("openai", "azure.openai", "gcp.vertex_ai")
_OLD = re.compile(r"usage[._]+token|[.]|_dot_|_2e_")


def is_old(metric: str) -> bool:
    """Whether a stored name of the metric is one of v0.4's or an older generation's: from v0.5 on it has neither dots,
    escaped or not, nor `usage_token` in it."""
    return bool(_OLD.search(metric))


def is_beside(metric: str, labels: Mapping[str, str]) -> bool | None:
    """Whether a part's tokens come beside the type that it is a part of; None where the table does not know.

    Args:
        metric: the name under which the part is stored.
        labels: those of the counter, as the present generation writes them.
    """
    if not is_old(metric):
        return False
    provider = labels.get(_names.PROVIDER_LABELS[0], "")
    if labels.get(_names.OPERATION_LABELS[0], "") in BESIDE_OPERATIONS or provider in BESIDE_PROVIDERS:
        return True
    return False if provider in INSIDE_PROVIDERS else None
