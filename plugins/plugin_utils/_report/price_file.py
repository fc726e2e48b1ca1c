# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""A price list as a file has it, read as its author wrote it."""

from __future__ import annotations

from typing import Any

import yaml

from . import prices


class AsWritten(yaml.BaseLoader):
    """Reads YAML as it was written: every scalar is its text, and a key stands once.

    YAML's own rules make 0.1 a binary float, a model named 4.10 the number 4.1, `on` a truth and 1:30 the number 90.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, dummy in node.value]
        for number, key in enumerate(keys):
            if key in keys[:number]:
                line = node.value[number][0].start_mark.line + 1
                raise prices.price_error(f"line {line} has the key {key} a second time")
        return super().construct_mapping(node, deep)


def load_prices(text: str) -> prices.PriceList:
    """A price list out of the text of a YAML file.

    Raises:
        MeteringError: it is none, or can be read in two ways.
    """
    try:
        # It makes texts, lists and mappings only.
        document = yaml.load(text, Loader=AsWritten)
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise prices.price_error(f"it is not valid YAML: {' '.join(str(error).split())}") from error
    return prices.parse_prices(document)
