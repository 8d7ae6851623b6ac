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
"""``OS::ImageBuild::Pipeline`` in Heat's engine, with a service in memory."""

import json
import pathlib
import types
from unittest import mock

from heat.common import exception
from heat.engine import resource
from heat.engine import scheduler
from heat.engine import stack as heat_stack
from heat.engine import stk_defn
from heat.engine import template as heat_template
from heat.objects import stack as stack_objects
from heat.tests import utils

from heat_plugin import exceptions as plugin_exceptions
from heat_plugin import pipeline
from heat_plugin import pipeline_schema
from imagebuild.client import exceptions
from tests.heat import base
from tests.heat import fake_service

AWAY = exceptions.ConnectionFailed('Connection refused.')
PAGE = pathlib.Path(__file__).parents[2] / 'doc/source/heat/pipelines.rst'
TEMPLATE = """
heat_template_version: 2018-08-31
resources:
  web:
    type: OS::ImageBuild::Pipeline
    properties:
      name: web
      image: {os: debian-12, packages: [nginx]}
      cron: '0 3 * * *'
outputs:
  image: {value: {get_resource: web}}
  due: {value: {get_attr: [web, next_run_at]}}
"""
#: Its value is not known before it is created.
OTHER = """
  other:
    type: OS::Heat::Value
    properties: {value: x}
"""
VALUE = {'get_attr': ['other', 'value']}
#: Its value is that of the other.
CHAIN = """
  chain:
    type: OS::Heat::Value
    properties: {value: {get_attr: [other, value]}}
"""
OTHER_ID = {'get_resource': 'other'}


class PipelineTestCase(base.HeatPluginTestCase):
    def setUp(self):
        super().setUp()
        self.pipelines = self.service.pipelines
        # Nothing is remembered.
        self.patchobject(pipeline, '_MEMORY', new=-1)

    def stack(self, template=TEMPLATE, **options):
        return super().stack(template, **options)


class TestCreate(PipelineTestCase):
    def test_it_is_there_with_its_first_image(self):
        self.service.looks = 2
        web = self.web()
        self.assertEqual('image-build-2', web.FnGetRefId())
        self.assertEqual(1, self.service.count('run'))

    def test_what_is_sent(self):
        self.web(changes={'keep': 4, 'paused': True})
        [(_, name, image, values)] = self.service.named('create')
        self.assertEqual('web', name)
        self.assertEqual(
            {
                'os': 'debian-12',
                'packages': ['nginx'],
                'visibility': 'shared',
                'protected': False,
                'tags': [],
                'members': [],
                'properties': {},
            },
            image,
        )
        self.assertEqual(
            {
                'cron': '0 3 * * *',
                'keep': 4,
                'max_failures': 3,
                'paused': True,
            },
            values,
        )

    def test_an_age_needs_no_run_that_is_asked_for(self):
        self.web(changes={'cron': None, 'max_age': 3600})
        self.assertEqual(0, self.service.count('run'))

    def test_the_first_failure_is_that_of_the_resource(self):
        self.pipelines.failing = '1 failure, the last one: no such package'
        reason = self.failed()
        self.assertIn('no such package', reason)
        self.assertIn('build-2', reason)

    def test_a_build_that_was_cancelled(self):
        self.mock(self.pipelines, 'end_run').side_effect = lambda id: (
            self.pipelines._set(
                id, running_build_id='', last_run_at='x', last_build_id='b'
            )
        )
        self.assertIn('was cancelled or deleted', self.failed())

    def test_a_lost_answer_makes_no_second_one(self):
        self.service.away['create'] = [AWAY]
        web = self.web()
        self.assertEqual('pipeline-1', web.resource_id)
        self.assertEqual(1, len(self.pipelines.made))

    def test_a_name_that_is_taken(self):
        self.pipelines.create('web', {})
        self.assertIn('one of that name', self.failed())


