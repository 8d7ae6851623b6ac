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
"""A pool of unlike conductors, and clouds of which some do not work.

Three conductors, two real Glances in two regions, and four destinations whose
image service is a fake that fails in ways of its own.
"""

import collections
import concurrent.futures
import contextlib
import hashlib
import http.server
import json
import pathlib
import re
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

import glanceclient
import pytest

from imagebuild.client import exceptions
from tests import fake_glance
from tests.cloud import people
from tools.cloud import clouds
from tools.cloud import identity
from tools.cloud.servers import glance
from tools.cloud.servers import imagebuild

REGION = 'RegionTwo'
PLANS = 200
#: Seconds that an upload to the cloud that hangs may take.
LIMIT = 4
#: Seconds that an answer of it is waited for.
ANSWER = 2
#: name: what its Glance does, and what users are told of it.
BAD = {
    'broken': ('500', r'500'),
    'hanging': (
        'no answer',
        rf'limit of {LIMIT} seconds was up during: uploading to hanging',
    ),
    'breaking': ('it hangs up', r'connection was lost before it answered'),
    'full': ('413', r'storage media is full'),
}


class Conductor(imagebuild.ImageBuildConductor):
    """A conductor with a configuration and a repository of its own."""

    def __init__(self, cloud: clouds.Cloud, number: int, **sections: Any):
        super().__init__(cloud.site, number)
        self._sections = sections

    def own_sections(self) -> dict[str, Any]:
        usual = super().own_sections()
        images = self.state.subdirectory('imagebuild', f'images-{self.number}')
        conductor = {'max_uploads': 8}
        return {
            **self._sections,
            'conductor': {
                **usual['conductor'],
                **conductor,
                **self._sections['conductor'],
            },
            'repository': {'directory': images},
        }

    def files(self) -> dict[str, int]:
        """The digests and sizes of the files in its repository."""
        images = self.state.subdirectory('imagebuild', f'images-{self.number}')
        found = [file.read_bytes() for file in images.rglob('*/image')]
        return {hashlib.sha512(each).hexdigest(): len(each) for each in found}


class Pool:
    """Three conductors and where their images go."""

    def __init__(
        self,
        cloud: clouds.Cloud,
        directory: pathlib.Path,
        stack: contextlib.ExitStack,
    ) -> None:
        self.cloud = cloud
        self.ours = people.client(cloud)
        self._stack = stack
        self.fetched: list[str] = []
        self._second = glance.Glance(cloud.site, REGION)
        usual = [
            cloud.service(f'imagebuild-conductor-{number}')
            for number in range(1, clouds.CONDUCTORS + 1)
        ]
        two = {'region_name': REGION, 'disk_format': 'raw'}
        further = {
            'destination:two': two,
            'destination:fetching': {
                **two,
                'disk_format': 'qcow2',
                'import_methods': 'web-download',
                'web_download_url': f'{self._serve_images(11)}/',
            },
            **self._bad_ones(directory),
            # By its name, so that others may be told it.
            'glance': {'region_name': 'RegionOne'},
        }
        self.first, self.second, self.third = self.conductors = [
            Conductor(cloud, 11, conductor=_offer('east,anywhere'), **further),
            Conductor(
                cloud,
                12,
                conductor={
                    **_offer('west,anywhere,debian-12-minimal'),
                    'drivers': 'fake,bootstrap',
                },
            ),
            Conductor(cloud, 13, conductor=_offer('anywhere'), **further),
        ]
        stack.callback(_all, usual, 'start')
        _all(usual, 'stop')
        stack.callback(self._second.stop)
        self._second.start()
        self._add_region()
        stack.callback(_all, self.conductors, 'stop')
        _all(self.conductors, 'start')

    def _add_region(self) -> None:
        keystone = identity.Identity(self.cloud.site)
        self._stack.callback(keystone.remove_region, REGION)
        keystone.add_endpoint(
            identity.Endpoint('image', 'glance', self._second.url, REGION)
        )

    def _serve_images(self, number: int) -> str:
        """Serve the repository of a conductor, as its operator would."""
        images = self.cloud.site.state.subdirectory(
            'imagebuild', f'images-{number}'
        )
        fetched = self.fetched

        class Handler(http.server.SimpleHTTPRequestHandler):
            def __init__(self, *args: Any) -> None:
                super().__init__(*args, directory=images)

            def log_message(self, *args: Any) -> None:
                fetched.append(self.path)

        server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self._stack.callback(server.server_close)
        self._stack.callback(server.shutdown)
        return f'http://127.0.0.1:{server.server_port}'

    def _bad_ones(self, directory: pathlib.Path) -> dict[str, Any]:
        """Sections of destinations that fail."""
        found, sections = {}, {}
        auth = self.cloud.site.credentials('imagebuild')
        plugin = auth.pop('auth_type')
        file = directory / 'clouds.yaml'
        for name in BAD:
            service = self._stack.enter_context(fake_glance.FakeGlance())
            _make_bad(name, service)
            found[name] = {
                'auth_type': plugin,
                'auth': auth,
                'image_endpoint_override': service.url,
                'api_timeout': ANSWER if name == 'hanging' else 120,
            }
            sections[f'destination:{name}'] = {
                'cloud': name,
                'clouds_file': file,
                'timeout': LIMIT if name == 'hanging' else 300,
                'attempts': 1,
                'retry_timeout': 600 if name == 'hanging' else 1,
            }
        file.touch(mode=0o600)
        file.write_text(json.dumps({'clouds': found}))
        return sections

    def build(self, os: str, *destinations: str) -> Any:
        """Have an image built that nobody has."""
        return self.ours.builds.create(
            name=f'{os}-image',
            os=os,
            packages=[f'p{uuid.uuid4()}'],
            **({'destinations': destinations} if destinations else {}),
        )

    def wait(self, build: Any) -> Any:
        return people.wait(self.ours, build.id)

    def uploads(self, build: Any) -> dict[str, Any]:
        """The uploads of a build, by their destinations."""
        found = self.ours.uploads.list(build_id=build.id)
        return {each.destination: each for each in found}

    def wait_for_upload(self, id: str) -> Any:
        end = time.monotonic() + 300
        while True:
            found = self.ours.uploads.get(id)
            if found.status in ('active', 'error'):
                return found
            assert time.monotonic() < end, found
            time.sleep(0.3)

    def forget_heartbeat(self, dead: Conductor) -> None:
        """Have a conductor that was killed be dead for long."""
        self.cloud.site.mariadb.query(
            "UPDATE conductors SET heartbeat_at = '2000-01-01' "  # noqa: S608
            f"WHERE name = '{dead.name}'",
            database='imagebuild',
        )

    def names(self, table: str, build: Any) -> list[str]:
        """Of the conductors in the rows of a build."""
        column = 'id' if table == 'builds' else 'build_id'
        text = self.cloud.site.mariadb.query(
            f"SELECT conductor FROM {table} WHERE {column} = '{build.id}'",  # noqa: S608
            database='imagebuild',
        )
        return text.split()

    def image(self, upload: Any) -> tuple[Any, str]:
        """What Glance has: the image, and the digest of its bytes."""
        region = REGION if upload.destination else 'RegionOne'
        client = glanceclient.Client(
            '2',
            session=people.session(self.cloud, 'imagebuild'),
            region_name=region,
        )
        digest = hashlib.sha512()
        for chunk in client.images.data(upload.image_id):
            digest.update(chunk)
        return client.images.get(upload.image_id), digest.hexdigest()


