"""Host keys: which ones known_hosts holds for an address (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT). Pure text.

Ours rather than paramiko's HostKeys, which knows neither wildcards, negation nor @revoked and stops at a damaged line.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterator
from dataclasses import dataclass

from bench.hosts.login import SSH_PORT


@dataclass(frozen=True, slots=True)
class HostKey:
    """A public host key: its type ("ssh-ed25519") and its bytes on the wire."""

    kind: str
    blob: bytes

    @classmethod
    def parse(cls, text: str) -> "HostKey":
        """The key of "ssh-ed25519 AAAA… comment"; raises ValueError."""
        words = text.split()
        if len(words) < 2:
            raise ValueError(f"{text!r} is not a key type and a key")
        try:
            return cls(words[0], base64.b64decode(words[1], validate=True))
        except binascii.Error as error:
            raise ValueError(f"the key {words[1]!r} is not base64") from error

    @property
    def fingerprint(self) -> str:
        """As `ssh-keygen -lf` shows it, with SHA256: before it."""
        return "SHA256:" + base64.b64encode(hashlib.sha256(self.blob).digest()).decode().rstrip("=")

    def __str__(self) -> str:
        """Type and fingerprint."""
        return f"{self.kind} {self.fingerprint}"


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of one address: keys that are accepted, and keys that never are."""

    accepted: tuple[HostKey, ...] = ()
    revoked: tuple[HostKey, ...] = ()


def entry_name(address: str, port: int) -> str:
    """How known_hosts names an address: [address]:port unless the port is 22."""
    return address.lower() if port == SSH_PORT else f"[{address.lower()}]:{port}"


def known(text: str, address: str, port: int) -> Known:
    """The keys of the lines that match. Lines that cannot be read, and @cert-authority, accept nothing."""
    name = entry_name(address, port)
    accepted, revoked = [], []
    for marker, patterns, key in _lines(text):
        if _matches(patterns, name):
            if marker == "@revoked":
                revoked.append(key)
            elif not marker:
                accepted.append(key)
    return Known(tuple(dict.fromkeys(accepted)), tuple(dict.fromkeys(revoked)))


def _lines(text: str) -> Iterator[tuple[str, str, HostKey]]:
    for line in text.splitlines():
        words = line.split()
        marker = words.pop(0) if words and words[0].startswith("@") else ""
        if len(words) < 3 or words[0].startswith("#"):
            continue
        try:
            yield marker, words[0], HostKey.parse(f"{words[1]} {words[2]}")
        except ValueError:
            continue


def _matches(patterns: str, name: str) -> bool:
    """One pattern matches and none with a leading ! does; a hashed entry stands alone."""
    if patterns.startswith("|1|"):
        return _hashed(patterns, name)
    matching = [each for each in patterns.lower().split(",") if each and _like(each.removeprefix("!"), name)]
    return bool(matching) and not any(each.startswith("!") for each in matching)


def _like(pattern: str, name: str) -> bool:
    """* and ? alone are special: fnmatch would read the brackets of [address]:port as a set."""
    expression = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(expression, name) is not None


def _hashed(entry: str, name: str) -> bool:
    try:
        salt, digest = (base64.b64decode(part, validate=True) for part in entry.split("|")[2:4])
    except (binascii.Error, ValueError):
        return False
    return hmac.compare_digest(hmac.digest(salt, name.encode(), "sha1"), digest)
