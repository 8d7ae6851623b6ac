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
import contextlib
import dataclasses
import hashlib
import json
import os
import time

import pytest

from imagebuild import exception
from imagebuild import repository
from imagebuild.common import checksums
from imagebuild.job import channel
from imagebuild.job import fetch_image
from imagebuild.job import main
from imagebuild.job import specs
from imagebuild.stores import base
from imagebuild.stores import registry


class StubStore(base.Store):
    name = 'stub'
    error: Exception | None = None
    seconds = 0.0
    calls: list[tuple] = []
    sources: list[tuple] = []

    def __init__(self, config):
        self.config = config

    @classmethod
    def from_config(cls, config):
        return cls(config)

    def upload(
        self,
        path,
        image,
        stamp,
        *,
        checksum=None,
        on_progress=None,
        on_notice=None,
        elsewhere=base.Elsewhere(),
    ):
        self.calls.append((path, image, stamp, checksum))
        self.sources.append((tuple(elsewhere.copies), elsewhere.url))
        time.sleep(self.seconds)
        if self.error:
            raise self.error
        for done in range(0, 101):
            on_progress(done, 100)
        return base.StoredImage('i1', 100, 'sha512', 'abc')

    def delete(self, image_id): ...

    def update(self, image_id, change):
        raise AssertionError('an upload does not call this')

    def exists(self, image_id): ...

    def find(self, stamp): ...

    def discard(self, stamp): ...


@pytest.fixture
def store(monkeypatch):
    class Store(StubStore):
        calls: list[tuple] = []
        sources: list[tuple] = []

    known: dict[str, type[base.Store]] = {'stub': Store}
    monkeypatch.setattr(registry, 'stores', lambda: known)
    return Store


DISK = b'a disk'


@pytest.fixture
def images(tmp_path):
    return repository.Repository(tmp_path / 'images')


@pytest.fixture
def document(images, tmp_path):
    path = tmp_path / 'disk'
    path.write_bytes(DISK)
    facts = repository.Facts('b1', 'p1', 'k', 'raw', len(DISK))
    artifact = images.put(path, facts)
    spec = specs.UploadSpec(
        upload_id='u1',
        build_id='b1',
        project_id='p1',
        destination='',
        store='stub',
        repository=images.directory,
        artifact=artifact.id,
        disk_format='raw',
        container_format='bare',
        image={
            'name': 'n',
            'visibility': None,
            'protected': None,
            'tags': ['t'],
            'min_ram': 5,
        },
        content_key='k',
        config={'file': {}},
    )
    # As it goes through the pipe.
    return json.loads(json.dumps(spec.to_document()))


@pytest.fixture
def work(monkeypatch, document):
    # It is pytest's process whose signals would be ignored.
    monkeypatch.setattr(main, '_end_signals', lambda: None)

    def work(**change):
        incoming, outgoing = os.pipe()
        events = channel.Events(outgoing, lambda: None)
        code = main.work(document | change, events)
        events.close()
        with open(incoming, 'rb') as file:
            return code, [json.loads(line) for line in file]

    return work


def test_a_good_upload(work, store, images):
    code, events = work()
    assert code == 0
    [(path, image, stamp, checksum)] = store.calls
    assert path.is_relative_to(images.directory)
    assert path.read_bytes() == DISK
    assert image == base.ImageProperties(
        'n', 'p1', disk_format='raw', tags=['t'], min_ram=5
    )
    assert stamp == base.Stamp('b1', 'u1', 'k')
    digest = hashlib.sha512(DISK).hexdigest()
    assert checksum == checksums.Checksum('sha512', digest)
    assert events[-1] == {
        'event': 'finished',
        'result': {
            'image_id': 'i1',
            'size': 100,
            'os_hash_algo': 'sha512',
            'os_hash_value': 'abc',
            'disk_format': '',
        },
    }


def test_where_else_it_is(work, store, document):
    copy = base.ImageCopy(
        'i7', 'Two', 'raw', checksum=checksums.Checksum('sha512', 'f')
    )
    config = {'glance': {'web_download_url': 'https://images.example/x/'}}
    code, _events = work(
        config=config, copies=[dataclasses.asdict(copy)], timeout=60
    )
    assert code == 0
    [((found,), url)] = store.sources
    assert found == copy
    artifact = document['artifact']
    assert url == f'https://images.example/x/artifacts/{artifact}/image'


def test_a_document_of_the_release_before(work, store, document):
    del document['copies'], document['timeout']
    code, _events = work()
    assert code == 0 and store.sources == [((), '')]


def test_its_time_is_up(work, store):
    store.seconds = 60
    begun = time.monotonic()
    code, events = work(timeout=0.3)
    assert code == 1 and time.monotonic() - begun < 50
    # It is the cloud that is slow, and not a user's steps.
    assert events[-1]['fault'] == 'service'
    assert events[-1]['reason'] == (
        'The upload was stopped: its limit of 0.3 seconds was up during: '
        'uploading to stub.'
    )


def test_progress_is_not_told_too_often(work, store):
    _code, events = work()
    told = [event for event in events if event['event'] == 'progress']
    assert [event['done'] for event in told] == [0, 100]
    assert told[0]['what'].startswith('uploading to ')


def test_the_owner_may_be_named(work, store):
    work(image={'name': 'n', 'owner': 'p2'})
    [(_path, image, _stamp, _checksum)] = store.calls
    assert image.owner == 'p2'


def test_a_lost_file(work, store, images, document):
    images.remove(document['artifact'])
    code, events = work()
    assert code == 1 and store.calls == []
    assert events[-1]['fault'] == 'service'
    assert 'it is not there (any more)' in events[-1]['reason']


