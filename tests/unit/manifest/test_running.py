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
import pytest

from imagebuild import exception
from imagebuild import manifest
from imagebuild.remotes import fake
from tests.unit.manifest import engine

pytestmark = pytest.mark.usefixtures('core_language')

Answer = fake.Answer


def load(text, **resources):
    return manifest.load(
        text + '\n',
        resources={
            name.replace('_sh', '.sh'): content
            for name, content in resources.items()
        },
    )


def results(report):
    return [(step.path, str(step.result)) for step in report.steps]


def refused(loaded, remote, values=None, *, reconcile=True):
    """Run and return the error, which must be a step's."""
    with pytest.raises(exception.StepError) as caught:
        loaded.run(remote, values, reconcile=reconcile)
    return caught.value


# -- cases ------------------------------------------------------------------


def case(*names):
    branches = ', '.join(f'{name}: [package: "{name}"]' for name in names)
    return f'validators: [os_case: [{branches}]]'


@pytest.mark.parametrize(
    'system, names, chosen',
    [
        (('ubuntu', '22.04'), ['debian', 'ubuntu'], 'debian'),
        (('ubuntu', '22.04'), ['ubuntu', 'debian'], 'ubuntu'),
        (('ubuntu', '22'), ['ubuntu-20.04', 'ubuntu-22'], 'ubuntu-22'),
        (('ubuntu', '22.04'), ['ubuntu-22.04'], 'ubuntu-22.04'),
        (('ubuntu', '22.04'), ['Ubuntu'], 'Ubuntu'),
        (('ubuntu', '22.04'), ['redhat', 'centos7'], None),
        (('centos', '7'), ['centos6', 'centos7', 'centos'], 'centos7'),
        (('centos', '9'), ['fedora', 'redhat'], 'redhat'),
        (('rhel', '7.9'), ['redhatenterprise'], 'redhatenterprise'),
        (('rhel', '7.9'), ['rhel7', 'redhat'], 'rhel7'),
        (('fedora', '40'), ['fedora-40'], 'fedora-40'),
    ],
)  # fmt: skip
def test_os_case(system, names, chosen):
    remote = engine.system(*system, installed=names)
    report = load(case(*names)).run(remote)
    wanted = [f'package {chosen}'] if chosen else []
    assert [step.description for step in report.steps] == wanted


ARGUMENT_CASE = """
arguments: {a: {default: "8", target_variable: A}}
validators:
- argument_case:
    argument_name: NAME
    cases:
      8: [package: eight]
      true: [package: truth]
      1.10: [package: version]
    default: [package: other]
"""


@pytest.mark.parametrize('name', ['a', 'A'])
@pytest.mark.parametrize(
    'value, chosen',
    [
        (None, 'eight'),
        (8, 'eight'),
        (True, 'truth'),
        ('true', 'truth'),
        ('1.10', 'version'),
        ('1.1', 'other'),
        ('', 'other'),
    ],
)
def test_argument_case(name, value, chosen):
    remote = engine.system(installed=[chosen])
    loaded = load(ARGUMENT_CASE.replace('NAME', name))
    report = loaded.run(remote, {'a': value})
    assert [it.description for it in report.steps] == [f'package {chosen}']


def test_argument_case_without_a_match_is_content():
    loaded = load(
        ARGUMENT_CASE.replace('NAME', 'a').partition('    default:')[0]
    )
    assert loaded.run(engine.system(), {'a': 'x'}).steps == []


def test_argument_set_decides_what_follows():
    remote = engine.system(installed=['b'])
    loaded = load(
        'arguments: {a: {default: x}}\n'
        'validators:\n'
        '- argument_set: {argument_name: a, value: 1.10}\n'
        '- argument_case: {argument_name: a, cases: {1.10: [package: b]}}'
    )
    report = loaded.run(remote)
    assert report.steps[-1].description == 'package b'
    # Nothing is left of it for the next run.
    assert loaded.resolve(None) == {'a': 'x'}


# -- packages ---------------------------------------------------------------


def test_what_is_there_costs_one_look():
    remote = engine.system(installed=['a', 'b', 'c'])
    report = load('validators: [package: a, package: [b, c]]').run(remote)
    assert remote.ran() == ['query a b c']
    assert not report.changed


def test_neighbours_share_a_transaction_and_the_index_is_fetched_once():
    remote = engine.system(installed=['a'], available=['b', 'c', 'd', 'e'])
    remote.on_script('x')
    report = load(
        'validators:\n- package: [a, b]\n- os_case: [debian: [package: c]]\n'
        '- all: [package: d]\n- script: {x: {inline: x}}\n- package: e'
    ).run(remote)
    assert remote.ran('refresh', 'install') == [
        'refresh',
        'install b c d',
        'install e',
    ]
    assert [step.message for step in report.steps] == [
        'installed b',
        'installed c',
        'installed d',
        '',
        'installed e',
    ]


