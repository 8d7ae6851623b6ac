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
"""The image build service and Glance, as far as the resource meets them."""

import dataclasses
import hashlib
import itertools
import json
import types

from heat.engine.clients.os import glance

from imagebuild import client
from imagebuild import exception
from imagebuild.client import exceptions

#: Fields of a request that say nothing about the content.
NOT_CONTENT = {
    'name', 'tags', 'visibility', 'protected', 'members', 'properties',
    'min_disk', 'min_ram', 'reuse', 'max_age', 'timeout',
}  # fmt: skip

RECIPES = ['redis', 'nginx', 'mariadb']
SYSTEMS = ['debian-12', 'debian-13', 'ubuntu-24.04']


class Service:
    """In place of the client: the same calls, everything in memory.

    :ivar looks: how many looks a build takes until it ends.
    :ivar outcome: fields of a build that has ended, in place of success.
    :ivar away: what calls raise, by the name of the call; an exception or
        a list of them, used up from the front.
    :ivar calls: names and arguments of all calls.
    """

    def __init__(self):
        self.looks = 0
        self.outcome = {}
        self.step_list = []
        self.log_text = ''
        self.away = {}
        self.calls = []
        self.images = {}
        self.made = {}
        self._left = {}
        self._numbers = itertools.count(1)
        self.builds = Builds(self)
        self.channels = Channels(self)
        self.pipelines = Pipelines(self)
        self.validations = Validations(self)
        self.recipes = _listing(
            self, 'recipes', [client.Recipe(name=name) for name in RECIPES]
        )
        self.operating_systems = _listing(
            self,
            'operating_systems',
            [client.OperatingSystem(name=name) for name in SYSTEMS],
        )

    def named(self, name):
        return [call for call in self.calls if call[0] == name]

    def count(self, name):
        return len(self.named(name))

    def note(self, name, *arguments):
        self.calls.append((name, *arguments))
        error = self.away.get(name)
        if isinstance(error, list):
            error = error.pop(0) if error else None
        if error is not None:
            raise error

    def number(self):
        return next(self._numbers)


