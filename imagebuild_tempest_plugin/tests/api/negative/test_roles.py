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
"""Who may not: 401 and 403."""

from tempest.lib import decorators
from tempest.lib import exceptions as lib_exc

from imagebuild_tempest_plugin.tests.api.negative import base


class MemberTest(base.BaseNegativeTest):
    """What only operators may."""

    def assert_forbidden(self, call, *args, **kwargs):
        error = self.assertRaises(lib_exc.Forbidden, call, *args, **kwargs)
        self.assertEqual(403, error.resp_body['code'])

    @decorators.idempotent_id('c90df794-e63e-4f7b-83ef-28b7d0b195fd')
    @decorators.attr(type=['negative'])
    def test_conductors(self):
        self.assert_forbidden(self.client.list_conductors)

    @decorators.idempotent_id('ea6583ba-ecbf-45ba-b738-2415df1506ad')
    @decorators.attr(type=['negative', 'smoke'])
    def test_lists_of_all_projects(self):
        self.assert_forbidden(self.client.list_builds, all_projects=True)
        self.assert_forbidden(self.client.list_uploads, all_projects=True)

    @decorators.idempotent_id('b2164dcd-ec5c-4206-bbef-1ffd5460160f')
    @decorators.attr(type=['negative'])
    def test_list_of_another_project(self):
        self.assert_forbidden(self.client.list_builds, project_id='another')

    @decorators.idempotent_id('86f3ccb2-0dba-40fd-8e41-deaa48201ed8')
    @decorators.attr(type=['negative'])
    def test_public_image(self):
        self.assert_forbidden(
            self.client.create_build, **self.request(visibility='public')
        )

    @decorators.idempotent_id('5205c792-de0a-430d-b9c8-9a36d3949721')
    @decorators.attr(type=['negative'])
    def test_image_made_public(self):
        build = self.build_image()
        self.assert_forbidden(
            self.client.update_build, build['id'], visibility='public'
        )
        image = self.images.show_image(build['image_id'])
        self.assertEqual('shared', image['visibility'])


class NobodyTest(base.BaseNegativeTest):
    """Without a good token."""

    def _status(self, method, path, headers):
        url = f'{self.client.base_url}/{path}'
        resp, _ = self.client.raw_request(url, method, headers)
        return resp.status

    @decorators.idempotent_id('cfc0474b-1d46-48fd-85e8-c51b47c1f4f9')
    @decorators.attr(type=['negative', 'smoke'])
    def test_no_token(self):
        for path in ('v1/builds', 'v1/recipes', 'v1/operating-systems'):
            self.assertEqual(401, self._status('GET', path, {}))
        self.assertEqual(401, self._status('POST', 'v1/builds', {}))

    @decorators.idempotent_id('0a11da5c-d161-49cd-8df0-1f22beae2bdd')
    @decorators.attr(type=['negative'])
    def test_wrong_token(self):
        headers = {'X-Auth-Token': 'wrong'}
        self.assertEqual(401, self._status('GET', 'v1/builds', headers))

    @decorators.idempotent_id('6dda7282-4512-425a-818c-8d89bc185c5c')
    @decorators.attr(type=['negative'])
    def test_headers_are_no_identity(self):
        headers = {
            'X-Identity-Status': 'Confirmed',
            'X-Project-Id': self.client.project_id,
            'X-Roles': 'admin',
        }
        self.assertEqual(401, self._status('GET', 'v1/builds', headers))
