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
"""What validators are given to say their step in shell."""

from __future__ import annotations

import base64
import contextlib
import functools
import secrets
import shlex
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from imagebuild import distros
from imagebuild import exception
from imagebuild.common import guest_program
from imagebuild.common import guest_scripts
from imagebuild.common import json_schema
from imagebuild.distros import os_releases
from imagebuild.manifest import arguments
from imagebuild.manifest import contexts
from imagebuild.manifest import placeholders

#: Characters of all steps' conditions, which name every branch before theirs.
_MOST_CONDITIONS = 4 * 1024 * 1024


class NotInShell(Exception):  # noqa: N818
    """A step cannot be said in shell.

    :param reason: a clause that goes on after the name of the step.
    """


class _Recorded(Exception):  # noqa: N818
    """Ends a call of a family as soon as its command is known."""


class _Recorder:
    """Stands where a family expects a Remote, and remembers one command."""

    def __init__(self) -> None:
        self.argv: Sequence[str] = ()
        self.env: Mapping[str, str] = {}

    def run(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        **_: Any,
    ) -> Any:
        self.argv, self.env = argv, env or {}
        raise _Recorded


class Compiler:
    """Makes the steps of one program.

    :param declared: the arguments, by name.
    :param values: of the arguments.
    :ivar problems: what cannot be said in shell.
    """

    def __init__(
        self,
        declared: Mapping[str, arguments.Argument],
        values: Mapping[str, str],
    ) -> None:
        self.declared = declared
        self.values = dict(values)
        self.problems: list[exception.Problem] = []
        self._conditions: list[str] = []
        self._length, self._room = 0, _MOST_CONDITIONS
        self._counter = contexts.StepCounter()

    def refuse_hidden(self) -> None:
        """Note the arguments whose values must not be seen.

        User data is kept by Nova as it is, and can be read inside and outside
        of the guest for as long as the server is there.
        """
        for argument in self.declared.values():
            value = self.values.get(argument.name)
            if argument.hidden and value not in (None, '', argument.default):
                self.problems.append(
                    exception.Problem(
                        json_schema.join('arguments', argument.name),
                        'a hidden value would be in the user data of a server,'
                        ' where it can be read; that needs a way into the '
                        'guest',
                    )
                )

    # -- conditions ---------------------------------------------------------

    @contextlib.contextmanager
    def where(self, condition: str) -> Iterator[None]:
        """Make the steps of a block depend on a shell condition."""
        self._conditions.append(condition)
        self._length += len(condition)
        try:
            yield
        finally:
            self._conditions.pop()
            self._length -= len(condition)

    def compiled(self, validator: Any) -> Iterator[guest_program.GuestStep]:
        """The steps of a validator; what it cannot be is noted.

        :param validator: the validator.
        """
        try:
            yield from validator.in_shell(self)
        except (NotInShell, exception.StepError) as error:
            self.problems.append(
                exception.Problem(
                    validator.path,
                    f'"{validator.describe()}" {error}; that needs a way into '
                    'the guest'
                    if isinstance(error, NotInShell)
                    else str(error),
                )
            )

    def step(
        self, validator: Any, script: str, *, seconds: float | None = None
    ) -> guest_program.GuestStep:
        """A step of what a validator says.

        :param validator: the validator.
        :param script: see :class:`guest_program.GuestStep`.
        :raises NotInShell: all conditions together are too long.
        """
        self._room -= self._length
        if self._room < 0:
            raise NotInShell('comes with too long a list of systems')
        return guest_program.GuestStep(
            path=validator.path,
            validator=validator.type_name,
            description=self._counter.name(
                validator.path,
                placeholders.show(validator.describe(), self._shown_value),
            ),
            script=script,
            condition=' && '.join(self._conditions) or 'true',
            seconds=seconds,
        )

    # -- values -------------------------------------------------------------

    def value(self, name: str) -> str | None:
        """The value of an argument, by its name or target variable."""
        return arguments.value_of(self.declared.values(), self.values, name)

    def text_value(self, name: str) -> str | None:
        """What ``{{ name }}`` stands for; None for what only a run knows."""
        return self.value(name)

    def _shown_value(self, name: str) -> str | None:
        """As in a run of the engine: hidden arguments are never shown."""
        argument = arguments.find(self.declared.values(), name)
        hidden = argument is not None and argument.hidden
        return None if hidden else self.text_value(name)

    def set_value(self, name: str, value: str) -> None:
        """Set an argument for the steps that follow.

        :raises NotInShell: whether it is set depends on the system.
        """
        if self._conditions:
            raise NotInShell('sets an argument on some systems only')
        self.values[name] = value

    def rendered(self, text: str) -> str:
        """Put values in the place of names.

        :raises NotInShell: one has none before the guest runs.
        """
        names = placeholders.names(text)
        values = {name: self.text_value(name) or '' for name in names}
        lacking = [name for name in names if self.text_value(name) is None]
        if lacking:
            raise NotInShell(
                f'names "{lacking[0]}", whose value is not known before the '
                'guest runs'
            )
        return placeholders.fill(text, values.__getitem__)

    def environment(self, names: Sequence[str]) -> dict[str, str]:
        """Variables of a script: arguments, by name and target variable."""
        env: dict[str, str] = {}
        for name in names:
            value = self.value(name)
            if value is None:
                continue
            env[name] = value
            argument = arguments.find(self.declared.values(), name)
            known = argument.name if argument else name
            for variable in arguments.variables(known, argument):
                env[variable] = value
        return env

    # -- packages -----------------------------------------------------------

    def installing(self, packages: Sequence[distros.Package]) -> str:
        """Shell text that has packages installed, and exits if it cannot.

        It sets ``imagebuild_did`` to ``yes`` if there was something to do.
        """
        parts = []
        for family in _families():
            wanted = '\n'.join(
                f'imagebuild_has {quoted(each.name, each.version or "")} || '
                f'set -- "$@" {quoted(spec)}'
                for each, spec in zip(
                    packages, _command(family, packages)[1], strict=True
                )
            )
            parts.append(
                f'{quoted(family.family)})\nset --\n{wanted}\n'
                f'[ $# = 0 ] || {{\nimagebuild_did=yes\nimagebuild_network\n'
                f'imagebuild_install_{family.family} "$@" > /dev/null '
                '|| exit\n'
                '}\n;;'
            )
        checks = '\n'.join(
            f'imagebuild_has {quoted(each.name, each.version or "")} || '
            f'imagebuild_lacks {quoted(str(each))}'
            for each in packages
            # Nobody asks an rpm database for a group.
            if not each.name.startswith('@')
        )
        cases = '\n'.join(parts)
        return f'case "$distro_family" in\n{cases}\nesac\n{checks}\n'


