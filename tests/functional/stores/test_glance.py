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
"""The store glance when Glance, or an upload before, does not go right."""

import dataclasses
import hashlib
import threading

import pytest

from imagebuild import exception
from imagebuild.clients import glance as glance_client
from imagebuild.stores import base
from imagebuild.stores import glance as glance_store
from imagebuild.stores import glance_job
from imagebuild.stores import import_watch
from tests import fake_glance

STAMP = base.Stamp('build', 'upload', 'key')
IMAGE = base.ImageProperties(name='web', owner='project')
CONTENT = b'disk' * 100_000


@pytest.fixture
def server():
    with fake_glance.FakeGlance() as server:
        yield server


@pytest.fixture
def file(tmp_path):
    path = tmp_path / 'disk'
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def store(server):
    slept = []
    store = glance_store.GlanceStore(
        glance_client.Glance.from_config(server.config),
        retry_timeout=30,
        settings=glance_job.Settings(activation_timeout=60),
        limits=import_watch.Limits(total=5, stall=5, grace=0.1),
        service_id='this-service',
        sleep=slept.append,
    )
    store.slept = slept
    return store


def leave(server, status, content=b'', **values):
    """Have an image that an earlier attempt came to."""
    return server.add(
        content,
        **{**STAMP.properties(), 'status': status, 'owner': 'project'},
        **values,
    )


def only(server):
    [record] = server.images.values()
    return record


# -- what an earlier attempt came to ----------------------------------------


def test_queued_is_continued(server, store, file):
    left = leave(server, 'queued')
    stored = store.upload(file, IMAGE, STAMP)
    assert stored.image_id == left['id']
    assert server.data[left['id']] == CONTENT


def test_active_is_done(server, store, file):
    left = leave(server, 'active', CONTENT)
    stored = store.upload(file, IMAGE, STAMP)
    assert stored.image_id == left['id']
    assert not any(method == 'PUT' for method, _ in server.requests)


def test_active_is_given_what_was_still_to_come(server, store, file):
    left = leave(server, 'active', CONTENT, visibility='shared')
    image = base.ImageProperties(
        name='web', owner='project', members=['friend'], protected=True
    )
    store.upload(file, image, STAMP)
    assert left['protected'] is True
    assert server.members[left['id']] == {'friend': 'pending'}


def test_active_with_other_bytes_is_removed(server, store, file):
    leave(server, 'active', CONTENT[:-1] + b'X')
    with pytest.raises(exception.ChecksumMismatch):
        store.upload(file, IMAGE, STAMP)
    assert not server.images


@pytest.mark.parametrize(
    'status', ['saving', 'importing', 'killed', 'deactivated']
)
def test_half_of_one_is_made_again(server, store, file, status):
    left = leave(server, status)
    stored = store.upload(file, IMAGE, STAMP)
    assert stored.image_id != left['id']
    assert only(server)['id'] == stored.image_id


def test_of_several_one_is_left(server, store, file):
    leave(server, 'queued')
    leave(server, 'saving', protected=True)
    done = leave(server, 'active', CONTENT)
    leave(server, 'active', CONTENT)
    stored = store.upload(file, IMAGE, STAMP)
    assert stored.image_id == done['id']
    assert only(server)['id'] == done['id']


def test_those_of_others_are_left_alone(server, store, file):
    others = base.Stamp('build', 'another', 'key').properties()
    other = server.add(b'x', **others)
    plain = server.add(b'y', name='web')
    store.upload(file, IMAGE, STAMP)
    store.discard(STAMP)
    assert set(server.images) == {other['id'], plain['id']}


def test_what_has_no_stamp_is_never_deleted(server, store):
    plain = server.add(b'y')
    with pytest.raises(exception.Forbidden):
        store.delete(plain['id'])
    assert plain['id'] in server.images


def snapshot_of(server, record, **values):
    """What Nova and Cinder make of a server or volume with an image."""
    copied = {
        name: value
        for name, value in record.items()
        if name.startswith('imagebuild_')
    }
    return server.add(b'of a user', **{**copied, **values})


