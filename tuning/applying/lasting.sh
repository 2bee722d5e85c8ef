#!/bin/sh
# nettune: sets at boot what confirmed changes are to keep, and takes back what does not come through its first boot.
# Needs no network, no Python and none of us. Usage: boot | probation | watched | keep ID | unkeep ID | check
# A change is kept by its folder's `keep`: `set` and `undo` (lines of sh), `undo.sysctl` (of what a boot sets before us),
# `sysctl.conf`, `devices`, `sequence`; where ifupdown2 keeps a part of it `interfaces`, `interfaces.before` (the whole
# file), `interfaces.edits` (its lines: device, option, value, what stood there) and `set.interfaces`; and, until a boot
# went well, `probation` (seconds) and `tried` (the boot that began it). One rename makes it so, and all that follows can
# be done again: whatever moment the power fails at, it is kept whole or not at all.
folder= root=/var/lib/nettune/guard own=/var/lib/nettune/boot
sysctls=/etc/sysctl.d units=/etc/systemd/system interfaces=/etc/network/interfaces
export PATH="$PATH:/usr/sbin:/usr/bin:/sbin:/bin" LC_ALL=C
umask 022
tab=$(printf '\t')
read -r this </proc/sys/kernel/random/boot_id

uptime_s() { read -r now rest </proc/uptime; now=${now%.*}; }
# A disk that takes no log any more must not keep a host from being put back.
logged() { log=$folder/log; (: >>"$log") 2>/dev/null || log=/dev/null; }
try() { logged; (eval "$1") >>"$log" 2>&1; echo "exit $?: $1" >>"$log"; }
told() { logged; echo "$1" >>"$log"; }
file_of() { read -r sequence <"$1/sequence"; file=$sysctls/99-zz-nettune-$sequence-${2##*/}.conf; }
locked() { [ -e "$root/lock" ] || (: >>"$root/lock"); exec 9<"$root/lock"; flock -w "${1:-30}" 9 || exit 75; }
reloaded() { [ ! -d /run/systemd/system ] || systemctl daemon-reload 2>/dev/null || true; }
# Those that are kept, in the order in which they were; $1 is "r" for the last first.
kept() { for each in "$root"/*/keep; do [ ! -e "$each/sequence" ] || echo "$(cat "$each/sequence") ${each%/keep}"; done |
  sort "-n${1:-}" | cut -d' ' -f2; }
# Of those the ones whose first boot this is: what was kept since has its own still to come.
trying() { for each in $(kept "${1:-}"); do
  [ ! -e "$each/keep/probation" ] || [ "$(cat "$each/keep/tried" 2>/dev/null)" != "$this" ] || echo "$each"
done; }

installed() { # the file of sysctl.d, which a power failure may have left to us
  file_of "$folder/keep" "$folder"
  [ -s "$folder/keep/sysctl.conf" ] || return 0
  cmp -s "$folder/keep/sysctl.conf" "$file" && return 0
  [ ! -e "$file" ] || return 0 # somebody has edited it: it is theirs now, and `check` says so
  cp "$folder/keep/sysctl.conf" "$file.new" && sync "$file.new" && mv "$file.new" "$file" && sync "$sysctls"
}

# -- /etc/network/interfaces: written beside itself and renamed over, with its own mode and owner ---------------------
staged() { cp -p "$interfaces" "$interfaces.nettune" && cat "$1" >"$interfaces.nettune" && sync "$interfaces.nettune"; }
put_in() { mv -f "$interfaces.nettune" "$interfaces" && sync "${interfaces%/*}"; }
# The file without a change's lines, each as it was before where it still is as it was written; with "ask" as the first
# word only those that are not: device, option, value. $2: the lines of the change.
without() { awk -v ask="$1" '
  NR == FNR {
    n = NR; split($0, part, "\t"); device[n] = part[1]; name[n] = part[2]; value[n] = part[3]
    old[n] = substr($0, length(part[1]) + length(part[2]) + length(part[3]) + 4); next
  }
  {
    word = $0; sub(/\r$/, "", word); sub(/^[ \t]+/, "", word); rest = word
    sub(/[ \t].*/, "", word); rest = substr(rest, length(word) + 1); gsub(/^[ \t]+|[ \t]+$/, "", rest)
    if (word ~ /^(iface|auto|allow-.*|no-auto-down|no-scripts|mapping|source|source-directory|rename|template|vlan)$/) {
      inside = ""; if (word == "iface") { inside = rest; sub(/[ \t].*/, "", inside) }
    }
    gsub(/_/, "-", word)
    for (i = 1; i <= n; i++) if (!(i in done) && inside == device[i] && word == name[i] && rest == value[i]) {
      done[i] = 1; if (!ask && old[i] != "") print old[i]
      next
    }
    if (!ask) print
  }
  END { if (ask) for (i = 1; i <= n; i++) if (!(i in done)) print device[i] "\t" name[i] "\t" value[i] }' "$2" "$interfaces"; }

taken_out() { # byte for byte where nobody has edited the file since; else its own lines alone
  keep=$folder/keep
  [ -e "$keep/interfaces" ] && [ -e "$interfaces" ] || return 0
  [ ! -e "$interfaces.new" ] || echo "$interfaces.new waits to be applied: edits that were made on its lines have them too"
  if cmp -s "$keep/interfaces" "$interfaces"; then cp "$keep/interfaces.before" "$keep/interfaces.back"
  elif cmp -s "$keep/interfaces.before" "$interfaces"; then return 0
  else
    without "" "$keep/interfaces.edits" >"$keep/interfaces.back" || return 0
    without ask "$keep/interfaces.edits" | while IFS="$tab" read -r device option value; do
      echo "$interfaces: $option $value of $device was edited since, and is left as it is"
    done
    cmp -s "$keep/interfaces.back" "$interfaces" && return 0
  fi
  { staged "$keep/interfaces.back" && put_in; } || echo "$interfaces could not be written, and has the lines of this change"
}

completed() { # the power failed before the file was written: this boot has not had the values from there
  keep=$folder/keep
  [ -e "$keep/interfaces" ] && [ ! -e "$keep/interfaces.written" ] || return 0
  if cmp -s "$keep/interfaces.before" "$interfaces" && [ ! -e "$interfaces.new" ]; then
    staged "$keep/interfaces" && put_in
    . "$keep/set.interfaces"
  fi
  : >"$keep/interfaces.written"
  sync "$keep"
}

applied() {
  until=30
  for device in $(cat "$folder/keep/devices"); do
    while [ ! -e "/sys/class/net/$device" ] && [ "$until" -gt 0 ]; do sleep 1; until=$((until - 1)); done
  done
  installed
  completed
  . "$folder/keep/set"
  if [ -s "$folder/keep/sysctl.conf" ]; then try "sysctl -q -p '$file'"; fi
}

taken_away() { # files first: what is still set then is gone with the next boot
  [ -e "$folder/keep/sequence" ] || return 0
  file_of "$folder/keep" "$folder"
  if [ ! -e "$file" ] || cmp -s "$folder/keep/sysctl.conf" "$file"; then rm -f "$file"
  else echo "$file was edited since, and is left as it is"; fi
  rm -f "$file.new"
  [ ! -d "$sysctls" ] || sync "$sysctls"
  taken_out
  rm -rf "$folder/kept-before"
  mv "$folder/keep" "$folder/kept-before" || return 1
  sync "$folder"
  [ -n "$(kept)" ] || cleared
}

cleared() { # nothing is kept any more: nothing of us runs at boot
  rm -f "$units/multi-user.target.wants/nettune-boot.service" "$units/nettune-boot.service" "$own"
  reloaded
}

failed() { # $1: why; $2: the undo of each, all of it or what a boot alone has set; the rest: their folders, last first
  why=$1 undo=$2
  shift 2
  for folder; do
    told "probation: $why"
    taken_away
    # Where the disk takes no writes its files stand still, and the next boot finds them so; what is set is put back now.
    before=$folder/kept-before
    [ -e "$before/$undo" ] || before=$folder/keep
    . "$before/$undo"
    (: >"$folder/restored") 2>/dev/null
    sync "$folder/restored" "$folder"
  done
}

at_boot() {
  locked 600 # a guard may still put back: else this boot would have nothing of what is kept, and no probation
  for next in "$root"/*/keep.next; do # of a keeping that the power cut short
    [ -d "$next" ] || continue
    rm -f "$sysctls/99-zz-nettune-"*"-$(basename "${next%/keep.next}").conf.new" "$interfaces.nettune"
    rm -rf "$next"
  done
  for folder in $(kept); do # put back by hand meanwhile, by a version that left its files
    [ ! -e "$folder/restored" ] || taken_away
  done
  again=
  for folder in $(kept r); do
    [ ! -e "$folder/keep/tried" ] || [ "$(cat "$folder/keep/tried")" = "$this" ] || again="$again $folder"
  done
  [ -z "$again" ] || failed "the first boot with it ended before it was seen to be well" undo.sysctl $again
  [ -n "$(kept)" ] || { cleared; exit 0; }
  for folder in $(kept); do
    if [ -e "$folder/keep/probation" ]; then
      echo "$this" >"$folder/keep/tried"
      sync "$folder/keep/tried" "$folder/keep"
    fi
    applied
  done
  [ -n "$(trying)" ] || exit 0
  # One that is killed begins again: without it the next boot, whenever that is, would take all back. These signals are
  # no failure to systemd (systemd.service(5), Restart=), and what frees memory sends SIGTERM first (earlyoom).
  [ ! -d /run/systemd/system ] || ! systemd-run --quiet --collect --unit=nettune-probation --property=Restart=on-failure \
    --property=RestartForceExitStatus="SIGTERM SIGHUP SIGINT SIGPIPE" --property=RestartSec=5 \
    /bin/sh "$own" probation 9>&- || exit 0
  rm -f "$root/watcher"
  setsid /bin/sh "$own" watched </dev/null >/dev/null 2>&1 9>&- &
  tries=0 # until it stands alone: whoever runs us may end all that is left of our group
  until [ -s "$root/watcher" ] || [ "$tries" -ge 200 ]; do sleep 0.02; tries=$((tries + 1)); done
}

looked() { # sets `ill` to what is not well, "" where all is
  ill=
  for folder in $(trying); do
    text=$(/bin/sh "$folder/restore" look 2>/dev/null) || ill=${text:-it cannot be told}
  done
}

# Ill for half of the time without a pause, or ill when it is over: what a boot needs longer for is no good either. Of
# several the longest time counts for all.
probation() {
  seconds=0
  echo -900 2>/dev/null >/proc/self/oom_score_adj
  echo "$$" >"$root/watcher"
  for folder in $(trying); do
    read -r one <"$folder/keep/probation" && [ "$one" -gt "$seconds" ] && seconds=$one
  done
  uptime_s; began=$now since= ill=
  while [ -n "$(trying)" ]; do # until somebody takes it back meanwhile
    looked
    uptime_s
    if [ -z "$ill" ]; then
      since=
      [ "$((now - began))" -lt "$seconds" ] || break
    else
      since=${since:-$now}
      [ "$((now - since))" -lt "$((seconds / 2))" ] || break
      [ "$((now - began))" -lt "$((seconds + 10))" ] || break
    fi
    sleep 1
  done
  exec 9<"$root/lock"
  if [ -n "$ill" ]; then # whoever holds the lock: a host that is cut off is put back
    flock -w 60 9
    failed "$ill" undo $(trying r)
  else
    until flock -w 60 9; do :; done
    for folder in $(trying); do
      told "probation: well for the whole of $seconds s"
      rm -f "$folder/keep/probation" "$folder/keep/tried"
      sync "$folder/keep"
    done
  fi
  rm -f "$root/watcher"
}

untouched() { # by anybody since it was read
  [ ! -e "$interfaces.new" ] || { echo "$interfaces.new is there: somebody's edits wait to be applied" >&2; exit 1; }
  cmp -s "$next/interfaces.before" "$interfaces" || { echo "somebody has changed $interfaces meanwhile" >&2; exit 1; }
}

# $1 id, whose `keep.next` is on disk. What is wrong is found before the rename; what was made for it goes again.
keep() {
  locked
  folder=$root/$1
  [ -e "$folder/confirmed" ] && [ ! -e "$folder/restored" ] || exit 76
  [ ! -e "$folder/keep" ] || exit 0
  next=$folder/keep.next
  trap 'code=$?; [ -e "$folder/keep/sequence" ] || { rm -rf "$next" "${file:-/nonexistent/none}.new" "$interfaces.nettune"; [ -n "$(kept)" ] || cleared; }; exit $code' EXIT
  set -e
  for each in set undo undo.sysctl; do /bin/sh -n "$next/$each"; done
  if [ -e "$next/interfaces" ]; then
    untouched
    staged "$next/interfaces"
  fi
  last=$(for each in $(kept r); do cat "$each/keep/sequence"; done | head -n 1)
  printf '%04d\n' "$((1${last:-0000} - 10000 + 1))" >"$next/sequence"
  file_of "$next" "$folder"
  cp "$next/boot" "$own.new"
  sync "$own.new"
  mv "$own.new" "$own"
  if [ -d /run/systemd/system ]; then
    mkdir -p "$units/multi-user.target.wants"
    cp "$next/unit" "$units/nettune-boot.service.new"
    sync "$units/nettune-boot.service.new"
    mv "$units/nettune-boot.service.new" "$units/nettune-boot.service"
    ln -sf ../nettune-boot.service "$units/multi-user.target.wants/nettune-boot.service"
    sync "$units" "$units/multi-user.target.wants"
  fi
  # From here on a boot finds what is not kept after all, and takes it away.
  if [ -s "$next/sysctl.conf" ]; then
    mkdir -p "$sysctls"
    cp "$next/sysctl.conf" "$file.new"
    sync "$file.new"
  fi
  sync "$next"/* "$next" "${own%/*}"
  [ ! -e "$next/interfaces" ] || untouched
  mv "$next" "$folder/keep"
  sync "$folder"
  set +e
  if [ -e "$folder/keep/interfaces" ]; then
    ! cmp -s "$folder/keep/interfaces.before" "$interfaces" || put_in
    rm -f "$interfaces.nettune"
    : >"$folder/keep/interfaces.written"
    sync "$folder/keep"
  fi
  [ ! -e "$file.new" ] || { mv "$file.new" "$file" && sync "$sysctls"; }
  reloaded
  exit 0
}

# The first of its lines in interfaces that is not there, but for those that a later change has written anew.
lacking() {
  [ -e "$folder/keep/interfaces.edits" ] && [ -e "$interfaces" ] || return 0
  past= later=
  for each in $(kept); do
    [ -z "$past" ] || later="$later $each/keep/interfaces.edits"
    [ "$each" != "$folder" ] || past=yes
  done
  without ask "$folder/keep/interfaces.edits" | while IFS="$tab" read -r device option value; do
    cat $later /dev/null 2>/dev/null | grep -q "^$device$tab$option$tab" ||
      { echo "$interfaces: $option $value of $device is gone, or another"; break; }
  done
}

# A line for each: id, "ok", or what is not as it was written.
check() {
  for folder in $(kept); do
    file_of "$folder/keep" "$folder"
    said=ok
    if [ -s "$folder/keep/sysctl.conf" ]; then
      [ -e "$file" ] || said="$file is gone"
      [ ! -e "$file" ] || cmp -s "$folder/keep/sysctl.conf" "$file" || said="$file was edited"
    fi
    lacks=$(lacking)
    said=${lacks:-$said}
    [ -e "$own" ] || said="$own is gone"
    [ ! -d /run/systemd/system ] || [ -e "$units/multi-user.target.wants/nettune-boot.service" ] ||
      said="nettune-boot.service is not enabled"
    read -r kernel <"$folder/keep/kernel"
    [ "$kernel" = "$(uname -r)" ] || [ "$said" != ok ] ||
      said="kernel $kernel then, $(uname -r) now"
    echo "${folder##*/} $said"
  done
}

case $1 in
boot) at_boot ;;
probation) probation ;;
watched) until /bin/sh "$own" probation; do sleep 1; done ;;
keep) keep "$2" ;;
unkeep) locked; folder=$root/$2; taken_away ;;
check) check ;;
esac
