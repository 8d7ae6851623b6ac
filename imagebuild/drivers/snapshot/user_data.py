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
"""A program as the user data of a server.

cloud-init starts it at the end of the first boot. It goes on when cloud-init
has ended, so that nothing of cloud-init's comes after the clean-up, and says
on the serial console how far it is (:mod:`.console`). Nova keeps user data as
long as the server is there, so nothing hidden may be in it.
"""

from __future__ import annotations

import base64
import gzip
import shlex
from collections.abc import Mapping

from imagebuild import exception
from imagebuild.common import guest_program
from imagebuild.drivers.snapshot import console
from imagebuild.drivers.snapshot import leaving

#: Characters of base64 that Nova takes.
LARGEST = 65535

_FILE = """\
cat > "$dir"/{name} <<'{end}'
{text}
{end}
"""

_BEGIN = r"""#!/bin/sh
# Made by imagebuild: what this server is to become, of which an image is made.
umask 022
for place in /tmp /var/tmp /root; do
    dir=$place/imagebuild-@TOKEN@
    (umask 077; mkdir "$dir") 2> /dev/null || continue
    printf '#!/bin/sh\nexit 0\n' > "$dir"/try && chmod 700 "$dir"/try &&
        "$dir"/try && break
    rm -rf "$dir"
done
"""

# Apart from cloud-init: a unit that ends leaves it alone (KillMode=process).
_START = """\
setsid /bin/sh "$dir"/main "$dir" < /dev/null > /dev/null 2>&1 &
exit 0
"""

_MAIN = r"""
dir=$1
cd /
lines=
for line in $(cat /sys/class/tty/console/active 2> /dev/null); do
    case "$line" in
    ttyS* | ttyAMA* | hvc* | ttysclp* | xvc*) lines="$lines /dev/$line" ;;
    esac
done
[ -n "$lines" ] || lines='/dev/ttyS0 /dev/console'
say() {
    for line in $lines; do
        printf '\n@MARK@ @TOKEN@ %s @END@\n' "$*" > "$line"
    done 2> /dev/null
}
repeat() {
    # Until the server is stopped: a console may lose lines, and is read now
    # and then.
    rounds=720
    while [ "$rounds" -gt 0 ]; do
        "$@"
        rounds=$((rounds - 1))
        sleep 5
    done
    exit 0
}
uptime() {
    # Seconds of a clock that nobody sets.
    cut -d . -f 1 /proc/uptime
}
encoded() {
    LC_ALL=C base64 -w 96
}
outcome() {
    count=0
    for piece in $told; do
        say out "$number" "$count" "$piece"
        count=$((count + 1))
    done
    say "$@" "$count"
}
say begun
left=150
while [ "$left" -gt 0 ] && [ -d /run/cloud-init ] &&
    ! [ -e /run/cloud-init/result.json ]; do
    left=$((left - 1))
    sleep 2
done
(
    beat=0
    while sleep 15; do
        beat=$((beat + 1))
        say alive "$beat"
    done
) &
beating=$!
. "$dir"/prelude
number=0 results=
if [ -n "$imagebuild_refused" ]; then
    kill "$beating"
    told=$(printf '%s %s' "$distro $distro_release" "$imagebuild_refused" |
        encoded)
    rm -rf "$dir"
    repeat outcome over refused 0 0
fi
run() {
    rm -rf "$dir"/scripts "$dir"/result
    mkdir -m 700 "$dir"/scripts
    env -i @ENVIRONMENT@ timeout -k 10 "$2" /bin/sh "$dir/$1" "$dir" \
        > "$dir"/log 2>&1 < /dev/null
}
while [ "$number" -lt @COUNT@ ]; do
    say begin "$number"
    limit=$(cat "$dir/limit-$number")
    since=$(uptime)
    run "step-$number" "$limit"
    code=$?
    if [ "$code" != 0 ]; then
        kill "$beating"
        # A script may end with 124, too.
        if [ "$code" = 124 ] && [ "$(uptime)" -ge $((since + limit)) ]; then
            printf '\nThe time limit of %s seconds was up.\n' "$limit" \
                >> "$dir"/log
        fi
        told=$(tail -c 4000 "$dir"/log | encoded)
        repeat outcome over failed "$number" "$code"
    fi
    result=r
    case "$(cat "$dir"/result 2> /dev/null)" in
    changed) result=c ;;
    ok) result=o ;;
    skipped) result=s ;;
    esac
    results=$results$result
    say end "$number" "$result"
    number=$((number + 1))
done
listed=
if [ -s "$dir"/listing ]; then
    listed=$(env -i @ENVIRONMENT@ timeout -k 10 300 /bin/sh "$dir"/listing \
        2> /dev/null < /dev/null | gzip -9 2> /dev/null |
        head -c @LISTED@ | LC_ALL=C base64 -w @PIECE@)
fi
kill "$beating"
run cleanup 900
code=$?
told=$(tail -c 4000 "$dir"/log | encoded)
rm -rf "$dir"
sync
[ "$code" = 0 ] || repeat outcome over unclean "$number" "$code"
told=$listed
repeat outcome over good "-$results" 0
"""

