# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reports in every form: rows, amounts, CSV, FOCUS."""

from __future__ import annotations

import base64
import csv
import datetime
import io
import json
import re
from decimal import Decimal

import pytest
from ansible.errors import AnsibleFilterError
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.aigateway.metering.plugins.filter.usage_report import usage_report
from ansible_collections.aigateway.metering.plugins.module_utils import _calendar
from ansible_collections.aigateway.metering.plugins.module_utils._errors import MeteringError
from ansible_collections.aigateway.metering.plugins.module_utils._gateway import exposition
from ansible_collections.aigateway.metering.plugins.module_utils._prometheus import token_types
from ansible_collections.aigateway.metering.plugins.plugin_utils._report import focus as _focus
from ansible_collections.aigateway.metering.plugins.plugin_utils._report import html as _html
from ansible_collections.aigateway.metering.plugins.plugin_utils._report import prices as _prices
from ansible_collections.aigateway.metering.plugins.plugin_utils._report import report as _report
from ansible_collections.aigateway.metering.plugins.plugin_utils._report.price_file import load_prices
from ansible_collections.aigateway.metering.tests.unit.plugin_utils._report.reports import (
    ENTRY,
    LIST,
    PRICES,
    prices_of,
    row,
    usage,
    used,
)

# --- the period -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "zone", "now", "start", "end"),
    [
        pytest.param(
            "last_month",
            "UTC",
            "2026-11-25T02:00:00",
            "2026-10-01T00:00:00+00:00",
            "2026-11-01T00:00:00+00:00",
            id="utc",
        ),
        pytest.param(
            "last_month",
            "Europe/Berlin",
            "2026-11-25T02:00:00",
            "2026-10-01T00:00:00+02:00",
            "2026-11-01T00:00:00+01:00",
            id="across the change of the clock",
        ),
        pytest.param(
            "last_month",
            "UTC",
            "2026-01-01T00:00:00",
            "2025-12-01T00:00:00+00:00",
            "2026-01-01T00:00:00+00:00",
            id="january",
        ),
        pytest.param(
            "this_month",
            "Asia/Shanghai",
            "2026-10-31T17:00:00",
            "2026-11-01T00:00:00+08:00",
            "2026-11-01T01:00:00+08:00",
            id="this month has begun there already",
        ),
        pytest.param(
            "yesterday",
            "Europe/Berlin",
            "2026-03-30T12:00:00Z",
            "2026-03-29T00:00:00+01:00",
            "2026-03-30T00:00:00+02:00",
            id="a day of 23 hours",
        ),
    ],
)
def test_a_period_of_the_calendar_begins_and_ends_in_its_zone(name, zone, now, start, end):
    assert _calendar.period(name, zone, now) == {"start": start, "end": end}


def test_two_times_are_in_the_zone_unless_they_say_another():
    found = _calendar.parse_period("Europe/Berlin", "", begin="2026-11-01", end="2026-11-02T00:00:00Z")
    assert found == {"start": "2026-11-01T00:00:00+01:00", "end": "2026-11-02T00:00:00+00:00"}


@pytest.mark.parametrize(
    ("zone", "options", "message"),
    [
        ("Nowhere/Land", {}, "'Nowhere/Land' is not a known time zone"),
        ("UTC", {"name": "next_month"}, "'next_month' is not a known period"),
        ("UTC", {"begin": "2026-11-01"}, "report_from and report_to together"),
        ("UTC", {"name": "yesterday", "begin": "2026-11-01", "end": "2026-11-02"}, "report_period alone"),
        ("UTC", {"begin": "soon", "end": "2026-11-02"}, "report_from is 'soon'"),
    ],
)
def test_what_is_no_period_is_told(zone, options, message):
    with pytest.raises(MeteringError, match=message):
        _calendar.parse_period(zone, "2026-11-25T02:00:00", **options)


# --- prices -----------------------------------------------------------------------------------------------------------


def test_the_parts_of_a_type_cost_their_own_rate_and_not_twice():
    # 600,000 input at 2.50, 400,000 cached at 1.25, and the reasoning, which has no rate of its own, as output.
    assert prices_of(LIST).prices[0].cost(used()) == Decimal("1.5") + Decimal("0.5") + Decimal("1")


