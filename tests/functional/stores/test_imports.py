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
"""Imports by Glance: what it says, what it does not say, and what it does."""

import functools
import hashlib
import http.server
import re
import threading
import time

import pytest
from keystoneauth1 import session

from imagebuild import exception
from imagebuild.clients import glance as glance_client
from imagebuild.clients import image_imports
from imagebuild.clients import images
from imagebuild.common import checksums
from imagebuild.stores import base
from imagebuild.stores import glance as glance_store
from imagebuild.stores import glance_job
from imagebuild.stores import import_watch
from imagebuild.stores import importing
from imagebuild.stores import registry
from tests import fake_glance

STAMP = base.Stamp('build', 'upload', 'key')
IMAGE = base.ImageProperties(name='web', owner='project')
CONTENT = b'disk' * 100_000
SUM = checksums.Checksum('sha512', hashlib.sha512(CONTENT).hexdigest())
IMPORTS = ['glance-direct', 'web-download', 'glance-download', 'copy-image']


@pytest.fixture
def server():
    with fake_glance.FakeGlance() as server:
        server.imports.methods = list(IMPORTS)
        yield server


@pytest.fixture
def far():
    """The Glance of another region, with the image."""
    with fake_glance.FakeGlance() as far:
        yield far


@pytest.fixture
def file(tmp_path):
    path = tmp_path / 'disk'
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def web(tmp_path):
    """A web server that has the directory of the file."""
    handler = functools.partial(
        http.server.SimpleHTTPRequestHandler, directory=tmp_path
    )
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler)
    threading.Thread(
        target=server.serve_forever, args=(0.01,), daemon=True
    ).start()
    yield f'http://127.0.0.1:{server.server_port}'
    server.shutdown()
    server.server_close()


@pytest.fixture
def open_store(server):
    def open_store(*methods, limits=None, **options):
        stores = options.pop('stores', ())
        return glance_store.GlanceStore(
            glance_client.Glance.from_config(server.config),
            retry_timeout=30,
            settings=glance_job.Settings(
                allowed=importing.Allowed(
                    methods or importing.METHODS, stores
                ),
                activation_timeout=60,
                **options,
            ),
            limits=limits or import_watch.Limits(5, 5, 0),
            service_id='this-service',
            sleep=lambda seconds: None,
        )

    return open_store


def only(server):
    [record] = server.images.values()
    return record


def copy_of(far, server, **values):
    """An image of the other region, which is one of this cloud."""
    server.imports.regions = {'Far': far.url}
    record = far.add(CONTENT, **values)
    return base.ImageCopy(
        record['id'], region='Far', disk_format='qcow2', checksum=SUM
    )


# -- each method ------------------------------------------------------------


def test_glance_direct(server, open_store, file):
    store = open_store('glance-direct')
    told = []
    stored = store.upload(
        file, IMAGE, STAMP, on_progress=lambda *seen: told.append(seen)
    )
    assert server.data[stored.image_id] == CONTENT
    assert only(server)['status'] == 'active'
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert [task['status'] for task in server.imports.tasks] == ['success']
    assert store.upload(file, IMAGE, STAMP) == stored == store.find(STAMP)
    assert server.imports.staged == {}


def test_web_download(server, open_store, file, web):
    told = []
    store = open_store('web-download')
    stored = store.upload(
        file,
        IMAGE,
        STAMP,
        elsewhere=base.Elsewhere(url=f'{web}/{file.name}'),
        on_progress=lambda *seen: told.append(seen),
    )
    assert server.data[stored.image_id] == CONTENT
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert not any(method == 'PUT' for method, _ in server.requests)


def test_web_download_of_a_file_that_another_host_has(
    server, open_store, file, web
):
    """Its own host is gone; a shared directory is still served."""
    stored = open_store().upload(
        None,
        IMAGE,
        STAMP,
        checksum=SUM,
        elsewhere=base.Elsewhere(url=f'{web}/{file.name}'),
    )
    assert server.data[stored.image_id] == CONTENT
    open_store().discard(STAMP)
    store = open_store()
    with pytest.raises(exception.EnvironmentFault, match='no file on this'):
        store.upload(None, IMAGE, STAMP, checksum=SUM)
    assert not server.images


