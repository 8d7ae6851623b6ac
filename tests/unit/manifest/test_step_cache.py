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
"""Steps that an earlier run has done are not run again."""

import json

import hypothesis
import pytest
from hypothesis import strategies as st

from imagebuild import exception
from imagebuild import manifest
from imagebuild.manifest import cleanup
from imagebuild.manifest import step_cache
from imagebuild.remotes import fake
from tests.unit.manifest import engine
from tests.unit.manifest import layered

pytestmark = pytest.mark.usefixtures('core_language')

script, load, run, results = (
    layered.script,
    layered.load,
    layered.run,
    layered.results,
)
Answer = fake.Answer
ONE = script('one', 'append /log one')
TWO = script('two', 'append /log two')
THREE = script('three', 'append /log three')


@pytest.fixture
def keeper():
    return layered.Keeper()


def log(remote):
    return remote.files['/log'].content.decode().split()


def test_a_repeated_run_runs_nothing(keeper):
    run(load(ONE, TWO), keeper)
    remote, report = run(load(ONE, TWO), keeper)
    assert remote.scripts == []
    assert log(remote) == ['one', 'two']
    assert results(report) == ['cached', 'cached']
    assert report.changed


def test_only_what_follows_an_edit_is_run(keeper):
    steps = [script(f's{n}', f'append /log {n}') for n in range(10)]
    run(load(*steps), keeper)
    steps[9] = script('s9', 'append /log other')
    remote, report = run(load(*steps), keeper)
    assert remote.scripts == ['s9']
    assert log(remote) == [*'012345678', 'other']
    assert results(report) == ['cached'] * 9 + ['ran']


def test_a_step_that_was_inserted_ends_what_is_known(keeper):
    run(load(ONE, THREE), keeper)
    remote, _report = run(load(ONE, TWO, THREE), keeper)
    assert remote.scripts == ['two', 'three']
    assert log(remote) == ['one', 'two', 'three']


def test_another_base_is_another_matter(keeper):
    run(load(ONE), keeper)
    keeper.identity = 'another'
    remote, _report = run(load(ONE), keeper)
    assert remote.scripts == ['one']


def test_what_was_done_is_reported_as_it_was(keeper):
    monitor = engine.Recorder()
    told = script('one', 'append /log one', 'print done')
    _remote, first = run(load(told, TWO), keeper)
    _remote, report = run(
        load(told, THREE), keeper, monitor=monitor, values=None
    )
    assert report.steps[0].output == 'done'
    assert report.steps[0].description == first.steps[0].description
    assert report.steps[0].seconds == 0.0
    assert monitor.events == [
        ('run', 2),
        ('start', 'validators[0].script'),
        ('end', 'validators[0].script', 'cached'),
        ('start', 'validators[1].script'),
        ('end', 'validators[1].script', 'ran'),
        ('finished',),
    ]


def test_steps_of_one_name_are_told_apart_as_before(keeper):
    run(load(ONE, TWO), keeper)
    again = script('one', 'append /log again')
    _remote, report = run(load(ONE, again), keeper)
    assert [step.description for step in report.steps] == [
        'script one',
        'script one (2)',
    ]


# -- values -----------------------------------------------------------------

ARGUMENTS = {
    'seen': {'default': 'x'},
    'unseen': {'default': 'x'},
    'secret': {'default': '', 'hidden': True},
}


def test_only_arguments_that_a_step_can_see_count(keeper):
    what = load(
        script('one', 'append /log $seen', env_vars=['seen']),
        TWO,
        arguments=ARGUMENTS,
    )
    run(what, keeper)
    remote, _report = run(what, keeper, values={'unseen': 'y'})
    assert remote.scripts == []
    remote, _report = run(what, keeper, values={'seen': 'y'})
    assert remote.scripts == ['one', 'two']


def test_what_a_script_printed_is_put_back(keeper):
    out = script('one', 'print 1', output='found')
    last = script('last', 'append /log $found', env_vars=['found'])
    run(load(out, TWO, last), keeper)
    other = script('last', 'append /log other $found', env_vars=['found'])
    remote, _report = run(load(out, TWO, other), keeper)
    assert remote.scripts == ['last']
    assert log(remote) == ['two', 'other', '1']


def test_a_value_that_nobody_kept_ends_the_look(keeper):
    out = script('one', 'print 1', output='found')
    keeper.wanted = lambda reached: not reached.needed
    run(load(out, TWO), keeper)
    remote, _report = run(load(out, TWO), keeper)
    assert remote.scripts == ['one', 'two']
    assert [item.needed for item in keeper.told] == [True, False]


