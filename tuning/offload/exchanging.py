"""What goes between the ends under an arm: payload, what it goes through, and once more what goes wrong otherwise."""

import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from bench.labs.lab import Endpoint, Lab
from bench.probes.sweep import LEAST_BYTES, ping, reply
from results.errors import NotAble
from tuning.journal import Journal
from tuning.offload import blaming, cases, exchange, inventory, over
from tuning.offload.arms import Arm
from tuning.offload.blaming import Named
from tuning.offload.cases import Result
from tuning.offload.evidence import Observed
from tuning.offload.exchange import End
from tuning.offload.inventory import Nic

_OVER6_MTU = 1400  # IPv6's least within VXLAN over IPv6 (70 bytes), and some more


@dataclass(frozen=True, slots=True)
class Bench:
    """What every arm is held and exercised with."""

    lab: Lab  # the NIC at its "guest", the other end at its "node"
    ends: tuple[End, End]  # client and server: a and b
    cases: tuple[cases.Case, ...]
    mtu: int
    nic: Nic
    journal: Journal
    seeds: random.Random
    bulk_bytes: int
    negotiates: bool = True  # the bitmaps of each toggle are asked for

    @property
    def families(self) -> tuple[int, ...]:
        """Those of which both ends have an address."""
        return tuple(each for each in (4, 6) if all(each in end.addresses for end in self.ends))

    @property
    def own(self) -> End:
        """The end whose NIC is under test."""
        return next(end for end in self.ends if end.host.name == self.nic.host)

    def exchange(self, overs: Sequence[str] = (), *, plain: bool = True, strict: bool = False) -> tuple[Result, ...]:
        """All cases once, of another seed each time, and those through each of `overs`; those alone unless `plain`.

        Where an end's program cannot run no exchange came about, say the cases: an address may have gone with its link.
        `strict` raises that.
        """
        own: tuple[Result, ...] = ()
        try:
            own = exchange.run(*self.ends, self.cases, self.mtu, self._seed()) if plain else ()
        except exchange.NoExchange as error:
            if strict:
                raise
            own = tuple(Result(case, {"error": str(error)}, {}) for case in self.cases)
        return (*own, *(result for over in overs for result in self._through(over)))

    def tried(self, made: Observed, overs: Sequence[str], base: Observed | None, *, plain: bool,
              renew: Callable[[], None], strict: bool = False) -> Observed:  # fmt: skip
        """An arm with its exchange; what goes otherwise than on its ground `base` is exchanged once more."""
        first = replace(made, results=self.exchange(overs, plain=plain, strict=strict))
        odd = blaming.odd(first, base)
        if not odd or not all(inventory.carrier(end.host, end.device)[0] for end in self.ends):
            return first  # a link that is lost is told as that
        renew()
        again = [name for name in overs if name in odd]
        return replace(first, repeated=self.exchange(again, plain="" in odd))

    def _through(self, name: str) -> tuple[Result, ...]:
        """What cannot stand here is told by its cases. Of machines that stand no module is loaded (ADR 0005)."""
        kind, families = over.OVERS[name], self.families
        inner = (4, *((6,) if 6 in families and self.mtu >= _OVER6_MTU else ()))
        listed = cases.through(name, self.bulk_bytes, [each for each in kind.within if each in inner])
        if kind.around and kind.around not in families:
            return cases.skipped(listed, f"the ends have no IPv{kind.around} addresses for it")
        load = may_load(self.lab, self.ends)
        try:
            return exchange.run_through(kind, *self.ends, listed, self.mtu, self._seed(), load=load)
        except exchange.NoExchange as error:
            return cases.skipped(listed, str(error))

    def _seed(self) -> int:
        return self.seeds.randrange(1 << 30)


def may_load(lab: Lab, ends: Sequence[Endpoint | End]) -> bool:
    """Whether its machines may load modules: guests of our own. Loading makes devices (gre0, tunl0) that stay."""
    return not lab.guard_s and not any(end.host.local for end in ends)


