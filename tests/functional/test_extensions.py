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
"""Extensions from other packages, installed for real."""

import json
import os
import pathlib
import subprocess
import sys
import textwrap

import pytest

from imagebuild import distros
from imagebuild import exception
from imagebuild.manifest import validators

ROOT = pathlib.Path(__file__).parents[2]

SETUP = """
    from setuptools import setup

    setup(
        name='imagebuild-acme',
        version='1.0',
        py_modules=['acme_imagebuild'],
        entry_points={
            'imagebuild.validators': ['acme_motd = acme_imagebuild:Motd'],
            'imagebuild.distros': ['acme = acme_imagebuild:Acme'],
            'imagebuild.recipes': ['acme_box = acme_imagebuild:Box'],
        },
    )
"""
MODULE = """
    from imagebuild import exception
    from imagebuild import manifest
    from imagebuild import distros
    from imagebuild.manifest.validators import base


    class Motd(base.Validator):
        type_name = 'acme_motd'
        schema = {'type': 'string', 'minLength': 1}

        def __init__(self, path, text):
            super().__init__(path)
            self.text = text.encode()

        @classmethod
        def from_spec(cls, spec, builder):
            return cls(builder.path, spec)

        def describe(self):
            return 'message of the day'

        def check(self, context, record):
            try:
                if context.remote.read_file('/etc/motd') == self.text:
                    return
            except exception.RemoteFileNotFound:
                pass
            raise exception.StepFailed('the message is another')

        def apply(self, context, record):
            context.remote.write_file('/etc/motd', self.text)
            record.result = base.Result.CHANGED

        def key(self):
            return {'acme_motd': self.text.decode()}


    class State(distros.PackageState):
        def satisfies(self, package):
            return True

        def version(self, name):
            return '1'


    class Acme(distros.Distro):
        family = 'acme'
        ids = frozenset({'acmeos'})

        def package_state(self, remote, packages):
            return State()

        def install(self, remote, packages, *, refresh, asked_about=(),
                    on_output=None):
            return State()

        def install_plan(self, packages, *, refresh):
            return []

        def repository_files(self, repository):
            return []

        def cache_cleanup(self):
            return 'true'


    class Box:
        TEXT = 'validators: [acme_motd: Boxed]\\n'

        def get_versions(self):
            return ['1']

        def get_image_arguments(self, version):
            return [manifest.Argument('colour', default='red')]

        def pack_image(self, version, remote, reconcile=True,
                       image_arguments=None):
            remote.write_file('/etc/colour',
                              image_arguments['colour'].encode())
            return manifest.load(self.TEXT).run(remote, reconcile=reconcile)
"""
PROGRAM = """
    import json

    from imagebuild import exception
    from imagebuild import manifest
    from imagebuild import recipes
    from imagebuild.remotes import fake

    remote = fake.FakeRemote.of('acmeos', '3')
    loaded = manifest.load(
        'validators:\\n'
        '- os_case:\\n'
        '  - debian: [package: nothing]\\n'
        '  - acme: [package: a, acme_motd: Welcome]\\n'
    )
    try:
        loaded.run(remote, reconcile=False)
        conforming = True
    except exception.NotConforming:
        conforming = False
    first = loaded.run(remote)
    loaded.run(remote, reconcile=False)
    try:
        manifest.load('validators: [acme_motd: ""]\\n')
        told = ''
    except exception.InvalidManifest as error:
        told = str(error.errors[0])
    motd = remote.read_file('/etc/motd').decode()
    boxed = recipes.get('acme_box', '1').run(remote, {'colour': 'blue'})
    print(json.dumps([
        conforming,
        first.distro,
        [str(step.result) for step in first.steps],
        motd,
        told,
        [step.path for step in boxed.steps],
        remote.read_file('/etc/motd').decode(),
        remote.read_file('/etc/colour').decode(),
    ]))
"""


def write(directory, **files):
    for name, text in files.items():
        path = directory / f'{name}.py'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip())


def test_another_package_brings_a_validator_a_family_and_a_recipe(tmp_path):
    write(tmp_path / 'package', setup=SETUP, acme_imagebuild=MODULE)
    write(tmp_path, program=PROGRAM)
    target = tmp_path / 'site'
    subprocess.run(
        [
            sys.executable, '-m', 'pip', 'install', '--quiet', '--no-deps',
            '--no-index', '--no-build-isolation', '--no-cache-dir',
            '--disable-pip-version-check', '--target', target,
            tmp_path / 'package',
        ],
        check=True,
        cwd=tmp_path,
    )  # fmt: skip
    done = subprocess.run(
        [sys.executable, tmp_path / 'program.py'],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={
            **os.environ,
            'PYTHONPATH': f'{target}{os.pathsep}{ROOT}',
            # stevedore remembers entry points by sys.path.
            'XDG_CACHE_HOME': str(tmp_path / 'cache'),
        },
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [
        False,
        'acmeos',
        ['ok', 'changed'],
        'Welcome',
        'validators[0].acme_motd: it must not be empty',
        ['validators[0].acme_motd'],
        'Boxed',
        'blue',
    ]


# -- extensions that are no good --------------------------------------------


class Extension:
    def __init__(self, name, plugin):
        self.name = name
        self.plugin = plugin


@pytest.fixture
def extensions(monkeypatch):
    """Pretend that these, and only these, are installed."""

    def pretend(*found, failing=None):
        def manager(namespace, on_load_failure_callback):
            if failing:
                on_load_failure_callback(None, 'acme = acme:X', failing)
            return found

        monkeypatch.setattr('stevedore.ExtensionManager', manager)
        validators.types.cache_clear()
        distros.families.cache_clear()

    yield pretend
    validators.types.cache_clear()
    distros.families.cache_clear()


def test_two_that_claim_one_name(extensions):
    one, other = type('One', (), {}), type('Other', (), {})
    extensions(Extension('a', one), Extension('a', other))
    with pytest.raises(exception.MissingDependency, match='claim the name'):
        validators.types()


def test_one_that_stands_twice_is_no_harm(extensions):
    one = type('One', (), {})
    extensions(Extension('a', one), Extension('a', one))
    assert validators.types() == {'a': one}


@pytest.mark.parametrize('find', ['types', 'families'])
def test_one_that_does_not_load(extensions, find):
    extensions(failing=ImportError('no module named x'))
    with pytest.raises(exception.MissingDependency, match='does not load'):
        {'types': validators.types, 'families': distros.families}[find]()
