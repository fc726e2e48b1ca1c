# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lists as surveys, files and people give them."""

from __future__ import annotations

import pytest

from ansible_collections.aigateway.metering.plugins.module_utils import _lists


@pytest.mark.parametrize(
    ("given", "found"),
    [
        pytest.param(["a", "b"], ["a", "b"], id="a list"),
        pytest.param("a, b", ["a", "b"], id="commas"),
        pytest.param(["a", " b"], ["a", "b"], id="commas, as Ansible splits them"),
        pytest.param("a\r\nb\n", ["a", "b"], id="lines"),
        pytest.param('["a", "b"]', ["a", "b"], id="JSON"),
        pytest.param(['["a"', ' "b"]'], ["a", "b"], id="JSON, as Ansible splits it"),
        pytest.param("['a', 'b']", ["a", "b"], id="a list that a template has printed"),
        pytest.param("- a\n- b-c\n", ["a", "b-c"], id="YAML"),
        pytest.param(["Bearer a"], ["Bearer a"], id="blanks within stay, for who refuses them"),
        pytest.param("", [], id="an empty answer"),
        pytest.param([""], [], id="an empty answer, as Ansible splits it"),
        pytest.param(None, [], id="nothing"),
        pytest.param([7], ["7"], id="a number"),
    ],
)
def test_the_words_of_a_list_are_found_in_each_form(given, found):
    assert _lists.words_of(given) == found


@pytest.mark.parametrize(
    ("given", "found"),
    [
        pytest.param("x-a:b,x-c:d", ["x-a:b", "x-c:d"], id="a text"),
        pytest.param("x-a: b\n- x-c : d\n", ["x-a:b", "x-c:d"], id="lines"),
        pytest.param(["x-a:b", "x-c:d"], ["x-a:b", "x-c:d"], id="a list"),
        pytest.param({"x-a": "b"}, ["x-a:b"], id="a map"),
        pytest.param([{"x-a": "b"}, "x-c:d"], ["x-a:b", "x-c:d"], id="a list of maps and texts"),
        pytest.param('{"x-a": "b"}', ["x-a:b"], id="JSON's map"),
        pytest.param('["x-a:b"]', ["x-a:b"], id="JSON's list"),
        pytest.param({"x-a": None}, ["x-a:"], id="nothing is no label"),
        pytest.param('{"x-a": null}', ["x-a:"], id="JSON's nothing is no label"),
        pytest.param({"x-a": True}, ["x-a:"], id="a truth is no label"),
        pytest.param("nonsense", ["nonsense"], id="what is no pair stays"),
        pytest.param("", [], id="nothing"),
    ],
)
def test_pairs_are_read_in_every_form_in_which_they_are_given(given, found):
    assert _lists.pairs_of(given) == found
