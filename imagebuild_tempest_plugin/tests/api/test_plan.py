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
"""Plans: what a build would do."""

from tempest import config
from tempest.lib import decorators

from imagebuild_tempest_plugin.common import requests
from imagebuild_tempest_plugin.tests import base

CONF = config.CONF


class PlanTest(base.BaseImageBuildTest):
    """Nothing is built by asking."""

    @decorators.idempotent_id('8dee6db4-a54c-4f77-b3a3-f3734c28e9b5')
    @decorators.attr(type='smoke')
    def test_plan_builds_nothing(self):
        request = self.request()
        plan = self.client.plan_build(**request)
        self.assertTrue(plan['would_build'])
        self.assertEqual(self.system, plan['os'])
        self.assertEqual(self.driver, plan['driver'])
        self.assertIsNone(plan['reuse']['image_id'])
        self.assertNotEqual([], plan['conductors'])
        found = self.client.list_builds(name=request['name'])
        self.assertEqual([], found['builds'])

    @decorators.idempotent_id('2cbf7778-f486-4230-a1c1-728b08824697')
    def test_plan_lists_the_steps(self):
        plan = self.client.plan_build(**self.request(packages=['tree']))
        paths = [step['path'] for step in plan['steps']]
        self.assertTrue(paths[0].startswith('packages'), paths)
        self.assertTrue(paths[-1].startswith('files'), paths)

    @decorators.idempotent_id('272c248a-9870-4fb9-be1a-0ff5ce70c4f2')
    def test_plan_of_what_is_there(self):
        request = self.request()
        build = self.build_image(**request)
        plan = self.client.plan_build(**request)
        self.assertEqual(build['content_key'], plan['content_key'])
        self.assertFalse(plan['would_build'])
        self.assertEqual(build['image_id'], plan['reuse']['image_id'])
        self.assertEqual(build['id'], plan['reuse']['build_id'])
        again = self.client.plan_build(**request, reuse='never')
        self.assertTrue(again['would_build'])

    @decorators.idempotent_id('bc8eaa19-d7e3-4316-a7a9-801cc13c1772')
    def test_plan_of_what_is_being_built(self):
        request = self.request(**requests.slow(self.driver))
        build = self.create_build(**request)
        plan = self.client.plan_build(**request)
        self.assertFalse(plan['would_build'])
        self.assertEqual(build['id'], plan['reuse']['build_id'])
        self.assertIsNone(plan['reuse']['image_id'])

    @decorators.idempotent_id('1f1c0a93-3bf4-4ad0-88f9-433e36e0be7b')
    def test_content_decides_the_key(self):
        request = self.request()

        def key(**more):
            plan = self.client.plan_build(**{**request, **more})
            return plan['content_key']

        self.assertEqual(key(), key(name='another', tags=['one']))
        keys = {key(), key(packages=['tree']), key(disk_format='raw')}
        self.assertEqual(3, len(keys))

    @decorators.idempotent_id('f22c1234-2c40-4340-9bc0-f3cd74f053d5')
    def test_plan_of_a_recipe(self):
        if not CONF.image_build.recipe:
            raise self.skipException('[image_build] recipe is not set')
        plan = self.client.plan_build(
            **self.request(
                recipe=CONF.image_build.recipe,
                recipe_version=CONF.image_build.recipe_version,
            )
        )
        self.assertGreater(len(plan['steps']), 1)
