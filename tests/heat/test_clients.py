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
"""The client plugin, the constraints, and how Heat finds everything."""

import ast
import importlib.metadata
import inspect
import pathlib
import subprocess
import sys
import threading

from heat.common import exception
from heat.engine import clients
from heat.engine import resources
from heat.tests import common
from heat.tests import utils

import heat_plugin
from heat_plugin import exceptions
from heat_plugin import image
from heat_plugin.clients import constraints
from heat_plugin.clients import image_build
from imagebuild import client
from imagebuild.client import builds
from tests.heat import base
from tests.heat import fake_service

SOURCE = pathlib.Path(heat_plugin.__file__).parent


class TestFound(base.HeatPluginTestCase):
    def test_client_plugin(self):
        plugin = utils.dummy_context().clients.client_plugin('image_build')
        self.assertIsInstance(plugin, image_build.ImageBuildClientPlugin)
        self.assertIn('image_build', clients._mgr.names())

    def test_resource_type(self):
        found = resources.global_env().get_class('OS::ImageBuild::Image')
        self.assertIs(image.Image, found)

    def test_constraints(self):
        registry = resources.global_env()
        self.assertIs(
            constraints.OsConstraint, registry.get_constraint('imagebuild.os')
        )
        self.assertIs(
            constraints.RecipeConstraint,
            registry.get_constraint('imagebuild.recipe'),
        )

    def test_directory_for_plugin_dirs(self):
        found = subprocess.run(
            [sys.executable, '-m', 'heat_plugin.resources'],
            cwd=SOURCE.parent,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout.strip()
        self.assertEqual(str((SOURCE / 'resources').resolve()), found)

    def test_engine_starts_without_the_client(self):
        for module, kind in (('image', 'Image'), ('pipeline', 'Pipeline')):
            self._check_without(module, kind)

    def _check_without(self, module, kind):
        # The directory alone is there, nothing of it can be imported.
        program = (
            'import importlib.util as u, sys\n'
            f"sys.modules['heat_plugin.{module}'] = None\n"
            "s = u.spec_from_file_location('x', sys.argv[1])\n"
            'm = u.module_from_spec(s)\n'
            's.loader.exec_module(m)\n'
            'print(m.resource_mapping())\n'
        )
        path = SOURCE / 'resources' / f'imagebuild_{module}.py'
        found = subprocess.run(
            [sys.executable, '-c', program, str(path)],
            cwd=SOURCE.parent,
            capture_output=True,
            text=True,
            check=True,
        )
        self.assertEqual('{}', found.stdout.strip())
        self.assertIn(f'OS::ImageBuild::{kind} is left out', found.stderr)

    def test_imports_only_what_a_host_of_heat_has(self):
        allowed = set(sys.stdlib_module_names) | {
            'heat', 'heat_plugin', 'imagebuild', 'keystoneauth1',
            'oslo_config', 'oslo_log',
        }  # fmt: skip
        for path in SOURCE.rglob('*.py'):
            for node in ast.walk(ast.parse(path.read_text())):
                names = []
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom):
                    names = [node.module or '']
                for name in names:
                    self.assertIn(name.partition('.')[0], allowed, str(path))

    def test_loads_nothing_of_the_service(self):
        program = (
            'import sys; before = set(sys.modules)\n'
            'import heat_plugin.messages, heat_plugin.poll_state\n'
            'print(*(n for n in sys.modules if n.startswith("imagebuild.")))\n'
        )
        found = subprocess.run(
            [sys.executable, '-c', program],
            cwd=SOURCE.parent,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout.split()
        for name in found:
            module = name.removeprefix('imagebuild.')
            self.assertIn(
                'client' if module.startswith('client.') else module,
                {
                    *('client', 'exception', 'common'),
                    *('common.control_characters', 'common.counts'),
                    'common.statuses',
                },
            )

    def test_distributions(self):
        names = importlib.metadata.entry_points(group='heat.constraints').names
        self.assertIn('imagebuild.os', names)


class TestPlugin(common.HeatTestCase):
    def setUp(self):
        super().setUp()
        self.context = utils.dummy_context(region_name='north')
        self.plugin = self.context.clients.client_plugin('image_build')
        self.made = self.patchobject(client, 'Client', autospec=True)

    def test_client(self):
        self.plugin.client()
        options = self.made.call_args.kwargs
        self.assertEqual('north', options['region_name'])
        self.assertEqual('public', options['interface'])
        self.assertEqual(
            (self.context.keystone_session,), self.made.call_args.args
        )

    def test_one_client(self):
        self.assertIs(self.plugin.client(), self.plugin.client())

    def test_service_type(self):
        self.assertEqual(['image-build'], self.plugin.service_types)

    def test_predicates(self):
        rows = [
            (client.exceptions.NotFound('x'), 'is_not_found'),
            (client.exceptions.Conflict('x'), 'is_conflict'),
            (client.exceptions.QuotaExceeded('x'), 'is_over_limit'),
            (client.exceptions.TooLarge('x'), 'is_over_limit'),
            (client.exceptions.ServerError('x'), ''),
            (client.exceptions.ConnectionFailed('x'), ''),
            (client.exceptions.BadRequest('x'), ''),
        ]
        for error, expected in rows:
            self.assertTrue(self.plugin.is_client_exception(error))
            for name in 'is_not_found', 'is_conflict', 'is_over_limit':
                self.assertEqual(
                    name == expected, getattr(self.plugin, name)(error)
                )
        self.assertFalse(self.plugin.is_client_exception(ValueError()))
        self.assertFalse(
            self.plugin.is_client_exception(exceptions.ImageBuildFailed('x'))
        )

    def test_plan_is_bounded(self):
        plan = self.made.return_value.builds = fake_service.Service().builds
        self.plugin.plan({'name': 'x'})
        options = self.made.call_args.kwargs
        self.assertEqual(10.0, options['timeout'])
        self.assertEqual(0, options['connect_retries'])
        self.plugin._plan_time_left = 0
        self.assertIsNone(self.plugin.plan({'name': 'x'}))
        self.assertEqual(1, plan.service.count('plan'))

    def test_names(self):
        fake = fake_service.Service()
        self.patchobject(
            image_build.ImageBuildClientPlugin,
            '_create',
            autospec=True,
            return_value=fake,
        )
        self.assertEqual('redis', self.plugin.find_recipe('redis'))
        self.assertEqual('debian-12', self.plugin.find_os('debian-12'))
        error = self.assertRaises(
            exception.EntityNotFound, self.plugin.find_recipe, 'redsi'
        )
        self.assertEqual(
            'There is no recipe "redsi"; there is: mariadb, nginx, redis.',
            str(error),
        )
        many = [client.Recipe(name=f'r{n:02}') for n in range(30)]
        fake.recipes.list = lambda: iter(many)
        error = self.assertRaises(
            exceptions.UnknownName, self.plugin.find_recipe, 'x'
        )
        self.assertIn('r19 and 10 more.', str(error))
        fake.recipes.list = lambda: iter(())
        error = self.assertRaises(
            exceptions.UnknownName, self.plugin.find_recipe, 'x'
        )
        self.assertIn('none at all', str(error))

    def test_threads_share_a_client(self):
        found = []
        threads = [
            threading.Thread(target=lambda: found.append(self.plugin.client()))
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(8, len(found))


class TestFakeService(common.HeatTestCase):
    def test_has_the_calls_of_the_client(self):
        for name, method in inspect.getmembers(
            fake_service.Builds, inspect.isfunction
        ):
            real = getattr(builds.BuildManager, name, None)
            if name.startswith('_') or real is None:
                continue
            self.assertEqual(
                [*inspect.signature(real).parameters],
                [*inspect.signature(method).parameters],
                name,
            )
