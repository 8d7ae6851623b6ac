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
"""What is refused, and foretold, before anything is built."""

import http.server
import json
import socket
import threading
import types

import glanceclient
from heat.common import exception
from heat.engine import api
from heat.engine.clients.os import glance
from heat.engine.clients.os import nova
from heat.engine.resources.openstack.nova import server
from heat.tests import utils
from keystoneauth1 import noauth
from keystoneauth1 import session as ksa_session

from heat_plugin.clients import constraints
from imagebuild import client
from imagebuild.client import exceptions
from tests.heat import base
from tests.heat import fake_service

SERVER = """
  server:
    type: OS::Nova::Server
    properties:
      flavor: small
      networks: [{allocate_network: none}]
      image: %s
"""

CHAIN = """
heat_template_version: 2018-08-31
resources:
  base:
    type: OS::ImageBuild::Image
    properties: {os: debian-12}
  web:
    type: OS::ImageBuild::Image
    properties:
      base_image: {get_resource: base}
      packages: [nginx]
"""

#: Its value is not known before it is created.
OTHER = """
  other:
    type: OS::Heat::Value
    properties: {value: x}
"""

IMAGE_ID = '7f3c6c3e-4f0c-4f0e-9d3b-0b6a3d1f2a10'
IMAGE = {'id': IMAGE_ID, 'name': 'cirros'}
_TEXT = {'type': 'string'}
#: What Glance's client asks for besides.
GLANCE = {
    '/v2/schemas/image': {
        'name': 'image',
        'properties': {'id': _TEXT, 'name': _TEXT},
    },
    f'/v2/images/{IMAGE_ID}': IMAGE,
}

URL = 'http://10.0.0.5:9393/v1/os'
#: As keystoneauth says it.
AWAY = f'Unable to establish connection to {URL}: refused.'


