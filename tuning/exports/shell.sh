# What follows is the same in every script that `nettune profile export --format shell` makes.
export PATH="$PATH:/usr/sbin:/usr/bin:/sbin:/bin" LC_ALL=C
umask 077
folder=/var/lib/nettune/shell
undo=$folder/$name
bad=0

says() { echo "$name: $*" >&2; }
quoted() { printf "'%s'" "$(printf %s "$1" | sed "s/'/'\\\\''/g")"; }

# How ethtool prints what `ethtool -K` takes by a short word.
long() {
  case $1 in
  rx | rx-checksum) echo rx-checksumming ;; tx) echo tx-checksumming ;; sg) echo scatter-gather ;;
  tso) echo tcp-segmentation-offload ;; gso | tx-generic-segmentation) echo generic-segmentation-offload ;;
  gro | rx-gro) echo generic-receive-offload ;; lro | rx-lro) echo large-receive-offload ;;
  rxvlan | rx-vlan-hw-parse) echo rx-vlan-offload ;; txvlan | tx-vlan-hw-insert) echo tx-vlan-offload ;;
  ntuple | rx-ntuple-filter) echo ntuple-filters ;; rxhash | rx-hashing) echo receive-hashing ;; *) echo "$1" ;;
  esac
}

reads() { # HOW WHAT…: what it is now; nothing where there is none
  case $1 in
  sysctl) sysctl -n "$2" 2>/dev/null | tr -s '\t ' ' ' ;;
  file | mask) cat "$2" 2>/dev/null ;;
  link) cat "/sys/class/net/$2/$4" 2>/dev/null ;;
  size) ip -d link show dev "$2" 2>/dev/null | tr ' ' '\n' | sed -n "/^$3\$/{n;p;}" ;;
  option) sed 's/ .*//' "/sys/class/net/$2/$5" 2>/dev/null ;;
  feature) ethtool -k "$2" 2>/dev/null | sed -n "s/^[[:space:]]*$(long "$3"): \([a-z]*\).*/\1/p" ;;
  ring) ethtool -g "$2" 2>/dev/null | sed '1,/^Current/d' | sed -n "s/^$(echo "$3" | tr a-z A-Z):[[:space:]]*//p" ;;
  channels) ethtool -l "$2" 2>/dev/null | sed '1,/^Current/d' | sed -n 's/^Combined:[[:space:]]*//p' ;;
  coalesce)
    case $3 in
    adaptive-*) ethtool -c "$2" 2>/dev/null | sed 's/  */ /g; s/Adaptive //; s/ TX:/\nTX:/' |
      sed -n "s/^$(echo "${3#adaptive-}" | tr a-z A-Z): *\([a-z]*\).*/\1/p" ;;
    *) ethtool -c "$2" 2>/dev/null | sed -n "s/^$3:[[:space:]]*//p" ;;
    esac ;;
  qdisc) # one of the kernel's own, which has no handle, has its options too
    tc qdisc show dev "$2" root 2>/dev/null | sed -n '1s/^qdisc \([^ ]*\) 0: .*/\1 by itself/p; 1s/^qdisc \([^ ]*\) .*/\1/p' |
      head -n 1 ;;
  esac
}

writes() { # HOW WHAT… VALUE
  case $1 in
  sysctl) sysctl -q -w "$2=$3" ;;
  file | mask) echo "$3" >"$2" ;;
  link | size) ip link set dev "$2" "$3" "$(last "$@")" ;;
  option) ip link set dev "$2" type "$3" "$4" "$6" ;;
  feature) ethtool -K "$2" "$3" "$4" >/dev/null ;;
  ring) ethtool -G "$2" "$3" "$4" ;;
  channels) ethtool -L "$2" combined "$3" ;;
  coalesce) ethtool -C "$2" "$3" "$4" ;;
  qdisc) tc qdisc replace dev "$2" root $3 ;;
  esac
}
last() { for each; do :; done; printf %s "$each"; }

is() { # HOW now wanted
  case $1 in
  mask) [ "$(echo "$2" | tr -d , | sed 's/^0*//')" = "$(echo "$3" | tr -d , | sed 's/^0*//')" ] ;;
  qdisc) [ "$2" = "${3%% *}" ] || [ "$2" = "$3 by itself" ] ;;
  *) [ "$2" = "$3" ] ;;
  esac
}

one() { # HOW WHAT… VALUE: saved, set or compared, by $step
  wanted=$(last "$@")
  now=$(reads "$@")
  if [ -z "$now" ]; then
    [ "$step" != save ] || says "left out, as it is not there: $*"
    return
  fi
  if [ "$1 ${now%% *}" = "qdisc mq" ]; then
    [ "$step" != save ] || says "left out: $2 has more than one queue; nettune apply knows how: $*"
    return
  fi
  case $step in
  save) ! is "$1" "$now" "$wanted" || return 0; saved "$now" "$@" ;;
  set) is "$1" "$now" "$wanted" || writes "$@" || says "cannot be set: $*" ;;
  status)
    if is "$1" "$now" "$wanted"; then [ -n "${quiet:-}" ] || echo "ok: $*"; else echo "reads $now: $*"; bad=1; fi ;;
  esac
}

