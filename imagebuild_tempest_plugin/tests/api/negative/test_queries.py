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
"""Queries and changes with a mistake: 400, and where it is."""

from tempest.lib import decorators
from tempest.lib.common.utils import data_utils

from imagebuild_tempest_plugin.common import requests
from imagebuild_tempest_plugin.tests.api.negative import base


class QueryMistakesTest(base.BaseNegativeTest):
    """Parameters of lists and logs."""

    def assert_refused(self, path, word='', **params):
        self.assert_wrong(path, word, self.client.list_builds, **params)

    @decorators.idempotent_id('7ac5fed0-5aeb-408e-aabc-2ab2dcc76bc4')
    @decorators.attr(type=['negative'])
    def test_unknown_parameter(self):
        self.assert_refused('colour', 'marker', colour='red')

    @decorators.idempotent_id('7aa30ac6-13bd-45b2-b52e-9c2d5d47b1c9')
    @decorators.attr(type=['negative'])
    def test_limit(self):
        for limit in (0, -1, 'many'):
            self.assert_refused('limit', limit=limit)

    @decorators.idempotent_id('77cbb15c-2368-4cea-b9a6-0b6ff91b07e9')
    @decorators.attr(type=['negative'])
    def test_status(self):
        self.assert_refused('status', 'cancelled', status='lost')

    @decorators.idempotent_id('51f69693-9fb8-4e96-b6cd-6c6533d22c6a')
    @decorators.attr(type=['negative'])
    def test_sort(self):
        self.assert_refused('sort', 'created_at', sort='colour')
        self.assert_refused('sort', 'desc', sort='name:up')

    @decorators.idempotent_id('44bd7249-9b73-4ff8-91c8-e4c9bced1fc5')
    @decorators.attr(type=['negative'])
    def test_marker(self):
        self.assert_refused('marker', marker='none')
        self.assert_refused('marker', marker=data_utils.rand_uuid())

    @decorators.idempotent_id('0bb21da1-fd35-4fc9-84d2-ce5ea919b02f')
    @decorators.attr(type=['negative'])
    def test_content_key(self):
        self.assert_refused('content_key', content_key='abc')


class ChangeMistakesTest(base.BaseNegativeTest):
    """What can be said otherwise, and what cannot."""

    @classmethod
    def resource_setup(cls):
        super().resource_setup()
        cls.build = cls.build_class_image(**requests.image(cls.system))

    def assert_refused(self, path, word='', **changes):
        self.assert_wrong(
            path, word, self.client.update_build, self.build['id'], **changes
        )
        shown = self.client.show_build(self.build['id'])
        self.assertEqual(self.build['request'], shown['request'])

    @decorators.idempotent_id('acad8465-31d6-48e8-8132-eb1ce4654aa3')
    @decorators.attr(type=['negative'])
    def test_content_cannot_change(self):
        self.assert_refused('packages', packages=['tree'])
        self.assert_refused('os', os=self.system)

    @decorators.idempotent_id('63195b94-70c0-44d1-bf11-6857f8324392')
    @decorators.attr(type=['negative'])
    def test_nothing_to_change(self):
        self.assert_refused('')

    @decorators.idempotent_id('7a59e100-7607-4812-aa2e-df885ce2999f')
    @decorators.attr(type=['negative'])
    def test_wrong_values(self):
        self.assert_refused('min_ram', min_ram='much')
        self.assert_refused('tags', tags=['twice', 'twice'])
        self.assert_refused('properties.id', properties={'id': 'x'})

    @decorators.idempotent_id('78bb19f0-4a22-4466-b74c-644a22fce319')
    @decorators.attr(type=['negative'])
    def test_members_of_a_private_image(self):
        self.assert_refused(
            'members', visibility='private', members=[data_utils.rand_uuid()]
        )

    @decorators.idempotent_id('fb5fb61b-cc30-4fa6-8d35-6c7152a1f519')
    @decorators.attr(type=['negative'])
    def test_log_offset(self):
        for params in ({'offset': -1}, {'limit': 0}, {'offset': 'end'}):
            [path] = params
            self.assert_wrong(
                path,
                '',
                self.client.show_build_log,
                self.build['id'],
                **params,
            )
