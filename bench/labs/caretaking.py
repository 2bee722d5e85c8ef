"""What stands on a remote node, and its end: at the lab's own, by `nettune lab reap`, or by a caretaker there.

The caretaker is a shell on the node, in a session of its own. It reads a pipe whose other end only a command of our SSH
connection holds: that command ends with the connection, and the caretaker then does what the lab would have done.
A path that falls silent ends no connection on the node for hours; so it also asks the node's kernel how long ago it
heard from us, who send something every 2 s.
"""

import contextlib
import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bench.facts.roles import CONNECTION
from bench.hosts.command import Command, HostFault
from bench.hosts.host import Host
from bench.hosts.login import Login
from bench.labs import logins

KIND = "node"  # of a lease's line
SILENT_S = 60  # without a word from here, after which a lab on a node is removed
_BEGIN_S = 15.0
_REMOVE_S = 60.0
_NAME = "nt-{lease_id}-{name}"
_FOLDER = "/run/nettune-{lease_id}"  # of memory, and gone after a reboot like the namespaces
# $1 is the folder, the rest are namespaces; what was removed is printed. A process is ended only if at that moment it
# is in the namespace, which is this lab's alone: its number may have become another's since `ip` listed it.
_REMOVE = """\
folder=$1 failed=0; shift
for name do
  [ -e "/run/netns/$name" ] || continue
  for try in 1 2 3 4 5; do
    found=
    for pid in $(ip netns pids "$name"); do
      [ "/proc/$pid/ns/net" -ef "/run/netns/$name" ] && kill -KILL "$pid" 2>/dev/null && found=yes
    done
    [ -n "$found" ] || break
    sleep 0.1
  done
  if ip netns delete "$name"; then echo "$name"; elif [ -e "/run/netns/$name" ]; then failed=1; fi
done
if [ -d "$folder" ]; then
  if rm -rf -- "$folder"; then echo "$folder"; else failed=1; fi
fi
exit "$failed"
"""
# $1 _REMOVE, $2 seconds of silence, $3 and $4 our connection's ends as the node sees them, then what _REMOVE is given.
# Twice, as a command of ours may still be making something while its connection ends.
_WATCH = """\
remove=$1 silent=$2 here=$3 there=$4; shift 4
trap '' HUP INT TERM
echo watching
exec >/dev/null 2>&1
while timeout 5 cat; [ "$?" = 124 ]; do
  heard=$(ss -Htin state established src "$here" dst "$there" | sed -n 's/.*lastrcv:\\([0-9]*\\).*/\\1/p')
  [ "${heard:-0}" -lt "${silent}000" ] || { ss -K src "$here" dst "$there"; break; }
done
sh -c "$remove" sh "$@"
sleep 2
sh -c "$remove" sh "$@"
"""
# $1 _WATCH, $2 the folder, the rest for _WATCH. `sleep` holds the pipe's other end, and is of our command's group.
_CARETAKER = """\
watch=$1 folder=$2; shift 2
umask 077; mkdir -- "$folder" || exit 1
sleep infinity | setsid -- sh -c "$watch" sh "$@"
"""


@dataclass(frozen=True, slots=True)
class Standing:
    """What a lab makes on a node."""

    login: Login
    lease_id: str
    names: tuple[str, ...]

    @property
    def folder(self) -> str:
        """Seeds and sockets, for root alone."""
        return _FOLDER.format(lease_id=self.lease_id)

    @property
    def namespaces(self) -> Mapping[str, str]:
        """Each room's namespace by the room's name."""
        return {name: _NAME.format(lease_id=self.lease_id, name=name) for name in self.names}

    def remove(self, host: Host) -> tuple[str, ...]:
        """End what runs in the namespaces, delete them and the folder; what was there. Raises HostFault."""
        return tuple(host.run(self._removing()).require("is it still mounted elsewhere?").stdout.split())

    def _removing(self) -> Command:
        return Command(("sh", "-c", _REMOVE, "sh", self.folder, *self.namespaces.values()), deadline_s=_REMOVE_S)

    @contextlib.contextmanager
    def caretaken(self, host: Host) -> Iterator[None]:
        """The folder, and a caretaker that outlives our connection. Raises HostFault."""
        argv = ("sh", "-c", _CARETAKER, "sh", _WATCH, self.folder, _REMOVE, str(SILENT_S), *_ends(host),
                *self._removing().argv[4:])  # fmt: skip
        with host.start(Command(argv, deadline_s=1e9)) as job:
            by = time.monotonic() + _BEGIN_S
            while "watching" not in job.output():
                if job.finished() or time.monotonic() > by:
                    said = job.stop().stderr.strip() or "no answer"
                    raise HostFault(
                        f"on {host.name}: nothing could be made: {said}", hint="may this user write to /run?"
                    )
                time.sleep(0.01)
            yield

    def noted(self) -> str:
        """One line of a lease."""
        return json.dumps({"lease": self.lease_id, "names": self.names, "login": logins.noted(self.login)})

    @classmethod
    def from_noted(cls, text: str) -> "Standing":
        """What `noted` gave. Raises HostFault where it names something that no lab of ours makes."""
        try:
            told: Mapping[str, Any] = json.loads(text)  # Any: JSON
            lease_id, names = str(told["lease"]), tuple(str(each) for each in told["names"])
            login = logins.from_noted(told["login"])
        except (ValueError, TypeError, KeyError) as error:
            raise HostFault(f"a lease's line about a node cannot be read: {error!r}: {text[:200]}") from error
        if not re.fullmatch("[0-9a-f]{8}", lease_id) or not all(re.fullmatch("[a-z]{1,8}", each) for each in names):
            raise HostFault(f"no lab of ours is called {lease_id!r} with {names!r}", hint="delete it by hand")
        return cls(login, lease_id, names)


def _ends(host: Host) -> tuple[str, str]:
    """Our connection as `ss` there names its two ends; ends that are nobody's where it cannot be told."""
    told = host.run(CONNECTION).stdout.split()
    if len(told) != 4:
        return "0.0.0.0:0", "0.0.0.0:0"
    there, here = (f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
                   for address, port in (told[:2], told[2:]))  # fmt: skip
    return here, there
