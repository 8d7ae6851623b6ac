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
"""The shell texts that run commands on a machine behind SSH.

sshd gives what it is told to the shell of the user, whatever that is, so it
is told one short line (:func:`begin`) that every shell reads alike, and that
says nothing: process lists and sudo's log show it. All else, the values of
variables first, comes over standard input of the shell that it starts.

Written for the machine's /bin/sh, with coreutils or busybox.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from collections.abc import Sequence

#: What a shell would not take, or would change, and so never exports.
_ODD = re.compile(
    r'(?![A-Za-z_][A-Za-z0-9_]*$)|(?:UID|EUID|PPID|GROUPS|DIRSTACK|RANDOM|'
    r'SRANDOM|SECONDS|LINENO|HISTCMD|FUNCNAME|OPTIND|OPTARG|OPTERR|SHELLOPTS|'
    r'BASH.*|EPOCH.*|_)$'
)
_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
#: How the line ends that the shell prints when it is there.
READY = 'is-ready'
#: Told to the watch of a command whose end we have seen.
DONE = b'done\n'

# Joins lines until one is the token, and runs them. A line in memory of
# "read" is read byte by byte, so nothing of what follows is lost.
_LOAD = (
    "nl=$(printf '\\n.');nl=${nl%%.};p=;"
    'while IFS= read -r l;do [ "$l" = %s ]&&break;p=$p$l$nl;done;eval "$p"\n'
)

# Sets variables from a descriptor, and becomes a command.
_SET = """
import os, sys
with open(7, "rb") as file:
    for each in filter(None, file.read().split(b"\\0")):
        os.environb.__setitem__(*each.split(b"=", 1))
try:
    os.execvp(sys.argv[1], sys.argv[1:])
except OSError as error:
    print(f"{sys.argv[1]}: {error.strerror}", file=sys.stderr)
    sys.exit(127 if error.errno == 2 else 126)
"""

# The same for systems without Python, which have Perl.
_SET_BY_PERL = """
open(F, "<&=", 7);
{ local $/ = "\\0"; while (<F>) {
    chomp; my ($name, $value) = split(/=/, $_, 2); $ENV{$name} = $value;
} }
close(F);
exec {$ARGV[0]} @ARGV;
print STDERR "$ARGV[0]: $!\\n";
exit($! == 2 ? 127 : 126);
"""

# Given: $token; $mark, the variable that all processes of the command have,
# with its value; $room, a directory, or ''; whether it is $made; $length of
# the standard input; $odd, whether there are variables that a shell does not
# export; and the functions "variables", which exports the others, and
# "odd_variables", which prints these.
_RUN = r"""
umask 022
cd / || exit 91
# To be known by a session it has to have one of its own.
session=
ended() {
    # A descriptor may be closed, or full for ever.
    printf %s "$token"
    printf %s "$token" >&2
}
sweep() {
    # Again until nothing is found, for what was just being forked.
    tries=0 found=yes
    while [ -n "$found" ] && [ "$tries" -lt 100 ]; do
        found= tries=$((tries + 1))
        if [ "$1" = all ]; then
            for file in $(grep -ls "$mark" /proc/[0-9]*/environ); do
                file=${file#/proc/}
                kill -9 "${file%%/*}" && found=yes
            done
        fi
        [ -n "$session" ] || continue
        for file in /proc/[0-9]*/stat; do
            IFS= read -r line <"$file" || continue
            pid=${line%% *} state=${line##*) }
            # One that has ended and that nobody has waited for.
            case $state in Z* | X*) continue ;; esac
            set -- "$1" $state
            [ "$5" = "$session" ] && kill -9 "$pid" && found=yes
        done
    done 2>/dev/null
}
remove() { [ -z "$room" ] || rm -rf "$room"; }
refuse() {
    printf 'imagebuild: %s\n' "$1" >&2
    remove
    ended
    exit 126
}
if [ -n "$room" ] && [ "$made" = no ]; then
    mkdir -m 700 "$room" || refuse "$room cannot be made"
fi
input=/dev/null
if [ "$length" -gt 0 ]; then
    # A file without a name: nothing is left of it, whatever happens.
    (umask 077 && : >"$room/input") || refuse "$room cannot be written to"
    exec 4>"$room/input" 5<"$room/input"
    rm -f "$room/input"
    head -c "$length" >&4 || refuse "$room is full"
    exec 4>&-
    input=/dev/fd/5
    [ -e "$input" ] || input=/proc/self/fd/5
fi
with=
if [ "$odd" = yes ]; then
    # Not "env": they would be seen in its command line.
    for with in python3 /usr/libexec/platform-python perl ''; do
        command -v "$with" >/dev/null && break
    done
    [ -n "$with" ] \
        || refuse 'variables such as "a-b" and "a.b" need Python or Perl'
    (umask 077 && : >"$room/odd") || refuse "$room cannot be written to"
    exec 6>"$room/odd" 7<"$room/odd"
    rm -f "$room/odd"
    odd_variables >&6
    exec 6>&-
fi
exec 3<&0 </dev/null
(
    IFS= read -r word <&3
    [ "$word" = done ] && exit
    # Nobody is at the other end any more, or time is up.
    sweep all
) >/dev/null 2>&1 5<&- 7<&- &
watch=$!
exec 3<&-
own=
command -v setsid >/dev/null && own=setsid
(
    [ "$length" -eq 0 ] || exec <"$input" 5<&-
    # Before the variables, which may have any name.
    case $with in
    '') ;;
    perl) set -- perl -e "$set_by_perl" -- "$@" ;;
    *) set -- "$with" -I -S -c "$set" "$@" ;;
    esac
    [ -z "$own" ] || set -- "$own" "$@"
    variables
    unset OLDPWD SHLVL
    exec "$@"
) &
command=$!
exec 5<&- 7<&-
[ -z "$own" ] || session=$command
wait "$command" 2>/dev/null
code=$?
sweep session
remove
ended
wait "$watch"
exit "$code"
"""

#: Where a script can be: where files can be run, which "noexec" forbids.
FIND_ROOM = r"""
for base in /tmp /var/tmp /root /var/lib; do
    try=$base/$1
    (umask 077 && mkdir "$try") 2>/dev/null || continue
    printf '#!/bin/sh\nexit 0\n' >"$try/x" && chmod 700 "$try/x"
    if "$try/x"; then
        rm -rf "$try"
        echo "$base"
        exit 0
    fi 2>/dev/null
    rm -rf "$try"
