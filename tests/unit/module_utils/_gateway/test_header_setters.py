# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whatever can set a request header is known, or it is said that it cannot be told."""

from __future__ import annotations

import pytest

from ansible_collections.aigateway.metering.plugins.module_utils._gateway import header_setters
from ansible_collections.aigateway.metering.plugins.module_utils._gateway.header_setters import Setter
from ansible_collections.aigateway.metering.tests.unit.objects import security_policy

MODIFIER = {"requestHeaderModifier": {"set": [{"name": "X-Team", "value": "a"}]}, "type": "RequestHeaderModifier"}
CREDENTIAL = {"credential": {"valueRef": {"name": "secret"}}}


def document(**spec):
    return {"metadata": {"name": "n", "namespace": "team-a"}, "spec": spec}


def claims(*entries):
    return document(jwt={"providers": [{"name": "p", "claimToHeaders": list(entries)}]})


@pytest.mark.parametrize(
    ("kind", "item", "header", "setter"),
    [
        pytest.param(
            "SecurityPolicy",
            claims({"claim": "tenant.id", "header": "x-team"}),
            "x-team",
            Setter("team-a/n", ("tenant", "id")),
            id="a nested claim",
        ),
        pytest.param(
            "SecurityPolicy",
            claims({"claimPath": ["https://id.example", "tenant"], "header": "x-team"}),
            "x-team",
            Setter("team-a/n", ("https://id.example", "tenant")),
            id="a claim's path",
        ),
        pytest.param(
            "SecurityPolicy",
            document(apiKeyAuth={"forwardClientIDHeader": "x-client"}),
            "x-client",
            Setter("team-a/n"),
            id="the client of an API key",
        ),
        pytest.param(
            "SecurityPolicy",
            document(basicAuth={"forwardUsernameHeader": "x-user"}),
            "x-user",
            Setter("team-a/n"),
            id="the user of a password",
        ),
        pytest.param(
            "SecurityPolicy",
            document(extAuth={"http": {"headersToBackend": ["X-Team"]}}),
            "x-team",
            Setter("team-a/n"),
            id="external authorization by HTTP",
        ),
        pytest.param(
            "ClientTrafficPolicy",
            document(headers={"earlyRequestHeaders": {"addIfAbsent": [{"name": "x-team", "value": "a"}]}}),
            "x-team",
            Setter("ClientTrafficPolicy team-a/n"),
            id="early headers",
        ),
        pytest.param(
            "ClientTrafficPolicy",
            document(headers={"xForwardedClientCert": {"mode": "Sanitize"}}),
            "X-Forwarded-Client-Cert",
            Setter("ClientTrafficPolicy team-a/n"),
            id="a client's certificate",
        ),
        pytest.param(
            "HTTPRoute",
            document(rules=[{"filters": [{"externalAuth": {"http": {"allowedResponseHeaders": ["x-team"]}}}]}]),
            "x-team",
            Setter("HTTPRoute team-a/n"),
            id="a route's external authorization",
        ),
        pytest.param(
            "HTTPRoute",
            document(rules=[{"filters": [MODIFIER]}]),
            "x-team",
            Setter("HTTPRoute team-a/n"),
            id="a route's filter",
        ),
        pytest.param(
            "GRPCRoute",
            document(rules=[{"backendRefs": [{"name": "b", "filters": [MODIFIER]}]}]),
            "x-team",
            Setter("GRPCRoute team-a/n"),
            id="a filter before a backend",
        ),
        pytest.param(
            "HTTPRouteFilter",
            document(credentialInjection={**CREDENTIAL, "header": "x-team"}),
            "x-team",
            Setter("HTTPRouteFilter team-a/n"),
            id="an injected credential",
        ),
        pytest.param(
            "AIGatewayRoute",
            document(rules=[{"backendRefs": [{"name": "b", "headerMutation": {"set": [{"name": "x-team"}]}}]}]),
            "x-team",
            Setter("AIGatewayRoute team-a/n"),
            id="the AI gateway's route",
        ),
        pytest.param(
            "AIServiceBackend",
            document(headerMutation={"set": [{"name": "x-team", "value": "a"}]}),
            "x-team",
            Setter("AIServiceBackend team-a/n"),
            id="the AI gateway's backend",
        ),
    ],
)
def test_what_sets_a_header_is_known(kind, item, header, setter):
    found = header_setters.setters_of({kind: [item]})
    assert (list(found.of(header)), list(found.opaque)) == ([setter], [])


@pytest.mark.parametrize(
    ("kind", "item"),
    [
        pytest.param("EnvoyExtensionPolicy", document(extProc=[{"backendRefs": []}]), id="an external processor"),
        pytest.param("EnvoyExtensionPolicy", document(lua=[{"inline": "x"}]), id="Lua"),
        pytest.param("EnvoyExtensionPolicy", document(wasm=[{}]), id="WebAssembly"),
        pytest.param("EnvoyPatchPolicy", document(jsonPatches=[]), id="a patch of the configuration"),
        pytest.param(
            "HTTPRoute",
            document(rules=[{"filters": [{"externalAuth": {"protocol": "GRPC"}}]}]),
            id="a route's external authorization by gRPC",
        ),
        pytest.param("SecurityPolicy", document(extAuth={"grpc": {}}), id="external authorization by gRPC"),
    ],
)
def test_what_may_set_any_header_is_named(kind, item):
    found = header_setters.setters_of({kind: [item]})
    assert "team-a/n" in found.why_unset("x-team")
    assert "it is not known if" in found.why_unset("x-team")


def test_a_kind_that_may_not_be_read_cannot_be_told():
    found = header_setters.setters_of({}, ["HTTPRoute"])
    assert "it is not known if a HTTPRoute, which could not be read, does" in found.why_unset("x-team")


def test_what_stands_in_a_namespace_that_is_not_read_cannot_be_told():
    found = header_setters.setters_of({}, is_partial=True)
    assert "it is not known if something in a namespace that metering_namespaces leaves out does" in found.why_unset(
        "x"
    )


@pytest.mark.parametrize("kind", header_setters.KINDS)
@pytest.mark.parametrize("spec", [{}, None, {"rules": None, "headers": None, "jwt": None, "apiKeyAuth": None}])
def test_an_object_that_sets_nothing_is_none(kind, spec):
    found = header_setters.setters_of({kind: [{"metadata": {"name": "n", "namespace": "team-a"}, "spec": spec}]})
    assert found.known == {}
    assert list(found.opaque) == (["EnvoyPatchPolicy team-a/n"] if kind == "EnvoyPatchPolicy" else [])


def test_headers_are_compared_in_lower_case_and_all_that_set_one_are_told():
    policies = [security_policy("X-A", "x-b", name="one"), security_policy("x-a", name="two")]
    found = header_setters.setters_of({"SecurityPolicy": policies})
    assert (found.names("X-a"), found.names("x-B")) == ("team-a/one, team-a/two", "team-a/one")


@pytest.mark.parametrize(
    ("claims", "path", "value"),
    [
        ({"tenant": {"id": "a"}}, ["tenant", "id"], "a"),
        ({"tenant.id": "a"}, ["tenant", "id"], None),
        ({"tenant.id": "a"}, ["tenant.id"], "a"),
        ({"tenant": "a"}, ["tenant", "id"], None),
        ({"group": "a"}, ["group"], "a"),
        ({}, ["group"], None),
        ({"": "a"}, [], None),
    ],
)
def test_a_claim_is_found_where_envoy_finds_it(claims, path, value):
    assert header_setters.claim_at(claims, path) == value
