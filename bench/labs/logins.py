"""How a machine is reached, as a plan or an inventory says it: the option rows, their reader, and a lease's line."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from bench.document import Node
from bench.hosts.login import Login
from bench.options import SWITCH, Options, switch, taken
from results.errors import WrongInput
from results.json_schema import Schema, listed, mapping

KEYS = ("ssh", "keys", "known_hosts", "jump", "sudo")
_SUDO: Options = {"sudo": switch("commands run as root through sudo -n")}
_TEXT: Schema = {"type": "string", "minLength": 1}
_REST = tuple(key for key in KEYS if key != "ssh")


def login(members: Mapping[str, Node], folder: Path) -> Login:
    """How a machine is reached; a jump host given as a bare address takes the same keys and known_hosts."""
    keys = tuple(_path(each, folder) for each in members["keys"].items()) if "keys" in members else ()
    known = _path(members["known_hosts"], folder) if "known_hosts" in members else None
    jump = members.get("jump")
    way = None
    if jump is not None and isinstance(jump.value, dict):
        inner = jump.mapping(("ssh", "keys", "known_hosts", "jump"))
        if "ssh" not in inner:
            jump.wrong("the jump host has no 'ssh'", hint="jump: ssh://root@gateway")
        way = login(inner, folder)
    elif jump is not None:
        way = replace(_parsed(jump), keys=keys, known_hosts=known)
    sudo = bool(taken(members, _SUDO)["sudo"])
    return replace(_parsed(members["ssh"]), keys=keys, known_hosts=known, jump=way, sudo=sudo)


def node(of: Node) -> Login:
    """The node that a lab stands on. Raises WrongInput naming line and key."""
    members = of.mapping(KEYS)
    if "ssh" not in members:
        of.wrong("the node has no 'ssh'", hint="node: {ssh: ssh://root@pve1}")
    return login(members, Path())


def schema() -> Schema:
    """The JSON Schema of `node`."""
    ssh = {**_TEXT, "description": "ssh://root@pve1, with user and port where they are others"}
    jump = mapping({"ssh": ssh, "keys": listed(_TEXT), "known_hosts": _TEXT, "jump": {"type": ["string", "object"]}},
                   optional=_REST)  # fmt: skip
    rows: dict[str, Schema] = {
        "ssh": ssh,
        "keys": {**listed(_TEXT), "description": "private keys; the agent's and ~/.ssh's when not given"},
        "known_hosts": {**_TEXT, "description": "in place of ~/.ssh/known_hosts"},
        "jump": {"anyOf": [_TEXT, jump], "description": "the machine on the way"},
        "sudo": {**SWITCH, "description": "commands run as root through sudo -n"},
    }
    about = "the Linux node that the guests and the namespaces between them stand on, over SSH; this machine if none"
    return {**mapping(rows, optional=_REST), "description": about}


def noted(of: Login) -> dict[str, object]:
    """A Login as plain data, its files by their whole paths: somebody else may read it, elsewhere."""
    return {
        **asdict(of),
        "keys": [str(each.absolute()) for each in of.keys],
        "known_hosts": str(of.known_hosts.absolute()) if of.known_hosts else None,
        "jump": noted(of.jump) if of.jump else None,
    }


def from_noted(told: Mapping[str, Any]) -> Login:  # Any: JSON
    """The Login that `noted` gave. Raises ValueError, TypeError or KeyError where it is none."""
    return replace(
        Login(**told),
        keys=tuple(Path(each) for each in told["keys"]),
        known_hosts=Path(told["known_hosts"]) if told["known_hosts"] else None,
        jump=from_noted(told["jump"]) if told["jump"] else None,
    )


def _parsed(of: Node) -> Login:
    try:
        return Login.parse(of.text())
    except WrongInput as error:
        of.wrong(str(error), hint=error.hint)


def _path(of: Node, folder: Path) -> Path:
    return folder / Path(of.text()).expanduser()
