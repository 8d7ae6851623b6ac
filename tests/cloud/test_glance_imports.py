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
"""Imports by a real Glance: each method, and what it says when it fails."""

import functools
import hashlib
import http.server
import threading
import time
import uuid

import pytest

from imagebuild import exception
from imagebuild.clients import glance as glance_client
from imagebuild.common import checksums
from imagebuild.disks import create
from imagebuild.stores import base
from imagebuild.stores import registry
from tools.cloud import clouds


@pytest.fixture(scope='module')
def owner(glance_cloud: clouds.Cloud) -> str:
    command = ('token', 'issue', '-f', 'value', '-c', 'project_id')
    return glance_cloud.openstack(*command)


@pytest.fixture
def stamp():
    return base.Stamp(str(uuid.uuid4()), str(uuid.uuid4()), 'ab' * 32)


@pytest.fixture
def image(owner):
    return base.ImageProperties(
        name='imported', owner=owner, properties={'os_distro': 'debian'}
    )


@pytest.fixture
def file(tmp_path):
    path = tmp_path / 'disk.qcow2'
    create.empty_image(path, 'qcow2', 1024 * 1024)
    return path


@pytest.fixture
def open_store(glance_cloud, stamp):
    config = {'keystone': glance_cloud.site.credentials('imagebuild')}

    def open_store(*methods, **options):
        section = {
            'retry_timeout': 60,
            'import_timeout': 120,
            'import_methods': list(methods),
            **options,
        }
        return registry.load('glance', {**config, 'glance': section})

    yield open_store
    open_store('upload').discard(stamp)


