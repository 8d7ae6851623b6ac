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
"""The life of the resource in Heat's engine."""

from heat.common import exception
from heat.engine import function
from heat.engine import resource
from heat.engine import scheduler
from heat.engine import stack as heat_stack
from heat.tests import utils
from heatclient.common import format_utils

from heat_plugin import image
from imagebuild.client import exceptions
from tests.heat import base
from tests.heat import fake_service

CONFLICT = exceptions.Conflict('Not now.')
GONE = exceptions.NotFound('It is not there.')
AWAY = exceptions.ConnectionFailed('Connection refused.')


class TestCreate(base.HeatPluginTestCase):
    def test_becomes_the_glance_image(self):
        self.service.looks = 3
        web = self.web()
        self.assertEqual('build-1', web.resource_id)
        self.assertEqual('image-build-1', web.FnGetRefId())
        self.assertEqual(1, self.service.count('create'))
        self.assertEqual(4, self.service.count('get'))

    def test_sends_the_description(self):
        web = self.web(
            changes={
                'name': 'mine',
                'files': [
                    {'path': '/etc/motd', 'content': 'Hi', 'mode': '0644'}
                ],
                'properties': {'hw_qemu_guest_agent': True, 'n': 3},
                'arguments': {'port': 80},
                'manifest': {'validators': [{'script': 'x.sh'}]},
                'resources': {'x.sh': '#!/bin/sh'},
                'timeout': 60,
            }
        )
        [(_, request)] = self.service.named('create')
        self.assertEqual(
            {
                'name': 'mine',
                'os': 'debian-12',
                'packages': ['nginx'],
                'files': [
                    {'path': '/etc/motd', 'content': 'Hi', 'mode': '0644'}
                ],
                'properties': {'hw_qemu_guest_agent': 'true', 'n': '3'},
                'arguments': {'port': 80},
                'manifest': {'validators': [{'script': 'x.sh'}]},
                'resources': {'x.sh': '#!/bin/sh'},
                'visibility': 'shared',
                'protected': False,
                'tags': [],
                'members': [],
                'reuse': 'always',
                'timeout': 60,
            },
            request,
        )
        self.assertEqual(('CREATE', 'COMPLETE'), web.state)

    def test_name_is_made_of_stack_and_resource(self):
        web = self.web()
        [(_, request)] = self.service.named('create')
        self.assertEqual(web.physical_resource_name(), request['name'])
        self.assertIn('stack-web-', request['name'])

    def test_id_is_stored_at_once(self):
        stack = self.stack()
        web = stack['web']
        web.state_set('CREATE', 'IN_PROGRESS')
        self.service.looks = 5
        state = web.handle_create()
        self.assertEqual('build-1', web.resource_id)
        self.assertEqual('', web.FnGetRefId())
        delays = []
        for _ in range(5):
            delay = self.assertRaises(
                resource.PollDelay, web.check_create_complete, state
            )
            delays.append(delay.period)
        self.assertEqual([1, 2, 3, 4, 5], delays)
        self.assertTrue(web.check_create_complete(state))
        self.assertEqual('image-build-1', web.FnGetRefId())

    def test_reused_image_is_there_at_once(self):
        first = self.web()
        second = self.web(stack_name='other')
        self.assertEqual(first.FnGetRefId(), second.FnGetRefId())
        self.assertNotEqual(first.resource_id, second.resource_id)
        self.assertEqual([], [
            call for call in self.service.named('get')
            if call[1] == second.resource_id
        ])  # fmt: skip

    def test_broken_recipe_makes_one_build(self):
        self.service.outcome = {
            'status': 'error',
            'fault': 'user',
            'status_reason': 'E: Unable to locate package nginxx',
        }
        self.service.step_list = [
            fake_service.step('packages', result='ok'),
            fake_service.step(
                'manifest.validators[0]',
                output='Reading package lists...\nE: no such thing',
            ),
        ]
        reason = self.failed(changes={'name': 'mine'})
        self.assertEqual(1, self.service.count('create'))
        self.assertEqual(0, self.service.count('delete'))
        self.assertEqual(
            'ImageBuildFailed: resources.web: The image "mine" could not be '
            'built, step manifest.validators[0] failed: E: Unable to locate '
            'package nginxx. (Build build-1.)\n'
            'The end of what the step printed:\n'
            'Reading package lists...\nE: no such thing',
            reason,
        )

    def test_sentence_is_seen_however_much_is_printed(self):
        """As "openstack stack failures list" shows it: the last ten lines."""
        for number, (printed, reason) in enumerate(
            (
                ([f'line {i}' for i in range(60)], 'exit code 1'),
                (['x' * 5000] * 60, 'exit code 1'),
                ([f'a{i}\x0cb\u2028c' for i in range(60)], 'exit code 1'),
                (
                    [f'line {i}' for i in range(60)],
                    '\n'.join(f'reason {i}' for i in range(60)),
                ),
            )
        ):
            self.service.outcome = {
                'status': 'error',
                'fault': 'user',
                'status_reason': reason,
            }
            self.service.step_list = [
                fake_service.step('packages', output='\n'.join(printed))
            ]
            told = self.failed(stack_name=f's{number}')
            shown = format_utils.indent_and_truncate(told, truncate=True)
            self.assertIn('could not be built, step packages', shown)
            self.assertIn('(Build build-', shown)
            self.assertIn(printed[-1][-1], shown.splitlines()[-1])
            self.assertLess(len(shown), 4000)

    def test_missing_package_is_named_in_the_sentence(self):
        # The service says so itself.
        reason = (
            "packages[0]: package 'nginxx' is not known to apt of this image "
            '(debian-12)'
        )
        self.service.outcome = {
            'status': 'error',
            'fault': 'user',
            'status_reason': reason,
        }
        self.service.step_list = [
            fake_service.step(
                'packages[0]',
                output='E: Unable to locate package nginxx' + '\nx' * 60,
            )
        ]
        told = self.failed()
        self.assertIn(
            f'could not be built: {reason}.',
            told.splitlines()[0],
        )
        self.assertEqual(1, told.count('nginxx'))

    def test_steps_that_cannot_be_read_hide_nothing(self):
        self.service.outcome = {'status': 'error', 'status_reason': 'Broken'}
        self.service.away['steps'] = AWAY
        self.assertIn('Broken.', self.failed())

    def test_service_fault_makes_one_build(self):
        self.service.outcome = {
            'status': 'error',
            'fault': 'service',
            'status_reason': 'No conductor has room.',
        }
        reason = self.failed()
        self.assertEqual(1, self.service.count('create'))
        self.assertIn('service failed, not the template', reason)
        self.assertIn('No conductor has room.', reason)

    def test_cancelled_by_somebody(self):
        self.service.outcome = {'status': 'cancelled'}
        self.assertIn('was cancelled', self.failed())

    def test_deleted_by_somebody(self):
        self.service.outcome = {'status': 'deleting'}
        self.assertIn('deleted by somebody', self.failed())

    def test_gone_while_it_is_built(self):
        self.service.away['get'] = GONE
        self.assertIn('deleted by somebody', self.failed())

    def test_refused_with_all_problems(self):
        self.service.away['create'] = fake_service.bad_request(
            ('packages[1]', 'it is empty'), ('arguments.port', 'not a number')
        )
        reason = self.failed(changes={'name': 'mine'})
        self.assertEqual(
            'ImageBuildRefused: resources.web: The image build service '
            'refused the image "mine": packages[1]: it is empty; '
            'arguments.port: not a number.',
            reason,
        )
        self.assertEqual(1, self.service.count('create'))

    def test_a_conflict_is_not_tried_again_by_heat(self):
        self.service.away['create'] = CONFLICT
        self.assertIn('Not now.', self.failed())
        self.assertEqual(1, self.service.count('create'))

    def test_quota(self):
        self.service.away['create'] = exceptions.QuotaExceeded('Too many.')
        self.assertIn('refused', self.failed())
        self.assertEqual(1, self.service.count('create'))

    def test_short_absence_does_not_matter(self):
        busy = exceptions.ServiceUnavailable('Restarting.')
        self.service.away = {'create': [busy], 'get': [AWAY, busy, AWAY]}
        self.service.looks = 2
        self.web()

    def test_long_absence_fails_with_a_reason(self):
        self.service.away['get'] = AWAY
        self.patch('heat_plugin.poll_state.RETRY_TIMEOUT', new=0)
        self.assertIn('was not reached', self.failed())

    def test_lost_answer_makes_no_second_build(self):
        # The service has the build, and its name is nobody else's.
        self.service.away['create'] = [AWAY]
        web = self.web()
        self.assertEqual(['build-1'], [*self.service.made])
        self.assertEqual('build-1', web.resource_id)
        self.assertEqual(1, self.service.count('create'))

    def test_lost_answer_of_a_name_that_others_may_have(self):
        # Asked again: the service builds the same content once.
        self.service.away['create'] = [AWAY]
        web = self.web(changes={'name': 'mine'})
        self.assertEqual('build-2', web.resource_id)

    def test_expired_token(self):
        self.service.looks = 1
        self.service.away['get'] = exceptions.Unauthenticated('Expired.')
        self.assertIn('reauthentication_auth_method', self.failed())

    def test_stack_timeout_cancels(self):
        self.service.looks = 10**6
        stack = self.stack()
        task = scheduler.TaskRunner(stack['web'].create)
        task.start()
        for _ in range(3):
            task.step()
        task.cancel()
        self.assertEqual(1, self.service.count('cancel'))
        self.assertEqual('cancelled', self.service.made['build-1'].status)
        self.assertEqual(('CREATE', 'FAILED'), stack['web'].state)

    def test_cancel_is_patient_with_the_service(self):
        web = self.web()
        for error in (None, CONFLICT, GONE, AWAY):
            self.service.away['cancel'] = error
            web.handle_create_cancel(None)
            web.handle_update_cancel(None)
        self.assertEqual(8, self.service.count('cancel'))

    def test_cancel_before_there_is_a_build(self):
        self.stack()['web'].handle_create_cancel(None)
        self.assertEqual([], self.service.calls)

    def test_base_image_is_looked_up(self):
        find = self.patch(
            'heat.engine.clients.os.glance.GlanceClientPlugin'
            '.find_image_by_name_or_id',
            autospec=True,
            return_value='0815',
        )
        self.web(changes={'os': None, 'base_image': 'my base'})
        [(_, request)] = self.service.named('create')
        self.assertEqual('0815', request['base_image'])
        self.assertEqual('my base', find.call_args_list[0].args[1])

    def test_destination_elsewhere(self):
        self.service.outcome = {'status': 'active', 'images': []}
        web = self.web(changes={'destinations': ['other']})
        self.assertEqual('', web.FnGetRefId())

    def test_blanks_around_names(self):
        """A comma_delimited_list keeps those after its commas."""
        self.web(
            changes={
                'os': ' debian-12 ',
                'packages': ['nginx', ' curl ', {'vim': {'version': '9'}}],
                'tags': ['a', ' b'],
                'members': [' p1'],
                'destinations': [' other'],
            }
        )
        for call in ('plan', 'create'):
            [(_, sent)] = self.service.named(call)
            self.assertEqual('debian-12', sent['os'])
            self.assertEqual(
                ['nginx', 'curl', {'vim': {'version': '9'}}], sent['packages']
            )
            self.assertEqual(['a', 'b'], sent['tags'])
            self.assertEqual(['p1'], sent['members'])
            self.assertEqual(['other'], sent['destinations'])

    def test_a_boot_test(self):
        found = {'passed': True, 'seconds': 2.5, 'findings': []}
        self.service.outcome = {'status': 'active', 'boot_test': found}
        web = self.web(changes={'boot_test': {'ports': [22], 'memory': None}})
        [(_, sent)] = self.service.named('create')
        self.assertEqual({'ports': [22]}, sent['boot_test'])
        self.assertEqual(found, web.FnGetAtt('boot_test'))

    def test_the_boot_test_of_the_operator(self):
        self.web(changes={'boot_test': {}})
        [(_, sent)] = self.service.named('create')
        self.assertEqual({}, sent['boot_test'])

    def test_no_value_of_an_image_property(self):
        self.web(changes={'properties': {'a': None, 'b': True, 'c': 0}})
        [(_, sent)] = self.service.named('create')
        self.assertEqual({'b': 'true', 'c': '0'}, sent['properties'])

    def test_twenty_in_one_stack(self):
        resources = ''.join(
            f'\n  image{number}:\n    type: OS::ImageBuild::Image\n'
            f'    properties: {{os: debian-12, packages: [p{number}]}}'
            for number in range(20)
        )
        stack = self.created(
            template='heat_template_version: 2018-08-31\nresources:'
            + resources
        )
        self.assertEqual(('CREATE', 'COMPLETE'), stack.state)
        self.assertEqual(20, self.service.count('create'))


