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
"""OS::ImageBuild::Image on the real engine: its whole life."""

import contextlib
import pathlib
import re
import time
import uuid
from collections.abc import Callable
from collections.abc import Iterator
from typing import Any

import pytest
from heatclient import client as heatclient
from heatclient import exc

from imagebuild import exception
from imagebuild.client import exceptions as client_exceptions
from imagebuild.stores import base
from imagebuild.stores import registry
from tests.cloud import people
from tests.cloud import stacks as stack_tools
from tools.cloud import clouds


@pytest.fixture(scope='module')
def cloud(
    nova_cloud: clouds.Cloud, minimal_image: pathlib.Path
) -> clouds.Cloud:
    people.offer_base_image(nova_cloud, minimal_image)
    return people.offer_systems(nova_cloud)


@pytest.fixture
def stacks(cloud: clouds.Cloud) -> Iterator[stack_tools.Stacks]:
    yield from stack_tools.using(cloud)


@pytest.fixture(scope='module', autouse=True)
def timing_out(cloud: clouds.Cloud) -> Iterator[tuple[str, dict[str, Any]]]:
    """A stack that has a minute, which is gone when its test comes.

    Its name and the properties of its image, which is never done.
    """
    inside = content('endless')
    for stacks in stack_tools.using(cloud):
        template = stack_tools.template(**inside)
        yield stacks.create(template, wait=False, timeout_mins=1), inside


def content(os: str = 'fake-1', **more: Any) -> dict[str, Any]:
    """Properties of an image that no other test has."""
    return {'os': os, 'packages': [f'p-{uuid.uuid4()}'], **more}


#: The packages of builds by their ids: a list says nothing of what may be
#: large, and no build's ever change.
PACKAGES: dict[str, Any] = {}


def builds_of(cloud: clouds.Cloud, properties: dict[str, Any]) -> list[Any]:
    """The builds that were asked for with this content."""
    builds = people.client(cloud).builds
    found = []
    for build in builds.list():
        # It may go meanwhile.
        with contextlib.suppress(client_exceptions.NotFound):
            if build.id not in PACKAGES:
                request = builds.get(build.id).request
                PACKAGES[build.id] = request.get('packages')
            if PACKAGES[build.id] == properties['packages']:
                found.append(build)
    return found


def test_a_server_boots_from_the_image(
    cloud: clouds.Cloud, stacks: stack_tools.Stacks
) -> None:
    name = stacks.create(stack_tools.with_server(**content()))
    outputs = stacks.outputs(name)
    image = stack_tools.image_of(cloud, outputs['image_id'])
    assert image['status'] == 'active'
    assert image['owner'] == people.session(cloud, 'demo').get_project_id()
    server = stack_tools.server_of(cloud, outputs['server_id'])
    assert server['status'] == 'ACTIVE'
    assert outputs['image_id'] in str(server['image'])
    # The resource is the build, its reference the image.
    resource = stacks.resource(name)
    assert resource.physical_resource_id == outputs['build_id']
    assert resource.attributes['status'] == 'active'
    assert outputs['hash'] == image['os_hash_value']
    snapshot = _snapshot(cloud, server['id'])
    stacks.delete(name)
    assert _gone(cloud, outputs['image_id'])
    assert cloud.openstack('server', 'list', '-f', 'value') == ''
    _check_is_its_users(cloud, image, snapshot)


def _snapshot(cloud: clouds.Cloud, server_id: str) -> str:
    command = ('server', 'image', 'create', server_id, '--name', 'mine')
    return cloud.openstack(*command, '-f', 'value', '-c', 'id')


