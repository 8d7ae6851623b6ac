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
"""The gallery: Heat takes every template."""

import pathlib
import types

from heat.engine import environment
from heat.engine import service
from heat.engine import stack as heat_stack
from heat.engine import template as heat_template
from heat.engine.clients.os import glance
from heat.engine.clients.os import nova
from heat.tests import utils
from heatclient.common import template_utils

from tests.heat import base

DIRECTORY = pathlib.Path(__file__).parents[2] / 'templates' / 'heat'
TEMPLATES = sorted(path.name for path in DIRECTORY.glob('*.yaml'))

#: Parameters without a default, or with one that the fake service has not.
VALUES = {
    'server-of-image.yaml': {'image': 'web'},
    'installed.yaml': {'os': 'debian-12'},
    'user-data-before.yaml': {'image': 'web', 'network': 'private'},
    'one-image.yaml': {
        'index': 0,
        'operating_systems': 'debian-12',
        'packages': 'nginx',
    },
}


def read(name):
    """Read a template as the command line does, files included."""
    files, template = template_utils.get_template_contents(
        str(DIRECTORY / name)
    )
    # As they are once they were sent.
    return {
        key: text.decode() if isinstance(text, bytes) else text
        for key, text in files.items()
    }, template


class TestGallery(base.HeatPluginTestCase):
    def setUp(self):
        super().setUp()
        self.stub_FlavorConstraint_validate()
        self.stub_ImageConstraint_validate()
        self.stub_NetworkConstraint_validate()
        self.mock(
            nova.NovaClientPlugin, 'is_version_supported', return_value=True
        )
        self.mock(
            nova.NovaClientPlugin,
            'get_flavor',
            return_value=types.SimpleNamespace(id='f', ram=4096, disk=20),
        )
        self.mock(
            glance.GlanceClientPlugin,
            'get_image',
            return_value=types.SimpleNamespace(
                id='i', status='active', min_ram=0, min_disk=0
            ),
        )

    def gallery(self, name, stack_name='stack', **values):
        files, template = read(name)
        env = environment.Environment(
            {'parameters': {**VALUES.get(name, {}), **values}}
        )
        stack = heat_stack.Stack(
            utils.dummy_context(),
            stack_name,
            heat_template.Template(template, files=files, env=env),
        )
        self.stacks.append(stack)
        stack.store()
        return stack

    def test_there_are_some(self):
        self.assertGreater(len(TEMPLATES), 9)

    def test_validate(self):
        for name in TEMPLATES:
            self.gallery(name, name.partition('.')[0]).validate()

    def test_template_validate(self):
        # openstack orchestration template validate
        engine = service.EngineService('host', 'topic')
        for name in TEMPLATES:
            files, template = read(name)
            found = engine.validate_template(
                utils.dummy_context(), template, {}, files=files
            )
            self.assertIsNone(found.get('Error'), f'{name}: {found}')

    def test_all_is_described(self):
        for name in TEMPLATES:
            _, template = read(name)
            self.assertTrue(template['description'].strip(), name)
            for key, item in (
                *template.get('parameters', {}).items(),
                *template['outputs'].items(),
            ):
                self.assertTrue(item['description'], f'{name}: {key}')

    def test_image_only(self):
        stack = self.gallery('image-only.yaml')
        stack.create()
        self.assertEqual(('CREATE', 'COMPLETE'), stack.state)
        [(_, request)] = self.service.named('create')
        self.assertEqual(['nginx'], request['packages'])
        self.assertEqual(
            'image-build-1', stack.outputs['image_id'].get_value()
        )

    def test_two_stacks_share_an_image(self):
        stacks = []
        for stage in 'test', 'production':
            stack = self.gallery('shared-image.yaml', stage, stage=stage)
            stack.create()
            stacks.append(stack)
        first, second = (
            stack.outputs['image_id'].get_value() for stack in stacks
        )
        self.assertEqual(first, second)
        names = [call[1]['name'] for call in self.service.named('create')]
        self.assertEqual(['web-test', 'web-production'], names)

    def test_script_of_the_inline_manifest(self):
        stack = self.gallery('inline-manifest.yaml')
        stack.create()
        [(_, request)] = self.service.named('create')
        self.assertIn('#!/bin/sh', request['resources']['greeting.sh'])
        self.assertEqual({'greeting': 'Welcome'}, request['arguments'])