class TestValidate(PipelineTestCase):
    def invalid(self, **changes):
        # Heat stores it, and names are unique.
        name = f's{len(self.stacks)}'
        stack = self.stack(changes=changes, stack_name=name)
        error = self.assertRaises(
            exception.StackValidationFailed, stack.validate
        )
        return str(error)

    def test_mistakes(self):
        self.assertIn('only one of', self.invalid(max_age=60))
        self.assertIn('or "base_channel" is', self.invalid(image={}))
        self.assertIn('debian-99', self.invalid(image={'os': 'debian-99'}))
        self.assertIn('reuse', self.invalid(image={'reuse': 'never'}))

    def test_one_of_two_by_a_condition(self):
        template = TEMPLATE.replace(
            '2018-08-31', '2021-04-16\nconditions: {nightly: {equals: [a, b]}}'
        )
        changes = {
            'cron': {'if': ['nightly', '0 3 * * *']},
            'max_age': {'if': [{'not': 'nightly'}, 60]},
        }
        self.stack(template=template, changes=changes).validate()

    def test_the_service_checks_the_image(self):
        self.service.away['plan'] = fake_service.bad_request(
            ('packages[0]', 'it is no package')
        )
        self.assertIn('packages[0]: it is no package', self.invalid())

    def unknown(self, **image):
        """A stack where another resource gives a part of the image."""
        return self.stack(
            template=TEMPLATE.replace('outputs:', f'{OTHER}outputs:'),
            changes={'image': {'os': 'debian-12', **image}},
            stack_name=f's{len(self.stacks)}',
        )

    def test_what_is_known_is_checked(self):
        for image, problem, said in (
            (
                {'recipe': 'redis', 'arguments': {'colour': 'red'}},
                ('arguments.colour', 'there is no such argument'),
                'image: arguments.colour: there is no such argument.',
            ),
            ({'recipe': 'redis', 'manifest': {'a': 1}}, None, 'only one of'),
            ({'os': None}, None, 'image: either "os"'),
        ):
            self.service.away['plan'] = problem and fake_service.bad_request(
                ('packages[0]', '"placeholder" is no package'), problem
            )
            stack = self.unknown(packages=[VALUE], **image)
            text = str(
                self.assertRaises(
                    exception.StackValidationFailed, stack.validate
                )
            )
            self.assertIn(said, text)
            self.assertNotIn('placeholder', text)

    def test_placeholders_for_what_is_not_known(self):
        self.unknown(packages=['nginx', VALUE], min_disk=VALUE).validate()
        [(_, sent)] = self.service.named('plan')
        self.assertEqual(['nginx', 'placeholder'], sent['packages'])
        self.assertNotIn('min_disk', sent)
        self.service.away['plan'] = fake_service.bad_request(
            ('packages[0]', '"placeholder" is no package')
        )
        self.unknown(packages=[VALUE]).validate()
        self.assertEqual(2, self.service.count('plan'))

    def test_nothing_of_the_image_is_known(self):
        stack = self.unknown()
        template = dict(stack.t.t)
        template['resources']['web']['properties']['image'] = VALUE
        self.stack(
            template=json.dumps(template, default=str), stack_name='whole'
        ).validate()
        self.assertEqual(0, self.service.count('plan'))

    def test_before_it_is_there_it_has_no_reference(self):
        self.assertEqual('', self.stack()['web'].FnGetRefId())


class TestReference(PipelineTestCase):
    def test_it_is_the_image_of_that_moment(self):
        web = self.web()
        first = web.FnGetRefId()
        self.pipelines.end_run(web.resource_id)
        self.assertNotEqual(first, web.FnGetRefId())
        self.assertEqual('image-build-3', web.FnGetRefId())
        self.assertEqual('image-build-3', web.FnGetAtt('current_image_id'))
        self.assertEqual('active', web.FnGetAtt('show')['status'])

    def test_while_the_service_is_away_it_is_the_last_one_known(self):
        web = self.web()
        self.service.away['get'] = AWAY
        self.assertEqual('image-build-2', web.FnGetRefId())


