# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Mappings: how they read, which pairs are refused, and that merging loses none."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ansible_collections.aigateway.metering.plugins.module_utils._errors import MeteringError
from ansible_collections.aigateway.metering.plugins.module_utils._gateway import mapping as _mapping
from ansible_collections.aigateway.metering.tests.unit.objects import pairs

# --- reading and writing ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", "", id="an empty text is an empty mapping"),
        pytest.param("x-a:a", "x-a:a", id="one pair"),
        pytest.param("x-b:b,x-a:a", "x-b:b,x-a:a", id="the order is kept"),
        pytest.param(" x-a : a , x-b:\tb ", "x-a:a,x-b:b", id="blanks around both sides are trimmed"),
        pytest.param("x-a:b:c", "x-a:b:c", id="the first colon separates"),
        pytest.param("x-a:one,x-b:b,x-a:two", "x-a:two,x-b:b", id="of two pairs with one header the last wins"),
    ],
)
def test_a_mapping_is_read_as_the_gateway_reads_it(text, expected):
    assert _mapping.parse_mapping(text, "here") == pairs(expected)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("x-a:a,", id="a trailing comma"),
        pytest.param(",x-a:a", id="a leading comma"),
        pytest.param("x-a:a,,x-b:b", id="an empty element"),
        pytest.param("x-a", id="no colon"),
        pytest.param(":a", id="no header"),
        pytest.param("x-a:", id="no label"),
        pytest.param("x-a: ", id="a blank label"),
    ],
)
def test_a_mapping_on_which_the_gateway_would_not_start_is_refused(text):
    with pytest.raises(MeteringError, match="does not start"):
        _mapping.parse_mapping(text, "here")


def test_a_refused_mapping_is_named_with_its_place_and_its_element():
    with pytest.raises(MeteringError, match=r"deployment a/b has the element 'oops' in its mapping 'x-a:a,oops'"):
        _mapping.parse_mapping("x-a:a,oops", "deployment a/b")


def test_a_mapping_is_written_without_blanks():
    assert _mapping.render_mapping(pairs("x-a:a,x-b:b")) == "x-a:a,x-b:b"


# --- what a user asks for ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", "x-user-namespace:user_namespace", id="nothing asked for"),
        pytest.param("x-a:a", "x-user-namespace:user_namespace,x-a:a", id="something else asked for"),
        pytest.param(
            "x-a:a,x-user-namespace:user_namespace",
            "x-a:a,x-user-namespace:user_namespace",
            id="asked for already",
        ),
    ],
)
def test_the_pair_that_bills_a_namespace_is_always_wanted(text, expected):
    assert _mapping.wanted_pairs(text) == pairs(expected)


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "x-user-namespace:user_namespace,x-user-group:department",
        "x-a:a1,x-b:b_c_d,x-c:CamelCase",
        "x_a.b~c!:label",
    ],
)
def test_pairs_that_the_gateway_and_prometheus_take_as_they_are_pass(text):
    _mapping.check_wanted(pairs(text))


def test_an_upper_case_header_is_refused_and_the_lower_case_one_named():
    with pytest.raises(MeteringError, match=r"upper-case .* Write x-team:team\."):
        _mapping.check_wanted(pairs("X-Team:team"))


@pytest.mark.parametrize("header", ["x team", "x(team)", "x/team", "x@team", "x-té", "x-team\n"])
def test_a_header_that_no_request_can_carry_is_refused(header):
    with pytest.raises(MeteringError, match="not a valid HTTP field name"):
        _mapping.check_wanted([_mapping.Pair(header, "team")])


def test_a_pseudo_header_is_refused():
    with pytest.raises(MeteringError, match=r"pseudo-header ':authority'"):
        _mapping.check_wanted([_mapping.Pair(":authority", "host")])


@pytest.mark.parametrize("label", ["job", "instance", "namespace", "pod", "container", "endpoint"])
def test_a_label_that_targets_have_themselves_is_refused(label):
    with pytest.raises(MeteringError, match=f"rename yours to exported_{label}"):
        _mapping.check_wanted([_mapping.Pair("x-a", label)])


