"""Hiding of passwords in addresses of databases and servers, and in messages that quote such addresses.

A password may stand before the ``@``, in the query, or wherever a slip put it; where it cannot be told from
its surroundings, these are hidden as well. Every address that is printed, and every message of a library that
was given one, goes through this module.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from urllib.parse import quote, quote_plus, unquote, unquote_plus

HIDDEN = "***"

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_PATH = re.compile(r"(?:(?:sqlite|file)[^:]*://)?(?:/|\./|~|$)", re.IGNORECASE)
_COLON = re.compile(":|%3A", re.IGNORECASE)
_KEYS = r"(?:api|access|account|auth|private)[_-]?(?:key|token)"
_NAMES = rf"(?:pass|pwd|secret|token|credential|signature|\bsig\b|odbc_connect|{_KEYS})"
_NAMED = re.compile(rf"({_NAMES}[^=]*=).+", re.IGNORECASE | re.DOTALL)
_VALUE = r"'(?:[^'\\]|\\.)*'|\"[^\"]*\"|[^\s&]+"
_WORDS = re.compile(rf"((?:password|passwd|passphrase|pwd|secret|{_KEYS})\s*=\s*)({_VALUE})", re.IGNORECASE)
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"<>]+")
_RESERVED = re.compile("[@:/?#]")
_LONG = 4  # characters from which on a secret is hidden inside of a longer word, too


def masked(address: str) -> str:
    """A URL, or what was meant as one, with ``***`` for every password.

    It need not parse as a URL: of ``u:p@ss@host`` everything from the first colon to the last ``@`` is
    hidden. The user name stays, except in HTTP, where a name without a password is a token.
    """
    shown, _ = _taken_apart(address)
    return shown


def masked_message(error: BaseException, *addresses: str) -> str:
    """The message of an error without passwords; its type if the message is empty.

    Args:
        error: raised by a library.
        addresses: addresses that the library was given.
    """
    text = masked_in(str(error), *addresses) or type(error).__name__
    return text + "".join(_advice(address) for address in addresses)


def masked_in(text: str, *addresses: str) -> str:
    """``text`` without the passwords of ``addresses``, in full or in parts, and of any URL in it."""
    secrets: set[str] = set()
    for address in addresses:
        shown, hidden = _taken_apart(address)
        text = text.replace(address, shown) if hidden else text
        secrets |= {form for secret in hidden for form in _forms(secret)}
        secrets |= {_basic(address, secret) for secret in hidden}
    # The longest first, or a secret that contains another would keep its rest. A short one is hidden as a
    # word only: without the letter "a" no message could be read.
    for secret in sorted(secrets - {"", HIDDEN}, key=len, reverse=True):
        pattern = re.escape(secret)
        text = re.sub(pattern if len(secret) >= _LONG else rf"(?<!\w){pattern}(?!\w)", HIDDEN, text)
    return _WORDS.sub(_only_name, _ADDRESS.sub(lambda found: masked(found[0]), text))


def refusal_of_url(path: str) -> str:
    """What to answer to a URL where a file or a folder is meant; empty for a path."""
    if not _SCHEME.match(path):
        return ""
    return (
        f"{masked(path)}: is a URL, and data and runs are mapped and locked as files. Mount the bucket or "
        "the share as a folder, on a cluster at the same path of every node, and give its path"
    )


def _taken_apart(address: str) -> tuple[str, list[str]]:
    """The masked address, and the secrets that were hidden."""
    scheme = _SCHEME.match(address)
    start, rest = (scheme[0], address[scheme.end() :]) if scheme else ("", address)
    hidden: list[str] = []
    head, mark, query = rest.partition("?")
    shown = head + mark + "&".join(_part(part, hidden) for part in query.split("&"))
    if "@" in shown and not _PATH.match(address):  # as late as may be: a password may hold @, / and ?
        before, _, host = shown.rpartition("@")
        name, *secret = _COLON.split(rest.rpartition("@")[0], maxsplit=1)
        if secret:
            shown, hidden = f"{_COLON.split(before)[0]}:{HIDDEN}@{host}", hidden + secret
        elif start.lower().startswith("http"):
            shown, hidden = f"{HIDDEN}@{host}", [*hidden, name]
    if not scheme:
        hidden += [found[2].strip("'\"") for found in _WORDS.finditer(shown)]
        shown = _WORDS.sub(_only_name, shown)
    return start + shown, hidden


def _part(part: str, hidden: list[str]) -> str:
    """A masked ``name=value`` of a query; its secret is added to ``hidden``."""
    if found := _NAMED.search(part):
        hidden.append(part[found.end(1) :])
        return part[: found.end(1)] + HIDDEN
    if _NAMED.search(unquote_plus(part)):
        hidden.append(part)
        return HIDDEN
    return part


def _only_name(found: re.Match[str]) -> str:
    return found[1] + HIDDEN


def _forms(secret: str) -> Iterator[str]:
    """A secret as libraries may print it: decoded, encoded, with escapes, or the parts they split it into."""
    plain = unquote(secret)
    for form in (secret, plain, unquote_plus(secret)):
        yield from (form, quote(form), quote(form, safe=""), quote_plus(form), repr(form)[1:-1])
        yield from _RESERVED.split(form)


def _basic(address: str, secret: str) -> str:
    """The secret as the header of HTTP basic authentication carries it."""
    scheme = _SCHEME.match(address)
    user = _COLON.split(address[scheme.end() if scheme else 0 :], maxsplit=1)[0]
    return base64.b64encode(f"{unquote(user)}:{unquote(secret)}".encode()).decode()


def _advice(address: str) -> str:
    """Advice for a likely slip: characters that end a password unless they are percent-encoded."""
    scheme = _SCHEME.match(address)
    before, at, _ = address[scheme.end() if scheme else 0 :].rpartition("@")
    _, *secret = _COLON.split(before, maxsplit=1)
    found = _RESERVED.search(secret[0]) if at and secret and not _PATH.match(address) else None
    return f". Inside a password write {quote(found[0], safe='')} for {found[0]}" if found else ""