def test_a_value_of_the_request_is_not_put_back(keeper):
    first = script('one', 'append /log one')
    last = script('last', 'append /log $unseen', env_vars=['unseen'])
    what = load(first, last, arguments=ARGUMENTS)
    run(what, keeper, values={'unseen': 'a'})
    remote, _report = run(what, keeper, values={'unseen': 'b'})
    assert log(remote) == ['one', 'b']


def test_an_argument_is_set_without_a_system(keeper):
    case = {
        'argument_case': {
            'argument_name': 'chosen',
            'cases': {'a': [TWO], 'b': [THREE]},
        }
    }

    def chosen(value):
        return {'argument_set': {'argument_name': 'chosen', 'value': value}}

    run(load(ONE, chosen('a'), case), keeper)
    remote, _report = run(load(ONE, chosen('a'), case), keeper)
    assert remote.scripts == []
    remote, _report = run(load(ONE, chosen('b'), case), keeper)
    assert remote.scripts == ['three']
    assert log(remote) == ['one', 'three']


def test_nothing_is_kept_once_a_script_has_printed_a_secret(keeper):
    out = script('out', 'print hunter22', output='secret')
    what = load(ONE, out, TWO, arguments=ARGUMENTS)
    run(what, keeper)
    assert len(keeper.told) == 1
    assert 'hunter22' not in json.dumps([*keeper.kept.items()], default=str)
    remote, _report = run(what, keeper)
    assert remote.scripts == ['out', 'two']


def test_a_secret_counts_and_is_not_in_what_is_kept(keeper):
    digested = []
    keeper.digest = lambda content: (
        digested.append(content) or layered.Keeper.digest(keeper, content)
    )
    uses = script('one', 'append /log $secret', env_vars=['secret'])
    told = script('two', 'print it is $secret', env_vars=['secret'])
    what = load(uses, told, arguments=ARGUMENTS)
    run(what, keeper, values={'secret': 'hunter22'})
    assert any('hunter22' in content for content in digested)
    states = [state for state, _disk, _shared in keeper.kept.values()]
    assert 'hunter22' not in json.dumps(states)
    remote, _report = run(what, keeper, values={'secret': 'other'})
    assert log(remote) == ['other']


# -- groups -----------------------------------------------------------------


def test_alternatives_are_one_step(keeper):
    fails = script('fails', 'fail')
    group = {'any': [fails, script('good', 'append /log $test_only')]}
    run(load(ONE, group), keeper)
    remote, report = run(load(ONE, group), keeper)
    assert remote.scripts == []
    assert results(report) == ['cached', 'cached']
    group['any'][1] = script('good', 'append /log other')
    remote, _report = run(load(ONE, group), keeper)
    assert remote.scripts == ['fails', 'good']


def test_which_alternative_set_a_value_is_not_foreseen(keeper):
    value = {'argument_set': {'argument_name': 'chosen', 'value': 'a'}}
    group = {'any': [value, TWO]}
    run(load(group, ONE), keeper)
    assert [item.needed for item in keeper.told] == [True, False]
    last = script('last', 'append /log $chosen', env_vars=['chosen'])
    remote, _report = run(load(group, ONE, last), keeper)
    assert log(remote) == ['one', 'a']
    assert remote.scripts == ['last']


# -- packages ---------------------------------------------------------------


def test_another_package_is_added_to_what_there_is(keeper):
    run(load({'package': 'a'}, {'package': 'b'}), keeper)
    remote, report = run(
        load({'package': 'a'}, {'package': 'b'}, {'package': 'c'}), keeper
    )
    assert sorted(remote.installed) == ['a', 'b', 'c']
    assert remote.ran('install', 'refresh') == ['install c']
    assert results(report) == ['cached', 'cached', 'changed']


def test_an_index_that_names_what_has_gone_is_fetched_again(keeper):
    run(load({'package': 'a'}), keeper)
    remote = layered.system()
    fetched = []
    remote.on(['refresh'], lambda _: fetched.append(1) or Answer())
    remote.on(
        ['install', 'b'],
        Answer('', 'E: 404', 100),
        remote._install,
    )
    remote, report = run(
        load({'package': 'a'}, {'package': 'b'}), keeper, remote
    )
    assert results(report) == ['cached', 'changed']
    assert fetched == [1]


