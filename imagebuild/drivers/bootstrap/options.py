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
"""What the driver can be asked for."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from imagebuild import exception
from imagebuild.drivers import base
from imagebuild.drivers.bootstrap import releases

#: GiB. A minimal Debian takes 0.2, a bootable one 0.7; both want room for
#: what will be installed. Unused room takes none in the file.
_DEFAULT_SIZE = {True: 3, False: 4}
#: GiB. Below, the tree or the packages' unpacking finds no room.
_LEAST_SIZE = {True: 1, False: 2}
#: GiB; more than any cloud's root disk, less than ext4's 16 TiB.
_LARGEST_SIZE = 8192
#: Hours; a day's security updates are what an image may lack.
_DEFAULT_REFRESH = 24
_LONGEST_REFRESH = 24 * 366
_NAMES = ('os', 'minimal', 'size', 'refresh')


@dataclasses.dataclass(frozen=True)
class BootstrapOptions:
    """Options that are known to be good.

    :ivar release: what to make.
    :ivar minimal: no kernel, no bootloader, no cloud-init: what apt needs.
    :ivar size: GiB of the disk.
    :ivar refresh: hours for which one that was made on this host is used
        again by builds; 0: never.
    """

    release: releases.Release
    minimal: bool
    size: int
    refresh: int = _DEFAULT_REFRESH

    @classmethod
    def parse(cls, options: Mapping[str, Any]) -> BootstrapOptions:
        """Check options as they came.

        :param options: ``os`` (required), ``minimal``, ``size`` (GiB) and
            ``refresh`` (hours).
        :raises InvalidDriverOptions: with every problem.
        """
        problems = [
            exception.Problem(str(name), 'there is no such option')
            for name in options
            if name not in _NAMES
        ]
        name = options.get('os')
        release = releases.RELEASES.get(str(name))
        if release is None:
            known = ', '.join(releases.RELEASES)
            problems.append(
                exception.Problem(
                    'os', f'{name!r} is not known; known are {known}'
                )
            )
        minimal = options.get('minimal', False)
        if not isinstance(minimal, bool):
            problems.append(
                exception.Problem('minimal', 'must be true or false')
            )
            minimal = False
        size = options.get('size')
        if size is None:
            size = _DEFAULT_SIZE[minimal]
        problems.extend(_size_problems(size, minimal))
        refresh = options.get('refresh', _DEFAULT_REFRESH)
        if not _is_whole(refresh, 0, _LONGEST_REFRESH):
            problems.append(
                exception.Problem(
                    'refresh',
                    f'{refresh!r} is not a whole number of hours from 0 to '
                    f'{_LONGEST_REFRESH}',
                )
            )
        if release is None or problems:
            raise base.InvalidDriverOptions(problems)
        return cls(release, minimal, size, refresh)


def _size_problems(size: Any, minimal: bool) -> list[exception.Problem]:
    least = _LEAST_SIZE[minimal]
    if _is_whole(size, least, _LARGEST_SIZE):
        return []
    return [
        exception.Problem(
            'size',
            f'{size!r} is not a whole number of GiB from {least} to '
            f'{_LARGEST_SIZE}',
        )
    ]


def _is_whole(value: Any, least: int, most: int) -> bool:
    return (
        isinstance(value, int)
        and not isinstance(value, bool)
        and least <= value <= most
    )