def test_a_second_run_installs_nothing():
    remote = engine.system(available=['a', 'b'])
    loaded = load('validators: [package: a, package: b]')
    assert loaded.run(remote).changed
    remote.commands.clear()
    assert not loaded.run(remote).changed
    assert remote.changes() == []


def test_when_they_fail_together_each_is_tried_alone():
    remote = engine.system(available=['a', 'c'])
    error = refused(
        load('validators: [package: a, package: b, package: c]'), remote
    )
    assert remote.ran('install') == ['install a b c', 'install a', 'install b']
    assert error.path == 'validators[1].package'
    assert error.command == 'install b'
    assert error.command_exit_code == 100
    assert error.output == 'E: no package b'
    assert results(error.report) == [
        ('validators[0].package', 'changed'),
        ('validators[1].package', 'failed'),
    ]


def test_neighbours_that_disagree_do_not_share():
    remote = engine.system(available=['a'])
    refused(
        load('validators: [package: a, package: [a: {version: "2"}]]'), remote
    )
    assert remote.ran('install') == ['install a', 'install a=2']


def test_versions():
    remote = engine.system(installed=['a'], available=['a'])
    remote.available['a'] = '2.0'
    report = load('validators: [package: [a: {version: "2.0"}]]').run(remote)
    assert remote.ran('install') == ['install a=2.0']
    assert report.steps[0].message == 'installed a (2.0)'


def test_only_looking_names_every_missing_package():
    remote = engine.system(installed=['a', 'b'])
    loaded = load(
        'validators: [package: [a, x, b: {version: "2"}], package: y]'
    )
    error = refused(loaded, remote, reconcile=False)
    assert [str(failure) for failure in error.failures] == [
        'validators[0].package: x is not installed; '
        'b (2) is installed at version 1.0',
        'validators[1].package: y is not installed',
    ]
    assert remote.changes() == []


# -- scripts ----------------------------------------------------------------


def test_a_script_is_given_what_it_asked_for_and_nothing_else():
    remote = engine.system()
    remote.on_script('run.sh')
    load(
        'arguments:\n'
        '  java-version: {default: "1 $8", target_variable: JAVA}\n'
        '  other: {default: x}\n'
        'validators: [script: {run.sh: {env_vars: [java-version, unset]}}]',
        run_sh='#!/bin/sh\n',
    ).run(remote)
    [command] = remote.commands
    assert command.script == b'#!/bin/sh\n'
    assert command.env == {
        'java-version': '1 $8',
        'java_version': '1 $8',
        'JAVA': '1 $8',
        'distro': 'ubuntu',
        'distro_release': '22.04',
        'distro_family': 'debian',
        'test_only': '0',
        'reconcile': '1',
    }


@pytest.mark.parametrize('reconcile', [True, False])
def test_a_script_knows_the_mode(reconcile):
    remote = engine.system()
    remote.on_script('x')
    load('validators: [script: {x: {inline: x}}]').run(
        remote, reconcile=reconcile
    )
    env = remote.commands[0].env
    assert (env['reconcile'], env['test_only']) == (
        ('1', '0') if reconcile else ('0', '1')
    )


@pytest.mark.parametrize(
    'form',
    [
        '{label: {inline: id, output: o-p}}',
        '{label: [inline: id, output: o-p]}',
        '{label: [{inline: id, output: o-p}]}',
    ],
)
@pytest.mark.parametrize(
    'stdout, value',
    [('v\n', 'v'), ('v', 'v'), ('v\n\n', 'v\n'), (' v \n', ' v '), ('', '')],
)
def test_output_is_stored_less_one_newline(form, stdout, value):
    remote = engine.system()
    remote.on_script(b'id', Answer(stdout, 'noise\n'))
    remote.on_script('later')
    load(
        f'validators:\n- script: {form}\n'
        '- script: {later: {inline: x, arguments: [o_p]}}'
    ).run(remote)
    assert remote.commands[-1].env['o_p'] == value


def test_the_limit_of_a_script_is_passed_on():
    remote = engine.system()
    remote.on_script('x', Answer(seconds=9))
    error = refused(
        load('validators: [script: {x: {inline: x, timeout: 5}}]'), remote
    )
    assert error.path == 'validators[0].script'
    assert 'was stopped after 5 seconds' in str(error)


def test_a_failing_script_names_everything():
    remote = engine.system()
    remote.on_script('x', Answer('working\n', 'no disk\n', 7))
    error = refused(load('validators: [script: {x: {inline: x}}]'), remote)
    assert error.path == 'validators[0].script'
    assert error.validator == 'script'
    assert error.command == 'x'
    assert error.command_exit_code == 7
    assert error.output == 'working\nno disk'
    assert results(error.report) == [('validators[0].script', 'failed')]


