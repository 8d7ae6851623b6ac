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
"""Elements of diskimage-builder.

An element is a directory with packages (``package-installs.yaml``,
``pkg-map``), files (``static/``, ``init-scripts/systemd``), variables
(``environment.d``) and scripts for each phase. As diskimage-builder does it,
the scripts of all elements are run phase after phase, in the order of their
names.
"""

from __future__ import annotations

import dataclasses
import pathlib
import re
import stat
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence

from imagebuild import exception
from imagebuild.conversion import cloud_files
from imagebuild.conversion import dib_packages
from imagebuild.conversion import draft
from imagebuild.conversion import sahara
from imagebuild.conversion import values

#: Phases inside the image, in their order.
_PHASES = ('pre-install.d', 'install.d', 'post-install.d', 'finalise.d')
#: Phases on the host that builds.
_HOST_PHASES = (
    'root.d', 'extra-data.d', 'post-root.d', 'block-device.d',
    'pre-finalise.d', 'cleanup.d',
)  # fmt: skip
#: What makes an element of a directory.
MARKS = (
    *_PHASES, *_HOST_PHASES, 'environment.d', 'static', 'element-deps',
    'element-provides', 'package-installs.yaml', 'package-installs.json',
    'pkg-map',
)  # fmt: skip
#: Parts of diskimage-builder itself that put nothing into an image.
_MACHINERY = frozenset(
    {
        'cache-url', 'dib-init-system', 'dib-python', 'dib-run-parts',
        'element-manifest', 'install-bin', 'install-static', 'install-types',
        'manifests', 'no-final-image', 'package-installs', 'pkg-map',
        'source-repositories', 'svc-map', 'sysprep',
    }
)  # fmt: skip
#: What makes the base image, or its disk.
_BASE = re.compile(
    r'(?:almalinux|centos|debian|fedora|gentoo|openeuler|opensuse|rhel|rocky'
    r'|ubuntu)[a-z0-9-]*|base|vm|baremetal|bootloader|block-device-[a-z0-9-]+'
    r'|debootstrap|yum|yum-minimal|zypper|zypper-minimal|dpkg|rpm-distro'
    r'|redhat-common|rhel-common|apt-sources|grub2'
)
_NAME = re.compile(r'[A-Za-z0-9][A-Za-z0-9._+-]*')
#: dib-run-parts runs no others.
_SCRIPT_NAME = re.compile(r'[A-Za-z0-9_-]+(?:\.(?:sh|bash))?')
_VARIABLE = re.compile(
    r'\$(?:\{(?P<long>DIB_[A-Z0-9_]+)(?::?-(?P<default>[A-Za-z0-9_./:@+-]*))?'
    r'\}?|(?P<short>DIB_[A-Z0-9_]+))'
)
_SET = re.compile(r'^\s*(?:export\s+)?(DIB_[A-Z0-9_]+)=', re.MULTILINE)
_TOOLS = re.compile(
    r'\b(?:install-packages|map-packages|map-services|svc-map|pkg-map'
    r'|dib-python)\b|\$(?:\{)?_LIB\b|TMP_MOUNT_PATH|TMP_HOOKS_PATH'
    r'|in_target\.d|dirname\s+"?\$\{?0'
)
_KNOWN_VARIABLES: Mapping[str, str] = {
    'DISTRO_NAME': 'export DISTRO_NAME="$distro"',
    'DIB_RELEASE': 'export DIB_RELEASE="$distro_release"',
    'DIB_INIT_SYSTEM': 'export DIB_INIT_SYSTEM=systemd',
    'DIB_DEBUG_TRACE': 'export DIB_DEBUG_TRACE="${DIB_DEBUG_TRACE:-0}"',
    'ARCH': 'export ARCH="$(dpkg --print-architecture 2>/dev/null'
    ' || uname -m)"',
}
#: Bytes of a file that is written into the manifest itself.
_INLINE = 64 * 1024
_MAX_FILE = 64 * 1024 * 1024
_MAX_ELEMENTS = 300
_MAX_FILES = 5000


@dataclasses.dataclass
class _Element:
    """An element that was found."""

    name: str
    directory: pathlib.Path

    def files(self, name: str) -> list[pathlib.Path]:
        directory = self.directory / name
        if not directory.is_dir() or directory.is_symlink():
            return []
        return sorted(path for path in directory.iterdir() if path.is_file())


@dataclasses.dataclass
class _Action:
    """Something that is done in a phase, at the place of its name."""

    phase: int
    name: str
    run: Callable[[], None]


