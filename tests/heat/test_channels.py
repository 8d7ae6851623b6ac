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
"""OS::ImageBuild::Image with channels."""

from heat.common import exception
from heat.engine import resource
from heat.engine import scheduler

from imagebuild.client import exceptions
from tests.heat import base

AWAY = exceptions.ConnectionFailed('Connection refused.')
PROD = {'name': 'web', 'channel': 'prod'}


class TestChannels(base.HeatPluginTestCase):
    def current(self, channel='prod'):
        return self.service.channels.current.get(('web', channel), [])

    def promotions(self):
        return [call[1:] for call in self.service.named('promote')]

    def update(self, stack, **changes):
        newer = self.newer(**changes)
        newer.validate()
        scheduler.TaskRunner(stack.update, newer)()
        return stack['web']

    def test_what_is_built_is_promoted(self):
        self.service.looks = 2
        self.web(changes={**PROD, 'channel_tags': ['amphora']})
        [(_, request)] = self.service.named('create')
        self.assertNotIn('channel', request)
        self.assertNotIn('channel_tags', request)
        tags = {'tags': ['amphora']}
        self.assertEqual([('build-1', 'prod', tags)], self.promotions())

    def test_nothing_without_a_channel(self):
        self.web(changes={'name': 'web'})
        self.assertEqual([], self.promotions())

    def test_not_before_it_is_built(self):
        self.service.outcome = {'status': 'error', 'fault': 'user'}
        self.failed(changes=PROD)
        self.assertEqual([], self.promotions())

    def test_while_the_service_is_away(self):
        self.service.away['promote'] = [AWAY, AWAY]
        self.web(changes=PROD)
        self.assertEqual(['build-1'], self.current())

    def test_a_refusal_is_told_and_retried_by_an_update(self):
        refusal = exceptions.Conflict('It has not passed a boot test.')
        self.service.away['promote'] = [refusal]
        stack = self.stack(changes=PROD)
        stack.validate()
        scheduler.TaskRunner(stack.create)()
        self.assertEqual(('CREATE', 'FAILED'), stack['web'].state)
        self.assertIn('passed a boot test', stack['web'].status_reason)
        web = self.update(stack, **PROD)
        self.assertEqual(('CREATE', 'COMPLETE'), web.state)
        # Another build, of the same image.
        self.assertEqual(['build-2'], self.current())
        self.assertEqual('image-build-1', web.FnGetRefId())

    def test_an_update_promotes_to_another(self):
        stack = self.created(changes=PROD)
        web = self.update(stack, name='web', channel='test')
        self.assertEqual('build-1', web.resource_id)
        self.assertEqual(['build-1'], self.current('test'))
        # What the other one has stays there.
        self.assertEqual(['build-1'], self.current('prod'))
        self.update(stack, name='web', channel=None)
        self.assertEqual(2, len(self.promotions()))

    def test_other_updates_promote_nothing(self):
        stack = self.created(changes=PROD)
        self.update(stack, **PROD, tags=['a'])
        self.assertEqual(1, len(self.promotions()))

    def test_a_new_image_takes_its_place(self):
        stack = self.created(changes=PROD)
        web = self.update(stack, **PROD, packages=['nginx', 'curl'])
        self.assertEqual('build-2', web.resource_id)
        self.assertEqual(['build-2', 'build-1'], self.current())
        self.assertEqual(('UPDATE', 'COMPLETE'), stack.state)
        # A rollback could bring it back; after that it goes.
        self.assertTrue(self.service.made['build-1'].delete_when_unused)

    def test_a_deleted_stack_takes_nothing_from_a_channel(self):
        stack = self.created(changes=PROD)
        scheduler.TaskRunner(stack.delete)()
        self.assertEqual(('DELETE', 'COMPLETE'), stack.state)
        self.assertEqual(['build-1'], self.current())
        self.assertTrue(self.service.made['build-1'].delete_when_unused)
        self.assertIn('image-build-1', self.service.images)

    def test_a_service_of_the_release_before(self):
        web = self.web(changes={'name': 'web'})
        conflict = exceptions.Conflict('Its image is protected.')
        unknown = exceptions.BadRequest('when_unused is not known.')
        self.service.away['delete'] = [conflict, unknown]
        state = web.handle_delete()
        self.assertRaises(resource.PollDelay, web.check_delete_complete, state)

    def test_problems_are_found_first(self):
        for changes, message in (
            ({'channel': 'prod'}, '"channel" needs "name"'),
            ({'channel_tags': ['a']}, 'no use without "channel"'),
            ({'name': 'web', 'channel': 'nosuch'}, 'nosuch'),
            ({'base_channel': PROD}, 'instead of "os"'),
        ):
            name = f'stack-{len(self.stacks)}'
            stack = self.stack(changes=changes, stack_name=name)
            error = self.assertRaises(
                exception.StackValidationFailed, stack.validate
            )
            self.assertIn(message, str(error))
        self.assertEqual([], self.service.named('create'))

    def test_a_base_that_is_current(self):
        self.web(changes={'os': None, 'base_channel': PROD})
        [(_, request)] = self.service.named('create')
        self.assertEqual(PROD, request['os'])
        self.assertNotIn('base_channel', request)
