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
"""Channels: promote, roll back, list, show, history, delete."""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Iterator

import flask

from imagebuild import db
from imagebuild import exception
from imagebuild import policies
from imagebuild.api import paging
from imagebuild.api import placement
from imagebuild.api import responses
from imagebuild.api import schemas
from imagebuild.api import validation
from imagebuild.api import views
from imagebuild.api.api_call import Call
from imagebuild.api.handlers import builds
from imagebuild.common import boot_tests
from imagebuild.conf import boot_test
from imagebuild.conf import promotion
from imagebuild.conf import quota
from imagebuild.exception import Problem

PATH = '/v1/channels'


def promote(call: Call, build_id: str) -> flask.Response:
    """POST /v1/builds/{build_id}/promote"""
    build = builds.visible(call, build_id)
    channel = _asked_channel(
        call,
        build,
        policies.channels.PROMOTE,
        call.service.conf.promotion.channels,
    )
    validation.refuse(_problems(call, build, channel))
    tested = promotion.needs_boot_test(call.service.conf, channel)
    if tested:
        _check_boot_test(call, build)
    _look_for_image(call, build)
    expected = None
    if 'current_build_id' in call.body:
        expected = db.Expectation(call.body['current_build_id'])
    record = call.database.promote_build(
        build.id,
        channel,
        tags=call.body.get('tags'),
        user_id=call.context.user_id or '',
        tested=tested,
        expected=expected,
        quotas=quota.limits(call.service.conf),
    )
    return _changed(call, record, 'promote')


def roll_back(call: Call, build_id: str) -> flask.Response:
    """POST /v1/builds/{build_id}/rollback"""
    build = builds.visible(call, build_id)
    # One that the configuration no longer has can be rolled back, too.
    found = call.database.list_channels(
        project_id=build.project_id, build_id=build.id
    )
    known = {each.channel for each in found}
    channel = _asked_channel(
        call,
        build,
        policies.channels.ROLLBACK,
        known.union(call.service.conf.promotion.channels),
    )
    for each in found:
        if each.channel != channel:
            continue
        before = each.previous_build_id
        if before and each.current_build_id == build.id:
            _look_for_image(call, before)
    record = call.database.roll_back(
        build.id, channel, user_id=call.context.user_id or ''
    )
    return _changed(call, record, 'rollback')


def index(call: Call) -> flask.Response:
    """GET /v1/channels"""
    call.context.can(policies.channels.LIST)
    project_id = paging.project(call)
    paging.check_marker(call, call.database.get_channel, project_id)
    size = paging.limit(call)
    found = call.database.list_channels(
        project_id=project_id,
        name=call.query.get('name'),
        channel=call.query.get('channel'),
        build_id=call.query.get('build_id'),
        # One more than is shown tells whether there is another page.
        limit=size + 1,
        marker=call.query.get('marker'),
    )
    items = [views.channel(each, call.root) for each in found[:size]]
    page = paging.page(call, 'channels', PATH, items, more=len(found) > size)
    return responses.ok(
        {**page, 'available': list(call.service.conf.promotion.channels)}
    )


def show(call: Call, channel_id: str) -> flask.Response:
    """GET /v1/channels/{channel_id}"""
    return responses.ok(views.channel(_visible(call, channel_id), call.root))


def history(call: Call, channel_id: str) -> flask.Response:
    """GET /v1/channels/{channel_id}/history"""
    record = _visible(call, channel_id)
    found = call.database.list_promotions(record.id)
    return responses.ok({'history': [views.promotion(each) for each in found]})


def delete(call: Call, channel_id: str) -> flask.Response:
    """DELETE /v1/channels/{channel_id}"""
    record = _visible(call, channel_id)
    call.context.can(policies.channels.DELETE, record, channel=record.channel)
    call.database.delete_channel(record.id)
    call.conductor_api.channel(record.id)
    return responses.no_content()


def _asked_channel(
    call: Call, build: db.Build, rule: str, known: Collection[str]
) -> str:
    """The channel that a request names.

    :param known: channels that there are: the body, which names one, is not
        read for a user who may change none of them.
    :raises Forbidden: the user may not change it.
    :raises InvalidRequest: the body breaks its schema.
    """
    if not any(
        call.context.may(rule, build, channel=each) for each in known or ('',)
    ):
        raise exception.Forbidden(rule=rule)
    name = call.body.get('channel')
    name = name if isinstance(name, str) else ''
    call.context.can(rule, build, channel=name)
    validation.refuse(call.problems)
    return name


def _problems(call: Call, build: db.Build, channel: str) -> Iterator[Problem]:
    known = call.service.conf.promotion.channels
    if not promotion.is_known(call.service.conf, channel):
        names = ', '.join(known) or 'none'
        yield Problem(
            'channel', f'there is no channel "{channel}"; there are: {names}'
        )
    if len(build.name) > schemas.channels.NAME_LENGTH:
        yield Problem(
            'channel',
            f'the name of the build is longer than '
            f'{schemas.channels.NAME_LENGTH} characters, so that no tag can '
            'have it',
        )


def _check_boot_test(call: Call, build: db.Build) -> None:
    """Look whether a test that passed was one of the operator's.

    :raises Conflict: it expected less.
    """
    if not (build.boot_test or {}).get('passed'):
        # That is looked at with the build locked.
        return
    rules = boot_test.rules(call.service.conf)
    unmet = rules.unmet(build.request.get(boot_tests.FIELD))
    if unmet:
        raise exception.Conflict(
            what='Build',
            id=build.id,
            status='not tested enough',
            reason='this channel takes images that have passed the boot test '
            f'of this service, and its own did not expect: {"; ".join(unmet)}',
        )


def _look_for_image(call: Call, build: db.Build | str) -> None:
    """Have images that Glance no longer has struck off in the database.

    :param build: it, or its id.
    :raises NoConductor: none answered in time.
    :raises ServiceUnavailable: the image service does not answer.
    """
    if isinstance(build, str):
        try:
            build = call.database.get_build(build)
        except exception.NotFound:
            return
    for image in build.images:
        if image.status == 'active':
            call.conductor_api.verify_image(
                image.id, among=placement.reachable(call, [image.destination])
            )


def _changed(call: Call, record: db.Channel, action: str) -> flask.Response:
    call.conductor_api.channel(record.id)
    call.service.notifier.promoted(record, action, call.context.request_id)
    return responses.ok(views.channel(record, call.root))


def _visible(call: Call, channel_id: str) -> db.Channel:
    """Look a channel up.

    :raises NotFound: it does not exist, or the user may not see it: the
        answer must not tell which.
    """
    record = call.database.get_channel(channel_id)
    if not call.context.may(policies.channels.SHOW, record):
        raise exception.NotFound(what='channel', id=channel_id)
    return record
