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
"""The manifests of the gallery, read by the engine.

tests/heat lets Heat read the templates.
"""

import pathlib

import pytest
import yaml

from imagebuild import manifest
from imagebuild import recipes

DIRECTORY = pathlib.Path(__file__).parents[3] / 'templates' / 'heat'
GALLERY = pathlib.Path(__file__).parents[3] / 'doc/source/heat/gallery.rst'


def manifests():
    for path in sorted(DIRECTORY.glob('*.yaml')):
        template = yaml.safe_load(path.read_text())
        for name, item in template['resources'].items():
            if 'manifest' in item.get('properties', {}):
                yield pytest.param(
                    item['properties'], id=f'{path.stem}-{name}'
                )


@pytest.mark.parametrize('properties', [*manifests()])
def test_manifest(properties):
    scripts = {
        name: (DIRECTORY / item['get_file']).read_text()
        for name, item in properties.get('resources', {}).items()
    }
    loaded = manifest.load(properties['manifest'], resources=scripts)
    declared = {argument.name for argument in loaded.arguments}
    assert declared == properties['arguments'].keys()
    assert loaded.content_key(dict.fromkeys(declared, 'x'))


def test_recipe_has_the_arguments():
    template = yaml.safe_load((DIRECTORY / 'recipe.yaml').read_text())
    parameters = template['parameters']
    recipe = recipes.get(
        parameters['recipe']['default'],
        parameters['recipe_version']['default'],
    )
    given = template['resources']['image']['properties']['arguments']
    declared = {argument.name: argument for argument in recipe.arguments()}
    assert given.keys() <= declared.keys()
    offered = parameters['policy']['constraints'][0]['allowed_values']
    assert set(offered) <= set(declared['maxmemory-policy'].choices)


def test_every_template_is_in_the_gallery():
    text = GALLERY.read_text()
    for path in DIRECTORY.rglob('*'):
        if path.is_file():
            assert f'templates/heat/{path.relative_to(DIRECTORY)}' in text
