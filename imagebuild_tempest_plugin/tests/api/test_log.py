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
"""Logs and steps of builds."""

from tempest.lib import decorators

from imagebuild_tempest_plugin.common import requests
from imagebuild_tempest_plugin.tests import base

#: Of two bytes in UTF-8.
_LETTER = 'ä'


class LogTest(base.BaseImageBuildTest):
    """One build is enough to look at."""

    @classmethod
    def resource_setup(cls):
        super().resource_setup()
        request = requests.image(cls.system, **requests.secret('x' * 20))
        request['files'].append({'path': f'/etc/{_LETTER}', 'content': 'x'})
        cls.build = cls.build_class_image(**request)

    def _log(self, **params):
        """A part of the log as bytes, and where the next one begins."""
        answer = self.client.show_build_log(self.build['id'], **params)
        offset = int(answer.response['x-next-offset'])
        return answer.data.encode(), offset

    @decorators.idempotent_id('3a9509ad-5437-4384-ad9d-ecb953c0be80')
    @decorators.attr(type='smoke')
    def test_whole_log(self):
        answer = self.client.show_build_log(self.build['id'])
        kind = answer.response['content-type']
        self.assertTrue(kind.startswith('text/plain'), kind)
        text, end = self._log()
        self.assertNotEqual(b'', text)
        self.assertEqual(len(text), end)
        self.assertEqual(end, self.build['log_size'])

    @decorators.idempotent_id('2901e79d-4d50-4643-b8ca-bfdc54dc070f')
    def test_offset(self):
        whole, end = self._log()
        line = whole.index(b'\n') + 1
        self.assertEqual((whole[line:], end), self._log(offset=line))

    @decorators.idempotent_id('f08e1047-9d85-4cf5-9d2b-a036c58af766')
    def test_offset_at_and_behind_the_end(self):
        _, end = self._log()
        self.assertEqual((b'', end), self._log(offset=end))
        text, _ = self._log(offset=end + 1000)
        self.assertEqual(b'', text)

    @decorators.idempotent_id('d63ce458-35ce-40ed-83ae-6264740921f9')
    def test_parts_make_the_whole(self):
        whole, end = self._log()
        parts, offset = [], 0
        while offset < end:
            part, offset = self._log(offset=offset, limit=100)
            self.assertLessEqual(len(part), 100)
            self.assertNotEqual(b'', part)
            parts.append(part)
        self.assertEqual(whole, b''.join(parts))

    @decorators.idempotent_id('3cd381fc-eadf-4b33-8672-8d6230dd8b14')
    def test_log_while_building(self):
        request = self.request(**requests.slow(self.driver))
        build = self.create_build(**request)
        self.wait_for_build(build, 'building')
        answer = self.client.show_build_log(build['id'])
        self.assertIn('x-next-offset', answer.response)

    @decorators.idempotent_id('69962046-552e-4290-9071-31d57ce2153c')
    def test_steps(self):
        steps = self.client.list_build_steps(self.build['id'])['steps']
        self.assertEqual({1}, {step['attempt'] for step in steps})
        numbers = [step['number'] for step in steps]
        self.assertEqual(sorted(numbers), numbers)
        paths = [step['path'] for step in steps]
        self.assertTrue(any(path.startswith('files') for path in paths), paths)
        self.assertTrue(
            any(path.startswith('manifest.validators[0]') for path in paths),
            paths,
        )
        self.assertNotIn('failed', {step['result'] for step in steps})
