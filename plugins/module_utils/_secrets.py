# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.
"""Keeps secrets out of what is shown, and everything else as it is.

A secret is hidden where it stands: in the arguments of a module, in a header, in an address. Text that comes from
outside, such as the body of an error, may repeat one and is searched for it. Results are never searched: a tenant may
be called like a password, and a bill with holes in its names and numbers is no bill.
Pure: no input or output, no Ansible, no clock.
"""

from __future__ import annotations

import base64
import contextlib
import html
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus, unquote, urlsplit

from ._errors import MeteringError
from ._lists import words_of

# What Ansible itself writes in place of a secret argument.
HIDDEN = "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"
# A secret of so many characters is no part of a name by chance.
LONG = 8
# Options whose value is an address, or a list of these.
ADDRESSES = frozenset({"url", "targets_urls", "address", "host", "proxy"})
# The keys of a kubeconfig whose values are secret (client-go, clientcmd/api/v1/types.go).
KUBECONFIG_SECRETS = frozenset(
    {"token", "password", "client-key-data", "id-token", "access-token", "refresh-token", "client-secret"}
)
# What may stand before a credential in a header.
SCHEMES = frozenset({"basic", "bearer", "digest", "negotiate", "token", "apikey"})
# Parameters of a header that names a secret, which say where and who: RFC 7616, RFC 6265.
NO_SECRETS = frozenset({"realm", "uri", "path", "domain", "username", "algorithm", "expires", "samesite", "max-age"})
HEADERS, SECRET_HEADERS = "headers", "secret_headers"
_SECRET_HEADER = re.compile(
    "assertion|auth|bearer|cookie|credential|jwt|key|pass|secret|session|signature|token", re.IGNORECASE
)

_SWITCH = re.compile(r"true|false|yes|no|on|off|\d{1,7}", re.IGNORECASE)


def is_secret_header(name: str, named: Any = ()) -> bool:
    """Whether the value of a header is a secret: by its own name, or because the user says so, as a list or a text."""
    return bool(_SECRET_HEADER.search(name)) or name.strip().lower() in {word.lower() for word in words_of(named)}


def without_credentials(address: str) -> str:
    """An address without what may be a secret in it: user name, password, query."""
    scheme, separator, rest = address.rpartition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2].partition('?')[0].partition('#')[0]}"


def check_address(address: str, variable: str, instead: str) -> None:
    """Refuse an address that is none, or that has credentials in it.

    Args:
        address: what was given.
        variable: the variable that has it.
        instead: which variables take credentials.

    Raises:
        MeteringError: the address cannot be used as it is. No secret is in the message.
    """
    shown = without_credentials(address)
    if "@" in address:
        raise MeteringError(
            f"{variable} ({shown}) has a user name or a password in it.",
            "Addresses are shown in messages and logs, with everything that is in them.",
            f"Leave them out of the address and set {instead}; keep these in a vault or a credential.",
        )
    try:
        parts = urlsplit(address)
        is_one = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        is_one = False
    if not is_one or "?" in address or "#" in address or any(it.isspace() or not it.isprintable() for it in address):
        raise MeteringError(
            f"{variable} is {shown!r}{' with a query or a fragment, which is not shown' if shown != address else ''}: "
            "it is not a valid address.",
            "Without a valid address, nothing can be read.",
            f"Set {variable} to http://HOST or https://HOST:PORT/PREFIX, without a query.",
        )