@pytest.mark.parametrize('status', ['active', 'queued'])
def test_a_snapshot_of_a_server_is_never_touched(server, store, file, status):
    """It inherits every property, the stamp with them."""
    stored = store.upload(file, IMAGE, STAMP)
    mine = snapshot_of(server, server.images[stored.image_id], status=status)
    assert mine['imagebuild_upload_id'] == STAMP.upload_id
    assert store.upload(file, IMAGE, STAMP) == stored
    with pytest.raises(exception.Forbidden):
        store.delete(mine['id'])
    listed = [one.image_id for one in store.list_stamped()]
    assert listed == [stored.image_id]
    assert store.discard(STAMP) == 1
    assert store.find(STAMP) is None
    assert set(server.images) == {mine['id']}


def test_one_that_another_conductor_deletes_has_no_properties(
    server, store, file, monkeypatch
):
    stored = store.upload(file, IMAGE, STAMP)
    whole = store._glance.get(stored.image_id)
    looks = [dataclasses.replace(whole, properties={})] * 2

    def get(image_id):
        # Not gone yet at the first look, nor when that is judged.
        if looks and not store.slept:
            return looks.pop()
        server.images.clear()
        raise exception.NotFound(what='image', id=image_id)

    monkeypatch.setattr(store._glance, 'get', get)
    store.delete(stored.image_id)
    assert store.slept == [1]


def test_a_copy_that_a_tenant_has_made_is_not_the_upload(server, store, file):
    """He gives his own image the mark, its own id included, and the bytes."""
    stored = store.upload(file, IMAGE, STAMP)
    ours = server.images[stored.image_id]
    theirs = server.add(
        CONTENT,
        **{
            **{n: v for n, v in ours.items() if n.startswith('imagebuild_')},
            'id': '00000000-0000-4000-8000-000000000001',
            'imagebuild_image_id': '00000000-0000-4000-8000-000000000001',
            'created_at': '2025-01-01T00:00:00Z',
        },
    )
    # The conductor was cut off before it could write that it is done.
    assert store.upload(file, IMAGE, STAMP) == stored
    assert set(server.images) == {stored.image_id, theirs['id']}


def test_a_snapshot_of_an_image_from_before_is_never_touched(server, store):
    """Images of earlier releases do not say their own id."""
    left = leave(server, 'active', CONTENT)
    mine = snapshot_of(server, left, base_image_ref=left['id'])
    assert store.discard(STAMP) == 1
    assert set(server.images) == {mine['id']}


def test_a_hidden_image_is_the_same_image(server, store, file):
    stored = store.upload(file, IMAGE, STAMP)
    only(server)['os_hidden'] = True
    assert store.find(STAMP) == stored
    assert store.upload(file, IMAGE, STAMP) == stored
    assert only(server)['id'] == stored.image_id


def test_what_is_in_use_is_reported_and_hidden_if_asked(server, store, file):
    stored = store.upload(file, IMAGE, STAMP)
    server.fail('DELETE', stored.image_id, 409, 'It is in use.', times=2)
    with pytest.raises(exception.Conflict, match='in use'):
        store.delete(stored.image_id)
    assert only(server)['os_hidden'] is False
    with pytest.raises(exception.Conflict, match='in use'):
        store.delete(stored.image_id, hide_undeletable=True)
    assert only(server)['os_hidden'] is True
    store.delete(stored.image_id)
    assert not server.images


def test_what_cannot_be_hidden_either(server, store, file):
    stored = store.upload(file, IMAGE, STAMP)
    server.fail('DELETE', stored.image_id, 409, 'It is in use.')
    server.fail('PATCH', stored.image_id, 403, 'You may not hide it.')
    with pytest.raises(exception.Conflict, match='in use'):
        store.delete(stored.image_id, hide_undeletable=True)


def test_protected_after_it_was_looked_at(server, store, file, monkeypatch):
    stored = store.upload(file, IMAGE, STAMP)
    delete = store._glance.delete

    def too_late(image_id):
        only(server)['protected'] = True
        delete(image_id)

    monkeypatch.setattr(store._glance, 'delete', too_late)
    with pytest.raises(exception.Conflict, match='is protected: '):
        store.delete(stored.image_id, hide_undeletable=True)
    assert only(server)['os_hidden'] is True


