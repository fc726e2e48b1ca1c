# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tokens from stored samples, against a count of what the processes really did."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.aigateway.metering.plugins.module_utils._prometheus import identity
from ansible_collections.aigateway.metering.plugins.module_utils._usage.counter import Counter, Sample
from ansible_collections.aigateway.metering.plugins.module_utils._usage.scrape_history import Presence

START, END = 100.0, 200.0


def samples(*pairs):
    return [Sample(float(time), value) for time, value in pairs]


def followed(*sources, new=False):
    counter = Counter()
    counter.follow(sources, START, END, lambda *_: new)
    return counter


@pytest.mark.parametrize(
    ("sources", "total"),
    [
        pytest.param([samples((90, 5), (150, 8))], 3, id="the sample before the period is carried in"),
        pytest.param([samples((90, 5), (100, 7), (150, 8))], 1, id="what was scraped at the start belongs to before"),
        pytest.param([samples((90, 5), (200, 8), (210, 9))], 3, id="what was scraped at the end belongs to it"),
        pytest.param([samples((90, 5), (150, 2), (160, 4))], 4, id="a reset begins at 0"),
        pytest.param([samples((90, 5), (95, 2), (150, 3))], 1, id="a reset before the period"),
        pytest.param([samples((110, 5), (150, 8))], 3, id="a first value of unknown age is not growth"),
        pytest.param([samples((90, 5), (150, 8)), samples((91, 5), (151, 8))], 3, id="scraped twice counts once"),
        pytest.param([samples((90, 5), (120, 6)), samples((140, 8), (160, 9))], 4, id="one monitor after another"),
        pytest.param(
            [samples((90, 50), (120, 60)), samples((140, 3), (160, 9))], 19, id="another monitor after a restart"
        ),
        pytest.param(
            [samples((90, 5), (150, 9), (180, 9)), samples((151, 8), (181, 9))], 4, id="an answer older than its time"
        ),
        pytest.param(
            [samples((90, 50), (120, 4), (150, 7)), samples((91, 50), (121, 4), (151, 7))],
            7,
            id="a restart that two have seen",
        ),
        pytest.param([[]], 0, id="nothing"),
    ],
)
def test_growth_is_what_each_life_of_the_process_has_added(sources, total):
    assert followed(*sources).total == total


def test_a_counter_that_is_known_to_be_new_counts_from_0():
    assert followed(samples((110, 5), (150, 8)), new=True).total == 8


def test_a_first_value_of_unknown_age_is_a_doubt():
    assert followed(samples((110, 5), (150, 8))).baseline == 5


SERIES = {"pod": "p", "job": "a", "user_namespace": "x", "gen_ai_token_type": "input", "service": "s"}


def test_what_the_target_carries_is_no_part_of_a_counter():
    one = identity.identity_of({**SERIES, "team": "y"}, {"pod": "p", "job": "a", "team": "y"}, "p")
    other = identity.identity_of({**SERIES, "job": "b"}, {"pod": "p", "job": "b"}, "p")
    assert one == other


def test_what_the_sidecar_says_is_a_part_of_a_counter_whatever_its_name():
    target = {"pod": "p", "job": "a"}
    assert identity.identity_of(SERIES, target, "p") != identity.identity_of({**SERIES, "service": "t"}, target, "p")


def test_where_the_target_is_not_known_the_usual_labels_of_a_scrape_do_not_count():
    assert identity.identity_of(SERIES, None, "p") == identity.identity_of({**SERIES, "job": "b"}, None, "p")


def test_both_forms_of_a_name_are_one_counter():
    dotted, plain = {"gen_ai.token.type": "input"}, {"gen_ai_token_type": "input"}
    assert identity.identity_of(dotted, {}, "p") == identity.identity_of(plain, {}, "p")


def test_two_pods_are_two_counters():
    assert identity.identity_of(SERIES, None, "p") != identity.identity_of(SERIES, None, "q")


@pytest.mark.parametrize(
    ("targets", "found"),
    [
        ([], None),
        ([{"job": "b"}], None),
        ([{"job": "a"}, {"job": "a", "pod": "p"}, {"job": "a", "pod": "q"}], {"job": "a", "pod": "p"}),
    ],
)
def test_the_target_of_a_series_is_the_one_whose_labels_it_carries(targets, found):
    assert identity.target_of(SERIES, targets) == found


REGULAR = [float(time) for time in range(100, 200, 5)]


def missed(seen, alive=None):
    presence = Presence()
    presence.look([time for time in seen if time <= END])
    return presence.ended(alive)


