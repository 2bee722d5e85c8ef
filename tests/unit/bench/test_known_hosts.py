"""known_hosts, as sshd(8) describes it."""

import base64
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.hosts.known_hosts import HostKey, Known, entry_name, known

# Of the form of a key; tests/netns/test_ssh.py compares fingerprints with ssh-keygen's.
TEXT = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEKcM2lwVFCU0S8Jwq2XZ2vXvPbAAbKpmBXmhQz1tX0u"
KEY = HostKey.parse(TEXT)
OTHER = HostKey("ssh-rsa", b"other")
OTHER_TEXT = f"ssh-rsa {base64.b64encode(b'other').decode()}"


def _hashed(name: str) -> str:
    salt = b"0123456789abcdefghij"
    digest = hmac.digest(salt, name.encode(), "sha1")
    return f"|1|{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()}"


@pytest.mark.parametrize(
    ("names", "address", "port", "matches"),
    [
        ("pve1", "pve1", 22, True),
        ("pve1", "PVE1", 22, True),
        ("pve1", "pve1", 2222, False),
        ("[pve1]:2222", "pve1", 2222, True),
        ("[pve1]:2222", "pve1", 22, False),
        ("10.0.0.1,pve1", "pve1", 22, True),
        ("pve?", "pve1", 22, True),
        ("*.example", "pve1.example", 22, True),
        ("*.example,!pve1.example", "pve1.example", 22, False),
        ("!pve1.example", "pve2.example", 22, False),
        ("[*.example]:2222", "a.example", 2222, True),
        ("pve[12]", "pve1", 22, False),
        ("pve.", "pve1", 22, False),
        (_hashed("pve1"), "pve1", 22, True),
        (_hashed("[pve1]:2222"), "pve1", 2222, True),
        (_hashed("pve2"), "pve1", 22, False),
        ("|1|broken", "pve1", 22, False),
        ("2001:db8::1", "2001:db8::1", 22, True),
    ],
)
def test_a_line_is_for_the_hosts_that_its_patterns_name(names: str, address: str, port: int, matches: bool) -> None:
    """Names, ports, wildcards, negation, hashes."""
    found = known(f"{names} {TEXT} comment\n", address, port)

    assert found == Known(accepted=(KEY,) if matches else ())


def test_markers_never_accept() -> None:
    """@revoked is kept apart; what a @cert-authority signs is not taken; an unknown marker accepts nothing."""
    text = f"@revoked * {TEXT}\n@cert-authority * {OTHER_TEXT}\n@new pve1 {OTHER_TEXT}\npve1 {TEXT}\n"

    assert known(text, "pve1", 22) == Known(accepted=(KEY,), revoked=(KEY,))


def test_all_keys_of_a_host_are_accepted_and_lines_that_cannot_be_read_are_passed_over() -> None:
    """As ssh(1) does: a damaged line takes no other along."""
    text = f"# comment\n\npve1 {TEXT}\npve1 ssh-ed25519 ?!\npve1\npve1 {OTHER_TEXT}\npve1 {TEXT}\n"

    assert known(text, "pve1", 22) == Known(accepted=(KEY, OTHER))


@given(text=st.text(max_size=200), address=st.text(max_size=20), port=st.integers(1, 65535))
def test_no_text_makes_it_fail(text: str, address: str, port: int) -> None:
    """The file may hold anything."""
    assert isinstance(known(text, address, port), Known)


@pytest.mark.parametrize("text", ["", "ssh-ed25519", "ssh-ed25519 ?!"])
def test_what_is_no_key_is_refused(text: str) -> None:
    """A pinned key is read or refused, never ignored."""
    with pytest.raises(ValueError, match="key"):
        HostKey.parse(text)


def test_names_are_as_ssh_writes_them() -> None:
    """Lower case, with the port unless it is 22."""
    assert [entry_name("PVE1", 22), entry_name("::1", 2222)] == ["pve1", "[::1]:2222"]
