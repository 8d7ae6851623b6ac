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
"""Which conductors can build what a request asks for."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from collections.abc import Mapping
from typing import Any

from imagebuild import catalogue
from imagebuild import db
from imagebuild import exception
from imagebuild.api.api_call import Call
from imagebuild.exception import Problem


@dataclasses.dataclass(frozen=True)
class Requirements:
    """What a conductor must be able to build.

    :ivar os: name in the catalogue, None when a base image is named alone.
    """

    os: str | None
    driver: str
    architecture: str


def requirements(
    call: Call, request: Mapping[str, Any], problems: list[Problem]
) -> Requirements | None:
    """Look up what a request needs of a conductor in the catalogue.

    :param request: with its defaults.
    :param problems: what is wrong is added here.
    :returns: None when it is not known, or the request has none.
    :raises ServiceUnavailable: the catalogue cannot be read.
    """
    name = request.get('os')
    if name is None:
        if 'base_image' not in request:
            return None
        # A base image of the request has the defaults of an empty entry.
        entry = catalogue.OperatingSystem('')
    else:
        found = call.service.catalogue.read()
        known = found.get(name)
        if known is None:
            problems.append(
                Problem(
                    'os',
                    f'there is no operating system "{name}"; known are: '
                    f'{", ".join(found.names()) or "none"}',
                )
            )
            return None
        entry = known
    return Requirements(
        os=name,
        driver=request.get('driver', entry.driver),
        architecture=entry.architecture,
    )


def able_conductors(
    call: Call,
    needed: Requirements | None,
    request: Mapping[str, Any],
    problems: list[Problem],
) -> list[str]:
    """Find the conductors that could build it.

    :param needed: None when it is not known.
    :param problems: that none of those that are up can is added here.
    :returns: their names.
    :raises NoConductor: none is up at all, which is not the user's error.
    """
    if needed is None:
        return []
    alive = call.service.conductors()
    # That none is up is not the user's error; their errors come first.
    if not alive:
        if not problems:
            raise exception.NoConductor(reason='none is up')
        return []
    able = [each.name for each in alive if _is_able(each, needed)]
    if not able:
        problems.append(_inability(alive, needed, request))
    return able


def _inability(
    alive: Iterable[db.Conductor],
    needed: Requirements,
    request: Mapping[str, Any],
) -> Problem:
    drivers = {driver for conductor in alive for driver in conductor.drivers}
    path = 'base_image' if needed.os is None else 'os'
    if needed.driver not in drivers:
        return Problem(
            'driver' if 'driver' in request else path,
            f'no conductor that is up has the driver "{needed.driver}"; '
            f'there are: {", ".join(sorted(drivers)) or "none"}',
        )
    what = f'"{needed.os}"' if needed.os else 'it'
    return Problem(
        path,
        f'no conductor that is up can build {what} with the driver '
        f'"{needed.driver}" for {needed.architecture}',
    )


def _is_able(conductor: db.Conductor, needed: Requirements) -> bool:
    return (
        needed.driver in conductor.drivers
        and needed.architecture == conductor.architecture
        and (
            needed.os is None
            or not conductor.operating_systems
            or needed.os in conductor.operating_systems
        )
    )
