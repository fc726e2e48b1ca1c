# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What becomes of a caller's own requests."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from ansible_collections.aigateway.metering.plugins.module_utils._gateway import callers
from ansible_collections.aigateway.metering.plugins.module_utils._gateway.callers import Caller, Identity
from ansible_collections.aigateway.metering.plugins.module_utils._gateway.exposition import TokenSum
from ansible_collections.aigateway.metering.plugins.module_utils._gateway.header_setters import Setter, Setters

MAPPING = {"x-user-namespace": "user_namespace", "x-user-group": "department", "x-other": "other"}
IDENTITY = Identity(
    MAPPING,
    Setters(
        {"x-user-namespace": [Setter("team-a/jwt", ("namespace",))], "x-user-group": [Setter("team-a/jwt", ("group",))]}
    ),
)
CLAIMS = {"namespace": "team-a", "group": "research"}


def token(claims):
    """A JSON Web Token with these claims."""
    parts = [json.dumps(part).encode() for part in ({"alg": "none"}, claims)]
    return ".".join([*(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts), "signature"])


def sample(tokens, kind="input", model="m", **labels):
    return TokenSum({"gen_ai_request_model": model, "gen_ai_token_type": kind, **labels}, tokens)


def grown(*samples, pod="ns/p"):
    return callers.growth({}, callers.read_counts({pod: list(samples)}))


def caller(**changed):
    usual: dict[str, Any] = {"name": "caller 1", "claims": CLAIMS, "statuses": [200, 200], "stored": True}
    return Caller(**usual | changed)


# --- tokens -----------------------------------------------------------------------------------------------------------


def test_the_claims_of_a_token_are_read():
    assert callers.claims_of(token(CLAIMS)) == CLAIMS


@pytest.mark.parametrize("text", ["", "sk-key", "a.b.c", "a.b", token(["no", "object"])])
def test_what_is_no_token_has_no_claims(text):
    assert callers.claims_of(text) is None


@pytest.mark.parametrize(
    ("claims", "labels"),
    [
        pytest.param(CLAIMS, {"user_namespace": {"team-a"}, "department": {"research"}}, id="texts"),
        pytest.param({"namespace": "team-a", "group": ["a"]}, {"user_namespace": {"team-a"}}, id="an array"),
        pytest.param({"namespace": {"id": "a"}}, {}, id="an object"),
        pytest.param({"namespace": 7, "group": True}, {"user_namespace": {"7"}, "department": {"true"}}, id="no texts"),
        pytest.param({"namespace": 7.0}, {"user_namespace": {"7", "7.0"}}, id="a number with a point"),
        pytest.param({"namespace": 0.12345678}, {"user_namespace": {"0.123457", "0.12345678"}}, id="six digits"),
        pytest.param({"namespace": 10**400}, {"user_namespace": {str(10**400)}}, id="no double"),
        pytest.param({}, {}, id="no claim"),
        pytest.param(None, {}, id="no token"),
    ],
)
def test_the_labels_that_a_caller_is_to_have_come_from_its_claims(claims, labels):
    assert IDENTITY.expected(claims) == labels


@pytest.mark.parametrize(
    ("setters", "expected"),
    [
        pytest.param([Setter("a/one", ("namespace",)), Setter("a/two", ("group",))], {"team-a", "research"}, id="each"),
        pytest.param([Setter("a/one", ("namespace",)), Setter("HTTPRoute a/two")], None, id="one without a claim"),
        pytest.param(
            [Setter("a/one", ("namespace",)), Setter("a/two", ("team",))], None, id="a claim that is not there"
        ),
    ],
)
def test_several_policies_that_set_one_header_leave_open_which_of_them_did(setters, expected):
    identity = Identity(MAPPING, Setters({"x-user-namespace": setters}))
    assert identity.expected(CLAIMS).get("user_namespace") == expected


def test_where_policies_may_stand_in_namespaces_that_are_not_read_no_value_is_expected():
    """Another policy may take the header from another claim."""
    setters = Setters({"x-user-namespace": [Setter("a/one", ("namespace",))]}, is_partial=True)
    assert Identity(MAPPING, setters).expected(CLAIMS) == {}