def _check_is_its_users(
    cloud: clouds.Cloud, image: dict[str, Any], snapshot: str
) -> None:
    """Nova gives it the stamp of the image; it is no image of the build."""
    mine = stack_tools.image_of(cloud, snapshot)
    stamp = base.Stamp.from_properties(image)
    assert stamp == base.Stamp.from_properties(mine)
    config = {'keystone': cloud.site.credentials('imagebuild'), 'glance': {}}
    store = registry.load('glance', config)
    assert store.find(stamp) is None
    assert store.discard(stamp) == 0
    assert stamp not in [one.stamp for one in store.list_stamped()]
    with pytest.raises(exception.Forbidden):
        store.delete(snapshot)
    assert stack_tools.image_of(cloud, snapshot)
    cloud.openstack('image', 'delete', snapshot)


def test_a_server_follows_a_pipeline(
    cloud: clouds.Cloud, stacks: stack_tools.Stacks
) -> None:
    tag = f'current-{uuid.uuid4()}'
    name = uuid.uuid4().hex
    template = stack_tools.with_pipeline(
        name=name, image={'os': 'fake-1', 'tags': ['mine']}, current_tag=tag
    )
    stack = stacks.create(template)
    first = stacks.outputs(stack)
    assert _tagged(cloud, tag) == [first['image_id']]
    image = stack_tools.image_of(cloud, first['image_id'])
    assert sorted(image['tags']) == sorted(['mine', tag])
    # What a user sets in Glance outlives the move of the tag.
    people.glance(cloud).images.update(first['image_id'], protected=True)
    pipelines = people.client(cloud).pipelines
    pipelines.run(pipelines.find(name).id)
    found = _ended(pipelines, name)
    assert found.current_image_id != first['image_id']
    # The tag follows within seconds, and somebody has it all the time.
    end = time.monotonic() + 300
    while (tagged := _tagged(cloud, tag)) != [found.current_image_id]:
        assert found.current_image_id in tagged or (
            first['image_id'] in tagged
        )
        assert time.monotonic() < end
    image = stack_tools.image_of(cloud, first['image_id'])
    assert (image['tags'], image['protected']) == (['mine'], True)
    server = stack_tools.server_of(cloud, first['server_id'])
    assert first['image_id'] in str(server['image'])
    # Nothing of the template has changed; the image has.
    stacks.update(stack, template)
    last = stacks.outputs(stack)
    assert last['image_id'] == found.current_image_id
    server = stack_tools.server_of(cloud, last['server_id'])
    assert last['image_id'] in str(server['image'])
    people.glance(cloud).images.update(first['image_id'], protected=False)
    stacks.delete(stack)
    assert _gone(cloud, first['image_id'])
    assert _gone(cloud, last['image_id'])
    assert list(pipelines.list(name=name)) == []


def test_a_server_from_a_channel(
    cloud: clouds.Cloud, stacks: stack_tools.Stacks
) -> None:
    name, tag = uuid.uuid4().hex, f'amphora-{uuid.uuid4()}'
    promoted = {'name': name, 'channel': 'prod', 'channel_tags': [tag]}
    stack = stacks.create(
        stack_tools.with_server(**promoted, **content(tags=['mine']))
    )
    first = stacks.outputs(stack)['image_id']
    channels = people.client(cloud).channels
    channel = channels.find(name, 'prod')
    assert channel.current_image_id == first
    own = f'imagebuild_channel:prod:{name}'
    _wait_for_tags(cloud, {own: first, tag: first})
    stacks.update(
        stack, stack_tools.with_server(**promoted, **content(tags=['mine']))
    )
    outputs = stacks.outputs(stack)
    second = outputs['image_id']
    channel = channels.get(channel.id)
    assert channel.current_image_id == second != first
    assert channel.previous_image_id == first
    _wait_for_tags(cloud, {own: second, tag: second})
    server = stack_tools.server_of(cloud, outputs['server_id'])
    assert second in str(server['image'])
    # Whoever makes a server of the channel has the new image.
    assert _image_of_new_server(cloud, name) == second
    found = channels.roll_back(channel.current_build_id, 'prod')
    assert found.current_image_id == first
    _wait_for_tags(cloud, {own: first, tag: first})
    # The stack goes, and takes nothing from the channel.
    stacks.delete(stack)
    for image_id in (first, second):
        image = stack_tools.image_of(cloud, image_id)
        assert image is not None and image['status'] == 'active'
    channels.delete(channel.id)
    assert _gone(cloud, first)
    assert _gone(cloud, second)


