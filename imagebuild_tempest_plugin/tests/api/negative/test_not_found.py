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
"""What is not there: 404."""

from tempest.lib import decorators
from tempest.lib import exceptions as lib_exc
from tempest.lib.common.utils import data_utils

from imagebuild_tempest_plugin.tests.api.negative import base
from imagebuild_tempest_plugin.tests.base import delete_build


class NotFoundTest(base.BaseNegativeTest):
    """Builds, recipes, addresses."""

    def _calls(self):
        """Everything that is asked of one build."""
        return [
            self.client.show_build,
            self.client.show_build_log,
            self.client.list_build_steps,
            self.client.cancel_build,
            self.client.delete_build,
            lambda build_id: self.client.update_build(build_id, name='x'),
        ]

    def assert_not_found(self, call, *args):
        error = self.assertRaises(lib_exc.NotFound, call, *args)
        self.assertEqual(404, error.resp_body['code'])
        self.assertTrue(error.resp_body['message'])

    @decorators.idempotent_id('6f423f66-1f68-4021-b2f3-df58667ae546')
    @decorators.attr(type=['negative', 'smoke'])
    def test_no_such_build(self):
        for call in self._calls():
            self.assert_not_found(call, data_utils.rand_uuid())

    @decorators.idempotent_id('6bf6f5ec-d219-4bca-8071-cd17d9f0387b')
    @decorators.attr(type=['negative'])
    def test_no_id_at_all(self):
        for call in self._calls():
            self.assert_not_found(call, 'no-id')

    @decorators.idempotent_id('537c8962-52e3-4fce-b63d-62aa7f452b10')
    @decorators.attr(type=['negative'])
    def test_deleted_build(self):
        build = self.build_image()
        delete_build(self.client, build['id'])
        for call in self._calls():
            self.assert_not_found(call, build['id'])

    @decorators.idempotent_id('0d802692-da87-4811-9004-1407af06f8fd')
    @decorators.attr(type=['negative'])
    def test_no_such_recipe(self):
        self.assert_not_found(self.client.show_recipe, 'no-such', '1')

    @decorators.idempotent_id('68382609-d249-4dbd-85e2-c4e89cac5506')
    @decorators.attr(type=['negative'])
    def test_no_such_address(self):
        self.assert_not_found(self.client.get, 'v1/no-such')
        self.assert_not_found(self.client.get, 'v9/builds')
