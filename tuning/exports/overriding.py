"""What a profile's file of sysctl.d meets on one host: what runs there, whose lines it overrides, who sets it again."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from bench.facts import hardware
from bench.hosts.host import Host
from tuning import standings
from tuning.applying import others
from tuning.applying.others import Texts
from tuning.knobs import presence
from tuning.knobs.catalogue import entries_for
from tuning.knobs.sysctl import sysctl_key
from tuning.knobs.table import knob_for
from tuning.profile import Profile
from tuning.standings import Standing

NAME = "99-zz-nettune.conf"
# What an earlier export left there: it is written anew, and overrides nothing.
_OWN = re.compile(r"/etc/sysctl\.d/(99-zz|z+)-nettune\.conf")
_NOT_OVER = "not over "  # as others.said has it
_KEPT = "a change that `nettune apply --persist` keeps there, which a boot sets after all files: nettune rollback"


@dataclass(frozen=True, slots=True)
class Met:
    """`name`: of the file, later than all that set the same there. `said` and `left_out`: by setting, in words."""

    host: str
    name: str
    said: Mapping[str, tuple[str, ...]]
    left_out: Mapping[str, str]

    @property
    def not_over(self) -> tuple[str, ...]:
        """Who has the last word all the same, each below its setting."""
        return tuple(
            f"{word}: {each}" for word, lines in self.said.items() for each in lines if each.startswith(_NOT_OVER)
        )


def met(host: Host, profile: Profile) -> Met:
    """What the host tells; nothing there is changed. Raises HostFault, NotAble for an answer that cannot be read."""
    facts, devices = hardware.read(host)
    found = standings.standings(profile, standings.of_host(host.name, facts, devices))
    return of(host.name, found, others.asked(host, ()), presence.owners(host))


def of(host: str, found: Sequence[Standing], texts: Texts, owners: Collection[str]) -> Met:
    """The same of what it has told. Pure."""
    sysctls = [each for each in found if (knob := knob_for(each.setting.setting)) is not None and knob.kind == "sysctl"]
    stay = [each for each in sysctls if each.word in {"changes", "already so"}]
    texts = {path: text for path, text in texts.items() if not _OWN.fullmatch(path)}
    set_by = {
        each.setting.setting: others.found(texts, [(each.setting.setting, _key(each), each.setting.value)])
        for each in stay
    }
    name = _later(others.file_of(each) for listed in set_by.values() for each in listed)
    said = {}
    for each in stay:
        word = each.setting.setting
        lines = [f"now {value}" for value in each.now.values()]
        lines += [others.said(other, name, kept=False) for other in set_by[word]]
        lines += [f"{_NOT_OVER}{kept.where}: {kept.text}: {_KEPT}" for kept in others.kept_of(texts, word, _key(each))]
        theirs = dict.fromkeys(entry.owner for entry in entries_for(word) if entry.owner in owners)
        lines += [f"{_NOT_OVER}{owner}: it writes it there while it runs" for owner in theirs]
        said[word] = (*lines, *(["nothing else sets it there"] if len(lines) == len(each.now) else []))
    out = {each.setting.setting: standings.said(each) for each in sysctls if each not in stay}
    return Met(host, name, said, out)


def _key(of: Standing) -> str:
    return f"sysctl/{sysctl_key(of.setting.setting)}"


def _later(names: Iterable[str]) -> str:
    """The usual name, or one with so many z that it is later than these, as far as any z is."""
    last = max(names, default="")
    tried = (NAME, *("z" * count + "-nettune.conf" for count in range(2, len(last) + 2)))
    return next((each for each in tried if each > last), NAME)