puts() { # HOW WHAT… VALUE: a driver may refuse what it has already
  now=$(reads "$@")
  is "$1" "$now" "$(last "$@")" || writes "$@"
}

saved() { # NOW HOW WHAT… VALUE: the line that puts it back, once for each HOW and WHAT
  now=$1; shift
  what="$1 $2"
  case $1 in link | size | option | ring | coalesce) what="$what $3 ${4:-}" ;; esac
  ! grep -Fq " # of $what;" "$undo.new" || return 0
  if [ "$1" = qdisc ] && ! tc qdisc show dev "$2" root | grep -q '^qdisc [^ ]* 0: '; then
    says "$2 has a qdisc of somebody's own ($now), which this could not put back: nothing was changed"; exit 1
  fi
  if [ "$1" = qdisc ]; then # the last to be put back: a sysctl says which one comes in its place
    echo "tc qdisc del dev $(quoted "$2") root # of $what;" >>"$undo.new"
    return
  elif [ "$1" = feature ]; then
    # All of them: the kernel couples features. ethtool prints ten by words of their own.
    line="ethtool -K $(quoted "$2") $(ethtool -k "$2" | sed -n '2,$p' | grep -v fixed |
      sed 's/^rx-checksumming:/rx:/; s/^generic-segmentation-offload:/gso:/; s/^generic-receive-offload:/gro:/
        s/^large-receive-offload:/lro:/; s/^rx-vlan-offload:/rxvlan:/; s/^tx-vlan-offload:/txvlan:/
        s/^ntuple-filters:/ntuple:/; s/^receive-hashing:/rxhash:/
        /^tx-checksumming:/d; /^scatter-gather:/d; /^tcp-segmentation-offload:/d' |
      sed 's/: [a-z]* \[requested \([a-z]*\)\].*/ \1/; s/: \([a-z]*\).*/ \1/' | tr -s '\t\n ' ' ') >/dev/null || true"
  else
    line=puts
    count=$#
    for word; do
      count=$((count - 1))
      if [ "$count" -eq 0 ]; then line="$line $(quoted "$now")"; else line="$line $(quoted "$word")"; fi
    done
  fi
  # Last first: in the order in which it is put back.
  { echo "$line # of $what;"; cat "$undo.new"; } >"$undo.part" && mv "$undo.part" "$undo.new"
}

back() { # every line, though another fails; those that did stay, to be tried again
  : >"$undo.left"
  grep -v '^# boot' "$undo" >"$undo.now"
  while read -r line; do
    (eval "$line") </dev/null || echo "$line" >>"$undo.left"
  done <"$undo.now"
  rm -f "$undo.now"
  if [ -s "$undo.left" ]; then
    echo "# boot $boot" >>"$undo.left"
    mv "$undo.left" "$undo"
    return 1
  fi
  rm -f "$undo" "$undo.left"
}

if [ "$(id -u)" -ne 0 ]; then says "needs root"; exit 3; fi
case ${1:-} in
apply | undo | status) mode=$1; shift ;;
*) echo "usage: sh $0 apply|undo|status [DEVICE...]" >&2; exit 2 ;;
esac
if [ "$mode" != undo ] && [ -n "$of_devices" ] && [ "$#" -eq 0 ]; then
  echo "usage: sh $0 $mode DEVICE..." >&2; exit 2
fi
for device; do
  [ -e "/sys/class/net/$device" ] || { says "there is no device $device"; exit 2; }
done
read -r boot </proc/sys/kernel/random/boot_id

case $mode in
apply)
  mkdir -p "$folder"
  exec 9>>"$folder/lock"; flock -n 9 || { says "another one runs"; exit 3; }
  # After a boot nothing of what was set is left; before, the first originals count.
  grep -qx "# boot $boot" "$undo" 2>/dev/null || rm -f "$undo"
  if [ -e "$undo" ]; then cp "$undo" "$undo.new"; else echo "# boot $boot" >"$undo.new"; fi
  step=save; settings "$@"
  sync "$undo.new" && mv "$undo.new" "$undo" && sync "$folder" || { says "nothing was changed"; exit 3; }
  step=set; settings "$@"
  step=status quiet=yes; settings "$@" >&2
  [ "$bad" -eq 0 ] || { says "not all could be set: put back"; back 2>/dev/null; exit 1; }
  says "applied; sh $0 undo puts back what was there" ;;
undo)
  [ -e "$undo" ] || { says "nothing to put back"; exit 0; }
  exec 9>>"$folder/lock"; flock -n 9 || { says "another one runs"; exit 3; }
  grep -qx "# boot $boot" "$undo" || { rm -f "$undo"; says "the host was booted since: nothing is left of it"; exit 0; }
  back || { says "not all could be put back; what is left: $undo"; exit 1; }
  says "put back" ;;
status) step=status; settings "$@"; exit "$bad" ;;
esac