class TestValidate(base.HeatPluginTestCase):
    def refused(self, **options):
        error = self.assertRaises(
            exception.StackValidationFailed, self.stack(**options).validate
        )
        return str(error)

    def test_what_is_wrong(self):
        rows = [
            (
                {'os': None},
                'either "os", "base_image" or "base_channel" is needed',
            ),
            (
                {'recipe': 'redis', 'manifest': {'a': 1}},
                'only one of "recipe" and "manifest"',
            ),
            ({'recipe_version': '7'}, 'no use without "recipe"'),
            ({'resources': {'a': 'b'}}, 'no use without "manifest"'),
            (
                {'members': ['p'], 'visibility': 'private'},
                'only an image with "visibility: shared"',
            ),
            ({'files': [{'path': '/a'}]}, 'files[0]: exactly one of'),
            ({'files': [{'content': 'a'}]}, 'files[0]: "path" is needed'),
            (
                {'os': None, 'base_channel': {'name': 'a'}},
                'base_channel: "channel" is needed',
            ),
            (
                {'files': [{'path': '/a', 'content': '', 'mode': 'rw'}]},
                'mode',
            ),
            ({'files': [{'path': 'a', 'content': ''}]}, 'path'),
            # What YAML makes of 0644 without quotes.
            ({'files': [{'path': '/a', 'content': '', 'mode': 420}]}, 'mode'),
            ({'disk_format': 'iso'}, 'disk_format'),
            ({'container_format': 'x'}, 'container_format'),
            ({'visibility': 'x'}, 'visibility'),
            ({'reuse': 'perhaps'}, 'reuse'),
            ({'timeout': 0}, 'timeout'),
            ({'min_disk': -1}, 'min_disk'),
            ({'max_age': -1}, 'max_age'),
            ({'name': ''}, 'name'),
            ({'os': 'debian-99'}, 'there is: debian-12, debian-13'),
            ({'recipe': 'redsi'}, 'There is no recipe "redsi"'),
        ]
        for number, (changes, expected) in enumerate(rows):
            text = self.refused(changes=changes, stack_name=f's{number}')
            self.assertIn(expected, text)
        self.assertEqual(0, self.service.count('create'))

    def test_all_at_once(self):
        text = self.refused(changes={'os': None, 'recipe_version': '7'})
        self.assertIn('either "os"', text)
        self.assertIn('without "recipe"', text)

    def test_timeout_of_the_stack(self):
        text = self.refused(changes={'timeout': 1201}, timeout_mins=20)
        self.assertIn('The build may take 1201 seconds', text)
        self.assertIn('only 1200', text)
        self.assertIn('--timeout 21', text)
        stack = self.stack(
            changes={'timeout': 1200}, timeout_mins=20, stack_name='enough'
        )
        stack.validate()

    def test_default_timeout_of_the_stack(self):
        self.assertIn('only 3600', self.refused(changes={'timeout': 3601}))

    def test_service_looks_at_the_description(self):
        self.service.away['plan'] = fake_service.bad_request(
            ('packages[0]', 'it is empty'), ('manifest', 'it is odd')
        )
        text = self.refused()
        self.assertIn('packages[0]: it is empty; manifest: it is odd.', text)

    def test_service_that_is_slow_or_away_is_not_asked_again(self):
        self.service.away['plan'] = exceptions.ConnectionFailed('No.')
        stack = self.stack(
            template=base.TEMPLATE
            + '  two:\n    type: OS::ImageBuild::Image\n'
            '    properties: {os: debian-13}\n'
        )
        stack.validate()
        self.assertEqual(1, self.service.count('plan'))

    def test_values_of_other_resources_are_not_known_yet(self):
        # What the service misses there is what is not known.
        self.service.away['plan'] = [
            None,
            fake_service.bad_request(('os', '"base_image" is needed')),
        ]
        self.stack(template=CHAIN).validate()
        [_, (_, sent)] = self.service.named('plan')
        self.assertNotIn('base_image', sent)
        self.assertEqual(['nginx'], sent['packages'])

    def with_value(self, **changes):
        """A stack with a property that another resource gives."""
        value = {'get_attr': ['other', 'value']}
        made = base.TEMPLATE + OTHER
        return self.stack(
            template=made,
            changes={
                'arguments': {'a': value, 'b': 'red'},
                'recipe': 'redis',
                **changes,
            },
        )

    def test_placeholders_for_what_is_not_known(self):
        self.with_value().validate()
        [(_, sent)] = self.service.named('plan')
        self.assertEqual({'a': 'placeholder', 'b': 'red'}, sent['arguments'])

    def test_mistakes_beside_what_is_not_known(self):
        self.service.away['plan'] = fake_service.bad_request(
            ('arguments.a', 'not one of x, y'),
            ('arguments.b', 'not a number'),
            ('packages[0]', 'it is empty'),
        )
        error = self.assertRaises(
            exception.StackValidationFailed, self.with_value().validate
        )
        self.assertIn('arguments.b: not a number', str(error))
        self.assertIn('packages[0]: it is empty', str(error))
        self.assertNotIn('arguments.a', str(error))

    def test_only_the_placeholder_is_a_mistake(self):
        self.service.away['plan'] = fake_service.bad_request(
            ('arguments.a', 'not one of x, y')
        )
        self.with_value().validate()
        self.assertEqual(1, self.service.count('plan'))

    def test_checks_of_one_property_beside_what_is_not_known(self):
        stack = self.with_value(members=['p'], visibility='private')
        error = self.assertRaises(
            exception.StackValidationFailed, stack.validate
        )
        self.assertIn('only an image with "visibility: shared"', str(error))

    def test_time_limit_beside_what_is_not_known(self):
        stack = self.with_value(timeout=3601)
        error = self.assertRaises(
            exception.StackValidationFailed, stack.validate
        )
        self.assertIn('only 3600', str(error))

    def test_channel_of_the_base_is_not_known(self):
        """The service's problem with it is at "os", where it has it."""
        value = {'get_attr': ['other', 'value']}
        for number, base_channel in enumerate(
            (value, {'name': value, 'channel': 'prod'})
        ):
            self.service.away['plan'] = fake_service.bad_request(
                ('os', 'the channel "prod" of "placeholder" is empty')
            )
            changes = {'os': None, 'base_channel': base_channel}
            template = base.TEMPLATE + OTHER
            self.stack(
                template=template, changes=changes, stack_name=f's{number}'
            ).validate()
            self.service.away['plan'] = fake_service.bad_request(
                ('os', 'the channel "prod" of "placeholder" is empty'),
                ('packages[0]', 'it is empty'),
            )
            text = self.refused(
                template=template, changes=changes, stack_name=f't{number}'
            )
            self.assertIn('packages[0]: it is empty', text)
            self.assertNotIn('placeholder', text)
        self.assertEqual(4, self.service.count('plan'))

    def test_channel_of_the_base_is_empty(self):
        self.service.away['plan'] = fake_service.bad_request(
            ('os', 'the channel "prod" of "web" is empty')
        )
        text = self.refused(
            changes={
                'os': None,
                'base_channel': {'name': 'web', 'channel': 'prod'},
            }
        )
        self.assertIn('the channel "prod" of "web" is empty', text)

    def test_whole_entries_are_not_known(self):
        value = {'get_attr': ['other', 'value']}
        self.with_value(files=[{'path': '/a', 'content': ''}, value])
        self.stacks[-1].validate()
        [(_, sent)] = self.service.named('plan')
        self.assertNotIn('files', sent)

    def test_part_of_a_list_is_not_known(self):
        value = {'get_attr': ['other', 'value']}
        self.with_value(
            packages=['nginx', value],
            files=[{'path': '/a', 'content': value}],
            min_disk=value,
        ).validate()
        [(_, sent)] = self.service.named('plan')
        self.assertEqual(['nginx', 'placeholder'], sent['packages'])
        self.assertEqual('placeholder', sent['files'][0]['content'])
        self.assertNotIn('min_disk', sent)

    def test_what_this_user_may_not_have(self):
        self.service.away['plan'] = exceptions.Forbidden(
            'Public images are for administrators.'
        )
        text = self.refused(changes={'visibility': 'public'})
        self.assertIn('Public images are for administrators.', text)

    def test_refusal_of_one_image_is_none_of_the_others(self):
        # A preview goes on after it.
        self.service.away['plan'] = [exceptions.Forbidden('Not for you.')]
        two = (
            '  two:\n    type: OS::ImageBuild::Image\n'
            '    properties: {os: debian-13}\n'
        )
        api.format_stack_preview(self.stack(template=base.TEMPLATE + two))
        self.assertEqual(2, self.service.count('plan'))

    def test_keystone_refuses_a_token(self):
        # It does not pass, so nothing waits for it or is left unchecked.
        error = exceptions.IdentityRefused('The identity service refused: No.')
        self.service.away['plan'] = [error]
        two = (
            '  two:\n    type: OS::ImageBuild::Image\n'
            '    properties: {os: debian-13}\n'
        )
        stack = self.stack(template=base.TEMPLATE + two)
        text = str(
            self.assertRaises(exception.StackValidationFailed, stack.validate)
        )
        self.assertIn('There is no token to ask for the image "', text)
        for name in 'web', 'two':
            stack[name].validate()
        self.assertEqual(3, self.service.count('plan'))

    def test_values_of_image_properties(self):
        for value, kind in (({'a': 1}, 'map'), ([1], 'list')):
            text = self.refused(
                changes={'properties': {'x': value}}, stack_name=kind
            )
            self.assertIn(f'properties.x: the value is a {kind}', text)

    def test_template_without_values_of_its_parameters(self):
        template = base.TEMPLATE.replace(
            'debian-12', '{get_param: os}'
        ).replace('resources:', 'parameters: {os: {type: string}}\nresources:')
        stack = self.stack(template=template)
        stack.strict_validate = False
        stack.validate()
        self.assertEqual(0, self.service.count('plan'))

    def test_service_away_while_a_name_is_looked_up(self):
        """That is no mistake of the value; creating it waits."""
        for number, error in enumerate((AWAY, exceptions.ServerError(AWAY))):
            self.service.away['operating_systems'] = (
                exceptions.ConnectionFailed(error) if error is AWAY else error
            )
            # A name of its own: that it was found may be remembered.
            changes = {'os': f'debian-away-{number}'}
            self.stack(changes=changes, stack_name=f's{number}').validate()
            # It was not taken for found.
            self.service.away.clear()
            text = self.refused(changes=changes, stack_name=f'again{number}')
            self.assertIn('There is no operating system "debian-away', text)

    def test_names_are_refused(self):
        self.service.away['operating_systems'] = exceptions.Forbidden(
            f'Policy does not allow it at {URL}.'
        )
        text = self.refused()
        self.assertIn('did not say which names it has', text)
        self.assertNotIn('10.0.0.5', text)

    def test_names_that_are_not_found_are_looked_up_again(self):
        self.refused(changes={'os': 'debian-14'}, stack_name='first')
        self.service.operating_systems = types.SimpleNamespace(
            list=lambda: [client.OperatingSystem(name='debian-14')]
        )
        self.stack(changes={'os': 'debian-14'}).validate()


