# Licensed under the Apache License, Version 2.0 (the "License"); you may
# not use this file except in compliance with the License. You may obtain
# a copy of the License at
#
#      http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
# WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
# License for the specific language governing permissions and limitations
# under the License.
"""The shell text that runs a command inside a guest.

One libguestfs call for everything: it sends the two streams apart through
the ports of :mod:`imagebuild.remotes.output_channel`, keeps the exit code,
stops the command when the host signals that its time is up, and ends whatever
the command left running (a daemon started by a package's script would keep
the file systems busy and end up half written). Nothing of it touches the
guest's disk: its files are on the appliance's /dev.

It runs where the command could change everything, its shell included, so
nothing that it prints is taken as proof.

Written for the guest's own /bin/sh, whatever that is: POSIX shell and
coreutils or busybox only.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from typing import NamedTuple

from imagebuild.remotes import guest_flags

# $1 token, $2 file for standard input, $3 file to remove afterwards ('' for
# none), $4 where to put /etc/resolv.conf if the command changed it ('' for
# nowhere), then what env takes: NAME=VALUE ... command. The last line printed
# is exit code, "stopped" or "ended", "changed" or "same" for /etc/resolv.conf,
# and "-" with the flags of chattr(1) that were taken away from it, or "stuck"
# when it cannot be replaced.
WRAPPER = r"""
token=$1 input=$2 remove=$3 aside=$4
shift 4
umask 022
# Stays the one where all processes are, whatever is mounted over it.
cd /proc || exit 92
remember() { known=" $* "; }
remember [0-9]*
room=/dev/.imagebuild-$token
# A bare devtmpfs lacks these, and scripts write to them.
[ -e /dev/fd ] || ln -s /proc/self/fd /dev/fd
[ -e /dev/stdin ] || ln -s /proc/self/fd/0 /dev/stdin
[ -e /dev/stdout ] || ln -s /proc/self/fd/1 /dev/stdout
[ -e /dev/stderr ] || ln -s /proc/self/fd/2 /dev/stderr
mkdir -m 700 "$room" && mkfifo "$room/o" "$room/e" || exit 90
out= err= stop=
for port in /sys/class/virtio-ports/vport*; do
    IFS= read -r name <"$port/name"
    case "$name" in
    org.imagebuild.stdout) out=/dev/${port##*/} ;;
    org.imagebuild.stderr) err=/dev/${port##*/} ;;
    org.imagebuild.stop) stop=/dev/${port##*/} ;;
    esac
done
[ -c "$out" ] && [ -c "$err" ] && [ -c "$stop" ] || exit 91
# A port is open once at a time: before the command can take it.
exec 3<"$stop"
resolver() {
    # Whether it is another file, and what it holds; never a FIFO or device.
    ls -ild /etc/resolv.conf
    [ -f /etc/resolv.conf ] && head -c 65536 /etc/resolv.conf | cksum
}
attributes() {
    # With the guest's own program, or the appliance's.
    "$@" /etc/resolv.conf || chroot 1/root "$@" /sysroot/etc/resolv.conf
}
loosen() {
    # Immutable or append only, it could not be taken away again.
    [ -w /etc ] || held=stuck
    [ -f /etc/resolv.conf ] && ! [ -L /etc/resolv.conf ] || return
    (: 4<>/etc/resolv.conf) && return
    flags=$(attributes lsattr -d)
    for flag in i a; do
        case ${flags%% *} in *$flag*)
            attributes chattr -$flag && held=$held$flag ;;
        esac
    done
    (: 4<>/etc/resolv.conf) || held=stuck
}
if [ -n "$aside" ]; then
    cp /etc/resolv.conf "$room/resolver" 2>/dev/null || : >"$room/resolver"
    before=$(resolver 2>/dev/null)
fi
cat <"$room/o" >"$out" 2>/dev/null 3<&- &
cat_out=$!
cat <"$room/e" >"$err" 2>/dev/null 3<&- &
cat_err=$!
(cd / && exec env -i "$@") <"$input" >"$room/o" 2>"$room/e" 3<&- &
command=$!
(
    # The host decides when time is up: the clock here may jump, or be set.
    received=
    while [ "$received" != "$token" ]; do
        IFS= read -r received <&3 || sleep 1
    done
    : >"$room/stopped"
    kill -9 "$command"
) </dev/null >/dev/null 2>&1 &
wait "$command" 2>/dev/null
code=$?
# Everything new that has this root or one of its own, which is not that of
# the appliance: the watch above, and what the command left behind. Again
# until nothing is found, for what was just being forked.
tries=0
found=yes
while [ -n "$found" ] && [ "$tries" -lt 100 ]; do
    found=
    tries=$((tries + 1))
    for process in [0-9]*; do
        case "$known$cat_out $cat_err " in
        *" $process "*) continue ;;
        esac
        # One that has ended has no root.
        [ -e "$process/root" ] || continue
        if [ "$process/root" -ef / ] || ! [ "$process/root" -ef 1/root ]; then
            kill -9 "$process" 2>/dev/null && found=yes
        fi
    done
done
wait "$cat_out" "$cat_err" 2>/dev/null
printf %s "$token" >"$out"
printf %s "$token" >"$err"
ending=ended
[ -e "$room/stopped" ] && ending=stopped
resolver=same held=-
[ -z "$aside" ] || ! [ -d /etc ] || loosen 2>/dev/null
if [ -n "$aside" ] && [ "$(resolver 2>/dev/null)" != "$before" ]; then
    mv /etc/resolv.conf "$aside" 2>/dev/null
    if ! [ -e /etc/resolv.conf ] && ! [ -L /etc/resolv.conf ]; then
        cp "$room/resolver" "$aside.put" && resolver=changed
    fi
fi
rm -rf "$room"
[ -z "$remove" ] || rm -rf "$remove"
printf '%s %s %s %s\n' "$code" "$ending" "$resolver" "$held"
"""


def command(
    argv: Sequence[str],
    env: Mapping[str, str],
    *,
    token: str,
    input_file: str,
    remove: str,
    aside: str = '',
) -> list[str]:
    """The argument list of one call into the guest.

    :param argv: the command.
    :param env: all of its variables.
    :param token: random text that marks the end of the output, and that
        the host writes to stop the command.
    :param input_file: guest path of the standard input.
    :param remove: guest path removed afterwards, '' for none.
    :param aside: guest path to which /etc/resolv.conf is moved when the
        command changed it, '' if that is the guest's own all the time.
    """
    return [
        '/bin/sh',
        '-c',
        WRAPPER,
        'imagebuild',
        token,
        input_file,
        remove,
        aside,
        *(f'{name}={value}' for name, value in env.items()),
        *argv,
    ]


class Ending(NamedTuple):
    """How a command ended.

    :ivar code: its exit code.
    :ivar stopped: whether it was stopped before it ended; this is what the
        guest reports, so it counts only if the host did stop it.
    :ivar resolver: whether it changed /etc/resolv.conf.
    :ivar flags: of chattr(1), which it set there and were taken away.
    :ivar stuck: whether it left what cannot be replaced there.
    """

    code: int
    stopped: bool
    resolver: bool = False
    flags: str = ''
    stuck: bool = False


def parse(output: str) -> Ending:
    """Read the wrapper's own last line.

    :raises ValueError: it is not of that form.
    """
    code, ending, resolver, held = output.strip().splitlines()[-1].split()
    return Ending(
        int(code),
        ending == 'stopped',
        resolver == 'changed',
        ''.join(sorted(guest_flags.HINDER & set(held))),
        not held.startswith('-'),
    )
