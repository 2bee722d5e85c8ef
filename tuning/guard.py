"""Guard: a host that we did not create puts itself back, whatever becomes of us or of the way to it.

Before the first write the host gets a folder (script, deadline; fsynced) and a timer that needs nobody: systemd's where
it runs, otherwise a process of its own session. Writes pass only while the timer stands, and under the same lock that
the script takes, so that no late write undoes an undo. ADR 0017.
"""

import math
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from bench.facts.sheet import Sheets
from bench.hosts import shell
from bench.hosts.command import Command, HostFault, Outcome
from bench.hosts.host import Host
from tuning.knobs.knob import Change
from tuning.restoring import UNITS, Explains, per_host

ROOT = "/var/lib/nettune/guard"
# Exit codes of the scripts below: the lock was not to be had; the guard is not armed; an undo would take longer than
# is left.
BUSY, FIRED, LATE = 75, 76, 77
_LOCK_S = 30
SLOW_S = 60.0  # deadline of a command that may wait for the lock
# $1 root, $2 id, $3 seconds, $4 size in bytes of the script on standard input. A guard that cannot be armed leaves
# nothing. `sync FILE` is fsync(2) (coreutils 8.24); the watcher says its process id once it watches.
ARM = """\
set -eu
umask 077
root=$1 id=$2 seconds=$3 size=$4 folder=$1/$2
export LC_ALL=C
mkdir -p "$root"
exec 9>>"$root/lock"
flock -w 10 9 || { echo "$root/lock is held: another nettune is writing there" >&2; exit 1; }
for other in "$root"/*/deadline; do
  [ ! -e "$other" ] || { echo "another change is under way there: ${other%/deadline}" >&2; exit 1; }
done
mkdir "$folder"
unit=@units@/nettune-guard-$id-boot.service wants=@units@/multi-user.target.wants
gone() { set +e; systemctl stop "nettune-guard-$id.timer"; rm -rf "$folder" "$unit" "$wants/${unit##*/}"; }
trap '[ "$?" = 0 ] || gone 2>/dev/null' EXIT
cat /proc/sys/kernel/random/boot_id >"$folder/boot"
cat >"$folder/restore"
[ "$(wc -c <"$folder/restore")" -eq "$size" ]
turn=0 # changes are counted: by its clock, which may be set meanwhile, the last one would not be the last
for other in "$root"/*/turn; do
  one=; { read -r one <"$other"; } 2>/dev/null || true
  if [ "${one:-0}" -gt "$turn" ]; then turn=$one; fi
done
echo "$((turn + 1))" >"$folder/turn"
read -r now rest </proc/uptime
echo "$((${now%.*} + seconds))" >"$folder/deadline"
sync "$folder/restore" "$folder/boot" "$folder/turn" "$folder/deadline" "$folder" "$root"
if [ -d /run/systemd/system ]; then
  # What a boot does not undo the next boot puts back; systemd finds the unit then, and is not told now.
  if grep -q '^if .* = boot ]' "$folder/restore"; then
    mkdir -p "$wants"
    cat >"$unit" <<END
# Made by nettune; it goes when the change is confirmed or put back.
[Unit]
Description=nettune: puts back what a boot leaves of a change that nobody confirmed
After=pve-cluster.service
Before=pve-guests.service
RequiresMountsFor=$root
ConditionPathExists=$folder/restore

[Service]
Type=oneshot
ExecStart=/bin/sh $folder/restore boot

[Install]
WantedBy=multi-user.target
END
    ln -s "../${unit##*/}" "$wants/${unit##*/}"
    sync "$unit" "$wants" "${unit%/*}"
  fi
  systemd-run --quiet --collect --unit="nettune-guard-$id" --on-active="$seconds" \\
    --property=DefaultDependencies=no --timer-property=DefaultDependencies=no \\
    --timer-property=AccuracySec=100ms /bin/sh "$folder/restore" 9>&-
  systemctl --quiet is-active "nettune-guard-$id.timer"
  # What watches is a service beside the timer, which needs no process that could be killed.
  grep -q "^looks=''" "$folder/restore" ||
    systemd-run --quiet --collect --unit="nettune-watch-$id" /bin/sh "$folder/restore" 9>&-
else
  setsid /bin/sh "$folder/restore" </dev/null >/dev/null 2>&1 9>&- &
  tries=0
  until [ -s "$folder/watcher" ]; do
    tries=$((tries + 1))
    [ "$tries" -lt 200 ] || { echo "its watcher did not start" >&2; exit 1; }
    sleep 0.02
  done
fi
""".replace("@units@", UNITS)
RENEW = """\
exec 9>>"$1/lock"; flock -w 30 9 || exit 75
[ -e "$1/$2/deadline" ] || exit 76
read -r now rest </proc/uptime
echo "$((${now%.*} + $3))" >"$1/$2/next" && mv "$1/$2/next" "$1/$2/deadline"
"""
# $2 is "" for what may be written in any case: originals. $3: seconds that must be left, which an undo takes.
BEHIND = """\
exec 9>>"$1/lock"; flock -w 30 9 || exit 75
if [ -n "$2" ]; then
  { read -r deadline <"$1/$2/deadline"; } 2>/dev/null || exit 76
  read -r now rest </proc/uptime
  [ "$((deadline - ${now%.*}))" -ge "$3" ] || exit 77
fi
shift 3
"$@" 9>&-
"""
# $2 id: the unit that ARM put in place for the next boot is gone.
NO_BOOT = (
    f'rm -f "{UNITS}/nettune-guard-$2-boot.service" "{UNITS}/multi-user.target.wants/nettune-guard-$2-boot.service"\n'
)
# Prints the log of a script that has run. A watcher sees within a second that its deadline is gone.
DISARM = f"""\
exec 9>>"$1/lock"; flock -w 30 9 || exit 75
[ ! -e "$1/$2/restored" ] || cat "$1/$2/log"
{NO_BOOT}rm -f "$1/$2/deadline"
[ ! -d /run/systemd/system ] || systemctl stop "nettune-guard-$2.timer" 2>/dev/null
rm -rf "$1/$2"
"""
# A line for each folder: id, state, seconds until its deadline, whether it is of a trial, of a rollback, or of a change
# that is to stay (tuning/applying), whose folder is its record. After a boot nothing of what was changed is left. Under
# the lock: a guard that is being armed is no dead run's. One that has no deadline yet was never armed: nothing was
# written then.
LEFT = """\
[ -e "$1/lock" ] || exit 0
exec 9<"$1/lock"; flock -w 30 9 || exit 75
read -r now rest </proc/uptime
read -r boot </proc/sys/kernel/random/boot_id
for folder in "$1"/*/; do
  folder=${folder%/}
  [ -e "$folder/restore" ] || [ -e "$folder/boot" ] || continue
  of=trial
  ! grep -qs '^# nettune rollback: ' "$folder/restore" || of=rollback
  # Or by what else lies there, where a disk has damaged its line: nobody may take away what was confirmed.
  if grep -qs '^# nettune applied: ' "$folder/restore" || [ -e "$folder/moved" ] || [ -e "$folder/confirmed" ]; then
    of=change
    [ ! -e "$folder/confirmed" ] && [ ! -e "$folder/rolled-back" ] && [ ! -e "$folder/restored" ] || continue
  fi
  deadline= was=
  [ ! -e "$folder/deadline" ] || read -r deadline <"$folder/deadline"
  [ ! -e "$folder/boot" ] || read -r was <"$folder/boot"
  state=armed
  [ -n "$deadline" ] || state=begun
  [ -e "$folder/deadline" ] || [ -e "$folder/restoring" ] || state=unarmed
  [ ! -e "$folder/restored" ] || state=restored
  [ "$was" = "$boot" ] || state=booted
  [ "$state" != unarmed ] || of=trial
  echo "${folder##*/} $state $((${deadline:-0} - ${now%.*})) $of"
done
"""
# $2 id. Runs the host's own script to its end, in a session of its own: it goes on where our connection is lost.
PUT_BACK = """\
setsid /bin/sh "$1/$2/restore" now </dev/null >/dev/null 2>&1 9>&- &
tries=0
until [ -e "$1/$2/restored" ]; do
  tries=$((tries + 1))
  [ "$tries" -lt 1000 ] || { echo "it is not put back after 100 s; its log is $1/$2/log" >&2; exit 1; }
  sleep 0.1
done
cat "$1/$2/log"
"""
# What a boot did not undo, where the script knows of any.
_FILES = """\
exec 9>>"$1/lock"; flock -w 30 9 || exit 75
! grep -q '^if .* = files ]' "$1/$2/restore" || /bin/sh "$1/$2/restore" files 9>&-
"""
_CLOSED = f'{NO_BOOT}rm -f "$1/$2/deadline"; : >"$1/$2/restored"; sync "$1/$2"'  # a boot has undone it


