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
"""Plugins of Sahara, held to what sahara 19 calls on its remote."""

import types

import pytest

from imagebuild import exception
from imagebuild import recipes
from imagebuild.recipes import plugin as plugins
from imagebuild.recipes import sahara
from imagebuild.remotes import fake


class Spark:
    """As sahara_plugin_spark.plugins.spark.plugin.SparkProvider is."""

    def get_title(self):
        return 'Apache Spark'

    def get_versions(self):
        return ['2.2', '2.3']

    def get_image_arguments(self, hadoop_version):
        if hadoop_version == '2.2':
            return NotImplemented
        return [
            types.SimpleNamespace(
                name='plugin_version',
                description='Set in Python.',
                default='2.3.2',
                required=False,
                choices=['2.3.2', '2.3.1'],
            )
        ]

    def pack_image(
        self, hadoop_version, remote, test_only=False, image_arguments=None
    ):
        assert image_arguments == {'plugin_version': '2.3.2'}
        remote.write_file_to('/tmp/x.sh', 'a script', run_as_root=True)
        try:
            remote.execute_command('dpkg -s spark', run_as_root=True)
        except RuntimeError:
            if test_only:
                raise
            code, text = remote.execute_command(
                'apt-get install spark', run_as_root=True, timeout=300
            )
            assert (code, text) == (0, 'installed\n')

    def validate_images(self, cluster, test_only=False, image_arguments=None):
        # Sahara's own plugins do as above with it, but for the arguments.
        raise AssertionError('there is no cluster')


@pytest.fixture
def recipe(monkeypatch):
    entry_point = types.SimpleNamespace(value='spark:Spark', dist=None)
    extension = types.SimpleNamespace(
        name='spark', plugin=Spark, entry_point=entry_point
    )
    monkeypatch.setattr(
        plugins.stevedore,
        'ExtensionManager',
        lambda *args, **kwargs: [extension],
    )
    return recipes.get('spark', '2.3')


@pytest.fixture
def remote():
    made = fake.FakeRemote.of('ubuntu', '22.04')
    made.on(
        ['/bin/sh', '-c', 'dpkg -s spark'], fake.Answer('', 'not there\n', 1)
    )
    made.on(
        ['/bin/sh', '-c', 'apt-get install spark'], fake.Answer('installed\n')
    )
    return made


def test_a_real_plugin_packs(recipe, remote):
    assert recipe.description == 'Apache Spark'
    [argument] = recipe.arguments()
    assert (argument.default, argument.choices) == (
        '2.3.2',
        ('2.3.2', '2.3.1'),
    )
    recipe.run(remote, {})
    assert remote.read_file('/tmp/x.sh') == b'a script'


def test_a_machine_that_runs_is_asked_the_same(recipe, remote, monkeypatch):
    monkeypatch.setattr(fake.FakeRemote, 'runs', True)
    recipe.run(remote, {})
    with pytest.raises(exception.StepFailed, match='not there'):
        recipe.run(remote, {}, reconcile=False)


def test_test_only_fails_with_what_the_command_said(recipe, remote):
    with pytest.raises(exception.StepFailed, match='not there'):
        recipe.run(remote, {}, reconcile=False)


def test_a_version_without_images(recipe):
    with pytest.raises(exception.InvalidRecipe, match='no images'):
        recipes.get('spark', '2.2').arguments()


def test_what_else_sahara_asks(remote):
    theirs = sahara.Remote(remote)
    assert theirs.get_os_distrib() == 'ubuntu'
    answer = theirs.execute_command(
        'dpkg -s spark', get_stderr=True, raise_when_error=False
    )
    assert answer == (1, '', 'not there\n')
    assert 'ubuntu' in theirs.read_file_from('/etc/os-release')


@pytest.mark.parametrize(
    'pack',
    [
        lambda version, remote, reconcile=True, image_arguments=None: None,
        None,
    ],
)
def test_ours_are_none_of_theirs(pack):
    assert not sahara.is_one(types.SimpleNamespace(pack_image=pack))
