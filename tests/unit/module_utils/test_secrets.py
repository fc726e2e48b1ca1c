# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Secrets are hidden where they stand, in every shape that is accepted; nothing else is altered."""

from __future__ import annotations

import base64
import contextlib
import json
import re

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.aigateway.metering.plugins.module_utils import _secrets
from ansible_collections.aigateway.metering.plugins.module_utils._errors import MeteringError
from ansible_collections.aigateway.metering.plugins.module_utils._modules import runner

SECRET = "s3cr3t-of-team-a"
OPTIONS = {
    **runner.API_OPTION,
    "tokens": {"type": "list", "elements": "str", "no_log": True},
    "headers": {"type": "dict", "default": {}, "no_log": True},
    "secret_headers": {"type": "list", "elements": "str", "default": [], "no_log": False},
    "address": {"type": "str"},
    "kubeconfig": {"type": "raw", "no_log": True},
    "gateways": {"type": "list", "elements": "str", "default": []},
}


def returned(capsys, arguments, result=None, *, fails=False):
    """What a module with these arguments prints, as JSON."""
    with patch_module_args(arguments), contextlib.suppress(SystemExit):
        module = runner.DiscreetModule(argument_spec=dict(OPTIONS))
        if fails:
            module.fail_json(msg="it failed", **(result or {}))
        module.exit_json(**(result or {}))
    return json.loads(capsys.readouterr().out.strip().splitlines()[-1])


SHAPES = [
    pytest.param({"tokens": [SECRET, "other"]}, id="a list"),
    pytest.param({"tokens": f"{SECRET},other"}, id="a text that becomes a list"),
    pytest.param({"tokens": f" {SECRET} , {SECRET}"}, id="a text with blanks"),
    pytest.param({"api": {"password": SECRET, "username": "u"}}, id="a key of a dictionary"),
    pytest.param({"api": json.dumps({"password": SECRET})}, id="a dictionary as JSON"),
    pytest.param({"api": f"password={SECRET} username=u"}, id="a dictionary as key=value"),
    pytest.param({"api": {"pasword": SECRET}}, id="a mistyped key"),
    pytest.param({"api": json.dumps({"pasword": SECRET})}, id="a mistyped key in JSON"),
    pytest.param({"api": {"headers": {"Authorization": f"Bearer {SECRET}"}}}, id="a header"),
    pytest.param({"api": {"headers": {"X-Mine": SECRET}, "secret_headers": ["x-mine"]}}, id="a header that is named"),
    pytest.param(
        {"api": {"headers": {"X-Mine": SECRET}, "secret_headers": "x-other, x-mine"}}, id="a header named in a text"
    ),
    pytest.param(
        {"headers": {"X-Mine": SECRET}, "secret_headers": '["x-other", "X-Mine"]'}, id="a header named in JSON"
    ),
    pytest.param({"headers": {"X-JWT-Assertion": SECRET}}, id="a header whose name says so"),
    pytest.param(
        {"api": {"client_key": f"-----BEGIN PRIVATE KEY-----\n{SECRET}\n"}}, id="a key where its path is asked for"
    ),
    pytest.param({"api": {"headers": f"X-Auth-Token={SECRET}"}}, id="a header as text"),
    pytest.param({"headers": json.dumps({"Cookie": SECRET})}, id="a header of the requests, as JSON"),
    pytest.param({"api": {"url": f"https://u:{SECRET}@prometheus"}}, id="an address"),
    pytest.param({"api": {"url": f"https://prometheus/?token={SECRET}"}}, id="the query of an address"),
    pytest.param({"api": {"targets_urls": f"https://a,https://u:{SECRET}@b"}}, id="a list of addresses as text"),
    pytest.param({"address": f"https://{SECRET}@gateway"}, id="the gateway's address"),
    pytest.param({"kubeconfig": {"users": [{"user": {"token": SECRET}}]}}, id="a kubeconfig as a dictionary"),
    pytest.param({"api": [SECRET]}, id="another type than is asked for"),
    pytest.param({"apis": {"password": SECRET}}, id="a mistyped option"),
]


@pytest.mark.parametrize("fails", [False, True], ids=["in a result", "in a failure"])
@pytest.mark.parametrize("arguments", SHAPES)
def test_a_secret_is_in_no_output(capsys, arguments, fails):
    assert SECRET not in json.dumps(returned(capsys, arguments, fails=fails))