class TestUpdate(PipelineTestCase):
    def fail_update(self, web):
        """To another image, whose build fails."""
        self.pipelines.failing = 'no'
        self.assertRaises(
            exception.ResourceFailure,
            self.update,
            web,
            image={'os': 'debian-13'},
        )
        self.pipelines.failing = ''

    def test_values_are_changed_without_a_run(self):
        web = self.web()
        self.update(web, keep=5, cron=None, max_age=60)
        self.assertEqual(('UPDATE', 'COMPLETE'), web.state)
        [(_, _, changes)] = self.service.named('update')
        self.assertEqual({'keep': 5, 'cron': None, 'max_age': 60}, changes)
        self.assertEqual(1, self.service.count('run'))

    def test_another_image_is_built_and_waited_for(self):
        web = self.web()
        self.update(web, image={'os': 'debian-13'})
        self.assertEqual('image-build-3', web.FnGetRefId())
        [(_, _, changes)] = self.service.named('update')
        self.assertEqual('debian-13', changes['image']['os'])

    def test_a_run_under_way_is_of_the_old_image(self):
        web = self.web()
        self.service.looks = 3
        self.pipelines.run(web.resource_id)
        self.pipelines.get(web.resource_id)
        self.update(web, image={'os': 'debian-13'})
        self.assertEqual(('UPDATE', 'COMPLETE'), web.state)
        # That one, the answer 409 while it went on, and one after it.
        self.assertGreater(self.service.count('run'), 2)
        self.assertEqual('image-build-4', web.FnGetRefId())

    def test_without_a_tag_it_is_that_of_the_name(self):
        web = self.web(changes={'current_tag': 'stable'})
        self.update(web, current_tag=None)
        [(_, _, changes)] = self.service.named('update')
        self.assertEqual({'current_tag': 'imagebuild_pipeline:web'}, changes)

    def test_a_failed_one_goes_on(self):
        self.pipelines.failing = 'no'
        stack = self.created()
        web = stack['web']
        self.assertEqual(('CREATE', 'FAILED'), web.state)
        self.assertFalse(web.needs_replace_failed())
        self.pipelines.failing = ''
        self.update(web, keep=3)
        self.assertEqual(('UPDATE', 'COMPLETE'), web.state)
        self.assertTrue(web.FnGetRefId())

    def test_a_build_that_was_cancelled_is_no_success(self):
        # There is a current image, but that of the description before.
        web = self.web()
        self.mock(self.pipelines, 'end_run').side_effect = lambda id: (
            self.pipelines._set(id, running_build_id='')
        )
        self.assertRaises(
            exception.ResourceFailure,
            self.update,
            web,
            image={'os': 'debian-13'},
        )
        self.assertIn('was cancelled or deleted', web.status_reason)

    def test_back_to_what_was_before_a_failure(self):
        web = self.web(changes={'max_failures': 5})
        image_id = web.FnGetRefId()
        self.pipelines.failing = 'no'
        other = {'image': {'os': 'debian-13'}, 'cron': '@daily'}
        self.assertRaises(exception.ResourceFailure, self.update, web, **other)
        self.pipelines.failing = ''
        # Nothing differs from what Heat has stored.
        self.update(web)
        self.assertEqual(('UPDATE', 'COMPLETE'), web.state)
        found = self.pipelines.made[web.resource_id]
        self.assertEqual('debian-12', found.image['os'])
        self.assertEqual('0 3 * * *', found.cron)
        # Its image is there: no run but those of the two.
        self.assertEqual(2, self.service.count('run'))
        self.assertEqual(image_id, web.FnGetRefId())

    def test_back_to_what_was_before_a_failure_that_left_an_image(self):
        web = self.web()
        self.fail_update(web)
        # Of the other description, after Heat had given it up.
        self.pipelines.end_run(web.resource_id)
        self.update(web)
        self.assertEqual(3, self.service.count('run'))
        self.assertEqual('image-build-5', web.FnGetRefId())

    def test_back_to_what_runs_have_made_since(self):
        """Of the same description: it is the current one, and enough."""
        web = self.web()
        self.pipelines.end_run(web.resource_id)
        image_id = web.FnGetRefId()
        self.fail_update(web)
        self.update(web)
        self.assertEqual(('UPDATE', 'COMPLETE'), web.state)
        self.assertEqual(2, self.service.count('run'))
        self.assertEqual(image_id, web.FnGetRefId())

    def test_back_after_an_end_that_heat_has_not_stored(self):
        web = self.web()
        before = web.t, web._stored_properties_data
        self.update(web, image={'os': 'debian-13'})
        # The engine was gone before it had stored that.
        web.t, web._stored_properties_data = before
        web.reparse()
        web.state_set('UPDATE', 'FAILED', 'Worker went down')
        self.update(web)
        found = self.pipelines.made[web.resource_id]
        self.assertEqual('debian-12', found.image['os'])

    def test_one_that_is_gone_is_replaced(self):
        web = self.web()
        self.pipelines.delete(web.resource_id)
        self.assertTrue(web.needs_replace_failed())
        self.assertRaises(
            exception.EntityNotFound, web.get_live_state, web.properties
        )