def _wait_for_tags(cloud: clouds.Cloud, wanted: dict[str, str]) -> None:
    """Wait until each tag is that of this image, and of no other."""
    end = time.monotonic() + 300
    while True:
        found = {tag: _tagged(cloud, tag) for tag in wanted}
        if all(found[tag] == [image_id] for tag, image_id in wanted.items()):
            return
        assert time.monotonic() < end, found
        time.sleep(1)


def _image_of_new_server(cloud: clouds.Cloud, name: str) -> str:
    """Make a server of a channel, as its page says, and delete it."""
    image_id = people.openstack(
        cloud,
        *('image', 'channel', 'show', name, 'prod'),
        *('-c', 'current_image_id', '-f', 'value'),
    ).stdout.strip()
    server_id = cloud.openstack(
        *('server', 'create', f'of-{name}', '--image', image_id),
        *('--flavor', 'm1.tiny', '--nic', 'none', '--wait'),
        *('-f', 'value', '-c', 'id'),
    ).strip()
    server = stack_tools.server_of(cloud, server_id)
    cloud.openstack('server', 'delete', server_id, '--wait')
    assert server['status'] == 'ACTIVE'
    assert image_id in str(server['image'])
    return image_id


def _tagged(cloud: clouds.Cloud, tag: str) -> list[str]:
    found = people.glance(cloud).images.list(filters={'tag': [tag]})
    return [image['id'] for image in found]


def _ended(pipelines: Any, name: str) -> Any:
    end = time.monotonic() + 600
    while (found := pipelines.find(name)).is_running:
        assert time.monotonic() < end
        time.sleep(1)
    return found


def _gone(cloud: clouds.Cloud, image_id: str, seconds: float = 300) -> bool:
    end = time.monotonic() + seconds
    while stack_tools.image_of(cloud, image_id) is not None:
        if time.monotonic() > end:
            return False
        time.sleep(1)
    return True


def test_update_in_place(
    cloud: clouds.Cloud, stacks: stack_tools.Stacks
) -> None:
    inside = content()
    other = people.session(cloud, 'other').get_project_id()
    name = stacks.create(
        stack_tools.with_server(
            **inside, name='before', tags=['a'], properties={'x': '1'}
        )
    )
    before = stacks.outputs(name)
    changes = {
        'name': 'after',
        'tags': ['b'],
        'visibility': 'shared',
        'members': [other],
        'properties': {'y': '2'},
        'min_ram': 32,
    }
    stacks.update(name, stack_tools.with_server(**inside, **changes))
    assert stacks.outputs(name) == before
    image = stack_tools.image_of(cloud, before['image_id'])
    assert (image['name'], image['tags']) == ('after', ['b'])
    assert (image['visibility'], image['min_ram']) == ('shared', 32)
    assert image['y'] == '2'
    assert 'x' not in image
    members = people.glance(cloud).image_members.list(image['id'])
    assert [member['member_id'] for member in members] == [other]
    assert len(builds_of(cloud, inside)) == 1


def test_update_of_the_content(
    cloud: clouds.Cloud, stacks: stack_tools.Stacks
) -> None:
    name = stacks.create(stack_tools.with_server(**content()))
    before = stacks.outputs(name)
    stacks.update(name, stack_tools.with_server(**content()))
    after = stacks.outputs(name)
    assert after['image_id'] != before['image_id']
    server = stack_tools.server_of(cloud, after['server_id'])
    assert after['image_id'] in str(server['image'])
    assert _gone(cloud, before['image_id'])


def test_image_that_another_stack_uses_stays(
    cloud: clouds.Cloud, stacks: stack_tools.Stacks
) -> None:
    shared = content()
    first = stacks.create(stack_tools.template(**shared))
    second = stacks.create(stack_tools.template(**shared))
    image_id = stacks.outputs(first)['image_id']
    assert stacks.outputs(second)['image_id'] == image_id
    stacks.update(first, stack_tools.template(**content()))
    stacks.delete(first)
    time.sleep(5)
    assert stack_tools.image_of(cloud, image_id)['status'] == 'active'
    stacks.delete(second)
    assert _gone(cloud, image_id)