def test_what_is_not_converted(work, store, images, tmp_path):
    path = tmp_path / 'disk'
    path.write_bytes(b'COWD')
    facts = repository.Facts('b1', 'p1', 'k', 'vmdk', 4)
    made = images.put(path, facts)
    _code, events = work(artifact=made.id, disk_format='qcow2')
    assert 'Only images in the formats qcow2 and raw' in events[-1]['reason']
    assert store.calls == []


@pytest.mark.parametrize(
    'error, fault',
    [
        (exception.InvalidInput('The quota is used up.'), 'user'),
        (
            exception.ServiceUnavailable(service='image', reason='gone'),
            'service',
        ),
        (ValueError('x'), 'service'),
    ],
)
def test_failures(work, store, error, fault):
    store.error = error
    code, events = work()
    assert code == 1
    assert events[-1]['event'] == 'failed'
    assert events[-1]['fault'] == fault
    assert events[-1]['step'] is None


@pytest.mark.parametrize(
    'change',
    [{'repository': None}, {'image': {'colour': 'red'}}, {'config': None}],
)
def test_wrong_documents(work, store, change):
    code, events = work(**change)
    assert code == 1
    assert 'wrong document' in events[-1]['reason']


def test_an_unknown_store(work, store):
    _code, events = work(store='attic')
    assert events[-1]['reason'] == 'There is no store "attic"; found: stub.'


# -- from an image that has the file ------------------------------------------

CONTENT = b'x' * 1024


@pytest.fixture
def source(store):
    """An image in another store that gives its file back."""

    class Elsewhere(StubStore):
        name = 'elsewhere'
        content = CONTENT
        asked: list[int] = []
        away = 0

        @contextlib.contextmanager
        def data(self, image_id, offset=0):
            if image_id != 'i1':
                raise exception.NotFound(what='image', id=image_id)
            self.asked.append(offset)
            if len(self.asked) <= self.away:
                raise exception.ServiceUnavailable(
                    service='image', reason='it restarts'
                )
            yield Stream(self.content[offset:], offset, len(self.content))

    registry.stores()['elsewhere'] = Elsewhere
    return Elsewhere


class Stream:
    def __init__(self, content, offset, total):
        self.offset, self.total, self._content = offset, total, content

    def __iter__(self):
        yield self._content


@pytest.fixture
def fetched(source, work, images, document):
    """Do an upload whose file is in no repository."""

    def fetched(**change):
        images.remove(document['artifact'])
        found = {
            'destination': 'north',
            'store': 'elsewhere',
            'image_id': 'i1',
            'build_id': 'b1',
            'disk_format': 'raw',
            'size': len(CONTENT),
            'checksum': {
                'algo': 'sha512',
                'value': hashlib.sha512(CONTENT).hexdigest(),
            },
            'artifact': '00000000-0000-4000-8000-00000000000a',
            'config': {
                'keystone': {'password': 'sesame-street'},
                'glance': {'retry_timeout': 3},
            },
            **change,
        }
        return work(source=found)

    return fetched


def test_an_image_gives_the_file(fetched, store, source, images):
    code, _events = fetched()
    assert code == 0
    [(path, _image, _stamp, checksum)] = store.calls
    assert path.read_bytes() == CONTENT
    assert checksum.value == hashlib.sha512(CONTENT).hexdigest()
    [kept] = images.list_artifacts()
    facts = kept.facts
    assert (facts.build_id, facts.disk_format) == ('b1', 'raw')
    assert (kept.size, facts.virtual_size) == (1024, 1024)
    # The next upload that wants it finds it.
    assert fetched()[0] == 0
    assert source.asked == [0]


def test_its_store_is_away_for_a_moment(fetched, source):
    source.away = 1
    code, events = fetched()
    assert code == 0 and source.asked == [0, 0]
    assert any('it restarts' in event.get('message', '') for event in events)


@pytest.mark.parametrize(
    'change, reason',
    [
        ({'image_id': 'gone'}, 'There is no image gone'),
        ({'size': 7}, 'should have 7 bytes'),
        (
            {'checksum': {'algo': 'sha512', 'value': 'f' * 128}},
            'has the checksum',
        ),
        # It says that it is one, and a guest may have made it look so.
        ({'disk_format': 'qcow2'}, 'it is not qcow2'),
        ({'store': 'stub'}, 'that store cannot do it'),
    ],
)
def test_an_image_that_does_not(fetched, store, images, change, reason):
    code, events = fetched(**change)
    assert code == 1
    assert {'event': 'source_unusable'} in events
    assert events[-1]['fault'] == 'service'
    assert reason in events[-1]['reason']
    assert 'does not give its file back' in events[-1]['reason']
    assert images.list_artifacts() == [] and store.calls == []
    assert 'sesame-street' not in json.dumps(events)


def test_secrets_of_the_other_cloud_are_hidden(fetched, source, monkeypatch):
    def data(self, image_id, offset=0):
        raise exception.NotFound(what='image', id='sesame-street')

    monkeypatch.setattr(source, 'data', data)
    _code, events = fetched()
    assert 'sesame-street' not in json.dumps(events)
    assert 'There is no image ***' in events[-1]['reason']


def test_no_room_is_not_the_fault_of_the_image(fetched, monkeypatch):
    def full(*_arguments):
        raise exception.NoSpace(path='/x', needed='1', free='0')

    monkeypatch.setattr(fetch_image.space, 'check', full)
    _code, events = fetched()
    assert {'event': 'source_unusable'} not in events
    assert events[-1]['lacks_room']
