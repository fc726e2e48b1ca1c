"""The teams, their gateways, and the callers with their tokens."""

from __future__ import annotations

import base64
import json
import time
from dataclasses import dataclass, field
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from .kube import Kubectl

KEY_ID = "stand"
KEY_SECRET = "signing-key"
TOKEN_SECONDS = 24 * 3600


@dataclass(frozen=True)
class Team:
    """A team's own namespace with its Gateway in it."""

    namespace: str
    gateway: str
    replicas: int


TEAMS = [Team("team-a", "gateway-a", 2), Team("team-b", "gateway-b", 1)]


@dataclass(frozen=True)
class Caller:
    """Somebody with a token. `forged` are identity headers that it sends although its token says otherwise."""

    name: str
    gateway: str
    claims: dict[str, Any]
    forged: dict[str, str] = field(default_factory=dict)

    @property
    def billed_namespace(self) -> str:
        return self.claims["namespace"]

    @property
    def department(self) -> str:
        """What arrives as a label. Envoy encodes an array claim: base64 of its JSON text."""
        group = self.claims.get("group", "")
        if isinstance(group, str):
            return group
        return base64.b64encode(json.dumps(group, separators=(",", ":")).encode()).decode()


CALLERS = [
    Caller("alice", "gateway-a", {"sub": "alice", "namespace": "team-a", "group": "research"}),
    # The usual OIDC groups claim is an array: no department that anybody could read.
    Caller("bob", "gateway-b", {"sub": "bob", "namespace": "team-b", "group": ["sales", "support"]}),
    Caller(
        "mallory",
        "gateway-a",
        {"sub": "mallory", "namespace": "team-a", "group": "research"},
        forged={"x-user-namespace": "team-b", "x-user-group": "somebody-else"},
    ),
]


# A team that comes later and makes a single request: only tests of the bill send for it.
NEWCOMER = Caller("carol", "gateway-b", {"sub": "carol", "namespace": "team-c", "group": "pilots"})


class SigningKey:
    """The key that signs every token of a cluster; the gateways know its public half."""

    def __init__(self, pem: bytes) -> None:
        self._pem = pem
        key = serialization.load_pem_private_key(pem, password=None)
        assert isinstance(key, rsa.RSAPrivateKey)
        self._key = key

    @staticmethod
    def generate() -> SigningKey:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        return SigningKey(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )

    @property
    def pem(self) -> bytes:
        return self._pem

    def jwks(self) -> str:
        """The public key as a JSON Web Key Set."""
        document = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self._key.public_key()))
        return json.dumps({"keys": [document | {"kid": KEY_ID, "alg": "RS256", "use": "sig"}]})

    def token(self, claims: dict[str, Any]) -> str:
        now = int(time.time())
        body = {"iss": "stand", "iat": now, "exp": now + TOKEN_SECONDS} | claims
        return jwt.encode(body, self._pem, algorithm="RS256", headers={"kid": KEY_ID})


def signing_key(kubectl: Kubectl) -> SigningKey:
    """The cluster's key, made on first use. It lives in the cluster, so any clone can speak to any stand."""
    found = kubectl.get("secrets", "upstream", name=KEY_SECRET)
    if found:
        return SigningKey(base64.b64decode(found[0]["data"]["key.pem"]))
    key = SigningKey.generate()
    kubectl.apply_object(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": KEY_SECRET, "namespace": "upstream"},
            "stringData": {"key.pem": key.pem.decode()},
        },
    )
    return key