class TestPreempt(base.HeatPluginTestCase):
    """In the state in which Heat calls it: see check_resource.py.

    Heat looked at the resource again, and began the newer action, which it
    did not store: the action is not CREATE any more.
    """

    def preempt(self, latest, action='UPDATE'):
        self.service.looks = 10**6
        web = self.stack()['web']
        web.state_set('CREATE', 'IN_PROGRESS')
        web.handle_create()
        web.action = action
        self.mock(heat_stack.Stack, 'load', return_value=latest)
        web.handle_preempt()
        return self.service.count('cancel')

    def test_other_content_cancels(self):
        newer = self.newer(packages=['apache2'])
        self.assertEqual(1, self.preempt(newer))

    def test_same_content_goes_on(self):
        newer = self.newer(name='other', tags=['new'])
        self.assertEqual(0, self.preempt(newer))

    def test_what_is_stored_counts(self):
        """With what others have by now, both templates want the same."""
        self.service.looks = 10**6
        web = self.stack()['web']
        web.state_set('CREATE', 'IN_PROGRESS')
        web.handle_create()
        web._stored_properties_data = function.resolve(web.properties.data)
        newer = self.newer(packages=['apache2'])
        web.t = newer['web'].t
        web.reparse()
        self.mock(heat_stack.Stack, 'load', return_value=newer)
        web.handle_preempt()
        self.assertEqual(1, self.service.count('cancel'))

    def test_resource_that_is_not_in_the_template_any_more(self):
        self.assertEqual(1, self.preempt({}))

    def test_resource_that_is_deleted(self):
        self.assertEqual(1, self.preempt({}, action='DELETE'))

    def test_replacement(self):
        self.assertEqual(1, self.preempt(self.newer(os='debian-13'), 'CREATE'))

    def test_build_that_has_ended(self):
        web = self.web()
        web.action = 'UPDATE'
        self.mock(heat_stack.Stack, 'load', return_value={})
        web.handle_preempt()
        self.assertEqual('active', self.service.made['build-1'].status)

    def test_before_there_is_a_build(self):
        web = self.stack()['web']
        web.action = 'UPDATE'
        self.mock(heat_stack.Stack, 'load', return_value={})
        web.handle_preempt()
        self.assertEqual([], self.service.calls)