def is_element(path: pathlib.Path) -> bool:
    """Whether a directory is an element."""
    return path.is_dir() and any((path / mark).exists() for mark in MARKS)


def names_in(text: str) -> list[str]:
    """The elements of a list: words, with comments after "#"."""
    return [
        word
        for line in text.splitlines()
        for word in line.partition('#')[0].replace(',', ' ').split()
    ]


def looks_like(text: str) -> bool:
    """Whether a text is a list of elements."""
    names = names_in(text)
    return bool(names) and all(_NAME.fullmatch(name) for name in names)


def convert(
    path: pathlib.Path,
    element_paths: Sequence[pathlib.Path],
    made: draft.Draft,
) -> None:
    """Convert an element, or a list of elements.

    :param path: a directory, or a file with names.
    :param element_paths: where elements are looked up.
    :param made: is given steps, arguments and notes.
    :raises InvalidInput: it is neither, or one element needs too many.
    """
    if path.is_dir():
        if not is_element(path):
            raise exception.InvalidInput(
                f'{path} is not an element of diskimage-builder.'
            )
        names = [path.resolve().name]
    else:
        text = path.read_text(errors='replace')
        names = names_in(text)
        if not looks_like(text):
            raise exception.InvalidInput(
                f'{path} is not a list of names of elements.'
            )
    found = _resolve(names, [*element_paths, path.resolve().parent], made)
    _Conversion(found, made).run()


def _resolve(
    names: Sequence[str], paths: Sequence[pathlib.Path], made: draft.Draft
) -> list[_Element]:
    """The elements with all that they depend on."""
    found: dict[str, _Element] = {}
    seen: set[str] = set()
    left = list(names)
    while left:
        name = left.pop(0)
        if name in seen or not _NAME.fullmatch(name):
            continue
        seen.add(name)
        if len(seen) > _MAX_ELEMENTS:
            raise exception.InvalidInput(
                f'{made.name} needs more than {_MAX_ELEMENTS} elements.'
            )
        if name in _MACHINERY:
            continue
        if _BASE.fullmatch(name):
            made.remark(
                name, 'it makes the base image or its disk, which are no '
                'matter of a manifest'
            )  # fmt: skip
            continue
        places = [base / name for base in paths]
        place = next((one for one in places if is_element(one)), None)
        if place is None:
            made.lose(name, 'there is no such element; see --element-path')
            continue
        found[name] = _Element(name, place)
        deps = place / 'element-deps'
        if deps.is_file():
            left += names_in(deps.read_text(errors='replace'))
    return [found[name] for name in sorted(found)]