@given(st.integers(0, 10**12), st.integers(0, 10**12))
def test_cost_is_exact_however_many_tokens(tokens, output):
    price = prices_of({"currency": "EUR", "prices": [{"model": "*", "per_million": {"input": 0.1, "output": 0.2}}]})
    cost = price.prices[0].cost({"input": tokens, "output": output})
    assert cost * 10_000_000 == tokens + 2 * output


@pytest.mark.parametrize(
    ("model", "day", "rate"),
    [
        ("chat-large", "2026-11-01", "9"),
        ("chat-small", "2026-11-01", "2"),
        ("chat-small", "2025-11-01", "1"),
        ("other", "2026-11-01", None),
    ],
)
def test_the_first_pattern_that_fits_has_the_price_at_its_latest(model, day, rate):
    rates = {"output": 0}
    known = prices_of(
        {
            "currency": "EUR",
            "prices": [
                {"model": "chat-large", "per_million": {"input": 9, **rates}},
                {"model": "chat-*", "per_million": {"input": 1, **rates}},
                {"model": "chat-*", "per_million": {"input": 2, **rates}, "valid_from": "2026-01-01"},
            ],
        }
    )
    found = known.of(model, datetime.date.fromisoformat(day))
    assert (found and str(found.per_million["input"])) == rate


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "needs currency and a list prices"),
        ({"currency": "EURO", "prices": []}, "three letters"),
        ({"currency": "EUR", "prices": ["x"]}, "entry 1 names no model"),
        ({"currency": "EUR", "prices": [{"model": "x"}]}, r"entry 1 \(x\) needs per_million"),
        ({"currency": "EUR", "prices": [{**ENTRY, "per_million": {"input": -1, "output": 1}}]}, "input is -1"),
        ({"currency": "EUR", "prices": [{**ENTRY, "per_million": {"input": "1_000", "output": 1}}]}, "not a number"),
        ({"currency": "EUR", "prices": [{**ENTRY, "per_million": {"input": "1,5", "output": 1}}]}, "not a number"),
        ({"currency": "EUR", "prices": [{**ENTRY, "model": "chat "}]}, "a blank before or after"),
        ({"currency": "EUR", "prices": [ENTRY, ENTRY]}, "entries 1 and 2 both price chat-"),
        ({"currency": "EUR", "prices": [ENTRY, {**ENTRY, "model": "chat-l*"}]}, r"entry 2 \(chat-l\*\) is never used"),
        ({"currency": "EUR", "price": [], "prices": []}, "unknown key price"),
        ({"currency": "EUR", "prices": [{**ENTRY, "per_million": {"input": "x", "output": 1}}]}, "not a number"),
        (
            {"currency": "EUR", "prices": [{**ENTRY, "per_million": {"input": 1, "output": 1, "in": 1}}]},
            "unknown type in",
        ),
        ({"currency": "EUR", "prices": [{**ENTRY, "valid_from": "soon"}]}, "not a date such as"),
        ({"currency": "EUR", "prices": [{**ENTRY, "valid_from": "2026-01-01 00:00:00"}]}, "not a date such as"),
        ({"currency": "EUR", "prices": [{**ENTRY, "price": 1}]}, "unknown key price"),
        ({"currency": "EUR", "digits": "two", "prices": []}, "digits is 'two'"),
        (
            {"currency": "EUR", "prices": [{**ENTRY, "per_million": {"input": "1e26", "output": 1}}]},
            "more than 9 digits",
        ),
        ({"currency": "EUR", "prices": [{**ENTRY, "per_million": {"input": "-0", "output": 1}}]}, "no minus sign"),
    ],
)
def test_a_price_list_that_is_none_is_told(document, message):
    with pytest.raises(MeteringError, match=message):
        prices_of(document)


@pytest.mark.parametrize("model", ["claude-sonnet-4-6[1m]", "a+b", "(x|y)", "[!a]", "^$", "a.b", "\\d", "line\nbreak"])
def test_a_model_matches_its_own_name_and_no_other(model):
    known = prices_of({**LIST, "prices": [{**ENTRY, "model": model}]})
    day = datetime.date(2026, 1, 1)
    assert known.of(model, day) is not None
    assert [other for other in ("claude-sonnet-4-61", "aab", "x", "b", "", "axb", "7") if known.of(other, day)] == []


