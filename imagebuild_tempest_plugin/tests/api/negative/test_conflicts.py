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
"""What cannot be done now: 409."""

from tempest.lib import decorators
from tempest.lib import exceptions as lib_exc

from imagebuild_tempest_plugin.common import requests
from imagebuild_tempest_plugin.tests.api.negative import base


class ConflictsTest(base.BaseNegativeTest):
    """It depends on the status of a build."""

    def assert_conflict(self, call, *args, **kwargs):
        error = self.assertRaises(lib_exc.Conflict, call, *args, **kwargs)
        self.assertEqual(409, error.resp_body['code'])
        self.assertTrue(error.resp_body['message'])

    @decorators.idempotent_id('904d06e0-a872-4265-99aa-3bb1b888711a')
    @decorators.attr(type=['negative'])
    def test_cancel_what_is_over(self):
        build = self.build_image()
        self.assert_conflict(self.client.cancel_build, build['id'])
        shown = self.client.show_build(build['id'])
        self.assertEqual('active', shown['status'])

    @decorators.idempotent_id('2945a8e6-738c-4e2c-8773-50d61aa86ab7')
    @decorators.attr(type=['negative'])
    def test_cancel_what_failed(self):
        request = self.request(**requests.broken(self.driver))
        build = self.create_build(**request)
        self.wait_for_build(build, 'error')
        self.assert_conflict(self.client.cancel_build, build['id'])

    @decorators.idempotent_id('a91472f3-ee61-4f77-abfb-a1c56e7420f6')
    @decorators.attr(type=['negative'])
    def test_change_what_is_being_built(self):
        request = self.request(**requests.slow(self.driver))
        build = self.create_build(**request)
        self.assert_conflict(
            self.client.update_build, build['id'], name='another'
        )
