# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Flags as Go's standard library reads them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.aigateway.metering.plugins.module_utils._gateway import go_flags

SPELLINGS = {
    "-x v": lambda name, value: [f"-{name}", value],
    "--x v": lambda name, value: [f"--{name}", value],
    "-x=v": lambda name, value: [f"-{name}={value}"],
    "--x=v": lambda name, value: [f"--{name}={value}"],
}


def with_replaced(words, name, new):
    """The words with the flag set to a value, wherever it stands; an absent one goes to the front."""
    if not go_flags.flag_places(words, name):
        return [f"--{name}={new}", *words]
    return [word for kept in go_flags.with_value(words, name, new) for word in kept]


@pytest.mark.parametrize("spelled", SPELLINGS.values(), ids=SPELLINGS)
@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param([], [], id="alone"),
        pytest.param([], ["-last", "w"], id="first"),
        pytest.param(["--first=w"], ["-last", "w"], id="between"),
        pytest.param(["-first", "w"], [], id="last"),
        pytest.param(["-boolean"], ["-other=w"], id="after a boolean"),
    ],
)
class TestAFlagInAnySpellingAndPosition:
    def test_is_read(self, spelled, before, after):
        assert go_flags.flag_value([*before, *spelled("flag", "v"), *after], "flag") == "v"

    def test_is_replaced_in_its_spelling(self, spelled, before, after):
        words = [*before, *spelled("flag", "v"), *after]
        assert with_replaced(words, "flag", "new") == [*before, *spelled("flag", "new"), *after]


@pytest.mark.parametrize("spelled", SPELLINGS.values(), ids=SPELLINGS)
@pytest.mark.parametrize("value", ["", "a=b", "=a", "x-a:a,x-b:b", "-dash", "--dashes", " blank ", "two\nlines"])
def test_a_value_may_be_anything(spelled, value):
    assert go_flags.flag_value(with_replaced(spelled("flag", "old"), "flag", value), "flag") == value


@pytest.mark.parametrize(
    "words",
    [
        pytest.param([], id="no words"),
        pytest.param(["-flags", "v"], id="a longer name"),
        pytest.param(["-fla", "v"], id="a shorter name"),
        pytest.param(["-Flag", "v"], id="another case"),
        pytest.param(["---flag", "v"], id="three dashes"),
        pytest.param(["flag=v"], id="no dash"),
        pytest.param(["--", "-flag", "v"], id="after --"),
        pytest.param(["-other=w", "--", "-flag=v"], id="after -- and another flag"),
        pytest.param(["stray", "-flag", "v"], id="after a stray positional"),
        pytest.param(["-other", "w", "stray", "-flag", "v"], id="after a flag, its value and a stray positional"),
        pytest.param(["-other=w", "stray", "-flag", "v"], id="after a flag with = and a stray positional"),
        pytest.param(["-other=w", "-", "-flag", "v"], id="after a single dash"),
        pytest.param(["-other", "flag"], id="as the value of another"),
    ],
)
def test_what_is_not_the_flag_is_not_read_as_it(words):
    assert go_flags.flag_value(words, "flag") is None


def test_a_name_is_no_pattern():
    assert go_flags.flag_value(["-fxag=v"], "f.ag") is None


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["-flag", "one", "-flag", "two"], id="one spelling"),
        pytest.param(["--flag=one", "-flag", "two"], id="two spellings"),
        pytest.param(["-flag", "one", "-other", "w", "--flag=two"], id="apart"),
        pytest.param(["-flag=one", "-flag=two", "--", "-flag=three"], id="and once more where no flag counts"),
    ],
)
class TestOfARepeatedFlag:
    def test_the_last_counts(self, words):
        assert go_flags.flag_value(words, "flag") == "two"

    def test_the_one_that_counts_is_replaced(self, words):
        assert go_flags.flag_value(with_replaced(words, "flag", "new"), "flag") == "new"

    def test_those_that_do_not_count_go(self, words):
        result = with_replaced(words, "flag", "new")
        assert [place.value for place in go_flags.flag_places(result, "flag")] == ["new"]

    def test_what_is_no_such_flag_stays(self, words):
        """Words behind the end of the flags may look like one, and are none."""
        gone = [word for word in words if word not in with_replaced(words, "flag", "two")]
        assert [word for word in gone if "flag" not in word and word != "one"] == []


@pytest.mark.parametrize("words", [[], ["-other", "w"], ["stray"], ["-other=w", "--", "-flag=v"]])
def test_an_absent_flag_goes_to_the_front(words):
    assert with_replaced(words, "flag", "new") == ["--flag=new", *words]


def test_a_flag_that_lacks_its_value_gets_one():
    assert with_replaced(["-flag"], "flag", "new") == ["-flag", "new"]


def test_the_words_that_came_in_are_left_alone():
    words = ["-flag", "v"]
    with_replaced(words, "flag", "new")
    assert words == ["-flag", "v"]


# --- any command line -------------------------------------------------------------------------------------------------

NAMES = ("a", "ab", "flag", "flags", "logLevel")
VALUES = st.text("abc=:,-./ ", max_size=6).filter(lambda text: not text.startswith("-"))


@st.composite
def command_lines(draw):
    """Flags in any spelling, and perhaps something that ends them."""
    words = []
    for name, value, spelled in draw(
        st.lists(st.tuples(st.sampled_from(NAMES), VALUES, st.sampled_from(sorted(SPELLINGS))), max_size=5)
    ):
        words += SPELLINGS[spelled](name, value)
    return words + draw(st.sampled_from([[], ["--"], ["--", "-flag=x"], ["stray"], ["stray", "-flag", "x"]]))


def read_by_go(words):
    """What Go's flag package makes of flags that all take a value (flag.go, parseOne)."""
    words, found = list(words), {}
    while words and len(words[0]) > 1 and words[0].startswith("-") and words[0] != "--":
        name, equals, value = words.pop(0).removeprefix("-").removeprefix("-").partition("=")
        found[name] = value if equals else words.pop(0)
    return found


@given(command_lines(), st.sampled_from(NAMES))
def test_a_flag_is_read_as_go_reads_it(words, name):
    assert go_flags.flag_value(words, name) == read_by_go(words).get(name)


@given(command_lines(), st.sampled_from(NAMES), VALUES)
def test_a_replaced_flag_has_the_new_value_and_every_other_its_own(words, name, new):
    assert read_by_go(with_replaced(words, name, new)) == read_by_go(words) | {name: new}


@given(command_lines(), st.sampled_from(NAMES))
def test_a_removed_flag_is_gone_and_every_other_has_its_own(words, name):
    without = [word for kept in go_flags.with_value(words, name, None) for word in kept]
    before, after = read_by_go(words), read_by_go(without)
    assert after == {key: value for key, value in before.items() if key != name}
