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
"""A plan without a system names its steps as the run does."""

import pytest

from imagebuild import description
from imagebuild import distros
from imagebuild.remotes import fake
from tests.unit.manifest import engine

SET_S = {'argument_set': {'argument_name': 's', 'value': 'later'}}
SAYS_S = {'script': {'say': {'inline': 'x', 'output': 's'}}}
CASE = {'argument_case': {'argument_name': 's', 'cases': {
    'given': [{'package': 'b'}],
    'later': [{'package': 'a'}],
}}}  # fmt: skip
USES_S = {'file': {'/opt/{{ s }}': {'content': 'text'}}}


@pytest.fixture
def system(monkeypatch):
    monkeypatch.setattr(distros, 'families', lambda: dict(engine.FAMILIES))
    remote = engine.System.of('debian', '12')
    remote.on_script('say', fake.Answer('printed'))
    return remote.world(installed=['a', 'b'])


def load(*validators, packages=(), arguments=None, values=None):
    return description.load(
        {
            'packages': list(packages),
            'manifest': {
                'arguments': arguments or {'s': {'default': 'given'}},
                'validators': list(validators),
            },
            'arguments': values or {},
        }
    )


def names(steps):
    return [(step.path, step.description) for step in steps]


@pytest.mark.parametrize(
    'validators',
    [
        [{'package': 'a'}],
        [{'all': [{'package': 'a'}]}],
        [{'all': [{'all': [{'package': 'a'}, {'package': 'b'}]}]}],
        [{'any': [{'all': [{'package': 'a'}]}, {'package': 'b'}]}],
        # What is tried takes no name away.
        [{'any': [{'package': 'c'}, {'package': 'b'}]}, {'package': 'b'}],
        [CASE],
        [SET_S, CASE],
        [{'any': [{'package': 'b'}]}, CASE],
    ],
)
def test_a_plan_names_its_steps_as_the_run(system, validators):
    described = load(*validators, packages=['a', 'b'])
    planned = names(described.steps)
    assert planned == names(described.run(system).steps)
    assert planned == names(described.plan(system))
    assert len({name for _, name in planned}) == len(planned)


def test_a_group_of_one_is_called_as_it_is():
    one = load({'any': [{'all': [{'package': 'a'}]}, {'package': 'b'}]})
    [step] = one.steps
    assert step.description == 'any of package a | package b'


@pytest.mark.parametrize(
    ('validators', 'last'),
    [
        ([USES_S], 'file /opt/given'),
        ([SET_S, USES_S], 'file /opt/later'),
        ([SAYS_S, USES_S], 'file /opt/{{ s }}'),
        ([SAYS_S, CASE], 'argument_case s'),
        ([SAYS_S, SET_S, USES_S], 'file /opt/later'),
        ([{'any': [SET_S, {'package': 'a'}]}, USES_S],
         'file /opt/{{ s }}'),
        ([{'os_case': [{'debian': [SET_S]}]}, USES_S],
         'file /opt/{{ s }}'),
        ([{'os_case': [{'debian': [{'package': 'a'}]}]}, USES_S],
         'file /opt/given'),
        ([{'file': {'/{{ distro }}': {'content': 'text'}}}],
         'file /{{ distro }}'),
    ],
)  # fmt: skip
def test_what_only_a_run_knows_stays_a_name(validators, last):
    assert load(*validators).steps[-1].description == last


def test_a_case_that_the_system_decides_is_one_step():
    cases = {'os_case': [{'debian': [{'package': 'a'}]}, {'fedora': []}]}
    [step] = load(cases).steps
    assert step.description == 'os_case debian, fedora'


def test_hidden_values_are_not_shown(system):
    described = load(
        USES_S,
        arguments={'s': {'required': True, 'hidden': True}},
        values={'s': 'hush-hush'},
    )
    [step] = described.steps
    assert step.description == 'file /opt/{{ s }}'
    [other] = load(
        {'file': {'/opt/hush-hush': {'content': 'text'}}},
        arguments={'s': {'required': True, 'hidden': True}},
        values={'s': 'hush-hush'},
    ).steps
    assert other.description == 'file /opt/***'


def test_a_program_names_its_steps_as_the_run():
    described = load(
        USES_S,
        {'all': [{'package': 'a'}]},
        packages=['a'],
    )
    told = [step.description for step in described.program().steps]
    assert told == [name for _, name in names(described.steps)]
    assert told == ['package a', 'file /opt/given', 'package a (2)']
