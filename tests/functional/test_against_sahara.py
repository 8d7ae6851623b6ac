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
cache directory.
"""

import importlib
import os
import pathlib
import random
import re
import subprocess
import sys
import types

import pytest

from imagebuild import distros
from imagebuild import exception
from imagebuild import manifest
from imagebuild.manifest import validators
from imagebuild.remotes import fake
from tests.unit.manifest import engine

SAHARA = 'sahara==19.0.0'
#: Manifests; each is run in both modes.
RUNS = 200
NAMES = 'abcde'


@pytest.fixture(scope='module')
def images(tmp_path_factory):
    """The module sahara.plugins.images."""
    cache = os.environ.get('IMAGEBUILD_TEST_CACHE')
    base = pathlib.Path(cache) if cache else tmp_path_factory.mktemp('sahara')
    path = base / SAHARA.replace('==', '-')
    if not (path / 'sahara' / 'plugins' / 'images.py').exists():
        subprocess.run(
            [
                sys.executable, '-m', 'pip', 'install', '--quiet', '--no-deps',
                '--disable-pip-version-check', '--target', str(path), SAHARA,
            ],
            check=True,
        )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(path))
        # It only reads script files there, and would import all of Sahara.
        patch.setitem(
            sys.modules,
            'sahara.plugins.utils',
            types.ModuleType('sahara.plugins.utils'),
        )
        sahara_plugins = importlib.import_module('sahara.plugins')
        sahara_plugins.utils = sys.modules['sahara.plugins.utils']
        yield importlib.import_module('sahara.plugins.images')
    for name in [*sys.modules]:
        if name.partition('.')[0] == 'sahara':
            del sys.modules[name]


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