@pytest.mark.parametrize('known', [None, SUM])
def test_glance_download_without_a_file(server, far, open_store, known):
    copy = copy_of(
        far, server, os_distro='theirs', hw_disk_bus='ide', name='other'
    )
    image = base.ImageProperties(
        name='web', owner='project', properties={'os_distro': 'ours'}
    )
    stored = open_store().upload(
        None, image, STAMP, elsewhere=base.Elsewhere([copy]), checksum=known
    )
    record = only(server)
    assert server.data[stored.image_id] == CONTENT
    assert (record['name'], record['owner']) == ('web', 'project')
    # Glance takes over properties of the other image.
    assert record['os_distro'] == 'ours'


def test_the_stamp_survives_glance_download(server, far, open_store):
    """Glance takes over what its operator lists, ours among it."""
    server.imports.copied = ('imagebuild_',)
    theirs = base.Stamp('other', 'other', 'other').properties()
    copy = copy_of(
        far, server, **theirs, imagebuild_image_id='x', imagebuild_service='y'
    )
    store = open_store()
    stored = store.upload(None, IMAGE, STAMP, elsewhere=base.Elsewhere([copy]))
    record = only(server)
    assert record['imagebuild_upload_id'] == STAMP.upload_id
    assert record['imagebuild_image_id'] == stored.image_id
    assert [one.stamp for one in store.list_stamped()] == [STAMP]
    assert store.find(STAMP) == stored


def test_a_copy_with_other_bytes_than_it_is_said_to_have(
    server, far, open_store, file
):
    copy = copy_of(far, server)
    far.data[copy.image_id] = CONTENT[:-1] + b'!'
    notices = []
    stored = open_store().upload(
        file,
        IMAGE,
        STAMP,
        elsewhere=base.Elsewhere([copy]),
        on_notice=notices.append,
    )
    assert server.data[stored.image_id] == CONTENT
    assert only(server)['id'] == stored.image_id
    assert 'Trying another way.' in notices[0]
    with pytest.raises(exception.ChecksumMismatch):
        open_store().upload(
            None,
            IMAGE,
            base.Stamp('b', 'other'),
            elsewhere=base.Elsewhere([copy]),
        )
    assert only(server)['id'] == stored.image_id


# -- stores of Glance -------------------------------------------------------


def test_copies_to_further_stores(server, open_store, file):
    server.imports.stores = ['slow', 'fast', 'edge']
    store = open_store('upload', stores=('fast', 'slow', 'edge'))
    stored = store.upload(file, IMAGE, STAMP)
    assert set(only(server)['stores'].split(',')) == {'fast', 'slow', 'edge'}
    assert only(server)['stores'].startswith('fast,')
    assert store.upload(file, IMAGE, STAMP) == stored
    assert len(server.imports.tasks) == 1


def test_only_missing_stores_are_copied_to(server, open_store, file):
    server.imports.stores = ['a', 'b']
    open_store('upload', stores=('a',)).upload(file, IMAGE, STAMP)
    server.imports.looks = 3
    open_store('upload', stores=('a', 'b')).upload(file, IMAGE, STAMP)
    assert only(server)['stores'] == 'a,b'


@pytest.mark.parametrize('all_must', [True, False])
def test_a_store_that_fails(server, open_store, file, all_must):
    server.imports.stores = ['a', 'b', 'c']
    server.imports.failing_stores = ('b',)
    store = open_store(
        'upload', stores=('a', 'b', 'c'), all_stores_must_succeed=all_must
    )
    notices = []
    if all_must:
        with pytest.raises(exception.ServiceUnavailable, match='failed for b'):
            store.upload(file, IMAGE, STAMP)
    else:
        store.upload(file, IMAGE, STAMP, on_notice=notices.append)
        assert 'not in all of its stores' in notices[0]
        assert set(only(server)['stores'].split(',')) == {'a', 'c'}
    # It can be retried, and it can be removed.
    server.imports.failing_stores = ()
    store.upload(file, IMAGE, STAMP)
    assert set(only(server)['stores'].split(',')) == {'a', 'b', 'c'}
    assert store.discard(STAMP) == 1
    assert not server.images


# -- what goes wrong --------------------------------------------------------


