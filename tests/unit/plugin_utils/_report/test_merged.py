# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One bill of many clusters: every token once, every doubt, and no cluster forgotten in silence."""

from __future__ import annotations

import csv
import io
import json

import pytest
from ansible.errors import AnsibleFilterError
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.aigateway.metering.plugins.filter.merge_usage import merge_usage
from ansible_collections.aigateway.metering.plugins.module_utils._errors import MeteringError
from ansible_collections.aigateway.metering.plugins.plugin_utils._report import focus, merged, price_file, report

PRICES = "{currency: EUR, digits: 2, prices: [{model: m, per_million: {input: 1, output: 2}}]}"


def usage(account, *tokens, **other):
    rows = [
        {
            "namespace": f"team-{number}",
            "model": "m",
            "tokens": {"input": count},
            "beside": {},
            "total": count,
            "requests": 1,
        }
        for number, count in enumerate(tokens)
    ]
    whole = {"total": sum(tokens), "requests": len(rows), "tokens": {"input": sum(tokens)}, "beside": {}}
    return {
        "account": account,
        "start": "2026-11-01T00:00:00Z",
        "end": "2026-12-01T00:00:00Z",
        "by": ["namespace", "model"],
        "rows": rows,
        "days": [{"date": "2026-11-02", **whole}],
        **whole,
        "doubts": [f"a doubt of {account}"],
        "doubtful_tokens": 3,
        **other,
    }


def merge(*documents, missing=None, incomplete=False):
    return merged.merge_usages(documents, missing or {}, incomplete=incomplete)


def written(one):
    """A report as it is read from a file."""
    return merged.parse_report(report.to_json(report.build_report(one), (), one.get("account", "x")), "file")


def test_each_cluster_has_its_rows_and_its_doubts():
    found = merge(usage("east", 1, 2), usage("west", 4))
    assert found["by"] == ["cluster", "namespace", "model"]
    assert [(row["cluster"], row["namespace"], row["total"]) for row in found["rows"]] == [
        ("east", "team-0", 1),
        ("east", "team-1", 2),
        ("west", "team-0", 4),
    ]
    assert (found["total"], found["requests"], found["tokens"], found["doubtful_tokens"]) == (7, 3, {"input": 7}, 6)
    assert found["doubts"] == ["east: a doubt of east", "west: a doubt of west"]
    assert [(day["date"], day["total"]) for day in found["days"]] == [("2026-11-02", 7)]


counts = st.lists(st.lists(st.integers(0, 9), max_size=3), min_size=2, max_size=5)


@given(counts, st.data())
def test_slices_of_slices_make_the_same_bill(tokens, data):
    parts = [usage(f"cluster-{number}", *own) for number, own in enumerate(tokens)]
    cut = data.draw(st.integers(1, len(parts) - 1))
    at_once = merge(*parts)
    in_slices = merge(written(merge(*parts[:cut])), written(merge(*parts[cut:])))
    for result in (at_once, in_slices):
        result["rows"].sort(key=lambda row: [row[name] for name in result["by"]])
    assert in_slices == at_once
    assert at_once["total"] == sum(sum(own) for own in tokens)


def test_a_file_makes_what_its_usage_makes():
    assert merge(written(usage("east", 1, 2)), usage("west", 4)) == merge(usage("east", 1, 2), usage("west", 4))


def test_a_cluster_that_is_missing_is_named_and_nothing_is_merged():
    with pytest.raises(MeteringError, match=r"north: no answer.*report_incomplete=true"):
        merge(usage("east", 1), missing={"north": "no answer"})


def test_with_the_explicit_word_it_is_the_first_doubt():
    found = merge(usage("east", 1), missing={"north": "no answer"}, incomplete=True)
    assert found["missing"] == {"north": "no answer"}
    assert found["doubts"][0] == "INCOMPLETE: the cluster north was not read, and is in no sum. no answer"


