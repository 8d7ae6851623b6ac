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
"""The service on a real cloud, as the people of a project meet it."""

import concurrent.futures
import hashlib
import json
import pathlib
import time
import uuid
from typing import Any

import pytest

from imagebuild.client import exceptions
from imagebuild.common import phases
from tests.cloud import people
from tests.integration import sandboxes
from tools.cloud import clouds

MANIFEST = """\
arguments:
  greeting: {description: what to say, required: true}
  password: {description: not to be told, required: true, hidden: true}
validators:
- script: {greet.sh: {env_vars: [greeting]}}
- script:
    keeps the password:
      inline: 'echo "the password is $password" > /etc/the-secret'
      env_vars: [password]
"""
GREET = '#!/bin/sh\necho "greeting: $greeting" | tee /etc/greeting\n'
SECRET = 'correct-horse-battery'


@pytest.fixture(scope='module')
def cloud(
    glance_cloud: clouds.Cloud, minimal_image: pathlib.Path
) -> clouds.Cloud:
    """The cloud, with a base image and operating systems to build."""
    people.offer_base_image(glance_cloud, minimal_image)
    return people.offer_systems(glance_cloud)


def test_the_whole_way(cloud: clouds.Cloud, tmp_path: pathlib.Path) -> None:
    (tmp_path / 'manifest.yaml').write_text(MANIFEST)
    (tmp_path / 'greet.sh').write_text(GREET)
    (tmp_path / 'motd').write_text('hello from a file\n')
    (tmp_path / 'arguments.yaml').write_text(
        f'greeting: good day\npassword: {SECRET}\n'
    )
    command = (
        *('image', 'build', 'create', 'web', '--os', 'tiny'),
        *('--package', 'tree', '--wait', '-f', 'json'),
        *('--file', f'/etc/motd={tmp_path}/motd'),
        *('--manifest', f'{tmp_path}/manifest.yaml'),
        *('--arguments-file', f'{tmp_path}/arguments.yaml'),
        *('--tag', 'web', '--property', 'os_distro=debian'),
    )
    first = people.openstack(cloud, *command)
    assert first.returncode == 0, first.stderr
    build = json.loads(first.stdout)
    assert build['status'] == 'active'
    _check_image(cloud, build, tmp_path)
    # Each phase took its time, and was told while it ran.
    spent = {
        each['name']: each['seconds'] for each in build['progress']['phases']
    }
    others = (phases.BOOT_TEST, phases.CHECKSUM)
    assert list(spent) == [
        phase for phase in phases.ORDER if phase not in others
    ]
    assert spent['appliance'] > 0 and spent['steps'] > 1
    assert build['progress']['percent'] == 100
    # The disk is opened in less time than passes between two questions.
    told = first.stderr

    ours = people.client(cloud)
    log = ours.builds.log(build['id']).text
    assert 'greeting: good day' in log
    steps = [step.path for step in ours.builds.steps(build['id'])]
    assert 'packages' in steps[0]
    everything = ''.join(
        [
            first.stdout,
            first.stderr,
            log,
            json.dumps(ours.builds.get(build['id']).raw),
            *(
                path.read_text(errors='replace')
                for path in cloud.directory.rglob('*.log')
            ),
        ]
    )
    assert SECRET not in everything

    # The same again: the same image at once, without a build.
    begin = time.monotonic()
    second = people.openstack(cloud, *command)
    assert second.returncode == 0, second.stderr
    assert time.monotonic() - begin < 200
    again = json.loads(second.stdout)
    assert again['image_id'] == build['image_id']
    assert again['id'] != build['id']
    assert ours.builds.get(again['id']).reused_from == build['id']

    # Deleted only with its last user.
    ours.builds.delete(build['id'])
    time.sleep(5)
    image = people.glance(cloud).images.get(build['image_id'])
    assert image['status'] == 'active'
    ours.builds.delete(again['id'])
    end = time.monotonic() + 300
    while _is_in_glance(cloud, build['image_id']):
        assert time.monotonic() < end
        time.sleep(1)
    for _ in range(2):
        if '(steps)' in told:
            break
        # This host was too busy for a question in that phase.
        told = people.openstack(cloud, *command, '--reuse', 'never').stderr
    assert '(steps)' in told
    people.assert_nothing_left(cloud)