@given(st.text(max_size=6), st.text("ab*?[]!.", max_size=6))
def test_only_the_star_and_the_question_mark_are_special(model, pattern):
    def matches(text, wanted):
        if not wanted:
            return not text
        if wanted[0] == "*":
            return any(matches(text[index:], wanted[1:]) for index in range(len(text) + 1))
        return bool(text) and wanted[0] in ("?", text[0]) and matches(text[1:], wanted[1:])

    price = _prices.Price(pattern, datetime.date(2026, 1, 1), {})
    assert price.matches(model) == matches(model, pattern)


@given(st.text("ab*?", min_size=1, max_size=5), st.text("ab*?", min_size=1, max_size=5), st.text("ab", max_size=6))
def test_what_a_pattern_hides_it_matches(earlier, later, model):
    first, second = (_prices.Price(pattern, datetime.date(2026, 1, 1), {}) for pattern in (earlier, later))
    if first.hides(second) and second.matches(model):
        assert first.matches(model)


@pytest.mark.parametrize(
    ("text", "model"),
    [
        ("4.10", "4.10"),
        ("on", "on"),
        ("1:30", "1:30"),
        ("0x10", "0x10"),
        ("2026-01-01", "2026-01-01"),
        ("~", "~"),
        ("!!int 7", "7"),
    ],
)
def test_a_price_list_is_read_as_it_is_written(text, model):
    known = load_prices(f"currency: EUR\nprices:\n- {{model: {text}, per_million: {{input: 0.1, output: 1e-7}}}}\n")
    assert known.prices[0].model == model
    assert known.prices[0].per_million == {"input": Decimal("0.1"), "output": Decimal("0.0000001")}


def test_a_key_that_stands_twice_in_a_price_list_is_told():
    text = "currency: EUR\nprices:\n- model: a\n  per_million: {input: 1, output: 2, input: 3}\n"
    with pytest.raises(MeteringError, match="line 4 has the key input a second time"):
        load_prices(text)


def test_a_part_that_is_beside_its_whole_is_charged_in_full_and_nothing_taken_off():
    # 5000 input and 4000 cached beside it: 5000 at 2.50, 4000 at 1.25 for a million.
    price = prices_of(LIST).prices[0]
    tokens, beside = {"input": 5000, "cached_input": 4000}, {"cached_input": 4000}
    assert price.cost(tokens, beside) == Decimal("0.0125") + Decimal("0.005")
    dear = prices_of({**LIST, "prices": [{"model": "*", "per_million": {"input": 1, "output": 1}}]}).prices[0]
    assert dear.cost(tokens, beside) == Decimal("0.009")


def test_a_price_that_changes_within_the_period_is_refused_with_how_to_go_on():
    changing = {**LIST, "prices": [ENTRY, {**ENTRY, "valid_from": "2026-11-15"}]}
    with pytest.raises(MeteringError, match=r"changes on 2026-11-15.*report_to=2026-11-15"):
        _report.build_report(usage(), prices_of(changing))


MONTH = {"start": "2026-10-31T23:00:00+00:00", "end": "2026-11-30T23:00:00+00:00"}


def test_a_price_that_begins_with_the_period_in_its_zone_holds_in_it():
    dearer = {"model": "chat-*", "valid_from": "2026-11-01", "per_million": {"input": 5, "output": 0}}
    report = _report.build_report(
        usage() | MONTH, prices_of({"currency": "EUR", "prices": [ENTRY, dearer]}), "Europe/Berlin"
    )
    assert report.amount == Decimal("5.00")


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31"])
def test_a_price_of_a_day_of_which_no_time_can_be_told_changes_nothing_in_the_period(day):
    document = {"currency": "EUR", "prices": [ENTRY, {**ENTRY, "model": "other", "valid_from": day}]}
    assert _report.build_report(usage() | MONTH, prices_of(document), "Asia/Tokyo").amount is not None


def test_many_stars_are_no_work():
    assert not _prices.Price("*a" * 12 + "b", datetime.date(2026, 1, 1), {}).matches("a" * 200)


def test_a_price_that_begins_in_the_midst_of_the_last_day_is_refused():
    late = usage() | {"end": "2026-11-15T12:00:00+00:00"}
    with pytest.raises(MeteringError, match="changes on 2026-11-15"):
        _report.build_report(late, prices_of({**LIST, "prices": [ENTRY, {**ENTRY, "valid_from": "2026-11-15"}]}))