def test_rollback_leaves_all_as_it_was(
    cloud: clouds.Cloud, stacks: stack_tools.Stacks
) -> None:
    name = stacks.create(stack_tools.with_server(**content()))
    before = stacks.outputs(name)
    server = stack_tools.server_of(cloud, before['server_id'])
    broken = content('failing')
    stacks.update(
        name,
        stack_tools.with_server(**broken),
        'ROLLBACK_COMPLETE',
        disable_rollback=False,
    )
    assert stacks.outputs(name) == before
    assert stack_tools.image_of(cloud, before['image_id'])
    now = stack_tools.server_of(cloud, before['server_id'])
    assert now['updated'] == server['updated']
    assert not builds_of(cloud, broken)


def test_rollback_when_something_later_fails(
    cloud: clouds.Cloud, stacks: stack_tools.Stacks
) -> None:
    """The new image is good, what comes after its server fails."""
    shared = content()
    other = stacks.create(stack_tools.template(**shared))
    image_id = stacks.outputs(other)['image_id']
    failing = stack_tools.with_server(**shared)
    failing['resources']['after'] = {
        'type': 'OS::Heat::TestResource',
        'depends_on': 'server',
        'properties': {'fail': True},
    }
    for chances in (1, 0):
        before = content()
        name = stacks.create(stack_tools.with_server(**before))
        outputs = stacks.outputs(name)
        try:
            with stack_tools.noticing_dropped_checks(stacks, name):
                stacks.update(
                    *(name, failing, 'ROLLBACK_COMPLETE', 300),
                    disable_rollback=False,
                )
            break
        except stack_tools.DroppedCheck:
            if not chances:
                raise
            stacks.delete(name)
    # Heat had given up the old image, which the server did not use any more.
    now = stacks.outputs(name)
    assert now['server_id'] == outputs['server_id']
    server = stack_tools.server_of(cloud, now['server_id'])
    assert now['image_id'] in str(server['image'])
    # There and back.
    assert stack_tools.actions(cloud, server['id']).count('rebuild') == 2
    [build] = builds_of(cloud, before)
    assert (build.status, build.image_id) == ('active', now['image_id'])
    # Nothing is taken from the other stack.
    assert stack_tools.image_of(cloud, image_id)['status'] == 'active'


def test_broken_recipe_is_one_build(
    cloud: clouds.Cloud, stacks: stack_tools.Stacks
) -> None:
    inside = content('failing')
    name = stacks.create(stack_tools.template(**inside), wait=False)
    stacks.expect(name, 'CREATE_FAILED')
    builds = builds_of(cloud, inside)
    assert [build.status for build in builds] == ['error']
    assert builds[0].attempt == 1
    failures = stacks.failures(name)
    assert 'It cannot be done.' in failures


def test_failing_step_is_shown(
    cloud: clouds.Cloud, stacks: stack_tools.Stacks
) -> None:
    """The step, and the end of what it printed; a real guest.

    The command shows ten lines, which is all that its user knows.
    """
    script = 'seq -f "looking at %g" 60; apt-get install -y no-such-package'
    manifest = {'validators': [{'script': {'sets up': {'inline': script}}}]}
    inside = content('tiny', manifest=manifest)
    del inside['packages']
    name = stacks.create(stack_tools.template(**inside), wait=False)
    stacks.expect(name, 'CREATE_FAILED')
    failures = stacks.failures(name)
    _, _, shown = failures.partition('status_reason: |')
    sentence = next(line for line in shown.splitlines() if 'image "' in line)
    assert 'could not be built' in sentence
    assert 'manifest.validators[0].script' in sentence
    assert 'exit code 100' in shown
    assert 'looking at 60' in shown
    assert 'E: Unable to locate package no-such-package' in shown
    assert len(shown.strip().splitlines()) <= 10
    assert 'Traceback' not in failures