def _check_image(
    cloud: clouds.Cloud, build: dict[str, Any], directory: pathlib.Path
) -> None:
    """Owned by the project, stamped, whole, and with the right content."""
    images = people.glance(cloud, 'demo')
    image = images.images.get(build['image_id'])
    demo = people.session(cloud, 'demo')
    assert image['owner'] == demo.get_project_id()
    assert image['status'] == 'active'
    assert image['name'] == 'web'
    assert image['tags'] == ['web']
    assert image['os_distro'] == 'debian'
    assert image['imagebuild_build_id'] == build['id']
    path = directory / 'image.qcow2'
    with path.open('wb') as stream:
        for chunk in images.images.data(build['image_id']):
            stream.write(chunk)
    with path.open('rb') as stream:
        digest = hashlib.file_digest(stream, image['os_hash_algo'])
    assert digest.hexdigest() == image['os_hash_value']
    opened = directory / 'opened'
    opened.mkdir()
    with sandboxes.opened(path, opened) as remote:
        assert remote.read_file('/etc/greeting') == b'greeting: good day\n'
        assert remote.read_file('/etc/motd') == b'hello from a file\n'
        assert SECRET.encode() in remote.read_file('/etc/the-secret')
        assert 'Status: install ok installed' in (
            remote.run(['dpkg', '-s', 'tree']).stdout
        )


def _is_in_glance(cloud: clouds.Cloud, image_id: str) -> bool:
    return any(
        image['id'] == image_id for image in people.glance(cloud).images.list()
    )


def test_two_at_once_are_one_build(cloud: clouds.Cloud) -> None:
    # Of content that no earlier run on a kept cloud has built.
    request = {'os': 'slow', 'packages': [f'twin-{uuid.uuid4()}']}
    clients = [people.client(cloud) for _ in range(2)]
    with concurrent.futures.ThreadPoolExecutor() as pool:
        builds = [
            *pool.map(
                lambda ours: ours.builds.create(name='twin', **request),
                clients,
            )
        ]
    other = people.client(cloud, 'other')
    theirs = other.builds.create(name='not a twin', **request)
    done = [people.wait(clients[0], build.id) for build in builds]
    assert [build.status for build in done] == ['active', 'active']
    assert len({build.image_id for build in done}) == 1
    assert sum(not build.reused_from for build in done) == 1
    assert sum(len(people.stamped(cloud, build.id)) for build in done) == 1
    their_own = people.wait(other, theirs.id)
    assert their_own.status == 'active'
    assert not their_own.reused_from
    assert their_own.image_id != done[0].image_id
    assert len(people.stamped(cloud, theirs.id)) == 1


def test_image_that_somebody_deleted_is_built_again(
    cloud: clouds.Cloud,
) -> None:
    ours = people.client(cloud)
    request = {'name': 'gone', 'os': 'fake-1', 'packages': ['gone']}
    first = people.wait(ours, ours.builds.create(**request).id)
    people.glance(cloud).images.delete(first.image_id)
    second = people.wait(ours, ours.builds.create(**request).id)
    assert second.status == 'active'
    assert not second.reused_from
    assert second.image_id != first.image_id
    never = ours.builds.create(**request, reuse='never')
    assert people.wait(ours, never.id).image_id != second.image_id


