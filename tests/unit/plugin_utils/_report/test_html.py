# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The page of a report: what stands on it, and that nothing from outside does anything there."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.aigateway.metering.plugins.plugin_utils._report import html as _html
from ansible_collections.aigateway.metering.plugins.plugin_utils._report import report as _report
from ansible_collections.aigateway.metering.tests.unit.plugin_utils._report.reports import (
    ENTRY,
    LIST,
    prices_of,
    row,
    usage,
)

# What stands where there is no number.
NONE = "\N{EN DASH}"
VOID = {"meta", "line", "rect"}


class Reader(HTMLParser):
    """Reads a page as a browser would: its tags have to match, and its text is what is seen."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def page(*rows, prices=None, **options):
    return _html.to_html(_report.build_report(usage(*rows, **options), prices and prices_of(prices)))


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", '"><img src=x onerror=y>', "a&amp;b", "'"])
def test_a_name_with_markup_is_shown_and_does_nothing(name):
    read = Reader(page(row(name)))
    assert (name in read.texts, read.open) == (True, [])
    assert {"script", "img"} & {tag for tag, dummy in read.tags} == set()


def test_a_name_that_runs_from_right_to_left_is_isolated():
    assert "<bdi>אב</bdi>" in page(row("אב"))


def test_the_page_loads_nothing():
    read = Reader(page())
    assert [attributes for dummy, attributes in read.tags if {"src", "href"} & attributes.keys()] == [
        {"href": anchor} for anchor in ("#by-0", "#by-1", "#rows", "#notes")
    ]


def test_every_table_says_what_it_is_and_each_row_has_a_head():
    read = Reader(page(row(), row("team-b")))
    counts = {tag: sum(1 for found, dummy in read.tags if found == tag) for tag in ("table", "caption")}
    scopes = [attributes.get("scope") for tag, attributes in read.tags if tag == "th"]
    assert (counts, set(scopes)) == ({"table": 3, "caption": 3}, {"row", "col"})


def cells(text):
    """The texts of each row of the tables by a dimension, by its name."""
    rows = re.findall(r'<tr><th scope="row" class="name">(.*?)</tr>', text.partition('id="rows"')[0])
    plain = [re.sub(r"<[^>]*>", "|", line) for line in rows]
    return {line.strip("|").split("|")[0]: [cell for cell in line.split("|") if cell][1:] for line in plain}


def test_what_has_no_price_stands_in_a_column_of_its_own():
    found = cells(page(row("team-a"), row("team-b", model="other"), prices=LIST))
    assert (found["team-a"][-2:], found["team-b"][-2:]) == (["3.00", NONE], [NONE, "1\u202f100\u202f000"])
    assert found["all"][-2:] == ["3.00", "1\u202f100\u202f000"]


def test_where_everything_has_a_price_nothing_speaks_of_what_has_none():
    assert "without a price" not in page(row(), prices=LIST)


def test_a_page_without_prices_has_no_money():
    assert cells(page(row()))["team-a"] == ["3", "1\u202f100\u202f000"]


def test_the_bar_has_input_cached_input_and_output_and_is_as_long_as_its_part_of_the_longest():
    half = row("team-b", input=500_000, output=50_000, cached_input=0)
    text = page(row("team-a"), half)
    found = re.findall(r'<i class="(\w+)" style="width: ([\d.]+)%"', text)
    assert found[:5] == [("input", "54.5"), ("cached", "36.4"), ("output", "9.1"), ("input", "45.5"), ("output", "4.5")]


def test_the_head_says_who_what_when_and_by_which_prices():
    head = _html.PageHead("https://cluster", "production", "prices.yml")
    read = Reader(_html.to_html(_report.build_report(usage()), head))
    for text in ("AI gateway usage, November 2026", "https://cluster", "production", "prices.yml"):
        assert text in read.texts
    assert "2026-11-01 00:00 to 2026-12-01 00:00, UTC" in read.texts


@pytest.mark.parametrize(
    ("doubts", "tokens", "said"),
    [
        ([], 0, "Nothing is in doubt: these are all tokens of the period."),
        (["x"], 0, "1 doubt, of which it is not known how many tokens they are."),
        (["x", "y"], 11_000, "2 doubts, which may be some 11\u202f000 tokens (1.0 % of the total)."),
    ],
)
def test_how_sure_the_numbers_are_is_said_in_a_line(doubts, tokens, said):
    report = _report.build_report(usage(doubts=doubts) | {"doubtful_tokens": tokens})
    assert said in _html.to_html(report)


def test_the_month_before_stands_beside_each_row():
    before = usage(row("team-a", input=1, output=1)) | {
        "start": "2026-10-01T00:00:00+00:00",
        "end": "2026-11-01T00:00:00+00:00",
    }
    found = cells(_html.to_html(_report.build_report(usage(row("team-a"), row("team-b"))), None, before))
    assert (found["team-a"][2], found["team-b"][2], found["all"][2]) == ("2", "0", "2")


def test_who_has_used_nothing_any_more_is_a_part_of_the_month_before():
    before = usage(row("team-a"), row("gone")) | {"start": "2026-10-01T00:00:00+00:00"}
    found = cells(_html.to_html(_report.build_report(usage(row("team-a"))), None, before))
    assert (found["gone"][1], found["gone"][2]) == ("0", "1\u202f100\u202f000")


def test_names_that_are_shown_alike_count_once_each():
    rows = [row("a\x01", input=1000, output=0), row("a\x02", input=1, output=0)]
    rows += [row(f"team-{number:02}", input=100, output=0) for number in range(12)]
    assert cells(page(*rows))["4 others"][1] == "301"


def test_the_first_ten_are_shown_and_the_others_on_demand():
    rows = [row(f"team-{number:02}", input=1000 * (60 - number)) for number in range(60)]
    text = page(*rows)
    assert "<summary>The 50 others</summary>" in text
    shown, others = text.split("<summary>The 50 others</summary>")
    assert ("team-09" in shown, "team-10" in shown, "team-59" in others) == (True, False, True)


def test_others_add_up_with_the_first_to_all():
    rows = [row(f"team-{number:02}", input=1000 * (60 - number), output=0) for number in range(60)]
    found = cells(page(*rows))
    first = sum(1000 * (60 - number) for number in range(10))
    assert int(found["50 others"][1].replace("\u202f", "")) + first == sum(range(1, 61)) * 1000


def test_a_page_of_a_namespace_has_nothing_of_another():
    rows = (row("team-a"), row("team-b"), row(""))
    report = _report.build_report(usage(*rows, doubts=["the pod of team-b restarted"]), prices_of(LIST))
    parts = _report.by_namespace(report)
    assert list(parts) == ["team-a", "team-b"]
    assert parts["team-a"].unpriced == ()
    for text in (_html.to_html(parts["team-a"], _html.PageHead(about="team-a")), _report.to_csv(parts["team-a"])):
        assert "team-b" not in text
        assert "team-a" in text
    assert parts["team-a"].amount == _report.build_report(usage(row()), prices_of(LIST)).amount


@pytest.mark.parametrize("name", ["../../etc/passwd", "..", "/", "a b", "ä" * 300, "a%2f"])
def test_a_namespace_is_no_path_and_has_a_file_of_its_own(name):
    found = _report.file_name(name)
    assert re.fullmatch(r"namespace-[A-Za-z0-9_.%~-]{1,200}", found)
    assert found != _report.file_name(name + "x")


@pytest.mark.parametrize(("part", "whole", "share"), [(1, 3, "33.3"), (2, 3, "66.7"), (0, 5, "0.0"), (5, 5, "100.0")])
def test_a_share_is_rounded_to_one_digit(part, whole, share):
    assert _html._share(part, whole) == share


def test_an_empty_period_says_so():
    nothing = {**usage(), "rows": [], "tokens": {}, "total": 0, "requests": 0}
    assert "Nothing was used in this period." in _html.to_html(_report.build_report(nothing))


def test_many_tenants_and_models_make_a_page_that_holds_together():
    rows = [row(f"team-{team}", f"model-{model}") for team in range(500) for model in range(40)]
    read = Reader(page(*rows, prices={**LIST, "prices": [{**ENTRY, "model": "*"}]}))
    # Every row, each namespace and model once, heads, and what others and all come to.
    assert (read.open, sum(1 for tag, dummy in read.tags if tag == "tr")) == ([], 20_000 + 500 + 40 + 9)


def of_days(*totals):
    nothing: dict[str, int] = {}
    days = [
        {"date": f"2026-11-{day:02}", "tokens": nothing, "total": total, "requests": 1}
        for day, total in enumerate(totals, start=1)
    ]
    return _html.to_html(_report.build_report(usage() | {"days": days}))


def test_the_chart_has_a_column_and_the_table_a_row_for_each_day():
    text = of_days(1, 2, 4)
    heights = [float(height) for height in re.findall(r'<rect .*? height="([\d.]+)"', text)]
    assert heights == [heights[2] / 4, heights[2] / 2, heights[2]]
    assert re.findall(r"<time>(.*?)</time>", text) == ["2026-11-01", "2026-11-02", "2026-11-03"]


def test_each_day_can_be_reached_by_keyboard_and_says_its_value():
    found = re.findall(r'tabindex="0" role="img" aria-label="(.*?)"', of_days(1000, 2))
    assert found == ["2026-11-01: 1\u202f000 tokens", "2026-11-02: 2 tokens"]


@given(st.integers(1, 10**15))
def test_an_axis_ends_at_a_round_number_with_quarters(most):
    top = _html._nice(most)
    assert (top >= most, top % 4, top <= max(4, 2.5 * most)) == (True, 0, True)


def test_a_single_day_is_no_trend():
    assert "By day" not in page(row())