done
exit 1
"""

PLACE = r"""
(umask 077 && mkdir "$1" && cat >"$2" && chmod 700 "$2") && exit 0
rm -rf "$1"
exit 1
"""

#: The exit codes of what these find instead of a file.
NO_FILE = 44
LARGER = 45

READ = r"""
[ -f "$1" ] || exit 44
[ "$(head -c "$2" <"$1" | wc -c)" -lt "$2" ] || exit 45
exec cat <"$1"
"""

REMOVE = r"""
if [ -d "$1" ] && ! [ -L "$1" ]; then
    echo "$1 is a directory" >&2
    exit 1
fi
[ -e "$1" ] || [ -L "$1" ] || exit 0
exec rm -f -- "$1"
"""


def begin(nonce: str, prefix: str = '') -> str:
    """The line that sshd is told.

    :param nonce: of which the shell makes the line that it prints first, to
        both streams: what came before is somebody else's.
    :param prefix: what becomes root, ending in a space; '' for root.
    """
    return (
        f'exec {prefix}/usr/bin/env -i PATH={_PATH} LC_ALL=C /bin/sh -c '
        # A shell that traces what it runs would print the values.
        f"'set +xv;echo {nonce}-{READY};echo {nonce}-{READY} >&2;"
        f"IFS= read -r p;eval \"$p\"'"
    )


def program(
    argv: Sequence[str],
    env: Mapping[str, str],
    *,
    token: str,
    mark: str,
    room: str,
    is_made: bool,
    length: int,
) -> bytes:
    """What the shell is told over its standard input.

    :param argv: the command.
    :param env: all of its variables.
    :param token: marks the end of its output; 32 hexadecimal digits.
    :param mark: value of the variable that its processes are found by.
    :param room: a directory, to be made if it is needed; it is removed.
    :param is_made: it has been made.
    :param length: bytes of standard input that follow.
    """
    odd = {name: value for name, value in env.items() if _ODD.match(name)}
    exports = ''.join(
        f'export {name}={_quoted(value)};'
        for name, value in env.items()
        if name not in odd
    )
    pairs = ' '.join(_quoted(f'{name}={odd[name]}') for name in odd)
    given = {
        'token': token,
        'mark': f'IMAGEBUILD_RUN={mark}',
        'room': room if length or odd or is_made else '',
        'made': 'yes' if is_made else 'no',
        'length': str(length),
        'odd': 'yes' if odd else '',
        'set': _quoted(_SET),
        'set_by_perl': _quoted(_SET_BY_PERL),
    }
    lines = [
        ' '.join(f'{name}={value}' for name, value in given.items()),
        f'variables() {{ {exports}export IMAGEBUILD_RUN={mark}; }}',
        f'odd_variables() {{ printf "%s\\0" {pairs}; }}',
        f'set -- {" ".join(map(_quoted, argv))}',
    ]
    text = '\n'.join([*lines, _RUN, token, ''])
    return (_LOAD % token + text).encode('utf-8', 'surrogatepass')


def _quoted(text: str) -> str:
    """A word of the shell, on one line."""
    # A newline from the variable that the loader has made.
    return shlex.quote(text).replace('\n', "'\"$nl\"'")
