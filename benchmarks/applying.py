"""How long `nettune apply` takes over a real sshd: until 20 settings are written, and until they are confirmed.

Goal: at most 5 s beside the verification, which waits on purpose where a setting may disturb a link. Between namespaces
of this machine; needs root and openssh-server.

    python -m benchmarks.applying [--times N] [--json FILE]
"""

import argparse
import json
import statistics
import subprocess  # noqa: TID251 - times the program from outside
import sys
import tempfile
import time
from pathlib import Path

from bench.hosts.command import Command
from tests.netns import sshd
from tests.netns.standing_hosts import CONTROL, Machines, standing
from tuning.applying.verifying import WATCHED_S

GOAL_S = 5.0
HEAD = "format: 2\nname: twenty\nstatus: published\nsource: a benchmark\nsettings:\n"
ROW = '  - {{setting: {}, value: "{}", target: guest, trigger: none, stated_effect: none}}\n'
SETTINGS = {
    "mtu": "1400", "txqueuelen": "2000", "gso_max_size": "131072", "gro_max_size": "131072", "tso": "off", "gro": "on",
    "tx-udp-segmentation": "off", "rps_cpus": "1", "qdisc": "pfifo limit 500",
    "net.ipv4.tcp_rmem": "4096 131072 67108864", "net.ipv4.tcp_wmem": "4096 65536 67108864",
    "net.ipv4.tcp_congestion_control": "reno", "net.ipv4.tcp_slow_start_after_idle": "0",
    "net.ipv4.tcp_notsent_lowat": "131072", "net.ipv4.tcp_mtu_probing": "1", "net.ipv4.tcp_no_metrics_save": "1",
    "net.ipv4.tcp_fin_timeout": "30", "net.ipv4.tcp_max_syn_backlog": "8192", "net.ipv4.tcp_ecn": "1",
    "net.ipv4.tcp_keepalive_time": "600",
}  # fmt: skip
LAST = "net.ipv4.tcp_keepalive_time"


def timed(machines: Machines, profile: Path, home: Path) -> tuple[float, float]:
    """Seconds until the last setting was written, and until the program ended."""
    word = f"ssh://root@{CONTROL['a']}:{sshd.PORT}"
    prefix = (*machines.prefix, "env", f"HOME={home}")
    argv = (*prefix, sys.executable, "-m", "nettune", "apply", str(profile), "--host", word, "--device", "eth0",
            "--disruption", "d4")  # fmt: skip
    asked = Command(("sysctl", "-n", LAST))
    began = time.monotonic()
    program = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while machines.a.run(asked).stdout.strip() != SETTINGS[LAST] and program.poll() is None:
        time.sleep(0.02)
    written = time.monotonic() - began
    _, said = program.communicate()
    ended = time.monotonic() - began
    if program.returncode != 0:
        raise SystemExit(f"apply exited with {program.returncode}: {said}")
    back = subprocess.run(
        (*prefix, sys.executable, "-m", "nettune", "rollback", word), capture_output=True, text=True, check=False
    )
    if back.returncode != 0:
        raise SystemExit(f"rollback exited with {back.returncode}: {back.stderr}")
    return written, ended


def main() -> None:
    """Print least, median and most."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, standing(Path(name)) as machines:
        home = sshd.home(Path(name), Path(name, "a", "user"), Path(name, "known_hosts").read_text(encoding="utf-8"))
        profile = Path(name, "twenty.yaml")
        profile.write_text(HEAD + "".join(ROW.format(*each) for each in SETTINGS.items()), encoding="utf-8")
        runs = [timed(machines, profile, home) for _ in range(chosen.times)]
    written, ended = zip(*runs, strict=True)
    middle = statistics.median(written)
    print(f"{len(SETTINGS)} settings written after {min(written):.2f} / {middle:.2f} / {max(written):.2f} s "
          f"(n = {len(runs)}), goal <= {GOAL_S:g} s: {'held' if middle <= GOAL_S else 'MISSED'}")  # fmt: skip
    print(f"confirmed after {min(ended):.2f} / {statistics.median(ended):.2f} / {max(ended):.2f} s; {WATCHED_S:g} s of "
          "that it watches on purpose, since packets may be lost by some of them")  # fmt: skip
    if chosen.json:
        with chosen.json.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"benchmark": "applying", "written_s": written, "ended_s": ended}) + "\n")
    if middle > GOAL_S:
        sys.exit(1)


if __name__ == "__main__":
    main()
