"""The kept SSH connection to one host: dial, verify the host key, log in, open channels. The only door to paramiko.

What it raises: Unreachable where nothing that speaks SSH answers or the connection is lost; HostFault where somebody
answers and the host key, the login or the shell is refused.
"""

import contextlib
import logging
import select
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import paramiko

from bench.hosts.command import HostFault, OtherHostKey, Unreachable
from bench.hosts.known_hosts import HostKey, Known, entry_name, known
from bench.hosts.local import POLL_MOST_MS
from bench.hosts.login import Dial, Login, Stream
from results.errors import WrongInput

CONNECT_S = 10.0  # TCP; then again for banner and key exchange, and for each answer of the login
CHANNEL_S = 15.0  # a slow guest forks a session
# Silence that means a lost connection: probes every 2 s, given up after 8 s (tcp(7)); also for data not acknowledged.
_KEEP_IDLE_S, _KEEP_INTERVAL_S, _KEEP_COUNT = 2, 2, 3
_LOST_S = 8
_CHUNK = 1 << 16
_CHUNKS_AT_ONCE = 64  # then the caller looks at its deadline: a program may print for ever
_END_S = 5.0  # for paramiko's thread to see that its socket is closed; it looks every 0.1 s
_SYSTEM_KNOWN_HOSTS = Path("/etc/ssh/ssh_known_hosts")
_DEFAULT_KEYS = ("id_ed25519", "id_ecdsa", "id_rsa")  # ssh(1)'s, without hardware keys

# Without a handler Python prints paramiko's tracebacks on our standard error; errors reach us as exceptions.
logging.getLogger("paramiko").addHandler(logging.NullHandler())


def straight(address: str, port: int) -> socket.socket:
    """The default Dial: a TCP connection from this very namespace."""
    return socket.create_connection((address, port), timeout=CONNECT_S)


class Pipe:
    """A program at the far end of one channel: `send` to its standard input, `take` collects in `out` and `err`."""

    def __init__(self, channel: paramiko.Channel, whose: str) -> None:
        self._channel = channel
        self._whose = whose
        self.out = bytearray()
        self.err = bytearray()
        channel.settimeout(CHANNEL_S)  # for sending: the far end takes nothing more
        self._closed = False
        self._poller = select.poll()
        self._poller.register(channel.fileno(), select.POLLIN)

    def send(self, data: bytes) -> None:
        """All of it; raises Unreachable."""
        try:
            self._channel.sendall(data)
        except TimeoutError as error:
            raise Unreachable(f"on {self._whose}: the SSH connection took nothing for {CHANNEL_S:g} s") from error
        except (OSError, EOFError) as error:  # paramiko's EOFError has no words
            why = str(error) or "it ended"
            raise Unreachable(f"on {self._whose}: the SSH connection was lost while it was sent to: {why}") from error

    def finish(self) -> None:
        """Its standard input ends."""
        with contextlib.suppress(OSError, EOFError):
            self._channel.shutdown_write()

    def take(self, seconds: float) -> bool:
        """Collect what is there within that time; False once it has ended or the connection is lost."""
        if not self._closed:  # then the descriptor's number may be another file's by now
            self._poller.poll(min(max(seconds, 0.0) * 1000, POLL_MOST_MS))
        over = self._channel.eof_received or self._channel.closed
        for _ in range(_CHUNKS_AT_ONCE):
            if self._channel.recv_ready():
                self.out += self._channel.recv(_CHUNK)
            elif not self._channel.recv_stderr_ready():
                return not over
            if self._channel.recv_stderr_ready():
                self.err += self._channel.recv_stderr(_CHUNK)
        return True

    def handed_over(self, marker: bytes) -> paramiko.Channel:
        """The channel itself, once the program has printed `marker`: what follows is the reader's, byte for byte."""
        said = bytearray()
        try:
            while not said.endswith(marker):
                if not (byte := self._channel.recv(1)):
                    why = self._channel.recv_stderr(_CHUNK) if self._channel.recv_stderr_ready() else b"no answer"
                    raise Unreachable(f"on {self._whose}: no shell: {why.decode('utf-8', 'backslashreplace').strip()}")
                said += byte
        except (OSError, EOFError) as error:
            raise Unreachable(f"on {self._whose}: the shell said nothing: {error}") from error
        return self._channel

    def returncode(self, within_s: float) -> int | None:
        """Its exit code once it has ended; None when none came, as when the connection was lost."""
        self._channel.status_event.wait(within_s)
        return self._channel.exit_status if self._channel.exit_status >= 0 else None

    @property
    def connected(self) -> bool:
        """True while the connection below stands."""
        return bool(self._channel.get_transport().is_active())

    def close(self) -> None:
        """The far end sees the end of its standard input and nobody at its standard output."""
        self._closed = True
        with contextlib.suppress(OSError, EOFError):
            self._channel.close()