class Builds:
    def __init__(self, service):
        self.service = service

    def create(self, **description):
        service = self.service
        key = content_key(description)
        reused = None
        if description.get('reuse', 'always') == 'always':
            reused = next(
                (
                    build
                    for build in service.made.values()
                    if build.content_key == key
                    and build.status == 'active'
                    and build.image_id in service.images
                ),
                None,
            )
        number = service.number()
        build = client.Build.from_dict(
            {
                'id': f'build-{number}',
                'name': description['name'],
                'status': 'queued',
                'content_key': key,
                'request': description,
                'progress': {'done': 0, 'total': 3, 'step': 'waiting'},
            }
        )
        service.made[build.id] = build
        service._left[build.id] = service.looks
        if reused:
            self._set(
                build.id,
                status='active',
                image_id=reused.image_id,
                checksum=dict(reused.checksum),
                reused_from=reused.id,
                size=reused.size,
            )
        # What was lost is the answer.
        service.note('create', description)
        return service.made[build.id]

    def get(self, build_id):
        service = self.service
        service.note('get', build_id)
        build = self._known(build_id)
        if build.finished:
            return build
        if build.status == 'deleting':
            del service.made[build_id]
            return build
        if service._left[build_id] > 0:
            service._left[build_id] -= 1
            return self._set(build_id, status='building')
        if service.outcome:
            return self._set(build_id, **service.outcome)
        return self._succeed(build)

    def _succeed(self, build):
        image_id = f'image-{build.id}'
        checksum = {'os_hash_algo': 'sha512', 'os_hash_value': f'h-{build.id}'}
        request = build.request
        self.service.images[image_id] = types.SimpleNamespace(
            id=image_id,
            status='active',
            name=build.name,
            tags=list(request.get('tags') or ()),
            visibility=request.get('visibility', 'shared'),
            protected=request.get('protected', False),
            min_disk=request.get('min_disk', 2),
            min_ram=request.get('min_ram', 0),
            os_hash_value=checksum['os_hash_value'],
        )
        return self._set(
            build.id,
            status='active',
            image_id=image_id,
            checksum=checksum,
            size=1000,
            progress={
                **{'done': 3, 'total': 3, 'step': '', 'phase': None},
                **{'percent': 100, 'elapsed': 95, 'remaining': None},
            },
            images=[
                {'destination': '', 'image_id': image_id, 'status': 'active'}
            ],
        )

    def _set(self, build_id, **values):
        made = self.service.made
        raw = {**made[build_id].raw, **values}
        made[build_id] = client.Build.from_dict(raw)
        return made[build_id]

    def _known(self, build_id):
        if build_id not in self.service.made:
            raise exceptions.NotFound(f'There is no build {build_id}.')
        return self.service.made[build_id]

    def list(self, *, limit=None, marker=None, sort=None, **filters):
        self.service.note('list', filters)
        found = [
            build
            for build in self.service.made.values()
            if build.name == filters.get('name', build.name)
        ]
        return iter(found[:limit])

    def delete(self, build_id, *, when_unused=False):
        more = [when_unused] if when_unused else []
        self.service.note('delete', build_id, *more)
        build = self._known(build_id)
        if not build.finished:
            raise exceptions.Conflict('It is not done.')
        if build_id in self.service.channels.held():
            if not when_unused:
                raise exceptions.Conflict('A channel has it.')
            self._set(build_id, delete_when_unused=True)
            return
        used = any(
            other.image_id == build.image_id and other.status == 'active'
            for other in self.service.made.values()
            if other.id != build_id
        )
        image = self.service.images.get(build.image_id)
        if image is not None and image.protected and not used:
            raise exceptions.Conflict('It has a protected image.')
        self._set(build_id, status='deleting')
        if not used:
            self.service.images.pop(build.image_id, None)

    def cancel(self, build_id):
        self.service.note('cancel', build_id)
        if self.service.pipelines.cancelled(build_id):
            return
        if self._known(build_id).finished:
            raise exceptions.Conflict('It is done.')
        self._set(build_id, status='cancelled')

    def update(self, build_id, **changes):
        self.service.note('update', build_id, changes)
        build = self._known(build_id)
        image = self.service.images[build.image_id]
        for name, value in changes.items():
            setattr(image, name, value)
        return self._set(build_id, name=changes.get('name', build.name))

    def steps(self, build_id):
        self.service.note('steps', build_id)
        return tuple(self.service.step_list)

    def log(self, build_id, offset=0):
        self.service.note('log', build_id, offset)
        text = self.service.log_text[offset : offset + 1000]
        return client.LogChunk(
            text=text, offset=offset, next_offset=offset + len(text)
        )

    def plan(self, **description):
        self.service.note('plan', description)
        return client.Plan.from_dict(
            {
                'content_key': content_key(description),
                'steps': [{'path': 'packages'}],
                'reuse': {'image_id': None, 'build_id': None},
            }
        )


class Channels:
    """In place of ``client.channels``.

    :ivar current: (name, channel) -> the builds, the newest first.
    """

    def __init__(self, service):
        self.service = service
        self.current = {}

    def available(self):
        self.service.note('available')
        return ('dev', 'test', 'prod')

    def held(self):
        return {id for ids in self.current.values() for id in ids[:2]}

    def promote(self, build_id, channel, **values):
        self.service.note('promote', build_id, channel, values)
        name = self.service.builds._known(build_id).name
        builds = self.current.setdefault((name, channel), [])
        if builds[:1] != [build_id]:
            builds.insert(0, build_id)
        return client.Channel.from_dict({'id': 'channel-1'})


