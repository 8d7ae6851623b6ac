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
"""Lists of builds: filters, order, pages."""

from tempest.lib import decorators
from tempest.lib.common.utils import data_utils

from imagebuild_tempest_plugin.common import requests
from imagebuild_tempest_plugin.tests import base


class BuildsListTest(base.BaseImageBuildTest):
    """The class has a project of its own: three builds are all."""

    @classmethod
    def resource_setup(cls):
        super().resource_setup()
        prefix = data_utils.rand_name('list')
        cls.builds = [
            cls.build_class_image(
                **{**requests.image(cls.system), 'name': f'{prefix}-{letter}'}
            )
            for letter in 'bca'
        ]

    def _ids(self, **params):
        found = self.client.list_builds(**params)['builds']
        ours = {build['id'] for build in self.builds}
        return [build['id'] for build in found if build['id'] in ours]

    def _expected(self, *numbers):
        return [self.builds[number]['id'] for number in numbers]

    @decorators.idempotent_id('430fed92-0de6-4212-b2d8-433e4cccea63')
    @decorators.attr(type='smoke')
    def test_newest_first(self):
        self.assertEqual(self._expected(2, 1, 0), self._ids())

    @decorators.idempotent_id('8a006a2c-6d8b-4348-876e-9bff2636c921')
    def test_same_as_shown(self):
        found = self.client.list_builds(name=self.builds[0]['name'])
        shown = self.client.show_build(self.builds[0]['id'])
        [listed] = found['builds']
        request = listed['request']
        # A list leaves out what may be large; show has it.
        self.assertEqual(request, {k: shown['request'][k] for k in request})
        self.assertEqual({**shown, 'request': request}, listed)

    @decorators.idempotent_id('42d277af-20c0-4455-82bc-f79c38ebb982')
    def test_filter_by_name(self):
        name = self.builds[1]['name']
        self.assertEqual(self._expected(1), self._ids(name=name))
        self.assertEqual([], self._ids(name=f'{name}-not'))

    @decorators.idempotent_id('827bf52b-c2c7-46ad-bae2-5b19ade26c68')
    def test_filter_by_status(self):
        self.assertEqual(self._expected(2, 1, 0), self._ids(status='active'))
        self.assertEqual([], self._ids(status='error'))

    @decorators.idempotent_id('ad98eed6-aedd-418a-8b76-6c278b37188d')
    def test_filter_by_os(self):
        self.assertEqual(self._expected(2, 1, 0), self._ids(os=self.system))
        self.assertEqual([], self._ids(os='no such system'))

    @decorators.idempotent_id('48cfca69-e628-4d6a-a7d8-3c9b8a69969b')
    def test_filter_by_driver(self):
        found = self._ids(driver=self.driver)
        self.assertEqual(self._expected(2, 1, 0), found)
        self.assertEqual([], self._ids(driver='no such driver'))

    @decorators.idempotent_id('df44bc91-84e9-4c50-b400-d86220fd8026')
    def test_filter_by_content_key(self):
        key = self.builds[2]['content_key']
        self.assertEqual(self._expected(2), self._ids(content_key=key))

    @decorators.idempotent_id('b461d600-cdb3-483e-aaf4-0b1ad0cf3c37')
    def test_filters_together(self):
        name = self.builds[0]['name']
        found = self._ids(name=name, status='active', os=self.system)
        self.assertEqual(self._expected(0), found)
        self.assertEqual([], self._ids(name=name, status='queued'))

    @decorators.idempotent_id('948f19cf-e9cc-4f31-abbe-322e2e0819a7')
    def test_sort_by_name(self):
        self.assertEqual(self._expected(2, 0, 1), self._ids(sort='name'))
        found = self._ids(sort='name:desc')
        self.assertEqual(self._expected(1, 0, 2), found)

    @decorators.idempotent_id('ca5ca2e0-f304-4f41-8dcc-b5da8ba15de9')
    def test_sort_by_two_keys(self):
        found = self._ids(sort='status:asc,created_at:asc')
        self.assertEqual(self._expected(0, 1, 2), found)

    @decorators.idempotent_id('6f794902-e95f-48a1-b7e9-85c1d3e05c5c')
    def test_limit_and_next(self):
        first = self.client.list_builds(limit=2)
        self.assertEqual(2, len(first['builds']))
        self.assertTrue(first['next'].startswith(self.client.base_url))
        self.assertIn('limit=2', first['next'])
        self.assertIn(f'marker={first["builds"][1]["id"]}', first['next'])
        self.assertNotIn('next', self.client.list_builds(limit=3))

    @decorators.idempotent_id('82b54f8a-7793-4add-8310-49db9c69cc53')
    def test_marker(self):
        marker = self.builds[1]['id']
        self.assertEqual(self._expected(0), self._ids(marker=marker))
        self.assertEqual([], self._ids(marker=self.builds[0]['id']))

    @decorators.idempotent_id('18fcc280-b8f6-464d-b65d-26e385ad5aa9')
    def test_pages_in_another_order(self):
        found, params = [], {'limit': 1, 'sort': 'name:asc'}
        for _ in self.builds:
            [build] = self.client.list_builds(**params)['builds']
            found.append(build['id'])
            params['marker'] = build['id']
        self.assertEqual(self._expected(2, 0, 1), found)
        self.assertEqual([], self.client.list_builds(**params)['builds'])
