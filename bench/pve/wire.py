"""Requests to the API over HTTPS: one certificate or authority that is known, a deadline, whole answers."""

import io
import os
import secrets
import ssl
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Protocol
from urllib.parse import quote

import requests
from requests.adapters import HTTPAdapter

from bench.pve import errors
from bench.pve.access import Access
from bench.pve.errors import PveFault
from results.errors import NotAble

Value = str | int | bool | Sequence[str]
Parameters = Mapping[str, Value]
CONNECT_S, ANSWER_S = 10.0, 60.0  # a call that the cluster passes on to another node takes up to 30 s (pveproxy)
_UPLOADED_S = 600.0  # from the last byte to the answer: pveproxy copies the file meanwhile
_TICKET_S = 3600.0  # of the two hours that one lasts


@dataclass(frozen=True, slots=True)
class Reply:
    """`data` is the answer proper; `more` what stands beside it, as the `changes` of a node's network."""

    data: Any  # Any: JSON
    more: Mapping[str, Any] = field(default_factory=dict)


class Wire(Protocol):
    """A way to the API."""

    def call(self, method: str, path: str, parameters: Parameters) -> Reply:
        """One request. Raises PveFault."""
        ...

    def upload(self, path: str, fields: Parameters, file: Path, name: str) -> Reply:
        """A file in a form, every field before it. Raises PveFault; NotAble where it cannot be read."""
        ...


class Https:
    """Requests of one Access; of several threads each has connections of its own."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._local = threading.local()
        self._ticket: tuple[float, str, str] | None = None
        self._lock = threading.Lock()

    def call(self, method: str, path: str, parameters: Parameters) -> Reply:
        """See Wire.call."""
        call = f"{method} {path}"
        headers = self._headers(write=method != "GET")
        try:
            return self._sent(call, method, path, parameters, headers)
        except errors.NotLoggedIn:
            if self._access.by_token or path == "/access/ticket":
                raise
        with self._lock:  # the ticket has ended; once more with a new one
            self._ticket = None
        return self._sent(call, method, path, parameters, self._headers(write=method != "GET"))

    def upload(self, path: str, fields: Parameters, file: Path, name: str) -> Reply:
        """See Wire.upload. The file is read as it is sent, and has its length before: the API takes no chunks."""
        call = f"POST {path}"
        pairs = [pair for key, value in fields.items() for pair in _pairs(key, value)]
        try:
            with file.open("rb") as opened:
                form = _Form(pairs, opened, name)
                answer = self._session.post(
                    self._access.url + quote(path, safe="/:@!%"), data=form, allow_redirects=False,
                    headers={**self._headers(write=True), "Content-Type": form.content_type},
                    timeout=(CONNECT_S, _UPLOADED_S),
                )  # fmt: skip
        except requests.RequestException as error:
            raise _unreachable(call, self._access, error) from error
        except OSError as error:
            raise NotAble(f"cannot read {file}: {error.strerror}") from error
        return _reply(call, answer)

    def _sent(self, call: str, method: str, path: str, parameters: Parameters, headers: Mapping[str, str]) -> Reply:
        pairs = [pair for name, value in parameters.items() for pair in _pairs(name, value)]
        in_query = method in {"GET", "DELETE"}
        try:
            answer = self._session.request(
                method, self._access.url + quote(path, safe="/:@!%"), headers=dict(headers),
                timeout=(CONNECT_S, ANSWER_S), allow_redirects=False, params=pairs if in_query else None,
                data=None if in_query else pairs,
            )  # fmt: skip
        except requests.RequestException as error:
            raise _unreachable(call, self._access, error) from error
        return _reply(call, answer)

    @property
    def _session(self) -> requests.Session:
        found: requests.Session | None = getattr(self._local, "session", None)
        if found is None:
            found = self._local.session = requests.Session()
            found.trust_env = False  # neither a proxy nor a .netrc of whoever runs it
            if self._access.fingerprint:
                found.mount("https://", _Pinned(self._access.fingerprint))
            elif self._access.ca_file:
                found.mount("https://", _Signed(self._access.ca_file))
                found.verify = self._access.ca_file
        return found

    def _headers(self, *, write: bool) -> dict[str, str]:
        access = self._access
        if access.by_token:
            return {"Authorization": f"PVEAPIToken={access.who}={access.secret}"}
        ticket, csrf = self._logged_in()
        return {"Cookie": f"PVEAuthCookie={ticket}", **({"CSRFPreventionToken": csrf} if write else {})}

    def _logged_in(self) -> tuple[str, str]:
        with self._lock:
            if self._ticket is None or time.monotonic() > self._ticket[0]:
                given = {"username": self._access.who, "password": self._access.secret}
                data = self._sent("POST /access/ticket", "POST", "/access/ticket", given, {}).data
                if not isinstance(data, dict) or data.get("NeedTFA") or "CSRFPreventionToken" not in data:
                    raise errors.NotLoggedIn("POST /access/ticket", 401, f"{self._access.who} needs a second factor",
                                             hint="an API token needs none")  # fmt: skip
                self._ticket = (time.monotonic() + _TICKET_S, str(data["ticket"]), str(data["CSRFPreventionToken"]))
            return self._ticket[1:]


class _Pinned(HTTPAdapter):
    """One certificate, by its fingerprint; whoever signed it and whatever name it has."""

    def __init__(self, fingerprint: str) -> None:
        self._fingerprint = fingerprint
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:  # Any: as HTTPAdapter
        """Connections that compare the fingerprint before anything is sent."""
        super().init_poolmanager(*args, assert_fingerprint=self._fingerprint, **kwargs)

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:  # Any: as HTTPAdapter
        """No authority is asked: the fingerprint decides."""
        del verify
        super().cert_verify(conn, url, False, cert)

    def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> Any:  # Any: as above
        """See cert_verify."""
        del verify
        return super().build_connection_pool_key_attributes(request, False, cert)


class _Signed(HTTPAdapter):
    """Certificates of one authority. Proxmox VE's own has no keyUsage, which Python 3.13 began to ask for."""

    def __init__(self, ca_file: str) -> None:
        self._ca_file = ca_file
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:  # Any: as HTTPAdapter
        """Connections that check chain and name."""
        context = ssl.create_default_context(cafile=self._ca_file)
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        super().init_poolmanager(*args, ssl_context=context, **kwargs)


