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
from collections.abc import Sequence
from typing import Any

from imagebuild import db
from imagebuild import exception
from imagebuild.api.api_call import Call
from imagebuild.catalogue import OperatingSystem
from imagebuild.common import boot_tests
from imagebuild.common import placement
from imagebuild.common import waiting
from imagebuild.common.placement import Needs
from imagebuild.exception import Problem

#: Of so many conductors a refusal says what each lacks.
_FEW = 5
#: What can be asked for in ``driver_options``, the strictest first; ``auto``
#: is no need.
_ISOLATIONS = ('appliance', 'sandbox')


def entry_of(
    call: Call, request: Mapping[str, Any], problems: list[Problem]
) -> OperatingSystem | None:
    """Look up what a request names in the catalogue.

    :param request: with its defaults.
    :param problems: what is wrong is added here.
    :returns: the entry, an empty one for a base image that is named alone;
        None when it is not known, or the request has none.
    :raises ServiceUnavailable: the catalogue cannot be read.
    """
    name = request.get('os')
    if name is None:
        if 'base_image' not in request:
            return None
        # A base image of the request has the defaults of an empty entry.
        return OperatingSystem('')
    found = call.service.catalogue.read()
    entry = found.get(name)
    if entry is None:
        problems.append(
            Problem(
                'os',
                f'there is no operating system "{name}"; known are: '
                f'{", ".join(found.names()) or "none"}',
            )
        )
    return entry


def needs_of(request: Mapping[str, Any], entry: OperatingSystem) -> Needs:
    """What a request needs of a conductor.

    :param request: with its defaults.
    :param entry: of :func:`entry_of`.
    """
    driver = request.get('driver', entry.driver)
    return Needs(
        os=entry.name,
        driver=driver,
        architecture=entry.architecture,
        isolation=_isolation(
            entry.driver_options, request.get('driver_options', {})
        ),
        destinations=_further(request.get('destinations') or ()),
        boot_test=boot_tests.need(request, driver),
    )


def _further(destinations: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted({*destinations} - {''}))


def reachable(call: Call, destinations: Iterable[str] = ('',)) -> list[str]:
    """Names of conductors that can be asked about an image.

    :param destinations: where it is; '' is this cloud.
    """
    return [
        each.name
        for each in call.service.conductors(accepting=False)
        if not placement.missing(
            Needs(destinations=_further(destinations)), each.capability
        )
    ]


def _isolation(*options: Mapping[str, Any]) -> str:
    """The strictest that is asked for; what is none is refused elsewhere."""
    asked = [each.get('isolation') for each in options]
    return next((each for each in _ISOLATIONS if each in asked), '')


@dataclasses.dataclass(frozen=True)
class Placement:
    """Who could build something, now or later.

    :ivar able: names of conductors that are up and can.
    :ivar waits_for: where there is none: those that could, and are down.
    :ivar asked: those that can be asked to check the request.
    """

    able: Sequence[str] = ()
    waits_for: Sequence[str] = ()
    asked: Sequence[str] = ()


def place(
    call: Call,
    needs: Needs | None,
    request: Mapping[str, Any],
    problems: list[Problem],
) -> Placement:
    """Find the conductors that could build it.

    :param needs: None when they are not known.
    :param problems: that nobody can is added here.
    :raises NoConductor: none is up at all, which is not the user's error.
    """
    if needs is None:
        return Placement()
    alive = call.service.conductors()
    lacking = {
        each.name: placement.lacking(needs, each.capability) for each in alive
    }
    able = [name for name, lacks in lacking.items() if not lacks]
    if able:
        return Placement(able=able, asked=able)
    absent = [
        each.name
        for each in call.service.absent_conductors()
        if not placement.missing(needs, each.capability)
    ]
    if not alive:
        # That none is up is not the user's error; their errors come first.
        if not problems:
            raise exception.NoConductor(
                reason=_only(absent) if absent else 'none is up'
            )
        return Placement()
    if absent:
        # Whoever is up may know the driver and the base image all the same.
        return Placement(waits_for=absent, asked=list(lacking))
    problems.append(_inability(alive, needs, lacking, request))
    return Placement()


def cannot_be_checked(placed: Placement) -> exception.NoConductor:
    """The error of a request that only somebody who is down could check."""
    return exception.NoConductor(reason=_only(placed.waits_for))


def _only(names: Sequence[str]) -> str:
    return f'only {waiting.shown(names)} could, and is down'


def _inability(
    alive: Sequence[db.Conductor],
    needs: Needs,
    lacking: Mapping[str, Mapping[str, str]],
    request: Mapping[str, Any],
) -> Problem:
    """Say why none of the conductors can, at what of the request.

    :param lacking: of each conductor, as ``placement.lacking`` says it.
    """
    # What all of them lack is what the request asks for in vain.
    common = [
        name
        for name in next(iter(lacking.values()))
        if all(name in each for each in lacking.values())
    ]
    path = _path(common[0] if common else '', request)
    if 'driver' in common:
        drivers = {driver for each in alive for driver in each.drivers}
        return Problem(
            path,
            f'no conductor that is up has the driver "{needs.driver}"; '
            f'there are: {", ".join(sorted(drivers)) or "none"}',
        )
    return Problem(
        path, f'no conductor that is up can build it: {_reasons(lacking)}'
    )


def _path(need: str, request: Mapping[str, Any]) -> str:
    """Where in a request a need comes from."""
    if need in ('destinations', boot_tests.FIELD) or (
        need == 'driver' and 'driver' in request
    ):
        return need
    if need == 'isolation' and 'isolation' in request.get(
        'driver_options', {}
    ):
        return 'driver_options.isolation'
    return 'os' if request.get('os') else 'base_image'


def _reasons(lacking: Mapping[str, Mapping[str, str]]) -> str:
    """What conductors lack, by name if they are few."""
    if len(lacking) <= _FEW:
        return '; '.join(
            f'{name} {" and ".join(lacks.values())}'
            for name, lacks in lacking.items()
        )
    numbers: dict[str, int] = {}
    for lacks in lacking.values():
        for problem in lacks.values():
            numbers[problem] = numbers.get(problem, 0) + 1
    most = sorted(numbers.items(), key=lambda item: -item[1])
    return '; '.join(
        f'{number} of {len(lacking)}: {problem}'
        for problem, number in most[:_FEW]
    )