@pytest.mark.parametrize(
    "label",
    [
        pytest.param("cost-center", id="hyphen"),
        pytest.param("cost.center", id="dot"),
        pytest.param("cost center", id="blank"),
        pytest.param("cost:center", id="colon"),
        pytest.param("kosten_stätte", id="a letter beyond ASCII"),
        pytest.param("cost__center", id="double underscore"),
        pytest.param("__name__", id="underscores around"),
        pytest.param("_cost", id="leading underscore"),
        pytest.param("1cost", id="leading digit"),
        pytest.param("cost\n", id="line break"),
    ],
)
def test_a_label_that_would_be_stored_under_another_name_is_refused(label):
    with pytest.raises(MeteringError, match="under another name"):
        _mapping.check_wanted([_mapping.Pair("x-a", label)])


@pytest.mark.parametrize(
    ("label", "hint"),
    [
        ("cost-center", "Write x-a:cost_center."),
        ("cost__center", "Write x-a:cost_center."),
        ("1", "Write x-a:key_1."),
        ("-", "Choose another label."),
    ],
)
def test_a_refused_label_comes_with_one_that_would_do(label, hint):
    with pytest.raises(MeteringError) as caught:
        _mapping.check_wanted([_mapping.Pair("x-a", label)])
    assert caught.value.advice == hint


@pytest.mark.parametrize(
    "label",
    [
        pytest.param("gen_ai_request_model", id="the gen_ai family"),
        pytest.param("otel_scope_name", id="the otel family"),
        pytest.param("le", id="the buckets' bound"),
        pytest.param("error_type", id="the duration's error"),
    ],
)
def test_a_label_that_the_gateway_sets_itself_is_refused(label):
    with pytest.raises(MeteringError, match="override them"):
        _mapping.check_wanted([_mapping.Pair("x-a", label)])


def test_two_headers_for_one_label_are_refused_by_both_names():
    with pytest.raises(MeteringError, match="The headers 'x-a' and 'x-b' are both mapped to the label 'team'"):
        _mapping.check_wanted(pairs("x-a:team,x-b:team"))


def test_the_same_pair_twice_is_no_conflict():
    _mapping.check_wanted(pairs("x-a:team,x-a:team"))


# --- merging ----------------------------------------------------------------------------------------------------------


def merged(controller="", sidecars=None, wanted="", *, base="", consent=False):
    return _mapping.merge_mappings(
        pairs(controller),
        {name: pairs(text) for name, text in (sidecars or {}).items()},
        pairs(wanted),
        base=pairs(base),
        consent=consent,
    )


def test_the_controllers_pairs_keep_their_order_and_new_ones_follow():
    result = merged("x-z:z,x-a:a", {"ns/p": "x-s:s,x-a:a"}, "x-w:w,x-z:z")
    assert result.value == "x-z:z,x-a:a,x-s:s,x-w:w"


def test_sidecars_are_taken_in_the_order_of_their_names():
    assert merged(sidecars={"ns/p2": "x-b:b", "ns/p1": "x-c:c"}).value == "x-c:c,x-b:b"


def test_a_pair_that_only_a_sidecar_emits_is_recovered():
    assert merged("x-a:a", {"ns/p": "x-a:a,x-lost:lost"}).recovered == tuple(pairs("x-lost:lost"))


def test_a_wanted_pair_that_nobody_had_is_added():
    assert merged("x-a:a", {"ns/p": "x-b:b"}, "x-a:a,x-b:b,x-c:c").added == tuple(pairs("x-c:c"))


def test_where_each_pair_comes_from_is_told():
    result = merged("x-a:a", {"ns/p1": "x-a:a,x-b:b", "ns/p2": "x-b:b"}, "x-c:c")
    assert result.sources == {
        "x-a:a": ("the controller's flag", "the sidecar of ns/p1"),
        "x-b:b": ("the sidecar of ns/p1", "the sidecar of ns/p2"),
        "x-c:c": ("this run",),
    }