_STEP = r"""
dir=$1
imagebuild_result=$dir/result
imagebuild_scripts=$dir/scripts
imagebuild_temporary=$dir/temporary
. "$dir"/prelude
cd /
"""

#: Before what every image is cleaned of.
_CLEANUP = r"""
while read -r path; do
    rm -f -- "$path"
done 2> /dev/null < "$imagebuild_temporary"
"""


def made(
    program: guest_program.GuestProgram,
    token: str,
    *,
    environment: Mapping[str, str],
    command_timeout: float,
    server: str,
) -> str:
    """Make user data of a program.

    :param token: letters and digits by which what it says is known.
    :param environment: of every step.
    :param command_timeout: seconds for a step that names no limit.
    :param server: the name of the server.
    :returns: base64, as Nova takes it.
    :raises InvalidInput: it is longer than Nova takes.
    """
    values = _values(program, token, environment)
    files = {
        'main': _filled(_MAIN, values),
        'prelude': program.prelude,
        'cleanup': _cleanup(program, server),
    }
    if program.listing:
        files['listing'] = program.listing
    for number, step in enumerate(program.steps):
        limit = step.seconds or command_timeout
        files[f'limit-{number}'] = f'{max(limit, 1):.0f}'
        files[f'step-{number}'] = (
            f'{_STEP}{{ {step.condition}; }} || {{\n'
            'echo skipped > "$imagebuild_result"\nexit 0\n}\n'
            f'{step.script}'
        )
    text = _filled(_BEGIN, values)
    for name, content in files.items():
        # Nobody who wrote a part of it knows the token.
        text += _FILE.format(
            name=name, text=content, end=f'end-of-file-{token}'
        )
    packed = gzip.compress((text + _START).encode(), mtime=0)
    encoded = base64.b64encode(packed).decode()
    if len(encoded) > LARGEST:
        raise exception.InvalidInput(
            'What the guest is to run takes '
            f'{len(encoded)} characters of user data, and Nova takes '
            f'{LARGEST}: have large files fetched by a script.'
        )
    return encoded


def _values(
    program: guest_program.GuestProgram,
    token: str,
    environment: Mapping[str, str],
) -> dict[str, str]:
    return {
        '@TOKEN@': token,
        '@MARK@': console.MARK,
        '@END@': console.END,
        '@ENVIRONMENT@': ' '.join(
            shlex.quote(f'{name}={value}')
            for name, value in environment.items()
        ),
        '@COUNT@': str(len(program.steps)),
        # A list that is longer is cut off, by which it is known.
        '@LISTED@': str(console.LONGEST_LIST + 1),
        '@PIECE@': str(console.LONGEST_PIECE),
    }


def _cleanup(program: guest_program.GuestProgram, server: str) -> str:
    return '\n'.join(
        [_STEP, _CLEANUP, leaving.text(server), program.cleanup, 'exit 0']
    )


def _filled(text: str, values: Mapping[str, str]) -> str:
    for name, value in values.items():
        text = text.replace(name, value)
    return text
