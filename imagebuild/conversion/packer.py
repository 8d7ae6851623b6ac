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
"""Templates of Packer: the shell and file provisioners.

What a template says of builders, sources and post-processors is where the
disk comes from and where it goes, which is no matter of a manifest.
"""

from __future__ import annotations

import json
import pathlib
import posixpath
import re
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

from imagebuild.conversion import cloud_files
from imagebuild.conversion import draft
from imagebuild.conversion import packer_variables
from imagebuild.conversion import sahara
from imagebuild.conversion import values

_SHEBANG = '/bin/sh -e'
_DURATION = re.compile(r'([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)')
_SECONDS = {'ms': 0.001, 's': 1.0, 'm': 60.0, 'h': 3600.0}
_WAITS = re.compile(
    r'\s*(?:sudo\s+)?(?:/usr/bin/)?cloud-init\s+status\s+(?:--wait|-w)'
    r'(?:\s*(?:\|\||>|2>).*)?'
)
_SUDO = re.compile(r'(?:^|[\s;&|(])sudo\s')
_RUNNING = re.compile(
    r'\b(?:systemctl\s+(?:(?:daemon-)?re(?:start|load)|start|stop)'
    r'|service\s+\S+\s+(?:re)?start|reboot|shutdown|poweroff)\b'
)
_VARIABLE = re.compile(r'[A-Za-z_][A-Za-z0-9_]*')
_MAX_FILE = 64 * 1024 * 1024
_INLINE = 64 * 1024
_MAX_FILES = 5000
_KNOWN = frozenset(
    {
        'binary', 'environment_vars', 'env', 'execute_command', 'inline',
        'inline_shebang', 'only', 'except', 'override', 'script', 'scripts',
        'timeout', 'type', 'use_env_var_file', 'env_var_format',
        'expect_disconnect', 'max_retries', 'pause_after', 'pause_before',
        'remote_file', 'remote_folder', 'remote_path', 'skip_clean',
        'start_retry_timeout', 'valid_exit_codes',
    }
)  # fmt: skip
_REASONS: Mapping[str, str] = {
    'only': 'it was for some sources only; it is done for every image',
    'except': 'it was not for all sources; it is done for every image',
    'override': 'what it overrides for some sources is left out',
    'valid_exit_codes': 'any exit code but 0 is a failure',
    'max_retries': 'a step is run once',
}


def is_json(text: str) -> bool:
    """Whether a text is a template of the older form."""
    if not text.lstrip().startswith('{'):
        return False
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(data, dict) and bool(
        {'provisioners', 'builders'} & data.keys()
    )


_BLOCK = re.compile(
    r'^\s*(?:build|source\s+"[^"]+"\s+"[^"]+"|packer|variable\s+"[^"]+"'
    r'|locals)\s*\{',
    re.MULTILINE,
)


def is_hcl(text: str) -> bool:
    """Whether a text is a template in HCL."""
    return _BLOCK.search(text) is not None


def convert(path: pathlib.Path, text: str, made: draft.Draft) -> None:
    """Convert a template.

    :param path: of the template; scripts are looked up below its directory.
    :param text: of the template.
    :param made: is given steps, arguments and notes.
    :raises InvalidInput: it is not one.
    :raises MissingDependency: it is HCL, and python-hcl2 is not installed.
    """
    if text.lstrip().startswith('{'):
        template = packer_variables.of_json(text, made)
    else:
        template = packer_variables.of_hcl(text, made)
    for where, what in template.others:
        made.remark(
            where, f'{what} is no matter of a manifest: the base image is '
            'given with --image or --base'
        )  # fmt: skip
    conversion = _Conversion(path.resolve().parent, template, made)
    for where, kind, entry in template.provisioners:
        try:
            conversion.provisioner(where, kind, entry)
        except draft.Malformed as error:
            made.lose(where, f'{error}, as Packer wants it')
    made.arguments |= template.variables.arguments()


