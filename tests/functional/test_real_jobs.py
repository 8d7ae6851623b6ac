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
"""A conductor with real jobs that start no guest."""

import gzip
import json
import os
import subprocess

import pytest

from imagebuild import job as jobs
from imagebuild.conductor import capability
from imagebuild.conductor import process
from imagebuild.drivers import guestfs
from tests.functional import conductors

SHA = f'sha256:{"0" * 64}'


def missing(directory):
    return {'location': str(directory / 'missing.qcow2'), 'checksum': SHA}


def garbage(directory):
    path = directory / 'garbage.qcow2'
    path.write_bytes(b'QFI\xfb' + os.urandom(70000))
    return {'location': str(path)}


def another(directory):
    path = directory / 'another.raw'
    path.write_bytes(bytes(1024**2))
    return {'location': str(path), 'checksum': SHA, 'disk_format': 'raw'}


def with_a_backing_file(directory):
    path = directory / 'top.qcow2'
    subprocess.run(
        ['qemu-img', 'create', '-q', '-u', '-f', 'qcow2', '-F', 'raw', '-b',
         str(directory / 'secret.raw'), str(path), '1M'],
        check=True,
    )  # fmt: skip
    return {'location': str(path)}


def a_cache_as_a_file(directory):
    (directory / 'base-images').write_text('')
    return {
        'kind': 'url',
        'location': (directory / 'x').as_uri(),
        'checksum': SHA,
    }


BASES = [missing, garbage, another, with_a_backing_file, a_cache_as_a_file]


@pytest.fixture
def conductor(tmp_path):
    conf = conductors.read_conf(
        conductors.write_conf(
            tmp_path,
            'c1',
            drivers='guestfs',
            max_attempts=1,
            max_builds=len(BASES),
        )
    )
    # Nothing of it is reached, so it need not be installed.
    driver = guestfs.GuestfsDriver()
    driver.missing = lambda _isolation: []
    made = conductors.make_conductor(
        conf,
        job_command=jobs.command(),
        capability_provider=capability.CapabilityProvider(
            conf, lambda: {'guestfs': driver}
        ),
    )
    yield made
    made.stop()


def test_reasons_name_no_path_of_the_host(tmp_path, conductor):
    database = conductors.make_database(tmp_path)
    ids = [
        conductors.add_build(
            database,
            driver='guestfs',
            request={'name': 'x', 'os': 'debian-12', 'packages': ['tree']},
            base={
                'driver': 'guestfs',
                'kind': 'path',
                'os': 'debian-12',
                'disk_format': 'qcow2',
                **make(tmp_path),
            },
        )
        for make in BASES
    ]
    conductor.start()
    for build_id in ids:
        build = conductors.wait_for(database, build_id, 'error', seconds=60)
        log, _ = database.read_log(build_id)
        events = repr(database.list_events(build_id))
        assert str(tmp_path) not in build.status_reason + log + events
        assert 'Unexpected' not in build.status_reason
        assert '<' in build.status_reason


def stored_in(directory):
    [path] = directory.glob('*/metadata.json')
    return json.loads(path.read_text())


def test_an_image_goes_to_each_destination(tmp_path):
    database = conductors.make_database(tmp_path)
    path = conductors.write_conf(
        tmp_path, 'c1', drivers='fake', store='file', max_attempts=1
    )
    path.write_text(
        f'{path.read_text()}[destination:archive]\nstore = file\n'
        f'folder = {tmp_path}/archive\n'
    )
    conductor = process.from_conf(conductors.read_conf(path))
    conductor.start()
    try:
        build_id = conductors.add_build(
            database,
            request={
                'name': 'x',
                'driver': 'fake',
                'packages': ['tree', {'zip': {'version': '3.0-1'}}],
                'destinations': ['', 'archive'],
            },
        )
        conductors.wait_for(database, build_id, 'active')
    finally:
        conductor.stop()
    here = stored_in(tmp_path / 'images')
    there = stored_in(tmp_path / 'archive')
    assert here['id'] != there['id']
    assert here['os_hash_value'] == there['os_hash_value']
    uploads = database.list_uploads(build_id=build_id)
    assert {each.destination: each.image_id for each in uploads} == {
        '': here['id'],
        'archive': there['id'],
    }
    # And what is in it is known, of both.
    made = json.loads(gzip.decompress(database.get_sbom(build_id)))
    image, *packages = made['packages']
    assert [(each['name'], each['versionInfo']) for each in packages] == [
        ('tree', '1.0'),
        ('zip', '3.0-1'),
    ]
    [algorithm] = image['checksums']
    assert algorithm['checksumValue'] == here['os_hash_value']
    found = database.package_versions([('deb', 'zip')], project_id=None)
    held = database.images_with([each.id for each in found], limit=5)
    assert {each.image_id for each in held} == {here['id'], there['id']}
    assert 'The image has 2 packages.' in database.read_log(build_id)[0]