class TestUpdate(base.HeatPluginTestCase):
    def test_what_is_about_the_image_is_changed_in_place(self):
        web = self.web()
        changes = {
            'name': 'new',
            'tags': ['a'],
            'visibility': 'shared',
            'protected': True,
            'members': ['p1'],
            'properties': {'a': 1},
            'min_disk': 5,
            'min_ram': 512,
        }
        self.update(web, **changes)
        [(_, build_id, sent)] = self.service.named('update')
        self.assertEqual('build-1', build_id)
        # It had this visibility already.
        del changes['visibility']
        self.assertEqual({**changes, 'properties': {'a': '1'}}, sent)
        self.assertEqual(('UPDATE', 'COMPLETE'), web.state)
        self.assertEqual('image-build-1', web.FnGetRefId())

    def test_what_is_taken_out_has_its_default(self):
        web = self.web(
            changes={'name': 'x', 'tags': ['a'], 'min_disk': 5, 'min_ram': 1}
        )
        self.update(web, name=None, tags=None, min_disk=None, min_ram=None)
        [(_, _, sent)] = self.service.named('update')
        self.assertEqual(
            {
                'name': web.physical_resource_name(),
                'tags': [],
                'min_disk': 0,
                'min_ram': 0,
            },
            sent,
        )

    def test_how_it_is_built_asks_for_nothing(self):
        web = self.web()
        self.update(web, timeout=120, reuse='never', max_age=1)
        self.assertEqual(0, self.service.count('update'))
        self.assertEqual(('UPDATE', 'COMPLETE'), web.state)
        self.assertEqual('image-build-1', web.FnGetRefId())

    def test_content_replaces(self):
        web = self.web()
        self.patch(
            'heat.engine.clients.os.glance.GlanceClientPlugin'
            '.find_image_by_name_or_id',
            autospec=True,
            return_value='x',
        )
        for change in (
            {'os': 'debian-13'},
            {'packages': ['apache2']},
            {'pip_packages': ['flask']},
            {'files': [{'path': '/a', 'content': ''}]},
            {'recipe': 'redis'},
            {'recipe': 'redis', 'recipe_version': '7'},
            {'manifest': {'validators': []}},
            {'resources': {'a': 'b'}},
            {'arguments': {'a': 'b'}},
            {'driver': 'fake'},
            {'driver_options': {'a': 'b'}},
            {'disk_format': 'raw'},
            {'container_format': 'ova'},
            {'destinations': ['other']},
            {'boot_test': {}},
            {'base_image': 'x', 'os': None},
        ):
            updater = scheduler.TaskRunner(
                web.update, self.definition(web, **change)
            )
            self.assertRaises(resource.UpdateReplace, updater)
        self.assertEqual(0, self.service.count('update'))

    def test_same_content_keeps_the_image(self):
        # Written differently, so Heat replaces; the service says the same.
        stack = self.created(changes={'tags': ['a']})
        image_id = stack['web'].FnGetRefId()
        newer = self.newer(**{'tags': ['b'], 'destinations': []})
        scheduler.TaskRunner(stack.update_task, newer)()
        self.assertEqual(('UPDATE', 'COMPLETE'), stack.state)
        self.assertEqual(image_id, stack['web'].FnGetRefId())
        self.assertIn(image_id, self.service.images)

    def test_refused_update_keeps_the_image(self):
        web = self.web()
        self.service.away['update'] = fake_service.bad_request(
            ('tags[0]', 'it is too long')
        )
        updater = scheduler.TaskRunner(
            web.update, self.definition(web, tags=['x'])
        )
        error = self.assertRaises(exception.ResourceFailure, updater)
        self.assertIn('tags[0]: it is too long.', str(error))
        self.assertFalse(web.needs_replace_failed())
        del self.service.away['update']
        self.update(web, tags=['y'])
        self.assertEqual('image-build-1', web.FnGetRefId())

    def test_short_absence_while_updating(self):
        web = self.web()
        self.service.away['update'] = [AWAY, AWAY]
        self.update(web, tags=['x'])
        self.assertEqual(3, self.service.count('update'))

    def test_failed_build_is_replaced(self):
        self.service.outcome = {'status': 'error', 'status_reason': 'x'}
        stack = self.created()
        self.assertTrue(stack['web'].needs_replace_failed())

    def test_failure_without_an_image_is_replaced(self):
        web = self.web()
        self.service.images.clear()
        self.assertTrue(web.needs_replace_failed())
        self.service.away['get'] = AWAY
        self.assertTrue(web.needs_replace_failed())
        other = self.stack(stack_name='other')
        self.assertTrue(other['web'].needs_replace_failed())

    def test_rollback_keeps_the_old_image(self):
        stack = self.created()
        old = stack['web'].FnGetRefId()
        self.service.outcome = {'status': 'error', 'status_reason': 'x'}
        newer = self.newer(**{'packages': ['broken']})
        newer.disable_rollback = stack.disable_rollback = False
        scheduler.TaskRunner(stack.update_task, newer)()
        self.assertEqual(('ROLLBACK', 'COMPLETE'), stack.state)
        self.assertEqual(old, stack['web'].FnGetRefId())
        self.assertEqual([old], [*self.service.images])
        self.assertEqual(['build-1'], [*self.service.made])

    def test_new_image_first_then_the_old_one_goes(self):
        stack = self.created()
        newer = self.newer(**{'packages': ['apache2']})
        scheduler.TaskRunner(stack.update_task, newer)()
        self.assertEqual(('UPDATE', 'COMPLETE'), stack.state)
        names = [
            call[0]
            for call in self.service.calls
            if call[0] in ('create', 'delete')
        ]
        self.assertEqual(['create', 'create', 'delete'], names)
        self.assertEqual('image-build-2', stack['web'].FnGetRefId())
        self.assertEqual(['image-build-2'], [*self.service.images])

    def test_a_protected_image_is_not_given_up_for_another(self):
        stack = self.created(changes={'protected': True})
        wanted = {'packages': ['apache2'], 'protected': True}
        scheduler.TaskRunner(stack.update_task, self.newer(**wanted))()
        self.assertEqual(('UPDATE', 'FAILED'), stack.state)
        self.assertIn('It has a protected image.', stack.status_reason)
        self.assertLess(self.service.count('delete'), 40)
        # All but that is done.
        self.assertEqual('image-build-2', stack['web'].FnGetRefId())
        self.assertEqual(
            ['image-build-1', 'image-build-2'], [*self.service.images]
        )
        self.service.images['image-build-1'].protected = False
        scheduler.TaskRunner(stack.update_task, self.newer(**wanted))()
        self.assertEqual(('UPDATE', 'COMPLETE'), stack.state)
        self.assertEqual('image-build-2', stack['web'].FnGetRefId())
        self.assertEqual(['image-build-2'], [*self.service.images])

    def test_a_protection_that_is_taken_back_first(self):
        stack = self.created(changes={'protected': True})
        for changes in (
            {'protected': False},
            {'packages': ['apache2'], 'protected': True},
        ):
            scheduler.TaskRunner(stack.update_task, self.newer(**changes))()
            self.assertEqual(('UPDATE', 'COMPLETE'), stack.state)
        self.assertEqual(['image-build-2'], [*self.service.images])