@pytest.mark.parametrize('tells', [True, False])
@pytest.mark.parametrize(
    'message, reason',
    [
        ('No space left on device', 'No space left on device'),
        ('<b>Bad</b>\n  news', 'Bad news'),
        ('', 'is queued, and Glance does not say why'),
    ],
)
@pytest.mark.parametrize('method', ['glance-direct', 'web-download'])
def test_an_import_that_fails(
    server, open_store, file, web, method, message, reason, tells
):
    server.imports.fails = message
    server.imports.tells = tells
    if message and not tells:
        reason = 'failed for|does not say why'
    store, url = open_store(method), f'{web}/{file.name}'
    with pytest.raises(exception.ServiceUnavailable, match=reason) as caught:
        store.upload(file, IMAGE, STAMP, elsewhere=base.Elsewhere(url=url))
    assert 'glance' in str(caught.value)
    # Neither a whole image nor half of one is left.
    assert not server.images
    assert store.discard(STAMP) == 0
    server.imports.fails = None
    store.upload(file, IMAGE, STAMP, elsewhere=base.Elsewhere(url=url))
    assert len(server.images) == 1


def test_the_next_method_follows(server, open_store, file):
    server.imports.fails = 'nowhere to stage'
    notices = []
    store = open_store('glance-direct', 'upload')
    stored = store.upload(file, IMAGE, STAMP, on_notice=notices.append)
    assert only(server)['id'] == stored.image_id
    assert 'glance-direct failed: ' in notices[0]
    assert 'nowhere to stage' in notices[0]


def test_all_methods_fail(server, open_store, file, web):
    server.imports.fails = 'no staging area'
    store = open_store('web-download', 'glance-direct')
    with pytest.raises(exception.ServiceUnavailable) as caught:
        store.upload(
            file,
            IMAGE,
            STAMP,
            elsewhere=base.Elsewhere(url=f'{web}/{file.name}'),
        )
    for method in ('web-download failed: ', 'glance-direct failed: '):
        assert method in str(caught.value)
    assert not server.images


def test_uploads_that_a_policy_forbids(server, open_store, file):
    server.fail('PUT', '/file', 403, 'You may not upload.')
    stored = open_store().upload(file, IMAGE, STAMP)
    assert only(server)['id'] == stored.image_id
    assert server.imports.tasks


def test_the_connection_is_lost(server, open_store, file):
    server.fail('PUT', '/file', 0, times=100, after=5)
    with pytest.raises(
        exception.ServiceUnavailable,
        match=r'cannot be used: the connection was lost before it answered\.$',
    ):
        open_store('upload').upload(file, IMAGE, STAMP)


@pytest.mark.parametrize(
    'status, message, error',
    [
        (413, 'Image exceeds the storage quota', exception.InvalidInput),
        (413, 'Image storage media is full: 0', exception.ServiceUnavailable),
        (410, 'Adding images is disabled', exception.ServiceUnavailable),
        (507, 'No space left', exception.ServiceUnavailable),
        (500, 'Something broke', exception.ServiceUnavailable),
    ],
)
@pytest.mark.parametrize('path', ['/file', '/stage'])
def test_no_room(server, open_store, file, status, message, error, path):
    server.fail('PUT', path, status, message, times=100)
    store = open_store('upload' if path == '/file' else 'glance-direct')
    with pytest.raises(error, match=message.split(':')[0]):
        store.upload(file, IMAGE, STAMP)
    store.discard(STAMP)
    assert not server.images


@pytest.mark.parametrize('status', [0, 500, 503])
@pytest.mark.parametrize(
    'method, path',
    [
        ('GET', '/v2/info'),
        ('PUT', '/stage'),
        ('POST', '/import'),
        ('GET', '/tasks'),
        ('GET', '/v2/images/[0-9a-f-]+$'),
    ],
)
def test_glance_is_away_for_a_moment(
    server, open_store, file, method, path, status
):
    server.fail(method, path, status, times=2)
    stored = open_store('glance-direct').upload(file, IMAGE, STAMP)
    assert only(server)['id'] == stored.image_id
    assert server.data[stored.image_id] == CONTENT


@pytest.mark.parametrize('method', ['upload', 'glance-direct'])
def test_a_store_behind_glance_that_is_slow(server, file, method):
    """All has been sent, and is not stored at once; nothing is sent twice."""
    server.storing = 1
    config = {
        'keystone': {**server.config['keystone'], 'timeout': 0.5},
        'glance': {
            **server.config['glance'],
            'import_methods': [method],
            'retry_timeout': 60,
        },
    }
    registry.load('glance', config).upload(file, IMAGE, STAMP)
    assert [kind for kind, _ in server.requests].count('PUT') == 1


def test_the_connection_is_lost_while_staging(server, open_store, file):
    server.fail('PUT', '/stage', 0, after=100_000)
    stored = open_store('glance-direct').upload(file, IMAGE, STAMP)
    assert only(server)['id'] == stored.image_id
    assert server.data[stored.image_id] == CONTENT


