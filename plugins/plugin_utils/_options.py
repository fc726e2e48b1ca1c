# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""Variables as surveys, files and `-e` give them, in the types of a role's argument specification.

A survey of AWX gives texts: an empty one for what was not answered, lists with commas or in lines, "true", "300".
No file is read; a path alone takes `~` and variables from the environment.
"""

from __future__ import annotations

import datetime
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import yaml
from ansible.module_utils.parsing.convert_bool import boolean

from ..module_utils._lists import words_of

SHOWN_CHARACTERS = 60
WANTED = {
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "list": "a list: words with commas or in lines, or a list of JSON or YAML",
    "dict": "a map of names and values: JSON, YAML, or name=value with commas or in lines",
    "str": "a text",
    "path": "a path",
}
# What is not set, and has no default.
EMPTY: dict[str, Any] = {"list": [], "dict": {}, "str": "", "path": ""}
_NAMED_VALUE = re.compile(r"\s*([^=\s]+)\s*=\s*(.*?)\s*\Z", re.DOTALL)


def read_options(spec: Mapping[str, Mapping[str, Any]], given: Mapping[str, Any], here: str) -> dict[str, Any]:
    """The variables of a specification in its types; the default stands for what is not set, or empty.

    Args:
        spec: options by name, as in an argument_specs.yml.
        given: the variables that are set, by name.
        here: the directory in which the command was given: a relative path begins there.

    Raises:
        OptionsError: what cannot be converted, each by its name.
    """
    found: dict[str, Any] = {}
    problems: dict[str, str] = {}
    for name, option in spec.items():
        value = given.get(name)
        if is_unset(value):
            if option.get("required"):
                problems[name] = f"{name} is not set"
            found[name] = option.get("default", EMPTY.get(option.get("type", "str")))
            continue
        try:
            found[name] = _converted(option, value, here)
        except ValueError as error:
            shown = "" if option.get("no_log") else f"{_shown(value)}, which is "
            problems[name] = f"{name} is {shown}not {error}"
    if problems:
        raise OptionsError(problems)
    return found


class OptionsError(ValueError):
    """Variables that have no value that they may have."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        super().__init__("; ".join(problems.values()))
        self.names = tuple(problems)


def is_unset(value: Any) -> bool:
    """Whether a variable is as good as not given."""
    if isinstance(value, (list, tuple)):
        return len(value) > 0 and all(is_unset(item) for item in value)
    return value is None or (isinstance(value, str) and not value.strip())


def read_serial(given: Any) -> list[str]:
    """The values of a play's keyword `serial`: numbers of hosts, or percentages; all hosts at once where none is given.

    Raises:
        OptionsError: it is something else, which Ansible would call a bug of its own.
    """
    if is_unset(given):
        return ["100%"]
    found = words_of(given if isinstance(given, (str, list)) else str(given))
    if not found or not all(re.fullmatch(r"[1-9][0-9]*%?", word) for word in found):
        told = f"metering_serial is {_shown(given)}, which is neither a number of clusters nor a percentage"
        raise OptionsError({"metering_serial": told})
    return found


def _shown(value: Any) -> str:
    text = repr(str(value) if isinstance(value, str) else value)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}..."


def _converted(option: Mapping[str, Any], value: Any, here: str) -> Any:
    """A value in the type of its option.

    Raises:
        ValueError: it is no such thing; says what would be.
    """
    kind = option.get("type", "str")
    if kind == "raw":
        return value
    if kind != "list":
        return _chosen(option, _single(kind, value, here))
    if isinstance(value, str):
        items: Sequence[Any] = words_of(value)
    elif isinstance(value, (list, tuple)):
        items = [word for item in value for word in (words_of(item) if isinstance(item, str) else [item])]
    elif isinstance(value, (dict, bool)):
        raise ValueError(WANTED["list"])
    else:
        items = [value]
    found = [_chosen(option, _single(option.get("elements", "str"), item, here)) for item in items]
    # Of words to choose from one is enough.
    return list(dict.fromkeys(found)) if option.get("choices") else found


def _chosen(option: Mapping[str, Any], value: Any) -> Any:
    choices = option.get("choices")
    if choices and value not in choices:
        raise ValueError(f"one of: {', '.join(str(choice) for choice in choices if choice != '')}")
    return value


def _single(kind: str, value: Any, here: str) -> Any:
    try:
        return _READERS[kind](value, here)
    except (TypeError, ValueError):
        raise ValueError(WANTED[kind]) from None


def _bool(value: Any, dummy: str) -> bool:
    return boolean(value.strip() if isinstance(value, str) else value, strict=True)


def _int(value: Any, dummy: str) -> int:
    if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
        raise ValueError
    return int(value)


def _float(value: Any, dummy: str) -> float:
    if isinstance(value, bool):
        raise ValueError
    return float(value)


def _str(value: Any, dummy: str) -> str:
    if isinstance(value, (list, tuple, dict)):
        raise ValueError
    # YAML takes 2026-11-01 for a day.
    return value.isoformat() if isinstance(value, datetime.date) else str(value).strip()


def _path(value: Any, here: str) -> str:
    text = os.path.expandvars(os.path.expanduser(_str(value, here)))
    return text if text.startswith("/") else f"{here}/{text}"


def _dict(value: Any, dummy: str) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    if not isinstance(value, str):
        raise ValueError
    return _mapping_of(value)


def _mapping_of(text: str) -> dict[str, Any]:
    """A map that was written as JSON, as YAML, or as name=value."""
    if text.lstrip().startswith("{"):
        try:
            return dict(json.loads(text))
        except (ValueError, RecursionError):
            pass  # YAML's own way of writing the same
    # YAML would take `a=b,c=d:` for one name.
    if 0 <= text.find("=") < (text.find(": ") if ": " in text else len(text)):
        return _named_values(text)
    try:
        # Numbers and truths stay as they were written: a label's value is a text.
        found = yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506  (it makes texts)
    except (yaml.YAMLError, ValueError, TypeError, RecursionError):
        raise ValueError from None
    if not isinstance(found, dict) or any("=" in str(key) or "," in str(key) for key in found):
        raise ValueError
    return found


def _named_values(text: str) -> dict[str, Any]:
    pairs = [_NAMED_VALUE.match(item) for item in re.split(r"[,\r\n]", text) if item.strip()]
    if not all(pairs):
        raise ValueError
    return {pair.group(1): pair.group(2) for pair in pairs if pair}


_READERS: dict[str, Callable[[Any, str], Any]] = {
    "bool": _bool,
    "int": _int,
    "float": _float,
    "str": _str,
    "path": _path,
    "dict": _dict,
    "raw": lambda value, dummy: value,
}