def test_steps_before_a_boundary_are_a_transaction_of_their_own(keeper):
    what = load({'package': 'a'}, {'package': 'b'})
    what.validators[0].boundary = True
    remote, _report = run(what, keeper)
    assert remote.ran('install') == ['install a', 'install b']
    assert [item.boundary for item in keeper.told] == [True, False]
    plain = layered.system()
    what.run(plain)
    assert plain.ran('install') == ['install a b']


# -- what else there is ------------------------------------------------------


def test_files_of_copy_script_are_removed_in_the_end(keeper):
    copied = {'copy_script': 'lib.sh'}

    def what(*steps):
        document = json.dumps({'validators': [copied, *steps]})
        return manifest.load(document.encode(), resources={'lib.sh': 'true'})

    run(what(ONE), keeper)
    remote, _report = run(what(ONE, TWO), keeper)
    assert remote.scripts == ['two']
    assert '/tmp/lib.sh' not in remote.files  # noqa: S108


def test_test_only_uses_and_keeps_nothing(keeper):
    what = load(ONE, TWO)
    run(what, keeper)
    remote = layered.system()
    keeper.start(remote)
    bound = what.bind()
    report = bound.run(remote, reconcile=False, cache=bound.cached(keeper))
    assert remote.scripts == ['one', 'two']
    assert results(report) == ['ok', 'ok']
    assert keeper.told == []


def test_a_plan_shows_what_need_not_be_run(keeper):
    run(load(ONE, {'package': 'a'}), keeper)
    remote = layered.system()
    keeper.start(remote)
    bound = load(ONE, {'package': 'a'}, {'package': 'b'}).bind()
    planned = bound.plan(remote, cache=bound.cached(keeper))
    assert [step.state for step in planned] == ['cached', 'cached', 'missing']
    assert remote.changes() == []


def test_what_led_to_a_failure_is_kept(keeper):
    fails = script('fails', 'fail')
    with pytest.raises(exception.StepFailed):
        run(load(ONE, fails), keeper)
    remote, _report = run(load(ONE, TWO), keeper)
    assert remote.scripts == ['two']


def test_without_facts_of_the_base_nothing_is_looked_for(keeper):
    run(load(ONE), keeper)
    keeper.known = None
    remote, _report = run(load(ONE), keeper)
    assert remote.scripts == ['one']
    assert keeper.known['os_release']['id'] == 'debian'


@pytest.mark.parametrize(
    'facts', [{}, {'os_release': 1}, {'os_release': {'id': 'beos'}}, []]
)
def test_facts_that_are_damaged_are_learned_again(keeper, facts):
    run(load(ONE), keeper)
    good, keeper.known = keeper.known, facts
    remote, _report = run(load(ONE), keeper)
    assert remote.scripts == ['one']
    assert keeper.known == good


def test_a_state_that_is_damaged_is_not_used():
    with pytest.raises((KeyError, TypeError, ValueError)):
        step_cache.State.from_dict({'outputs': {}, 'temporary': []})


def test_the_family_is_that_of_the_base(keeper):
    becomes = script('becomes', 'append /etc/os-release ID=fedora')
    what = load(becomes, {'os_case': [{'debian': [ONE]}, {'redhat': [TWO]}]})
    remote, _report = run(what, keeper)
    assert log(remote) == ['one']
    more = load(
        becomes,
        {'os_case': [{'debian': [ONE]}, {'redhat': [TWO]}]},
        THREE,
    )
    remote, report = run(more, keeper)
    assert log(remote) == ['one', 'three']
    assert report.distro == 'debian'


def test_a_machine_id_that_a_kept_step_filled_in_is_emptied(keeper):
    fills = script('fills', 'append /etc/machine-id 0123')
    bound = load(fills, ONE).bind()
    for _round in range(2):
        remote = layered.system()
        remote.write_file('/etc/machine-id', b'')
        keeper.start(remote)
        cache = bound.cached(keeper)
        cleanup.run(bound, remote, cache=cache)
        assert remote.files['/etc/machine-id'].content == b''
    assert remote.scripts == []


def test_a_real_machine_id_is_not_kept(keeper):
    remote = layered.system()
    remote.write_file('/etc/machine-id', b'0123456789\n')
    run(load(ONE), keeper, remote)
    assert '0123456789' not in json.dumps(keeper.known)


# -- whose it is -------------------------------------------------------------


