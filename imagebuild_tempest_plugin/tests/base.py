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
"""What all tests of image builds are."""

from tempest import config
from tempest import test
from tempest.lib.common.utils import test_utils

from imagebuild_tempest_plugin.common import requests
from imagebuild_tempest_plugin.common import waiters

CONF = config.CONF


class BaseImageBuildTest(test.BaseTestCase):
    """Builds images as a member of a project, and deletes them."""

    credentials = ['primary']

    @classmethod
    def skip_checks(cls):
        super().skip_checks()
        if not CONF.service_available.image_build:
            raise cls.skipException('The image-build service is not there')
        if not CONF.service_available.glance:
            raise cls.skipException('The image service is not there')

    @classmethod
    def setup_credentials(cls):
        # Nothing of a network is needed.
        cls.set_network_resources()
        super().setup_credentials()

    @classmethod
    def setup_clients(cls):
        super().setup_clients()
        cls.client = our_client(cls.os_primary)
        cls.images = cls.os_primary.image_client_v2

    @classmethod
    def resource_setup(cls):
        super().resource_setup()
        cls.system = CONF.image_build.operating_system
        cls.driver = cls.driver_of(cls.system)

    @classmethod
    def driver_of(cls, system):
        """The driver of an operating system of the catalogue."""
        found = cls.client.list_operating_systems()['operating_systems']
        return next(one['driver'] for one in found if one['name'] == system)

    def request(self, **more):
        """A description of an image that nobody has asked for yet."""
        return requests.image(self.system, **more)

    def create_build(self, client=None, **request):
        """Ask for an image; it is deleted at the end of the test."""
        client = client or self.client
        build = client.create_build(**(request or self.request()))
        self.addCleanup(delete_build, client, build['id'])
        return build

    def build_image(self, client=None, **request):
        """Ask for an image and wait for it."""
        build = self.create_build(client, **request)
        return waiters.wait_for_build(client or self.client, build['id'])

    @classmethod
    def build_class_image(cls, **request):
        """An image that all tests of the class use."""
        build = cls.client.create_build(**request)
        cls.addClassResourceCleanup(delete_build, cls.client, build['id'])
        return waiters.wait_for_build(cls.client, build['id'])

    def wait_for_build(self, build, *statuses):
        """Wait until a build is of one of these statuses ('active')."""
        return waiters.wait_for_build(self.client, build['id'], *statuses)

    def images_of(self, build, images=None):
        """The images in Glance that a build has made."""
        images = images or self.images
        params = {'imagebuild_build_id': build['id']}
        return images.list_images(params)['images']


def our_client(manager):
    """Our client of one of ``os_primary``, ``os_alt`` and the like."""
    return manager.image_build_v1.ImageBuildClient()


def delete_build(client, build_id):
    """Delete a build, if it is still there, and wait until it is gone."""
    test_utils.call_and_ignore_notfound_exc(client.delete_build, build_id)
    client.wait_for_resource_deletion(build_id)