@pytest.mark.parametrize(
    'method, path, after',
    [
        ('GET', '/v2/images', 0),
        ('POST', '/v2/images$', 0),
        ('PUT', '/file', 0),
        ('PUT', '/file', 100_000),
        ('PUT', '/stage', 100_000),
        ('POST', '/import', 0),
    ],
)
def test_glance_does_not_answer(server, open_store, file, method, path, after):
    server.fail(method, path, fake_glance.HANG, times=100, after=after)
    config = {**server.config}
    config['keystone'] = {**config['keystone'], 'timeout': 0.5}
    methods = ['upload'] if path == '/file' else ['glance-direct']
    section = {
        'retry_timeout': 1,
        'import_methods': methods,
        'activation_timeout': 1,
    }
    config['glance'] = {**config['glance'], **section}
    store = registry.load('glance', config)
    begun = time.monotonic()
    with pytest.raises(exception.ServiceUnavailable, match='imed out'):
        store.upload(file, IMAGE, STAMP)
    assert time.monotonic() - begun < 60
    # It answers again.
    for fault in server._faults:
        fault.times = 0
    open_store().discard(STAMP)
    assert not server.images


@pytest.mark.parametrize(
    'limits, told',
    [
        (import_watch.Limits(60, 0.2, 0), '0.2 s without progress'),
        (import_watch.Limits(0.2, 60, 0), '0.2 s in all'),
    ],
)
def test_an_import_that_never_ends(server, open_store, file, limits, told):
    server.imports.hangs = True
    store = open_store('glance-direct', limits=limits)
    with pytest.raises(exception.ServiceUnavailable, match=told) as caught:
        store.upload(file, IMAGE, STAMP)
    assert 'task task-0 is processing' in str(caught.value)
    assert not server.images


def test_the_limit_is_for_all_attempts(server, open_store, file):
    """A Glance that comes and goes does not start it from zero."""
    server.imports.hangs = True
    server.fail('GET', '/tasks', 503, times=3)
    store = open_store('glance-direct', limits=import_watch.Limits(1, 60, 0))
    with pytest.raises(exception.ServiceUnavailable, match='1 s in all'):
        store.upload(file, IMAGE, STAMP)


def test_bytes_that_an_import_damages(server, open_store, file):
    server.imports.damages = True
    with pytest.raises(exception.ChecksumMismatch):
        open_store('glance-direct').upload(file, IMAGE, STAMP)
    assert not server.images
    stored = open_store('glance-direct', 'upload').upload(file, IMAGE, STAMP)
    assert server.data[stored.image_id] == CONTENT
    assert only(server)['id'] == stored.image_id


def test_images_that_glance_converts(server, open_store, file):
    server.imports.converts_to = 'raw'
    store = open_store('glance-direct')
    with pytest.raises(exception.ServiceUnavailable) as caught:
        store.upload(file, IMAGE, STAMP)
    assert 'converted it from qcow2 to raw' in str(caught.value)
    assert not server.images
    # Another method leaves it as it is.
    stored = open_store('glance-direct', 'upload').upload(file, IMAGE, STAMP)
    assert stored.disk_format == 'qcow2'
    store.discard(STAMP)
    store = open_store('glance-direct', accept_converted=True)
    notices = []
    stored = store.upload(file, IMAGE, STAMP, on_notice=notices.append)
    assert stored.disk_format == 'raw'
    assert stored.size == len(CONTENT) + len(b'converted')
    assert 'its checksum is that of Glance' in notices[0]
    assert store.upload(file, IMAGE, STAMP) == stored


# -- killed -----------------------------------------------------------------


class Killed(BaseException):
    pass


STEPS = [
    ('POST', '/v2/images$'),
    ('PUT', '/stage$'),
    ('PUT', '/file$'),
    ('POST', '/import$'),
    ('PATCH', '/v2/images/'),
    ('GET', '/v2/images/'),
]