def test_each_page_outlives_what_is_deleted_from_it(server, store, file):
    server.page = 3
    stamps = [base.Stamp('b', f'upload-{number}') for number in range(10)]
    for stamp in stamps:
        store.upload(file, IMAGE, stamp)
    leave(server, 'saving', imagebuild_service='this-service')
    for each in list(server.images.values())[:2]:
        each['os_hidden'] = True
    found = []
    for image in store.list_stamped():
        found.append(image.stamp.upload_id)
        store.delete(image.image_id)
    assert sorted(found) == sorted(
        [STAMP.upload_id, *(stamp.upload_id for stamp in stamps)]
    )
    assert not server.images


def test_those_of_another_service_are_not_listed(server, store, file):
    other = glance_store.GlanceStore(
        glance_client.Glance.from_config(server.config), service_id='staging'
    )
    other.upload(file, IMAGE, base.Stamp('b', 'theirs'))
    # From before services said who they are.
    leave(server, 'active', CONTENT)
    stored = store.upload(file, IMAGE, base.Stamp('b', 'ours'))
    assert [one.image_id for one in store.list_stamped()] == [stored.image_id]


def test_without_a_name_nothing_is_listed(server, file):
    """Nobody's images are taken for leaks."""
    store = glance_store.GlanceStore(
        glance_client.Glance.from_config(server.config)
    )
    store.upload(file, IMAGE, STAMP)
    assert list(store.list_stamped()) == []
    assert store.find(STAMP)


@pytest.mark.parametrize('status', [403, 404, 409, 500])
@pytest.mark.parametrize('protected', [False, True])
def test_another_deletes_it_at_the_same_moment(
    server, store, monkeypatch, status, protected
):
    left = leave(server, 'active', CONTENT)
    delete = store._glance.delete

    def too_late(image_id):
        delete(image_id)
        server.fail('DELETE', image_id, status)
        delete(image_id)

    monkeypatch.setattr(store._glance, 'delete', too_late)
    if protected:
        left['protected'] = True
        assert store.discard(STAMP) == 1
    else:
        store.delete(left['id'])
    assert not server.images


def test_half_of_it_is_gone_already(server, store, monkeypatch):
    """What has no stamp any more is not taken for somebody else's."""
    left = leave(server, 'active', CONTENT)
    get = store._glance.get

    def seen(image_id):
        found = get(image_id)
        server.images.clear()
        return dataclasses.replace(found, properties={})

    monkeypatch.setattr(store._glance, 'get', seen)
    store.delete(left['id'])


@pytest.mark.parametrize('status', [409, 500])
def test_an_error_about_what_is_there_is_told(server, store, status):
    left = leave(server, 'active', CONTENT)
    server.fail('DELETE', left['id'], status)
    with pytest.raises(exception.ImageBuildError):
        store.delete(left['id'])


@pytest.mark.parametrize('status', ['queued', 'saving', 'deactivated'])
def test_exists_only_when_it_can_be_used(server, store, status):
    left = leave(server, status)
    assert not store.exists(left['id'])
    assert store.find(STAMP) is None


# -- Glance fails ------------------------------------------------------------


@pytest.mark.parametrize('status', [500, 502, 503, 429, 401, 0])
@pytest.mark.parametrize(
    'method, path',
    [
        ('GET', '/v2/images\\?'),
        ('POST', '/v2/images$'),
        ('PUT', '/file'),
        ('GET', '/v2/images/[0-9a-f]'),
        ('PATCH', '/v2/images/'),
    ],
)
def test_it_is_waited_for(server, store, file, method, path, status):
    server.fail(method, path, status, times=2)
    notices = []
    image = base.ImageProperties(name='web', owner='project', protected=True)
    stored = store.upload(file, image, STAMP, on_notice=notices.append)
    assert only(server)['id'] == stored.image_id
    assert server.data[stored.image_id] == CONTENT
    assert only(server)['protected'] is True
    assert store.slept == [1, 2] or store.slept == [1]
    assert 'Trying again in 1 s.' in notices[0]


@pytest.mark.parametrize('status', [0, 500])
def test_it_dies_in_the_middle(server, store, file, status):
    server.fail('PUT', '/file', status, after=100_000)
    stored = store.upload(file, IMAGE, STAMP)
    assert only(server)['id'] == stored.image_id
    assert server.data[stored.image_id] == CONTENT