class TestBaseImage(base.HeatPluginTestCase):
    """With Glance's own client, and nobody at its address."""

    def setUp(self):
        super().setUp()
        with socket.socket() as free:
            free.bind(('127.0.0.1', 0))
            self.address = f'127.0.0.1:{free.getsockname()[1]}'

    def glance(self, handler=None):
        """Let it be at its address, or nobody."""
        if handler:
            host, port = self.address.split(':')
            server = http.server.ThreadingHTTPServer(
                (host, int(port)), handler
            )
            threading.Thread(target=server.serve_forever, args=(0.01,)).start()
            self.addCleanup(server.server_close)
            self.addCleanup(server.shutdown)
        auth = noauth.NoAuth(endpoint=f'http://{self.address}')
        glance.GlanceClientPlugin._create.return_value = glanceclient.Client(
            '2', session=ksa_session.Session(auth)
        )

    def made(self):
        return self.stack(changes={'os': None, 'base_image': 'cirros'})

    def refused(self):
        error = self.assertRaises(
            exception.StackValidationFailed, self.made().validate
        )
        return self.plain(str(error))

    def failed(self):
        """Why it is not created, though nothing was against it before."""
        stack = self.made()
        stack.validate()
        stack.create()
        self.assertEqual('FAILED', stack.status)
        self.assertEqual(0, self.service.count('create'))
        return self.plain(stack.status_reason)

    def plain(self, text):
        self.assertNotIn('127.0.0.1', text)
        self.assertNotIn('http:', text)
        return text

    def test_away(self):
        self.glance()
        text = self.failed()
        self.assertIn('base_image: Glance was not reached', text)
        self.assertIn("not the template's fault", text)

    def test_out_of_order(self):
        self.glance(answering(503, 'No http://10.0.0.5:9292/ today'))
        self.assertIn('Glance failed, not the template', self.failed())

    def test_not_allowed(self):
        self.glance(answering(403, 'Not at http://10.0.0.5:9292/'))
        self.assertIn('Glance did not say', self.refused())

    def test_not_there(self):
        self.glance(answering(200, '{"images": []}'))
        self.assertIn('cirros', self.refused())

    def test_parameter(self):
        """What is known of an absent Glance says nothing of the value."""
        constraint = constraints.BaseImageConstraint()
        context = utils.dummy_context()
        self.glance()
        self.assertTrue(constraint.validate('cirros', context))
        self.glance(answering(200, '{"images": []}'))
        self.assertFalse(constraint.validate('cirros', context))
        self.assertIn('cirros', constraint.error('cirros'))

    def test_away_while_the_stack_is_checked(self):
        stack = self.stack()
        stack.create()
        self.glance()
        stack.check()
        self.assertEqual(('CHECK', 'FAILED'), stack.state)
        text = self.plain(stack['web'].status_reason)
        self.assertIn('Glance was not reached', text)

    def test_its_id_is_sent(self):
        self.glance(answering(200, json.dumps({'images': [IMAGE]})))
        stack = self.made()
        stack.create()
        self.assertEqual('COMPLETE', stack.status, stack.status_reason)
        [call] = self.service.named('create')
        self.assertEqual(IMAGE_ID, call[1]['base_image'])


