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
import subprocess
import sys

import pytest

from imagebuild import distros
from imagebuild import exception
from imagebuild.manifest import validators
from tests import installed_package

SETUP = """
    from setuptools import setup

    setup(
        name='imagebuild-acme',
        version='1.0',
        py_modules=['acme_imagebuild', 'acme_cloud'],
        entry_points={
            'imagebuild.drivers': [
                'acme = acme_cloud:AcmeDriver',
                'acme_broken = acme_nowhere:Driver',
                'acme_greedy = acme_cloud:GreedyDriver',
                'acme_old = acme_cloud:OldDriver',
            ],
            'imagebuild.stores': ['acme = acme_cloud:AcmeStore'],
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
CLOUD = """
    import dataclasses
    import json

    from oslo_config import cfg

    from imagebuild import exception
    from imagebuild.drivers import fake
    from imagebuild.stores import file

    GROUP = cfg.OptGroup('acme', title='The cloud of Acme')
    OPTS = [
        cfg.StrOpt('url', default='https://acme.example', help='Where.'),
        cfg.IntOpt('streams', default=1, mutable=True, help='How many.'),
        cfg.BoolOpt('fast', default=False, help='Whether.'),
        cfg.ListOpt('zones', default=[], help='Which.'),
        cfg.DictOpt('labels', default={}, help='With what.'),
        cfg.StrOpt('api_key', secret=True, help='By what right.'),
        cfg.ListOpt('pins', secret=True, help='By what others.'),
    ]


    @dataclasses.dataclass(frozen=True)
    class Options(fake.Options):
        colour: str = dataclasses.field(
            default='red', metadata={'enum': ['red', 'blue']}
        )


    class AcmeDriver(fake.FakeDriver):
        name = 'acme'
        options = Options

        def disk_size(self, options):
            return Options.parse(options).size * 1024 ** 2

        @classmethod
        def list_opts(cls):
            return [(GROUP, OPTS)]

        def open(self, context):
            notice = context.monitor.notice
            section = context.settings.sections['acme']
            notice('acme: ' + json.dumps(section, sort_keys=True))
            notice(f'build: {context.build_id}/{context.attempt}')
            notice(f'project: {context.project_id}')
            parsed = dict(context.options)
            notice('colour: ' + parsed.pop('colour', 'none'))
            return super().open(dataclasses.replace(context, options=parsed))


    class GreedyDriver(AcmeDriver):
        name = 'acme_greedy'

        @classmethod
        def list_opts(cls):
            return [(cfg.OptGroup('keystone'), OPTS)]


    class OldDriver(fake.FakeDriver):
        name = 'acme_old'

        def open(self, base_image, options, workspace, *, settings,
                 monitor=None):
            raise AssertionError


    class AcmeStore(file.FileStore):
        name = 'acme'

        @classmethod
        def list_opts(cls):
            return [(GROUP, OPTS), ('acme_store', [cfg.StrOpt('folder')])]

        @classmethod
        def from_config(cls, config):
            if config['acme']['zones'] != ['a', 'b']:
                raise exception.InvalidInput('There is no zone.')
            return super().from_config({'file_store': config['acme_store']})
"""
CLOUD_CONF = """
[DEFAULT]
state_path = {directory}
operating_systems_file = {directory}/operating-systems.yaml
transport_url = fake://
log_file = {directory}/conductor.log
[conductor]
name = c1
drivers = acme, acme_broken, acme_greedy, acme_old
store = acme
sweep_interval = 1
[acme]
streams = 3
fast = true
zones = a, b
labels = tier:gold
api_key = key-of-acme
pins = 4711-pin, 4712-pin
[acme_store]
folder = {directory}/images-of-acme
"""
CONDUCTOR = """
    import json
    import pathlib
    import sys

    from oslo_config import cfg

    from imagebuild.catalogue import OperatingSystem
    from imagebuild.cmd import conductor as program
    from imagebuild.conductor import process
    from imagebuild.messaging import bus
    from imagebuild.messaging import rpcapi
    from tests.functional import conductors

    directory = pathlib.Path(sys.argv[1])
    database = conductors.make_database(directory)
    conf = cfg.ConfigOpts()
    program._configure(conf, ['--config-file', str(directory / 'acme.conf')])
    conductor = process.from_conf(conf)
    conductor.start()
    api = rpcapi.ConductorAPI(bus.get_transport(conf), timeout=30)
    entry = OperatingSystem(
        'acmeos', driver='acme', driver_options={'colour': 'blue'}
    ).to_dict()


    def check(**options):
        return api.check_request(
            {'os': 'acmeos', 'driver_options': options}, entry, among=['c1']
        )


    refused = check(colour='grey', size=0)['problems']
    accepted = check(size=2)
    build_id = conductors.add_build(
        database, driver='acme', os='acmeos', base=accepted['base']
    )
    build = conductors.wait_for(database, build_id, 'active', 'error')
    log, _ = database.read_log(build_id)
    conductor.stop()
    print(json.dumps({
        'drivers': conductor.capability_provider.capability.drivers,
        'status': [build.status, build.status_reason],
        'build': [build.id, build.project_id],
        'refused': [problem['path'] for problem in refused],
        'accepted': accepted['base']['driver_options'],
        'log': log,
        'images': len(list(directory.glob('images-of-acme/*/image'))),
    }))
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