def test_the_answer_to_create_is_lost(server, store, file, monkeypatch):
    add = server.add

    def add_and_fail(*args, **values):
        add(*args, **values)
        monkeypatch.setattr(server, 'add', add)
        raise fake_glance._Refused(0, '')

    monkeypatch.setattr(server, 'add', add_and_fail)
    stored = store.upload(file, IMAGE, STAMP)
    assert only(server)['id'] == stored.image_id


def test_it_stays_away(server, store, file):
    server.fail('GET', '/v2/images', 503, 'maintenance', times=100)
    with pytest.raises(exception.ServiceUnavailable, match='maintenance'):
        store.upload(file, IMAGE, STAMP)
    assert store.slept


def test_nobody_is_there(server, store, file):
    server.__exit__()
    with pytest.raises(exception.ServiceUnavailable) as caught:
        store.upload(file, IMAGE, STAMP)
    assert caught.value.fault == 'service'
    with pytest.raises(exception.ServiceUnavailable):
        store.exists('x')


def test_active_late(server, store, file):
    server.slow = 3
    stored = store.upload(file, IMAGE, STAMP)
    assert server.images[stored.image_id]['status'] == 'active'
    assert store.slept == [1, 1]


def test_never_active(server, store, file):
    store._settings = glance_job.Settings(activation_timeout=0)
    store._retry_timeout = 0
    server.slow = 10**6
    with pytest.raises(exception.ServiceUnavailable, match='saving'):
        store.upload(file, IMAGE, STAMP)


# -- Glance refuses ----------------------------------------------------------


@pytest.mark.parametrize('status', [400, 403, 413])
@pytest.mark.parametrize(
    'method, path',
    [
        ('POST', '/v2/images$'),
        ('PUT', '/file'),
        ('PATCH', '/v2/images/'),
        ('POST', '/members'),
    ],
)
def test_a_refusal_is_the_users(server, store, file, method, path, status):
    server.fail(method, path, status, 'Too much of it.', times=9)
    image = base.ImageProperties(
        name='web', owner='project', members=['friend'], protected=True
    )
    with pytest.raises(exception.InvalidInput, match='Too much of it') as it:
        store.upload(file, image, STAMP)
    assert it.value.fault == 'user'
    assert '<' not in str(it.value)
    assert not server.images
    assert not store.slept


def test_a_format_that_is_not_what_it_is_said_to_be(server, store, file):
    server.fail('PUT', '/file', 415, 'It is no qcow2.')
    with pytest.raises(exception.InvalidInput, match='It is no qcow2'):
        store.upload(file, IMAGE, STAMP)
    assert not server.images


def test_too_large(server, store, file):
    server.limit = 1000
    with pytest.raises(exception.InvalidInput, match='larger than the limit'):
        store.upload(file, IMAGE, STAMP)
    assert not server.images


def test_a_format_that_the_cloud_does_not_have(server, store, file):
    image = base.ImageProperties('web', 'project', disk_format='floppy')
    with pytest.raises(exception.InvalidInput, match='floppy'):
        store.upload(file, image, STAMP)


# -- what arrives ------------------------------------------------------------


def test_other_bytes_arrive(server, store, file):
    server.corrupt = True
    with pytest.raises(exception.ChecksumMismatch) as caught:
        store.upload(file, IMAGE, STAMP)
    assert caught.value.fault == 'service'
    assert not server.images


@pytest.mark.parametrize('algo', ['sha256', 'sha512', 'sha384'])
def test_other_algorithms(server, store, file, algo):
    server.hash_algo = algo
    stored = store.upload(file, IMAGE, STAMP)
    assert stored.os_hash_algo == algo
    assert stored.os_hash_value == hashlib.new(algo, CONTENT).hexdigest()
    server.corrupt = True
    with pytest.raises(exception.ChecksumMismatch):
        store.upload(file, IMAGE, base.Stamp('b', 'other'))


def test_no_algorithm(server, store, file):
    server.hash_algo = None
    assert store.upload(file, IMAGE, STAMP).os_hash_value == ''


def test_the_length_is_said(server, store, file):
    store.upload(file, IMAGE, STAMP)
    assert server.chunked is False


def test_two_at_once_come_to_one_image(server, store, file):
    results = []

    def upload():
        results.append(store.upload(file, IMAGE, STAMP))

    threads = [threading.Thread(target=upload) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    final = store.upload(file, IMAGE, STAMP)
    assert only(server)['id'] == final.image_id
