# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A path in the values of a Helm release is read as it is taken."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.aigateway.metering.plugins.filter.at_path import at_path
from ansible_collections.aigateway.metering.plugins.filter.under_path import under_path

KEYS = st.text(min_size=1, max_size=8).filter(lambda key: "\\" not in key)


@given(st.lists(KEYS, min_size=1, max_size=4), st.text())
def test_what_is_put_at_a_path_is_found_there(keys, value):
    path = ".".join(key.replace(".", "\\.") for key in keys)
    assert at_path(under_path(value, path), path) == value


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("ai-gateway.header-map", {"ai-gateway": {"header-map": "x-a:a"}}),
        ("a.1", {"a": {"1": "x-a:a"}}),
        ("a\\.b.c", {"a.b": {"c": "x-a:a"}}),
        ("a[0]", {"a[0]": "x-a:a"}),
        ('a"b', {'a"b': "x-a:a"}),
    ],
)
def test_a_key_may_be_anything(path, values):
    assert at_path(values, path) == "x-a:a"
    assert under_path("x-a:a", path) == values


def test_where_nothing_is_there_is_an_empty_text():
    assert at_path({"a": {}}, "a.b-c") == ""


@pytest.mark.parametrize("path", ["", "a..b", ".a", "a."])
def test_an_empty_key_is_told(path):
    for read in (lambda: at_path({}, path), lambda: under_path("x", path)):
        with pytest.raises(AnsibleFilterError, match="empty key"):
            read()