def answering(status, text):
    """A handler of requests that always says this."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            known = GLANCE.get(self.path)
            data = (json.dumps(known) if known else text).encode()
            self.send_response(status)
            kind = 'application/json' if status == 200 else 'text/plain'
            self.send_header('Content-Type', kind)
            self.send_header('Content-Length', str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *arguments):
            pass

    return Handler


class TestPreview(base.HeatPluginTestCase):
    def preview(self, **options):
        found = api.format_stack_preview(self.stack(**options))
        return found['resources'][0]['attributes']

    def test_would_build(self):
        attributes = self.preview()
        self.assertEqual('will build 1 step', attributes['status'])
        self.assertEqual(64, len(attributes['content_key']))
        self.assertEqual('', attributes['image_id'])
        self.assertEqual(0, self.service.count('create'))

    def plan(self, **values):
        plan = client.Plan.from_dict(values)
        self.mock(fake_service.Builds, 'plan', return_value=plan)

    def test_would_reuse(self):
        self.plan(reuse={'image_id': 'i'}, would_build=False)
        attributes = self.preview()
        self.assertEqual('will reuse image i', attributes['status'])
        self.assertEqual('i', attributes['image_id'])

    def test_would_wait(self):
        self.plan(reuse={'build_id': 'b'}, would_build=False)
        self.assertIn('will wait for build b', self.preview()['status'])

    def test_nothing_is_known(self):
        self.service.away['plan'] = exceptions.ServerError('Broken.')
        self.assertIsNone(self.preview()['status'])
        self.service.away['plan'] = fake_service.bad_request(('a', 'b'))
        self.assertIsNone(self.preview(stack_name='other')['status'])


class TestServer(base.HeatPluginTestCase):
    """The traps of OS::Nova::Server."""

    def setUp(self):
        super().setUp()
        self.stub_FlavorConstraint_validate()
        self.mock(
            nova.NovaClientPlugin, 'is_version_supported', return_value=True
        )
        self.mock(
            nova.NovaClientPlugin,
            'get_flavor',
            return_value=types.SimpleNamespace(id='f', ram=1, disk=1),
        )
        self.asked = self.mock(
            glance.GlanceClientPlugin,
            'get_image',
            # Too large for the flavor, if it were looked at.
            return_value=types.SimpleNamespace(
                id='other', status='active', min_ram=999, min_disk=999
            ),
        )

    def server(self, image):
        stack = self.stack(template=base.TEMPLATE + SERVER % image)
        stack.validate()
        return stack

    def test_get_resource_before_there_is_an_image(self):
        # Glance has an image that happens to be named as the resource.
        self.server('{get_resource: web}')
        self.assertFalse(self.asked.called)

    def test_get_attr_before_there_is_an_image(self):
        self.server('{get_attr: [web, image_id]}')
        self.assertFalse(self.asked.called)

    def test_server_gets_the_id(self):
        self.mock(
            glance.GlanceClientPlugin,
            'find_image_by_name_or_id',
            side_effect=lambda plugin, name: name,
        )
        made = self.mock(
            server.Server, 'handle_create', return_value='server-1'
        )
        self.mock(server.Server, 'check_create_complete', return_value=True)
        for image in '{get_resource: web}', '{get_attr: [web, image_id]}':
            stack = self.stack(
                template=base.TEMPLATE + SERVER % image,
                stack_name=f's{len(image)}',
            )
            stack.create()
            self.assertTrue(made.called, stack.status_reason)
            self.assertTrue(stack['web'].FnGetRefId())
            self.assertEqual(
                stack['web'].FnGetRefId(), stack['server'].properties['image']
            )
