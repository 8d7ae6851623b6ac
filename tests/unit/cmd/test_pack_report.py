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
"""What imagebuild-pack says when nothing can be done, and of guests' words."""

import json

import pytest

from imagebuild import exception
from imagebuild import recipes
from imagebuild.cmd import console
from imagebuild.cmd import pack
from imagebuild.cmd import packing
from imagebuild.cmd import program
from imagebuild.manifest import PlannedStep
from imagebuild.manifest import Report
from imagebuild.manifest.reports import Result
from imagebuild.manifest.reports import StepReport


@pytest.fixture
def manifest(tmp_path):
    path = tmp_path / 'x.yaml'
    path.write_text('validators:\n  - package: nginx\n')
    return path


@pytest.mark.parametrize(
    'line, words',
    [
        (['--json'], '--image is required'),
        (['--json', '--colour'], '--colour'),
        (['--json', '--image', 'x', '--cpus', 'many'], "'many'"),
        (['--json', '--image', 'x', '--plan', '--test-only'], 'not allowed'),
        (['--json', '--image', 'x', '--manifest', '/none.yaml'], '/none.yaml'),
        (['--json', '--config-file', '/none', '--image', 'x'], '/none'),
    ],
)
def test_bad_usage_is_a_message_and_json(line, words, capsys):
    assert pack.main(line) == 2
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert document['result'] == 'failed'
    assert document['changed'] is False
    assert words in document['error']
    assert words in err and 'usage:' not in err


def test_bad_usage_names_the_help_of_the_recipe(capsys):
    [(version, _), *_] = recipes.find([])['redis'].items()
    line = ['--image', 'x', 'redis', version, '--colour', 'red']
    assert pack.main(line) == 2
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1
    assert '--colour' in err
    assert f'"imagebuild-pack redis {version} --help"' in err


@pytest.mark.parametrize(
    'error, code',
    [
        (exception.EnvironmentFault('No appliance.'), 3),
        (RuntimeError('surprise'), 3),
    ],
)
def test_a_failure_changes_nothing(manifest, monkeypatch, capsys, error, code):
    def work(*arguments):
        raise error

    monkeypatch.setattr(packing, 'pack', work)
    line = ['--json', '--image', 'x', '--manifest', str(manifest)]
    assert pack.main(line) == code
    document = json.loads(capsys.readouterr().out)
    assert document['image'] == 'x'
    assert document['changed'] is False
    assert document['error'].endswith(str(error))


def test_a_plan_says_what_is_in_the_way(manifest, monkeypatch, capsys):
    step = PlannedStep(
        'v[0].service', 'service', 'x\x1b\ny', commands=('a\x9bb',),
        message='systemd is not\ninstalled',
    )  # fmt: skip
    outcome = packing.Outcome('planned', planned=[step])
    monkeypatch.setattr(packing, 'pack', lambda *_: outcome)
    line = ['--plan', '--image', 'x', '--manifest', str(manifest)]
    assert pack.main(line) == 0
    assert capsys.readouterr().out.splitlines() == [
        r'v[0].service: x\x1b\ny [unknown]',
        r'    unless an earlier step fixes it: systemd is not\ninstalled',
        r'    a\x9bb',
    ]
    assert pack.main(['--json', *line]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document['changed'] is False
    assert document['plan'][0]['message'] == 'systemd is not\ninstalled'


@pytest.mark.parametrize(
    'result, reported, changed',
    [
        ('packed', False, True),  # --generalize wrote the file
        ('packed', None, True),  # a signal came after the rename
        ('unchanged', False, False),
        ('conforms', True, False),
    ],
)
def test_changed_is_said_of_the_file(
    manifest, monkeypatch, capsys, result, reported, changed
):
    report = None
    if reported is not None:
        word = Result.CHANGED if reported else Result.OK
        step = StepReport('v[0]', 'package', 'x', word, 0.1)
        report = Report(distro='debian', steps=[step])
    monkeypatch.setattr(
        packing, 'pack', lambda *_: packing.Outcome(result, report)
    )
    line = ['--json', '--image', 'x', '--manifest', str(manifest)]
    assert pack.main(line) == 0
    assert json.loads(capsys.readouterr().out)['changed'] is changed


def test_control_characters_of_guests_are_shown(capsys):
    hostile = 'a\x1b[2Jb\r'
    monitor = console.ConsoleMonitor()
    monitor.notice(hostile)
    monitor.doing(hostile)

    def fail():
        raise exception.InvalidInput(hostile)

    program.run(fail)
    err = capsys.readouterr().err
    assert '\x1b' not in err and '\r' not in err
    assert err.count(r'a\x1b[2Jb\r') == 3