@pytest.fixture(scope='module')
def environment(tmp_path_factory):
    """The environment of a program that has the package installed."""
    return installed_package.install(
        tmp_path_factory.mktemp('acme'),
        setup=SETUP,
        acme_imagebuild=MODULE,
        acme_cloud=CLOUD,
    )


def run(environment, directory, *arguments):
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        cwd=directory,
        env=environment,
        check=False,
    )


def test_another_package_brings_a_validator_a_family_and_a_recipe(
    environment, tmp_path
):
    installed_package.write(tmp_path, program=PROGRAM)
    done = run(environment, tmp_path, 'program.py')
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


@pytest.fixture
def acme_conf(tmp_path):
    path = tmp_path / 'acme.conf'
    path.write_text(CLOUD_CONF.format(directory=tmp_path))
    return path


def test_another_package_brings_a_driver_and_a_store(
    environment, tmp_path, acme_conf
):
    installed_package.write(tmp_path, program=CONDUCTOR)
    done = run(environment, tmp_path, 'program.py', tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found['status'] == ['active', '']
    assert found['images'] == 1
    # Its own options, by its JSON schema: the catalogue's and the request's.
    assert sorted(found['refused']) == [
        'driver_options.colour',
        'driver_options.size',
    ]
    assert found['accepted'] == {'colour': 'blue', 'size': 2}
    assert 'colour: blue' in found['log']
    build_id, project_id = found['build']
    assert f'build: {build_id}/1' in found['log']
    assert f'project: {project_id}' in found['log']
    # One that does not load, one that wants our sections, and one of before
    # there was a BuildContext stop nobody.
    assert found['drivers'] == ['acme']
    told = (tmp_path / 'conductor.log').read_text()
    assert 'The driver "acme_broken" is not offered, it does not' in told
    assert 'acme_old" of imagebuild.drivers is not used' in told
    assert 'open() does not take a BuildContext alone' in told
    assert "section [keystone] is imagebuild's own" in told
    # Of every type, as the driver in the job has got it.
    section = found['log'].partition('acme: ')[2].splitlines()[0]
    assert json.loads(section) == {
        'api_key': '***',
        'fast': True,
        'labels': {'tier': 'gold'},
        'pins': ['***', '***'],
        'streams': 3,
        'url': 'https://acme.example',
        'zones': ['a', 'b'],
    }
    for secret in ('key-of-acme', '4711-pin', '4712-pin'):
        assert secret not in told + done.stderr + found['log']


def test_its_options_are_in_the_sample(environment, tmp_path):
    done = run(
        environment, tmp_path, '-W', 'ignore', '-c',
        'from oslo_config import generator; generator.main()',
        '--namespace', 'imagebuild.extensions',
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert '[acme]' in done.stdout
    assert '#zones =' in done.stdout
    assert done.stdout.count('#api_key =') == 1


def test_its_options_are_checked(environment, tmp_path, acme_conf):
    text = acme_conf.read_text().replace('streams = 3', 'streams = many')
    acme_conf.write_text(text)
    done = run(
        environment, tmp_path, '-W', 'ignore', '-m',
        'imagebuild.cmd.conductor', '--config-file', acme_conf,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        'The configuration cannot be used: [acme] streams: invalid literal '
        f"for int() with base 10: 'many' ({acme_conf})."
    )


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