class NotGuarded(HostFault):
    """A guard could not be armed, or had fired: nothing is written then."""


@dataclass(frozen=True, slots=True)
class Guard:
    """An armed guard on one host; undone by `disarm`, or by the host itself."""

    host: Host
    guard_id: str
    undo_s: int = 0  # nothing is written when less is left

    def begin(self, commands: Sequence[Command]) -> Callable[[], tuple[Outcome, ...]]:
        """As hosts.host.begun, under the host's lock, while the guard is armed: NotGuarded is raised when it is not."""
        return _behind(self.host, self.guard_id, commands, self.undo_s)

    def renew(self, seconds: float) -> None:
        """The host waits that long from now on. Raises NotGuarded where it has put itself back."""
        self._required(self.host.run(_told(RENEW, self.guard_id, str(math.ceil(seconds)))))

    @property
    def fired(self) -> bool:
        """True where the host has put itself back, or is about to. Raises HostFault."""
        return not self.host.run(Command(("test", "-e", f"{ROOT}/{self.guard_id}/deadline"))).ok

    def disarm(self) -> str:
        """Timer and folder are gone; the log of the restoring where the host had put itself back, "" otherwise."""
        return self._required(self.host.run(_told(DISARM, self.guard_id))).stdout

    def _required(self, outcome: Outcome) -> Outcome:
        if outcome.returncode == FIRED:
            raise NotGuarded(f"on {self.host.name}: the guard had fired: the host put itself back")
        return outcome.require(f"its folder is {ROOT}/{self.guard_id}")


