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
"""What the tests share: a stack in Heat's engine, without its services."""

import types
from unittest import mock

from heat.common import template_format
from heat.engine import check_resource
from heat.engine import resource
from heat.engine import scheduler
from heat.engine import stack as heat_stack
from heat.engine import template as heat_template
from heat.engine.clients.os import glance
from heat.objects import stack as stack_objects
from heat.tests import common
from heat.tests import utils
from oslo_config import cfg

from heat_plugin.clients import image_build
from tests.heat import fake_service

TEMPLATE = """
heat_template_version: 2018-08-31
resources:
  web:
    type: OS::ImageBuild::Image
    properties:
      os: debian-12
      packages: [nginx]
"""


def changed(template, changes):
    """Parse a template with properties of the resource "web" changed."""
    parsed = template_format.parse(template)
    if changes:
        properties = parsed['resources']['web']['properties']
        properties.update(changes)
        parsed['resources']['web']['properties'] = {
            name: value
            for name, value in properties.items()
            if value is not None
        }
    return parsed


class HeatPluginTestCase(common.HeatTestCase):
    def setUp(self):
        super().setUp()
        self.service = fake_service.Service()
        # Resources only have a weak reference to theirs.
        self.stacks = []
        self.patchobject(
            image_build.ImageBuildClientPlugin,
            '_new',
            autospec=True,
            side_effect=lambda plugin, **options: self.service,
        )
        self.patchobject(
            resource.Resource, 'is_service_available', autospec=True
        ).return_value = (True, None)
        self.patchobject(
            glance.GlanceClientPlugin, '_create', autospec=True
        ).return_value = types.SimpleNamespace(
            images=fake_service.Glance(self.service)
        )

    def stack(self, template=TEMPLATE, *, changes=None, **options):
        """Parse and store a stack.

        :param changes: properties of the resource "web", changed.
        """
        options.setdefault('stack_name', 'stack')
        self.stacks.append(
            utils.parse_stack(changed(template, changes), **options)
        )
        return self.stacks[-1]

    def newer(self, **changes):
        """Return a stack that another is to become; it is not stored."""
        parsed = heat_template.Template(changed(TEMPLATE, changes))
        self.stacks.append(
            heat_stack.Stack(utils.dummy_context(), 'stack', parsed)
        )
        return self.stacks[-1]

    def created(self, **options):
        stack = self.stack(**options)
        stack.validate()
        scheduler.TaskRunner(stack.create)()
        return stack

    def web(self, **options):
        """Return the resource of a stack that was created."""
        stack = self.created(**options)
        self.assertEqual(('CREATE', 'COMPLETE'), stack.state)
        return stack['web']

    def failed(self, **options):
        """Return why the resource of a stack failed."""
        stack = self.created(**options)
        self.assertEqual(('CREATE', 'FAILED'), stack['web'].state)
        return stack['web'].status_reason

    def definition(self, rsrc, **changes):
        """Return the definition of a resource with properties changed."""
        properties = {**rsrc.t._properties, **changes}
        return rsrc.t.freeze(
            properties={
                name: value
                for name, value in properties.items()
                if value is not None
            }
        )

    def update(self, rsrc, **changes):
        scheduler.TaskRunner(rsrc.update, self.definition(rsrc, **changes))()

    def lock(self, rsrc, action):
        """Have an engine work on a resource that is stored."""
        cfg.CONF.set_override('client_retry_limit', 0)
        if action == 'CREATE':
            rsrc.state_set(action, 'IN_PROGRESS')
        rsrc.stack.convergence = True
        rsrc.current_template_id = rsrc.stack.t.id
        rsrc._calling_engine_id = 'engine-1'
        rsrc.state_set(action, 'IN_PROGRESS', lock=rsrc.LOCK_ACQUIRE)

    def engine_comes_to(self, rsrc, parsed):
        """Have Heat's engine come to a newer template, by its own code.

        Another engine has the lock of the resource, and works on it.
        """
        context, stack_id = rsrc.context, rsrc.stack.id
        template_id = heat_template.Template(parsed).store(context)
        values = {
            'raw_template_id': template_id,
            'convergence': True,
            'current_traversal': 'newer',
            'action': 'UPDATE',
            'status': 'IN_PROGRESS',
        }
        stack_objects.Stack.update_by_id(context, stack_id, values)
        other, _, latest = resource.Resource.load(
            context, rsrc.id, 'newer', True, {}
        )
        self.stacks.append(latest)
        check = check_resource.CheckResource('engine-2', None, None, None, {})
        # The other engine is alive.
        with mock.patch.object(
            check, '_stale_resource_needs_retry', autospec=True
        ) as stale:
            stale.return_value = False
            check._do_check_resource(
                *(context, 'newer', latest.t, {}, True, other, latest, None)
            )
        # It found the lock.
        self.assertEqual(1, stale.call_count)

    def mock(self, target, name, **options):
        return self.patchobject(target, name, autospec=True, **options)