def shown_arguments(arguments: Mapping[str, Any], spec: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a module as they may be shown, whatever their shape.

    Args:
        arguments: by name, converted or as they were given.
        spec: Ansible's argument spec for them. What it does not know may be a secret with a mistyped name.
    """
    known = {**spec, **{alias: own for own in spec.values() for alias in own.get("aliases") or ()}}
    named = arguments.get(SECRET_HEADERS)
    return {
        name: _shown(name, value, known[name], named) if name in known else HIDDEN for name, value in arguments.items()
    }


def _shown(name: str, value: Any, own: Mapping[str, Any], secret_headers: Any) -> Any:
    if value in (None, "", [], {}):
        return value
    if "PRIVATE KEY-----" in str(value):  # a key where the path of one is asked for
        return HIDDEN
    options = own.get("options")
    if options is not None:
        if isinstance(value, Mapping):
            return shown_arguments(value, options)
        if isinstance(value, list) and all(isinstance(item, Mapping) for item in value):
            return [shown_arguments(item, options) for item in value]
        # A text that is to become a dictionary may have a secret anywhere.
        return HIDDEN
    if name == HEADERS and isinstance(value, Mapping):
        return {
            key: text if isinstance(text, (str, int)) and not is_secret_header(str(key), secret_headers) else HIDDEN
            for key, text in value.items()
        }
    if own.get("no_log"):
        return HIDDEN
    if name in ADDRESSES and isinstance(value, str):
        return without_credentials(value)
    if name in ADDRESSES and isinstance(value, list):
        return [without_credentials(str(item)) for item in value]
    return value


def _secrets_within(kubeconfig: Any) -> list[Any]:
    """The secrets in a kubeconfig that was given as a dictionary; a path has none."""
    if isinstance(kubeconfig, Mapping):
        own = [value for key, value in kubeconfig.items() if key in KUBECONFIG_SECRETS]
        # The environment of a program that gets a token.
        variables = [item for item in kubeconfig.get("env") or () if isinstance(item, Mapping)]
        own += [item.get("value") for item in variables if is_secret_header(str(item.get("name")))]
        own.append(str(kubeconfig.get("proxy-url") or "").rpartition("://")[2].rpartition("@")[0].partition(":")[2])
        return own + [secret for value in kubeconfig.values() for secret in _secrets_within(value)]
    if isinstance(kubeconfig, list):
        return [secret for item in kubeconfig for secret in _secrets_within(item)]
    return []


def _parts(text: str) -> Iterator[str]:
    """What of a header's value is a secret by itself: what follows a scheme, the values of cookies and parameters."""
    scheme, rest = [*text.split(None, 1), "", ""][:2]
    if rest and (scheme.lower() in SCHEMES or len(rest) >= LONG):
        yield rest
    if scheme.lower() == "basic":
        with contextlib.suppress(ValueError):
            # It has user and password.
            both = base64.b64decode(rest + "=" * (-len(rest) % 4), validate=True).decode()
            yield from (both, both.partition(":")[2])
    # A short one is `1` or `secure`, and would hide these everywhere.
    for word in re.split(r"[\s,;]+", text):
        name, is_pair, value = word.partition("=")
        if name.lower() not in (NO_SECRETS if is_pair else SCHEMES):
            yield from (part for part in (word, value.strip('"')) if len(part) >= LONG)


def _written(text: str) -> Iterator[str]:
    """A secret as an answer may repeat it: as it is, in an address, a form, JSON, a page."""
    # The last two are Go's for a part of a path, and a browser's for a part of an address.
    paths = (quote(text), quote(text, safe="$&+=:@"), quote(text, safe="!'()*"))
    for form in (text, quote(text, safe=""), quote_plus(text), *paths):
        yield form
        yield re.sub("%[0-9A-F]{2}", lambda code: code[0].lower(), form)
    for form in (json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]):
        yield form
        # Go writes these so, because of browsers.
        yield form.replace("&", r"\u0026").replace("<", r"\u003c").replace(">", r"\u003e")
        yield form.replace("/", r"\/")  # PHP
    yield html.escape(text)
    of_go = html.escape(text).replace("&quot;", "&#34;").replace("&#x27;", "&#39;")
    yield from (of_go, of_go.replace("+", "&#43;"))


def _texts(values: Iterable[Any]) -> set[str]:
    return {str(value).strip() for value in values if value is not None} - {""}


class Secrets:
    """Values that text from outside must not show."""

    def __init__(self, values: Iterable[Any], headers: Iterable[Any] = ()) -> None:
        """Take secrets.

        Args:
            values: such as are one as a whole.
            headers: values of headers, which may consist of several.
        """
        of_headers = _texts(headers)
        parts = {part for text in of_headers for part in _parts(text)}
        forms = {form for text in _texts(values) | of_headers | parts for form in _written(text)}
        self._pattern = re.compile(
            "|".join(
                # A short one only whole: a password `team` does not hide a part of the name team-a.
                re.escape(form) if len(form) >= LONG else rf"(?<![\w-]){re.escape(form)}(?![\w-])"
                for form in sorted(filter(None, forms), key=len, reverse=True)
            )
        )
        self._is_empty = not any(forms)

    @classmethod
    def of(cls, options: Mapping[str, Any], *more: Any) -> Secrets:
        """The secrets among the options for an API, a cluster or a gateway, and more of them."""
        headers, proxy = (options.get(key) or {} for key in (HEADERS, "proxy_headers"))
        named = options.get(SECRET_HEADERS)
        values = [*more, *(options.get(key) for key in ("password", "token", "api_key"))]
        values += [proxy.get(key) for key in ("basic_auth", "proxy_basic_auth")]
        values += words_of(options.get("tokens"))
        user = str(options.get("proxy") or "").rpartition("://")[2].rpartition("@")[0]
        values += [user, unquote(user.partition(":")[2]), user.partition(":")[2]]
        values += _secrets_within(options.get("kubeconfig"))
        if options.get("password"):
            both = f"{options.get('username') or ''}:{options['password']}"
            coded = base64.b64encode(both.encode()).decode()
            values += [coded, coded.rstrip("=")]
        return cls(
            values,
            [
                value
                for name, value in headers.items()
                # A switch or a number may have such a name: X-Auth-Enabled, X-Token-Limit.
                if is_secret_header(str(name), named) and not _SWITCH.fullmatch(str(value).strip())
            ],
        )

    def hide(self, text: str) -> str:
        """The text with a mark in place of each secret."""
        return text if self._is_empty else self._pattern.sub("********", text)