def _offer(systems: str) -> dict[str, Any]:
    return {'drivers': 'fake', 'operating_systems': systems}


def _all(servers: list[Any], what: str) -> None:
    with concurrent.futures.ThreadPoolExecutor() as executor:
        list(executor.map(lambda server: getattr(server, what)(), servers))


def _make_bad(name: str, service: fake_glance.FakeGlance) -> None:
    always = 1_000_000
    if name == 'breaking':
        service.fail('PUT', '/file', 0, times=always, after=1000)
    elif name == 'full':
        message = 'Image storage media is full: 0'
        service.fail('PUT', '/file', 413, message, times=always)
    else:
        status = 500 if name == 'broken' else fake_glance.HANG
        for method in ('GET', 'POST', 'PUT', 'DELETE'):
            service.fail(method, '', status, times=always)


@pytest.fixture(scope='module')
def pool(
    glance_cloud: clouds.Cloud, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pool]:
    cloud = people.offer_systems(glance_cloud)
    with contextlib.ExitStack() as stack:
        yield Pool(cloud, tmp_path_factory.mktemp('pool'), stack)


def test_builds_land_where_they_can(pool: Pool) -> None:
    first, second, third = (each.name for each in pool.conductors)
    expected = [
        (pool.build('east', '', 'two'), {first}),
        (pool.build('west'), {second}),
        *((pool.build('anywhere', 'two', ''), {first, third}) for _ in '123'),
    ]
    for build, able in expected:
        done = pool.wait(build)
        assert done.status == 'active', done
        assert not done.status_reason
        # Uploads leave from who has the file.
        [holder] = pool.names('builds', build)
        assert holder in able
        assert set(pool.names('uploads', build)) == {holder}
        assert set(pool.names('artifacts', build)) == {holder}
    with pytest.raises(exceptions.BadRequest, match='does not upload to'):
        pool.build('west', 'two')


