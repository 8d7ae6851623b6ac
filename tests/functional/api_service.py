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
"""The real API over a real SQLite database, with conductors played by us."""

import contextlib
import copy
import dataclasses
import pathlib
import uuid
from unittest import mock

from cryptography import fernet
from oslo_config import cfg
from werkzeug import test as werkzeug_test

import imagebuild.conf
from imagebuild import db
from imagebuild import exception
from imagebuild.api import app
from imagebuild.api import local_token
from imagebuild.conductor import image_update
from imagebuild.drivers import fake
from imagebuild.messaging import bus
from imagebuild.messaging import rpcapi
from imagebuild.stores import base as stores_base
from tests.functional import blank_database
from tests.functional import notices

_OF_FILE = ('disk_format', 'size', 'os_hash_algo', 'os_hash_value')
OPERATING_SYSTEMS = """
debian-12:
  description: Debian 12
  image: {name: debian-12-base}
  driver: fake
debian-12-minimal:
  driver: fake
  driver_options: {output_lines: 3}
far-away:
  driver: fake
  architecture: s390x
"""

BASE = {
    'kind': 'glance',
    'id': 'e3d5a7f2-0000-4000-8000-000000000001',
    'location': 'http://internal.example/secret/path',
    'checksum': 'sha512:' + 'ab' * 64,
    'size': 1024,
    'disk_format': 'qcow2',
    'identity': 'sha512:' + 'ab' * 64,
}

DESTINATIONS = {
    'west': {'description': 'Our cloud in the west', 'disk_format': 'raw'},
    'east': {'projects': ['somebody-elses']},
}


class Conductors:
    """What the API sees of conductors; the bus that goes nowhere.

    :ivar casts: pairs of message and id, as they were sent.
    :ivar asked: the requests that were to be checked.
    :ivar entries: of the catalogue, which came with them.
    :ivar among: names of the conductors that could be asked, each time.
    :ivar answer: of check_request; an exception is raised.
    :ivar gone: ids of image rows that Glance no longer has.
    :ivar updates: what was to change of images, one after the other.
    :ivar protected: ids of images that Glance protects, or an exception.
    """

    def __init__(self, database):
        self._database = database
        self.casts = []
        self.asked = []
        self.entries = []
        self.among = []
        self.answer = {'problems': [], 'base': BASE}
        #: Whom the last message was to; nobody for all.
        self.told = []
        self.gone = set()
        self.protected = set()
        self.updates = []
        self._context = {}

    def with_context(self, context):
        bound = copy.copy(self)
        bound._context = context
        return bound

    def build(self, build_id, *, to=()):
        self.told[:] = to
        self.casts.append(('build', build_id))

    def pipeline(self, pipeline_id):
        self.casts.append(('pipeline', pipeline_id))

    def channel(self, channel_id):
        self.casts.append(('channel', channel_id))

    def cancel(self, build_id):
        self.casts.append(('cancel', build_id))

    def delete(self, build_id):
        self.casts.append(('delete', build_id))

    def check_request(self, request, entry, *, among):
        self.asked.append((self._context, request))
        self.entries.append(entry)
        self.among.append(among)
        if isinstance(self.answer, Exception):
            raise self.answer
        if request.get('base_image') == 'invisible':
            problem = {'path': 'base_image', 'message': 'there is no image'}
            return {'problems': [problem], 'base': None}
        return self.answer

    def plan_upload(self, build_id, destination, disk_format, *, among):
        upload = {
            'id': str(uuid.uuid5(uuid.UUID(build_id), destination)),
            'destination': destination,
            'disk_format': disk_format or 'qcow2',
            'container_format': 'bare',
        }
        return {'problems': [], 'upload': upload}

    def upload(self, upload_id):
        self.casts.append(('upload', upload_id))

    def verify_image(self, image_row_id, *, among):
        if image_row_id in self.gone:
            self._database.image_deleted(image_row_id)
            return False
        return True

    def update_image(self, build_id, changes, *, among):
        store = mock.create_autospec(stores_base.Store, instance=True)
        try:
            return image_update.update_image(
                self._database, lambda _destination: store, build_id, changes
            )
        finally:
            self.updates += [call.args[1] for call in store.update.mock_calls]

    def protected_images(self, build_id, upload_id=None, *, among):
        if isinstance(self.protected, Exception):
            raise self.protected
        store = mock.create_autospec(stores_base.Store, instance=True)
        store.is_protected.side_effect = self.protected.__contains__
        return image_update.protected_images(
            self._database, lambda _destination: store, build_id, upload_id
        )

    def read_log(self, build_id, offset=0, limit=1):
        if isinstance(self.answer, Exception):
            raise self.answer
        raise exception.NotFound(what='build', id=build_id)


