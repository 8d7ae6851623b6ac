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
"""The store contract, and who may use which image, against a real Glance."""

import concurrent.futures
import dataclasses
import datetime
import hashlib
import io
import json
import os
import pathlib
import threading
import time
import types
import uuid

import pytest
import yaml
from oslo_config import cfg

from imagebuild import artifacts
from imagebuild import conf as imagebuild_conf
from imagebuild import db
from imagebuild import exception
from imagebuild.clients import glance as glance_client
from imagebuild.common import host_paths
from imagebuild.conductor import client_cache
from imagebuild.conductor import conductor_context
from imagebuild.conductor import deletion_attempt
from imagebuild.conductor import leaks
from imagebuild.conductor import retry_policy
from imagebuild.conductor import store_pauses
from imagebuild.db import migration
from imagebuild.disks import base_images
from imagebuild.drivers import attempt_images
from imagebuild.stores import base
from imagebuild.stores import registry
from tests.cloud import people
from tests.contract import adoption_contract
from tests.contract import database as contract
from tests.functional.cmd import packing_place
from tools.cloud import clouds
from tools.cloud import credentials


@pytest.fixture(scope='module')
def config(glance_cloud: clouds.Cloud) -> dict[str, dict[str, object]]:
    return {
        'keystone': glance_cloud.site.credentials('imagebuild'),
        'glance': {'retry_timeout': 180},
    }


@pytest.fixture(scope='module')
def projects(glance_cloud: clouds.Cloud) -> dict[str, str]:
    return {
        user: glance_cloud.openstack(
            *('token', 'issue', '-f', 'value', '-c', 'project_id'), user=user
        )
        for user in ('demo', 'other')
    }


@pytest.fixture(scope='module')
def glance(config):
    return glance_client.Glance.from_config(config)


class Content(io.BytesIO):
    def __len__(self):
        return len(self.getbuffer())


