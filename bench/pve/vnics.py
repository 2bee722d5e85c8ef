"""The measured NIC of test VMs while their lab stands: changed by the API, read back from what is pending, put back.

What a NIC takes while its VM runs (rate, firewall) is set so; for all else the VM is stopped and started (ADR 0021):
Proxmox VE could unplug the NIC and plug in another, which a guest may not survive, and two starts are the same.
"""

from collections.abc import Callable, Collection, Mapping

from bench.labs.restarting import Wanted
from bench.pve import vnic
from bench.pve.client import Client
from bench.pve.errors import PveFault
from bench.pve.machines import Made
from bench.pve.vnic import Vnic
from results.errors import NotAble

_KEY = "vm/"
_TASK_S = 120.0


class Vnics:
    """See bench.labs.restarting.Restarts; `vms` by the name of their ends."""

    def __init__(self, client: Client, vms: Mapping[str, Made], settle: Callable[[], None]) -> None:
        """`settle` waits until the lab is up again. Raises PveFault, NotAVnic, NotAble."""
        if container := next((vm for vm in vms.values() if vm.kind == "lxc"), None):
            raise NotAble(f"{container}: its NIC has none of a VM's words", hint="leave vm-… out, or take VMs")
        self._client, self._vms, self._settle = client, vms, settle
        self._first = {end: vnic.parse(self._read(end)) for end in vms}
        self._now = dict(self._first)

    def facts(self, host: str) -> Mapping[str, str]:
        """See Restarts.facts."""
        of = self._now.get(host)
        return {} if of is None else {f"{_KEY}{word}": value for word, value in vnic.facts(of).items()}

    def restart(self, wanted: Wanted) -> None:
        """See Restarts.restart. A VM is started anew only where its NIC would be unplugged."""
        before = {end: self._now[end] for end in wanted}
        after = {end: self._changed(end, values) for end, values in wanted.items()}
        for end, of in after.items():
            asked = [vnic.WORDS[key.removeprefix(_KEY)] for key in wanted[end]]
            if why := vnic.problem(of, asked):
                raise NotAble(f"VM {self._vms[end].vmid}: {why}")
        anew = {end for end, of in after.items() if vnic.unplugs(self._now[end], of)}
        try:
            self._become(after, anew)
        except NotAble:
            self._become(before, anew)
            raise

    def fresh(self) -> None:
        """See Restarts.fresh."""
        self._start(self._now)

    def _changed(self, end: str, values: Mapping[str, str]) -> Vnic:
        """The NIC with these facts; one that was there at first stands as it did then, word for word."""
        options = {vnic.WORDS[key.removeprefix(_KEY)]: value for key, value in values.items()}
        after = self._now[end].changed(options)
        return self._first[end] if after.options == self._first[end].options else after

    def _become(self, wanted: Mapping[str, Vnic], anew: Collection[str]) -> None:
        """Of a VM of `anew` nobody knows after a failure whether it runs."""
        for end, of in wanted.items():
            if end not in anew and self._now[end] != of:
                self._now[end] = of  # what is set is no longer what was, whatever becomes of the call
                self._write(end, of)
                self._taken(end, of)
        if anew:
            self._start({end: wanted[end] for end in wanted if end in anew})

    def _start(self, wanted: Mapping[str, Vnic]) -> None:
        for end in wanted:
            self._task(end, "stop")
        for end, of in wanted.items():
            if self._now[end] != of:
                self._now[end] = of
                self._write(end, of)
        for end in wanted:
            self._task(end, "start")
        self._settle()
        for end, of in wanted.items():
            self._taken(end, of)

    def _write(self, end: str, of: Vnic) -> None:
        self._client.put(f"{self._path(end)}/config", {self._net(end): str(of)})

    def _taken(self, end: str, of: Vnic) -> None:
        """The VM has that NIC now, and nothing of it waits for a start. Raises NotAble with what it has."""
        rows = self._client.get(f"{self._path(end)}/pending")
        row: Mapping[str, object] = next((each for each in rows if each.get("key") == self._net(end)), {})
        has = str(row.get("value", ""))
        if "pending" in row and vnic.differing(vnic.parse(has), vnic.parse(str(row["pending"]))):
            raise NotAble(f"{self._vms[end]}: {self._net(end)} waits for a start: to be {row['pending']}, it is {has}",
                          hint="does the VM's `hotplug` have network in it?")  # fmt: skip
        if differing := vnic.differing(of, vnic.parse(has)):
            raise NotAble(
                f"{self._vms[end]}: {self._net(end)} was set to {of} and is {has}: {', '.join(sorted(differing))}"
            )

    def _read(self, end: str) -> str:
        return str(self._client.get(f"{self._path(end)}/config").get(self._net(end), ""))

    def _task(self, end: str, what: str) -> None:
        vm = self._vms[end]
        state = self._client.get(f"{self._path(end)}/status/current").get("status")
        if (state == "stopped") == (what == "stop"):
            return  # a start that failed before
        call = f"{what} VM {vm.vmid} ({vm.name})"
        try:
            self._client.done(call, self._client.post(f"{self._path(end)}/status/{what}"), _TASK_S)
        except PveFault as error:
            raise NotAble(f"VM {vm.vmid} ({vm.name}) on {vm.node}: {error}", hint=error.hint) from error

    def _path(self, end: str) -> str:
        return self._vms[end].path

    def _net(self, end: str) -> str:
        return f"net{self._vms[end].nic}"