@dataclass(frozen=True, slots=True)
class Original:
    """A host to which only originals are written: under its lock, whether its guard is armed or has fired."""

    host: Host

    def begin(self, commands: Sequence[Command]) -> Callable[[], tuple[Outcome, ...]]:
        """As hosts.host.begun, under the host's lock."""
        return _behind(self.host, "", commands, 0)


def arm(host: Host, script: str, seconds: float, guard_id: str = "") -> Guard:
    """A guard that runs `script` on the host in so many seconds. Raises NotGuarded; nothing is left there then."""
    guard_id = guard_id or secrets.token_hex(6)
    size = str(len(script.encode()))
    words = ("sh", "-c", ARM, "sh", ROOT, guard_id, str(math.ceil(seconds)), size)
    outcome = host.run(Command(words, stdin=script, deadline_s=SLOW_S))
    if not outcome.ok:
        said = (outcome.stderr.strip() or outcome.stdout.strip() or f"exit {outcome.returncode}")[:300]
        raise NotGuarded(
            f"on {host.name}: the guard that would put the host back cannot be armed, so nothing was changed: {said}",
            hint=f"{ROOT} must be writable, and flock, setsid and sync be there (util-linux, coreutils)",
        )
    return Guard(host, guard_id)


def arm_all(
    hosts: Iterable[Host],
    changes: Sequence[Change],
    originals: Sheets,
    explains: Explains,
    seconds: float,
    into: dict[str, Guard],
) -> None:
    """A guard on every host that is changed, each noted in `into` at once. Raises NotGuarded where one fails."""
    scripts = per_host(changes, originals, explains)
    for host in hosts:
        if host.name in scripts:
            into[host.name] = arm(host, scripts[host.name], seconds)


def settled(host: Host) -> tuple[str, ...]:
    """What guards of dead runs had left on a host, in words; afterwards nothing is left, and it is as it was.

    Raises NotGuarded where one is armed and its time has not come: somebody may be measuring there.
    """
    said = []
    for line in _left(host):
        guard_id, state, left_s, of = line.split()
        if state == "armed" and int(left_s) > -_LOCK_S:
            raise NotGuarded(
                f"on {host.name}: another run has changed this host, or was killed while it did: guard {guard_id}",
                hint=f"the host puts itself back in {max(0, int(left_s))} s; or now: sh {ROOT}/{guard_id}/restore now",
            )
        log = ""
        if state in {"armed", "begun"}:  # its watcher was killed
            log = put_back(host, guard_id)
        if state == "booted":
            _files_put_back(host, guard_id)
        if of == "change":
            host.run(_told(_CLOSED, guard_id)).require()
        else:
            log = Guard(host, guard_id).disarm()
        failed = [each for each in log.splitlines() if each.startswith("exit ") and not each.startswith("exit 0:")]
        how = _HOW.get(state, "it was put back now")
        more = f" ({len(failed)} lines had nothing to do or failed)" if failed else ""
        what = "a rollback lost its way to the host" if of == "rollback" else "a run ended without undoing its changes"
        said.append(f"on {host.name}: {what} (guard {guard_id}): {how}{more}")
    return tuple(said)


