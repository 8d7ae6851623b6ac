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
"""What operators see."""

from tempest.lib import decorators

from imagebuild_tempest_plugin.tests import base


class ConductorsTest(base.BaseImageBuildTest):
    """Who builds."""

    credentials = ['primary', 'admin']

    @classmethod
    def setup_clients(cls):
        super().setup_clients()
        cls.admin_client = base.our_client(cls.os_admin)

    @decorators.idempotent_id('a5b15779-02ac-426a-95f1-d65a5f5dcdc1')
    @decorators.attr(type='smoke')
    def test_list_conductors(self):
        found = self.admin_client.list_conductors()['conductors']
        alive = [conductor for conductor in found if conductor['alive']]
        self.assertNotEqual([], alive)
        for conductor in alive:
            self.assertIn(conductor['status'], ('up', 'draining'))
            self.assertNotEqual([], conductor['drivers'])
            self.assertGreaterEqual(conductor['slots'], 0)
            self.assertTrue(conductor['version'])

    @decorators.idempotent_id('a40e0943-a75b-4344-8c1a-17f771db995d')
    def test_a_conductor_has_built(self):
        build = self.build_image()
        found = self.admin_client.list_conductors()['conductors']
        names = [conductor['name'] for conductor in found]
        self.assertIn(build['conductor'], names)