class TestDelete(base.HeatPluginTestCase):
    def delete(self, web):
        scheduler.TaskRunner(web.delete)()
        self.assertEqual(('DELETE', 'COMPLETE'), web.state)

    def test_gives_up_the_build_and_waits(self):
        self.delete(self.web())
        self.assertEqual({}, self.service.made)
        self.assertEqual({}, self.service.images)

    def test_image_of_another_stack_stays(self):
        first = self.web()
        second = self.web(stack_name='other')
        self.delete(first)
        self.assertIn(second.FnGetRefId(), self.service.images)

    def test_while_building(self):
        self.service.looks = 10**6
        web = self.stack()['web']
        web.state_set('CREATE', 'IN_PROGRESS')
        web.handle_create()
        self.delete(web)
        self.assertEqual(1, self.service.count('cancel'))
        self.assertEqual({}, self.service.made)

    def test_never_created(self):
        web = self.stack()['web']
        web.state_set('CREATE', 'FAILED')
        self.delete(web)
        self.assertEqual([], self.service.calls)

    def test_gone_already(self):
        web = self.web()
        self.service.made.clear()
        self.delete(web)

    def test_gone_while_it_is_looked_at(self):
        web = self.web()
        self.service.away['delete'] = GONE
        self.delete(web)

    def test_short_absence(self):
        web = self.web()
        self.service.away = {'get': [AWAY, AWAY], 'delete': [AWAY]}
        self.delete(web)

    def test_conflict_passes(self):
        web = self.web()
        self.service.away['delete'] = [CONFLICT, CONFLICT]
        self.delete(web)

    def test_conflict_that_stays_is_told(self):
        web = self.web()
        self.service.away['delete'] = exceptions.Conflict('It is protected.')
        error = self.assertRaises(
            exception.ResourceFailure, scheduler.TaskRunner(web.delete)
        )
        self.assertIn('It is protected.', str(error))
        self.assertLess(self.service.count('delete'), 40)

    def test_refusal_is_told(self):
        web = self.web()
        self.service.away['delete'] = exceptions.Forbidden('Not yours.')
        error = self.assertRaises(
            exception.ResourceFailure, scheduler.TaskRunner(web.delete)
        )
        self.assertIn('Not yours.', str(error))

    def test_retained(self):
        stack = self.stack(
            template=base.TEMPLATE + '    deletion_policy: Retain\n'
        )
        scheduler.TaskRunner(stack.create)()
        scheduler.TaskRunner(stack['web'].delete)()
        self.assertEqual(0, self.service.count('delete'))
        self.assertEqual(1, len(self.service.images))