class TestGlanceStore(adoption_contract.AdoptionContract):
    @pytest.fixture(autouse=True)
    def _projects(self, projects):
        type(self).OWNER = projects['demo']
        type(self).MEMBER = projects['other']

    @pytest.fixture
    def store(self, config, stamp):
        store = registry.load('glance', config)
        self.attempts = []
        yield store
        store.discard(stamp)
        for attempt in self.attempts:
            attempt_images.reap(store._glance, attempt)
            assert set(
                attempt_images.left(store._glance, attempt.service)
            ) == (set())

    def make(self, store, content, values):
        stamp = artifacts.AttemptStamp.from_properties(values, 'some-service')
        self.attempts.append(stamp)
        image = store._glance.create(name='a snapshot', **values)
        if content:
            store._glance.send(image.id, Content(content))
        return image.id

    def look(self, store, image_id):
        record = dict(store._glance._client.images.get(image_id))
        if record['visibility'] == 'shared':
            record['members'] = store._glance.members(image_id)
        return record

    def content(self, store, image_id):
        with store._glance.data(image_id) as source:
            return b''.join(source)

    # -- what only a real one shows -----------------------------------------

    def test_is_the_projects_own(
        self, glance_cloud, store, file, image, stamp
    ):
        stored = store.upload(file, image, stamp)
        command = ('image', 'show', stored.image_id, '-f', 'value')
        shown = glance_cloud.openstack(*command, '-c', 'name', user='demo')
        assert shown == 'web'
        listed = glance_cloud.openstack(
            'image', 'list', '-f', 'value', '-c', 'ID', user='other'
        )
        assert stored.image_id not in listed.split()

    def test_as_a_cloud_of_clouds_yaml(
        self, glance_cloud, tmp_path, file, image, stamp
    ):
        """A destination logs in by that file alone."""
        account = glance_cloud.site.credentials('imagebuild')
        (tmp_path / 'clouds.yaml').write_text(
            yaml.safe_dump(
                {
                    'clouds': {
                        'itself': {
                            'auth_type': account.pop('auth_type'),
                            'auth': account,
                        }
                    }
                }
            )
        )
        (tmp_path / 'imagebuild.conf').write_text(
            '[destination:here]\ncloud = itself\n'
            f'clouds_file = {tmp_path}/clouds.yaml\nretry_timeout = 180\n'
        )
        conf = cfg.ConfigOpts()
        imagebuild_conf.register(conf)
        conf([], default_config_files=[str(tmp_path / 'imagebuild.conf')])
        found = client_cache.ClientCache(conf).store('here')
        # As a job gets it.
        document = json.dumps(conductor_context.job_config(conf, 'here'))
        sent = registry.load('glance', json.loads(document))
        stored = sent.upload(file, image, stamp)
        assert found.find(stamp) == stored
        assert found.exists(stored.image_id)
        found.delete(stored.image_id)
        assert not sent.exists(stored.image_id)

    def test_what_glance_refuses(self, store, file, stamp):
        image = base.ImageProperties(
            name='web', owner=self.OWNER, disk_format='floppy'
        )
        with pytest.raises(exception.InvalidInput, match='floppy') as caught:
            store.upload(file, image, stamp)
        assert caught.value.fault == 'user'
        image = base.ImageProperties(name='x' * 300, owner=self.OWNER)
        with pytest.raises(exception.InvalidInput):
            store.upload(file, image, stamp)
        assert store.discard(stamp) == 0

    def test_half_of_one_is_made_again(self, store, file, image, stamp):
        """A conductor dies in the middle of its upload."""
        record = store._glance.create(
            name='web',
            owner=self.OWNER,
            disk_format='raw',
            container_format='bare',
            **stamp.properties(),
        )
        stop = threading.Event()

        @dataclasses.dataclass
        class Endless:
            sent: int = 0

            def __len__(self):
                return 100 * 1024 * 1024

            def read(self, size=-1):
                if self.sent > 10 * 1024 * 1024:
                    stop.wait(300)
                    raise OSError('killed')
                self.sent += size
                return b'x' * size

        def send():
            with pytest.raises(exception.ImageBuildError):
                store._glance.send(record.id, Endless())

        thread = threading.Thread(target=send)
        thread.start()
        end = time.monotonic() + 200
        while store._glance.get(record.id).status != 'saving':
            assert time.monotonic() < end
            time.sleep(0.2)
        stored = store.upload(file, image, stamp)
        stop.set()
        thread.join()
        assert stored.image_id != record.id
        assert store.discard(stamp) == 1

    def test_glance_is_away_for_a_while(
        self, glance_cloud, store, file, image, stamp
    ):
        glance_cloud.service('glance').stop()

        def start():
            time.sleep(2)
            glance_cloud.service('glance').start()

        thread = threading.Thread(target=start)
        notices = []

        def notice(text):
            notices.append(text)
            # Not before it was missed.
            if len(notices) == 1:
                thread.start()

        try:
            stored = store.upload(file, image, stamp, on_notice=notice)
        finally:
            if notices:
                thread.join()
            else:
                start()
        assert store.exists(stored.image_id)
        assert 'Trying again' in notices[0]
        assert store.discard(stamp) == 1


