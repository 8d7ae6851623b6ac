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
"""Recipes and operating systems."""

from tempest import config
from tempest.lib import decorators

from imagebuild_tempest_plugin.common import requests
from imagebuild_tempest_plugin.tests import base

CONF = config.CONF


class OperatingSystemsTest(base.BaseImageBuildTest):
    """What images can be made of."""

    @decorators.idempotent_id('39bed4f8-0b68-4766-836c-34be208d435b')
    @decorators.attr(type='smoke')
    def test_list_operating_systems(self):
        found = self.client.list_operating_systems()['operating_systems']
        names = [system['name'] for system in found]
        self.assertIn(self.system, names)
        self.assertEqual(len(set(names)), len(names))
        for system in found:
            self.assertTrue(system['driver'])
            self.assertTrue(system['architecture'])
            self.assertGreaterEqual(system['min_disk'], 0)


class RecipesTest(base.BaseImageBuildTest):
    """What the service knows how to make."""

    @classmethod
    def skip_checks(cls):
        super().skip_checks()
        if not CONF.image_build.recipe:
            raise cls.skipException('[image_build] recipe is not set')

    @classmethod
    def resource_setup(cls):
        super().resource_setup()
        cls.recipe = (
            CONF.image_build.recipe,
            CONF.image_build.recipe_version,
        )

    @decorators.idempotent_id('a19ef23b-87dc-4dbd-a4c1-55056d2c9478')
    @decorators.attr(type='smoke')
    def test_list_recipes(self):
        found = self.client.list_recipes()['recipes']
        known = [(recipe['name'], recipe['version']) for recipe in found]
        self.assertIn(self.recipe, known)

    @decorators.idempotent_id('1dee432c-cfae-47a9-9cd7-a687e73793c4')
    @decorators.attr(type='smoke')
    def test_show_recipe(self):
        recipe = self.client.show_recipe(*self.recipe)
        self.assertEqual(self.recipe, (recipe['name'], recipe['version']))
        self.assertTrue(recipe['description'])
        self.assertEqual('object', recipe['arguments']['type'])
        self.assertFalse(recipe['arguments']['additionalProperties'])
        path = '/v1/recipes/{}/{}'.format(*self.recipe)
        self.assertTrue(recipe['links'][0]['href'].endswith(path))

    @decorators.idempotent_id('df02b705-7c76-4d34-92d5-6649c04f3549')
    def test_build_of_a_recipe(self):
        name, version = self.recipe
        request = self.request(recipe=name, recipe_version=version)
        build = self.create_build(**request)
        self.assertEqual(name, build['request']['recipe'])
        self.assertEqual(version, build['request']['recipe_version'])
        # Nothing that a recipe expects is in a pretended image.
        if self.driver != requests.FAKE:
            self.wait_for_build(build)
