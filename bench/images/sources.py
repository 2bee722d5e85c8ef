"""Where packages come from: what apt on this machine is set up to use, asked and never assumed.

Nothing of it goes into an image or its manifest: a mirror's name is the machine's own business.
"""

from bench.hosts.command import Command
from bench.hosts.host import Host
from results.errors import NotAble

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
# What apt on the machine needs to reach its mirrors at all; mmdebstrap's apt has a configuration of its own.
_OPTIONS = frozenset(
    f"Acquire::{name}"
    for name in ("http::Proxy", "https::Proxy", "https::CAInfo", "Retries", "Check-Valid-Until", "Check-Date")
)


def sources(local: Host) -> tuple[str, ...]:
    """Lines of sources.list for every Debian index of the machine's apt, security and updates among them.

    Sources of other origins (Proxmox VE's, a vendor's) are left out: a guest needs none. Raises NotAble.
    """
    form = "$(REPO_URI) $(RELEASE) $(COMPONENT)"
    asked = Command(("apt-get", "indextargets", "--format", form, "Created-By: Packages", "Origin: Debian"))
    lines = [line.split() for line in local.run(asked).require().stdout.splitlines()]
    if not lines:
        raise NotAble(
            f"apt on {local.name} knows no packages of Debian",
            hint="apt-get update; where the machine is no Debian, build on one and copy the cache folder",
        )
    return tuple(f"deb [signed-by={KEYRING}] {' '.join(line)}" for line in dict.fromkeys(map(tuple, lines)))


def options(local: Host) -> tuple[str, ...]:
    """apt.conf lines by which the machine's apt reaches its mirrors: proxies, certificates, checks of dates."""
    shown = local.run(Command(("apt-config", "dump"))).require().stdout
    return tuple(line for line in shown.splitlines() if line.partition(" ")[0] in _OPTIONS)