class TestPreempt(PipelineTestCase):
    """In the state in which Heat calls it: see check_resource.py.

    The resource is another object, in another process, which has what is
    stored: while an update is in progress, the properties before it. Its
    action is that of the newer template.
    """

    def setUp(self):
        super().setUp()
        self.service.looks = 10**6

    def newer(self, **changes):
        parsed = heat_template.Template(base.changed(TEMPLATE, changes))
        self.stacks.append(
            heat_stack.Stack(utils.dummy_context(), 'stack', parsed)
        )
        return self.stacks[-1]

    def creating(self):
        web = self.stack()['web']
        web.state_set('CREATE', 'IN_PROGRESS')
        return web, web.handle_create()

    def updating(self, *, is_running=False, **image):
        """What is being updated to another image.

        :param is_running: a run of the image before is under way.
        """
        self.service.looks = 0
        web = self.web()
        self.service.looks = 10**6
        if is_running:
            self.pipelines.run(web.resource_id)
            self.pipelines.get(web.resource_id)
        web.state_set('UPDATE', 'IN_PROGRESS')
        after = self.definition(web, image=image).properties(
            pipeline_schema.PROPERTIES
        )
        return web, web.handle_update(None, None, {'image': after['image']})

    def wait(self, check, state, polls=3):
        for _ in range(polls):
            self.assertRaises(resource.PollDelay, check, state)

    def loaded(self, web):
        """The same resource in another process."""
        found = heat_stack.Stack.load(web.context, stack_id=web.stack.id)
        self.stacks.append(found)
        return found['web']

    def preempt(self, web, latest, action='UPDATE', other=None):
        """Let a newer template arrive; how many builds that has cancelled.

        :param other: it, in the process that calls the hook.
        """
        other = other or self.loaded(web)
        other.action = action
        before = self.service.count('cancel')
        with self.newest(latest):
            other.handle_preempt()
        return self.service.count('cancel') - before

    def newest(self, stack):
        return mock.patch.object(
            heat_stack.Stack, 'load', autospec=True, return_value=stack
        )

    def traversed(self, current='newer'):
        """Let the stack have another traversal, as with a newer template."""
        self.mock(
            stack_objects.Stack,
            'get_by_id',
            return_value=types.SimpleNamespace(current_traversal=current),
        )

    def test_other_image_cancels(self):
        web, state = self.creating()
        self.wait(web.check_create_complete, state)
        newer = self.newer(image={'os': 'debian-13'})
        self.assertEqual(1, self.preempt(web, newer))
        error = self.assertRaises(
            plugin_exceptions.ImageBuildFailed,
            web.check_create_complete,
            state,
        )
        self.assertIn('was cancelled', str(error))

    def test_same_image_goes_on(self):
        web, state = self.creating()
        self.wait(web.check_create_complete, state)
        self.assertEqual(0, self.preempt(web, self.newer(keep=5)))
        self.traversed()
        with self.newest(self.newer(keep=5)):
            self.wait(web.check_create_complete, state)

    def test_template_that_another_process_has_begun(self):
        """Heat has sent it twice: see _stale_resource_needs_retry."""
        web, state = self.creating()
        self.wait(web.check_create_complete, state)
        late = self.loaded(web)
        self.service.builds.cancel(
            self.pipelines.get(web.resource_id).running_build_id
        )
        web.state_set('UPDATE', 'IN_PROGRESS')
        wanted = {'image': {'os': 'debian-13'}}
        after = self.definition(web, **wanted).properties(
            pipeline_schema.PROPERTIES
        )
        state = web.handle_update(None, None, {'image': after['image']})
        self.wait(web.check_update_complete, state)
        newer = self.newer(**wanted)
        self.assertEqual(0, self.preempt(web, newer, other=late))
        other = self.newer(image={'os': 'debian-14'})
        self.assertEqual(1, self.preempt(web, other, other=late))

    def test_same_image_with_values_of_other_resources(self):
        template = TEMPLATE.replace('outputs:', f'{OTHER}{CHAIN}outputs:')
        image = {'packages': [{'get_attr': ['chain', 'value']}, OTHER_ID]}
        stack = self.stack(template=template, changes={'image': image})
        for name in 'other', 'chain':
            scheduler.TaskRunner(stack[name].create)()
            stk_defn.update_resource_data(
                stack.defn, name, stack[name].node_data()
            )
        web = stack['web']
        web.state_set('CREATE', 'IN_PROGRESS')
        state = web.handle_create()
        self.wait(web.check_create_complete, state)
        [(_, _, sent, _)] = self.service.named('create')
        self.assertEqual('x', sent['packages'][0])
        newer = heat_stack.Stack.load(web.context, stack_id=stack.id)
        self.assertEqual(0, self.preempt(web, newer))

    def test_resource_that_is_not_in_the_template_any_more(self):
        web, state = self.creating()
        self.wait(web.check_create_complete, state)
        self.assertEqual(1, self.preempt(web, {}, 'DELETE'))

    def test_it_counts_what_an_update_wants(self):
        """And not what is stored, which is what was before it."""
        web, state = self.updating(os='debian-13')
        self.wait(web.check_update_complete, state)
        newer = self.newer(image={'os': 'debian-13'})
        self.assertEqual(0, self.preempt(web, newer))
        self.assertEqual(1, self.preempt(web, self.newer()))

    def test_before_there_is_a_pipeline(self):
        self.service.away['create'] = exceptions.ServiceUnavailable('No.')
        web, _ = self.creating()
        self.assertEqual(0, self.preempt(web, {}))

    def test_service_is_away(self):
        web, state = self.creating()
        self.wait(web.check_create_complete, state)
        for name in 'get', 'cancel':
            self.service.away = {name: AWAY}
            self.preempt(web, {})
        self.assertTrue(self.pipelines.made[web.resource_id].is_running)

    def test_run_that_has_not_begun(self):
        """There is nothing to cancel: what waits for it stops."""
        self.pipelines.holding = True
        web, state = self.creating()
        self.wait(web.check_create_complete, state)
        self.assertEqual(0, self.preempt(web, {}))
        self.wait(web.check_create_complete, state)
        self.traversed()
        with self.newest({}):
            error = self.assertRaises(
                plugin_exceptions.ImageBuildFailed,
                web.check_create_complete,
                state,
            )
        self.assertIn('A newer template came', str(error))

    def test_not_known_whether_it_is_wanted(self):
        """Values of other resources are asked for: their service is away."""
        web, state = self.creating()
        self.traversed()
        with mock.patch.object(
            heat_stack.Stack, 'load', autospec=True, side_effect=OSError('No.')
        ):
            self.wait(web.check_create_complete, state)
        self.assertEqual(0, self.service.count('cancel'))

    def test_run_that_is_in_the_way(self):
        # It has begun before the update, which waits to ask for its own.
        web, state = self.updating(is_running=True, os='debian-13')
        self.wait(web.check_update_complete, state)
        self.assertTrue(state.wants_run)
        newer = self.newer(image={'os': 'ubuntu-24.04'})
        self.assertEqual(1, self.preempt(web, newer))
        self.traversed()
        with self.newest(newer):
            self.assertRaises(
                plugin_exceptions.ImageBuildFailed,
                web.check_update_complete,
                state,
            )
        self.assertFalse(self.pipelines.made[web.resource_id].is_running)

    def locked(self, action):
        """A resource that another engine creates or updates."""
        self.service.looks = 0
        web = self.web() if action == 'UPDATE' else self.stack()['web']
        self.service.looks = 10**6
        self.lock(web, action)
        return web

    def engine_checks(self, web, **changes):
        """How many builds are cancelled by a newer template."""
        before = self.service.count('cancel')
        self.engine_comes_to(web, base.changed(TEMPLATE, changes))
        return self.service.count('cancel') - before

    def test_by_the_code_of_the_engine(self):
        """While it is created."""
        web = self.locked('CREATE')
        state = web.handle_create()
        self.wait(web.check_create_complete, state)
        self.assertEqual(0, self.engine_checks(web))
        self.assertEqual(0, self.engine_checks(web, keep=5))
        self.assertEqual(1, self.engine_checks(web, image={'os': 'debian-13'}))

    def test_by_the_code_of_the_engine_while_it_is_updated(self):
        """And a rollback, to what Heat has stored."""
        web = self.locked('UPDATE')
        after = self.definition(web, image={'os': 'debian-13'}).properties(
            pipeline_schema.PROPERTIES
        )
        state = web.handle_update(None, None, {'image': after['image']})
        self.wait(web.check_update_complete, state)
        self.assertEqual(0, self.engine_checks(web, image={'os': 'debian-13'}))
        self.assertEqual(1, self.engine_checks(web))

    def test_image_that_is_there_is_a_success(self):
        web, state = self.creating()
        self.wait(web.check_create_complete, state)
        self.traversed()
        self.pipelines.end_run(web.resource_id)
        with self.newest({}):
            self.assertTrue(web.check_create_complete(state))


