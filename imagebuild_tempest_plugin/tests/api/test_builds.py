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
"""Builds, from the request to the image, and back."""

from tempest.lib import decorators
from tempest.lib import exceptions as lib_exc
from tempest.lib.common.utils import data_utils

from imagebuild_tempest_plugin.common import requests
from imagebuild_tempest_plugin.tests import base


class BuildsTest(base.BaseImageBuildTest):
    """Create, show, delete; one image for the same content."""

    @decorators.idempotent_id('a54da607-8d57-42c7-9562-1346dc9b8d43')
    @decorators.attr(type='smoke')
    def test_create_show_delete(self):
        request = self.request(tags=['ours'], properties={'our_key': 'value'})
        build = self.create_build(**request)
        self.assertEqual(
            f'/v1/builds/{build["id"]}',
            build.response['location'].removeprefix(self.client.base_url),
        )
        done = self.wait_for_build(build)
        self._check_build(done, request)
        self._check_image(done, request)

        self.client.delete_build(build['id'])
        self.client.wait_for_resource_deletion(build['id'])
        self.images.wait_for_resource_deletion(done['image_id'])

    def _check_build(self, build, request):
        self.assertEqual(request['name'], build['name'])
        self.assertEqual(self.system, build['os'])
        self.assertEqual(self.driver, build['driver'])
        self.assertEqual(self.client.project_id, build['project_id'])
        self.assertEqual(self.client.user_id, build['user_id'])
        self.assertEqual(request['files'], build['request']['files'])
        self.assertEqual(
            ['qcow2'], [image['disk_format'] for image in build['images']]
        )
        self.assertRegex(build['content_key'], '^[0-9a-f]{64}$')
        self.assertIsNone(build['fault'])
        self.assertIsNone(build['reused_from'])
        self.assertEqual(1, build['attempt'])
        self.assertEqual(build['progress']['total'], build['progress']['done'])
        for earlier, later in [
            ('created_at', 'started_at'),
            ('started_at', 'finished_at'),
        ]:
            self.assertLessEqual(build[earlier], build[later])

    def _check_image(self, build, request):
        image = self.images.show_image(build['image_id'])
        self.assertEqual('active', image['status'])
        self.assertEqual(request['name'], image['name'])
        self.assertEqual(self.client.project_id, image['owner'])
        self.assertEqual(build['id'], image['imagebuild_build_id'])
        self.assertEqual(build['content_key'], image['imagebuild_content_key'])
        for name in ('os_hash_algo', 'os_hash_value'):
            self.assertEqual(build['checksum'][name], image[name])
        self.assertEqual(build['size'], image['size'])
        self.assertEqual(request['tags'], image['tags'])
        self.assertEqual('value', image['our_key'])
        [one] = build['images']
        self.assertEqual(image['id'], one['image_id'])
        self.assertEqual('active', one['status'])

    @decorators.idempotent_id('7cf78a26-ab0c-4556-b75a-d7dc200697ee')
    def test_same_content_is_one_image(self):
        request = self.request()
        first = self.build_image(**request)
        second = self.create_build(**{**request, 'name': 'another'})
        # Without a build.
        self.assertEqual('active', second['status'])
        self.assertEqual(first['id'], second['reused_from'])
        self.assertEqual(first['image_id'], second['image_id'])
        self.assertEqual(first['content_key'], second['content_key'])

        # The image is deleted with its last user.
        base.delete_build(self.client, first['id'])
        image = self.images.show_image(first['image_id'])
        self.assertEqual('active', image['status'])
        base.delete_build(self.client, second['id'])
        self.images.wait_for_resource_deletion(first['image_id'])

    @decorators.idempotent_id('835dad4b-6700-4a99-a206-8a82464cc1cf')
    def test_same_content_at_once_is_one_build(self):
        request = self.request(**requests.lasting(self.driver))
        builds = [self.create_build(**request) for _ in range(3)]
        done = [self.wait_for_build(build) for build in builds]
        self.assertEqual(1, len({build['image_id'] for build in done}))
        built = [build for build in done if not build['reused_from']]
        self.assertEqual(1, len(built))
        images = [image for build in done for image in self.images_of(build)]
        self.assertEqual(1, len(images))

    @decorators.idempotent_id('65e8efd0-894d-4e01-9a9b-38fc06973835')
    def test_reuse_never(self):
        request = self.request()
        first = self.build_image(**request)
        second = self.build_image(**request, reuse='never')
        self.assertIsNone(second['reused_from'])
        self.assertNotEqual(first['image_id'], second['image_id'])

    @decorators.idempotent_id('ef20552f-69ca-4d04-803a-98dda6b258b5')
    def test_max_age(self):
        request = self.request()
        first = self.build_image(**request)
        young = self.build_image(**request, max_age=3600)
        self.assertEqual(first['image_id'], young['image_id'])
        old = self.build_image(**request, max_age=0)
        self.assertNotEqual(first['image_id'], old['image_id'])

    @decorators.idempotent_id('f9d80f9e-f9a4-43cc-a702-42cb328cab73')
    def test_deleted_image_is_built_again(self):
        request = self.request()
        first = self.build_image(**request)
        self.images.delete_image(first['image_id'])
        second = self.build_image(**request)
        self.assertIsNone(second['reused_from'])
        self.assertNotEqual(first['image_id'], second['image_id'])

    @decorators.idempotent_id('db63aea3-db21-442f-8a93-e9eff4b3b6cc')
    def test_failing_build(self):
        request = self.request(**requests.broken(self.driver))
        build = self.wait_for_build(self.create_build(**request), 'error')
        self.assertEqual('user', build['fault'])
        self.assertEqual(1, build['attempt'])
        self.assertTrue(build['status_reason'])
        self.assertIsNone(build['image_id'])
        self.assertEqual([], self.images_of(build))
        log = self.client.show_build_log(build['id']).data
        said = f'{build["status_reason"]} {log}'
        self.assertIn(requests.FAILURE, said)

    @decorators.idempotent_id('eb0e7e1b-0db1-4eeb-b380-d1b19139c931')
    def test_hidden_argument_is_not_shown(self):
        value = data_utils.rand_password()
        request = self.request(**requests.secret(value))
        build = self.build_image(**request)
        self.assertEqual('***', build['request']['arguments']['secret'])
        steps = self.client.list_build_steps(build['id'])
        log = self.client.show_build_log(build['id'])
        self.assertNotIn(value, f'{build} {steps} {log}')

    @decorators.idempotent_id('d57ec55d-0115-4194-b109-789e21399052')
    def test_disk_format(self):
        build = self.build_image(**self.request(disk_format='raw'))
        image = self.images.show_image(build['image_id'])
        self.assertEqual('raw', image['disk_format'])

    @decorators.idempotent_id('e69f7e43-5c61-468d-968e-a21e3ba0a92d')
    def test_delete_while_building(self):
        request = self.request(**requests.slow(self.driver))
        build = self.create_build(**request)
        self.wait_for_build(build, 'building')
        self.client.delete_build(build['id'])
        self.client.wait_for_resource_deletion(build['id'])
        self.assertRaises(
            lib_exc.NotFound, self.client.show_build_log, build['id']
        )
        self.assertEqual([], self.images_of(build))