class TestBaseImages:
    @pytest.fixture
    def content(self):
        return os.urandom(1024 * 1024) * 8

    @pytest.fixture
    def stored(self, config, projects, tmp_path, content):
        """Store an image of demo's."""
        store = registry.load('glance', config)
        path = tmp_path / 'image'
        path.write_bytes(content)
        stamps = []

        def make(**values):
            stamps.append(base.Stamp('b', str(uuid.uuid4())))
            values = {'name': f'base-{stamps[-1].upload_id}', **values}
            image = base.ImageProperties(
                owner=projects['demo'], disk_format='raw', **values
            )
            return store.upload(path, image, stamps[-1]), values['name']

        yield make
        for stamp in stamps:
            store.discard(stamp)

    @pytest.mark.parametrize(
        'visibility, by_id, by_name',
        [
            ('private', False, False),
            ('shared', False, False),
            ('community', True, False),
            ('public', True, True),
        ],
    )
    def test_of_another_project(
        self, glance, stored, projects, visibility, by_id, by_name
    ):
        image, name = stored(visibility=visibility)
        for reference, expected in ((image.image_id, by_id), (name, by_name)):
            mine = glance.visible_image(projects['demo'], reference)
            assert mine.id == image.image_id
            if expected:
                glance.visible_image(projects['other'], reference)
                continue
            with pytest.raises(exception.NotFound):
                glance.visible_image(projects['other'], reference)

    def test_shared_and_accepted(self, glance_cloud, glance, stored, projects):
        image, name = stored(members=[projects['other']])
        with pytest.raises(exception.NotFound):
            glance.visible_image(projects['other'], name)
        glance_cloud.openstack(
            *('image', 'set', '--accept', image.image_id), user='other'
        )
        for reference in (image.image_id, name):
            found = glance.visible_image(projects['other'], reference)
            assert found.checksum.startswith('sha512:')

    def test_the_newest_with_a_tag(self, glance, stored, projects):
        tag = f'tag-{uuid.uuid4()}'
        stored(tags=[tag])
        # Glance's times are seconds.
        time.sleep(1.1)
        newest, _ = stored(tags=[tag, 'other'])
        found = glance.visible_image(projects['demo'], tag=tag)
        assert found.id == newest.image_id

    def test_from_the_middle_into_the_cache(
        self, glance, stored, content, tmp_path: pathlib.Path
    ):
        image, _ = stored()
        with glance.data(image.image_id, 1000) as source:
            assert source.offset in (0, 1000)
            assert b''.join(source) == content[source.offset :]
        value = hashlib.sha512(content).hexdigest()
        cache = base_images.Cache(tmp_path / 'cache')
        cache.directory.mkdir()
        (cache.directory / f'sha512-{value}.part').write_bytes(
            content[:99_999]
        )
        with cache.get(
            lambda offset: glance.data(image.image_id, offset),
            checksum=f'sha512:{value}',
            size=len(content),
        ) as path:
            assert path.read_bytes() == content


def test_conductors_delete_an_image_at_the_same_moment(
    config, projects, tmp_path
):
    stores = [registry.load('glance', config) for _ in range(3)]
    path = tmp_path / 'image'
    path.write_bytes(b'x' * 4096)
    image = base.ImageProperties(
        name='once', owner=projects['demo'], disk_format='raw', tags=['t']
    )
    barrier = threading.Barrier(len(stores))

    def delete(store, image_id):
        barrier.wait(60)
        store.delete(image_id)

    with concurrent.futures.ThreadPoolExecutor() as pool:
        for _ in range(5):
            stamp = base.Stamp(str(uuid.uuid4()), str(uuid.uuid4()), 'key')
            made = stores[0].upload(path, image, stamp).image_id
            [*pool.map(delete, stores, [made] * len(stores))]
            assert not stores[0].exists(made)


class Deleting:
    """A conductor's part in deleting, with a database of its own."""

    def __init__(self, directory, store):
        url = f'sqlite:///{directory}/deleting.sqlite'
        migration.upgrade(url)
        self.now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
        self.database = db.Database(url, clock=lambda: self.now)
        self._context = types.SimpleNamespace(
            conf=types.SimpleNamespace(
                conductor=types.SimpleNamespace(leak_grace=3600)
            ),
            name='c1',
            database=self.database,
            retry=retry_policy.RetryPolicy(threading.Event()),
            open_store=lambda _name: store,
            job_config=lambda _name: {
                'destination': {'hide_undeletable': True}
            },
            paths=host_paths.HostPaths(),
        )
        self._leaks = leaks.LeakFinder(self._context)
        self.search()

    def search(self):
        self._leaks.search('')
        self.now += datetime.timedelta(hours=1)

    def known(self, image_id):
        """Have a build whose image it is."""
        return contract.finish(
            self.database,
            contract.start(self.database),
            image={**contract.IMAGE, 'image_id': image_id},
        )

    def attempt(self):
        """Try to delete the one image that is to be deleted.

        :returns: its row afterwards.
        """
        self.now += datetime.timedelta(minutes=10)
        self.database.release_waiting()
        [image] = self.database.deleting_images()
        job = self.database.claim('c1', job=image.id)
        made = deletion_attempt.DeletionAttempt(
            self._context, job, image, store_pauses.StorePauses(), str
        )
        made.start()
        assert made.join(120)
        return self.database.get_image(image.id)