class _Form:
    """multipart/form-data (RFC 7578) of some fields and one open file, read piece by piece."""

    def __init__(self, pairs: Sequence[tuple[str, str]], file: IO[bytes], name: str) -> None:
        boundary = secrets.token_hex(16)
        self.content_type = f"multipart/form-data; boundary={boundary}"
        said = "".join(
            f'--{boundary}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n' for key, value in pairs
        )
        said += f'--{boundary}\r\nContent-Disposition: form-data; name="filename"; filename="{name}"\r\n'
        said += "Content-Type: application/octet-stream\r\n\r\n"
        parts = (io.BytesIO(said.encode()), file, io.BytesIO(f"\r\n--{boundary}--\r\n".encode()))
        self._length = len(said.encode()) + os.fstat(file.fileno()).st_size + len(boundary) + 8
        self._parts: list[IO[bytes]] = list(parts)

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[bytes]:  # requests streams what can be iterated
        return iter(lambda: self.read(1 << 16), b"")

    def read(self, size: int) -> bytes:
        """The next bytes, at most that many; b"" at the end."""
        while self._parts:
            if piece := self._parts[0].read(size):
                return piece
            self._parts.pop(0)
        return b""


def _pairs(name: str, value: Value) -> list[tuple[str, str]]:
    """An array is its name again and again; a switch is 0 or 1."""
    if isinstance(value, bool):
        return [(name, str(int(value)))]
    return [(name, str(value))] if isinstance(value, str | int) else [(name, str(each)) for each in value]


def _reply(call: str, answer: requests.Response) -> Reply:
    try:
        body = answer.json()
    except requests.exceptions.JSONDecodeError:
        body = {}
    if not isinstance(body, dict):
        body = {}
    if answer.status_code != 200:
        said = str(body.get("message") or answer.reason or "")
        fields = body.get("errors")
        raise errors.of(call, answer.status_code, said, fields if isinstance(fields, dict) else {})
    if "data" not in body:
        raise PveFault(
            call, 200, "its answer is none of Proxmox VE's", hint="is that the API of Proxmox VE (port 8006)?"
        )
    return Reply(body["data"], {key: value for key, value in body.items() if key != "data"})


def _unreachable(call: str, access: Access, error: requests.RequestException) -> PveFault:
    text = str(error)
    if "Fingerprints did not match" in text:
        said = f"the certificate of {access.host} is not the one with the fingerprint that is pinned"
        command = "openssl x509 -noout -fingerprint -sha256 -in /etc/pve/local/pve-ssl.pem | cut -d= -f2"
        hint = f"was it renewed? On the node: {command} (or of pveproxy-ssl.pem)"
        return errors.NotTrusted(call, 0, said, hint=hint)
    if isinstance(error, requests.exceptions.SSLError):
        said = f"the certificate of {access.host} is signed by nobody who is known here"
        hint = "fingerprint: of the node's certificate, or ca_file: its /etc/pve/pve-root-ca.pem"
        return errors.NotTrusted(call, 0, said, hint=hint)
    if isinstance(error, requests.Timeout):
        return errors.Unreachable(call, 0, f"no answer from {access.host}:{access.port} in time")
    return errors.Unreachable(call, 0, f"{access.host}:{access.port} cannot be reached",
                              hint="is that the node, and is pveproxy running there?")  # fmt: skip
