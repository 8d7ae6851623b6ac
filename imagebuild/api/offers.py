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
"""What the conductors together offer, as they have registered it."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping
from typing import Any

from imagebuild import db
from imagebuild.api.api_call import Call
from imagebuild.destinations import HERE
from imagebuild.destinations import Destination
from imagebuild.exception import Problem


def destinations(
    call: Call, conductors: Iterable[db.Conductor]
) -> list[Destination]:
    """Further destinations that the project of a call may use, by name.

    :param conductors: whose; where two describe one differently, the first.
    """
    found: dict[str, Destination] = {}
    for each in conductors:
        for name, document in each.capability.destination_documents.items():
            destination = Destination.from_document({**document, 'name': name})
            found.setdefault(name, destination)
    return [
        found[name]
        for name in sorted(found)
        if found[name].is_for(call.context.project_id or '')
    ]


def destination_problems(
    call: Call, request: Mapping[str, Any]
) -> list[Problem]:
    """Find what a request names that the project has no such destination of.

    One that only a conductor knows that is down now is none: whether somebody
    can do it is a matter of placement.
    """
    asked = request.get('destinations') or ()
    return unknown_destinations(
        call,
        {f'destinations[{number}]': name for number, name in enumerate(asked)},
    )


def unknown_destinations(
    call: Call, asked: Mapping[str, str]
) -> list[Problem]:
    """See :func:`destination_problems`.

    :param asked: names by where in the request they are.
    """
    if not any(name != HERE for name in asked.values()):
        return []
    alive = call.service.conductors(accepting=False)
    if not alive:
        # That there is no conductor is said elsewhere.
        return []
    everybody = [*alive, *call.database.list_conductors()]
    known = [each.name for each in destinations(call, everybody)]
    return [
        Problem(
            path,
            f'there is no destination "{name}"; known are: '
            f'{", ".join(known) or "none"}',
        )
        for path, name in asked.items()
        if name != HERE and name not in known
    ]


def driver_schemas(
    conductors: Iterable[db.Conductor],
) -> dict[str, Mapping[str, Any]]:
    """JSON schemas of the options of drivers, by their names.

    :param conductors: whose; where two have one in different releases, that
        of the first. Those of an older release say nothing of theirs.
    """
    found: dict[str, Mapping[str, Any]] = {}
    for each in conductors:
        for name in each.drivers:
            schema = each.capability.driver_schemas.get(name)
            if schema is not None:
                found.setdefault(name, schema)
    return dict(sorted(found.items()))
