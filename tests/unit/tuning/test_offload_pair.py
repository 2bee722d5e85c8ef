"""Which device of an end is validated."""

from dataclasses import replace

import pytest

from bench.facts.roles import Role
from bench.labs.lab import Endpoint, Lab, PathDevice
from bench.labs.topology import Topology
from results.errors import WrongInput
from tests.unit.bench.fakes import FakeHost
from tuning.offload import validating
from tuning.offload.validating import Wanted


def _lab() -> Lab:
    """Bridges with an address at both ends, a NIC below each; the path leads from a to b."""
    a, b = FakeHost("a"), FakeHost("b")
    path = (PathDevice(a, "vmbr1"), PathDevice(a, "enp5s0"), PathDevice(b, "ens1"), PathDevice(b, "vmbr0"))
    ends = (Endpoint(a, "vmbr1", "192.0.2.1"), Endpoint(b, "vmbr0", "192.0.2.2"))
    return Lab(Topology("standing"), ends, (), path)


def test_it_is_the_one_nearest_to_the_wire_unless_named() -> None:
    """What lies below an end's bridge, at either end; a named one wherever it is."""
    lab = _lab()
    found = [validating._device(lab, end, Wanted()).device for end in lab.endpoints]

    assert found == ["enp5s0", "ens1"]
    assert validating._device(lab, lab.a, Wanted(devices={"a": "vmbr1"})).device == "vmbr1"


def test_one_that_is_not_on_the_path_is_refused_with_those_that_are() -> None:
    """By end and device."""
    with pytest.raises(WrongInput, match="'eth7' is not on the path") as caught:
        validating._device(_lab(), _lab().a, Wanted(devices={"a": "eth7"}))

    assert caught.value.hint == "--pair with a.vmbr1, a.enp5s0"


def test_what_rides_on_an_end_is_told_in_words() -> None:
    """Of the ends alone; nothing where nothing does."""
    ridden = replace(_lab(), roles={"b": (Role("ens1", "ssh", "our SSH comes to ens1"),)})

    assert validating.roles(_lab(), ("a", "b")) == ()
    assert validating.roles(ridden, ("a", "b")) == ("our SSH comes to ens1",)