class _Conversion:
    """The provisioners of a template on their way into a draft."""

    def __init__(
        self,
        directory: pathlib.Path,
        template: packer_variables.Template,
        made: draft.Draft,
    ) -> None:
        self.directory = directory
        self.variables = template.variables
        self.made = made

    def provisioner(
        self, where: str, kind: str, entry: Mapping[str, Any]
    ) -> None:
        """Convert one."""
        kinds: Mapping[str, Callable[[str, Mapping[str, Any]], None]] = {
            'shell': self._shell,
            'file': self._file,
        }
        if kind in kinds:
            kinds[kind](where, entry)
        elif kind != 'breakpoint':
            self.made.lose(
                where, f'provisioners of type {kind} are not carried over'
            )

    def _shell(self, where: str, entry: Mapping[str, Any]) -> None:
        made = self.made
        for key in sorted(entry.keys() & _REASONS.keys()):
            made.remark(where, _REASONS[key])
        for key in sorted(entry.keys() - _KNOWN):
            made.lose(f'{where}.{key}', 'it is not known')
        command = values.text(entry.get('execute_command', ''))
        if 'sudo' not in command:
            made.remark(
                where,
                "Packer ran it as its login user; here it is run as root",
            )
        exports, names = self._environment(where, entry)
        timeout = _seconds(entry.get('timeout'))
        for label, text in self._scripts(where, entry):
            self._look(label, text)
            first, _, rest = text.partition('\n')
            if exports and not first.startswith('#!'):
                first, rest = '#!/bin/sh', text
            made.script(
                label,
                f'{first}\n{exports}{rest}' if exports else text,
                env_vars=names,
                timeout=timeout,
                comment=where,
            )

    def _look(self, where: str, text: str) -> None:
        if _SUDO.search(text):
            self.made.remark(where, 'it needs sudo in the image')
        if match := _RUNNING.search(text):
            self.made.remark(
                where,
                f'nothing runs in an image, so "{match[0]}" does nothing or '
                'fails',
            )

    def _scripts(
        self, where: str, entry: Mapping[str, Any]
    ) -> Iterator[tuple[str, str]]:
        lines = values.items(entry.get('inline'))
        if lines:
            shebang = values.text(entry.get('inline_shebang', _SHEBANG))
            found = [f'#!{shebang.strip().splitlines()[0]}']
            for index, line in enumerate(lines):
                place = f'{where}.inline[{index}]'
                text = self.variables.resolved(place, values.text(line))
                if _WAITS.fullmatch(text):
                    self.made.remark(
                        place, 'there is no cloud-init to be waited for'
                    )
                    continue
                found.append(text)
            yield where, '\n'.join(found) + '\n'
        names = [*values.items(entry.get('script')),
                 *values.items(entry.get('scripts'))]  # fmt: skip
        for name in names:
            path = self._path(where, values.text(name))
            try:
                content = sahara.read_below(self.directory, path)
                # As Packer does; with "binary" the shell would not take them.
                yield path, content.decode().replace('\r\n', '\n')
            except UnicodeDecodeError:
                self.made.lose(f'{where}: {path}', 'it is no text')
            except draft.Malformed as error:
                self.made.lose(f'{where}: {path}', str(error))

    def _path(self, where: str, name: str) -> str:
        """A file of the template, relative to its directory."""
        for start in ('${path.root}/', '${path.cwd}/',
                      '{{template_dir}}/', '{{ template_dir }}/'):  # fmt: skip
            name = name.removeprefix(start)
        return self.variables.resolved(where, name)

    def _environment(
        self, where: str, entry: Mapping[str, Any]
    ) -> tuple[str, list[str]]:
        """Lines of shell, and names of arguments that scripts are given."""
        pairs = [
            values.text(item).partition('=')
            for item in values.items(entry.get('environment_vars'))
        ]
        env = entry.get('env')
        if isinstance(env, dict):
            pairs += [(str(key), '=', values.text(item))
                      for key, item in env.items()]  # fmt: skip
        lines: list[str] = []
        names: list[str] = []
        for name, _, value in pairs:
            if not _VARIABLE.fullmatch(name):
                self.made.lose(
                    where, f'"{name}" is not the name of a variable'
                )
                continue
            variable = self.variables.alone(value)
            if variable:
                names.append(variable)
                shown = '"${' + packer_variables.exported(variable) + '}"'
            else:
                place = f'{where}.environment_vars'
                shown = values.quoted(self.variables.resolved(place, value))
            lines.append(f'export {name}={shown}\n')
        return ''.join(lines), list(dict.fromkeys(names))

    def _file(self, where: str, entry: Mapping[str, Any]) -> None:
        if values.text(entry.get('direction', 'upload')) != 'upload':
            self.made.lose(where, 'nothing is fetched out of an image')
            return
        target = self.variables.resolved(
            where, values.text(entry.get('destination', ''))
        )
        if not target.startswith('/'):
            self.made.lose(
                where, f'the destination "{target}" is not an absolute path'
            )
            return
        if 'content' in entry:
            text = values.text(entry['content'])
            content = self.variables.resolved(where, text).encode()
            self._add(
                where,
                {target: _content_of(self.made, target, content, '0644')},
            )
            return
        names = [*values.items(entry.get('source')),
                 *values.items(entry.get('sources'))]  # fmt: skip
        for name in names:
            self._upload(where, self._path(where, values.text(name)), target)

    def _upload(self, where: str, name: str, target: str) -> None:
        files: dict[str, Any] = {}
        for source, path in _pairs(self.directory, name, target):
            try:
                content = sahara.read_below(self.directory, source, _MAX_FILE)
            except draft.Malformed as error:
                self.made.lose(f'{where}: {source}', str(error))
                continue
            executable = (self.directory / source).stat().st_mode & 0o111
            mode = '0755' if executable else '0644'
            files[path] = _content_of(self.made, path, content, mode)
        self._add(where, files)

    def _add(self, where: str, files: Mapping[str, Any]) -> None:
        if files:
            self.made.add({'file': dict(files)}, where)
            self.made.remark(where, 'its files belong to root')


def _content_of(
    made: draft.Draft, target: str, content: bytes, mode: str
) -> dict[str, str]:
    found = cloud_files.text_or_base64(content)
    if len(content) > _INLINE:
        resource = f'files{posixpath.normpath(target)}'
        made.resources[resource] = content
        found = {'source': resource}
    return {**found, 'mode': mode}


def _pairs(
    directory: pathlib.Path, name: str, target: str
) -> Iterator[tuple[str, str]]:
    """Files and where they go; of a directory, as rsync takes its name."""
    source = directory / name
    if not source.is_dir():
        last = posixpath.basename(name)
        yield name, f'{target}{last}' if target.endswith('/') else target
        return
    base = target.rstrip('/')
    if not name.endswith('/'):
        base = f'{base}/{posixpath.basename(name)}'
    plain = name.rstrip('/')
    for number, (path, state) in enumerate(
        sahara.files_below(directory, plain)
    ):
        if number >= _MAX_FILES:
            raise draft.Malformed(f'{name} has more than {_MAX_FILES} files')
        if (state.st_mode & 0o170000) == 0o100000:
            yield path, f'{base}/{path.removeprefix(f"{plain}/")}'


def _seconds(value: Any) -> float | None:
    if value is None:
        return None
    text = values.text(value)
    found = _DURATION.findall(text)
    if not found or _DURATION.sub('', text):
        return None
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in found)
    return min(seconds, 86400.0) or None
