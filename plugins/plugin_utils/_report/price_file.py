# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""Price lists and budgets as files have them, read as their authors wrote them."""

from __future__ import annotations

import json
from typing import Any

import yaml

from . import budgets, catalogs, prices


class AsWritten(yaml.BaseLoader):
    """Reads YAML as it was written: every scalar is its text, and a key stands once.

    YAML's own rules make 0.1 a binary float, a model named 4.10 the number 4.1, `on` a truth and 1:30 the number 90.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, dummy in node.value]
        for number, key in enumerate(keys):
            if key in keys[:number]:
                line = node.value[number][0].start_mark.line + 1
                raise yaml.constructor.ConstructorError(None, None, f"line {line} has the key {key} a second time")
        return super().construct_mapping(node, deep)


def load_budgets(text: str) -> tuple[budgets.Budget, ...]:
    """Budgets out of the text of a file in YAML or JSON.

    Raises:
        MeteringError: it has none, or two for the same.
    """
    try:
        document = yaml.load(text, Loader=AsWritten)  # noqa: S506  (it makes texts)
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise budgets.budget_error(f"it is not valid YAML: {' '.join(str(error).split())}") from error
    return budgets.parse_budgets(document)


def _json_as_written(text: str) -> Any:
    """A JSON document with every number as the text that was written, and no key a second time; None for no JSON.

    A catalogue is large, and YAML's reader would take minutes for what JSON's takes no time.
    """

    def without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            keys = [key for key, dummy in pairs]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise prices.price_error(f"it has the key {twice} a second time")
        return found

    try:
        return json.loads(text, parse_float=str, parse_int=str, object_pairs_hook=without_doubles)
    except ValueError:
        return None


def load_prices(text: str) -> prices.PriceList:
    """A price list out of the text of a file: our own in YAML, or LiteLLM's in JSON; or that of a package by its name.

    Raises:
        MeteringError: it is none, or can be read in two ways.
    """
    if text.strip() == catalogs.GENAI_PRICES:
        return catalogs.genai_prices()
    try:
        document = _json_as_written(text)
        if document is None:
            # It makes texts, lists and mappings only.
            document = yaml.load(text, Loader=AsWritten)  # noqa: S506  (it makes texts)
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise prices.price_error(f"it is not valid YAML or JSON: {' '.join(str(error).split())}") from error
    return catalogs.litellm_prices(document) if catalogs.is_litellm(document) else prices.parse_prices(document)