class Connection:
    """One kept connection; made anew, once per call, where it was lost. A further one only where sshd asks for it."""

    def __init__(self, name: str, login: Login, dial: Dial) -> None:
        self._name = name
        self._login = login
        self._dial = dial
        self._jump = Connection(f"{name}'s jump host", login.jump, dial) if login.jump else None
        self._transports: list[paramiko.Transport] = []

    def pipe(self, program: str) -> Pipe:
        """`program`, a constant, on a new channel.

        sshd allows MaxSessions (10) channels a connection: the eleventh command at once gets a connection of its own.
        """
        return Pipe(self._channel("a session", lambda transport: _executing(transport, program)), self._name)

    def tunnel(self, address: str, port: int) -> paramiko.Channel:
        """A direct-tcpip channel to an address that this host reaches."""
        return self._channel(
            f"a way to {address} port {port}",
            lambda transport: transport.open_channel(
                "direct-tcpip", (address, port), ("127.0.0.1", 0), timeout=CHANNEL_S
            ),
        )

    def close(self) -> None:
        """End the connection and paramiko's threads."""
        while self._transports:
            _end(self._transports.pop())
        if self._jump is not None:
            self._jump.close()

    def _channel(self, what: str, opened: Callable[[paramiko.Transport], paramiko.Channel]) -> paramiko.Channel:
        for transport in self._living():
            with contextlib.suppress(paramiko.SSHException, EOFError, OSError):
                return opened(transport)
        transport = self._dialled()
        self._transports.append(transport)
        try:
            return opened(transport)
        except paramiko.ChannelException as error:
            raise Unreachable(
                f"{self._name} ({self._login}) refuses {what}: {error.text}",
                hint="is the address right as seen from there, and does its sshd allow sessions and TCP forwarding?",
            ) from error
        except (paramiko.SSHException, EOFError, OSError) as error:
            raise self._silent("took the login and then opened no channel", error) from error

    def _living(self) -> list[paramiko.Transport]:
        for transport in [each for each in self._transports if not each.is_active()]:
            self._transports.remove(transport)
            _end(transport)
        return list(self._transports)

    def _dialled(self) -> paramiko.Transport:
        expected, where = self._expected()
        files = [_read_key(path) for path in self._login.keys]
        sock = self._socket()
        transport = paramiko.Transport(sock)  # type: ignore[arg-type]  # a socket or a channel
        try:
            transport.banner_timeout = transport.handshake_timeout = transport.auth_timeout = CONNECT_S
            _prefer(transport, expected.accepted)
            offered = self._greeted(transport)
            self._verify(offered, expected, where)
            with _offers(self._login, files) as keys:
                self._log_in(transport, keys)
            transport.set_keepalive(_KEEP_IDLE_S)  # through a jump host, where TCP's own does not reach
        except BaseException:
            _end(transport)
            raise
        return transport

    def _socket(self) -> Stream:
        address, port = self._login.address, self._login.port
        if self._jump is not None:
            return self._jump.tunnel(address, port)
        try:
            sock = self._dial(address, port)
        except OSError as error:
            raise Unreachable(
                f"{self._name} ({self._login}) cannot be reached: {error.strerror or error}",
                hint="is it up, is the address right, and does its sshd listen on that port?",
            ) from error
        if isinstance(sock, socket.socket) and sock.family in {socket.AF_INET, socket.AF_INET6}:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEP_IDLE_S)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _KEEP_INTERVAL_S)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _KEEP_COUNT)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _LOST_S * 1000)
        return sock

    def _greeted(self, transport: paramiko.Transport) -> HostKey:
        """The host key, proved by the key exchange."""
        started = time.monotonic()
        try:
            transport.start_client(timeout=CONNECT_S)
            key = transport.get_remote_server_key()  # start_client returns in silence when its time is up
        except (paramiko.SSHException, EOFError, OSError) as error:
            took_s = time.monotonic() - started
            raise self._silent(f"took the connection and spoke no SSH within {took_s:.1f} s", error) from error
        return HostKey(key.get_name(), key.asbytes())

    def _expected(self) -> tuple[Known, str]:
        """The host keys that are accepted, and where that stands."""
        login = self._login
        if login.pinned:
            try:
                return Known((HostKey.parse(login.pinned),)), "pinned"
            except ValueError as error:
                raise WrongInput(f"the host key pinned for {self._name} cannot be read: {error}") from error
        personal = Path("~/.ssh/known_hosts").expanduser()
        files = (login.known_hosts,) if login.known_hosts else (personal, _SYSTEM_KNOWN_HOSTS)
        texts = [path.read_text(encoding="utf-8", errors="replace") for path in files if path.is_file()]
        return known("\n".join(texts), login.address, login.port), " or ".join(map(str, files))

    def _verify(self, offered: HostKey, expected: Known, where: str) -> None:
        if offered in expected.accepted and offered not in expected.revoked:
            return
        entry = entry_name(self._login.address, self._login.port)
        said = f"{self._name} ({self._login}) offers the host key {offered}"
        if offered in expected.revoked:
            raise HostFault(f"{said}, which is revoked in {where}", hint="somebody else may have it: do not log in")
        if not expected.accepted:
            raise HostFault(
                f"{said}, and no key of {entry} is in {where}",
                hint=f"compare it with `ssh-keygen -lf` of the key on that machine; then `ssh-keyscan` adds {entry}",
            )
        listed = ", ".join(str(each) for each in expected.accepted)
        raise OtherHostKey(
            f"{said}, expected is {listed} ({where})",
            hint="another machine answers there. If it was installed anew: "
            + (
                "pin its new key"
                if self._login.pinned
                else f"ssh-keygen -R '{entry}', then compare and add the new key"
            ),
        )

    def _log_in(self, transport: paramiko.Transport, keys: list[paramiko.PKey]) -> None:
        allowed: list[str] = []
        tried = []
        for key in keys:
            tried.append(HostKey(key.get_name(), key.asbytes()).fingerprint)
            try:
                if not (allowed := transport.auth_publickey(self._login.user, key)):
                    return
            except paramiko.BadAuthenticationType as error:
                allowed = error.allowed_types
                break
            except paramiko.AuthenticationException:
                if not transport.is_active():
                    break  # MaxAuthTries
            except (paramiko.SSHException, EOFError, OSError) as error:
                raise self._silent("broke off the login", error) from error
        asks = f"; it asks for {', '.join(allowed)}" if allowed else ""
        raise HostFault(
            f"{self._name} ({self._login}) refuses the login with {', '.join(tried) or 'no key at all'}{asks}",
            hint=f"is the key in {self._login.user}'s authorized_keys there, and may {self._login.user} log in?",
        )

    def _silent(self, what: str, error: Exception) -> Unreachable:
        said = f": {error}" if str(error) else ""
        return Unreachable(
            f"{self._name} ({self._login}) {what}{said}", hint="is the machine overloaded, or is another service there?"
        )