def left_by_a_boot(host: Host, guard_id: str) -> None:
    """What a boot left of a change is as it was, and its guard is closed. Raises NotGuarded where it is not."""
    _files_put_back(host, guard_id)
    host.run(_told(_CLOSED, guard_id)).require()


def _files_put_back(host: Host, guard_id: str) -> None:
    """What a boot did not undo is as it was. Raises NotGuarded where it is not: it stays on the list then."""
    outcome = host.run(_told(_FILES, guard_id))
    if outcome.returncode == BUSY:
        raise busy(host)
    if not outcome.ok:
        raise NotGuarded(
            f"on {host.name}: guard {guard_id} was armed when it was booted, and not all that outlives a boot could be "
            f"put back; {ROOT}/{guard_id}/log says what",
            hint=f"has its cluster quorum? Then the same words again; to leave it so: rm -r {ROOT}/{guard_id}",
        )


_HOW = {
    "restored": "it had put itself back", "booted": "it was booted since, which undid the changes",
    "unarmed": "it had not come to its first write",
}  # fmt: skip


def _left(host: Host) -> list[str]:
    outcome = host.run(_told(LEFT))
    if outcome.returncode == BUSY:
        raise busy(host)
    return outcome.require().stdout.splitlines()


def busy(host: Host) -> NotGuarded:
    """What to raise where a script ended with BUSY."""
    return NotGuarded(f"on {host.name}: its lock was held for {_LOCK_S} s", hint=f"who holds {ROOT}/lock?")


def put_back(host: Host, guard_id: str) -> str:
    """The host runs its own script now, to its end, whatever becomes of us; its log. Raises HostFault."""
    words = ("sh", "-c", PUT_BACK, "sh", ROOT, guard_id)
    return host.run(Command(words, deadline_s=2 * SLOW_S)).require(f"its folder is {ROOT}/{guard_id}").stdout


def finished(host: Host, guard_id: str) -> None:
    """What such a guard was to do is done, where there is one, and it is gone. Raises HostFault."""
    there = host.run(Command(("ls", f"{ROOT}/{guard_id}"))).stdout.split()
    if {"deadline", "restoring", "restored"} & set(there):  # else it never came to be armed
        put_back(host, guard_id)
    if there:
        Guard(host, guard_id).disarm()


def _told(script: str, *words: str) -> Command:
    return Command(("sh", "-c", script, "sh", ROOT, *words), deadline_s=SLOW_S)


def _behind(host: Host, guard_id: str, commands: Sequence[Command], undo_s: int) -> Callable[[], tuple[Outcome, ...]]:
    """A batch on its way under the host's lock; with an id, only while that guard is armed."""
    if not commands:
        return tuple
    batch = shell.batch(commands)
    words = ("sh", "-c", BEHIND, "sh", ROOT, guard_id, str(undo_s), *batch.argv)
    job = host.start(Command(words, deadline_s=batch.deadline_s + SLOW_S))

    def awaited() -> tuple[Outcome, ...]:
        with job:
            return _answers(host, commands, job.wait())

    return awaited


def _answers(host: Host, commands: Sequence[Command], outcome: Outcome) -> tuple[Outcome, ...]:
    if outcome.returncode == FIRED:
        raise NotGuarded(f"on {host.name}: the guard had fired before the write: the host put itself back")
    if outcome.returncode == LATE:
        raise NotGuarded(f"on {host.name}: nothing was written: less time is left than putting it back would take",
                         hint="--confirm-within gives more")  # fmt: skip
    if outcome.returncode == BUSY:
        raise busy(host)
    return shell.unpack(commands, outcome)


def locked(guards: Mapping[str, Guard]) -> Mapping[str, Original]:
    """The same hosts for undo."""
    return {name: Original(guard.host) for name, guard in guards.items()}