def test_fault_of_the_service_is_told_so(
    cloud: clouds.Cloud, stacks: stack_tools.Stacks
) -> None:
    """It is retried, as one build, and the user is not to blame."""
    inside = content('unlucky')
    name = stacks.create(stack_tools.template(**inside), wait=False)
    stacks.expect(name, 'CREATE_FAILED')
    [build] = builds_of(cloud, inside)
    assert (build.status, build.fault) == ('error', 'service')
    assert build.attempt == 3
    failures = stacks.failures(name)
    assert 'The image build service failed, not the template' in failures
    assert 'The disk is broken.' in failures


def test_no_room_in_the_quota(
    cloud: clouds.Cloud, stacks: stack_tools.Stacks
) -> None:
    project = people.session(cloud, 'demo').get_project_id() or ''
    server = cloud.service('imagebuild-api')
    server.manage('quota', 'set', project, 'queued', '0')
    try:
        inside = content()
        name = stacks.create(stack_tools.template(**inside), wait=False)
        stacks.expect(name, 'CREATE_FAILED')
        failures = stacks.failures(name)
        assert 'quota' in failures.lower()
        assert not builds_of(cloud, inside)
    finally:
        server.manage('quota', 'unset', project, 'queued')


def test_mistake_is_told_before_anything_is_made(
    cloud: clouds.Cloud, stacks: stack_tools.Stacks
) -> None:
    with pytest.raises(exc.HTTPBadRequest) as caught:
        stacks.heat.stacks.create(
            stack_name='mistaken',
            template=stack_tools.template(
                os='fake-1', recipe='redis', arguments={'colour': 'red'}
            ),
        )
    assert 'arguments.colour: unknown argument' in str(caught.value)
    assert 'maxmemory' in str(caught.value)


def test_delete_while_it_builds(
    cloud: clouds.Cloud, stacks: stack_tools.Stacks
) -> None:
    inside = content('endless')
    name = stacks.create(stack_tools.template(**inside), wait=False)
    build = _is_built(cloud, inside)
    stacks.delete(name)
    assert not builds_of(cloud, inside)
    assert not people.stamped(cloud, build.id)
    people.assert_nothing_left(cloud)


def _until(condition: Any, seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.5)


def _is_built(cloud: clouds.Cloud, properties: dict[str, Any]) -> Any:
    """Wait until the only build with this content runs."""
    _until(
        lambda: (
            [b.status for b in builds_of(cloud, properties)] == ['building']
        )
    )
    return builds_of(cloud, properties)[0]


def _seen_at_work(
    cloud: clouds.Cloud, os: str, create: Callable[[dict[str, Any]], str]
) -> tuple[str, dict[str, Any], Any]:
    """A stack whose build ends by itself, and runs now.

    :param create: makes the stack, given properties; returns its name.
    :returns: its name, the properties and the build.
    """
    for _ in range(3):
        inside = content(os)
        name = create(inside)
        _until(
            lambda inside=inside: [
                build
                for build in builds_of(cloud, inside)
                if build.status == 'building' or people.ended(build)
            ]
        )
        [build] = builds_of(cloud, inside)
        if not people.ended(build):
            return name, inside, build
        # It was over before this host came to look.
    raise AssertionError(build)


def _given_up(cloud: clouds.Cloud, build: Any, seconds: float = 300) -> None:
    """Wait until a build that would go on for ever is cancelled or gone."""

    def over() -> bool:
        found = people.client(cloud).builds.list()
        return all(b.status != 'building' for b in found if b.id == build.id)

    _until(over, seconds)