def test_protected_until_that_is_taken_back(cloud: clouds.Cloud) -> None:
    ours = people.client(cloud)
    request = {'os': 'fake-1', 'packages': [f'shielded-{uuid.uuid4()}']}
    first = ours.builds.create(name='one', **request)
    image_id = people.wait(ours, first.id).image_id
    images = people.glance(cloud, 'demo').images
    images.update(image_id, protected=True, name='by hand', min_disk=7)
    # No change of anything else takes that back.
    ours.builds.update(first.id, tags=['a'])
    second = ours.builds.create(name='two', tags=['b'], min_disk=3, **request)
    assert people.wait(ours, second.id).image_id == image_id
    seen = images.get(image_id)
    assert (seen.name, seen.protected, seen.min_disk) == ('by hand', True, 7)
    assert sorted(seen.tags) == ['a', 'b']
    ours.builds.delete(second.id)
    for _ in range(2):
        with pytest.raises(exceptions.Conflict, match=f'image {image_id} '):
            ours.builds.delete(first.id)
    assert images.get(image_id).protected is True
    # In the image service, where our row does not see it.
    images.update(image_id, protected=False)
    ours.builds.delete(first.id)
    end = time.monotonic() + 300
    while people.stamped(cloud, first.id):
        assert time.monotonic() < end, 'the image stays'
        time.sleep(1)


def test_projects_are_apart(cloud: clouds.Cloud) -> None:
    ours = people.client(cloud)
    build = ours.builds.create(name='mine', os='endless', packages=['apart'])
    other = people.client(cloud, 'other')
    for call in (
        other.builds.get,
        other.builds.cancel,
        other.builds.delete,
        other.builds.log,
        other.builds.steps,
    ):
        with pytest.raises(exceptions.NotFound):
            call(build.id)
    assert build.id not in [each.id for each in other.builds.list()]
    admin = people.client(cloud, 'admin')
    assert build.id in [
        each.id for each in admin.builds.list(all_projects=True)
    ]
    assert admin.builds.get(build.id).name == 'mine'
    reader = people.client(cloud, 'reader')
    assert reader.builds.get(build.id).name == 'mine'
    for call in (reader.builds.cancel, reader.builds.delete):
        with pytest.raises(exceptions.Forbidden):
            call(build.id)
    with pytest.raises(exceptions.Forbidden):
        reader.builds.create(name='no', os='slow')
    ours.builds.cancel(build.id)
    done = people.wait(ours, build.id)
    assert done.status == 'cancelled'
    assert not people.stamped(cloud, build.id)
    people.assert_nothing_left(cloud)


MISTAKES: list[tuple[dict[str, Any], str, str]] = [
    ({'os': 'templeos'}, 'os', 'templeos'),
    ({'os': 'slow', 'packages': [7]}, 'packages[0]', ''),
    ({'os': 'slow', 'recipe': 'nothing'}, 'recipe', 'nothing'),
    ({'os': 'slow', 'recipe': 'redis', 'recipe_version': '1'}, 'recipe', '1'),
    (
        {
            'os': 'slow',
            'recipe': 'redis',
            'recipe_version': '7',
            'arguments': {'colour': 'red'},
        },
        'arguments.colour',
        'maxmemory',
    ),
    ({'base_image': '11111111-2222-3333-4444-555555555555'}, 'base_image', ''),
    ({'base_image': 'no image has this name'}, 'base_image', ''),
    ({'os': 'slow', 'driver': 'magic'}, 'driver', 'magic'),
    ({'os': 'slow', 'files': [{'path': 'etc/x'}]}, 'files[0]', ''),
    (
        {'os': 'slow', 'manifest': {'validators': [{'pakage': 'x'}]}},
        'manifest.validators[0].pakage',
        'package',
    ),
    ({'os': 'slow', 'colour': 'red'}, 'colour', ''),
    ({'os': 'slow', 'timeout': 10**9}, 'timeout', ''),
    ({'os': 'slow', 'destinations': ['mars']}, 'destinations', 'mars'),
]


@pytest.mark.parametrize(
    'request_body, path, word', MISTAKES, ids=[m[1] for m in MISTAKES]
)
def test_mistakes_are_refused_at_once(
    cloud: clouds.Cloud, request_body: dict[str, Any], path: str, word: str
) -> None:
    ours = people.client(cloud, 'admin')
    with pytest.raises(exceptions.BadRequest) as caught:
        ours.builds.create(name='mistake', **request_body)
    paths = [error.path for error in caught.value.errors]
    assert any(each.startswith(path) for each in paths), caught.value.errors
    text = ' '.join(error.message for error in caught.value.errors)
    assert word in text
    assert 'Traceback' not in str(caught.value)


