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
"""What cloud-init of the machine is given: a script that looks around.

The script is started by ``bootcmd``, early in the boot, as a unit of its own:
so it also tells of a cloud-init that failed later, and cloud-init's end does
not wait for it.

It writes lines to the serial console, each with a word that no other program
knows. Other programs write there too, in the middle of a line if it comes to
that; so everything is said several times.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import pathlib
import re
import shlex

from imagebuild.boot import expectations

#: Label of the disk; NoCloud looks for it.
LABEL = 'CIDATA'
#: Seconds for which ports and commands are waited for once all else is there.
SETTLE = 60

# No fixed name of a console: what the kernel writes to may be another one
# than the first serial port, which is the one that is read here.
_SCRIPT = r"""
word=@WORD@
console=/dev/ttyS0
[ -c "$console" ] && echo >"$console" 2>/dev/null || console=/dev/console
report=
note() { report="$report$word $*
"; }
held() { [ "$1" = 0 ] && echo holds || echo fails; }
encoded() { tail -c 300 | base64 | tr -d '\n'; }

if [ @CLOUD_INIT@ = 1 ]; then
    found=$(cloud-init status --wait --long 2>&1 | tr -d '\000')
    case "$found" in
    *"status: done"*) note cloud_init holds - ;;
    *) note cloud_init fails "$(printf %s "$found" | encoded)" ;;
    esac
fi
if [ @SYSTEMD@ = 1 ]; then
    state=$(systemctl is-system-running --wait 2>&1)
    if [ "$state" = running ]; then
        note systemd holds -
    else
        units=$(systemctl list-units --failed --no-legend --plain |
            while read -r unit rest; do printf '%s ' "$unit"; done)
        note systemd fails "$(printf '%s: %s' "$state" "$units" | encoded)"
    fi
fi
end=$(($(cut -d. -f1 /proc/uptime) + @SETTLE@))
late() { [ "$(cut -d. -f1 /proc/uptime)" -ge "$end" ]; }
listens() {
    cat /proc/net/tcp /proc/net/tcp6 2>/dev/null |
        grep -qiE "^ *[0-9]+: [0-9A-F]+:$(printf %04X "$1") [0-9A-F]+:0000 0A"
}
for port in @PORTS@; do
    until listens "$port" || late; do sleep 1; done
    listens "$port"
    note "port-$port" "$(held $?)" -
done
number=0
for command in @COMMANDS@; do
    while :; do
        # In a subshell: it may change variables, options, the directory.
        found=$( (eval "$(printf %s "$command" | base64 -d)") 2>&1)
        code=$?
        if [ "$code" = 0 ] || late; then break; fi
        sleep 1
    done
    note "command-$number" "$(held "$code")" \
        "$(printf '%s' "$found" | encoded)"
    number=$((number + 1))
done
note end holds -
left=@TURNS@
while [ "$left" -gt 0 ]; do
    printf '\n%s' "$report" >"$console"
    left=$((left - 1))
    sleep @PAUSE@
done
"""
_LINE = r'{word} ([a-z_0-9-]+) (holds|fails) (\S*)\s*$'


@dataclasses.dataclass(frozen=True)
class Turns:
    """How often the script says its report.

    :ivar count: so often, unless the machine is gone before.
    :ivar pause: seconds in between.
    """

    count: int
    pause: int


#: On a console of which nothing is lost, but for what others write into it.
READ_AT_ONCE = Turns(3, 1)
#: On one of which the last lines are looked at now and then.
READ_LATER = Turns(120, 5)


def write(
    directory: pathlib.Path, word: str, wanted: expectations.Expectations
) -> None:
    """Write the files of the disk.

    :param directory: is made; QEMU shows it as a disk.
    :param word: begins every line of the script's report.
    """
    directory.mkdir()
    (directory / 'user-data').write_text(user_data(word, wanted))
    (directory / 'meta-data').write_text(f'instance-id: {word}\n')


def user_data(
    word: str, wanted: expectations.Expectations, turns: Turns = READ_AT_ONCE
) -> str:
    """What cloud-init is given.

    :param word: begins every line of the script's report.
    :param turns: of the report.
    """
    script = _filled(word, wanted, turns)
    start = (
        'path=/run/imagebuild-boot-test; '
        f'printf %s {shlex.quote(_encoded(script))} | base64 -d >"$path"; '
        'if command -v systemd-run >/dev/null; then '
        'systemd-run --quiet --no-block --unit=imagebuild-boot-test '
        '/bin/sh "$path"; '
        'else /bin/sh "$path" </dev/null >/dev/null 2>&1 & fi'
    )
    # JSON is YAML, and quotes by itself.
    data = json.dumps({'bootcmd': [['/bin/sh', '-c', start]]})
    return f'#cloud-config\n{data}\n'


def _filled(word: str, wanted: expectations.Expectations, turns: Turns) -> str:
    values = {
        'TURNS': str(turns.count),
        'PAUSE': str(turns.pause),
        'WORD': word,
        'CLOUD_INIT': str(int(wanted.cloud_init)),
        'SYSTEMD': str(int(wanted.systemd)),
        'SETTLE': str(SETTLE),
        'PORTS': ' '.join(map(str, wanted.ports)) or '',
        'COMMANDS': ' '.join(map(_encoded, wanted.commands)),
    }
    return re.sub(r'@([A-Z_]+)@', lambda found: values[found[1]], _SCRIPT)


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


class Report:
    """What the script has said so far.

    :param word: see :func:`write`.
    :ivar ended: whether it said all.
    """

    def __init__(self, word: str) -> None:
        self._line = re.compile(_LINE.format(word=re.escape(word)))
        self._found: dict[str, tuple[bool, str]] = {}

    @property
    def ended(self) -> bool:
        return 'end' in self._found

    def add(self, line: str) -> bool:
        """Take a line of the console.

        :returns: whether it is one of the report.
        """
        found = self._line.search(line)
        if found:
            self._found[found[1]] = (found[2] == 'holds', _decoded(found[3]))
        return bool(found)

    def findings(
        self, wanted: expectations.Expectations, seconds: float
    ) -> list[expectations.Finding]:
        """What holds of what was asked inside the machine.

        :param seconds: since the start of the machine.
        """
        asked = {}
        if wanted.cloud_init:
            asked['cloud_init'] = 'cloud-init ended without an error'
        if wanted.systemd:
            asked['systemd'] = 'every unit of systemd started'
        for port in wanted.ports:
            asked[f'port-{port}'] = f'port {port} is listened on'
        for number, command in enumerate(wanted.commands):
            asked[f'command-{number}'] = f'"{command}" succeeds'
        return [
            self._finding(name, what, seconds) for name, what in asked.items()
        ]

    def _finding(
        self, name: str, what: str, seconds: float
    ) -> expectations.Finding:
        holds, message = self._found.get(name, (False, 'nothing was said'))
        if not holds and not message:
            message = 'it does not'
        return expectations.Finding(
            what, holds, '' if holds else message, seconds
        )


def _decoded(text: str) -> str:
    """A message of the machine, in one printable line."""
    try:
        found = base64.b64decode(text).decode('utf-8', 'replace')
    except ValueError:
        return ''
    line = ' '.join(found.split())
    return ''.join(
        c if c.isprintable() else '\N{REPLACEMENT CHARACTER}' for c in line
    )
