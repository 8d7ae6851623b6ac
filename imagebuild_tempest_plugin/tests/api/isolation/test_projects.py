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
"""Projects do not see each other."""

from tempest.lib import decorators
from tempest.lib import exceptions as lib_exc

from imagebuild_tempest_plugin.common import requests
from imagebuild_tempest_plugin.common import waiters
from imagebuild_tempest_plugin.tests import base


class OtherProjectTest(base.BaseImageBuildTest):
    """A member of another project, and an operator."""

    credentials = ['primary', 'alt', 'admin']

    @classmethod
    def setup_clients(cls):
        super().setup_clients()
        cls.alt_client = base.our_client(cls.os_alt)
        cls.admin_client = base.our_client(cls.os_admin)

    @classmethod
    def resource_setup(cls):
        super().resource_setup()
        cls.wanted = requests.image(cls.system)
        cls.build = cls.build_class_image(**cls.wanted)

    @decorators.idempotent_id('24bcf7cb-00e0-4ef3-bd7b-797b7c5d1051')
    @decorators.attr(type=['negative', 'smoke'])
    def test_build_is_not_there(self):
        client = self.alt_client
        for call in (
            client.show_build,
            client.show_build_log,
            client.list_build_steps,
            client.cancel_build,
            client.delete_build,
            lambda build_id: client.update_build(build_id, name='theirs'),
        ):
            self.assertRaises(lib_exc.NotFound, call, self.build['id'])
        shown = self.client.show_build(self.build['id'])
        self.assertEqual(self.wanted['name'], shown['name'])

    @decorators.idempotent_id('7d045484-1fdb-4976-9416-036002c72bd8')
    def test_build_is_not_listed(self):
        found = self.alt_client.list_builds()['builds']
        self.assertNotIn(self.build['id'], [build['id'] for build in found])
        found = self.alt_client.list_builds(name=self.build['name'])
        self.assertEqual([], found['builds'])
        found = self.alt_client.list_uploads(build_id=self.build['id'])
        self.assertEqual([], found['uploads'])

    @decorators.idempotent_id('b712a205-a48c-4ea2-87f0-1f59cfbc91c5')
    @decorators.attr(type=['negative'])
    def test_build_is_no_marker(self):
        self.assertRaises(
            lib_exc.BadRequest,
            self.alt_client.list_builds,
            marker=self.build['id'],
        )

    @decorators.idempotent_id('d17669c2-2086-4252-a152-470dc884f11e')
    def test_image_is_not_reused(self):
        plan = self.alt_client.plan_build(**self.wanted)
        self.assertTrue(plan['would_build'])
        self.assertIsNone(plan['reuse']['image_id'])
        theirs = self.build_image(self.alt_client, **self.wanted)
        self.assertIsNone(theirs['reused_from'])
        self.assertNotEqual(self.build['image_id'], theirs['image_id'])
        image = self.os_alt.image_client_v2.show_image(theirs['image_id'])
        self.assertEqual(self.alt_client.project_id, image['owner'])

    @decorators.idempotent_id('9f86dd67-40e9-4668-83ac-d1c0ff21f868')
    @decorators.attr(type=['negative'])
    def test_base_image_is_not_there(self):
        private = self.images.create_image(
            name='private',
            disk_format='qcow2',
            container_format='bare',
            visibility='private',
        )
        self.addCleanup(self.images.delete_image, private['id'])
        error = self.assertRaises(
            lib_exc.BadRequest,
            self.alt_client.create_build,
            name='theirs',
            base_image=private['id'],
        )
        paths = [one['path'] for one in error.resp_body['errors']]
        self.assertEqual(['base_image'], paths)

    @decorators.idempotent_id('7a4177c1-3fd5-42f7-a210-d6c32d8e8426')
    def test_admin_sees_all(self):
        shown = self.admin_client.show_build(self.build['id'])
        self.assertEqual(self.wanted['name'], shown['name'])
        for filters in (
            {'all_projects': True},
            {'project_id': self.client.project_id},
        ):
            found = self.admin_client.list_builds(
                name=self.wanted['name'], **filters
            )
            ids = [build['id'] for build in found['builds']]
            self.assertEqual([self.build['id']], ids)
        own = self.admin_client.list_builds(name=self.wanted['name'])
        self.assertEqual([], own['builds'])

    @decorators.idempotent_id('af781c6e-928a-449e-a8ee-f06b69b3f61d')
    def test_admin_cancels(self):
        request = self.request(**requests.slow(self.driver))
        build = self.create_build(**request)
        self.admin_client.cancel_build(build['id'])
        waiters.wait_for_build(self.client, build['id'], 'cancelled')


class ReaderTest(base.BaseImageBuildTest):
    """Someone who may look at what the project has."""

    credentials = ['primary', 'project_reader']

    @classmethod
    def setup_clients(cls):
        super().setup_clients()
        cls.reader = base.our_client(cls.os_project_reader)

    @classmethod
    def resource_setup(cls):
        super().resource_setup()
        cls.build = cls.build_class_image(**requests.image(cls.system))

    @decorators.idempotent_id('2240d5a9-30de-48f7-9525-b0ae0581de71')
    @decorators.attr(type='smoke')
    def test_reader_looks(self):
        self.assertEqual(self.client.project_id, self.reader.project_id)
        build_id = self.build['id']
        self.assertEqual(build_id, self.reader.show_build(build_id)['id'])
        found = self.reader.list_builds()['builds']
        self.assertIn(build_id, [build['id'] for build in found])
        ours = self.client.show_build_log(build_id).data
        self.assertEqual(ours, self.reader.show_build_log(build_id).data)
        self.reader.list_build_steps(build_id)
        self.reader.list_recipes()
        self.reader.list_operating_systems()

    @decorators.idempotent_id('fdfd4dcc-7d57-400c-8789-3c01f0d214dd')
    @decorators.attr(type=['negative'])
    def test_reader_does_nothing(self):
        request = self.request()
        build_id = self.build['id']
        self.assertRaises(
            lib_exc.Forbidden, self.reader.create_build, **request
        )
        self.assertRaises(
            lib_exc.Forbidden, self.reader.update_build, build_id, name='x'
        )
        for call in (self.reader.cancel_build, self.reader.delete_build):
            self.assertRaises(lib_exc.Forbidden, call, build_id)
        shown = self.client.show_build(build_id)
        self.assertEqual('active', shown['status'])
        self.assertEqual(self.build['name'], shown['name'])