def test_what_conductors_delete(glance_cloud, config, projects, tmp_path):
    """Leaks, what looks like one, and what is protected."""
    path = tmp_path / 'image'
    path.write_bytes(b'x' * 4096)

    def open_store(service):
        section = {**config['glance'], 'service_id': service}
        return registry.load('glance', {**config, 'glance': section})

    def add(store, **values):
        image = base.ImageProperties(
            name='left', owner=projects['demo'], disk_format='raw', **values
        )
        stamp = base.Stamp(str(uuid.uuid4()), str(uuid.uuid4()), 'key')
        return store.upload(path, image, stamp).image_id

    name = f'test-{uuid.uuid4()}'
    store, other = open_store(name), open_store(f'{name}-staging')
    deleting = Deleting(tmp_path, store)
    leaked, protected = add(store), add(store, protected=True)
    known, foreign = add(store), add(other)
    build = deleting.known(known)
    tenant = people.glance(glance_cloud, 'demo')
    marks = {
        key: value
        for key, value in tenant.images.get(known).items()
        if key.startswith('imagebuild_')
    }
    formats = {'disk_format': 'raw', 'container_format': 'bare'}
    snapshot = tenant.images.create(**formats, **marks).id
    copy = str(uuid.uuid4())
    tenant.images.create(
        **{**formats, **marks, 'id': copy, 'imagebuild_image_id': copy}
    )
    for _ in range(3):
        deleting.search()
    left = {image.id for image in tenant.images.list()}
    left |= {
        each.id for each in tenant.images.list(filters={'os_hidden': True})
    }
    assert left >= {protected, known, foreign, snapshot}
    assert not left & {leaked, copy}
    assert tenant.images.get(protected).os_hidden

    tenant.images.update(known, protected=True)
    deleting.database.delete_build(build.id)
    waits = deleting.attempt()
    assert waits.status == 'deleting' and 'protected' in waits.status_reason
    assert tenant.images.get(known).os_hidden
    for image_id in (known, protected):
        tenant.images.update(image_id, protected=False)
    assert deleting.attempt().status == 'deleted'
    deleting.search()
    for image_id in (known, protected):
        assert not store.exists(image_id)
    for image_id in (foreign, snapshot):
        tenant.images.delete(image_id)
    deleting.database.close()