class TestCheck(base.HeatPluginTestCase):
    def check(self, web):
        scheduler.TaskRunner(web.check)()
        self.assertEqual(('CHECK', 'COMPLETE'), web.state)

    def problem(self, web):
        error = self.assertRaises(
            exception.ResourceFailure, scheduler.TaskRunner(web.check)
        )
        self.assertEqual(('CHECK', 'FAILED'), web.state)
        return str(error)

    def test_all_is_well(self):
        self.check(self.web())

    def test_image_is_gone(self):
        web = self.web()
        self.service.images.clear()
        self.assertIn('image-build-1 is not in Glance.', self.problem(web))
        self.assertTrue(web.needs_replace_failed())

    def test_next_update_builds_again(self):
        stack = self.created()
        self.service.images.clear()
        self.problem(stack['web'])
        scheduler.TaskRunner(stack.update_task, self.newer())()
        self.assertEqual(('UPDATE', 'COMPLETE'), stack.state)
        self.assertEqual('image-build-2', stack['web'].FnGetRefId())

    def test_image_is_another(self):
        web = self.web()
        self.service.images['image-build-1'].os_hash_value = 'x'
        self.assertIn('not the one that was built', self.problem(web))

    def test_image_is_deactivated(self):
        web = self.web()
        self.service.images['image-build-1'].status = 'deactivated'
        self.assertIn('"deactivated", not "active"', self.problem(web))

    def test_build_is_gone(self):
        web = self.web()
        self.service.made.clear()
        self.assertIn('build build-1 is gone', self.problem(web))

    def test_service_is_away(self):
        web = self.web()
        self.service.away['get'] = AWAY
        self.assertIn('was not reached', self.problem(web))

    def live(self, web):
        return web.get_live_state(web.properties)

    def test_live_state(self):
        web = self.web(changes={'name': 'x', 'tags': ['b', 'a']})
        live = self.live(web)
        self.assertEqual('x', live['name'])
        self.assertNotIn('tags', live)
        self.assertNotIn('min_disk', live)
        found = self.service.images['image-build-1']
        found.name, found.tags = 'y', ['c']
        live = self.live(web)
        self.assertEqual('y', live['name'])
        self.assertEqual(['c'], live['tags'])

    def test_live_state_of_a_reused_image(self):
        self.web()
        self.assertEqual({}, self.live(self.web(stack_name='other')))

    def test_live_state_without_an_image(self):
        web = self.web()
        self.service.images.clear()
        self.assertRaises(exception.EntityNotFound, self.live, web)
        self.service.made.clear()
        self.assertRaises(exception.EntityNotFound, self.live, web)

    def test_converge_replaces_what_is_gone(self):
        web = self.web()
        web.converge = True
        self.service.images.clear()
        updater = scheduler.TaskRunner(
            web.update, self.definition(web, tags=['x'])
        )
        self.assertRaises(resource.UpdateReplace, updater)

    def test_converge_puts_right(self):
        web = self.web(changes={'name': 'x'})
        web.converge = True
        self.service.images['image-build-1'].name = 'y'
        self.update(web, name='x', tags=['t'])
        [(_, _, sent)] = self.service.named('update')
        self.assertEqual({'name': 'x', 'tags': ['t']}, sent)


