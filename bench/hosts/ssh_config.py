"""What the operator's own ssh makes of a name: user, port, keys, the way there (ssh_config(5), by `ssh -G`)."""

import os
import pwd
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from bench.hosts.command import Command
from bench.hosts.local import Local
from bench.hosts.login import Login
from results.errors import WrongInput

_HOPS_MOST = 8
Settings = Mapping[str, tuple[str, ...]]  # keyword in small letters -> its values, in their order


def login(text: str, *, sudo: bool = False) -> Login:
    """The Login for ssh://user@name:port; what the text leaves open is as `ssh name` has it, and the user then root.

    `sudo`: the user is who ssh would log in as, and commands run as root through `sudo -n`.

    Raises WrongInput for a text that names no host, and for a way there that only ssh itself can take.
    """
    return replace(_login(text, own_user=sudo, hops=0), sudo=sudo)


def _login(text: str, *, own_user: bool, hops: int) -> Login:
    if hops > _HOPS_MOST:
        raise WrongInput(f"~/.ssh/config reaches {text} over more than {_HOPS_MOST} machines", hint="ssh -G shows them")
    name = Login.parse(text).address
    ours, plain = _asked(_config(), name), _asked(("-F", "none"), name)
    if not ours or not plain:  # there is no ssh here
        return Login.parse(text)
    if _one(ours, "proxycommand") not in {"", "none"}:
        raise WrongInput(f"~/.ssh/config reaches {name} by a ProxyCommand, which only ssh runs", hint="use ProxyJump")
    user = _one(ours, "user") if own_user or ours.get("user") != plain.get("user") else "root"
    found = Login.parse(text, user=user, port=int(_one(ours, "port")))
    way = None
    # ssh prints brackets around an address of IPv4 too.
    for hop in re.sub(r"\[([^]:]*)\]", r"\1", _one(ours, "proxyjump")).split(","):
        if hop not in {"", "none"}:
            next_one = _login(hop, own_user=True, hops=hops + 1)
            way = replace(next_one, jump=way) if way else next_one
    address = _one(ours, "hostname")
    tokens = {"%d": str(Path.home()), "%h": address, "%n": name, "%p": str(found.port), "%r": found.user, "%%": "%"}
    return replace(found, address=address, jump=way,
                   keys=_keys([each for each in ours.get("identityfile", ())
                               if each not in plain.get("identityfile", ())], tokens),
                   known_hosts=_known_hosts(ours, plain, tokens))  # fmt: skip


def read(text: str) -> Settings:
    """What `ssh -G` prints: a keyword and its value on each line, a keyword once for each of its values."""
    found: dict[str, tuple[str, ...]] = {}
    for line in text.splitlines():
        keyword, _, value = line.partition(" ")
        found[keyword.lower()] = (*found.get(keyword.lower(), ()), value.strip())
    return found


def _config() -> tuple[str, ...]:
    """ssh(1) asks passwd(5) where home is; everything else here, $HOME."""
    of_home = Path.home() / ".ssh" / "config"
    try:
        same = Path.home() == Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        same = False
    if same:
        return ()
    return ("-F", str(of_home) if of_home.exists() else "none")


def _asked(words: Sequence[str], name: str) -> Settings:
    told = Local().run(Command(("ssh", *words, "-G", "--", name)))
    return read(told.stdout) if told.ok else {}


def _one(settings: Settings, keyword: str) -> str:
    return next(iter(settings.get(keyword, ())), "")


def _keys(files: Sequence[str], tokens: Mapping[str, str]) -> tuple[Path, ...]:
    """Those that can be used: of one with a passphrase the agent knows more."""
    from bench.hosts.ssh_connection import usable  # noqa: PLC0415 - paramiko takes 0.3 s to import

    return tuple(path for path in (_path(each, tokens) for each in files) if usable(path))


def _known_hosts(ours: Settings, plain: Settings, tokens: Mapping[str, str]) -> Path | None:
    if ours.get("userknownhostsfile") == plain.get("userknownhostsfile"):
        return None
    return _path(_one(ours, "userknownhostsfile").split(" ")[0], tokens)


def _path(text: str, tokens: Mapping[str, str]) -> Path:
    for token, value in tokens.items():
        text = text.replace(token, value)
    return Path(text).expanduser()
