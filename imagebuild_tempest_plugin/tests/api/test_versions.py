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
"""What the service says about itself."""

from tempest.lib import decorators

from imagebuild_tempest_plugin.tests import base


class VersionsTest(base.BaseImageBuildTest):
    """Versions, the description of the API, health."""

    @decorators.idempotent_id('5906dc76-5ecc-4e7c-a798-e123cbf790c0')
    @decorators.attr(type='smoke')
    def test_list_versions(self):
        [version] = self.client.list_versions()['versions']
        self.assertEqual('CURRENT', version['status'])
        self.assertEqual('1.0', version['min_version'])
        self.assertTrue(version['links'][0]['href'].endswith('/v1'))

    @decorators.idempotent_id('6f17e06a-e97a-4117-b402-2240ff9624de')
    @decorators.attr(type='smoke')
    def test_show_version(self):
        [listed] = self.client.list_versions()['versions']
        self.assertEqual(listed, self.client.show_version()['version'])

    @decorators.idempotent_id('5dcf7ba6-0e70-4600-b2f4-dc7d2911e11e')
    def test_versions_need_no_token(self):
        resp, _ = self.client.raw_request(f'{self.client.base_url}/v1', 'GET')
        self.assertEqual(200, resp.status)

    @decorators.idempotent_id('d4aed152-124d-4e7c-b67e-c36a79effe51')
    def test_answers_name_their_microversion(self):
        resp = self.client.list_builds(limit=1).response
        self.assertEqual('image-build 1.0', resp['openstack-api-version'])

    @decorators.idempotent_id('acbcb6b8-2b97-4fc6-8b6d-08c9297fc7fe')
    def test_latest_microversion(self):
        client = base.our_client(self.os_primary)
        client.microversion = 'latest'
        [version] = client.list_versions()['versions']
        resp = client.list_builds(limit=1).response
        self.assertEqual(
            f'image-build {version["max_version"]}',
            resp['openstack-api-version'],
        )

    @decorators.idempotent_id('952615d9-8c99-41e3-a441-e8f66f0f14d3')
    def test_answers_have_a_request_id(self):
        resp = self.client.list_builds(limit=1).response
        self.assertIn('x-openstack-request-id', resp)

    @decorators.idempotent_id('125deebf-4e5b-4044-ac99-344e3a0ff489')
    def test_openapi_lists_the_calls(self):
        paths = self.client.show_openapi()['paths']
        for path in ('/v1/builds', '/v1/builds/{build_id}/log', '/v1/recipes'):
            self.assertIn(path, paths)

    @decorators.idempotent_id('f3a538aa-1824-4536-a6ea-589e55dbed47')
    def test_service_is_healthy(self):
        self.assertEqual('ok', self.client.show_health()['status'])