def test_a_part_that_exceeds_its_whole_takes_nothing_off_and_is_told():
    report = _report.build_report(usage(row(input=5, output=0, cached_input=1_000_000, reasoning=0)), prices_of(LIST))
    assert report.amount == Decimal("1.25")
    assert any("more tokens in the parts of input than input tokens" in line for line in _report.report_table(report))


@pytest.mark.parametrize("text", ["", "# nothing", "{"])
def test_a_file_that_is_no_price_list_is_told(text):
    with pytest.raises(AnsibleFilterError, match="price list"):
        usage_report(usage(), text)


def test_prices_need_the_model():
    with pytest.raises(MeteringError, match="Add model to report_by"):
        _report.build_report(usage() | {"by": ["namespace"]}, prices_of(LIST))


# --- the forms --------------------------------------------------------------------------------------------------------


def test_what_is_shown_adds_up():
    rows = [row(f"team-{number}", input=1, output=0, cached_input=0, reasoning=0) for number in range(3)]
    report = _report.build_report(usage(*rows), prices_of({"currency": "EUR", "digits": 6, "prices": [ENTRY]}))
    assert report.amount == sum(item.amount or Decimal(0) for item in report.rows)


def test_a_model_without_a_price_is_named_and_is_not_free():
    report = _report.build_report(usage(row(), row(model="other")), prices_of(LIST))
    assert ([item.amount for item in report.rows], report.unpriced) == ([Decimal("3.00"), None], ("other",))
    assert "without a price, and not part of any amount: other" in _report.report_table(report)


def test_the_table_has_a_line_for_each_row_and_one_for_all():
    lines = _report.report_table(_report.build_report(usage(row(), row("team-b"))))
    assert [line.split()[0] for line in lines[1:5]] == ["namespace", "team-a", "team-b", "all"]


def test_doubts_are_in_every_form_for_people():
    assert "doubt: p was not scraped." in _report.report_table(
        _report.build_report(usage(doubts=["p was not scraped."]))
    )


@pytest.mark.parametrize("name", ["=HYPERLINK(1)", "+1", "-1", "@x", "\t=1", " =1", "\n=1"])
def test_no_cell_is_a_formula(name):
    (dummy, line) = csv.reader(io.StringIO(_report.to_csv(_report.build_report(usage(row(name))))))
    assert line[2] == f"'{name}"


@pytest.mark.parametrize("name", ['a"b', "a,b", "a\nb", "\u202eabc", "<b>"])
def test_csv_and_json_carry_any_name(name):
    report = _report.build_report(usage(row(name)))
    (dummy, line) = csv.reader(io.StringIO(_report.to_csv(report), newline=""))
    assert (line[2], json.loads(_report.to_json(report))["rows"][0]["namespace"]) == (name, name)


@pytest.mark.parametrize("name", ["\x1b[31mred", "\u202eabc", "a\rb"])
def test_no_name_steers_the_terminal(name):
    text = "".join(_report.report_table(_report.build_report(usage(row(name)))))
    assert text.isprintable()


LONG = "x" * 5000


def test_a_long_name_widens_no_row_of_a_table_and_is_whole_in_the_files():
    found = usage(row(LONG), row())
    assert max(map(len, _report.report_table(_report.build_report(found)))) < 250
    assert LONG in _report.to_csv(_report.build_report(found))
    assert LONG in _report.to_json(_report.build_report(found))


def test_a_long_doubt_is_cut_in_a_line_and_whole_in_the_files():
    found = _report.build_report(usage(doubts=[f"tokens of {LONG} were there"]))
    (told,) = [text for text in _report.report_table(found) if text.startswith("doubt: ")]
    assert len(told) < 700
    assert LONG in _report.to_json(found)


def test_of_long_names_the_beginning_and_the_end_are_shown():
    (line,) = [
        text for text in _report.report_table(_report.build_report(usage(row(f"team{LONG}-a")))) if "team" in text
    ]
    name = line.split()[0]
    assert (name[:5], name[-3:], len(name)) == ("teamx", "x-a", 80)


def test_the_same_input_in_another_order_makes_the_same_bytes():
    rows = [row(), row("team-b"), row("team-c")]
    one, other = usage(*rows), usage(*reversed(rows))
    assert usage_report(one, PRICES) == usage_report(other, PRICES)