class TestAdopt(base.HeatPluginTestCase):
    def test_abandoned_and_adopted(self):
        web = self.web()
        data = web.prepare_abandon()
        scheduler.TaskRunner(web.delete)()
        self.assertEqual(0, self.service.count('delete'))
        adopted = self.stack(stack_name='new')['web']
        scheduler.TaskRunner(adopted.adopt, data)()
        self.assertEqual(('ADOPT', 'COMPLETE'), adopted.state)
        self.assertEqual('build-1', adopted.resource_id)
        self.assertEqual('image-build-1', adopted.FnGetRefId())

    def test_failed_build_is_not_adopted(self):
        self.service.outcome = {'status': 'error', 'status_reason': 'x'}
        data = self.created()['web'].prepare_abandon()
        adopted = self.stack(stack_name='new')['web']
        self.assertRaises(
            exception.ResourceFailure,
            scheduler.TaskRunner(adopted.adopt, data),
        )

    def test_external_build(self):
        self.web()
        stack = self.created(
            template=base.TEMPLATE + '    external_id: build-1\n',
            stack_name='other',
        )
        web = stack['web']
        self.assertEqual(('CHECK', 'COMPLETE'), web.state)
        self.assertEqual('image-build-1', web.FnGetRefId())
        self.assertEqual(1, self.service.count('create'))
        scheduler.TaskRunner(web.delete)()
        self.assertEqual(0, self.service.count('delete'))

    def test_external_build_that_does_not_exist(self):
        stack = self.stack(
            template=base.TEMPLATE + '    external_id: build-9\n'
        )
        self.assertRaises(exception.StackValidationFailed, stack.validate)


