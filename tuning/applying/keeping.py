"""What becomes of a guard whose change is to stay: it is confirmed, listed, marked as rolled back. On the host itself.

A change is confirmed by renaming the file of its deadline, which the script that puts the host back renames too: of two
that want it at the same moment one gets it, with or without the lock.
"""

from bench.hosts.command import Command, Outcome
from bench.hosts.host import Host
from results.errors import NotAble, WrongInput
from tuning.applying import clusters
from tuning.applying.record import HEADER, Applied, listed
from tuning.guard import BUSY, FIRED, NO_BOOT, ROOT, SLOW_S, NotGuarded, busy

_NOT_VERIFIED = 78  # exit code of CONFIRM, beside those of tuning.guard
# $1 root, $2 id, of all three. MADE: the text on standard input; $3 is "verified" once all is well.
MADE = """\
exec 9>>"$1/lock"; flock -w 30 9 || exit 75
[ -e "$1/$2/deadline" ] || exit 76
cat >"$1/$2/moved.next" && sync "$1/$2/moved.next" && mv "$1/$2/moved.next" "$1/$2/moved" &&
  { [ -z "$3" ] || : >"$1/$2/$3"; } && sync "$1/$2"
"""
# What was never seen to be well cannot be confirmed, nor what could not be taken back.
CONFIRM = f"""\
exec 9>>"$1/lock"; flock -w 30 9 || exit 75
[ -e "$1/$2/deadline" ] || exit 76
[ -e "$1/$2/verified" ] || exit 78
mv "$1/$2/deadline" "$1/$2/confirmed" || exit 1
sync "$1/$2"
{NO_BOOT}[ ! -d /run/systemd/system ] || systemctl stop "nettune-guard-$2.timer" 2>/dev/null
true
"""
ROLLED_BACK = """\
exec 9>>"$1/lock"; flock -w 30 9 || exit 75
[ ! -e "$1/$2/confirmed" ] || mv "$1/$2/confirmed" "$1/$2/rolled-back" && sync "$1/$2"
"""
_STANDS_STILL = """\
exec 9>>"$1/lock"; flock -w 30 9 || exit 75
[ ! -e "$1/$2/rolled-back" ] || mv "$1/$2/rolled-back" "$1/$2/confirmed" && sync "$1/$2"
"""
# Four lines for each change: id, state, seconds left, when it was armed by the host's clock, its number there (0 of
# one that an earlier version armed); the line about it; what it moved (empty where it is not told); what
# it overwrote of others (tuning/applying/overwritten.py). A folder that cannot be read is not one without changes.
# "left" is begun, too: what a boot did not undo waits for quorum.
LIST = """\
said=$(LC_ALL=C ls "$1" 2>&1 >/dev/null) ||
  case $said in *"No such file"*) exit 0 ;; *) echo "$said" >&2; exit 1 ;; esac
for each in "$1"/*/restoring; do # what is being put back at this moment is waited for
  [ -e "$each" ] && [ ! -e "${each%/*}/restored" ] && [ -r "$1/lock" ] || continue
  exec 9<"$1/lock"; flock -w 30 9
  break
done
over() { # before it was read back, another value is what the kernel made of ours
  [ ! -e "$folder/verified" ] || sed -n 's/^overwrote //p' "$folder/log" 2>/dev/null | tr '\\n' '\\t'
}
read -r now rest </proc/uptime
read -r boot </proc/sys/kernel/random/boot_id
for folder in "$1"/*/; do
  folder=${folder%/}
  about=$(sed -n '/^# nettune applied: /p;3q' "$folder/restore" 2>/dev/null)
  [ -n "$about" ] || [ -e "$folder/moved" ] || [ -e "$folder/confirmed" ] || continue
  deadline= was= turn= state=begun
  [ ! -e "$folder/deadline" ] || { read -r deadline <"$folder/deadline"; state=armed; }
  [ ! -e "$folder/turn" ] || read -r turn <"$folder/turn"
  [ ! -e "$folder/boot" ] || read -r was <"$folder/boot"
  [ ! -e "$folder/confirmed" ] || state=confirmed
  [ "$was" = "$boot" ] || { [ "$state" = confirmed ] && state=booted || state=restored; }
  [ ! -e "$folder/keep/sequence" ] || state=kept
  [ ! -e "$folder/keep/sequence" ] || [ ! -e "$folder/keep/probation" ] || state=probation
  [ ! -e "$folder/rolled-back" ] || state=rolled-back
  [ ! -e "$folder/restored" ] || state=restored
  [ "$state" != restored ] || [ -e "$folder/restored" ] || ! grep -q '^if .* = boot ]' "$folder/restore" || state=left
  [ "$state" != begun ] || [ -e "$folder/restoring" ] || continue # it is being armed, or never was: nothing was written
  printf '%s %s %s %s %s\\n%s\\n%s\\n%s\\n' "${folder##*/}" "$state" "$((${deadline:-0} - ${now%.*}))" \\
    "$(stat -c %Y "$folder/restore" 2>/dev/null || echo 0)" "${turn:-0}" "$about" \\
    "$(cat "$folder/moved" 2>/dev/null)" "$(over)"
done
"""


