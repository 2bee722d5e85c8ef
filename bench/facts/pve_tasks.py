"""Migrations, backups and restores that run on a node of Proxmox VE, by its list of tasks (PVE/RESTEnvironment.pm)."""

from bench.hosts.command import Command, Outcome

# A line begins with UPID:NODE:PID:PSTART:STARTTIME:TYPE:ID:USER: (hexadecimal; PVE/Tools.pm, upid_decode). What has
# ended stays in the list for a while: a task runs where its process began when it says.
QUESTION = Command(("sh", "-c", """\
[ -r /var/log/pve/tasks/active ] || exit 0
while IFS=': ' read -r word node pid began at type of rest; do
  case $word:$type in
  UPID:qmigrate|UPID:vzmigrate|UPID:migrateall|UPID:vzdump|UPID:qmrestore|UPID:vzrestore) ;;
  *) continue ;;
  esac
  case $pid$began in *[!0-9A-Fa-f]*) continue ;; esac
  stat=; { read -r stat <"/proc/$((0x$pid))/stat"; } 2>/dev/null
  set -- ${stat##*) }
  [ "${20:-}" != "$((0x$began))" ] || echo "$type $of"
done </var/log/pve/tasks/active
"""))  # fmt: skip


def running(outcome: Outcome) -> tuple[str, ...]:
    """What runs, as "qmigrate of 101"; raises CommandFailed where that cannot be told."""
    rows = (line.split() for line in outcome.require().stdout.splitlines())
    return tuple(dict.fromkeys(" of ".join(words[:2]) for words in rows))