def test_what_arrives_is_what_was_built(pool: Pool) -> None:
    """In each cloud in the format that it wants."""
    build = pool.wait(pool.build('east', '', 'two'))
    uploads, files = pool.uploads(build), pool.first.files()
    formats = {name: each.disk_format for name, each in uploads.items()}
    assert formats == {'': 'qcow2', 'two': 'raw'}
    for upload in uploads.values():
        image, digest = pool.image(upload)
        assert image['disk_format'] == upload.disk_format
        assert image['os_hash_algo'] == 'sha512'
        assert image['os_hash_value'] == digest
        assert upload.checksum == {
            'os_hash_algo': 'sha512',
            'os_hash_value': digest,
        }
        assert image['size'] == upload.size
        assert files[digest] == upload.size


def test_one_region_copies_from_another(pool: Pool) -> None:
    build = pool.wait(pool.build('east'))
    made = pool.ours.uploads.create(
        build.id, destination='two', disk_format='qcow2'
    )
    upload = pool.wait_for_upload(made.id)
    assert upload.status == 'active', upload
    image, digest = pool.image(upload)
    here, same = pool.image(pool.uploads(build)[''])
    assert digest == same == image['os_hash_value'] == here['os_hash_value']
    assert image['name'] == here['name'] == 'east-image'
    log = pool.first.log.read_text()
    assert f'Image {image["id"]}: glance-download' in log


def test_a_cloud_fetches_the_file_itself(pool: Pool) -> None:
    build = pool.wait(pool.build('east', '', 'fetching'))
    uploads = pool.uploads(build)
    image, digest = pool.image(uploads['fetching'])
    assert image['os_hash_value'] == digest
    assert digest == uploads[''].checksum['os_hash_value']
    [path] = {*pool.fetched}
    assert re.fullmatch(r'/artifacts/[0-9a-f-]{36}/image', path)


def test_no_false_refusal(pool: Pool) -> None:
    names = ('east', 'west', 'anywhere', 'debian-12-minimal')

    def plan(number: int) -> tuple[str, str]:
        name = names[number % len(names)]
        request = {'destinations': ['', 'two']} if name == 'east' else {}
        try:
            plan = pool.ours.builds.plan(name='x', os=name, **request)
        except exceptions.ClientError as error:
            return name, str(error)
        return name, ', '.join(sorted(plan.conductors))

    with concurrent.futures.ThreadPoolExecutor(4) as executor:
        found = collections.Counter(executor.map(plan, range(PLANS)))
    first, second, _third = (each.name for each in pool.conductors)
    everybody = ', '.join(sorted(each.name for each in pool.conductors))
    assert dict(found) == {
        ('east', first): PLANS / 4,
        ('west', second): PLANS / 4,
        ('anywhere', everybody): PLANS / 4,
        ('debian-12-minimal', second): PLANS / 4,
    }


def test_clouds_that_fail(pool: Pool) -> None:
    """Each says why, in time; the others are not held up."""
    begun = time.monotonic()
    build = pool.build('east', '', 'two', *BAD)
    for name in ('', 'two'):
        while name not in pool.uploads(build):
            time.sleep(0.3)
        found = pool.wait_for_upload(pool.uploads(build)[name].id)
        assert found.status == 'active', found
    good = time.monotonic() - begun
    done = pool.wait(build)
    seconds = time.monotonic() - begun
    print(f'good ones after {good:.1f} s, all after {seconds:.1f} s')
    assert done.status == 'active'
    for name, (_what, reason) in BAD.items():
        upload = pool.uploads(build)[name]
        for _ in range(2):
            print(name, upload.status_reason)
            if name != 'hanging' or re.search(reason, upload.status_reason):
                break
            # On a busy host the time was up before it got there.
            assert f'limit of {LIMIT} seconds' in upload.status_reason
            made = pool.ours.uploads.create(build.id, destination=name)
            upload = pool.wait_for_upload(made.id)
        assert upload.status == 'error'
        assert re.search(reason, upload.status_reason)
        assert f'Destination "{name}": ' in done.status_reason
    # The one that hangs would be tried for ten minutes.
    assert good < seconds < 300


def test_the_holder_is_gone(pool: Pool) -> None:
    """Any other conductor goes on from the image in the first cloud."""
    build = pool.wait(pool.build('east'))
    assert pool.names('builds', build) == [pool.first.name]
    pool.first.kill()
    pool.forget_heartbeat(pool.first)
    begun = time.monotonic()
    made = pool.ours.uploads.create(build.id, destination='two')
    upload = pool.wait_for_upload(made.id)
    print(f'after {time.monotonic() - begun:.1f} s')
    assert upload.status == 'active', upload
    assert pool.third.name in pool.names('uploads', build)
    image, digest = pool.image(upload)
    assert (upload.disk_format, image['disk_format']) == ('raw', 'raw')
    assert digest == image['os_hash_value']
    log = pool.ours.builds.log(build.id).text
    assert 'Downloading the image in this cloud' in log
    # It has the file now, and nobody built it twice.
    assert pool.third.name in pool.names('artifacts', build)
    assert pool.ours.builds.get(build.id).attempt == 1
