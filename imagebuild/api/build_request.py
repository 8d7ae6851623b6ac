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
"""A request for an image: validated, completed and resolved.

Everything that can be wrong with a request is found here, before a build is
queued: by the policies, by the loader of the description, by what the
conductors can do, and by a conductor that resolves the base image.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from imagebuild import catalogue
from imagebuild import channel_bases
from imagebuild import context
from imagebuild import db
from imagebuild import description
from imagebuild import exception
from imagebuild import policies
from imagebuild import sealing
from imagebuild.api import offers
from imagebuild.api import placement
from imagebuild.api import schemas
from imagebuild.api import validation
from imagebuild.api.api_call import Call
from imagebuild.api.api_call import Service
from imagebuild.common import boot_tests
from imagebuild.common import json_schema
from imagebuild.common import waiting
from imagebuild.conf import boot_test
from imagebuild.conf import quota
from imagebuild.exception import Problem

MASK = '***'

#: Field of a request -> the rule that lets it be given.
_FIELD_RULES = {
    'manifest': policies.builds.CREATE_MANIFEST,
    'driver': policies.builds.CREATE_DRIVER,
    'driver_options': policies.builds.CREATE_DRIVER,
    'elements': policies.builds.CREATE_DRIVER,
    'destinations': policies.builds.CREATE_DESTINATIONS,
}
_VISIBILITY_RULES = {
    'public': policies.builds.CREATE_PUBLIC,
    'community': policies.builds.CREATE_COMMUNITY,
}


@dataclasses.dataclass(frozen=True)
class BuildRequest:
    """A request that nothing is wrong with.

    :ivar request: with its defaults and the driver; values of hidden
        arguments are masked.
    :ivar secrets: the values of hidden arguments.
    :ivar described: the inside of the image.
    :ivar entry: of the catalogue, an empty one for a base image alone.
    :ivar architecture: of the machines it is for.
    :ivar base: what the base image was resolved to, as JSON.
    :ivar content_key: digest of everything that decides the image.
    :ivar conductors: names of those that could build it now.
    :ivar waits_for: where there is none, of those that could and are down.
    """

    request: Mapping[str, Any]
    secrets: Mapping[str, Any]
    described: description.Description
    entry: catalogue.OperatingSystem
    architecture: str
    base: Mapping[str, Any]
    content_key: str
    conductors: Sequence[str]
    waits_for: Sequence[str] = ()


def authorize(who: context.RequestContext, body: Mapping[str, Any]) -> None:
    """Pass when the policies let these fields be given.

    :raises Forbidden: they do not.
    """
    for field, rule in _FIELD_RULES.items():
        if field in body:
            who.can(rule)
    rule = _VISIBILITY_RULES.get(body.get('visibility', ''), '')
    if rule:
        who.can(rule)


def prepare(call: Call) -> BuildRequest:
    """Validate the request of a call and resolve what it names.

    :raises Forbidden: a policy does not let it.
    :raises InvalidRequest: every problem of it that is known by then; what
        only a conductor can see comes when all else is well.
    :raises NoConductor: no conductor is up, or none answered in time.
    :raises ServiceUnavailable: something that is needed does not answer.
    """
    problems = list(call.problems)
    request = _valid_fields(call.body, problems)
    authorize(call.context, request)
    named = channel_bases.of_request(
        call.service.database, _project(call), request
    )
    if named is None:
        return _prepare(call, request, problems)
    try:
        found = _prepare(
            call, named.without(request), [*problems, *named.problems()], named
        )
    except exception.InvalidRequest as error:
        raise exception.InvalidRequest(
            map(channel_bases.moved, error.errors)
        ) from error
    return dataclasses.replace(found, request=named.within(found.request))


def _prepare(
    call: Call,
    request: dict[str, Any],
    problems: list[Problem],
    named: channel_bases.ChannelBase | None = None,
) -> BuildRequest:
    """The same with the base that the request means.

    :param named: the channel that says it.
    """
    problems += _boot_test(call, request)
    problems += schemas.description.problems(
        request,
        given=call.body,
        max_timeout=call.service.conf.api.max_build_timeout,
        rules=call.service.property_rules,
    )
    described = _describe(call, request, problems)
    if described is not None and described.names_elements():
        call.context.can(policies.builds.CREATE_DRIVER)
    problems += _too_large(call, described)
    unknown = offers.destination_problems(call, request)
    problems += unknown
    entry = placement.entry_of(call, request, problems)
    if named is not None and entry is not None:
        entry = named.entry(entry)
    # Said once: nobody uploads to a destination that there is not.
    asked = {**request, 'destinations': ()} if unknown else request
    needs = placement.needs_of(asked, entry) if entry else None
    placed = placement.place(call, needs, asked, problems)
    secrets = _secrets(call.service, described, request, problems)
    validation.refuse(problems)
    if described is None or entry is None:
        raise AssertionError('a request without problems has both')
    return _resolve(call, request, entry, described, secrets, placed)


def _valid_fields(
    body: Mapping[str, Any], problems: Iterable[Problem]
) -> dict[str, Any]:
    """Return the fields without problems, so that they are checked further."""
    bad = {re.split(r'[.[]', problem.path)[0] for problem in problems}
    return schemas.description.with_defaults(
        {
            name: value
            for name, value in body.items()
            if name in schemas.description.FIELDS and name not in bad
        }
    )


def _boot_test(call: Call, request: dict[str, Any]) -> list[Problem]:
    """Have a request name everything of its boot test.

    :param request: is changed: it has one, or has not.
    :returns: why it can have none such.
    """
    rules = boot_test.rules(call.service.conf)
    asked = request.pop(boot_tests.FIELD, None)
    problems = list(rules.problems(asked))
    wanted = None if problems else rules.normalized(asked)
    if wanted:
        request[boot_tests.FIELD] = wanted
    return problems


def _resolve(
    call: Call,
    request: dict[str, Any],
    entry: catalogue.OperatingSystem,
    described: description.Description,
    secrets: Mapping[str, Any],
    placed: placement.Placement,
) -> BuildRequest:
    """Resolve the base image and compute the content key."""
    request['driver'] = request.get('driver', entry.driver)
    request = description.pinned(described, request)
    masked = _masked(request, secrets)
    answer = _check(call, masked, entry, placed, described)
    if answer.get('boots'):
        request, masked = map(boot_tests.left_to_driver, (request, masked))
    try:
        base, content_key = description.resolve(
            described,
            request,
            answer['base'],
            entry.architecture,
            entry.min_disk,
        )
    except exception.StepError as error:
        raise _recipe_problem(error) from error
    if secrets:
        # Keyed: from a plain digest a short password could be guessed.
        keys = call.service.conf.encryption_keys
        content_key = sealing.digest(keys, content_key)
    return BuildRequest(
        request=masked,
        secrets=secrets,
        described=described,
        entry=entry,
        architecture=entry.architecture,
        base=base,
        content_key=content_key,
        conductors=placed.able,
        waits_for=placed.waits_for,
    )


def _recipe_problem(error: exception.StepError) -> exception.InvalidRequest:
    """Translate the error of a recipe that is a plugin's code."""
    return exception.InvalidRequest([Problem('recipe', str(error))])