def _executing(transport: paramiko.Transport, program: str) -> paramiko.Channel:
    channel = transport.open_session(timeout=CHANNEL_S)
    channel.settimeout(CHANNEL_S)
    channel.exec_command(program)
    return channel


def _prefer(transport: paramiko.Transport, accepted: tuple[HostKey, ...]) -> None:
    """Ask first for key types that are known, as ssh(1) does: a host has several keys, and known_hosts maybe one."""
    options = transport.get_security_options()
    kinds = {each.kind for each in accepted}
    if "ssh-rsa" in kinds:
        kinds |= {"rsa-sha2-512", "rsa-sha2-256"}  # the same key, signed with SHA-2 (RFC 8332)
    options.key_types = tuple(sorted(options.key_types, key=lambda kind: kind not in kinds))


def usable(path: Path) -> bool:
    """Whether there is a private key that no passphrase locks."""
    try:
        _read_key(path)
    except (HostFault, WrongInput):
        return False
    return True


def _read_key(path: Path) -> paramiko.PKey:
    try:
        return paramiko.PKey.from_path(path)
    except (paramiko.PasswordRequiredException, TypeError) as error:  # TypeError: cryptography's word for it
        raise HostFault(f"the SSH key {path} has a passphrase", hint=f"ssh-add {path}, and name no key") from error
    except (OSError, ValueError, paramiko.SSHException, paramiko.pkey.UnknownKeyType) as error:
        raise WrongInput(f"the SSH key {path} cannot be read: {error}", hint="is it a private key?") from error


@contextlib.contextmanager
def _offers(login: Login, files: list[paramiko.PKey]) -> Iterator[list[paramiko.PKey]]:
    """The keys to try: those named, or the agent's and then ~/.ssh's; the agent signs while the context lasts."""
    if login.keys:
        yield files
        return
    agent = paramiko.Agent()
    try:
        found: list[paramiko.PKey] = list(agent.get_keys())
        for name in _DEFAULT_KEYS:
            path = Path("~/.ssh").expanduser() / name
            if path.is_file():
                with contextlib.suppress(HostFault, WrongInput):  # locked: the agent may have it
                    found.append(_read_key(path))
        yield found
    finally:
        agent.close()


def _end(transport: paramiko.Transport) -> None:
    """Close it and wait for its thread, which otherwise lives on for a moment."""
    transport.packetizer.complete_handshake()  # cancels a timer thread that would hold up the program's end
    with contextlib.suppress(OSError, EOFError):
        transport.sock.shutdown(socket.SHUT_RDWR)
    transport.close()
    if transport.ident is not None:
        transport.join(_END_S)
    transport.sock.close()
