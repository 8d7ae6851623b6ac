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
"""The section ``installer`` of the configuration, and the installers file."""

from __future__ import annotations

import dataclasses
import pathlib
import urllib.parse
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any
from typing import Literal

from imagebuild import exception
from imagebuild.common import checksums
from imagebuild.common import config_options
from imagebuild.common import json_schema
from imagebuild.common import strict_yaml

SECTION = 'installer'
#: What answers an installer: a preseed, a kickstart, an autoinstall.
Family = Literal['debian', 'redhat', 'ubuntu']
FAMILIES: tuple[Family, ...] = ('debian', 'redhat', 'ubuntu')
_MEMORY = 2048
_CPUS = 2
_TIMEOUT = 7200
_SILENCE = 900

_PATH = {
    'type': 'string',
    'pattern': r'^/[^\x00-\x1f\x7f]*\Z',
    'x-message': 'is not an absolute path',
}
_CHECKSUM = {
    'type': 'string',
    'pattern': r'^sha(?:256|512):[0-9A-Fa-f]{64,128}\Z',
    'x-message': 'is not a checksum such as sha256:...',
}
#: QEMU's options are separated by commas, those of the kernel by blanks.
_ARGUMENT = {
    'type': 'string',
    'pattern': r'^[\x21-\x7e]{1,512}\Z',
    'x-message': 'is not one argument of the kernel',
}
_URL = {
    'type': 'string',
    'pattern': r'^https?://[A-Za-z0-9.:\[\]-]+(?:/[A-Za-z0-9._~%+/-]*)?\Z',
    'x-message': 'is not the URL of a mirror',
}
_ENTRY: Mapping[str, Any] = {
    'type': 'object',
    'additionalProperties': False,
    'required': ['family', 'kernel', 'initrd'],
    'properties': {
        'family': {
            'enum': list(FAMILIES),
            'x-message': f'is none of {", ".join(FAMILIES)}',
        },
        'description': {'type': 'string'},
        'kernel': _PATH,
        'kernel_checksum': _CHECKSUM,
        'initrd': _PATH,
        'initrd_checksum': _CHECKSUM,
        'medium': _PATH,
        'medium_checksum': _CHECKSUM,
        'mirror': _URL,
        'more_mirrors': {'type': 'array', 'maxItems': 16, 'items': _URL},
        'kernel_arguments': {
            'type': 'array',
            'maxItems': 64,
            'items': _ARGUMENT,
        },
    },
}
_FILE: Mapping[str, Any] = {
    'type': ['object', 'null'],
    'propertyNames': {
        'pattern': r'^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}\Z',
        'x-message': 'is not the name of an installer',
    },
    'additionalProperties': _ENTRY,
}


class InvalidInstallers(exception.EnvironmentFault):
    """The operator's file breaks its rules."""

    msg_fmt = '[installer] installers_file: %(path)s: %(reason)s.'


@dataclasses.dataclass(frozen=True)
class InputFile:
    """A file of the operator's.

    :ivar path: on this host, or on the medium.
    :ivar checksum: ``sha256:...``; '' for what is on a medium that has one.
    """

    path: pathlib.Path
    checksum: str = ''


@dataclasses.dataclass(frozen=True)
class Installer:
    """One that builds can use.

    :ivar name: what requests call it.
    :ivar family: what answers it.
    :ivar medium: a CD or DVD that kernel and initrd are taken from if they
        have no checksum of their own.
    :ivar mirror: URL that packages come from; '' for no network.
    :ivar more_mirrors: URLs that are in reach besides.
    :ivar kernel_arguments: come after ours.
    """

    name: str
    family: Family
    kernel: InputFile
    initrd: InputFile
    medium: InputFile | None = None
    mirror: str = ''
    more_mirrors: tuple[str, ...] = ()
    kernel_arguments: tuple[str, ...] = ()

    def facts(self) -> dict[str, Any]:
        """What of this decides what is installed."""
        return {
            'family': self.family,
            'files': [
                each.checksum
                for each in (self.kernel, self.initrd, self.medium)
                if each
            ],
            # What is on a medium has no checksum of its own.
            'on_medium': [
                str(each.path)
                for each in (self.kernel, self.initrd)
                if not each.checksum
            ],
            'mirrors': [self.mirror, *self.more_mirrors],
            'kernel_arguments': list(self.kernel_arguments),
        }