# --- growth -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "delta"),
    [
        pytest.param([5], [7], [2], id="more"),
        pytest.param([], [3], [3], id="a new series"),
        pytest.param([5], [4], [4], id="a restart"),
        pytest.param([5], [5], [], id="nothing"),
    ],
)
def test_what_grew_is_told(before, after, delta):
    found = callers.growth(
        callers.read_counts({"ns/p": [sample(value) for value in before]}),
        callers.read_counts({"ns/p": [sample(value) for value in after]}),
    )
    assert list(found.values()) == delta


def test_dotted_and_underscored_names_are_one_series():
    assert callers.counter_series("p", {"gen_ai.token.type": "input"}) == callers.counter_series(
        "p", {"gen_ai_token_type": "input"}
    )


def test_an_empty_label_is_none():
    assert callers.counter_series("p", {"department": "", "a": "b"}) == callers.counter_series("p", {"a": "b"})


@pytest.mark.parametrize(
    ("found", "count"),
    [
        pytest.param(sample(1, user_namespace="team-a", department="research"), 1, id="its own"),
        pytest.param(sample(1), 1, id="without identity, so perhaps its own"),
        pytest.param(sample(1, user_namespace="team-b"), 0, id="another namespace's"),
        pytest.param(sample(1, model="n", user_namespace="team-a"), 0, id="another model's"),
        pytest.param(sample(1, model="n", gen_ai_original_model="m"), 1, id="of the model before an override"),
    ],
)
def test_only_what_can_be_a_callers_own_is_taken_for_it(found, count):
    assert len(callers.attribute_to_caller(grown(found), caller(), "m", IDENTITY)) == count


@pytest.mark.parametrize(
    ("used", "samples", "counted"),
    [
        pytest.param({"input": 2, "output": 1}, [sample(2), sample(1, "output")], True, id="all"),
        pytest.param({"input": 2, "output": 1}, [sample(2)], False, id="no output"),
        pytest.param({"input": 2, "output": 1}, [sample(1), sample(1, "output")], False, id="too little"),
        pytest.param({}, [sample(2), sample(1, "output")], True, id="an answer that speaks of none"),
        pytest.param({}, [], False, id="nothing"),
    ],
)
def test_a_caller_is_counted_when_all_that_its_answers_speak_of_grew(used, samples, counted):
    assert caller(used=used, grown=grown(*samples)).counted is counted


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        pytest.param([("ns/p", {"a": "b"}, 3)], True, id="as at the sidecar"),
        pytest.param([("ns/p", {"a": "b", "job": "j"}, 4)], True, id="with a target's labels, and more by now"),
        pytest.param([("ns/p", {"a": "b"}, 2)], False, id="an older value"),
        pytest.param([("ns/q", {"a": "b"}, 3)], False, id="another pod"),
        pytest.param([("ns/p", {"a": "c"}, 3)], False, id="another series"),
        pytest.param([], False, id="nothing"),
    ],
)
def test_tokens_are_stored_when_prometheus_has_the_sidecars_value(stored, expected):
    key = callers.counter_series("ns/p", {"a": "b"})
    known = [(callers.counter_series(pod, labels), value) for pod, labels, value in stored]
    assert callers.is_stored({key: 1}, {key: 3}, known) is expected


@pytest.mark.parametrize(("stored", "expected"), [(1, True), (0, False)])
def test_of_a_sidecar_that_has_ended_the_growth_has_to_be_stored(stored, expected):
    key = callers.counter_series("ns/p", {"a": "b"})
    assert callers.is_stored({key: 1}, {}, [(key, stored)]) is expected