def test_nothing_used_is_a_report_as_well():
    nothing = {**usage(), "rows": [], "tokens": {}, "total": 0, "requests": 0}
    assert usage_report(nothing, PRICES)["csv"].count("\r\n") == 1


def focus(*rows, **more):
    return list(
        csv.DictReader(
            io.StringIO(_focus.to_focus_csv(_report.build_report(usage(*rows) | more, prices_of(LIST)), "cluster-1"))
        )
    )


def test_focus_charges_every_token_once_at_its_rate():
    charged = {
        line["x_TokenType"]: (line["ConsumedQuantity"], line["ListUnitPrice"], line["BilledCost"]) for line in focus()
    }
    assert charged == {
        "input": ("600000.0", "2.5", "1.5"),
        "cached_input": ("400000.0", "1.25", "0.5"),
        "output": ("100000.0", "10.0", "1.0"),
    }


@given(st.dictionaries(st.sampled_from(token_types.TYPES), st.integers(0, 10**12)))
def test_focus_adds_up_to_the_exact_cost(tokens):
    price = prices_of(LIST).prices[0]
    lines = focus(row(**dict.fromkeys(token_types.TYPES, 0) | tokens))
    assert sum(Decimal(line["BilledCost"]) for line in lines) == price.cost(tokens)


# FOCUS 1.2: mandatory and recommended columns, and those conditional ones that apply to usage priced by a list.
COLUMNS = [
    "BilledCost",
    "BillingAccountId",
    "BillingAccountName",
    "BillingCurrency",
    "BillingPeriodEnd",
    "BillingPeriodStart",
    "ChargeCategory",
    "ChargeDescription",
    "ChargeFrequency",
    "ChargePeriodEnd",
    "ChargePeriodStart",
    "ConsumedQuantity",
    "ConsumedUnit",
    "ContractedCost",
    "ContractedUnitPrice",
    "EffectiveCost",
    "InvoiceIssuerName",
    "ListCost",
    "ListUnitPrice",
    "PricingCategory",
    "PricingCurrency",
    "PricingCurrencyContractedUnitPrice",
    "PricingCurrencyEffectiveCost",
    "PricingCurrencyListUnitPrice",
    "PricingQuantity",
    "PricingUnit",
    "ProviderName",
    "PublisherName",
    "ServiceCategory",
    "ServiceName",
    "ServiceSubcategory",
    "SkuId",
    "SkuMeter",
    "SkuPriceDetails",
    "SkuPriceId",
    "SubAccountId",
    "SubAccountName",
    "Tags",
]
# Mandatory or recommended as well, and null where nothing is corrected, invoiced or committed.
NULL = ["ChargeClass", "CommitmentDiscountStatus", "InvoiceId"]


def test_focus_has_every_column_with_a_value_but_for_those_that_have_none_here():
    for line in focus():
        own = {name: text for name, text in line.items() if not name.startswith("x_")}
        assert sorted(own) == sorted([*COLUMNS, *NULL])
        assert sorted(name for name, text in own.items() if not text) == NULL


def test_focus_bills_in_the_name_of_who_provides():
    """BilledCost may be other than 0 only where the provider issues the invoice."""
    for line in focus({**row(), "provider": "aws.bedrock"}, by=["namespace", "model", "provider"]):
        assert line["InvoiceIssuerName"] == line["ProviderName"] == "Envoy AI Gateway"
        assert line["PublisherName"] == "aws.bedrock"


def test_focus_writes_every_number_with_a_point_and_without_an_exponent():
    for line in focus(row(input=3, output=7, cached_input=0, reasoning=0)):
        numbers = [text for name, text in line.items() if name.endswith(("Cost", "Price", "Quantity"))]
        assert [text for text in numbers if not re.fullmatch(r"[0-9]+\.[0-9]+", text)] == []


def test_focus_multiplies_prices_and_quantities_to_costs():
    for line in focus():
        for kind in ("List", "Contracted"):
            product = Decimal(line[f"{kind}UnitPrice"]) * Decimal(line["PricingQuantity"])
            assert product == Decimal(line[f"{kind}Cost"]) == Decimal(line["BilledCost"])


@pytest.mark.parametrize("name", ["=1+1", "-5", "@x", "+49", "\tx", "'quoted'"])
def test_focus_leaves_names_as_they_are(name):
    (line, *dummy) = focus(row(name))
    assert (line["SubAccountId"], line["SubAccountName"]) == (name, name)


