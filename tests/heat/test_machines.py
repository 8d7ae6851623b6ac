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
"""``OS::ImageBuild::Validation``, with a service in memory."""

from unittest import mock

from heat.common import exception
from heat.engine import scheduler
from heat.engine import stack as heat_stack
from heat.engine import template as heat_template
from heat.tests import utils
from heatclient.common import format_utils

from imagebuild.client import exceptions
from tests.heat import base

AWAY = exceptions.ConnectionFailed('Connection refused.')
KEY = 'SHA256:' + 'A' * 43
TEMPLATE = f"""
heat_template_version: 2018-08-31
resources:
  web:
    type: OS::ImageBuild::Validation
    properties:
      name: web
      servers: [server-1]
      hosts: [203.0.113.7]
      host_keys: {{203.0.113.7: '{KEY}'}}
      user: debian
      credential: {{secret: href}}
      packages: [nginx]
outputs:
  status: {{value: {{get_attr: [web, status]}}}}
"""


class TestValidation(base.HeatPluginTestCase):
    def stack(self, template=TEMPLATE, **options):
        return super().stack(template, **options)

    def test_it_is_there_when_all_is_well(self):
        self.service.looks = 2
        web = self.web()
        self.assertEqual('validation-1', web.FnGetRefId())
        self.assertEqual('passed', web.FnGetAtt('status'))
        [(_, values)] = self.service.named('create')
        self.assertEqual(
            {
                'name': 'web',
                'hosts': [
                    {'server': 'server-1', 'user': 'debian', 'port': 22},
                    {
                        'address': '203.0.113.7',
                        'user': 'debian',
                        'port': 22,
                        'host_key': KEY,
                    },
                ],
                'credential': {'secret': 'href'},
                'reconcile': False,
                'packages': ['nginx'],
            },
            values,
        )

    def test_blanks_around_names(self):
        """As a comma_delimited_list has them: "10.0.0.1, 10.0.0.2"."""
        self.web(
            changes={
                'servers': ['a', ' b'],
                'hosts': ['10.0.0.1', ' 10.0.0.2'],
                'host_keys': {'10.0.0.2': KEY, 'b ': KEY},
            }
        )
        [(_, values)] = self.service.named('create')
        found = [
            (
                host.get('server') or host['address'],
                host.get('host_key'),
            )
            for host in values['hosts']
        ]
        self.assertEqual(
            [('a', None), ('b', KEY), ('10.0.0.1', None), ('10.0.0.2', KEY)],
            found,
        )

    def test_the_stack_fails_with_the_step(self):
        self.service.validations.ending = {
            'status': 'failed',
            'status_reason': 'web: validators[0].package: no nginx',
        }
        reason = self.failed()
        self.assertIn('The machines are not as described: web: val', reason)
        self.assertTrue(
            reason.endswith('no nginx. (Validation validation-1.)'), reason
        )

    def test_the_sentence_is_seen_however_much_fails(self):
        """As "openstack stack failures list" shows it: the last ten lines."""
        for machines, steps, width in (
            (1, 12, 9), (5, 12, 9), (40, 60, 9000), (7, 1, 9),
        ):  # fmt: skip
            self.service.validations.ending = self.ending(
                machines, steps, width
            )
            told = self.failed(stack_name=f's{machines}')
            shown = format_utils.indent_and_truncate(told, truncate=True)
            self.assertIn('The machines are not as described. (Val', shown)
            self.assertIn('web0: validators[0].package: xx', shown)
            self.assertLess(len(shown), 3000)
            for number in range(min(machines, 6)):
                self.assertIn(f'web{number}: validators[0]', shown)
            share = max(1, 6 // machines)
            if steps > share:
                self.assertIn(f'{steps - share} more)', shown)
            if machines > 6:
                last = shown.splitlines()[-1]
                self.assertIn(f'... and {machines - 6} more machine', last)

    def ending(self, machines, steps, width):
        """A validation that has failed, as the service shows it."""
        reason = '\n'.join(
            f'validators[{number}].package: {"x" * width}'
            for number in range(steps)
        )
        results = [
            {'name': f'web{number}', 'reason': reason}
            for number in range(machines)
        ]
        return {
            'status': 'failed',
            'results': [{'name': 'well', 'reason': ''}, *results],
            'status_reason': '\n'.join(
                f'{each["name"]}: {each["reason"]}' for each in results[:5]
            )[:4000],
        }

    def test_one_that_is_down(self):
        self.service.validations.ending = {
            'status': 'error',
            'status_reason': 'web cannot be used: Connection refused.',
        }
        self.assertIn('could not be looked at: web cannot', self.failed())

    def test_one_that_somebody_has_deleted(self):
        gone = 'There is no validation validation-1.'
        self.service.away['get'] = exceptions.NotFound(gone)
        reason = self.failed()
        self.assertIn('ImageBuildRefused', reason)
        self.assertIn(gone, reason)

    def test_stack_timeout_cancels(self):
        """One that reconciles would go on changing machines."""
        self.service.looks = 10**6
        web = self.stack(changes={'reconcile': True})['web']
        task = scheduler.TaskRunner(web.create)
        task.start()
        for _ in range(3):
            task.step()
        task.cancel()
        [found] = self.service.validations.made.values()
        self.assertEqual('cancelled', found['status'])
        self.assertEqual(('CREATE', 'FAILED'), web.state)

    def preempt(self, latest, action='UPDATE'):
        """Let a newer template arrive, in the state that the engine has.

        It has begun the newer action, without storing it.
        """
        self.service.looks = 10**6
        web = self.stack(stack_name=f's{len(self.stacks)}')['web']
        web.state_set('CREATE', 'IN_PROGRESS')
        web.handle_create()
        web.action = action
        before = self.service.count('cancel')
        with mock.patch.object(
            heat_stack.Stack, 'load', autospec=True, return_value=latest
        ):
            web.handle_preempt()
        return self.service.count('cancel') - before

    def newer(self, **changes):
        parsed = heat_template.Template(base.changed(TEMPLATE, changes))
        self.stacks.append(
            heat_stack.Stack(utils.dummy_context(), 'stack', parsed)
        )
        return self.stacks[-1]

    def test_newer_template_that_wants_another_one(self):
        for changes in (
            {'packages': ['apache2']},
            {'hosts': ['203.0.113.8']},
            {'triggers': [2]},
        ):
            self.assertEqual(1, self.preempt(self.newer(**changes)))
        self.assertEqual(1, self.preempt({}, 'DELETE'))

    def test_newer_template_that_wants_the_same(self):
        self.assertEqual(0, self.preempt(self.newer()))

    def test_newer_templates_by_the_code_of_the_engine(self):
        self.service.looks = 10**6
        web = self.stack()['web']
        self.lock(web, 'CREATE')
        web.handle_create()
        for changes, cancelled in (({}, 0), ({'packages': ['apache2']}, 1)):
            # Something that has to change, or nobody asks for the lock.
            parsed = base.changed(TEMPLATE, changes)
            parsed['resources']['web']['metadata'] = {'n': cancelled}
            self.engine_comes_to(web, parsed)
            self.assertEqual(cancelled, self.service.count('cancel'))

    def test_cancel_is_patient_with_the_service(self):
        web = self.web()
        web.handle_create_cancel(None)
        for error in (exceptions.NotFound('Gone.'), AWAY):
            self.service.away['cancel'] = error
            web.handle_create_cancel(None)
        self.assertEqual(3, self.service.count('cancel'))

    def test_cancel_before_there_is_one(self):
        self.stack()['web'].handle_create_cancel(None)
        self.assertEqual([], self.service.calls)

    def test_it_is_deleted(self):
        for ending in ('passed', 'failed'):
            self.service.validations.ending = {'status': ending}
            stack = self.created(stack_name=ending)
            scheduler.TaskRunner(stack.delete)()
            self.assertEqual(('DELETE', 'COMPLETE'), stack.state)
        self.assertEqual({}, self.service.validations.made)

    def test_one_that_runs_is_cancelled_first(self):
        web = self.web()
        self.service.validations.made[web.resource_id]['status'] = 'running'
        scheduler.TaskRunner(web.delete)()
        self.assertEqual(1, self.service.count('cancel'))
        self.assertEqual({}, self.service.validations.made)

    def test_what_a_template_lacks(self):
        for changes, said in (
            ({'servers': [], 'hosts': []}, 'either "servers" or "hosts"'),
            ({'packages': None}, 'nothing that is to be true'),
            ({'files': [{'content': 'x'}]}, 'files[0]: "path" is needed'),
            ({'files': [{'path': '/x'}]}, 'files[0]: exactly one of'),
        ):
            name = f's{len(self.stacks)}'
            stack = self.stack(changes=changes, stack_name=name)
            error = self.assertRaises(
                exception.StackValidationFailed, stack.validate
            )
            self.assertIn(said, str(error))
