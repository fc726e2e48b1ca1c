# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""A certificate for an entrance, signed by an authority of its own whose key nobody keeps.

Pure: the time comes in; no input or output, no Ansible. It needs the library cryptography, as ansible-core does.
"""

from __future__ import annotations

import base64
import datetime
from collections.abc import Mapping, Sequence
from typing import Any

from .._errors import MeteringError

CERTIFICATE, KEY, AUTHORITY = "tls.crt", "tls.key", "ca.crt"
VALID_DAYS, RENEWED_DAYS = 730, 60
# Clocks differ.
BEFORE = datetime.timedelta(minutes=5)


def what_is_wrong(data: Mapping[str, str] | None, hosts: Sequence[str], now: datetime.datetime) -> str:
    """Why a certificate has to be made anew; empty where it serves.

    Args:
        data: the values of its Secret by key, in base64; None where there is no Secret.
        hosts: the names that it has to have.
        now: the present time, with a zone.
    """
    if data is None:
        return "there is none"
    x509, serialization, *dummy = _library()
    from cryptography.exceptions import InvalidSignature

    try:
        certificate = x509.load_pem_x509_certificate(base64.b64decode(data[CERTIFICATE]))
        key = serialization.load_pem_private_key(base64.b64decode(data[KEY]), None)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        authority = x509.load_pem_x509_certificate(base64.b64decode(data[AUTHORITY]))
    except (KeyError, ValueError, TypeError, x509.ExtensionNotFound):
        return "it cannot be read"
    if _public_bytes(serialization, key.public_key()) != _public_bytes(serialization, certificate.public_key()):
        return "its key is another one's"
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return "its authority is another one's"
    if set(hosts) - set(names.get_values_for_type(x509.DNSName)):
        return f"it is not for {hosts[0]}"
    left = _end_of(certificate) - now
    return f"it ends in {left.days} days" if left < datetime.timedelta(days=RENEWED_DAYS) else ""


def make_certificate(hosts: Sequence[str], now: datetime.datetime) -> dict[str, str]:
    """The values of a Secret by key, in base64: a certificate, its key, and the authority to be trusted.

    Args:
        hosts: the names by which the entrance is reached.
        now: the present time, with a zone.
    """
    x509, serialization, ec, hashes = _library()
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = _name(x509, f"{hosts[0]} authority")
    authority = (
        _begin(x509, issuer, issuer, authority_key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(x509, signs_certificates=True), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    certificate = (
        _begin(x509, _name(x509, hosts[0]), issuer, key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(x509, signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in hosts]), critical=False)
        .add_extension(identifier, critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    secret = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    found = {CERTIFICATE: certificate.public_bytes(encoding), KEY: secret, AUTHORITY: authority.public_bytes(encoding)}
    return {name: base64.b64encode(value).decode() for name, value in found.items()}


def _library() -> tuple[Any, Any, Any, Any]:
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
    except ImportError as error:
        raise MeteringError(
            "The Python library cryptography is missing where this module runs.",
            "The entrance needs a certificate, and without the library none can be made.",
            "Install it there, or name a Secret with a certificate of yours in dashboard_isolation_secret.",
            "pip install cryptography",
        ) from error

    return x509, serialization, ec, hashes


def _end_of(certificate: Any) -> datetime.datetime:
    # Before version 42 of the library without a zone.
    found = getattr(certificate, "not_valid_after_utc", None) or certificate.not_valid_after.replace(
        tzinfo=datetime.UTC
    )
    return datetime.datetime.fromisoformat(found.isoformat())


def _begin(x509: Any, subject: Any, issuer: Any, public_key: Any, now: datetime.datetime) -> Any:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BEFORE)
        .not_valid_after(now + datetime.timedelta(days=VALID_DAYS))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _name(x509: Any, text: str) -> Any:
    # A common name has at most 64 characters; nobody reads it where there are alternative names.
    return x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, text[:64])])


def _usage(x509: Any, *, signs_certificates: bool) -> Any:
    unused = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only"), False
    )
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        decipher_only=False,
        **unused,
    )


def _public_bytes(serialization: Any, key: Any) -> bytes:
    return bytes(key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo))
