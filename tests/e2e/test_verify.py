# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`verify.yml`: requests of known callers, followed from the answer through the sidecar into Prometheus."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from harness.runs import Run
from harness.stand import Stand
from standlib import tenants
from standlib.progress import wait_until

Callers = Callable[[str], tenants.Caller]


def verify(stand: Stand, *tokens: str, gateway: str = "gateway-a", **variables: Any) -> Run:
    asked = {
        "verify_address": stand.gateways().address(gateway),
        "verify_model": "chat-small",
        "verify_tokens": list(tokens),
    }
    return stand.play("verify", **{**asked, **variables})


@pytest.fixture(scope="module")
def verified(stand: Stand) -> Run:
    """A run with a caller of each team, the second with an array claim."""
    run = stand.site()
    assert run.code == 0, run.output
    return verify(stand, *(stand.gateways().token(caller) for caller in tenants.CALLERS[:2]))


def test_callers_of_both_teams_are_verified(verified: Run) -> None:
    assert verified.code == 0, verified.output


@pytest.mark.parametrize(("number", "namespace"), [(1, "team-a"), (2, "team-b")])
def test_each_caller_is_counted_under_its_own_namespace_and_stored(verified: Run, number: int, namespace: str) -> None:
    assert f"caller {number} team-a/gateway-a {namespace}" in verified.text
    (line,) = [text for text in verified.output.splitlines() if f'"caller {number}  team-a/gateway-a' in text]
    assert [word for word in ("200 200", "counted", "stored") if word not in line] == []


def test_why_a_caller_with_an_array_claim_has_no_department_is_said(verified: Run) -> None:
    assert "caller 2 has no department: its claim group is an array" in verified.text


def test_what_is_being_waited_for_is_shown(verified: Run) -> None:
    assert "caller 1: streamed request to http://127.0.0.1:" in verified.output


def test_no_token_is_in_the_output_however_verbose(metered: Stand, caller: Callers, tmp_path: Path) -> None:
    token = metered.gateways().token(caller("alice"))
    secrets = tmp_path / "tokens.json"
    secrets.write_text(json.dumps({"verify_tokens": [token]}))
    address = metered.gateways().address("gateway-a")
    words = ["-vvvv", "--extra-vars", f"@{secrets}"]
    run = metered.play("verify", *words, verify_address=address, verify_model="chat-small")
    assert run.code == 0, run.output
    assert token not in run.output


def test_a_caller_without_the_claim_that_is_billed_is_named_with_the_reason(metered: Stand) -> None:
    nobody = tenants.Caller("nobody", "gateway-a", {"sub": "nobody", "group": "research"})
    run = verify(metered, metered.gateways().token(nobody))
    assert run.code != 0
    assert "The samples of caller 1 carry no user_namespace: its token has no claim namespace." in run.text


@pytest.fixture
def with_policies(metered: Stand) -> Iterator[Callable[[str, dict[str, Any]], None]]:
    """Sets the spec of a team's SecurityPolicy, until the test is over."""
    before = {team.namespace: metered.get("securitypolicies", team.namespace)[0]["spec"] for team in tenants.TEAMS}

    def set_policy(namespace: str, spec: dict[str, Any]) -> None:
        replaced = [{"op": "replace", "path": "/spec", "value": {**before[namespace], **spec}}]
        metered.patch("securitypolicy", namespace, "identity", replaced, how="json")

    yield set_policy
    for namespace in before:
        set_policy(namespace, {})


@pytest.fixture
def with_flag(metered: Stand) -> Iterator[Callable[[str], None]]:
    """Sets the controller's flag, until the test is over; then the proxies get the former one again."""
    before = metered.flag()
    yield metered.set_flag
    metered.set_flag(before)
    metered.restart_proxies()


def wait_for_reason(stand: Stand, reason: str, token: str, gateway: str = "gateway-a") -> None:
    """Verify until the gateway has taken over what was changed and the reason is given."""
    sentence = f"The samples of caller 1 carry no user_namespace: {reason}"
    wait_until(f"verify.yml to say: {sentence}", lambda: sentence in verify(stand, token, gateway=gateway).text, 60)


def test_a_caller_with_an_api_key_is_named_with_that_reason(
    metered: Stand, with_policies: Callable[[str, dict[str, Any]], None]
) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "api-keys", "namespace": "team-b"}}
    metered.apply({**secret, "stringData": {"carol": "a-key-of-carol"}})
    by_key = {
        "credentialRefs": [{"name": "api-keys"}],
        "extractFrom": [{"headers": ["authorization"]}],
        "forwardClientIDHeader": "x-user-id",
    }
    with_policies("team-b", {"jwt": None, "apiKeyAuth": by_key})
    reason = "the caller has no JSON Web Token, but team-a/identity sets x-user-namespace from one of its claims"
    wait_for_reason(metered, reason, "a-key-of-carol", "gateway-b")


def test_a_header_that_no_policy_sets_is_named_as_the_reason(
    metered: Stand, caller: Callers, with_policies: Callable[[str, dict[str, Any]], None]
) -> None:
    for team in tenants.TEAMS:
        (provider,) = metered.get("securitypolicies", team.namespace)[0]["spec"]["jwt"]["providers"]
        claims = [{"claim": "group", "header": "x-user-group"}]
        with_policies(team.namespace, {"jwt": {"providers": [provider | {"claimToHeaders": claims}]}})
    token = metered.gateways().token(caller("alice"))
    wait_for_reason(metered, "no policy or route sets x-user-namespace", token)


def test_a_namespace_that_is_not_mapped_and_then_stale_proxies_are_named_as_the_reason(
    metered: Stand, caller: Callers, with_flag: Callable[[str], None]
) -> None:
    before = metered.flag()
    with_flag("x-user-group:department")
    metered.restart_proxies()
    token = metered.gateways().token(caller("alice"))
    wait_for_reason(metered, "no header is mapped to it", token)
    with_flag(before)
    wait_for_reason(metered, "stale proxies: envoy-gateway-system/", token)


def test_a_token_that_the_gateway_refuses_is_told_with_its_status(metered: Stand) -> None:
    run = verify(metered, "no.such.token")
    assert run.code != 0
    assert "caller 1 was answered with 401, 401" in run.text


def test_a_token_that_cannot_be_sent_is_refused_and_not_shown(stand: Stand) -> None:
    run = verify(stand, "some-secret with-a-blank")
    assert run.code != 0
    assert "Token 1 has blanks or control characters in it." in run.text
    assert "some-secret" not in run.output


def test_an_address_that_nobody_answers_at_is_told(metered: Stand) -> None:
    run = verify(metered, "any", verify_address="http://127.0.0.1:1")
    assert run.code != 0
    assert "The gateway does not answer at http://127.0.0.1:1/v1/chat/completions" in run.text
    assert "Traceback" not in run.output


def test_check_mode_sends_nothing(metered: Stand) -> None:
    address = metered.gateways().address("gateway-a")
    run = metered.play("verify", "--check", verify_address=address, verify_model="chat-small", verify_tokens=["x"])
    assert run.code == 0, run.output
    assert "counted" not in run.output