def _describe(
    call: Call, request: Mapping[str, Any], problems: list[Problem]
) -> description.Description | None:
    if any(
        field in call.body and field not in request
        for field in schemas.description.CONTENT_FIELDS
    ):
        # The others refer to it: a manifest without its resources, say, has
        # errors that the request does not have.
        return None
    try:
        return description.load(
            request, recipe_paths=call.service.recipe_paths
        )
    except exception.InvalidManifest as error:
        problems.extend(error.errors)
    except exception.StepError as error:
        problems.extend(_recipe_problem(error).errors)
    return None


def _too_large(
    call: Call, described: description.Description | None
) -> list[Problem]:
    """Find a recipe that needs a larger disk than this service makes."""
    limit = call.service.conf.disks.max_virtual_size
    if described is None or not limit or described.min_disk <= limit:
        return []
    path = 'recipe' if 'recipe' in call.body else 'manifest.min_disk'
    return [
        Problem(
            path,
            f'it needs a disk of {described.min_disk} GiB, and this service '
            f'makes none of more than {limit} GiB',
        )
    ]


def _secrets(
    service: Service,
    described: description.Description | None,
    request: Mapping[str, Any],
    problems: list[Problem],
) -> dict[str, Any]:
    """Return the values of hidden arguments."""
    hidden = described.hidden() if described else set()
    given = request.get('arguments', {})
    secrets = {
        name: given[name]
        for name in sorted(hidden & set(given))
        if given[name] is not None
    }
    if secrets and not service.conf.encryption_keys:
        problems.extend(
            Problem(
                json_schema.join('arguments', name),
                'this service keeps no secrets: its operator has set no '
                'encryption keys',
            )
            for name in secrets
        )
    return secrets


