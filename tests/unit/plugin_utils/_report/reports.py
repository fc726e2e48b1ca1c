# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Usage, rows and price lists for tests of reports."""

from __future__ import annotations

import json

from ansible_collections.aigateway.metering.plugins.module_utils._prometheus import token_types
from ansible_collections.aigateway.metering.plugins.plugin_utils._report.price_file import load_prices

BY = ["namespace", "model"]
PRICES = """
currency: EUR
prices:
  - model: "chat-*"
    valid_from: 2026-01-01
    per_million: {input: 2.5, cached_input: 1.25, output: 10}
"""
ENTRY = {"model": "chat-*", "per_million": {"input": 2.5, "cached_input": "1.25", "output": 10}}
LIST = {"currency": "EUR", "prices": [ENTRY]}


def prices_of(document):
    """A price list out of a document; JSON is YAML."""
    return load_prices(json.dumps(document))


def used(**tokens):
    return {"input": 1_000_000, "output": 100_000, "cached_input": 400_000, "reasoning": 50_000, **tokens}


def usage(*rows, doubts=()):
    rows = rows or (row(),)
    tokens = {kind: sum(item["tokens"].get(kind, 0) for item in rows) for kind in token_types.TYPES}
    return {
        "start": "2026-11-01T00:00:00+00:00",
        "end": "2026-12-01T00:00:00+00:00",
        "rows": list(rows),
        "tokens": tokens,
        "total": tokens["input"] + tokens["output"],
        "requests": sum(item["requests"] for item in rows),
        "by": BY,
        "days": [{"date": "2026-11-01", "tokens": tokens, "total": 1, "requests": 1}],
        "doubts": list(doubts),
    }


def row(namespace="team-a", model="chat-small", **tokens):
    own = used(**tokens)
    return {
        "namespace": namespace,
        "model": model,
        "tokens": own,
        "total": own["input"] + own["output"],
        "requests": 3,
    }