class _Conversion:
    """Elements on their way into a draft."""

    def __init__(
        self, elements: Sequence[_Element], made: draft.Draft
    ) -> None:
        self.elements = elements
        self.made = made
        self.environment = ''
        self.arguments: dict[str, str] = {}

    def run(self) -> None:
        """Fill the draft."""
        names = ', '.join(element.name for element in self.elements)
        self.made.description = f'From the elements {names}.' if names else ''
        self._environment()
        actions = [
            action
            for element in self.elements
            for action in self._actions(element)
        ]
        actions.sort(key=lambda action: (action.phase, action.name))
        for action in actions:
            action.run()
        for name, default in self.arguments.items():
            self.made.arguments[name] = {
                'description': f'{name} of diskimage-builder.',
                'default': default,
            }

    def _environment(self) -> None:
        files = sorted(
            (
                (path.name, path)
                for element in self.elements
                for path in element.files('environment.d')
            ),
            key=lambda item: item[0],
        )
        for name, path in files:
            text = path.read_text(errors='replace')
            if text.startswith('#!'):
                text = text.partition('\n')[2]
            self.environment += f'# environment.d/{name}\n{text.rstrip()}\n'

    def _actions(self, element: _Element) -> Iterator[_Action]:
        for part in _HOST_PHASES:
            for path in element.files(part):
                self.made.lose(
                    f'{element.name}/{part}/{path.name}',
                    'it runs on the host that builds, beside the image',
                )
        yield from self._package_actions(element)
        for part, phase, name in (
            ('static', 1, '10-install-static-files'),
            ('init-scripts/systemd', 1, '20-install-init-scripts'),
        ):
            if (element.directory / part).is_dir():
                yield _Action(phase, name, self._files(element, part))
        for phase, part in enumerate(_PHASES):
            for path in element.files(part):
                if _SCRIPT_NAME.fullmatch(path.name):
                    yield _Action(
                        phase, path.name, self._script(element, part, path)
                    )
        for path in sorted(element.directory.glob('source-repository-*')):
            self.made.lose(
                f'{element.name}/{path.name}', 'sources are fetched by the '
                'host that builds'
            )  # fmt: skip

    def _package_actions(self, element: _Element) -> Iterator[_Action]:
        found = dib_packages.read(element.directory, element.name, self.made)
        for name, default in found.variables.items():
            self.arguments.setdefault(name, default)
        where = f'{element.name}/package-installs'
        for phase, part in enumerate(_PHASES):
            steps = found.installs(part)
            if steps:
                yield _Action(phase, '01-', self._add(steps, where))
            steps = found.removals(part)
            if steps:
                yield _Action(phase, '99-', self._add(steps, where))

    def _add(
        self, steps: Sequence[draft.Validator], where: str
    ) -> Callable[[], None]:
        def run() -> None:
            for step in steps:
                self.made.add(step, where)

        return run

    def _script(
        self, element: _Element, part: str, path: pathlib.Path
    ) -> Callable[[], None]:
        where = f'{element.name}/{part}/{path.name}'

        def run() -> None:
            if not path.stat().st_mode & stat.S_IXUSR:
                self.made.lose(where, 'it is not executable, so it is not run')
                return
            try:
                content = sahara.read_below(element.directory, f'{part}/'
                                            f'{path.name}')  # fmt: skip
                text = content.decode()
            except (draft.Malformed, UnicodeDecodeError) as error:
                self.made.lose(where, f'it is no text: {error}')
                return
            if match := _TOOLS.search(text):
                self.made.remark(
                    where,
                    f'it uses "{match[0]}" of diskimage-builder, which is '
                    'not in the image',
                )
            self.made.script(
                where,
                self._with_environment(text),
                env_vars=self._variables(text),
                comment=where,
            )

        return run

    def _with_environment(self, text: str) -> str:
        lines = [
            line
            for name, line in _KNOWN_VARIABLES.items()
            if re.search(rf'\b{name}\b', text + self.environment)
        ]
        prologue = ''.join(f'{line}\n' for line in lines) + self.environment
        first, _, rest = text.partition('\n')
        if not prologue or not first.startswith('#!') or 'sh' not in first:
            return text
        return f'{first}\n{prologue}{rest}'

    def _variables(self, text: str) -> list[str]:
        """The variables that whoever builds an image sets."""
        own = set(_SET.findall(text)) - set(_SET.findall(self.environment))
        found: dict[str, str] = {}
        for match in _VARIABLE.finditer(text + self.environment):
            name = match['long'] or match['short']
            if name in own or name in _KNOWN_VARIABLES:
                continue
            found[name] = found.get(name) or match['default'] or ''
        for name, default in found.items():
            self.arguments.setdefault(name, default)
            self.arguments[name] = self.arguments[name] or default
        return list(found)

    def _files(self, element: _Element, part: str) -> Callable[[], None]:
        target = '' if part == 'static' else '/usr/lib/systemd/system'

        def run() -> None:
            files: dict[str, object] = {}
            links: list[str] = []
            for number, (name, state) in enumerate(
                sahara.files_below(element.directory, part)
            ):
                where = f'{element.name}/{name}'
                path = f'{target}/{name.removeprefix(f"{part}/")}'
                if number >= _MAX_FILES:
                    self.made.lose(where, 'there are too many files')
                    break
                if stat.S_ISLNK(state.st_mode):
                    links.append(_link(element.directory / name, path))
                elif stat.S_ISREG(state.st_mode):
                    self._file(element, where, name, path, state, files)
            if files:
                self.made.add({'file': files}, f'{element.name}/{part}')
            if links:
                label = f'links of {element.name}'
                self.made.script(
                    label, '#!/bin/sh\nset -eu\n' + ''.join(links)
                )

        return run

    def _file(
        self,
        element: _Element,
        where: str,
        name: str,
        path: str,
        state: object,
        files: dict[str, object],
    ) -> None:
        mode = getattr(state, 'st_mode', 0) & 0o7777
        try:
            content = sahara.read_below(element.directory, name, _MAX_FILE)
        except draft.Malformed as error:
            self.made.lose(where, str(error))
            return
        if len(content) > _INLINE:
            self.made.resources[f'files/{where}'] = content
            found = {'source': f'files/{where}'}
        else:
            found = cloud_files.text_or_base64(content)
        files[path] = {**found, 'mode': f'{mode:04o}'}


def _link(link: pathlib.Path, path: str) -> str:
    target = values.quoted(str(link.readlink()))
    return (
        f'mkdir -p {values.quoted(path.rpartition("/")[0] or "/")}\n'
        f'ln -sfn {target} {values.quoted(path)}\n'
    )
