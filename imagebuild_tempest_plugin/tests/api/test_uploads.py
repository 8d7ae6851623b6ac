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
"""Uploads of images."""

from tempest.lib import decorators

from imagebuild_tempest_plugin.tests import base


class UploadsTest(base.BaseImageBuildTest):
    """Where an image went."""

    @decorators.idempotent_id('5b90301a-2a34-4383-8f13-afc40f000f10')
    def test_list_uploads_of_a_build(self):
        build = self.build_image()
        found = self.client.list_uploads(build_id=build['id'])['uploads']
        self.assertEqual(
            [(build['id'], build['image_id'], 'active', '')],
            [
                (
                    upload['build_id'],
                    upload['image_id'],
                    upload['status'],
                    upload['destination'],
                )
                for upload in found
            ],
        )