def test_reconcile_stops_at_the_first_failure():
    remote = engine.system()
    remote.on_script('x', Answer(exit_code=1))
    refused(
        load('validators: [all: [script: {x: {inline: x}}, package: a]]'),
        remote,
    )
    assert remote.ran() == ['x']


def test_only_looking_goes_on_and_tells_every_failure():
    remote = engine.system(installed=['b'])
    remote.on_script('x', Answer(exit_code=1))
    remote.on_script('slow', Answer(times_out=True))
    loaded = load(
        'validators:\n- all: [package: a, script: {x: {inline: x}}]\n'
        '- package: b\n- script: {slow: {inline: y}}\n- any: [package: c]'
    )
    error = refused(loaded, remote, reconcile=False)
    assert isinstance(error, exception.NotConforming)
    assert [failure.path for failure in error.failures] == [
        'validators[0].all[0].package',
        'validators[0].all[1].script',
        'validators[2].script',
        'validators[3].any',
    ]
    assert len(error.report.steps) == 5
    assert error.report.to_dict()['changed'] is False
    assert remote.changes() == []


def test_the_environment_is_no_step_and_ends_the_run():
    remote = engine.system()
    remote.on_script('x', Answer(error=exception.RunTimeout(seconds=3)))
    loaded = load('validators: [any: [script: {x: {inline: x}}, package: a]]')
    for reconcile in (True, False):
        monitor = engine.Recorder()
        with pytest.raises(exception.RunTimeout) as caught:
            loaded.run(remote, reconcile=reconcile, monitor=monitor)
        assert caught.value.report is not None
        assert monitor.events[-1] == ('finished',)


# -- copy_script ------------------------------------------------------------

COPY = 'validators: [copy_script: lib/run.sh, script: {x: {inline: x}}]'


@pytest.mark.parametrize('exit_code', [0, 1])
def test_copy_script_is_there_until_the_run_ends(exit_code):
    remote = engine.system()

    def look(command):
        assert remote.files['/tmp/run.sh'].content == b'f() { :; }'
        assert remote.files['/tmp/run.sh'].mode == 0o755
        return Answer(exit_code=exit_code)

    remote.on_script('x', look)
    loaded = manifest.load(COPY + '\n', resources={'lib/run.sh': 'f() { :; }'})
    if exit_code:
        refused(loaded, remote)
    else:
        loaded.run(remote)
    assert remote.removed == ['/tmp/run.sh']
    assert list(remote.files) == ['/etc/os-release']


def test_copy_script_writes_nothing_when_only_looking():
    remote = engine.system()
    remote.on_script('x')
    loaded = manifest.load(COPY + '\n', resources={'lib/run.sh': 'x'})
    loaded.run(remote, reconcile=False)
    assert remote.changes() == []


# -- any --------------------------------------------------------------------


def test_any_is_content_with_what_is_there():
    remote = engine.system(installed=['b'], available=['a'])
    report = load('validators: [any: [package: a, package: b]]').run(remote)
    assert remote.changes() == []
    assert results(report) == [('validators[0].any', 'ok')]
    assert report.steps[0].message == 'validators[0].any[1].package holds'


def test_any_settles_for_what_can_be_had():
    remote = engine.system(available=['b', 'c'])
    report = load(
        'validators: [any: [package: a, package: b, package: c]]'
    ).run(remote)
    assert set(remote.installed) == {'b'}
    assert results(report) == [('validators[0].any', 'changed')]


def test_any_first_looks_at_each_then_tries_each():
    remote = engine.system()
    modes = []

    def note(command):
        modes.append((command.argv[0], command.env['reconcile']))
        return Answer(exit_code=1)

    remote.on_script('x', note)
    remote.on_script('y', note)
    error = refused(
        load(
            'validators: [any: [script: {x: {inline: x}}, '
            'script: {y: {inline: y}}]]'
        ),
        remote,
    )
    assert modes == [('x', '0'), ('y', '0'), ('x', '1'), ('y', '1')]
    assert error.path == 'validators[0].any'
    for path in ('validators[0].any[0].script', 'validators[0].any[1].script'):
        assert path in error.reason


@pytest.mark.parametrize(
    'failure',
    [
        Answer(exit_code=1),
        Answer(exit_code=137),
        Answer(times_out=True),
        Answer(error=exception.StepError('the disk of the guest is full')),
    ],
)
@pytest.mark.parametrize('reconcile', [True, False])
def test_any_failure_of_a_command_is_a_failure_of_the_alternative(
    failure, reconcile
):
    remote = engine.system(installed=['b'])
    remote.on_script('x', failure)
    report = load(
        'validators: [any: [script: {x: {inline: x}}, package: b]]'
    ).run(remote, reconcile=reconcile)
    assert results(report) == [('validators[0].any', 'ok')]


