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
"""Builds that are cancelled."""

from tempest.lib import decorators
from tempest.lib import exceptions as lib_exc

from imagebuild_tempest_plugin.common import requests
from imagebuild_tempest_plugin.tests import base


class CancelTest(base.BaseImageBuildTest):
    """A cancelled build leaves nothing but its record."""

    @decorators.idempotent_id('b4ec5a0f-1713-4b3b-84de-71238ca10ebe')
    @decorators.attr(type='smoke')
    def test_cancel_while_building(self):
        request = self.request(**requests.slow(self.driver))
        build = self.create_build(**request)
        self.wait_for_build(build, 'building')
        answer = self.client.cancel_build(build['id'])
        self.assertEqual(build['id'], answer['id'])
        done = self.wait_for_build(build, 'cancelled')
        self.assertIsNone(done['image_id'])
        self.assertIsNone(done['fault'])
        self.assertIsNotNone(done['finished_at'])
        self.assertEqual([], self.images_of(build))

    @decorators.idempotent_id('0a22a858-563f-4693-bac6-42fb4cb8046c')
    def test_cancel_at_once(self):
        request = self.request(**requests.slow(self.driver))
        build = self.create_build(**request)
        self.client.cancel_build(build['id'])
        self.wait_for_build(build, 'cancelled')

    @decorators.idempotent_id('cc8af41d-9f3e-4b00-aea5-5d43f20e8aba')
    def test_who_waited_goes_on(self):
        second = self._with_first_cancelled()
        done = self.wait_for_build(second)
        self.assertIsNone(done['reused_from'])
        self.assertEqual(1, len(self.images_of(second)))

    def _with_first_cancelled(self):
        """A build that another did for it, until that was cancelled."""
        for _ in range(3):
            request = self.request(**requests.lasting(self.driver))
            first = self.create_build(**request)
            second = self.create_build(**request)
            try:
                self.client.cancel_build(first['id'])
            except lib_exc.Conflict:
                # A busy cloud may be slower than the build.
                continue
            ended = self.wait_for_build(first, 'cancelled', 'active')
            if ended['status'] == 'cancelled':
                return second
        self.fail('The build was never cancelled in time')