class TestAttributes(base.HeatPluginTestCase):
    def test_all(self):
        self.service.log_text = 'x' * 5000 + 'end'
        web = self.web()
        found = {name: web.FnGetAtt(name) for name in web.attributes_schema}
        self.assertEqual('image-build-1', found['image_id'])
        self.assertEqual('build-1', found['build_id'])
        self.assertEqual('active', found['status'])
        self.assertEqual(3, found['progress']['total'])
        self.assertEqual(100, found['progress']['percent'])
        self.assertIsNone(found['progress']['phase'])
        self.assertEqual(64, len(found['content_key']))
        self.assertEqual('h-build-1', found['os_hash_value'])
        self.assertEqual(1000, found['size'])
        self.assertEqual(4000, len(found['log']))
        self.assertTrue(found['log'].endswith('end'))
        self.assertEqual('image-build-1', found['images'][0]['image_id'])
        self.assertEqual('build-1', web.FnGetAtt('show')['id'])

    def test_before_there_is_a_build(self):
        web = self.stack()['web']
        for name in (*web.attributes_schema, 'show'):
            self.assertIsNone(web.FnGetAtt(name))
        self.assertEqual('', web.FnGetRefId())

    def test_changing_ones_are_not_kept(self):
        web = self.web()
        self.assertEqual('active', web.FnGetAtt('status'))
        self.service.builds._set('build-1', status='deleting')
        self.assertEqual('deleting', web.FnGetAtt('status'))

    def test_what_convergence_hands_on(self):
        stack = self.stack()
        node = stack['web'].node_data(for_outputs=True)
        self.assertEqual('', node.reference_id())
        web = self.web(stack_name='other')
        node = web.node_data()
        self.assertEqual('image-build-1', node.reference_id())

    def test_of_a_build_that_is_gone(self):
        web = self.web()
        self.service.made.clear()
        self.assertIsNone(web.FnGetAtt('status'))


class TestClass(base.HeatPluginTestCase):
    def test_every_update_allowed_property_is_known(self):
        allowed = {
            name
            for name, schema in image.Image.properties_schema.items()
            if schema.update_allowed
        }
        self.assertEqual(
            {
                'name', 'tags', 'visibility', 'protected', 'members',
                'properties', 'min_disk', 'min_ram', 'reuse', 'max_age',
                'timeout', 'channel', 'channel_tags',
            },
            allowed,
        )  # fmt: skip

    def test_resource_id_survives_a_restart_of_the_engine(self):
        stack = self.created()
        loaded = heat_stack.Stack.load(
            utils.dummy_context(), stack_id=stack.id
        )
        self.assertEqual('image-build-1', loaded['web'].FnGetRefId())
