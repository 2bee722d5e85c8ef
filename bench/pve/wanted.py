"""A test guest as it is to be, and what it is made of."""

from dataclasses import dataclass

from bench.pve.ownership import Kind


@dataclass(frozen=True, slots=True)
class Wanted:
    """A guest as it is to be: a VM or a container, by what its source is.

    source    "9000" clones that template; "local:import/nettune.qcow2" imports that image, "/var/tmp/nettune.qcow2"
              one that lies on the node; "local:vztmpl/debian-12-….tar.zst" unpacks a container
    nics      (netN as the API takes it of a VM, without a MAC; its address "192.0.2.10/24"), net0 first
    gateway   of net0; "" for none
    key       a public key, as authorized_keys has it, for root
    affinity  the node's CPUs that a VM is pinned to: "2-3"; "" for all
    ready_s   s that its start may take
    rules     of its firewall that match nothing
    """

    name: str
    node: str
    source: str
    storage: str
    nics: tuple[tuple[str, str], ...]
    key: str
    gateway: str = ""
    cores: int = 2
    memory_mb: int = 1024
    pool: str = ""
    affinity: str = ""
    ready_s: float = 300.0
    rules: int = 0

    @property
    def from_file(self) -> bool:
        """True where its disk is a file on the node."""
        return self.source.startswith("/")


@dataclass(frozen=True, slots=True)
class Origin:
    """What a source makes; `home` is the node of a template, "" where it is none."""

    kind: Kind
    home: str = ""