@dataclasses.dataclass
class Service:
    """One API with all its parts.

    :ivar wsgi: the application, as if asked for at localhost.
    """

    conf: cfg.ConfigOpts
    database: db.Database
    conductors: Conductors
    notices: notices.Notices
    wsgi: object

    def up(self, name='builder-1', **values):
        """Have a conductor."""
        self.database.register_conductor(
            {
                'name': name,
                'drivers': ['fake'],
                'operating_systems': [],
                'architecture': 'x86_64',
                'slots': 2,
                'version': '1.0',
                'destinations': ['west', 'east'],
                'destination_documents': DESTINATIONS,
                'driver_schemas': {'fake': fake.Options.published()},
                **values,
            }
        )

    def finish(
        self, build_id, image_id='glance-1', *, packages=(), sbom=b'', **ending
    ):
        """Build it, as a conductor would."""
        job = self.database.claim('builder-1', job=build_id)
        assert job is not None, 'it cannot be claimed'
        build = self.database.get_build(build_id)
        if sbom:
            self.database.store_sbom(
                build_id,
                sbom,
                packages,
                conductor='builder-1',
                attempt=build.attempt,
            )
        image = {
            'image_id': image_id,
            'disk_format': 'qcow2',
            'container_format': 'bare',
            'size': 4096,
            'os_hash_algo': 'sha512',
            'os_hash_value': 'cd' * 64,
        }
        ending = {'status': 'active', **ending}
        if ending['status'] == 'active':
            ending['image'] = image
            self.database.add_artifact(
                'repository-1',
                'builder-1',
                {
                    'id': build_id,
                    'build_id': build_id,
                    'project_id': build.project_id,
                    'virtual_size': 4096,
                    **{name: image[name] for name in _OF_FILE},
                },
            )
        return self.database.finish_build(
            build_id,
            db.Outcome(**ending),
            conductor='builder-1',
            attempt=build.attempt,
        )


def at_localhost(application):
    """What gabbi asks has names of its own for the host."""

    def wrapped(environ, start_response):
        environ['HTTP_HOST'] = 'localhost'
        environ.setdefault('REMOTE_ADDR', '127.0.0.1')
        return application(environ, start_response)

    return wrapped


def with_token(conf, application):
    """Whoever asks has the token, where one is needed."""
    local = at_localhost(application)
    if conf.api.auth_strategy != 'noauth':
        return local

    def wrapped(environ, start_response):
        environ['HTTP_X_AUTH_TOKEN'] = local_token.read(conf)
        return local(environ, start_response)

    return wrapped


def make_conf(directory, **api_options):
    """Return a configuration of a service with its state in a directory."""
    directory = pathlib.Path(directory)
    catalogue = directory / 'operating-systems.yaml'
    catalogue.write_text(OPERATING_SYSTEMS)
    conf = cfg.ConfigOpts()
    imagebuild.conf.register(conf)
    conf([], project='imagebuild', default_config_files=[])
    conf.set_override('state_path', str(directory))
    conf.set_override('operating_systems_file', str(catalogue))
    conf.set_override(
        'encryption_keys', [fernet.Fernet.generate_key().decode()]
    )
    conf.set_override('min_free_disk', 0, 'api')
    # Nobody sends heartbeats here.
    conf.set_override('dead_after', 3600, 'conductor')
    api_options = {'auth_strategy': 'noauth', **api_options}
    for name, value in api_options.items():
        conf.set_override(name, value, 'api')
    return conf


@contextlib.contextmanager
def running(directory, **api_options):
    """Give a service with one conductor up."""
    conf = make_conf(directory, **api_options)
    url = blank_database.make(f'{directory}/imagebuild.sqlite')
    database = db.Database(url)
    conductors = Conductors(database)
    notifier = notices.Notices()
    application = app.create_app(
        conf,
        database=database,
        conductor_api=conductors,
        notifier=notifier,
    )
    service = Service(
        conf, database, conductors, notifier, with_token(conf, application)
    )
    service.up()
    try:
        yield service
    finally:
        database.close()
        conf.clear()


def over_bus(conf, database, *, timeout=60):
    """A client of an API that reaches conductors of this process."""
    application = app.create_app(
        conf,
        database=database,
        conductor_api=rpcapi.ConductorAPI(
            bus.get_transport(conf, 'fake://'), timeout=timeout
        ),
        notifier=notices.Notices(),
    )
    return werkzeug_test.Client(with_token(conf, application))
