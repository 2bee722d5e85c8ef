"""What every provider does with a Blueprint once its hosts stand: run the steps, make the Lab, see that it is up."""

import time
from collections.abc import Callable, Mapping

from bench.hosts.command import Command
from bench.hosts.host import Host
from bench.labs.blueprint import Blueprint
from bench.labs.cable import Ends
from bench.labs.lab import Endpoint, Lab, PathDevice
from bench.labs.legs import BUNDLED
from bench.labs.topology import Topology
from results.errors import NotAble

_NFT_LINES = 12  # of a ruleset, shown by --dry-run
_AGREE_S = 5.0  # for LACP to bundle all legs (seen: 0.5 s with lacp_rate fast, 1.6 s at most)


class LabBroken(NotAble):
    """The lab could not be stood, or is not what it should be."""


def run_steps(
    plan: Blueprint, hosts: Mapping[str, Host], hint: str, of: Callable[[str], bool] = lambda _: True
) -> None:
    """The steps of the hosts for which `of` holds, in order. Raises CommandFailed with `hint`."""
    for host, command in plan.steps:
        if of(host):
            hosts[host].run(command).require(hint)


def lab_of(
    topology: Topology,
    plan: Blueprint,
    hosts: Mapping[str, Host],
    *,
    machine: Host | None = None,
    cables: Ends | None = None,
) -> Lab:
    """The Lab that a blueprint gives on these hosts; `machine` and `cables` as in Lab."""
    return Lab(
        topology=topology,
        endpoints=tuple(Endpoint(hosts[end.host], end.device, end.address) for end in plan.ends),
        nodes=tuple(hosts[name] for name in plan.nodes),
        path=tuple(PathDevice(hosts[port.host], port.device, port.counts, port.serves) for port in plan.path),
        met=plan.met,
        cables=cables or {},
        machine=machine,
    )


def lines(plan: Blueprint) -> list[tuple[str, str]]:
    """(host, line) of every step, for `--dry-run`; peers' namespaces have their hosts' names."""
    found = []
    for host, command in plan.steps:
        listed = command.stdin.splitlines()
        match command.argv[0]:
            case "tee":
                found.append((host, f"sysctl -w {command.argv[1].removeprefix('/proc/sys/')}={command.stdin}"))
            case "ethtool":
                found.append((host, str(command)))
            case "nft":
                shown = [*listed[:_NFT_LINES], f"    … {len(listed) - _NFT_LINES} more lines"]
                found += [(host, f"nft: {line}") for line in (listed if len(listed) <= _NFT_LINES else shown)]
            case _:
                tool = " ".join(word for word in command.argv if word not in {"-batch", "-"})
                found += [(host, f"{tool} {line}") for line in listed]
    return found


def check(lab: Lab, *, within_s: float) -> None:
    """Every device up, bonds agreed with their partners, and netlink and sysfs of one namespace. Raises LabBroken."""
    deadline = time.monotonic() + within_s
    while True:
        sheets = lab.read()
        waiting = [
            f"{each.host.name}/{each.device} is {sheets[each.host.name].facts.get(f'link/{each.device}/operstate')}"
            for each in lab.path
            if sheets[each.host.name].facts.get(f"link/{each.device}/operstate") != "UP"
        ]
        waiting += [
            f"{name}/{key.split('/')[1]} has a tentative address"
            for name, sheet in sheets.items()
            for key, value in sheet.facts.items()
            if key.startswith("address/") and "tentative" in value
        ]
        if not waiting:
            break
        if time.monotonic() > deadline:
            raise LabBroken(f"lab {lab.topology.name} did not come up in {within_s:g} s: {', '.join(waiting)}")
        time.sleep(0.01)
    if lab.topology.bond_mode == "802.3ad":
        _agreed(lab)
    for each in lab.path:
        index, shown = each.host.run_all(
            (
                Command(("cat", f"/sys/class/net/{each.device}/ifindex")),
                Command(("ip", "-o", "link", "show", each.device)),
            )
        )
        found = index.require().stdout.strip(), shown.require().stdout.partition(":")[0]
        if found[0] != found[1]:
            raise LabBroken(
                f"on {each.host.name}: {each.device} is {found[1]} by netlink and {found[0]} by sysfs: "
                "its sysfs is another namespace's"
            )


def _agreed(lab: Lab) -> None:
    """LACP has put every leg into one aggregator, on both sides; a bond of one leg would be another topology."""
    deadline = time.monotonic() + _AGREE_S
    bonded = {each.host.name: each.host for each in lab.path if each.device == "bond0"}
    while True:
        told = {name: host.run(BUNDLED).require().stdout.strip() for name, host in bonded.items()}
        if set(told.values()) == {str(lab.topology.legs)}:
            return
        if time.monotonic() > deadline:
            raise LabBroken(
                f"lab {lab.topology.name}: LACP bundled {told} of {lab.topology.legs} legs in {_AGREE_S:g} s"
            )
        time.sleep(0.05)