@pytest.mark.parametrize(
    "arguments",
    [
        {"api": {"headers": {"X-Scope-OrgID": "team-a"}}},
        {"api": {"headers": {"Authorization": "team"}}},
        {"api": {"username": "u", "password": "team"}},
        {"tokens": "1,2"},
    ],
)
def test_rows_names_and_numbers_are_as_they_are(capsys, arguments):
    rows = [{"namespace": "team-a", "model": "team", "total": 12, "requests": 1}]
    assert returned(capsys, arguments, {"rows": rows, "start": "2026-11-01"})["rows"] == rows


def test_what_is_no_secret_is_shown():
    arguments = {"gateways": ["team-a/chat"], "api": {"url": "https://p:9090/x", "headers": {"X-Scope-OrgID": "a"}}}
    shown = _secrets.shown_arguments(arguments, OPTIONS)
    assert (shown["gateways"], shown["api"]["url"]) == (["team-a/chat"], "https://p:9090/x")
    assert shown["api"]["headers"] == {"X-Scope-OrgID": "a"}


@pytest.mark.parametrize(
    "address",
    [
        f"https://user:{SECRET}@prometheus:9090",
        f"https://{SECRET}@prometheus",
        f"https://user:{SECRET}/x@prometheus",
        f"https://prometheus/?token={SECRET}",
        f"https://prometheus/#{SECRET}",
        f"{SECRET}@prometheus",
    ],
)
def test_an_address_with_credentials_is_refused_with_the_way_that_keeps_them(address):
    with pytest.raises(MeteringError) as refused:
        _secrets.check_address(address, "scrape_api.url", "scrape_api.username and scrape_api.password")
    assert SECRET not in str(refused.value)
    assert "scrape_api.url" in str(refused.value)


@pytest.mark.parametrize(
    "address", ["prometheus:9090", "ftp://a", "https://", "http://a:b", "http://a b", "", "http://a:0"]
)
def test_what_is_no_address_is_refused(address):
    with pytest.raises(MeteringError, match="not a valid address"):
        _secrets.check_address(address, "scrape_api.url", "")


@pytest.mark.parametrize("address", ["http://a", "https://a.b:9090/prometheus", "https://[::1]:9090"])
def test_an_address_is_taken(address):
    _secrets.check_address(address, "scrape_api.url", "")


@pytest.mark.parametrize(
    "text",
    [
        f"no such token: {SECRET}",
        f'{{"Authorization": "Bearer {SECRET}"}}',
        f"Basic {base64.b64encode(f'u:{SECRET}'.encode()).decode()}",
        "?token=s3cr3t-of-team-a&x=1",
        pytest.param(f"prefix_{SECRET}-suffix", id="a long one within a word"),
        pytest.param("the password cl&v<r p%ss is wrong", id="as it is"),
        pytest.param(r'{"error":"cl\u0026v\u003cr p%ss"}', id="as Go writes JSON"),
        pytest.param("<p>cl&amp;v&lt;r p%ss</p>", id="in a page"),
        pytest.param("?password=cl%26v%3Cr%20p%25ss", id="in an address"),
        pytest.param("password=cl%26v%3cr+p%25ss", id="in a form, in small letters"),
        pytest.param("no session c00kie-value", id="a cookie's value"),
    ],
)
def test_a_whole_secret_is_hidden_in_text_from_outside(text):
    secrets = _secrets.Secrets.of(
        {
            "username": "u",
            "password": SECRET,
            "token": "cl&v<r p%ss\n",
            "headers": {"Authorization": f"Bearer {SECRET}", "Cookie": "theme=dark; session=c00kie-value"},
        }
    )
    hidden = secrets.hide(text)
    assert (SECRET in hidden, "********" in hidden) == (False, True)
    assert not {"p%ss", "p%25ss", "c00kie-value"} & set(re.split(r"[\s&=<>\"+]|%20", hidden))
    assert base64.b64encode(f"u:{SECRET}".encode()).decode() not in hidden


@given(st.text("team-a_ b", max_size=12))
def test_a_part_of_a_word_is_no_secret(text):
    hidden = _secrets.Secrets(["team"]).hide(text)
    assert hidden == " ".join("********" if word == "team" else word for word in text.split(" "))


@pytest.mark.parametrize(
    "options",
    [
        {"tokens": ["x", SECRET]},
        {"proxy": f"http://u:{SECRET}@proxy:3128"},
        {"kubeconfig": {"users": [{"name": "u", "user": {"token": SECRET}}]}},
        {"proxy_headers": {"proxy_basic_auth": SECRET}},
    ],
    ids=["tokens of callers", "a proxy", "a kubeconfig as a dictionary", "headers of a proxy"],
)
def test_whatever_holds_a_secret_its_text_is_hidden(options):
    assert SECRET not in _secrets.Secrets.of(options).hide(f"an error that repeats {SECRET}")


