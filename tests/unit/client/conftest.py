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
import uuid

import pytest
from keystoneauth1 import noauth
from keystoneauth1 import session as ksa_session

from imagebuild import client

ENDPOINT = 'http://images.example:9797'


@pytest.fixture
def session():
    return ksa_session.Session(auth=noauth.NoAuth(endpoint=ENDPOINT))


@pytest.fixture
def builder(session):
    return client.Client(session, retry_delay=0.001)


@pytest.fixture
def body():
    """A build as the service shows it."""

    def make(**fields):
        return {
            'id': str(uuid.uuid4()),
            'name': 'web',
            'status': 'queued',
            'status_reason': None,
            'fault': None,
            'image_id': None,
            'images': [],
            'size': None,
            'checksum': {'os_hash_algo': None, 'os_hash_value': None},
            'progress': {'done': 0, 'total': 0, 'step': ''},
            'created_at': '2026-01-01T00:00:00.000Z',
            'started_at': None,
            'request': {'name': 'web'},
            'of_a_newer_service': {'x': 1},
            **fields,
        }

    return make