class TestStop(PipelineTestCase):
    def stopped(self, task, steps=5):
        task.start()
        for _ in range(steps):
            task.step()
        task.cancel()
        return self.service.count('cancel')

    def test_stack_timeout_cancels(self):
        self.service.looks = 10**6
        web = self.stack()['web']
        self.assertEqual(1, self.stopped(scheduler.TaskRunner(web.create)))
        self.assertEqual(('CREATE', 'FAILED'), web.state)
        self.assertFalse(self.pipelines.made[web.resource_id].is_running)

    def test_while_it_is_updated(self):
        web = self.web()
        self.service.looks = 10**6
        after = self.definition(web, image={'os': 'debian-13'})
        task = scheduler.TaskRunner(web.update, after)
        self.assertEqual(1, self.stopped(task))
        self.assertEqual(('UPDATE', 'FAILED'), web.state)

    def test_a_run_of_others_goes_on(self):
        web = self.web()
        self.service.looks = 10**6
        self.pipelines.run(web.resource_id)
        self.pipelines.get(web.resource_id)
        after = self.definition(web, image={'os': 'debian-13'})
        task = scheduler.TaskRunner(web.update, after)
        self.assertEqual(0, self.stopped(task))
        self.assertTrue(self.pipelines.made[web.resource_id].is_running)

    def test_before_there_is_a_pipeline(self):
        web = self.stack()['web']
        web.handle_create_cancel(None)
        self.assertEqual([], self.service.calls)


