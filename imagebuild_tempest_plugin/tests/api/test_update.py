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
"""What is said about an image is changed."""

from tempest.lib import decorators

from imagebuild_tempest_plugin.tests import base


class UpdateTest(base.BaseImageBuildTest):
    """PATCH changes the build and the image in Glance."""

    def _image(self, build):
        return self.images.show_image(build['image_id'])

    @decorators.idempotent_id('d3019677-e7e1-403a-b850-cf0f8c0ee771')
    @decorators.attr(type='smoke')
    def test_name(self):
        build = self.build_image()
        changed = self.client.update_build(build['id'], name='another')
        self.assertEqual('another', changed['name'])
        self.assertEqual('another', changed['request']['name'])
        self.assertEqual(build['image_id'], changed['image_id'])
        self.assertEqual('another', self._image(build)['name'])

    @decorators.idempotent_id('debd4d76-3d42-49c4-8b7e-fe5691707fe3')
    def test_tags_and_properties(self):
        request = self.request(
            tags=['old', 'kept'], properties={'old_key': 'x', 'kept_key': 'x'}
        )
        build = self.build_image(**request)
        changes = {
            'tags': ['kept', 'new'],
            'properties': {'kept_key': 'y', 'new_key': 'z'},
        }
        self.client.update_build(build['id'], **changes)
        image = self._image(build)
        self.assertEqual({'kept', 'new'}, set(image['tags']))
        self.assertEqual('y', image['kept_key'])
        self.assertEqual('z', image['new_key'])
        self.assertNotIn('old_key', image)
        # What is ours stays.
        self.assertEqual(build['id'], image['imagebuild_build_id'])

    @decorators.idempotent_id('ed1e0454-d194-491a-b1ca-0cc9aef72235')
    def test_sizes_and_visibility(self):
        build = self.build_image()
        changes = {'min_disk': 2, 'min_ram': 128, 'visibility': 'private'}
        changed = self.client.update_build(build['id'], **changes)
        image = self._image(build)
        for name, value in changes.items():
            self.assertEqual(value, image[name])
            self.assertEqual(value, changed['request'][name])

    @decorators.idempotent_id('6ac678d8-cc18-4504-b185-147197c86445')
    def test_what_is_not_given_stays(self):
        request = self.request(tags=['kept'], min_ram=64)
        build = self.build_image(**request)
        changed = self.client.update_build(build['id'], name='another')
        self.assertEqual(['kept'], changed['request']['tags'])
        image = self._image(build)
        self.assertEqual(['kept'], image['tags'])
        self.assertEqual(64, image['min_ram'])

    @decorators.idempotent_id('ba270aa6-0193-41bf-a474-298816b70473')
    def test_protected(self):
        build = self.build_image()
        self.client.update_build(build['id'], protected=True)
        self.addCleanup(self.client.update_build, build['id'], protected=False)
        self.assertTrue(self._image(build)['protected'])
