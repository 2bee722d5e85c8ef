"""Settings that start guests anew: which of a plan's do, the state that a treatment's make, and what they cost."""

from collections.abc import Collection, Iterable, Mapping
from typing import Protocol

from bench.labs.guests import ANEW, LIVE, Guests, facts
from bench.labs.topology import Topology
from bench.pve import deployment, vnic
from bench.pve.deployment import Deployment

# Two guests of two emulated CPUs each: 7.1 to 9.5 s to end and start them until the lab was up again (n = 10).
START_S = 8.0
# After a start so many trials are measured and not counted: on an emulated CPU the first gave 16 % less, as its code is
# translated anew, and the second 5 %. ADR 0021.
UNCOUNTED = 2


class Spec(Protocol):
    """A setting of a plan."""

    @property
    def setting(self) -> str:
        """Its word."""
        ...

    @property
    def value(self) -> str:
        """As the plan has it."""
        ...

    @property
    def target(self) -> str | None:
        """Where it acts; None: where its knob does."""
        ...


Treatments = Mapping[str, Collection[Spec]]


def words(treatments: Treatments) -> tuple[str, ...]:
    """The settings of a plan on virtual NICs."""
    used = {spec.setting for specs in treatments.values() for spec in specs}
    return tuple(word for word in (*ANEW, *LIVE) if word in used)


def state(specs: Iterable[Spec]) -> str:
    """What a treatment starts guests with, in words that are the same for the same; "" for nothing."""
    told = (
        f"{spec.setting}={spec.value}{f' ({spec.target})' if spec.target else ''}"
        for spec in specs
        if spec.setting in ANEW
    )
    return ", ".join(sorted(told))


def block_s(treatments: Treatments, trial_s: float) -> float:
    """What new starts, and the trial after each that is not counted, add to a block."""
    anew = len({state(specs) for specs in treatments.values()} - {""})
    # A state is begun and left by a start each; the plain group begins with one where it is the block's first.
    return (2 * anew + 1 / (anew + 1)) * START_S + (anew + 1) * UNCOUNTED * trial_s if anew else 0.0


def states(treatments: Treatments, deployed: object, topology: Topology) -> dict[str, str]:
    """The state of each treatment on guests of such a plan; "" where they are so already, or are no guests."""
    if isinstance(deployed, Guests):
        started = facts(deployed, topology.mtu)
    elif isinstance(deployed, Deployment):
        of = vnic.facts(vnic.parse(deployment.net(topology)))
        started = {f"vm/{word}": vnic.meaning(vnic.WORDS[word], value) for word, value in of.items()}
    else:
        return dict.fromkeys(treatments, "")
    return {
        name: state(specs) if any(started.get(f"vm/{each.setting}", each.value) != each.value for each in specs) else ""
        for name, specs in treatments.items()
    }