def test_the_password_within_basic_authentication_is_hidden():
    basic = base64.b64encode(f"u:{SECRET}".encode()).decode()
    assert SECRET not in _secrets.Secrets.of({"headers": {"Authorization": f"Basic {basic}"}}).hide(f"bad: {SECRET}")


@pytest.mark.parametrize(
    "value", ["Basic  {}", "basic {}", "Basic {} "], ids=["two blanks", "small letters", "a blank"]
)
@pytest.mark.parametrize("strip", ["", "="], ids=["padded", "unpadded"])
def test_basic_authentication_is_read_as_http_does(value, strip):
    basic = base64.b64encode(f"u:{SECRET}".encode()).decode().rstrip(strip)
    hidden = _secrets.Secrets.of({"headers": {"Authorization": value.format(basic)}}).hide(f"bad: {SECRET}, {basic}")
    assert hidden == "bad: ********, ********"


@pytest.mark.parametrize(
    ("headers", "text"),
    [
        ({"Cookie": "session=0123456789abcdef; 1"}, "1 of 1 proxies"),
        ({"Cookie": "session=0123456789abcdef; secure"}, "use a secure connection"),
        ({"X-Auth-Enabled": "true", "X-Token-Limit": 1}, "1 True true"),
        ({"Authorization": 'Digest realm="prometheus", uri="/api/v1/query"'}, "prometheus-k8s: /api/v1/query"),
        ({"Authorization": "Negotiate 0123456789abcdef"}, "Negotiate is not known"),
    ],
)
def test_a_short_part_of_a_header_hides_nothing(headers, text):
    assert _secrets.Secrets.of({"headers": headers}).hide(text) == text


def test_words_of_a_password_and_settings_of_a_program_are_no_secrets():
    settings = [{"name": "AWS_PROFILE", "value": "prod"}, {"name": "AWS_REGION", "value": "eu-central-1"}]
    options = {"password": "a gateway-controller", "kubeconfig": {"users": [{"user": {"exec": {"env": settings}}}]}}
    text = "prod in eu-central-1: no gateway-controller"
    assert _secrets.Secrets.of(options).hide(text) == text


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"headers": {"X-Api-Key": "k1longlonglong, k2longlonglong"}}, "k1longlonglong"),
        ({"headers": {"Cookie": "theme=dark; token=0123456789abcdef"}}, "0123456789abcdef"),
        ({"headers": {"Authorization": 'Token token="0123456789abcdef"'}}, "0123456789abcdef"),
        ({"headers": {"X-Auth": "apikey=0123456789abcdef"}}, "0123456789abcdef"),
        ({"token": "abcdef+ghi/jkl=mno"}, "abcdef+ghi%2Fjkl=mno"),
        ({"token": "abcdef+ghi/jkl=="}, "abcdef%2Bghi/jkl%3D%3D"),
        ({"token": "abcdef+ghi/jkl=="}, r"abcdef+ghi\/jkl=="),
        ({"token": "abcdef+ghi/jkl=="}, "abcdef&#43;ghi/jkl=="),
        ({"token": "abc!def ghi(1)"}, "abc!def%20ghi(1)"),
        ({"kubeconfig": {"users": [{"user": {"exec": {"env": [{"name": "MY_TOKEN", "value": SECRET}]}}}]}}, SECRET),
        ({"kubeconfig": {"clusters": [{"cluster": {"proxy-url": f"http://u:{SECRET}@h"}}]}}, SECRET),
        ({"username": "u", "password": SECRET}, base64.b64encode(f"u:{SECRET}".encode()).decode().rstrip("=")),
        ({"headers": {"Authorization": f"Basic\t{base64.b64encode(f'u:{SECRET}'.encode()).decode()}"}}, SECRET),
        ({"kubeconfig": {"users": [{"user": {"auth-provider": {"config": {"id-token": SECRET}}}}]}}, SECRET),
    ],
)
def test_a_secret_is_hidden_in_each_form_that_it_may_have(options, text):
    assert _secrets.Secrets.of(options).hide(f"it says {text}.") == "it says ********."


@pytest.mark.parametrize("arguments", SHAPES)
def test_a_secret_is_not_in_the_systems_log(arguments, monkeypatch):
    logged = []
    monkeypatch.setattr(AnsibleModule, "log", lambda dummy, msg, log_args=None: logged.append(f"{msg} {log_args}"))
    with patch_module_args(arguments), contextlib.suppress(SystemExit):
        runner.DiscreetModule(argument_spec=dict(OPTIONS))
    assert SECRET not in "".join(logged)


def test_without_secrets_nothing_is_hidden():
    assert _secrets.Secrets([None, ""]).hide("a b") == "a b"