def test_newer_templates_cancel_what_they_make_obsolete(
    cloud: clouds.Cloud, stacks: stack_tools.Stacks
) -> None:
    """While it is created, and while its replacement is."""
    first, second, last = content('endless'), content('endless'), content()
    name = stacks.create(stack_tools.template(**first), wait=False)
    build = _is_built(cloud, first)
    stacks.heat.stacks.update(
        name, template=stack_tools.template(**second), timeout_mins=20
    )
    _given_up(cloud, build)
    build = _is_built(cloud, second)
    stacks.update(name, stack_tools.template(**last))
    _given_up(cloud, build)
    image_id = stacks.outputs(name)['image_id']
    assert stack_tools.image_of(cloud, image_id)['status'] == 'active'
    assert not people.stamped(cloud, build.id)


def test_newer_template_replaces_a_replacement(
    cloud: clouds.Cloud, stacks: stack_tools.Stacks
) -> None:
    before, between, last = content(), content('endless'), content()
    name = stacks.create(stack_tools.template(**before))
    stacks.heat.stacks.update(
        name, template=stack_tools.template(**between), timeout_mins=20
    )
    build = _is_built(cloud, between)
    stacks.update(name, stack_tools.template(**last))
    _given_up(cloud, build)
    assert [b.status for b in builds_of(cloud, last)] == ['active']
    _until(lambda: not builds_of(cloud, before))


def test_newer_templates_cancel_the_runs_of_a_pipeline(
    cloud: clouds.Cloud, stacks: stack_tools.Stacks
) -> None:
    """While it is created, and while it is updated; and a rollback."""
    first, second, last = content('endless'), content('endless'), content()
    name = stacks.create(stack_tools.pipeline(image=first), wait=False)
    build = _is_built(cloud, first)
    stacks.update(name, stack_tools.pipeline(image=last))
    _given_up(cloud, build)
    image_id = stacks.outputs(name)['image_id']
    assert [b.image_id for b in builds_of(cloud, last)] == [image_id]
    stacks.heat.stacks.update(
        name, template=stack_tools.pipeline(image=second), timeout_mins=20
    )
    build = _is_built(cloud, second)
    stacks.heat.actions.cancel_update(name)
    _given_up(cloud, build)
    stacks.expect(name, 'ROLLBACK_COMPLETE')
    # Its image was there still, and the service has its description.
    assert stacks.outputs(name)['image_id'] == image_id
    found = people.client(cloud).pipelines.get(
        stacks.resource(name).physical_resource_id
    )
    assert found.image['packages'] == last['packages']
    assert not found.is_running


def test_newer_template_that_wants_the_same_image(
    cloud: clouds.Cloud, stacks: stack_tools.Stacks
) -> None:
    name, inside, build = _seen_at_work(
        cloud,
        'short',
        lambda inside: stacks.create(
            stack_tools.template(**inside), wait=False
        ),
    )
    stacks.update(name, stack_tools.template(**inside, tags=['new']))
    assert [b.id for b in builds_of(cloud, inside)] == [build.id]
    image_id = stacks.outputs(name)['image_id']
    assert stack_tools.image_of(cloud, image_id)['tags'] == ['new']


def _updating(
    cloud: clouds.Cloud, stacks: stack_tools.Stacks, before: dict[str, Any]
) -> tuple[str, Any]:
    """A stack whose update builds for ever; its name and the build."""
    name = stacks.create(stack_tools.template(**before))
    after = content('endless')
    stacks.heat.stacks.update(
        name, template=stack_tools.template(**after), timeout_mins=20
    )
    return name, _is_built(cloud, after)


def test_stack_cancel(cloud: clouds.Cloud, stacks: stack_tools.Stacks) -> None:
    """It rolls back: the old image is a newer wish."""
    before = content()
    name, build = _updating(cloud, stacks, before)
    stacks.heat.actions.cancel_update(name)
    _given_up(cloud, build)
    stacks.expect(name, 'ROLLBACK_COMPLETE')
    assert [b.status for b in builds_of(cloud, before)] == ['active']