ROLLBACK = """
arguments: {a: {default: before}}
validators:
- any:
  - all:
    - argument_set: {argument_name: a, value: first}
    - argument_set: {argument_name: made, value: up}
    - script: {out: {inline: x, output: b}}
    - package: missing
  - SECOND
- script: {tell: {inline: t, env_vars: [a, b, made]}}
"""


@pytest.mark.parametrize(
    'second, told',
    [
        ('package: there', {'a': 'before'}),
        (
            'all: [{argument_set: {argument_name: a, value: second}}, '
            'package: there]',
            {'a': 'second'},
        ),
    ],
)
def test_any_takes_back_what_a_failed_alternative_set(second, told):
    remote = engine.system(installed=['there'])
    remote.on_script('out', Answer('x\n'))
    remote.on_script('tell')
    load(ROLLBACK.replace('SECOND', second)).run(remote)
    env = remote.commands[-1].env
    assert {key: env[key] for key in ('a', 'b', 'made') if key in env} == told


def test_any_within_any():
    remote = engine.system(available=['d'])
    report = load(
        'validators: [any: [package: a, any: [package: b, package: d]]]'
    ).run(remote)
    assert results(report) == [('validators[0].any', 'changed')]
    assert set(remote.installed) == {'d'}


def test_any_tells_every_reason_when_only_looking():
    error = refused(
        load('validators: [any: [all: [package: a, package: b], package: c]]'),
        engine.system(),
        reconcile=False,
    )
    told = str(error)
    for name in 'ac':
        assert f'{name} is not installed' in told
    # An alternative that failed is not looked at any further.
    assert 'b is not installed' not in told


# -- progress and secrets ---------------------------------------------------


def test_progress():
    monitor = engine.Recorder()
    remote = engine.system(installed=['a'])
    remote.on_script('x', Answer('one\ntwo', 'err\r\n'))
    load('validators: [package: a, script: {x: {inline: x}}]').run(
        remote, monitor=monitor
    )
    assert monitor.events == [
        ('run', 2),
        ('start', 'validators[0].package'),
        ('end', 'validators[0].package', 'ok'),
        ('start', 'validators[1].script'),
        ('stdout', 'one'),
        ('stderr', 'err'),
        ('stdout', 'two'),
        ('end', 'validators[1].script', 'ran'),
        ('finished',),
    ]


SECRET = 'hunter2 is long'
SECRETS = """
arguments:
  password: {required: true, hidden: true}
validators:
- script: {login: {inline: x, env_vars: [password], output: token}}
- script: {again: {inline: y, env_vars: [token]}}
- any:
  - script: {last: {inline: z, env_vars: [password]}}
"""


@pytest.mark.parametrize('failing', [None, 'login', 'again', 'last'])
@pytest.mark.parametrize('reconcile', [True, False])
@pytest.mark.parametrize('secret', [SECRET, f'{SECRET}\nsecond line', 'abcd'])
def test_a_secret_is_never_told(failing, reconcile, secret):
    remote = engine.system()
    for name in ('login', 'again', 'last'):
        remote.on_script(
            name,
            Answer(
                f'out {secret}\n',
                f'err {secret}{secret}\nend {secret}',
                9 if name == failing else 0,
            ),
        )
    monitor = engine.Recorder()
    told = []
    loaded = load(SECRETS)
    try:
        report = loaded.run(
            remote,
            {'password': secret},
            reconcile=reconcile,
            monitor=monitor,
        )
    except exception.StepError as error:
        report = error.report
        for failure in getattr(error, 'failures', [error]):
            told += [str(failure), failure.output, failure.command]
    told += [*monitor.lines, repr(report.to_dict())]
    planned = loaded.plan(remote, {'password': secret})
    told += [repr(step.to_dict()) for step in planned]
    for line in secret.splitlines():
        assert not [text for text in told if line in text]
    assert any('***' in text for text in told)


def test_a_plan_changes_nothing_and_tells_commands():
    remote = engine.system(installed=['a'])
    planned = load(
        'validators: [package: a, package: [b, c], '
        'script: {x: {inline: x}}, any: [package: d, package: e]]'
    ).plan(remote)
    assert [(step.path, step.state) for step in planned] == [
        ('validators[0].package', 'holds'),
        ('validators[1].package', 'missing'),
        ('validators[2].script', 'unknown'),
        ('validators[3].any', 'unknown'),
    ]
    assert planned[1].commands == ('refresh', 'install b c')
    assert remote.ran() == ['query a b c d e']
