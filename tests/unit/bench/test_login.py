"""Login: the texts that name a machine reached by SSH."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.hosts.login import Login
from results.errors import WrongInput

NAMES = st.from_regex(r"[a-z0-9]([a-z0-9.-]{0,20}[a-z0-9])?", fullmatch=True)
ADDRESSES = NAMES | st.ip_addresses(v=4).map(str) | st.ip_addresses(v=6).map(str)
USERS = st.from_regex(r"[a-z_][a-z0-9_.-]{0,15}", fullmatch=True)


@given(address=ADDRESSES, port=st.integers(1, 65535), user=USERS)
def test_what_a_login_shows_is_read_as_the_same_login(address: str, port: int, user: str) -> None:
    """With and without the scheme."""
    login = Login(address, port, user)

    assert [login, login] == [Login.parse(str(login)), Login.parse(f"ssh://{login}")]


@pytest.mark.parametrize(
    ("text", "login"),
    [
        ("ssh://root@pve1:22", Login("pve1")),
        ("root@pve1", Login("pve1")),
        ("pve1", Login("pve1")),
        ("ssh://admin@10.0.0.5:2222/", Login("10.0.0.5", 2222, "admin")),
        ("[2001:db8::1]", Login("2001:db8::1")),
        ("root@[fe80::1%eth0]:22", Login("fe80::1%eth0")),
    ],
)
def test_user_and_port_may_be_left_out(text: str, login: Login) -> None:
    """Root and 22 then, as on a Proxmox node."""
    assert login == Login.parse(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is no address"),
        ("http://pve1", "is no address"),
        ("ssh://pve1/etc", "is no address"),
        ("root@", "is no address"),
        ("2001:db8::1", "is no address"),
        ("[::g]", "is no address"),
        ("[1.2.3.4]", "is no IPv6 address"),
        ("pve1:0", "port 0"),
        ("pve1:65536", "port 65536"),
        ("-oProxyCommand=x", "is no address"),
        ("root@pve1 ", "is no address"),
        ("pve1\n", "is no address"),
    ],
)
def test_what_names_no_machine_is_wrong_input(text: str, words: str) -> None:
    """The hint shows what it looks like."""
    with pytest.raises(WrongInput, match=words) as raised:
        Login.parse(text)

    assert "ssh://root@pve1:22" in raised.value.hint


def test_a_password_is_refused_and_not_repeated() -> None:
    """It would stand in logs."""
    with pytest.raises(WrongInput, match="password") as raised:
        Login.parse("ssh://root:hunter2@pve1")

    assert "hunter2" not in str(raised.value) + raised.value.hint


@given(text=st.text(st.sampled_from(string.printable + "ü€\0"), max_size=30))
def test_any_text_is_a_login_or_wrong_input(text: str) -> None:
    """Nothing else comes out, and nothing that a shell or ssh would read as an option."""
    try:
        login = Login.parse(text)
    except WrongInput:
        return

    assert not login.address.startswith("-")
    assert not login.user.startswith("-")
    assert login == Login.parse(str(login))
