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
"""Our engine and Sahara's, over random manifests in the same small world.

Sahara 19.0.0 is the last that has the image language, so it is pinned. Only
its own modules are needed; it is installed without what it requires, into a
cache directory. So is a plugin for it, whose class is a recipe of ours.
"""

import importlib
import os
import pathlib
import random
import re
import subprocess
import sys
import types
from unittest import mock

import pytest

from imagebuild import distros
from imagebuild import exception
from imagebuild import manifest
from imagebuild import recipes
from imagebuild.manifest import validators
from imagebuild.recipes import plugin as plugins
from imagebuild.remotes import fake
from tests.unit.manifest import engine

SAHARA = 'sahara==19.0.0'
SPARK = 'sahara-plugin-spark==10.0.0'
#: What is about clusters in these, and would import all of Sahara.
CLUSTERS = {
    'sahara': ('conductor',),
    'sahara.plugins': (
        *('conductor', 'context', 'labels', 'recommendations_utils'),
        *('swift_helper', 'topology_helper'),
    ),
    'sahara_plugin_spark.plugins.spark': (
        *('config_helper', 'edp_engine', 'run_scripts', 'scaling'),
        'shell_engine',
    ),
}
#: Manifests; each is run in both modes.
RUNS = 200
NAMES = 'abcde'


def installed(requirement, file, tmp_path_factory):
    """Install a package without what it requires.

    :param file: that it has.
    :returns: the directory that it is in.
    """
    cache = os.environ.get('IMAGEBUILD_TEST_CACHE')
    base = pathlib.Path(cache) if cache else tmp_path_factory.mktemp('sahara')
    path = base / requirement.replace('==', '-')
    if not (path / file).exists():
        subprocess.run(
            [
                sys.executable, '-m', 'pip', 'install', '--quiet', '--no-deps',
                '--disable-pip-version-check', '--target', str(path),
                requirement,
            ],
            check=True,
        )  # fmt: skip
    return path


@pytest.fixture(scope='module')
def images(tmp_path_factory):
    """The module sahara.plugins.images."""
    path = installed(SAHARA, 'sahara/plugins/images.py', tmp_path_factory)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(path))
        # It only reads script files there, and would import all of Sahara.
        patch.setitem(sys.modules, 'sahara.plugins.utils', mock.MagicMock())
        sahara_plugins = importlib.import_module('sahara.plugins')
        sahara_plugins.utils = sys.modules['sahara.plugins.utils']
        yield importlib.import_module('sahara.plugins.images')
    for name in [*sys.modules]:
        if name.partition('.')[0] == 'sahara':
            del sys.modules[name]


@pytest.fixture(scope='module')
def provider(images, tmp_path_factory):
    """The class of a provisioning plugin of Sahara, as it is published."""
    package = 'sahara_plugin_spark'
    path = installed(SPARK, f'{package}/i18n.py', tmp_path_factory)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(path))
        for parent, names in CLUSTERS.items():
            for name in names:
                module = mock.MagicMock()
                patch.setitem(sys.modules, f'{parent}.{name}', module)
                patch.setattr(
                    importlib.import_module(parent), name, module,
                    raising=False,
                )  # fmt: skip
        # As of sahara.plugins.utils.
        files = sys.modules['sahara.plugins.utils']
        files.get_file_text = lambda name, package: (
            path / package / name
        ).read_text()
        files.try_get_file_text = lambda name, package: (
            (found := path / package / name).is_file() and found.read_bytes()
        )
        name = f'{package}.plugins.spark.plugin'
        yield importlib.import_module(name).SparkProvider
    for name in [*sys.modules]:
        if name.partition('.')[0] == package:
            del sys.modules[name]


@pytest.fixture
def spark(provider, monkeypatch):
    """The recipe that the class is, named by an entry point."""
    value = 'sahara_plugin_spark.plugins.spark.plugin:SparkProvider'
    extension = types.SimpleNamespace(
        name='spark',
        plugin=provider,
        entry_point=types.SimpleNamespace(value=value, dist=None),
    )
    monkeypatch.setattr(
        plugins.stevedore,
        'ExtensionManager',
        lambda *_args, **_kwargs: [extension],
    )
    return recipes.get('spark', '2.3')


@pytest.fixture(autouse=True)
def small_language(monkeypatch):
    monkeypatch.setattr(validators, 'types', lambda: dict(engine.CORE))
    monkeypatch.setattr(distros, 'families', lambda: dict(engine.FAMILIES))