# --- why a label is missing -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("identity", "claims", "reason"),
    [
        pytest.param(Identity({}, Setters()), CLAIMS, "no header is mapped to it", id="not mapped"),
        pytest.param(Identity(MAPPING, Setters(), ["ns/p"]), CLAIMS, "stale proxies: ns/p", id="stale"),
        pytest.param(Identity(MAPPING, Setters()), CLAIMS, "no policy or route sets x-user-group", id="not set"),
        pytest.param(
            Identity(MAPPING, Setters({}, ["EnvoyExtensionPolicy team-a/x"])),
            CLAIMS,
            "no policy or route was found to set x-user-group; it is not known if EnvoyExtensionPolicy team-a/x does",
            id="perhaps set by something that cannot be seen through",
        ),
        pytest.param(
            Identity(MAPPING, Setters({"x-user-group": [Setter("HTTPRoute team-a/chat")]})),
            None,
            "HTTPRoute team-a/chat can set x-user-group, and did not for this caller",
            id="set by a route",
        ),
        pytest.param(
            Identity(MAPPING, Setters({"x-user-group": [Setter("team-a/jwt", ("tenant", "group"))]})),
            {"tenant": {"id": 7}},
            "its token has no claim tenant.group",
            id="no nested claim",
        ),
        pytest.param(
            Identity(MAPPING, Setters({"x-user-group": [Setter("team-a/jwt", ("tenant", "group"))]})),
            {"tenant": {"group": "a"}},
            "team-a/jwt should set x-user-group, and did not",
            id="a nested claim that is there",
        ),
        pytest.param(
            IDENTITY,
            None,
            "the caller has no JSON Web Token, but team-a/jwt sets x-user-group from one of its claims",
            id="API key",
        ),
        pytest.param(
            IDENTITY,
            {"group": ["a"]},
            "its claim group is an array, which team-a/jwt cannot turn into one value",
            id="array",
        ),
        pytest.param(IDENTITY, {}, "its token has no claim group", id="no claim"),
        pytest.param(IDENTITY, CLAIMS, "team-a/jwt should set x-user-group, and did not", id="none of these"),
    ],
)
def test_why_a_label_is_missing_is_worked_out(identity, claims, reason):
    assert identity.why_absent("department", claims) == reason


# --- the table --------------------------------------------------------------------------------------------------------

FULL = grown(
    sample(2, user_namespace="team-a", department="research"),
    sample(1, "output", user_namespace="team-a", department="research"),
)


def row(**changed):
    return callers.caller_row(caller(**{"grown": FULL} | changed), IDENTITY, {"ns/p": "team-a/gateway"})


def test_a_row_has_the_labels_and_the_tokens():
    found = row()
    assert (found["labels"], found["input"], found["output"], found["gateway"]) == (
        {"user_namespace": "team-a", "department": "research"},
        2,
        1,
        "team-a/gateway",
    )


def test_a_metered_caller_has_no_problem():
    assert row()["problems"] == []


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        pytest.param(
            {"statuses": [200, 401], "answers": ["'Jwt is missing'"]},
            "caller 1 was answered with 401 ('Jwt is missing').",
            id="refused",
        ),
        pytest.param({"grown": {}}, "caller 1 was answered, but no sidecar has counted its tokens.", id="not counted"),
        pytest.param(
            {"grown": grown(sample(2), sample(1, "output")), "claims": {}},
            "The samples of caller 1 carry no user_namespace: its token has no claim namespace.",
            id="no namespace",
        ),
        pytest.param(
            {"stored": False},
            "The sidecar has counted the tokens of caller 1, but Prometheus has not stored them.",
            id="not stored",
        ),
    ],
)
def test_a_problem_is_told(changed, problem):
    assert row(**changed)["problems"] == [problem]


def test_a_mapping_without_the_billed_namespace_is_a_problem():
    bare = Identity({"x-user-group": "department"}, Setters())
    found = callers.caller_row(caller(grown=FULL), bare, {})
    assert found["missing"]["user_namespace"] == "no header is mapped to it"


def test_an_encoded_array_is_no_value_of_a_label():
    encoded = base64.b64encode(b'["a","b"]').decode()
    found = row(grown=grown(sample(2, user_namespace="team-a", department=encoded)), claims={"group": ["a", "b"]})
    assert "department" not in found["labels"]


def test_the_tables_columns_are_aligned():
    head, *lines = callers.callers_table([row(), row(name="caller 10", statuses=[401])])
    assert {line.index("team-a ") for line in lines if "team-a " in line} == {head.index("user_namespace")}


def test_the_table_says_why_labels_are_missing():
    assert "caller 1 has no other: no policy or route sets x-other" in callers.callers_table([row()])
