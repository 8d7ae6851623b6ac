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
"""What the tests of refusals share."""

from tempest.lib import exceptions as lib_exc

from imagebuild_tempest_plugin.tests import base


class BaseNegativeTest(base.BaseImageBuildTest):
    """Asks for what is refused."""

    def problems(self, call, *args, **kwargs):
        """What is wrong with a request: pairs of path and message.

        It must be refused with 400, in the documented form.
        """
        error = self.assertRaises(lib_exc.BadRequest, call, *args, **kwargs)
        body = error.resp_body
        self.assertEqual(400, body['code'])
        self.assertEqual('Bad Request', body['title'])
        self.assertNotIn('Traceback', str(body))
        return [(one['path'], one['message']) for one in body['errors']]

    def assert_wrong(self, path, word, call, *args, **kwargs):
        """A request has one mistake.

        :param path: of the mistake.
        :param word: that the message has.
        """
        problems = self.problems(call, *args, **kwargs)
        self.assertEqual([path], [found for found, _ in problems], problems)
        self.assertIn(word, problems[0][1])