def installers(needs: Sequence[distros.Package]) -> str:
    """The functions that :meth:`Compiler.installing` relies on.

    :param needs: any package.
    """
    parts, looks = [], []
    for family in _families():
        recorder, _ = _command(family, needs)
        *command, last = recorder.argv[: -len(needs)]
        env = [f'{name}={value}' for name, value in recorder.env.items()]
        parts.append(
            f'imagebuild_install_{family.family}() {{\n'
            f'{quoted("env", *env, *command, last)} "$@"\n}}'
        )
        looks.append(f'{quoted(family.family)})\n{family.look_script}\n;;')
    functions, cases = '\n'.join(parts), '\n'.join(looks)
    return (
        f'{functions}\nimagebuild_has() {{\ncase "$distro_family" in\n'
        f'{cases}\nesac\n}}\n'
        "imagebuild_lacks() {\nprintf '%s is not installed\\n' \"$1\"\n"
        'exit 1\n}\n'
    )


def pip_packages() -> dict[str, Sequence[distros.Package]]:
    """What pip needs, by the names of families."""
    return {family.family: family.pip_packages for family in _families()}


def detecting() -> str:
    """Shell text that finds out what system it is in.

    It sets ``distro``, ``distro_release``, ``distro_family`` and
    ``imagebuild_names``, all that ``os_case`` may call the system, with a
    space around each.
    """
    cases = []
    for family in _families():
        ids = '|'.join(map(quoted, sorted({family.family, *family.ids})))
        cases.append(f'{ids}) distro_family={quoted(family.family)}; break;;')
    aliases = [
        f'{quoted(name)}) set -- {quoted(*others)};;'
        for name, others in os_releases.ALIASES.items()
    ]
    return _DETECT.replace('@CASES@', '\n'.join(cases)).replace(
        '@ALIASES@', '\n'.join(aliases)
    )


def accepting(systems: Sequence[str]) -> str:
    """Shell text that sets ``imagebuild_refused`` on other systems.

    :param systems: names of those that are accepted; empty for any.
    """
    known = '|'.join(quoted(each.family) for each in _families())
    text = (
        'imagebuild_refused=\n'
        f'case "$distro_family" in\n{known}) ;;\n'
        "*) imagebuild_refused='is of no family that is known here' ;;\n"
        'esac\n'
    )
    if systems:
        tests = ' || '.join(map(is_named, systems))
        reason = f'is none of these: {", ".join(systems)}'
        text += f'{{ {tests}; }} || imagebuild_refused={quoted(reason)}\n'
    return text


def is_named(name: str) -> str:
    """A condition: whether ``os_case`` may call the system this."""
    return f'imagebuild_is {quoted(name.lower())}'


def cleanups() -> str:
    """Shell text that removes the caches of whatever system it is."""
    parts = [
        f'{quoted(family.family)})\n'
        f'{family(os_releases.OsRelease(family.family)).cache_cleanup()}\n;;'
        for family in _families()
    ]
    cases = '\n'.join(parts)
    return f'case "$distro_family" in\n{cases}\nesac\n'


def quoted(*words: str) -> str:
    """Words as a shell takes them, whatever is in them."""
    return ' '.join(map(shlex.quote, words))