def test_update_after_stack_cancel_without_rollback(
    cloud: clouds.Cloud, stacks: stack_tools.Stacks
) -> None:
    """Heat lets what runs go on, until a template comes."""
    before = content()
    name, build = _updating(cloud, stacks, before)
    stacks.heat.actions.cancel_without_rollback(name)
    stacks.expect(name, 'UPDATE_FAILED')
    stacks.update(name, stack_tools.template(**before))
    _given_up(cloud, build)
    assert [b.status for b in builds_of(cloud, before)] == ['active']


def test_token_ends_during_the_build(
    cloud: clouds.Cloud, stacks: stack_tools.Stacks
) -> None:
    """Heat goes on with a trust; see "Options of heat.conf" in the docs."""
    session = people.session(cloud, 'demo')
    mine = stack_tools.Stacks(cloud)
    mine.heat = heatclient.Client('1', session=session)

    def create(inside: dict[str, Any]) -> str:
        name = mine.create(stack_tools.template(**inside), wait=False)
        stacks.names.append(name)
        return name

    name, _, _ = _seen_at_work(cloud, 'short', create)
    token = session.get_token() or ''
    session.delete(
        f'{cloud.site.url("keystone")}/v3/auth/tokens',
        headers={'X-Subject-Token': token},
        authenticated=True,
    )
    refused = session.get(
        f'{cloud.site.url("imagebuild-api")}/v1/builds',
        headers={'X-Auth-Token': token},
        authenticated=False,
        raise_exc=False,
    )
    assert refused.status_code == 401
    stacks.expect(name, 'CREATE_COMPLETE')


def test_time_out_of_the_stack(
    cloud: clouds.Cloud,
    stacks: stack_tools.Stacks,
    timing_out: tuple[str, dict[str, Any]],
) -> None:
    name, inside = timing_out
    stacks.expect(name, 'CREATE_FAILED', seconds=400)
    _until(lambda: all(map(people.ended, builds_of(cloud, inside))))
    assert [each.status for each in builds_of(cloud, inside)] == ['cancelled']
    people.assert_nothing_left(cloud)


def test_conductor_killed_during_the_build(
    cloud: clouds.Cloud, stacks: stack_tools.Stacks
) -> None:
    for _ in range(3):
        name, inside, build = _seen_at_work(
            cloud,
            'slow',
            lambda inside: stacks.create(
                stack_tools.template(**inside), wait=False
            ),
        )
        cloud.service(build.conductor).kill()
        try:
            stacks.expect(name, 'CREATE_COMPLETE')
        finally:
            cloud.up(host_is_ready=True)
        [build] = builds_of(cloud, inside)
        if build.attempt > 1:
            break
        # On a busy host it may have ended before the conductor did.
    assert build.attempt == 2
    assert len(people.stamped(cloud, build.id)) == 1


def test_image_deleted_behind_its_back(
    cloud: clouds.Cloud, stacks: stack_tools.Stacks
) -> None:
    inside = content()
    name = stacks.create(stack_tools.template(**inside))
    before = stacks.outputs(name)['image_id']
    people.glance(cloud).images.delete(before)
    stacks.heat.actions.check(name)
    stacks.expect(name, 'CHECK_FAILED')
    assert before in stacks.reasons(name) + str(
        stacks.resource(name).to_dict()
    )
    stacks.update(name, stack_tools.template(**inside))
    after = stacks.outputs(name)['image_id']
    assert after != before
    assert stack_tools.image_of(cloud, after)['status'] == 'active'


