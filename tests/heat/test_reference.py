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
"""The page of the documentation says what the schema says."""

import pathlib

from heat_plugin import image
from tests.heat import base
from tools import heat_reference

ROOT = pathlib.Path(__file__).parents[2]


class TestReference(base.HeatPluginTestCase):
    def test_page_is_that_of_the_schema(self):
        self.assertEqual(
            heat_reference.page(),
            (ROOT / heat_reference.PAGE).read_text(),
            f'python -m tools.heat_reference > {heat_reference.PAGE}',
        )

    def test_every_property_and_attribute_is_there(self):
        text = heat_reference.page()
        for name in (
            *image.Image.properties_schema,
            *image.Image.attributes_schema,
        ):
            self.assertIn(f'\n``{name}`` (', text)

    def test_lines_are_short(self):
        for line in heat_reference.page().splitlines():
            self.assertLess(len(line), 80, line)