@pytest.mark.parametrize(
    "have",
    [
        pytest.param({"sidecars": {"ns/p": "x-a:a"}}, id="emitted by a sidecar"),
        pytest.param({"wanted": "x-a:a"}, id="wanted"),
    ],
)
def test_a_pair_of_the_base_flag_is_not_copied(have):
    assert merged(base="x-a:a", **have).value == ""


def test_a_pair_of_the_base_flag_that_the_controller_has_copied_already_stays():
    assert merged("x-a:a", base="x-a:a").value == "x-a:a"


def test_a_pair_that_overrides_the_base_flag_at_the_controller_stays():
    assert merged("x-a:other", base="x-a:a").value == "x-a:other"


@pytest.mark.parametrize(
    ("have", "names"),
    [
        pytest.param(
            {"controller": "x-a:one", "sidecars": {"ns/p": "x-a:two"}},
            ["'x-a'", "'one'", "the controller's flag", "'two'", "the sidecar of ns/p"],
            id="one header: controller and sidecar",
        ),
        pytest.param(
            {"sidecars": {"ns/p1": "x-a:one", "ns/p2": "x-a:two"}},
            ["'x-a'", "'one'", "the sidecar of ns/p1", "'two'", "the sidecar of ns/p2"],
            id="one header: two sidecars",
        ),
        pytest.param(
            {"controller": "x-a:one", "wanted": "x-a:two"},
            ["'x-a'", "'one'", "the controller's flag", "'two'", "this run"],
            id="one header: controller and this run",
        ),
        pytest.param(
            {"controller": "x-a:one", "sidecars": {"ns/p": "x-b:one"}},
            ["'one'", "'x-a'", "the controller's flag", "'x-b'", "the sidecar of ns/p"],
            id="one label: controller and sidecar",
        ),
        pytest.param(
            {"sidecars": {"ns/p": "x-a:one"}, "wanted": "x-b:one"},
            ["'one'", "'x-a'", "the sidecar of ns/p", "'x-b'", "this run"],
            id="one label: sidecar and this run",
        ),
    ],
)
def test_a_conflict_names_both_sides(have, names):
    with pytest.raises(MeteringError) as caught:
        merged(**have)
    assert [name for name in names if name not in caught.value.found] == []


def test_a_wanted_label_that_the_base_flag_fills_from_another_header_is_refused():
    """Both would be in the effective mapping, and the gateway would take the value of either, at random."""
    with pytest.raises(MeteringError, match=r"'team'.*'x-a'.*'x-b'"):
        merged(base="x-a:team", wanted="x-b:team")


def test_a_wanted_pair_that_would_override_the_base_flag_is_refused():
    """The base flag's label would vanish from the metrics: a pair lost."""
    with pytest.raises(MeteringError, match=r"'x-a'.*'one'.*'two'"):
        merged(base="x-a:one", wanted="x-a:two")


@pytest.mark.parametrize(
    "sidecars",
    [
        pytest.param({"ns/p1": "x-a:one", "ns/p2": "x-a:two"}, id="that of the base flag comes first"),
        pytest.param({"ns/p1": "x-a:two", "ns/p2": "x-a:one"}, id="that of the base flag comes last"),
    ],
)
def test_sidecars_at_odds_are_a_conflict_also_where_one_agrees_with_the_base_flag(sidecars):
    with pytest.raises(MeteringError, match=r"'x-a'.*ns/p1.*ns/p2"):
        merged(sidecars=sidecars, base="x-a:one")


@pytest.mark.parametrize("pair", ["x-user-id:who", "x-who:user_id", "x-user-email:mail", "x-who:user"])
def test_a_per_user_pair_is_not_added_without_consent(pair):
    with pytest.raises(MeteringError, match="one series for each user"):
        merged(wanted=pair)


def test_a_per_user_pair_is_added_with_consent():
    assert merged(wanted="x-user-id:user_id", consent=True).value == "x-user-id:user_id"