def check_path(bench: Bench) -> None:
    """Raises NotAble where packets of the ends' MTU vanish on the way and smaller ones pass: no NIC is at fault for it.

    Where somebody on the way says that they are too large TCP hears it too, and goes on. Who answers no ping at all
    tells nothing.
    """
    client, server = bench.ends
    for family in bench.families:
        size, least, there = bench.mtu, LEAST_BYTES[family], server.addresses[family]
        whole = reply(client.host.run(ping(there, size, family)))
        if whole.passed or whole.mtu_bytes or not reply(client.host.run(ping(there, least, family))).passed:
            continue
        raise NotAble(
            f"IPv{family} packets of {size} bytes, the ends' MTU, do not pass between {client.host.name}."
            f"{client.device} and {server.host.name}.{server.device}, and nobody says so; of {least} bytes they do",
            hint=f"the MTU of what is between; or a smaller one at both ends: ip link set {client.device} mtu 1500",
        )


def as_found(bench: Bench, arm: Arm, overs: Sequence[str], *, again: bool = False) -> Observed:
    """Raises NotAble where nothing at all passes; `again`, once something has been toggled, that is what is found."""
    made = bench.tried(Observed(arm), (), None, plain=True, renew=_nothing, strict=not again)
    if silent(made):
        if again:
            return made
        client, server = bench.ends
        why = next((said for each in made.results if (said := each.sender.get("error") or each.taker.get("error"))), "")
        raise NotAble(
            f"nothing passes between {client.host.name}.{client.device} and {server.host.name}.{server.device}: {why}",
            hint="does one answer the other's ping? Is a firewall between them, for ports of 20000 to 31999?",
        )
    more = bench.tried(Observed(arm), overs, None, plain=False, renew=_nothing)
    return replace(made, results=(*made.results, *more.results), repeated=(*made.repeated, *more.repeated))


def once_more(bench: Bench) -> Observed:
    """The pair as found, where there is reason to believe that nothing passes any more."""
    return Observed(Arm("found"), results=bench.exchange())


def silent(observed: Observed) -> bool:
    """Whether something was exchanged, and nothing of it came."""
    return bool(observed.results) and _nothing_came((*observed.results, *observed.repeated))


def dead(observed: Observed) -> bool:
    """Whether of the last exchange under a toggle nothing came."""
    return (
        observed.arm != Arm("found") and bool(observed.results) and _nothing_came(observed.repeated or observed.results)
    )


def _nothing_came(results: Sequence[Result]) -> bool:
    return not any("got" in each.taker for each in results)


def passed(observed: Observed) -> list[str]:
    """What something came through: a switch or a firewall between may know nothing of a VLAN or a tunnel."""
    results = (*observed.results, *observed.repeated)
    return list(dict.fromkeys(each.case.over for each in results if each.case.over and "got" in each.taker))


def in_vain(observed: Observed) -> list[str]:
    """What could stand, and nothing came through."""
    stood = (each.case.over for each in (*observed.results, *observed.repeated) if not each.sender.get("skipped"))
    return [each for each in dict.fromkeys(stood) if each and each not in passed(observed)]


def told(observed: Sequence[Observed]) -> list[Observed]:
    """The arms, where of what nothing came in any of them that is the reason: no NIC is at fault for it.

    What came in one of them is lost in the others: of tagged frames it is noted beside what their taker says.
    """
    through = {"", *(name for each in observed for name in passed(each))}
    passes: dict[Named, str] = {}
    for each in observed:
        for result in (*each.results, *each.repeated):
            if result.case.kind == "tagged" and "got" in result.taker and not cases.all_lost(result):
                passes.setdefault(result.case.key, each.arm.name)
    return [replace(each, results=_told(each.results, through, passes), repeated=_told(each.repeated, through, passes))
            for each in observed]  # fmt: skip


def _nothing() -> None:
    """Nothing is held as found, and no guard waits."""


def _told(results: Sequence[Result], through: Collection[str], passes: Mapping[Named, str]) -> tuple[Result, ...]:
    why = "nothing came through: does a switch or a firewall between know of it?"
    found: list[Result] = []
    for each in results:
        if each.case.over not in through and not each.sender.get("skipped"):
            found += cases.skipped([each.case], f"{each.case.over}: {why}")
        elif each.case.key in passes and cases.all_lost(each):
            found.append(replace(each, taker={**each.taker, "passes": passes[each.case.key]}))
        else:
            found.append(each)
    return tuple(found)