@pytest.mark.parametrize(
    ("seen", "found"),
    [
        pytest.param(REGULAR, [], id="regular"),
        pytest.param([], [], id="never"),
        pytest.param([*REGULAR, *REGULAR], [], id="told twice"),
        pytest.param([*REGULAR, *(time + 1 for time in REGULAR)], [], id="by two"),
        pytest.param([time for time in REGULAR if not 130 < time < 160], [(130.0, 160.0)], id="a gap"),
        pytest.param([time for time in REGULAR if time != 150], [], id="one scrape that failed"),
    ],
)
def test_when_a_target_was_not_scraped_is_told(seen, found):
    assert missed(seen) == found


@pytest.mark.parametrize(
    ("alive", "found"),
    [
        pytest.param((START, END), [(100.0, 140.0), (160.0, 200.0)], id="before and after"),
        pytest.param((135.0, 165.0), [], id="there hardly longer than it was scraped"),
    ],
)
def test_what_is_known_to_have_been_there_and_was_not_scraped_is_told(alive, found):
    assert missed([140.0, 145.0, 150.0, 155.0, 160.0], alive) == found


def test_what_was_never_scraped_although_it_was_there_is_told():
    assert missed([], (START, 1000.0)) == [(START, 1000.0)]


def test_a_gap_between_two_pieces_is_told():
    presence = Presence()
    presence.look([100.0, 105.0, 110.0])
    presence.look([150.0, 155.0])
    assert presence.ended(None) == [(110.0, 150.0)]


def test_a_piece_in_which_all_was_steady_has_no_gap():
    presence = Presence()
    presence.look([100.0, 105.0, 110.0])
    presence.steady(150.0)
    presence.look([152.0, 157.0])
    assert presence.ended((START, 160.0)) == []


def test_a_new_interval_is_usual_once_it_has_shown():
    presence = Presence()
    presence.look([float(time) for time in range(0, 300, 5)])
    presence.look([float(time) for time in range(300, 3000, 60)])
    assert presence.ended(None)[1:] == []


# --- against a count of what really happened --------------------------------------------------------------------------


@dataclass(frozen=True)
class History:
    """What a process really counted: at each second, which life of it that is and what it has counted in that."""

    values: list[tuple[int, int]]

    def seen_by(self, times):
        return [Sample(float(time), self.values[time][1]) for time in times]


@st.composite
def histories(draw):
    """A counter over 300 seconds, with restarts; after one it has counted less than before it for a while."""
    values, life, value = [], 0, draw(st.integers(0, 1000))
    restarts = draw(st.sets(st.integers(20, 280), max_size=3))
    steps = draw(st.lists(st.integers(0, 9), min_size=300, max_size=300))
    for second in range(300):
        if second in restarts:
            life, value = life + 1, 0
        value += steps[second]
        values.append((life, value))
    return History(values)


@st.composite
def scrapes(draw, first=0, last=299):
    """When one scraper looks: regularly, with gaps, over a part of the time."""
    begin = draw(st.integers(first, last))
    until = draw(st.integers(begin, last))
    gaps = draw(st.sets(st.integers(0, 59), max_size=10))
    return [time for index, time in enumerate(range(begin, until + 1, 5)) if index not in gaps]


def counted_by_hand(history, looks):
    """For each life, the most that was seen of it in the period less the most that was seen of it before."""
    seen = sorted(set().union(*looks))
    total = 0
    lives = sorted({history.values[time][0] for time in seen})
    for number in lives:
        own = [time for time in seen if history.values[time][0] == number]
        before = [history.values[time][1] for time in own if time <= START]
        inside = [history.values[time][1] for time in own if START < time <= END]
        is_first = number == lives[0] and not before and inside
        base = max(before) if before else (inside[0] if is_first else 0)
        total += max(inside) - base if inside else 0
    return total


def hides_a_restart(history, looks):
    """Whether some restart cannot be seen: the counter has caught up before anybody looked again."""
    return any(
        history.values[earlier][0] != history.values[later][0]
        and history.values[later][1] >= history.values[earlier][1]
        for look in [sorted(set().union(*looks)), *looks]
        for earlier, later in pairwise(look)
    )


@given(histories(), st.lists(scrapes(), min_size=1, max_size=3))
def test_growth_equals_what_was_counted_by_hand(history, looks):
    if hides_a_restart(history, looks):
        return
    assert followed(*map(history.seen_by, looks)).total == counted_by_hand(history, looks)


@given(histories(), scrapes(), st.integers(1, 298))
def test_two_periods_add_up_to_the_whole(history, look, middle):
    own = history.seen_by(look)

    def total(start, end):
        counter = Counter()
        counter.follow([own], start, end, lambda *_: True)
        return counter.total

    assert total(-1, middle) + total(middle, 299) == total(-1, 299)


@given(histories(), st.lists(scrapes(), min_size=1, max_size=3))
def test_a_second_scraper_never_adds_to_what_a_first_that_saw_everything_has(history, looks):
    everything = [range(0, 300)]
    assert (
        followed(*map(history.seen_by, [*everything, *looks])).total
        == followed(*map(history.seen_by, everything)).total
    )