@pytest.mark.parametrize(
    ("start", "end", "zone", "begins", "ends"),
    [
        ("2026-11-01T00:00:00+00:00", "2026-12-01T00:00:00+00:00", "UTC", "2026-11-01", "2026-12-01"),
        ("2026-11-05T00:00:00+00:00", "2026-11-15T12:00:00+00:00", "UTC", "2026-11-01", "2026-12-01"),
        ("2026-12-31T00:00:00+00:00", "2027-01-01T00:00:00+00:00", "UTC", "2026-12-01", "2027-01-01"),
        ("2026-10-31T23:00:00+00:00", "2026-11-03T00:00:00+00:00", "Europe/Berlin", "2026-10-31T23", "2026-11-30T23"),
        ("2026-10-20T00:00:00+00:00", "2026-11-03T00:00:00+00:00", "UTC", "2026-10-01", "2026-12-01"),
    ],
)
def test_focus_bills_whole_months_whatever_part_is_reported(start, end, zone, begins, ends):
    report = _report.build_report(usage() | {"start": start, "end": end}, prices_of(LIST), zone)
    line = next(csv.DictReader(io.StringIO(_focus.to_focus_csv(report, "a"))))
    assert line["BillingPeriodStart"].startswith(begins)
    assert line["BillingPeriodEnd"].startswith(ends)
    assert line["ChargePeriodEnd"] == end.replace("+00:00", "Z")


def test_focus_tells_times_in_utc():
    (line, *dummy) = focus(start="2026-11-01T00:00:00+01:00")
    assert line["ChargePeriodStart"] == "2026-10-31T23:00:00Z"


def test_focus_leaves_out_what_has_no_price():
    assert focus(row(model="other")) == []


def test_focus_without_a_charge_still_names_its_columns():
    text = _focus.to_focus_csv(_report.build_report(usage(row(model="other")), prices_of(LIST)), "a")
    assert {*COLUMNS, *NULL} <= set(text.strip().split(","))


def test_focus_keeps_further_dimensions_as_tags():
    item = {**row(), "department": "research"}
    (line, *dummy) = focus(item, by=["namespace", "model", "department"])
    assert json.loads(line["Tags"]) == {"department": "research"}


# --- encoded arrays ---------------------------------------------------------------------------------------------------

ARRAY = "WyJzYWxlcyIsInN1cHBvcnQiXQ=="


def of_array():
    return usage({**row(), "department": ARRAY}) | {"by": ["namespace", "model", "department"]}


def test_an_array_is_decoded_for_people_and_raw_in_the_data():
    report = _report.build_report(of_array(), prices_of(LIST))
    assert "sales, support" in _report.report_table(report)[2]
    assert next(csv.DictReader(io.StringIO(_report.to_csv(report))))["department"] == "sales, support"
    assert "<bdi>sales, support</bdi>" in _html.to_html(report)
    assert json.loads(_report.to_json(report))["rows"][0]["department"] == ARRAY
    assert ARRAY in _focus.to_focus_csv(report, "a")
    assert not any(
        ARRAY in text for text in (_report.to_csv(report), _html.to_html(report), *_report.report_table(report))
    )


# Half of a surrogate pair, which no text can have.
HALF = base64.b64encode(b'["\\ud800", "a"]').decode()


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (ARRAY, "sales, support"),
        (ARRAY.rstrip("="), "sales, support"),
        (base64.b64encode(b'["/sales","/ops"]').decode(), "/sales, /ops"),
        (base64.b64encode(b'["1st"]').decode(), "1st"),
        (base64.b64encode(b"[]").decode(), "[]"),
        (base64.b64encode(b'["", null]').decode(), '["", null]'),
        (HALF, HALF),
        ("Wyoming", "Wyoming"),
        (base64.b64encode('["ä?>","x"]'.encode()).decode(), "ä?>, x"),
        (base64.urlsafe_b64encode('["ä?>",7]'.encode()).decode(), "ä?>, 7"),
        ("WyJ", "WyJ"),
        ("research", "research"),
        ("", ""),
    ],
)
def test_a_value_is_shown_as_what_it_has_in_it(value, shown):
    assert exposition.shown_value(value) == shown