@pytest.mark.parametrize(
    "have",
    [
        pytest.param({"controller": "x-user-id:user_id"}, id="at the controller"),
        pytest.param({"sidecars": {"ns/p": "x-user-id:user_id"}}, id="at a sidecar"),
        pytest.param({"controller": "x-user-id:user_id", "wanted": "x-user-id:user_id"}, id="and wanted as well"),
    ],
)
def test_a_per_user_pair_that_is_there_already_stays_without_consent(have):
    assert merged(**have).value == "x-user-id:user_id"


def test_wanted_pairs_are_checked_before_they_are_merged():
    with pytest.raises(MeteringError, match="upper-case"):
        merged(wanted="X-A:a")


# --- taking out -------------------------------------------------------------------------------------------------------


def test_a_pair_is_taken_out_and_the_others_keep_their_order():
    assert _mapping.remove_pairs(pairs("x-a:a,x-b:b,x-c:c"), [], pairs("x-b:b")).value == "x-a:a,x-c:c"


def test_a_pair_that_is_not_there_does_not_matter():
    assert _mapping.remove_pairs(pairs("x-a:a"), [], pairs("x-a:other,x-b:b")).value == "x-a:a"


def test_a_pair_of_the_base_flag_cannot_be_taken_out():
    with pytest.raises(MeteringError, match="comes from the base flag"):
        _mapping.remove_pairs(pairs("x-a:a"), pairs("x-b:b"), pairs("x-b:b"))


def test_a_stale_sidecar_does_not_bring_back_what_was_taken_out():
    found = _mapping.merge_mappings(pairs("x-a:a"), {"ns/p": pairs("x-a:a,x-b:b")}, [], removed=pairs("x-b:b"))
    assert (found.value, found.recovered) == ("x-a:a", ())


def test_what_was_taken_out_comes_back_when_it_is_wanted():
    found = _mapping.merge_mappings([], {"ns/p": pairs("x-b:b")}, pairs("x-b:b"), removed=pairs("x-b:b"))
    assert (found.value, found.added) == ("x-b:b", tuple(pairs("x-b:b")))


def test_a_header_that_was_taken_out_can_get_another_label():
    found = _mapping.merge_mappings([], {"ns/p": pairs("x-b:old")}, pairs("x-b:new"), removed=pairs("x-b:old"))
    assert found.value == "x-b:new"


def record(added="", removed="", mapping=""):
    return _mapping.Record(*(tuple(pairs(text)) for text in (added, removed, mapping)))


@pytest.mark.parametrize(
    ("before", "have", "wanted", "after"),
    [
        pytest.param(record(), "x-a:a", "x-b:b", record("x-b:b", "", "x-a:a,x-b:b"), id="added"),
        pytest.param(record("x-b:b"), "x-b:b", "x-b:b", record("x-b:b", "", "x-b:b"), id="added earlier"),
        pytest.param(record("x-b:b"), "x-a:a", "", record("", "", "x-a:a"), id="added earlier, and gone by now"),
        pytest.param(record("", "x-b:b"), "", "x-b:b", record("x-b:b", "", "x-b:b"), id="taken out, and wanted again"),
        pytest.param(record("", "x-b:b"), "x-a:a", "", record("", "x-b:b", "x-a:a"), id="taken out"),
    ],
)
def test_what_was_added_is_recorded(before, have, wanted, after):
    assert before.after_merge(_mapping.merge_mappings(pairs(have), {}, pairs(wanted))) == after


@pytest.mark.parametrize(
    ("before", "have", "unwanted", "after"),
    [
        pytest.param(record("x-b:b"), "x-a:a,x-b:b", "x-b:b", record("", "x-b:b"), id="from the flag"),
        pytest.param(record("x-b:b"), "x-a:a", "x-b:b", record("", "x-b:b"), id="gone from the flag already"),
        pytest.param(record(), "x-a:a", "x-c:c", record(), id="never there"),
        pytest.param(record("", "x-b:b"), "x-a:a", "", record("", "x-b:b"), id="taken out before"),
    ],
)
def test_what_was_taken_out_is_recorded(before, have, unwanted, after):
    merged = _mapping.remove_pairs(pairs(have), [], pairs(unwanted))
    assert before.after_removal(pairs(have), merged, pairs(unwanted)) == after


