# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The certificate of an entrance: what is made serves, and what no longer serves is told."""

from __future__ import annotations

import base64
import datetime
import ssl
from pathlib import Path

import pytest
from cryptography import x509

from ansible_collections.aigateway.metering.plugins.module_utils._isolation.certificate import (
    make_certificate,
    what_is_wrong,
)

NOW = datetime.datetime(2026, 11, 26, 12, tzinfo=datetime.UTC)
HOSTS = ["entrance", "entrance.monitoring.svc"]


@pytest.fixture(scope="module")
def made() -> dict[str, str]:
    return make_certificate(HOSTS, NOW)


def test_what_is_made_serves(made):
    assert what_is_wrong(made, HOSTS, NOW) == ""


def test_a_client_that_trusts_the_authority_believes_it(tmp_path: Path):
    for name, value in make_certificate(HOSTS, datetime.datetime.now(datetime.UTC)).items():
        (tmp_path / name).write_bytes(base64.b64decode(value))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "tls.crt", tmp_path / "tls.key")
    client = ssl.create_default_context(cafile=str(tmp_path / "ca.crt"))
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    ours, theirs = ssl.MemoryBIO(), ssl.MemoryBIO()
    asking = client.wrap_bio(theirs, ours, server_hostname=HOSTS[1])
    answering = server.wrap_bio(ours, theirs, server_side=True)
    for side in (asking, answering, asking, answering):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    assert (asking.getpeercert() or {})["subjectAltName"] == tuple(("DNS", host) for host in HOSTS)


def test_nobody_keeps_the_key_of_the_authority(made):
    assert set(made) == {"tls.crt", "tls.key", "ca.crt"}
    authority = x509.load_pem_x509_certificate(base64.b64decode(made["ca.crt"]))
    own = x509.load_pem_x509_certificate(base64.b64decode(made["tls.crt"]))
    assert authority.public_key() != own.public_key()


def test_a_long_name_is_no_trouble():
    hosts = [f"{'n' * 63}.{'s' * 63}.svc"]
    assert what_is_wrong(make_certificate(hosts, NOW), hosts, NOW) == ""


@pytest.mark.parametrize(("days", "reason"), [(0, ""), (669, ""), (671, "it ends in 59 days"), (800, "it ends in")])
def test_it_is_made_anew_before_it_ends(made, days, reason):
    found = what_is_wrong(made, HOSTS, NOW + datetime.timedelta(days=days))
    assert found.startswith(reason)
    assert bool(found) == bool(reason)


def test_one_for_other_names_does_not_serve(made):
    assert what_is_wrong(made, [*HOSTS, "another.svc"], NOW) == "it is not for entrance"


def test_a_key_of_another_certificate_does_not_serve(made):
    other = make_certificate(HOSTS, NOW)
    assert what_is_wrong(made | {"tls.key": other["tls.key"]}, HOSTS, NOW) == "its key is another one's"


def test_another_authority_does_not_serve(made):
    other = make_certificate(HOSTS, NOW)
    assert what_is_wrong(made | {"ca.crt": other["ca.crt"]}, HOSTS, NOW) == "its authority is another one's"


BROKEN: list[dict[str, str] | None] = [
    {},
    {"tls.crt": "", "tls.key": "", "ca.crt": ""},
    {"tls.crt": "%%%", "tls.key": "%%%", "ca.crt": "%%%"},
    {"tls.crt": base64.b64encode(b"no certificate").decode(), "tls.key": "", "ca.crt": ""},
]


@pytest.mark.parametrize("data", BROKEN)
def test_what_cannot_be_read_does_not_serve(data):
    assert what_is_wrong(data, HOSTS, NOW) == "it cannot be read"


def test_where_there_is_no_secret_there_is_none():
    assert what_is_wrong(None, HOSTS, NOW) == "there is none"
