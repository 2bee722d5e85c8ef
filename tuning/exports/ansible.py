"""A profile as an Ansible role: each host by `nettune apply`, with the journal and the timer on that host. Pure.

No second engine: what the role adds is an inventory, groups, `serial` and check mode, which Ansible has.
"""

import json
import re
from collections.abc import Mapping

from tuning import profile_text
from tuning.profile import Profile

_TASKS = """\
# Each host is asked and changed by nettune, from where Ansible runs; the host's own timer puts it back where that ends.
- name: "Profile {name}"
  ansible.builtin.command:
    argv: "{{{{ nettune_argv + ['apply', role_path + '/files/{name}.yaml', '--host', nettune_host, '--json']
      + (['--persist'] if nettune_persist else []) + (['--dry-run'] if ansible_check_mode else ['--cluster-well'])
      + ['--confirm-within', nettune_confirm_within | string, '--disruption', nettune_disruption]
      + nettune_devices | map('regex_replace', '^', '--device=') | list
      + nettune_allow | map('regex_replace', '^', '--allow=') | list }}}}"
  delegate_to: localhost
  check_mode: false
  register: nettune_applied
  changed_when: (nettune_applied.stdout | from_json | first).state not in ['nothing to do']

- name: "Profile {name} stands as it was applied"
  ansible.builtin.command:
    argv: "{{{{ nettune_argv + ['verify', nettune_host, '--json'] }}}}"
  delegate_to: localhost
  changed_when: false
  when: not ansible_check_mode
"""
_DEFAULTS = """\
nettune_argv: [nettune]
# As nettune names the host; its keys are those of your ssh, and known_hosts must know it.
nettune_host: "ssh://{{ ansible_user | default('root') }}@{{ nettune_address if ':' not in nettune_address
  else '[' ~ nettune_address ~ ']' }}:{{ ansible_port | default(22) }}"
nettune_address: "{{ ansible_host | default(inventory_hostname) | replace('[', '') | replace(']', '') }}"
nettune_devices: []  # its NICs when empty
nettune_allow: []  # roles that may ride on a changed device: ssh, guests, ...
nettune_disruption: d2
nettune_confirm_within: 120
nettune_persist: false
"""
_PLAYBOOK = """\
# One host at a time, the first of them the canary; the first failure ends it. Never raise serial above 1 for the nodes
# of one cluster: two that lose their network at once may be fenced together.
- name: "nettune profile {name}"
  hosts: "{{{{ target | default('all') }}}}"
  gather_facts: false
  serial: 1
  max_fail_percentage: 0
  roles:
    - {role}
"""
_META = """\
galaxy_info:
  author: nettune
  description: "nettune profile {name}"
  license: Apache-2.0
  min_ansible_version: "2.14"
dependencies: []
"""


def role(profile: Profile, devices: tuple[str, ...] = ()) -> Mapping[str, str]:
    """The files of the role and of a playbook that rolls it out, by their path; `devices` are its default."""
    name = "nettune_" + re.sub("[^a-z0-9]", "_", profile.name.lower())
    folder = f"roles/{name}"
    return {
        "playbook.yml": _PLAYBOOK.format(name=profile.name, role=name),
        f"{folder}/tasks/main.yml": _TASKS.format(name=profile.name),
        f"{folder}/defaults/main.yml": _DEFAULTS.replace(
            "nettune_devices: []", f"nettune_devices: {json.dumps(devices)}"
        ),
        f"{folder}/meta/main.yml": _META.format(name=profile.name),
        f"{folder}/files/{profile.name}.yaml": profile_text.dump(profile),
    }
