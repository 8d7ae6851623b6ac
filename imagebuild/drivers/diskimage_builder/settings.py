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
"""The section ``diskimage_builder`` of the configuration file."""

from __future__ import annotations

import dataclasses
import importlib.util
import pathlib
import re
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from imagebuild import exception
from imagebuild.common import config_options

SECTION = 'diskimage_builder'
#: Names everything.
EVERYTHING = '*'

#: They install packages of the distribution and configure what is in the
#: image, and take nothing from the host or from places that a user names.
_ALLOWED = (
    'base',
    'centos-minimal',
    'cloud-init',
    'cloud-init-datasources',
    'cloud-init-growpart',
    'debian-minimal',
    'dhcp-all-interfaces',
    'disable-nouveau',
    'enable-serial-console',
    'ensure-venv',
    'fedora-minimal',
    'growroot',
    'journal-to-console',
    'openssh-server',
    'opensuse-minimal',
    'pip-and-virtualenv',
    'runtime-ssh-host-keys',
    'selinux-permissive',
    'simple-init',
    'stable-interface-names',
    'ubuntu-minimal',
    'vm',
)
_ENVIRONMENT = ('DIB_CLOUD_INIT_DATASOURCES',)
_TIMEOUT = 7200
_ASSIGNMENT = re.compile(r'([A-Za-z_][A-Za-z0-9_]*)=(.*)', re.DOTALL)


def list_opts() -> config_options.Pairs:
    """Its options, as oslo.config wants them."""
    from oslo_config import cfg

    group = cfg.OptGroup(
        SECTION,
        title='The driver diskimage_builder',
        help='Base images out of the elements of diskimage-builder. An '
        'element is a set of programs that run as root on the host of a '
        'conductor.',
    )
    return [(group, [*_of_elements(cfg), *_of_the_program(cfg)])]


def _of_elements(cfg: Any) -> list[Any]:
    return [
        cfg.ListOpt(
            'elements_path',
            default=[],
            help="""
Directories with elements of your own, searched before those that come with
diskimage-builder.

They must be there on every conductor that has the driver, with the same
elements in them. Whoever can write to them is root on the conductors.
""",
        ),
        cfg.ListOpt(
            'allowed_elements',
            default=list(_ALLOWED),
            help="""
Elements that users may name in their requests; "*" for all.

What an element allowed here depends on comes with it. Elements of an
operating system's entry in the catalogue need not be allowed here. Think of
what an element takes from the host or from its variables before you allow it:
"local-config" copies keys of the conductor's account into the image, and
"source-repositories" fetches from wherever a variable says.
""",
        ),
        cfg.ListOpt(
            'allowed_environment',
            default=list(_ENVIRONMENT),
            help="""
Variables that users may set for the elements; "*" for all but those that
decide how diskimage-builder itself is run.

Some elements hand their variables to a shell of the host that runs as root.
What users give them is therefore one word of letters, digits and "_.,:/@+=-",
but a word may be all that it takes: allow a variable when you know what every
allowed element does with it.
""",
        ),
    ]


def _of_the_program(cfg: Any) -> list[Any]:
    return [
        cfg.MultiStrOpt(
            'environment',
            default=[],
            help="""
A variable for the elements of all builds, such as one that names a mirror, as
NAME=value; repeat it for several.

What the entry of an operating system says goes before, and what a request
says, where it may, before that. Without DIB_DISTRIBUTION_MIRROR and
DIB_APT_SOURCES_CONF, Debian and Ubuntu come from the mirrors in the
conductor's own apt sources.
""",
        ),
        cfg.StrOpt(
            'cache_dir',
            help="""
Directory in which elements keep what they have downloaded, for later builds.

Without it, every base image is made of what is downloaded for it. What one
build has put there, others use.
""",
        ),
        cfg.IntOpt(
            'timeout',
            default=_TIMEOUT,
            min=60,
            help="""
Seconds within which diskimage-builder must have made a tree.

The time limit of the build holds all the same.
""",
        ),
    ]


@dataclasses.dataclass(frozen=True)
class DibSettings:
    """The section, read.

    :ivar elements_path: the operator's directories.
    :ivar allowed_elements: that users may name.
    :ivar allowed_environment: variables that users may set.
    :ivar environment: of all builds.
    :ivar cache_dir: of what elements download, None for none.
    :ivar timeout: seconds for a tree.
    """

    elements_path: tuple[pathlib.Path, ...] = ()
    allowed_elements: frozenset[str] = frozenset(_ALLOWED)
    allowed_environment: frozenset[str] = frozenset(_ENVIRONMENT)
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    cache_dir: pathlib.Path | None = None
    timeout: float = _TIMEOUT

    @classmethod
    def read(cls, sections: Mapping[str, Mapping[str, Any]]) -> DibSettings:
        """Read it.

        :param sections: of the configuration by name; without this one its
            defaults hold.
        :raises EnvironmentFault: a variable is not given as NAME=value.
        """
        given = {
            name: value
            for name, value in sections.get(SECTION, {}).items()
            if value is not None
        }
        found = cls()
        cache = given.get('cache_dir')
        return cls(
            elements_path=tuple(
                pathlib.Path(each) for each in given.get('elements_path', ())
            ),
            allowed_elements=frozenset(
                given.get('allowed_elements', found.allowed_elements)
            ),
            allowed_environment=frozenset(
                given.get('allowed_environment', found.allowed_environment)
            ),
            environment=_variables(given.get('environment', ())),
            cache_dir=pathlib.Path(cache) if cache else None,
            timeout=float(given.get('timeout', found.timeout)),
        )


def _variables(lines: Sequence[str]) -> dict[str, str]:
    found = {}
    for line in lines:
        match = _ASSIGNMENT.fullmatch(line)
        if match is None:
            raise exception.EnvironmentFault(
                f'[{SECTION}] environment: "{line}" is not NAME=value.'
            )
        found[match[1]] = match[2]
    return found


def shipped_elements() -> pathlib.Path | None:
    """The directory of diskimage-builder's own elements.

    :returns: None when it is not installed.
    """
    found = importlib.util.find_spec('diskimage_builder')
    for place in (found and found.submodule_search_locations) or ():
        directory = pathlib.Path(place, 'elements')
        if directory.is_dir():
            return directory
    return None