@dataclasses.dataclass(frozen=True)
class InstallerSettings:
    """The section, read.

    :ivar file: of the installers; None for none.
    :ivar memory: MiB of the machine.
    :ivar cpus: of the machine.
    :ivar timeout: seconds for an installation.
    :ivar silence: seconds without a word on the console.
    """

    file: pathlib.Path | None = None
    memory: int = _MEMORY
    cpus: int = _CPUS
    timeout: float = _TIMEOUT
    silence: float = _SILENCE

    @classmethod
    def read(
        cls, sections: Mapping[str, Mapping[str, Any]]
    ) -> InstallerSettings:
        """Read it.

        :param sections: of the configuration by name; without this one its
            defaults hold.
        """
        given = {
            name: value
            for name, value in sections.get(SECTION, {}).items()
            if value is not None
        }
        file = given.get('installers_file')
        return cls(
            file=pathlib.Path(file) if file else None,
            memory=int(given.get('memory', _MEMORY)),
            cpus=int(given.get('cpus', _CPUS)),
            timeout=float(given.get('timeout', _TIMEOUT)),
            silence=float(given.get('silence', _SILENCE)),
        )

    def installers(self) -> dict[str, Installer]:
        """Read the file, which may have changed meanwhile.

        :raises InvalidInstallers: it cannot be read, or breaks its rules.
        """
        if self.file is None:
            return {}
        try:
            found = strict_yaml.parse(self.file.read_bytes())
        except OSError as error:
            reason = f'it cannot be read ({error.strerror})'
            raise InvalidInstallers(path=self.file, reason=reason) from error
        except strict_yaml.InvalidYaml as error:
            raise InvalidInstallers(path=self.file, reason=error) from error
        problems = json_schema.check(found, _FILE, '')
        if not problems:
            for name, entry in (found or {}).items():
                problems.extend(_checksum_problems(name, entry))
        if problems:
            raise _invalid(self.file, problems)
        return {
            name: _installer(name, entry)
            for name, entry in (found or {}).items()
        }


def _invalid(
    path: pathlib.Path, problems: list[exception.Problem]
) -> InvalidInstallers:
    reason = '; '.join(str(each).rstrip('.') for each in problems)
    return InvalidInstallers(path=path, reason=reason)


def _checksum_problems(
    name: str, entry: Mapping[str, Any]
) -> list[exception.Problem]:
    """Checksums that are missing, or none.

    What has none of its own lies on the medium.
    """
    found = []
    for each in ('kernel', 'initrd', 'medium'):
        path = json_schema.join('', name, f'{each}_checksum')
        checksum = entry.get(f'{each}_checksum')
        if checksum:
            try:
                checksums.Checksum.parse(checksum)
            except exception.InvalidInput as error:
                found.append(exception.Problem(path, str(error).rstrip('.')))
        elif each == 'medium' and 'medium' in entry:
            found.append(exception.Problem(path, 'is missing'))
        elif each != 'medium' and 'medium' not in entry:
            text = 'is missing (without a medium it is a file of this host)'
            found.append(exception.Problem(path, text))
    found += _mirror_problems(name, entry)
    if 'mirror' not in entry and 'medium' not in entry:
        path = json_schema.join('', name)
        found.append(exception.Problem(path, 'needs a mirror or a medium'))
    return found


def _mirror_problems(
    name: str, entry: Mapping[str, Any]
) -> Iterator[exception.Problem]:
    """URLs that a pattern lets pass, and that lead nowhere."""
    given = {'mirror': entry['mirror']} if 'mirror' in entry else {}
    for number, each in enumerate(entry.get('more_mirrors', ())):
        given[f'more_mirrors[{number}]'] = each
    for key, url in given.items():
        try:
            parts = urllib.parse.urlsplit(url)
            good = parts.port != 0 and parts.hostname
        except ValueError:
            good = None
        if not good:
            yield exception.Problem(
                json_schema.join('', name, key), f'{url} is no URL of a mirror'
            )


def _installer(name: str, entry: Mapping[str, Any]) -> Installer:
    files = {
        each: InputFile(
            pathlib.Path(entry[each]), entry.get(f'{each}_checksum', '')
        )
        for each in ('kernel', 'initrd', 'medium')
        if each in entry
    }
    return Installer(
        name=name,
        family=entry['family'],
        kernel=files['kernel'],
        initrd=files['initrd'],
        medium=files.get('medium'),
        mirror=entry.get('mirror', '').rstrip('/'),
        more_mirrors=tuple(entry.get('more_mirrors', ())),
        kernel_arguments=tuple(entry.get('kernel_arguments', ())),
    )


def list_opts() -> config_options.Pairs:
    """Its options, as oslo.config wants them."""
    from oslo_config import cfg

    group = cfg.OptGroup(
        SECTION,
        title='The driver installer',
        help="Base images that a distribution's own installer makes, in a "
        'virtual machine. The driver must be named in [conductor] drivers.',
    )
    return [
        (
            group,
            [
                cfg.StrOpt(
                    'installers_file',
                    sample_default='/etc/imagebuild/installers.yaml',
                    help="""
File that says which installers there are: their kernels, initrds and media
with checksums, and the mirror that each may reach.

Requests name an installer by its name there, never a file.
""",
                ),
                cfg.IntOpt(
                    'memory',
                    default=_MEMORY,
                    min=256,
                    help='MiB of memory of the machine.',
                ),
                cfg.IntOpt(
                    'cpus',
                    default=_CPUS,
                    min=1,
                    help='Virtual CPUs of the machine.',
                ),
                cfg.IntOpt(
                    'timeout',
                    default=_TIMEOUT,
                    min=60,
                    help="""
Seconds within which an installation must end.

Without KVM it takes several times as long. The time limit of the build holds
all the same.
""",
                ),
                cfg.IntOpt(
                    'silence',
                    default=_SILENCE,
                    min=60,
                    help="""
Seconds for which an installer may write nothing to its console; after that it
counts as hanging.
""",
                ),
            ],
        )
    ]