def test_what_one_slice_lacks_another_lacks_too_unless_it_has_it():
    slice_ = written(merge(usage("east", 1), missing={"west": "no answer", "north": "none"}, incomplete=True))
    found = merge(slice_, usage("west", 2), incomplete=True)
    assert found["missing"] == {"north": "none"}
    assert [text for text in found["doubts"] if "INCOMPLETE" in text] == [
        "INCOMPLETE: the cluster north was not read, and is in no sum. none"
    ]


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (usage("east", 2), "The cluster east is in two reports"),
        (usage("west", 2, end="2026-11-30T00:00:00Z"), "differ in end"),
        (usage("west", 2, by=["namespace"]), "differ in by"),
        (usage("west", 2, price_list_digest="x"), "differ in price list"),
    ],
    ids=["twice", "another period", "other fields", "another price list"],
)
def test_what_is_no_part_of_one_bill_is_refused(other, told):
    with pytest.raises(MeteringError, match=told):
        merge(usage("east", 1), other)


def test_no_report_at_all_is_told():
    with pytest.raises(MeteringError, match="No report of a cluster could be read"):
        merge(missing={"north": "no answer"}, incomplete=True)


@pytest.mark.parametrize("text", ["", "[]", "<html>", '{"rows": []}', '"a text"'])
def test_a_file_that_is_no_report_is_named(text):
    with pytest.raises(MeteringError, match=r"^slices/a\.json is not a report"):
        merged.parse_report(text, "slices/a.json")


def test_a_namespace_of_another_cluster_is_another_sub_account():
    found = report.build_report(merge(usage("east", 10), usage("west", 20)), price_file.load_prices(PRICES))
    charges = csv.DictReader(io.StringIO(focus.to_focus_csv(found, "all")))
    assert {charge["SubAccountId"] for charge in charges} == {"east/team-0", "west/team-0"}


def test_what_a_job_keeps_of_a_report_is_small():
    found = report.to_artifact(report.build_report(usage("east", *range(1000))))
    assert (len(found["rows"]), found["rows_left_out"], found["rows"][0]["total"]) == (50, 950, 999)
    assert len(json.dumps(found)) < 10_000


def test_a_merged_report_beside_those_that_it_was_made_of_is_left_out():
    east, west = usage("east", 1), usage("west", 2)
    assert merge(written(merge(east, west)), west, east) == merge(east, west)


def test_a_merged_report_that_overlaps_another_is_refused():
    with pytest.raises(MeteringError, match="The cluster west is in two reports"):
        merge(written(merge(usage("east", 1), usage("west", 2))), usage("west", 2))


def test_the_order_of_the_files_does_not_matter():
    parts = [written(usage(name, number)) for number, name in enumerate(["c", "a", "b"])]
    assert merge(*parts) == merge(*reversed(parts))


def test_what_reports_have_cost_is_not_dropped_in_silence():
    priced = report.build_report(usage("east", 10), price_file.load_prices(PRICES))
    text = report.to_json(priced, (), "east")
    with pytest.raises(AnsibleFilterError, match=r"has amounts in EUR.*report_prices"):
        merge_usage([text], has_prices=False)
    assert merge_usage([text], has_prices=True)["total"] == 10


def test_what_a_report_lacks_is_known_beside_those_that_repeat_its_rows():
    east, west = usage("east", 1), usage("west", 2)
    part = written(merge(east, west, missing={"north": "no answer"}, incomplete=True))
    with pytest.raises(MeteringError, match="north: no answer"):
        merge(part, east, west)
    assert merge(part, east, west, usage("north", 3))["missing"] == {}


def test_one_cluster_under_two_names_is_refused():
    with pytest.raises(MeteringError, match=r"east and west are one cluster: https://api"):
        merge(usage("east", 1, source="https://api"), written(usage("west", 1, source="https://api")))
    whole = written(merge(usage("east", 1, source="https://api")))
    with pytest.raises(MeteringError, match="are one cluster"):
        merge(whole, usage("west", 1, source="https://api"))


@pytest.mark.parametrize(
    "change",
    [
        {"days": None},
        {"days": [None]},
        {"rows": [{"namespace": "a", "model": "m", "tokens": None, "total": 1, "requests": 1}]},
        {"rows": [{"namespace": "a", "model": "m", "tokens": {"input": "1"}, "total": 1, "requests": 1}]},
        {"doubts": [1]},
        {"account": None},
        {"total": None},
    ],
    ids=str,
)
def test_what_has_not_the_shape_of_a_report_is_named(change):
    one = json.loads(report.to_json(report.build_report(usage("a", 1)), (), "a"))
    with pytest.raises(MeteringError, match=r"a\.json is not a report"):
        merged.parse_report(json.dumps({**one, **change}), "a.json")