@pytest.mark.parametrize(
    'values, shared',
    [
        ({}, [True, True, True]),
        ({'seen': 'x'}, [True, True, True]),
        ({'seen': 'y'}, [True, False, False]),
        ({'unseen': 'y'}, [True, True, True]),
    ],
)
def test_what_only_an_operator_wrote_is_everybodys(keeper, values, shared):
    what = load(
        ONE,
        script('two', 'append /log $seen', env_vars=['seen']),
        THREE,
        arguments=ARGUMENTS,
    )
    remote = layered.system()
    keeper.start(remote)
    bound = what.bind(values)
    bound.run(remote, cache=bound.cached(keeper, operators=True))
    assert [item.operators for item in keeper.told] == shared


def test_a_users_steps_or_base_are_the_users(keeper):
    run(load(ONE), keeper)
    assert [item.operators for item in keeper.told] == [False]
    keeper.from_operator = False
    keeper.kept.clear()
    remote = layered.system()
    keeper.start(remote)
    bound = load(ONE).bind()
    bound.run(remote, cache=bound.cached(keeper, operators=True))
    assert [item.operators for item in keeper.told] == [False]


# -- any manifest, any edit --------------------------------------------------

NAMES = ('p', 'q', 'out')


def _script(name, output):
    """It writes the value that it asked for, and perhaps sets another."""
    lines = [f'append /log ${name}']
    properties = {'env_vars': [name]}
    if output:
        lines.append(f'print {output}${name}')
        properties['output'] = 'out'
    return script('s', *lines, **properties)


LEAVES = st.one_of(
    st.builds(_script, st.sampled_from(NAMES), st.just('')),
    st.builds(_script, st.sampled_from(NAMES), st.sampled_from(['', '1'])),
    st.builds(lambda name: {'package': name}, st.sampled_from('abc')),
    st.builds(
        lambda value: {
            'argument_set': {'argument_name': 'out', 'value': value}
        },
        st.sampled_from(['1', '2']),
    ),
    st.just(script('s', 'append /log one')),
)
GROUPS = st.one_of(
    st.builds(
        lambda name, some, others: {
            'argument_case': {
                'argument_name': name,
                'cases': {'1': [some]},
                'default': [others],
            }
        },
        st.sampled_from(NAMES),
        LEAVES,
        LEAVES,
    ),
    # What fails here depends on a value.
    st.builds(
        lambda name, first, second: {
            'any': [
                {
                    'argument_case': {
                        'argument_name': name,
                        'cases': {'1': [first]},
                        'default': [script('bad', 'append /log b', 'fail')],
                    }
                },
                second,
            ]
        },
        st.sampled_from(NAMES),
        LEAVES,
        LEAVES,
    ),
)
STEPS = st.one_of(LEAVES, LEAVES, GROUPS)
VALUES = st.fixed_dictionaries(
    {name: st.sampled_from(['1', '2']) for name in ('p', 'q')}
)


@st.composite
def edited(draw):
    """Manifests, each but the first made of the one before by an edit."""
    steps = draw(st.lists(STEPS, min_size=3, max_size=6))
    versions = [(steps, draw(VALUES))]
    for _edit in range(draw(st.integers(2, 4))):
        steps = list(steps)
        at = draw(st.integers(0, len(steps)))
        what = draw(
            st.sampled_from(['insert', 'replace', 'remove', 'none', 'none'])
        )
        if what != 'none':
            removed = 0 if what == 'insert' else 1
            added = [] if what == 'remove' else [draw(STEPS)]
            steps[at : at + removed] = added
        versions.append((steps, draw(VALUES)))
    return versions


def outcome(steps, values, keeper):
    """What is on the disk in the end, and what failed."""
    remote = layered.system()
    arguments = {
        'p': {'default': '0'},
        'q': {'default': '0'},
        'out': {'default': '0'},
    }
    what = load(*steps, arguments=arguments)
    error = None
    try:
        if keeper:
            run(what, keeper, remote, values=values)
        else:
            what.run(remote, values)
    except exception.StepError as caught:
        error = str(caught)
    files = {path: file.content for path, file in remote.files.items()}
    return files, remote.installed, error


@hypothesis.settings(
    deadline=None,
    max_examples=30,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
@hypothesis.given(
    versions=edited(), some=st.sets(st.integers(0, 30), max_size=8)
)
def test_the_end_is_that_of_a_run_from_nothing(versions, some):
    told = []

    def wanted(reached):
        told.append(reached)
        return reached.needed or len(told) not in some

    keeper = layered.Keeper(wanted=wanted)
    for steps, values in versions:
        assert outcome(steps, values, keeper) == outcome(steps, values, None)
