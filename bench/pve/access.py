"""Access: where the API of a cluster is, by which token or ticket, and by which certificate it is known.

Secrets come from a file of their own or from the environment, never from a plan or a command line.
"""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from bench.document import Node
from results.errors import WrongInput

PORT = 8006
KEYS = ("api", "token", "user", "secret_file", "fingerprint", "ca_file")
SECRET = "NETTUNE_PVE_SECRET"  # noqa: S105 - the name of a variable of the environment
_API = re.compile(r"(?:https://)?(?P<host>\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+)(?::(?P<port>\d{1,5}))?/?")
_TOKEN = re.compile(r"[^@!\s]+@[A-Za-z0-9._-]+![A-Za-z0-9._-]+")
_USER = re.compile(r"[^@!\s]+@[A-Za-z0-9._-]+")
_FINGERPRINT = re.compile(r"(?:[0-9A-Fa-f]{2}:){31}[0-9A-Fa-f]{2}|[0-9A-Fa-f]{64}")
_HINT = "api: https://pve1:8006, token: nettune@pve!bench, secret_file: ~/.config/nettune/pve, fingerprint: AA:BB:…"


class NoSecret(WrongInput):
    """The file of an access is right, and its secret is not there: perhaps there is no token yet."""


@dataclass(frozen=True, slots=True)
class Access:
    """`who`: a token (user@realm!name) or a user (user@realm). `fingerprint`: SHA-256 of the certificate, or ""."""

    host: str
    who: str
    secret: str = field(repr=False)
    port: int = PORT
    fingerprint: str = ""
    ca_file: str = ""

    @property
    def url(self) -> str:
        """Of the API."""
        return f"https://{self.host}:{self.port}/api2/json"

    @property
    def by_token(self) -> bool:
        """False for a user with a password, whose ticket lasts two hours."""
        return "!" in self.who

    def __str__(self) -> str:
        return f"{self.who} at {self.host}:{self.port}"


def parse(root: Node, folder: Path) -> Access:
    """What a document says; paths are relative to `folder`. Raises WrongInput naming line and key."""
    given = root.mapping(KEYS)
    if "api" not in given:
        root.wrong("it does not say where the API is", hint=_HINT)
    match = _API.fullmatch(given["api"].text())
    if match is None or not 0 < int(match["port"] or PORT) < 65536:
        given["api"].wrong(f"{given['api'].text()!r} is no address of an API", hint="https://pve1:8006")
    who = whose(root)
    fingerprint = given["fingerprint"].text() if "fingerprint" in given else ""
    if fingerprint and not _FINGERPRINT.fullmatch(fingerprint):
        given["fingerprint"].wrong(
            "it is no SHA-256 fingerprint of a certificate",
            hint="on the node: openssl x509 -noout -fingerprint -sha256 -in /etc/pve/local/pve-ssl.pem | cut -d= -f2",
        )
    ca_file = given["ca_file"].text() if "ca_file" in given else ""
    if ca_file and not (folder / ca_file).expanduser().is_file():
        given["ca_file"].wrong(f"there is no file {ca_file!r}", hint="a copy of the node's /etc/pve/pve-root-ca.pem")
    secret = _secret(root, given.get("secret_file"), folder)
    return Access(match["host"], who, secret, int(match["port"] or PORT), fingerprint.replace(":", "").lower(),
                  str((folder / ca_file).expanduser()) if ca_file else "")  # fmt: skip


def whose(root: Node) -> str:
    """The token or user of a document; no secret is read. Raises WrongInput naming line and key."""
    given = root.mapping()
    if ("token" in given) == ("user" in given):
        root.wrong("it needs one of 'token' and 'user'", hint=_HINT)
    kind, pattern = ("token", _TOKEN) if "token" in given else ("user", _USER)
    who = given[kind].text()
    if not pattern.fullmatch(who):
        like = "nettune@pve!bench" if kind == "token" else "nettune@pve"
        given[kind].wrong(f"{who!r} is no {kind}", hint=f"{like}; its secret has a file of its own: secret_file")
    return who


def _secret(root: Node, named: Node | None, folder: Path) -> str:
    try:
        mode, text = _kept(root, named, folder)
    except WrongInput as error:
        raise NoSecret(str(error), hint=error.hint) from None
    if mode & 0o077 and named is not None:
        path = (folder / Path(named.text()).expanduser()).resolve()
        raise WrongInput(f"{path} can be read by others than its owner", hint=f"chmod 600 {path}")
    if not text or len(text.split()) != 1:
        kept = repr(named.text()) if named else f"${SECRET}"
        (named or root).wrong(f"{kept} holds no secret: one word is expected")
    return text


def _kept(root: Node, named: Node | None, folder: Path) -> tuple[int, str]:
    """Mode of the file, 0 for the environment, and what stands there. Raises WrongInput where nothing does."""
    if named is None:
        if found := os.environ.get(SECRET, "").strip():
            return 0, found
        root.wrong("there is no secret", hint=f"secret_file: a file with mode 600, or ${SECRET}")
    path = (folder / Path(named.text()).expanduser()).resolve()
    try:
        return path.stat().st_mode, path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        named.wrong(f"cannot read {named.text()!r}: {getattr(error, 'strerror', None) or 'it is no text'}")