def _masked(
    request: Mapping[str, Any], secrets: Mapping[str, Any]
) -> dict[str, Any]:
    if not secrets:
        return dict(request)
    return {
        **request,
        'arguments': {**request['arguments'], **dict.fromkeys(secrets, MASK)},
    }


def _check(
    call: Call,
    request: Mapping[str, Any],
    entry: catalogue.OperatingSystem,
    placed: placement.Placement,
    described: description.Description,
) -> dict[str, Any]:
    """Have a conductor check the request and resolve the base image.

    :returns: as ``RequestValidator.check_request``, without problems.
    :raises InvalidRequest: with the problems that it found.
    """
    answer = call.conductor_api.check_request(
        request, entry.to_dict(), among=placed.asked
    )
    if placed.waits_for and answer.get('elsewhere'):
        raise placement.cannot_be_checked(placed)
    # The conductor knows them as one list.
    places = {
        f'elements[{number}]': place
        for number, place in enumerate(described.elements.values())
    }
    validation.refuse(
        Problem(
            places.get(problem['path'], problem['path']), problem['message']
        )
        for problem in answer.get('problems', ())
    )
    validation.refuse(_without_elements(described, answer['base']))
    if answer.get('boots'):
        asked = call.body.get(boot_tests.FIELD)
        validation.refuse(
            boot_tests.machine_problems(asked, request['driver'])
        )
    if answer.get('by_program'):
        # It raises what is wrong.
        described.program()
    return answer


def _without_elements(
    described: description.Description, base: Mapping[str, Any]
) -> list[Problem]:
    """Find that a conductor of an older release has left them out."""
    taken = (base.get('driver_options') or {}).get('elements') or ()
    if set(described.elements) <= set(taken):
        return []
    return [
        Problem(
            'elements',
            'the conductor that was asked is of an older release, which '
            'knows nothing of elements',
        )
    ]


def reusable_image(call: Call, prepared: BuildRequest) -> db.Image | None:
    """Find an image of the same content that still exists.

    :returns: None when there is none, or the request does not want one.

    :raises NoConductor: none answered in time.
    :raises ServiceUnavailable: the image service does not answer.
    """
    if prepared.request['reuse'] != 'always':
        return None
    while True:
        image = call.database.find_image(
            _project(call),
            prepared.content_key,
            prepared.request.get('max_age'),
        )
        if image is None or call.conductor_api.verify_image(
            image.id, among=placement.reachable(call, [image.destination])
        ):
            return image
        # Deleted in Glance; the next older one may still exist.
        call.database.image_deleted(image.id)


def create_build(call: Call, prepared: BuildRequest) -> db.Build:
    """Queue a build, or find that nothing has to be built.

    :raises QuotaExceeded: the project has used up what it may.
    """
    conf = call.service.conf
    keys = conf.encryption_keys
    build = call.database.create_build(
        {
            'project_id': _project(call),
            'user_id': call.context.user_id,
            'name': prepared.request['name'],
            'os': prepared.entry.name,
            'driver': prepared.request['driver'],
            'architecture': prepared.architecture,
            'request': dict(prepared.request),
            'secrets': sealing.seal(keys, prepared.secrets)
            if prepared.secrets
            else None,
            'content_key': prepared.content_key,
            'base': dict(prepared.base),
            'reuse': prepared.request['reuse'],
            'max_age': prepared.request.get('max_age'),
            'timeout': prepared.request.get(
                'timeout', conf.conductor.build_timeout
            ),
            'request_id': call.context.request_id,
        },
        quotas=quota.limits(conf),
    )
    if not prepared.waits_for or build.status != 'queued':
        return build
    call.database.note_waiting(build.id, waiting.waits_for(prepared.waits_for))
    return call.database.get_build(build.id)


def _project(call: Call) -> str:
    return call.context.project_id or ''
