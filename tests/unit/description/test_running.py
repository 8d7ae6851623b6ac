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
import hashlib
import types

import pytest

from imagebuild import description
from imagebuild import distros
from imagebuild import exception
from imagebuild import manifest
from imagebuild import recipes
from imagebuild.manifest.validators import target_files
from imagebuild.remotes import fake
from tests.unit.manifest import engine
from tests.unit.manifest.validators import guest


class Monitor(manifest.Monitor):
    def __init__(self):
        self.told = []

    def run_started(self, total):
        self.told.append(('total', total))

    def step_started(self, step):
        self.told.append(('step', step.number, step.total, step.path))

    def step_finished(self, step, result):
        self.told.append(('done', step.number, result.path))

    def output(self, step, stream, line):
        self.told.append(('output', step.path, line))

    def notice(self, sentence):
        self.told.append(('notice', sentence))

    def run_finished(self, report):
        self.told.append(('end', len(report.steps)))


@pytest.fixture
def system(monkeypatch):
    monkeypatch.setattr(distros, 'families', lambda: dict(engine.FAMILIES))
    remote = engine.System.of('debian', '12')
    guest.answer(
        remote,
        target_files.LOOK,
        lambda command: fake.Answer(
            ''.join(map(look(remote), command.argv[4:]))
        ),
    )
    return remote.world(available=['a', 'b'])


def look(remote):
    """One line of the look, for a file of the fake."""

    def line(path):
        found = remote.files.get(path)
        if found is None:
            return 'absent\n'
        digest = hashlib.sha256(found.content).hexdigest()
        return (
            f'file {digest} {found.mode:o} 0 0 {found.owner} {found.group}\n'
        )

    return line


def load(**request):
    return description.load(request)


def test_everything_is_one_run(system):
    monitor = Monitor()
    system.on_script('say', fake.Answer('hello\n'))
    report = load(
        packages=['a'],
        files=[
            {'path': '/etc/b', 'content': 'B', 'mode': '0600'},
            {'path': '/etc/a', 'content_base64': 'QQ=='},
        ],
        manifest={'validators': [{'package': 'b'}, {'script': 'say'}]},
        resources={'say': 'echo hello'},
    ).run(system, monitor=monitor)
    assert [step.path for step in report.steps] == [
        'packages',
        'files',
        'manifest.validators[0].package',
        'manifest.validators[1].script',
    ]
    assert monitor.told[0] == ('total', 4)
    assert ('output', 'manifest.validators[1].script', 'hello') in monitor.told
    assert monitor.told[-1] == ('end', 4)
    assert system.files['/etc/b'].content == b'B'
    assert system.files['/etc/b'].mode == 0o600
    assert system.files['/etc/a'].content == b'A'


def test_neighbouring_packages_are_one_transaction(system):
    load(packages=['a'], manifest={'validators': [{'package': 'b'}]}).run(
        system
    )
    assert system.ran('install') == ['install a b']


def test_files_are_looked_at_together(system):
    files = [{'path': f'/f{n}', 'content': str(n)} for n in range(5)]
    load(files=files).run(system)
    looks = [item for item in system.commands if item.argv[0] == '/bin/sh']
    assert len(looks) == 2


def test_a_file_that_is_refused_is_named_by_its_place(system):
    with pytest.raises(exception.StepFailed) as caught:
        load(
            files=[
                {'path': '/b', 'content': '', 'owner': 'nobody-here'},
                {'path': '/a', 'content': ''},
            ]
        ).run(system)
    assert caught.value.path == 'files[0]'
    assert 'nobody-here' in caught.value.reason


def test_a_failing_script(system):
    system.on_script('x', fake.Answer('', 'no good\n', 3))
    with pytest.raises(exception.StepFailed) as caught:
        load(
            manifest={'validators': [{'script': 'x'}]}, resources={'x': ''}
        ).run(system)
    assert caught.value.path == 'manifest.validators[0].script'
    assert caught.value.command_exit_code == 3
    assert caught.value.output == 'no good'


def test_the_manifest_is_for_another_system(system):
    with pytest.raises(exception.DistroNotAccepted):
        load(manifest={'os': ['redhat'], 'validators': []}).run(system)


def test_plan(system):
    planned = load(packages=['a']).plan(system)
    assert [(step.path, step.state) for step in planned] == [
        ('packages', 'missing')
    ]


# -- a recipe that is a plugin ----------------------------------------------


class Gadget:
    """Fails if it is told to."""

    def __init__(self, error=None):
        self.error = error
        self.given = None

    def get_image_arguments(self, _version):
        return [
            types.SimpleNamespace(name='size', default='1', required=False)
        ]

    def pack_image(
        self, version, remote, reconcile=True, image_arguments=None
    ):
        self.given = image_arguments
        if self.error:
            raise self.error

    def content_key(self, _version, values):
        return values['size']


@pytest.fixture
def gadget(monkeypatch):
    made = Gadget()
    recipe = recipes.PluginRecipe('gadget', '1', made)
    monkeypatch.setattr(
        recipes, 'find', lambda _paths: {'gadget': {'1': recipe}}
    )
    return made


def test_plugin_after_packages(system, gadget):
    monitor = Monitor()
    report = load(packages=['a'], recipe='gadget', arguments={'size': 2}).run(
        system, monitor=monitor
    )
    assert gadget.given == {'size': '2'}
    assert [step.path for step in report.steps] == ['packages', 'recipe']
    assert report.distro == 'debian'
    assert report.changed
    assert [item for item in monitor.told if item[0] != 'output'] == [
        ('total', 2),
        ('step', 1, 2, 'packages'),
        ('done', 1, 'packages'),
        ('step', 2, 2, 'recipe'),
        ('done', 2, 'recipe'),
        ('end', 2),
    ]


def test_plugin_alone(system, gadget):
    monitor = Monitor()
    report = load(recipe='gadget').run(system, monitor=monitor)
    assert [step.path for step in report.steps] == ['recipe']
    assert monitor.told[0] == ('total', 1)


@pytest.mark.parametrize(
    'error, path',
    [
        (RuntimeError('boom'), 'recipe'),
        (exception.StepFailed('boom', path='validators[0]'), 'recipe.validat'),
    ],
)
def test_plugin_that_fails(system, gadget, error, path):
    gadget.error = error
    with pytest.raises(exception.StepFailed) as caught:
        load(packages=['a'], recipe='gadget').run(system)
    assert caught.value.path.startswith(path)
    assert 'boom' in caught.value.reason
    assert len(caught.value.report.steps) == 2


def test_plugin_is_not_reached(system, gadget):
    with pytest.raises(exception.StepFailed) as caught:
        load(packages=['c'], recipe='gadget').run(system)
    assert caught.value.path == 'packages'
    assert gadget.given is None


def test_plugin_decides_the_key(gadget):
    keys = {
        load(recipe='gadget').content_key(),
        load(recipe='gadget', arguments={'size': 3}).content_key(),
        load(recipe='gadget', packages=['a']).content_key(),
    }
    assert len(keys) == 3


def test_steps_of_a_plugin(system, gadget):
    described = load(recipe='gadget', packages=['a'])
    assert [step.path for step in described.steps] == ['packages', 'recipe']
    assert [step.path for step in described.plan(system)] == [
        'packages',
        'recipe',
    ]