def changes(host: Host) -> tuple[Applied, ...]:
    """Every change that a host knows of, oldest first. Raises HostFault, also where we may not read that."""
    return listed(host.name, host.run(_told(LIST)).require(f"only root may read {ROOT}").stdout)


def waiting(host: Host, word: str) -> Applied:
    """The change that is armed on a host, which an operator names by `word`.

    Raises WrongInput where none is, NotAble where its record is unreadable.
    """
    armed = [each for each in changes(host) if each.state == "armed"]
    if not armed:
        raise WrongInput(f"on {host.name}: no change waits for a confirmation", hint=f"nettune history {word}")
    if why := armed[-1].unreadable:
        raise NotAble(f"on {host.name}: change {armed[-1].change_id} is not confirmed: {why}",
                      hint=f"by the nettune that made it; else it is taken back in {armed[-1].left_s} s")  # fmt: skip
    return armed[-1]


def told_moved(host: Host, change_id: str, text: str, *, verified: bool = False) -> None:
    """What the writes moved, on disk there. Raises NotGuarded where the host has put itself back."""
    _required(host, change_id, host.run(_told(MADE, change_id, "verified" if verified else "", stdin=text)))


def confirm(host: Host, change_id: str) -> None:
    """It stays: the timer is gone. Raises NotGuarded where the host has put itself back, or was confirmed before."""
    _required(host, change_id, host.run(_told(CONFIRM, change_id)))
    clusters.release(host)


def rolled_back(host: Host, change_id: str) -> None:
    """Note that a confirmed change was taken back."""
    host.run(_told(ROLLED_BACK, change_id)).require(f"its folder is {ROOT}/{change_id}")


def stands_still(host: Host, change_id: str) -> None:
    """Note that not all of a change is taken back, though the host's script for it has run."""
    host.run(_told(_STANDS_STILL, change_id)).require(f"its folder is {ROOT}/{change_id}")


def _told(script: str, *words: str, stdin: str = "") -> Command:
    return Command(("sh", "-c", script, "sh", ROOT, *words), stdin=stdin, deadline_s=SLOW_S)


def _required(host: Host, change_id: str, outcome: Outcome) -> None:
    if outcome.returncode == FIRED:
        raise NotGuarded(
            f"on {host.name}: change {change_id} is not armed: the host put itself back, or it was confirmed before",
            hint=f"nettune history {host.name}",
        )
    if outcome.returncode == _NOT_VERIFIED:
        raise NotGuarded(
            f"on {host.name}: change {change_id} was never seen to be well: whoever applied it has not come to its end",
            hint="it is taken back when its time has come; `nettune rollback` does it now",
        )
    if outcome.returncode == BUSY:
        raise busy(host)
    outcome.require(f"its folder is {ROOT}/{change_id}")


assert HEADER.strip() in LIST  # noqa: S101 - the script finds by it what this room wrote