class TestDelete(PipelineTestCase):
    def test_images_go_with_it(self):
        stack = self.created()
        scheduler.TaskRunner(stack.delete)()
        self.assertEqual(('DELETE', 'COMPLETE'), stack.state)
        [(_, _, images)] = self.service.named('delete')
        self.assertTrue(images)

    def test_images_stay_when_it_says_so(self):
        stack = self.created(changes={'delete_images': False})
        scheduler.TaskRunner(stack.delete)()
        [(_, _, images)] = self.service.named('delete')
        self.assertFalse(images)

    def test_a_protected_image_is_told(self):
        stack = self.created()
        self.service.away['delete'] = exceptions.Conflict(
            'image x is protected'
        )
        self.patchobject(pipeline, '_DELETE_POLLS', new=1)
        scheduler.TaskRunner(stack.delete)()
        self.assertIn('is protected', stack['web'].status_reason)

    def test_one_that_is_gone(self):
        stack = self.created()
        self.pipelines.made.clear()
        scheduler.TaskRunner(stack.delete)()
        self.assertEqual(('DELETE', 'COMPLETE'), stack.state)


class TestCheck(PipelineTestCase):
    def test_well(self):
        web = self.web()
        scheduler.TaskRunner(web.check)()
        self.assertEqual(('CHECK', 'COMPLETE'), web.state)

    def test_stopped(self):
        web = self.web()
        self.pipelines._set(
            web.resource_id, status='error', status_reason='Stopped'
        )
        self.assertRaises(
            exception.ResourceFailure, scheduler.TaskRunner(web.check)
        )
        self.assertIn('Stopped', web.status_reason)
        # It goes on with the next update; its image is there still.
        self.update(web)
        self.assertEqual(('UPDATE', 'COMPLETE'), web.state)
        [(_, id, changes)] = self.service.named('update')
        self.assertEqual(web.resource_id, id)
        self.assertEqual('debian-12', changes['image']['os'])
        self.assertEqual(1, self.service.count('run'))

    def test_one_that_is_gone_is_replaced(self):
        web = self.web()
        self.pipelines.made.clear()
        self.assertRaises(
            exception.ResourceFailure, scheduler.TaskRunner(web.check)
        )
        self.assertRaises(resource.UpdateReplace, self.update, web)


class TestPage(PipelineTestCase):
    def test_everything_is_on_the_page(self):
        text = PAGE.read_text()
        for name in (
            *pipeline_schema.PROPERTY_NAMES,
            *pipeline_schema.ATTRIBUTES,
        ):
            self.assertIn(f'``{name}``', text)