@pytest.mark.parametrize('after', [False, True], ids=['before', 'after'])
@pytest.mark.parametrize('number', [1, 2, 5])
@pytest.mark.parametrize('methods', [('glance-direct',), ('upload',)])
@pytest.mark.parametrize('step', STEPS, ids=lambda step: ' '.join(step))
def test_killed_at_any_step(
    server, open_store, file, monkeypatch, methods, step, number, after
):
    """Whoever comes next ends with one image, or removes all of it."""
    server.imports.stores = ['a', 'b']
    image = base.ImageProperties(
        name='web', owner='project', protected=True, members=['friend']
    )
    kill(monkeypatch, step, number, after)
    store = open_store(*methods, stores=('a', 'b'))
    try:
        store.upload(file, image, STAMP)
    except Killed:
        pass
    monkeypatch.undo()
    stored = open_store(*methods, stores=('a', 'b')).upload(file, image, STAMP)
    record = only(server)
    assert record['id'] == stored.image_id
    assert (record['status'], record['protected']) == ('active', True)
    assert set(record['stores'].split(',')) == {'a', 'b'}
    assert server.data[stored.image_id] == CONTENT
    assert store.discard(STAMP) == 1
    assert not server.images


def kill(monkeypatch, step, number, after):
    """Kill what sends this request for the nth time."""
    real = session.Session.request
    seen = []

    def request(self, url, method, **kwargs):
        if method != step[0] or not re.search(step[1], url.split('?')[0]):
            return real(self, url, method, **kwargs)
        seen.append(url)
        if len(seen) == number and not after:
            raise Killed
        answer = real(self, url, method, **kwargs)
        if len(seen) == number:
            raise Killed
        return answer

    monkeypatch.setattr(session.Session, 'request', request)


def test_an_import_goes_on_without_whoever_began_it(
    server, open_store, file, monkeypatch
):
    """The bytes are not sent again."""
    server.imports.looks = 3
    kill(monkeypatch, ('POST', '/import$'), 1, True)
    with pytest.raises(Killed):
        open_store('glance-direct').upload(file, IMAGE, STAMP)
    monkeypatch.undo()
    open_store('glance-direct').upload(file, IMAGE, STAMP)
    assert len([path for _, path in server.requests if 'stage' in path]) == 1
    assert len(server.imports.tasks) == 1


def test_an_import_that_fails_without_whoever_began_it(
    server, open_store, file, monkeypatch
):
    server.imports.looks = 3
    kill(monkeypatch, ('POST', '/import$'), 1, True)
    with pytest.raises(Killed):
        open_store('glance-direct').upload(file, IMAGE, STAMP)
    monkeypatch.undo()
    server.imports.fails = 'it broke'
    notices = []
    stored = open_store('upload').upload(
        file, IMAGE, STAMP, on_notice=notices.append
    )
    assert 'it broke' in notices[0]
    assert only(server)['id'] == stored.image_id


# -- what can be seen -------------------------------------------------------


def record(status='importing', lock='', failed='', stores=''):
    return images.GlanceImage(
        'id',
        status=status,
        stores=stores,
        properties={
            'os_glance_import_task': lock,
            'os_glance_failed_import': failed,
        },
    )


def task(status, message=''):
    return image_imports.ImportTask('t1', 'web-download', status, message)


@pytest.mark.parametrize(
    'image, its_task, copy_to, done, failure, certain',
    [
        (record('active'), None, (), True, '', True),
        (record('active', stores='a,b'), None, ('b',), True, '', True),
        (record('active', 't1', stores='a'), None, ('b',), False, '', True),
        (record('active', stores='a'), None, ('b',), False, 'active', False),
        (
            record('active', stores='a', failed='b'),
            task('success'),
            ('b',),
            False,
            'it failed for b, task t1',
            False,
        ),
        (record('queued', 't1'), None, (), False, '', True),
        (record('importing', 't1'), task('processing'), (), False, '', True),
        (record('importing'), None, (), False, '', True),
        (record('queued'), None, (), False, 'does not say why', False),
        (
            record('queued', failed='a,b'),
            task('failure', 'No room'),
            (),
            False,
            'No room, it failed for a, b, task t1',
            True,
        ),
        (
            record('importing', 't1'),
            task('failure'),
            (),
            False,
            'it is importing, and Glance does not say why',
            True,
        ),
        (record('killed'), None, (), False, 'it is killed', True),
        (record('deleted'), None, (), False, 'it is deleted', True),
        (record('deactivated'), None, (), False, 'deactivated', True),
    ],
)
def test_verdict(image, its_task, copy_to, done, failure, certain):
    found = import_watch.judge(image, its_task, copy_to=copy_to)
    assert (found.done, found.certain) == (done, certain)
    assert bool(found.failure) is bool(failure)
    assert failure in found.failure