class World:
    """Packages that are there or available, and scripts that need some."""

    def __init__(self, seed):
        self.dice = random.Random(seed)
        self.installed = {n for n in NAMES if self.dice.random() < 0.3}
        self.available = {n for n in NAMES if self.dice.random() < 0.7}
        self.needs = {n: self.dice.choice(NAMES) for n in NAMES}
        self.fails = {n for n in NAMES if self.dice.random() < 0.2}
        self.brings = {n: self.dice.choice(NAMES) for n in NAMES}
        self.ran = []

    def install(self, names):
        if not set(names) <= self.available | self.installed:
            return 100
        self.installed |= set(names)
        return 0

    def script(self, name, *, test_only):
        """Run a script; what it needs and leaves is the same for both."""
        self.ran.append((name, test_only))
        if name in self.fails or self.needs[name] not in self.installed:
            return 1
        if test_only:
            return 0 if self.brings[name] in self.installed else 1
        self.installed.add(self.brings[name])
        return 0


def steps(dice, depth, *, alternatives=False):
    """A list of validators, at random."""
    return [
        step(dice, depth, alternatives=alternatives)
        for _ in range(dice.randint(1, 3))
    ]


def step(dice, depth, *, alternatives):
    kinds = ['package', 'package', 'script', 'script']
    if depth:
        kinds += ['all', 'any', 'os_case', 'argument_case']
    # What a failed alternative set is kept by Sahara and undone by us.
    kind = dice.choice(kinds if alternatives else [*kinds, 'argument_set'])
    if kind == 'package':
        names = dice.sample(NAMES, dice.randint(1, 2))
        return {kind: names if len(names) > 1 else names[0]}
    if kind == 'script':
        return {kind: {dice.choice(NAMES): {'inline': 'x'}}}
    if kind == 'argument_set':
        return {kind: {'argument_name': 'arg', 'value': dice.choice('xy')}}

    def inside():
        return steps(
            dice, depth - 1, alternatives=alternatives or kind == 'any'
        )

    if kind == 'os_case':
        names = dice.sample(['ubuntu', 'debian', 'centos', 'redhat'], 2)
        return {kind: [{name: inside()} for name in names]}
    if kind == 'argument_case':
        cases = {value: inside() for value in dice.sample('xyz', 2)}
        return {kind: {'argument_name': 'arg', 'cases': cases}}
    return {kind: inside()}


def document(seed):
    dice = random.Random(seed)
    found = steps(dice, 2)
    _name_scripts(found, iter(range(1000)))
    return {
        'arguments': {'arg': {'default': 'x', 'description': 'x'}},
        'validators': found,
    }


def _name_scripts(found, numbers):
    """The content says which script it is."""
    if isinstance(found, dict):
        for key, value in found.items():
            if key == 'script':
                [(name, properties)] = value.items()
                properties['inline'] = f'script {name}\n'
            else:
                _name_scripts(value, numbers)
    elif isinstance(found, list):
        for item in found:
            _name_scripts(item, numbers)


def ours(spec, seed, distro, *, reconcile):
    world = World(seed)
    remote = engine.System.of(*distro)

    def query(command):
        there = [n for n in command.argv[1:] if n in world.installed]
        return fake.Answer(''.join(f'{name} 1.0\n' for name in there))

    def install(command):
        code = world.install(command.argv[1:])
        there = '' if code else [f'now {n} 1.0\n' for n in world.installed]
        return fake.Answer(''.join(there), '', code)

    def script(command):
        name = command.script.decode().split()[1]
        test_only = command.env['test_only'] == '1'
        return fake.Answer('', '', world.script(name, test_only=test_only))

    remote.on(['query'], query)
    remote.on(['refresh'])
    remote.on(['install'], install)
    remote.when(lambda command: command.script is not None, script)
    try:
        manifest.load(spec).run(remote, reconcile=reconcile)
    except exception.StepError:
        return False, world
    return True, world


class SaharasRemote:
    """What Sahara's validators call, over the same world."""

    def __init__(self, world, distro, failure):
        self.world = world
        self.distro = distro
        self.failure = failure
        self.files = {}

    def get_os_distrib(self):
        return self.distro

    def write_file_to(self, path, content, run_as_root=False):
        self.files[path] = content

    def execute_command(self, command, run_as_root=False):
        code = self._execute(command)
        if code:
            raise self.failure(cmd=command, ret_code=code)
        return code, ''

    def _execute(self, command):
        words = command.split()
        if words[0] == 'chmod':
            return 0
        if words[:2] in (['dpkg', '-s'], ['rpm', '-q']):
            return 0 if set(words[2:]) <= self.world.installed else 1
        if 'install' in words:
            names = words[words.index('install') + 1 :]
            return self.world.install([n for n in names if n != '-y'])
        content = self.files[words[0]]
        [name] = re.findall('^script (.)$', content, re.MULTILINE)
        test_only = 'export test_only=1' in content.splitlines()
        return self.world.script(name, test_only=test_only)