# --- the effective mapping --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("metrics", "base", "expected"),
    [
        pytest.param("", "", {}, id="nothing"),
        pytest.param("x-a:a", "", {"x-a": "a"}, id="the metrics flag alone"),
        pytest.param("", "x-a:a", {"x-a": "a"}, id="the base flag alone"),
        pytest.param("x-a:a", "x-b:b", {"x-a": "a", "x-b": "b"}, id="both"),
        pytest.param("x-a:mine", "x-a:a,x-b:b", {"x-a": "mine", "x-b": "b"}, id="the metrics flag wins by header"),
    ],
)
def test_metrics_carry_the_base_flag_overlaid_by_the_metrics_flag(metrics, base, expected):
    assert _mapping.effective_mapping(pairs(metrics), pairs(base)) == expected


@pytest.mark.parametrize(
    ("label", "stored"),
    [
        ("team", "team"),
        ("cost-center", "cost_center"),
        ("a.-b", "a_b"),
        ("b:c", "b_c"),
        ("1st", "key_1st"),
        ('x"} or vector(1) #', "x_or_vector_1_"),
    ],
)
def test_a_label_is_looked_for_as_it_is_stored(label, stored):
    assert _mapping.metric_labels([_mapping.Pair("x-a", label)], []) == {"x-a": stored}


# --- the algebra ------------------------------------------------------------------------------------------------------

# Few headers and fewer labels, so that the same ones meet; each header has a label of its own and one that another
# header may take as well.
POOL = [_mapping.Pair(f"x-{number}", label) for number in range(4) for label in (f"label{number}", "shared")]


def mappings(pool=POOL):
    """Mappings as they come out of a flag: one pair for each header."""
    return st.lists(st.sampled_from(pool), max_size=3, unique_by=lambda pair: pair.header)


SIDECARS = st.dictionaries(st.sampled_from(["ns/p1", "ns/p2", "ns/p3"]), mappings())


def outcome(controller, sidecars, wanted, base):
    """The merged pairs, or None where they are refused."""
    try:
        return _mapping.merge_mappings(controller, sidecars, wanted, base=base).pairs
    except MeteringError:
        return None


@given(mappings(), SIDECARS, mappings(), mappings())
def test_merging_the_result_again_changes_nothing(controller, sidecars, wanted, base):
    once = outcome(controller, sidecars, wanted, base)
    assume(once is not None)
    assert outcome(once, sidecars, wanted, base) == once


@given(mappings(), SIDECARS, mappings(), mappings())
def test_no_pair_of_the_controller_or_a_sidecar_is_ever_lost(controller, sidecars, wanted, base):
    result = outcome(controller, sidecars, wanted, base)
    assume(result is not None)
    before = {pair for emitted in (controller, *sidecars.values()) for pair in emitted}
    assert before <= set(_mapping.effective_mapping(result, base).items())


@given(mappings(), st.lists(mappings(), min_size=2, max_size=3), mappings(), mappings(), st.randoms())
def test_which_sidecar_emits_what_matters_to_the_order_only(controller, emitted, wanted, base, random):
    shuffled = random.sample(emitted, len(emitted))
    one, other = (
        outcome(controller, {f"ns/p{index}": found for index, found in enumerate(order)}, wanted, base)
        for order in (emitted, shuffled)
    )
    assert (one if one is None else set(one)) == (other if other is None else set(other))


@given(mappings(), SIDECARS, mappings())
def test_the_controllers_mapping_is_always_the_beginning_of_the_result(controller, sidecars, wanted):
    result = outcome(controller, sidecars, wanted, [])
    assume(result is not None)
    assert list(result[: len(controller)]) == controller


@given(mappings())
def test_what_is_written_reads_back_as_the_same(mapping):
    assert _mapping.parse_mapping(_mapping.render_mapping(mapping), "here") == mapping