class Pipelines:
    """In place of ``client.pipelines``; a run ends after ``looks`` looks.

    :ivar failing: why runs fail; '' when they succeed.
    :ivar holding: runs that are asked for do not begin.
    """

    def __init__(self, service):
        self.service = service
        self.made = {}
        self.failing = ''
        self.holding = False
        self._left = 0

    def create(self, name, image, **values):
        service = self.service
        if any(found.name == name for found in self.made.values()):
            service.note('create', name, image, values)
            raise exceptions.Conflict('There is one of that name.')
        id = f'pipeline-{service.number()}'
        self.made[id] = client.Pipeline.from_dict(
            {'id': id, 'name': name, 'image': image, 'status': 'active'}
            | values
        )
        if values.get('max_age'):
            self._begin(id)
        # What was lost is the answer.
        service.note('create', name, image, values)
        return self.made[id]

    def get(self, id):
        self.service.note('get', id)
        found = self._known(id)
        if found.run_requested and not self.holding:
            build = f'build-{self.service.number()}'
            found = self._set(
                id,
                run_requested=False,
                running_build_id=build,
                last_build_id=build,
                last_run_at='2026-11-26T20:00:00.000Z',
            )
        if not found.running_build_id:
            return found
        if self._left > 0:
            self._left -= 1
            return found
        return self.end_run(id)

    def end_run(self, id):
        """Let it have one more image, or failure."""
        build = self._known(id).running_build_id or (
            f'build-{self.service.number()}'
        )
        values = {'running_build_id': '', 'last_build_id': build}
        if self.failing:
            failures = self._known(id).failures + 1
            values |= {'failures': failures, 'status_reason': self.failing}
        else:
            values |= {
                'current_build_id': build,
                'current_image_id': f'image-{build}',
                'failures': 0,
            }
        return self._set(id, **values)

    def find(self, name):
        self.service.note('find', name)
        for found in self.made.values():
            if found.name == name:
                return found
        raise exceptions.NotFound('There is none.')

    def update(self, id, **changes):
        self.service.note('update', id, changes)
        return self._set(id, **changes, failures=0)

    def run(self, id):
        self.service.note('run', id)
        if self._known(id).running_build_id:
            # It goes on, whoever looks.
            self.get(id)
            raise exceptions.Conflict('It runs.')
        return self._begin(id)

    def delete(self, id, *, delete_images=False):
        self.service.note('delete', id, delete_images)
        self._known(id)
        del self.made[id]

    def cancelled(self, build_id):
        """Cancel a build; whether it is one of a pipeline."""
        for found in list(self.made.values()):
            if found.running_build_id == build_id:
                self._set(found.id, running_build_id='')
                return True
        return False

    def _begin(self, id):
        self._left = self.service.looks
        return self._set(id, run_requested=True, failures=0)

    def _set(self, id, **values):
        raw = {**self._known(id).raw, **values}
        self.made[id] = client.Pipeline.from_dict(raw)
        return self.made[id]

    def _known(self, id):
        if id not in self.made:
            raise exceptions.NotFound(f'There is no pipeline {id}.')
        return self.made[id]


class Validations:
    """In place of ``client.validations``; one ends after ``looks`` looks.

    :ivar ending: how they end.
    """

    def __init__(self, service):
        self.service = service
        self.made = {}
        self.ending = {'status': 'passed'}
        self._left = 0

    def create(self, **values):
        id = f'validation-{self.service.number()}'
        self._left = self.service.looks
        self.made[id] = {'id': id, 'status': 'running', 'request': values}
        # What was lost is the answer.
        self.service.note('create', values)
        return client.Validation.from_dict(self.made[id])

    def get(self, id):
        self.service.note('get', id)
        found = self._known(id)
        if found['status'] == 'running':
            if self._left <= 0:
                found |= self.ending
            self._left -= 1
        return client.Validation.from_dict(found)

    def cancel(self, id):
        self.service.note('cancel', id)
        found = self._known(id)
        if found['status'] not in ('queued', 'running'):
            raise exceptions.Conflict('It has ended.')
        found['status'] = 'cancelled'

    def delete(self, id):
        self.service.note('delete', id)
        if self._known(id)['status'] == 'running':
            raise exceptions.Conflict('It runs.')
        del self.made[id]

    def _known(self, id):
        if id not in self.made:
            raise exceptions.NotFound(f'There is no validation {id}.')
        return self.made[id]


class Glance:
    """``client('glance').images``."""

    def __init__(self, service):
        self.service = service

    def get(self, image_id):
        if image_id not in self.service.images:
            raise glance.exc.HTTPNotFound()
        return self.service.images[image_id]


def _listing(service, name, records):
    def get_all():
        service.note(name)
        return iter(records)

    return types.SimpleNamespace(list=get_all)


def content_key(description):
    content = {
        name: value
        for name, value in description.items()
        if name not in NOT_CONTENT
    }
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def bad_request(*problems):
    return exceptions.BadRequest(
        'The request is not valid.',
        errors=[exception.Problem(*problem) for problem in problems],
    )


def step(path, **values):
    return client.Step(
        **dataclasses.asdict(client.Step(path=path, result='failed')) | values
    )