def printing(content: bytes) -> str:
    """A command that prints bytes."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        text = '\0'
    if '\0' not in text:
        # It is compressed better than base64.
        return f"printf '%s' {quoted(text)}"
    return f'printf %s {base64.b64encode(content).decode()} | base64 -d'


def writing(
    path: str,
    content: bytes,
    mode: int = 0o644,
    owner: str = 'root',
    group: str = 'root',
) -> str:
    """Shell text that writes a file, or exits if it cannot.

    As :meth:`remotes.base.Remote.write_file` does.
    """
    new = secrets.token_hex(8)
    arguments_ = quoted(path, f'{mode:o}', owner, group, new)
    return f'{printing(content)} | imagebuild_write {arguments_} || exit\n'


def running(content: bytes, name: str, env: Mapping[str, str]) -> str:
    """Shell text that runs a script as a file of its own.

    :param name: the last component of what it is called.
    :param env: its variables; they may have any name.
    """
    variables = quoted(*[f'{name}={env[name]}' for name in env])
    file = f'"$imagebuild_scripts"/{quoted(name or "script")}'
    return (
        f'{printing(content)} > {file} && chmod 700 {file} || exit\n'
        f'imagebuild_run {file} {variables}\n'
    )


#: Functions that scripts of steps rely on. The network of a server may come
#: after its cloud-init, so the first that needs it waits for a way out.
FUNCTIONS = (
    f'{guest_scripts.INTERPRETED}'
    # A shell of its own, whose variables and end are its own.
    f'imagebuild_write() (\n{guest_scripts.WRITE}\n)\n'
    r"""
imagebuild_end() {
    if [ -n "$imagebuild_did" ]; then
        echo changed > "$imagebuild_result"
    else
        echo ok > "$imagebuild_result"
    fi
}
imagebuild_network() {
    imagebuild_left=60
    while [ "$imagebuild_left" -gt 0 ]; do
        awk 'NR > 1 && $2 == "00000000" { found = 1 } END { exit !found }' \
            /proc/net/route 2> /dev/null && return
        awk '$1 ~ /^0*$/ && $2 == "00" && $10 != "lo" { found = 1 }
            END { exit !found }' /proc/net/ipv6_route 2> /dev/null && return
        imagebuild_left=$((imagebuild_left - 1))
        sleep 2
    done
}
imagebuild_run() {
    imagebuild_file=$1
    shift
    set -- "distro=$distro" "distro_release=$distro_release" "$@"
    set -- "distro_family=$distro_family" test_only=0 reconcile=1 "$@"
    if imagebuild_interpreted "$imagebuild_file"; then
        exec env -- "$@" "$imagebuild_file"
    fi
    if [ -x /bin/bash ]; then
        exec env -- "$@" /bin/bash "$imagebuild_file"
    fi
    exec env -- "$@" /bin/sh "$imagebuild_file"
}
"""
)


@functools.cache
def _families() -> Sequence[type[distros.Distro]]:
    return [
        family
        for _, family in sorted(distros.families().items())
        if family.look_script
    ]


def _command(
    family: type[distros.Distro], packages: Sequence[distros.Package]
) -> tuple[_Recorder, Sequence[str]]:
    """The command by which a family installs packages.

    :returns: it, and how each package is called in it.
    :raises StepFailed: the family refuses a name.
    """
    recorder = _Recorder()
    made = family(os_releases.OsRelease(family.family))
    remote: Any = recorder
    with contextlib.suppress(_Recorded):
        made.install(remote, packages, refresh=True)
    return recorder, recorder.argv[-len(packages) :]


_DETECT = r"""
imagebuild_field() {
    for imagebuild_file in /etc/os-release /usr/lib/os-release; do
        [ -r "$imagebuild_file" ] || continue
        (
            unset ID ID_LIKE VERSION_ID VERSION_CODENAME
            . "$imagebuild_file" > /dev/null 2>&1
            eval "printf '%s' \"\${$1-}\""
        )
        return
    done
}
distro=$(imagebuild_field ID | tr '[:upper:]' '[:lower:]')
distro=${distro:-linux}
distro_release=$(imagebuild_field VERSION_ID)
imagebuild_codename=$(imagebuild_field VERSION_CODENAME)
distro_family=
set -f
for imagebuild_name in $distro $(imagebuild_field ID_LIKE |
    tr '[:upper:]' '[:lower:]'); do
    case "$imagebuild_name" in
@CASES@
    esac
done
set +f
imagebuild_major=${distro_release%%.*}
case "$distro" in
@ALIASES@
*) set -- ;;
esac
imagebuild_names="
$distro_family
$imagebuild_codename
$distro-$imagebuild_codename
"
for imagebuild_name in "$distro" "$@"; do
    imagebuild_names="$imagebuild_names$imagebuild_name
$imagebuild_name-$distro_release
$imagebuild_name$distro_release
$imagebuild_name-$imagebuild_major
$imagebuild_name$imagebuild_major
"
done
set --
imagebuild_is() {
    case "$imagebuild_names" in
    *"
$1
"*) return 0 ;;
    esac
    return 1
}
"""