@pytest.fixture
def web(tmp_path):
    """A web server with the directory of the file; some paths are odd."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=tmp_path)

        def do_GET(self):
            if self.path.startswith('/slow/'):
                self.send_response(200)
                self.send_header('Content-Length', '1000000')
                self.end_headers()
                self.wfile.write(b'x')
                server.stop.wait(60)
                return
            super().do_GET()

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    server.stop = threading.Event()
    serve = functools.partial(server.serve_forever, 0.1)
    threading.Thread(target=serve, daemon=True).start()
    server.url = f'http://127.0.0.1:{server.server_port}'
    yield server
    server.stop.set()
    server.shutdown()
    server.server_close()


def look(store, stored):
    return store._glance.get(stored.image_id)


def assert_same(store, stored, file):
    content = file.read_bytes()
    with store._glance.data(stored.image_id) as source:
        assert b''.join(source) == content
    assert stored.os_hash_value == hashlib.sha512(content).hexdigest()


def nothing_left(store, stamp):
    return not [one for one in store.list_stamped() if one.stamp == stamp]


@pytest.mark.parametrize('method', ['glance-direct', 'web-download'])
def test_methods(open_store, file, image, stamp, web, method):
    store = open_store(method)
    url = f'{web.url}/{file.name}' if method == 'web-download' else ''
    stored = store.upload(
        file, image, stamp, elsewhere=base.Elsewhere(url=url)
    )
    assert_same(store, stored, file)
    task = store._glance.imports.task(stored.image_id, '')
    assert (task.method, task.status) == (method, 'success')
    assert (
        store.upload(file, image, stamp, elsewhere=base.Elsewhere(url=url))
        == stored
    )
    assert store.discard(stamp) == 1


def test_from_another_region(open_store, file, image, stamp):
    """Glance is its own other region; it fetches with our token."""
    store = open_store('upload')
    other = base.Stamp('b', str(uuid.uuid4()))
    theirs = base.ImageProperties(
        'theirs', image.owner, properties={'os_distro': 'x', 'hw_rng': 'y'}
    )
    try:
        source = store.upload(file, theirs, other)
        value = checksums.Checksum(source.os_hash_algo, source.os_hash_value)
        copy = base.ImageCopy(
            source.image_id,
            region='RegionOne',
            disk_format='qcow2',
            checksum=value,
        )
        store = open_store('glance-download')
        stored = store.upload(
            None, image, stamp, elsewhere=base.Elsewhere([copy])
        )
        assert_same(store, stored, file)
        seen = look(store, stored)
        assert (seen.name, seen.owner) == ('imported', image.owner)
        assert seen.properties['os_distro'] == 'debian'
        assert store.find(stamp) == stored
        assert store.find(other) == source
    finally:
        assert store.discard(other) == 1


def test_copies_to_another_store_of_glance(open_store, file, image, stamp):
    first = open_store('upload', import_stores=['second'])
    stored = first.upload(file, image, stamp)
    assert look(first, stored).in_stores == ('second',)
    both = open_store('upload', import_stores=['second', 'file'])
    assert both.upload(file, image, stamp) == stored
    assert set(look(both, stored).in_stores) == {'second', 'file'}
    assert both.discard(stamp) == 1
    both = open_store('glance-direct', import_stores=['file', 'second'])
    stored = both.upload(file, image, stamp)
    assert set(look(both, stored).in_stores) == {'second', 'file'}
    with pytest.raises(exception.EnvironmentFault, match='third'):
        open_store('upload', import_stores=['third']).upload(
            file, image, base.Stamp('b', str(uuid.uuid4()))
        )


def test_urls_that_do_not_work(open_store, file, image, stamp, web):
    for url, reason in (
        (f'{web.url}/not-there', 'task .*-'),
        ('http://127.0.0.1:1/x', 'task .*-'),
        ('http://203.0.113.1/x', 'does not pass filtering'),
    ):
        store = open_store('web-download')
        with pytest.raises(
            exception.ServiceUnavailable, match=reason
        ) as caught:
            store.upload(file, image, stamp, elsewhere=base.Elsewhere(url=url))
        print(url, caught.value)
        assert nothing_left(store, stamp)
    # The next method follows.
    notices = []
    store = open_store('web-download', 'glance-direct')
    stored = store.upload(
        file,
        image,
        stamp,
        elsewhere=base.Elsewhere(url=f'{web.url}/no'),
        on_notice=notices.append,
    )
    assert 'web-download failed: ' in notices[0]
    assert_same(store, stored, file)


def test_what_is_fetched_is_another_file(
    open_store, file, image, stamp, web, tmp_path
):
    other = tmp_path / 'other'
    create.empty_image(other, 'qcow2', 1024 * 1024)
    content = bytearray(other.read_bytes())
    # The size is the same, and qcow2 does not look there.
    content[-1] ^= 1
    other.write_bytes(content)
    store = open_store('web-download')
    with pytest.raises(exception.ChecksumMismatch, match='is expected'):
        store.upload(
            file,
            image,
            stamp,
            elsewhere=base.Elsewhere(url=f'{web.url}/other'),
        )
    assert nothing_left(store, stamp)


def test_glance_dies_in_an_import(
    glance_cloud, open_store, file, image, stamp, web
):
    """Its task is "processing" for ever."""
    service = glance_cloud.service('glance')

    def restart():
        time.sleep(4)
        service.kill()
        service.start()

    thread = threading.Thread(target=restart)
    thread.start()
    store = open_store('web-download', import_stall_timeout=5)
    try:
        with pytest.raises(
            exception.ServiceUnavailable, match='5 s without progress'
        ) as caught:
            store.upload(
                file,
                image,
                stamp,
                elsewhere=base.Elsewhere(url=f'{web.url}/slow/x'),
            )
    finally:
        thread.join()
    print(caught.value)
    assert nothing_left(store, stamp)
    stored = open_store('glance-direct').upload(file, image, stamp)
    assert_same(store, stored, file)


def test_what_was_staged_in_part_is_removed(open_store, file, image, stamp):
    store = open_store('glance-direct')
    record = store._records.make(
        {
            'name': 'x',
            'owner': image.owner,
            'disk_format': 'qcow2',
            'container_format': 'bare',
            **stamp.properties(),
        }
    )
    client: glance_client.Glance = store._glance
    with file.open('rb') as content:
        size = file.stat().st_size

        class Part:
            def __len__(self):
                return size

            read = staticmethod(content.read)

        client.stage(record.id, Part())
    assert client.get(record.id).status == 'uploading'
    stored = store.upload(file, image, stamp)
    assert stored.image_id != record.id
    assert store.discard(stamp) == 1
