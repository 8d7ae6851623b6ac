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
"""A stack declares an image and a server that boots from it."""

from tempest import config
from tempest.common import utils
from tempest.lib import decorators
from tempest.lib import exceptions as lib_exc
from tempest.lib.common.utils import data_utils
from tempest.lib.common.utils import test_utils

from imagebuild_tempest_plugin.common import requests
from imagebuild_tempest_plugin.common import templates
from imagebuild_tempest_plugin.common import waiters
from imagebuild_tempest_plugin.tests import base

CONF = config.CONF


class StackTest(base.BaseImageBuildTest):
    """Heat, Nova, Glance and ours together."""

    @classmethod
    def skip_checks(cls):
        super().skip_checks()
        if not CONF.image_build_feature_enabled.orchestration:
            raise cls.skipException('Heat with our resource is not there')

    @classmethod
    def setup_clients(cls):
        super().setup_clients()
        heat = cls.os_primary.image_build_orchestration
        cls.stacks = heat.StacksClient()
        if CONF.service_available.nova:
            cls.servers = cls.os_primary.servers_client

    def create_stack(self, template):
        """Ask for a stack; it is deleted at the end of the test."""
        name = data_utils.rand_name('stack')
        minutes = CONF.image_build.build_timeout // 60 + 1
        made = self.stacks.create_stack(name, template, minutes)
        stack = {'stack_name': name, 'id': made['id']}
        self.addCleanup(self.delete_stack, stack)
        return stack

    def delete_stack(self, stack):
        """Delete a stack, if it is still there, and wait until it is gone."""
        if not self.stacks.is_resource_deleted(stack['id']):
            self.stacks.delete_stack(stack)
            self.stacks.wait_for_resource_deletion(stack['id'])

    def properties(self, **more):
        """Properties of an image that nobody has asked for yet."""
        system = CONF.image_build.real_operating_system or self.system
        return {**requests.image(system), **more}

    @decorators.idempotent_id('57a1a574-a502-4e81-bff4-6df0272ba122')
    @decorators.attr(type=['slow', 'smoke'])
    @utils.services('compute', 'image')
    def test_server_boots_from_the_image(self):
        greeting = data_utils.rand_name('greeting')
        properties = self.properties(files=[_greeter(greeting)])
        stack = self.create_stack(self._template(properties))
        waiters.wait_for_stack(self.stacks, stack, 'CREATE_COMPLETE')
        outputs = self.stacks.show_outputs(stack)
        self._check_image(outputs, properties)
        self._check_server(outputs, greeting)

        self.delete_stack(stack)
        self.client.wait_for_resource_deletion(outputs['build_id'])
        self.images.wait_for_resource_deletion(outputs['image_id'])
        self.assertRaises(
            lib_exc.NotFound, self.servers.show_server, outputs['server_id']
        )

    def _template(self, properties):
        options = CONF.image_build
        flavor = options.flavor or CONF.compute.flavor_ref
        return templates.server(properties, flavor, options.network)

    def _check_image(self, outputs, properties):
        image = self.images.show_image(outputs['image_id'])
        self.assertEqual('active', image['status'])
        self.assertEqual(properties['name'], image['name'])
        self.assertEqual(self.client.project_id, image['owner'])
        self.assertEqual(outputs['os_hash_value'], image['os_hash_value'])
        build = self.client.show_build(outputs['build_id'])
        self.assertEqual(build['id'], image['imagebuild_build_id'])
        self.assertEqual(image['id'], build['image_id'])
        for name in ('os_hash_algo', 'os_hash_value'):
            self.assertEqual(image[name], build['checksum'][name])
        self.assertEqual('active', outputs['status'])

    def _check_server(self, outputs, greeting):
        server = self.servers.show_server(outputs['server_id'])['server']
        self.assertEqual('ACTIVE', server['status'])
        self.assertEqual(outputs['image_id'], server['image']['id'])
        if (
            CONF.image_build.real_operating_system
            and CONF.compute_feature_enabled.console_output
        ):
            self._wait_for_console(server['id'], greeting)

    def _wait_for_console(self, server_id, text):
        """Wait until a server has printed this."""

        def printed():
            found = self.servers.get_console_output(server_id)['output']
            return text in found

        options = CONF.image_build
        self.assertTrue(
            test_utils.call_until_true(
                printed, options.build_timeout, options.build_interval
            ),
            f'The console of {server_id} does not show {text}',
        )

    @decorators.idempotent_id('222c3de4-7aaf-4d56-8df9-03b0f2c7ab9d')
    @decorators.attr(type=['negative'])
    @utils.services('compute', 'image')
    def test_broken_image(self):
        request = {**self.request(), **requests.broken(self.driver)}
        stack = self.create_stack(self._template(request))
        waiters.wait_for_stack(self.stacks, stack, 'CREATE_FAILED')
        [failure] = self.stacks.list_failures(stack)
        self.assertEqual('image', failure['resource_name'])
        reason = failure['resource_status_reason']
        self.assertIn(requests.FAILURE, reason)
        self.assertNotIn('Traceback', reason)
        # Heat tries again; the build is one.
        found = self.client.list_builds(name=request['name'])['builds']
        self.assertEqual(['error'], [build['status'] for build in found])
        resources = {
            one['resource_name']: one['resource_status']
            for one in self.stacks.list_resources(stack)
        }
        self.assertEqual('INIT_COMPLETE', resources['server'])

    @decorators.idempotent_id('b88a8ceb-433a-466c-aeec-0e3130c3f5a9')
    @utils.services('image')
    def test_update_of_the_name_keeps_the_image(self):
        request = self.request()
        stack = self.create_stack(templates.image(request))
        waiters.wait_for_stack(self.stacks, stack, 'CREATE_COMPLETE')
        before = self.stacks.show_outputs(stack)
        renamed = templates.image({**request, 'name': 'another'})
        self.stacks.update_stack(stack, renamed)
        waiters.wait_for_stack(self.stacks, stack, 'UPDATE_COMPLETE')
        self.assertEqual(before, self.stacks.show_outputs(stack))
        image = self.images.show_image(before['image_id'])
        self.assertEqual('another', image['name'])

    @decorators.idempotent_id('8a81f993-8e89-4276-bf3d-dcbbe5990932')
    @utils.services('image')
    def test_two_stacks_share_an_image(self):
        request = self.request()
        stacks = [
            self.create_stack(templates.image(request)) for _ in range(2)
        ]
        for stack in stacks:
            waiters.wait_for_stack(self.stacks, stack, 'CREATE_COMPLETE')
        first, second = [self.stacks.show_outputs(one) for one in stacks]
        self.assertEqual(first['image_id'], second['image_id'])
        self.assertNotEqual(first['build_id'], second['build_id'])
        self.delete_stack(stacks[0])
        image = self.images.show_image(second['image_id'])
        self.assertEqual('active', image['status'])
        self.delete_stack(stacks[1])
        self.images.wait_for_resource_deletion(second['image_id'])

    @decorators.idempotent_id('2fec4a6d-b318-480c-ae6c-d034f4565d7c')
    @utils.services('image')
    def test_delete_while_building(self):
        request = {**self.request(), **requests.slow(self.driver)}
        stack = self.create_stack(templates.image(request))
        build = self._build_of(request['name'])
        self.wait_for_build(build, 'building')
        self.delete_stack(stack)
        self.client.wait_for_resource_deletion(build['id'])
        self.assertEqual([], self.images_of(build))

    def _build_of(self, name):
        """Wait until Heat has asked for the image."""
        found = []

        def asked():
            found[:] = self.client.list_builds(name=name)['builds']
            return bool(found)

        options = CONF.image_build
        self.assertTrue(
            test_utils.call_until_true(
                asked, options.build_timeout, options.build_interval
            ),
            'Heat has not asked for the image',
        )
        return found[0]


def _greeter(text):
    """A file that makes a server print this on its console as it boots."""
    content = f"""\
[Service]
ExecStartPost=-/bin/sh -c 'echo {text} > /dev/console'
"""
    # A unit that every boot comes by.
    unit = 'systemd-user-sessions.service'
    path = f'/etc/systemd/system/{unit}.d/tempest.conf'
    return {'path': path, 'content': content, 'mode': '0644'}
