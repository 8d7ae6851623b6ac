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
"""The resource over the real client: what goes over the wire."""

import requests_mock
from heat.engine import scheduler
from keystoneauth1 import noauth
from keystoneauth1 import session

from heat_plugin.clients import image_build
from imagebuild import client
from tests.heat import base

URL = 'http://builder.example.org/v1'
BUILD = {'id': 'b1', 'name': 'web', 'status': 'queued', 'image_id': None}


class TestWire(base.HeatPluginTestCase):
    def setUp(self):
        super().setUp()
        real = client.Client(
            session.Session(auth=noauth.NoAuth()),
            endpoint_override=URL,
            connect_retries=0,
            status_code_retries=0,
        )
        self.mock(
            image_build.ImageBuildClientPlugin,
            'client',
            return_value=real,
        )
        self.wire = requests_mock.Mocker()
        self.wire.start()
        self.addCleanup(self.wire.stop)

    def create(self):
        stack = self.stack(changes={'name': 'web'})
        self.mock(image_build.ImageBuildClientPlugin, 'find_os')
        scheduler.TaskRunner(stack.create)()
        return stack['web']

    def test_create_and_delete(self):
        self.wire.post(f'{URL}/builds', json={'build': BUILD})
        self.wire.get(
            f'{URL}/builds/b1',
            [
                {'json': {'build': {**BUILD, 'status': 'building'}}},
                {'status_code': 503},
                {
                    'json': {
                        'build': {
                            **BUILD,
                            'status': 'active',
                            'image_id': 'i1',
                        }
                    }
                },
            ],
        )
        web = self.create()
        self.assertEqual(('CREATE', 'COMPLETE'), web.state)
        self.assertEqual('i1', web.FnGetRefId())
        self.wire.delete(f'{URL}/builds/b1', status_code=204)
        self.wire.get(
            f'{URL}/builds/b1',
            [
                {'json': {'build': {**BUILD, 'status': 'active'}}},
                {'json': {'build': {**BUILD, 'status': 'deleting'}}},
                {'status_code': 404},
            ],
        )
        scheduler.TaskRunner(web.delete)()
        self.assertEqual(('DELETE', 'COMPLETE'), web.state)

    def test_broken_build(self):
        failed = {
            **BUILD,
            'status': 'error',
            'fault': 'user',
            'status_reason': 'E: Unable to locate package nginxx',
        }
        self.wire.post(f'{URL}/builds', json={'build': BUILD})
        self.wire.get(f'{URL}/builds/b1', json={'build': failed})
        self.wire.get(
            f'{URL}/builds/b1/steps',
            json={
                'steps': [
                    {'path': 'packages', 'result': 'failed', 'output': 'tail'}
                ]
            },
        )
        web = self.create()
        self.assertEqual(('CREATE', 'FAILED'), web.state)
        self.assertIn('step packages failed', web.status_reason)
        self.assertTrue(web.status_reason.endswith('\ntail'))
        posts = [
            item for item in self.wire.request_history if item.method == 'POST'
        ]
        self.assertEqual(1, len(posts))
        self.assertEqual(['nginx'], posts[0].json()['packages'])

    def test_refusal(self):
        self.wire.post(
            f'{URL}/builds',
            status_code=400,
            json={
                'error': {
                    'code': 400,
                    'title': 'Bad request',
                    'message': 'The request is not valid:\n  os: no such os',
                    'errors': [{'path': 'os', 'message': 'no such os'}],
                }
            },
        )
        web = self.create()
        self.assertEqual(
            'ImageBuildRefused: resources.web: The image build service '
            'refused the image "web": os: no such os.',
            web.status_reason,
        )