def test_base_image_of_another_project_is_not_there(
    cloud: clouds.Cloud,
) -> None:
    images = people.glance(cloud, 'other')
    private = images.images.create(
        name='private', disk_format='qcow2', container_format='bare'
    )
    ours = people.client(cloud)
    with pytest.raises(exceptions.BadRequest) as caught:
        ours.builds.create(name='x', base_image=private['id'])
    assert caught.value.errors[0].path == 'base_image'
    images.images.delete(private['id'])


def test_too_large(cloud: clouds.Cloud) -> None:
    with pytest.raises(exceptions.TooLarge):
        people.client(cloud).builds.create(
            name='large',
            os='slow',
            files=[{'path': '/x', 'content': 'x' * 2 * 1024**2}],
        )


def test_failing_script_is_the_users(cloud: clouds.Cloud) -> None:
    ours = people.client(cloud)
    build = ours.builds.create(
        name='broken',
        os='tiny',
        manifest={
            'validators': [
                {'script': {'says why': {'inline': 'echo because; exit 7'}}}
            ]
        },
    )
    done = people.wait(ours, build.id)
    assert (done.status, done.fault) == ('error', 'user')
    assert 'manifest.validators[0].script' in done.status_reason
    assert '7' in done.status_reason
    assert 'because' in ours.builds.steps(build.id)[-1].output
    # It is not run again. The host may have failed before it ran at all, and
    # that is retried.
    lines = ours.builds.log(build.id).text.splitlines()
    assert sum(line.endswith('because') for line in lines) == 1, lines
    assert not people.stamped(cloud, build.id)
    people.assert_nothing_left(cloud)


def test_an_image_that_a_cloud_has_made(cloud: clouds.Cloud) -> None:
    """It is in Glance already, with what Nova says of a snapshot."""
    ours = people.client(cloud, 'admin')
    options = {'artifact': 'image'}
    fake = {'os': 'fake-1', 'driver': 'fake', 'driver_options': options}
    with pytest.raises(exceptions.BadRequest, match='chooses its format'):
        ours.builds.create(name='no', **fake, disk_format='raw')
    made = ours.builds.create(
        name='web', **fake, properties={'os_distro': 'debian'}
    )
    options['fail'] = 'It is late.'
    failed = ours.builds.create(name='no', **fake)
    assert people.wait(ours, failed.id).status == 'error'
    done = people.wait(ours, made.id)
    assert done.status == 'active', done.status_reason
    [image] = people.stamped(cloud, made.id)
    assert image['id'] == done.image_id
    owner = people.session(cloud, 'admin').get_project_id()
    assert (image['status'], image['owner']) == ('active', owner)
    assert (image['name'], image['os_distro']) == ('web', 'debian')
    assert image['imagebuild_image_id'] == image['id']
    assert image['hw_disk_bus'] == 'virtio'
    assert not {'imagebuild_attempt', 'image_type', 'instance_uuid'} & {*image}
    # Each had made one.
    end = time.monotonic() + 300
    while left := [
        each.get('imagebuild_attempt')
        for each in people.glance(cloud).images.list()
        if each.get('imagebuild_attempt')
    ]:
        assert time.monotonic() < end, left
        time.sleep(1)
    ours.builds.delete(made.id)
    end = time.monotonic() + 300
    while _is_in_glance(cloud, done.image_id):
        assert time.monotonic() < end
        time.sleep(1)
    people.assert_nothing_left(cloud)


def test_fault_of_the_environment_is_the_services(
    cloud: clouds.Cloud,
) -> None:
    ours = people.client(cloud, 'admin')
    build = ours.builds.create(
        name='unlucky',
        os='fake-1',
        driver='fake',
        driver_options={'fail': 'The disk burnt.', 'fault': 'service'},
    )
    done = people.wait(ours, build.id)
    assert (done.status, done.fault) == ('error', 'service')
    assert 'The disk burnt.' in done.status_reason
    assert done.attempt == 3