def test_abandoned_and_adopted(
    cloud: clouds.Cloud, stacks: stack_tools.Stacks, tmp_path: pathlib.Path
) -> None:
    """With reauthentication_auth_method = trusts Heat forgets what to adopt.

    So it creates what was abandoned; see "What an update does to images".
    """
    inside = content()
    made = stack_tools.template(
        **inside, manifest=HIDING, arguments={'token': {'get_param': 'secret'}}
    )
    made['parameters'] = {'secret': {'type': 'string', 'hidden': True}}
    secret = f'geheim-{uuid.uuid4()}'
    name = stacks.create(made, parameters={'secret': secret})
    outputs = stacks.outputs(name)
    assert shown_by(cloud, stacks, name, secret) == {
        'stack show': False,
        'stack resource show': False,
        'stack event list': False,
        'image build show': False,
        'image build log': False,
        'stack event show': True,
    }
    file = tmp_path / 'abandoned.json'
    cloud.openstack('stack', 'abandon', name, '--output-file', str(file))
    assert secret in file.read_text()
    [build] = builds_of(cloud, inside)
    assert build.id == outputs['build_id']
    adopted = f'{name}-again'
    stacks.names.append(adopted)
    cloud.openstack('stack', 'adopt', '--adopt-file', str(file), adopted)
    stacks.expect(adopted, 'CREATE_COMPLETE')
    assert stacks.outputs(adopted)['image_id'] == outputs['image_id']
    # The image is deleted with the last of its builds.
    stacks.delete(adopted)
    assert stack_tools.image_of(cloud, outputs['image_id'])
    people.client(cloud).builds.delete(build.id)
    assert _gone(cloud, outputs['image_id'])


#: A manifest whose argument is a secret.
HIDING = {
    'arguments': {'token': {'required': True, 'hidden': True}},
    'validators': [
        {'script': {'uses it': {'inline': 'true', 'env_vars': ['token']}}}
    ],
}


def shown_by(
    cloud: clouds.Cloud, stacks: stack_tools.Stacks, name: str, secret: str
) -> dict[str, bool]:
    """Which commands show a value."""
    build = stacks.resource(name).physical_resource_id
    ours = people.client(cloud).builds
    [event] = [
        event
        for event in stacks.heat.events.list(name, resource_name='image')
        if event.resource_status == 'CREATE_COMPLETE'
    ]
    full = stacks.heat.events.get(name, 'image', event.id).to_dict()
    texts = {
        'stack show': str(stacks.heat.stacks.get(name).to_dict()),
        'stack resource show': str(stacks.resource(name).to_dict()),
        'stack event list': str(
            [event.to_dict() for event in stacks.heat.events.list(name)]
        ),
        'image build show': repr(ours.get(build)),
        'image build log': repr(ours.log(build)),
        'stack event show': str(full),
    }
    return {command: secret in text for command, text in texts.items()}


def test_two_stacks_at_once_are_one_build(
    cloud: clouds.Cloud, stacks: stack_tools.Stacks
) -> None:
    inside = content('short')
    names = [
        stacks.create(stack_tools.template(**inside), wait=False)
        for _ in range(2)
    ]
    for name in names:
        stacks.expect(name, 'CREATE_COMPLETE')
    ids = {stacks.outputs(name)['image_id'] for name in names}
    assert len(ids) == 1
    builds = builds_of(cloud, inside)
    assert len(builds) == 2
    assert sum(len(people.stamped(cloud, each.id)) for each in builds) == 1


def test_twenty_images_in_a_stack(
    cloud: clouds.Cloud, stacks: stack_tools.Stacks
) -> None:
    made = stack_tools.template(**content())
    made['resources'] = {
        f'image{number}': {
            'type': stack_tools.IMAGE,
            'properties': content(),
        }
        for number in range(20)
    }
    made['outputs'] = {
        name: {'value': {'get_resource': name}} for name in made['resources']
    }
    name = stacks.create(made)
    assert len(set(stacks.outputs(name).values())) == 20


def test_no_traceback_of_ours(cloud: clouds.Cloud) -> None:
    """After all of the above; Heat logs each failure at INFO with one."""
    log = pathlib.Path(cloud.service('heat-engine').log)
    text = log.read_text(errors='replace')
    loud = re.split(r'^(?=\d{4}-\d\d-\d\d \d\d:)', text, flags=re.M)
    ours = [
        entry
        for entry in loud
        if re.search(r' (WARNING|ERROR|CRITICAL) ', entry.split('\n')[0])
        and 'Traceback' in entry
        and ('heat_plugin' in entry or 'imagebuild' in entry)
    ]
    assert not ours, ours[0]