def theirs(images, spec, seed, distro, *, reconcile):
    world = World(seed)
    kinds = images.SaharaImageValidatorBase.get_validator_map()
    validator = images.SaharaImageValidator.from_spec(spec, kinds, [])
    remote = SaharasRemote(world, distro[0], images.ex.RemoteCommandException)
    for step_spec in _scripts(validator.validator):
        step_spec.script_contents = step_spec.script_contents.encode()
    try:
        validator.validate(remote, test_only=not reconcile, image_arguments={})
    except images.p_ex.ImageValidationError:
        return False, world
    return True, world


def _scripts(validator):
    """Sahara decodes what it has read, and cannot what is inline."""
    if hasattr(validator, 'script_contents'):
        yield validator
    inside = [*getattr(validator, 'validators', ())]
    inside += [item for _, item in getattr(validator, 'distros', ())]
    inside += getattr(validator, 'cases', {}).values()
    for item in inside:
        yield from _scripts(item)


@pytest.mark.parametrize(
    'distro', [('ubuntu', '22.04'), ('centos', '7')], ids=lambda it: it[0]
)
def test_both_do_the_same(images, distro):
    results = {True: 0, False: 0}
    for seed in range(RUNS // 2):
        spec = document(seed)
        good, world = ours(spec, seed, distro, reconcile=True)
        other, reference = theirs(images, spec, seed, distro, reconcile=True)
        told = f'manifest {seed}: {spec}'
        assert good == other, told
        assert world.installed == reference.installed, told
        assert world.ran == reference.ran, told
        # Ours goes on after a failure to report everything.
        good, world = ours(spec, seed, distro, reconcile=False)
        other, reference = theirs(images, spec, seed, distro, reconcile=False)
        assert good == other, told
        assert world.installed == reference.installed, told
        assert world.ran[: len(reference.ran)] == reference.ran, told
        results[good] += 1
    # Not all of one kind, or nothing would have been compared.
    assert min(results.values()) > RUNS // 30


class Ubuntu:
    """A system in which packages and a few scripts leave something.

    :ivar installed: packages.
    :ivar ran: the texts of the scripts.
    """

    def __init__(self):
        self.installed = set()
        self.ran = []
        self.remote = fake.FakeRemote.of('ubuntu', '22.04')
        self.remote.on(['/bin/sh', '-c'], self._run)

    def _run(self, command):
        [*_, line] = command.argv
        words = line.removeprefix('DEBIAN_FRONTEND=noninteractive ').split()
        if words[:2] == ['dpkg', '-s']:
            missing = {*words[2:]} - self.installed
            said = ''.join(f'{name} is not there\n' for name in missing)
            return fake.Answer('', said, 1 if missing else 0)
        if words[0] == 'apt-get':
            self.installed.update(words[3:])
        elif words[0] != 'chmod':
            self.ran.append(self.remote.read_file(words[0]).decode())
        return fake.Answer()

    def changed(self):
        return [
            line
            for line in (command.argv[-1] for command in self.remote.commands)
            if 'apt-get' in line
        ]


def test_a_class_of_sahara_is_a_recipe(spark):
    assert spark.description == 'Apache Spark'
    declared = {each.name: each for each in spark.arguments()}
    assert [*declared] == [
        'plugin_version', 'java_distro', 'hdfs_lib_dir', 'swift_url',
    ]  # fmt: skip
    assert declared['plugin_version'].default == '2.3.2'
    assert '2.2.0' in declared['plugin_version'].choices
    with pytest.raises(exception.InvalidRecipe, match='no images'):
        recipes.get('spark', '1.6.0').arguments()
    with pytest.raises(exception.InvalidArguments, match='plugin_version'):
        spark.run(Ubuntu().remote, {'plugin_version': '9'})


def test_a_class_of_sahara_packs(spark):
    system = Ubuntu()
    spark.run(system.remote, {'plugin_version': '2.3.1'})
    assert system.installed == {
        'openjdk-8-jdk', 'ntp', 'hadoop-hdfs-namenode',
        'hadoop-hdfs-datanode',
    }  # fmt: skip
    assert len(system.ran) == 7
    [install] = [text for text in system.ran if 'Downloading SPARK' in text]
    assert 'export plugin_version=2.3.1' in install.splitlines()
    [jar] = [text for text in system.ran if 'hdfs_lib_dir' in text]
    # A default of its own manifest.
    assert 'export hdfs_lib_dir=/usr/lib/hadoop-mapreduce' in jar
    before = system.changed()
    assert len(before) == 3
    # What has been packed is found again, and nothing is done to it.
    spark.run(system.remote, {}, reconcile=False)
    assert system.changed() == before


def test_a_class_of_sahara_only_looks(spark):
    system = Ubuntu()
    with pytest.raises(exception.StepFailed, match='openjdk-8-jdk is not th'):
        spark.run(system.remote, {}, reconcile=False)
    assert system.installed == set()
    assert system.changed() == []