class TestCatalogue:
    """Nobody's image is taken for one of the operator's."""

    @pytest.fixture
    def make(self, glance_cloud):
        """Make an image as this user."""
        made = []

        def make(user, *, content=b'x', **values):
            client = people.glance(glance_cloud, user)
            record = client.images.create(
                disk_format='raw', container_format='bare', **values
            )
            made.append((client, record.id))
            if content:
                client.images.upload(record.id, io.BytesIO(content))
            # Glance's times are seconds.
            time.sleep(1.1)
            return record.id

        yield make
        for client, image_id in made:
            client.images.delete(image_id)

    @pytest.mark.parametrize('kind', ['name', 'tag'])
    @pytest.mark.parametrize('visibility', ['private', 'shared', 'community'])
    def test_two_members_want_to_replace_a_base_image(
        self, glance, make, kind, visibility
    ):
        word = f'base-{uuid.uuid4()}'
        said = {'name': word} if kind == 'name' else {'tags': [word]}
        theirs = make('demo', visibility=visibility, **said)
        with pytest.raises(exception.NotFound):
            glance.trusted_image(kind, word)
        public = make('admin', visibility='public', **said)
        make('other', visibility=visibility, **said)
        make('demo', content=b'', visibility=visibility, **said)
        assert glance.trusted_image(kind, word).id == public
        with pytest.raises(exception.NotFound):
            glance.trusted_image('id', theirs)

    def test_rotation(self, glance_cloud, glance, make):
        """The service user's own, private ones; the default trusts them."""
        tag = f'tag-{uuid.uuid4()}'
        ours = people.glance(glance_cloud)
        old = make('imagebuild', tags=[tag], visibility='private')
        theirs = make('demo', tags=[tag], visibility='private')
        new = make('imagebuild', content=b'', tags=[tag], visibility='private')
        assert glance.trusted_image('tag', tag).id == old
        ours.image_tags.delete(old, tag)
        with pytest.raises(exception.NotFound):
            glance.trusted_image('tag', tag)
        ours.images.upload(new, io.BytesIO(b'y'))
        assert glance.trusted_image('tag', tag).id == new
        ours.images.update(new, os_hidden=True)
        with pytest.raises(exception.NotFound):
            glance.trusted_image('tag', tag)
        assert glance.get(theirs).status == 'active'

    def test_projects_that_the_operator_names(self, config, projects, make):
        word = f'base-{uuid.uuid4()}'
        theirs = make('demo', name=word, visibility='private')
        make('other', name=word, visibility='private')
        section = {**config['glance'], 'trusted_projects': [projects['demo']]}
        trusting = glance_client.Glance.from_config(
            {**config, 'glance': section}
        )
        assert trusting.trusted_image('name', word).id == theirs


# -- base images of imagebuild-pack -----------------------------------------


def test_base_images_of_whoever_packs(
    glance_cloud, glance, projects, tmp_path, capsys, monkeypatch
):
    """An administrator sees everybody's, and means none of them."""
    place = packing_place.Place(tmp_path, capsys, monkeypatch)
    place.catalogue('a: {image: {tag: of-pack}}\n')
    for name in [name for name in os.environ if name.startswith('OS_')]:
        monkeypatch.delenv(name)
    monkeypatch.setenv(
        'OS_CLIENT_CONFIG_FILE',
        str(glance_cloud.site.state.directory / 'clouds.yaml'),
    )
    made = []
    try:
        for user, project in projects.items():
            image = glance.create(
                name=f'of-{user}', owner=project, visibility='private',
                tags=['of-pack'], disk_format='raw', container_format='bare',
            )  # fmt: skip
            made.append(image.id)
            glance.send(image.id, Content(user.encode().ljust(512)))
        # By name, by id, by the tag that the newer one has as well.
        as_demo = ('--os-cloud', 'demo')
        for number, base_ in enumerate(('glance:of-demo', 'a')):
            code, told = place.pack(
                base_, *as_demo, output=f'out/{number}.img'
            )
            assert code == 0, told
        for name, value in credentials.environment(
            glance_cloud.site, 'demo'
        ).items():
            monkeypatch.setenv(name, value)
        code, told = place.pack(f'glance:{made[0]}', output='out/2.img')
        assert code == 0, told
        assert place.packed == [b'demo'.ljust(512)] * 3
        for base_, user in (
            ('glance:of-demo', 'other'),
            (f'glance:{made[0]}', 'admin'),
            ('glance:of-demo', 'admin'),
            ('a', 'admin'),
        ):
            code, told = place.pack(
                base_, '--os-cloud', user, output='out/none.img'
            )
            assert code == 2, told
            assert told.splitlines()[-1].startswith('There is no ')
    finally:
        for image_id in made:
            glance.delete(image_id)
