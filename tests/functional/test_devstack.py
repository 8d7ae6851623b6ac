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
"""devstack's plugin, phase by phase, without devstack.

The functions of devstack that it calls are stand-ins that record; the ini
files, and imagebuild's own programs, are real.
"""

import pathlib
import re
import stat
import subprocess
from typing import Any

import pytest
import yaml
from oslo_config import cfg

from imagebuild import catalogue
from imagebuild_tempest_plugin import config as tempest
from tests.devstack import phases

ROOT = phases.ROOT
LIBRARY = phases.PLUGIN / 'lib' / 'imagebuild'
SCRIPTS = [
    phases.PLUGIN / 'settings',
    phases.PLUGIN / 'plugin.sh',
    LIBRARY,
    *sorted((phases.PLUGIN / 'upgrade').iterdir()),
    phases.STAND_IN,
    phases.OVER_CLOUD,
    *sorted((phases.HERE / 'grenade').iterdir()),
]
RESOURCES = ROOT / 'heat_plugin' / 'resources'
HEATS_OWN = (
    '/usr/lib64/heat,/usr/lib/heat,/usr/local/lib/heat,/usr/local/lib64/heat'
)
URL = 'http://192.0.2.10/image-build'
DIRECT = 'http://192.0.2.10:9797'


#: In place of our programs, which take seconds to start.
PROGRAM = """\
#!/bin/sh
case $(basename "$0") in
    python3) case "$*" in
        *guestfs*) exit %d ;;
        *sandbox*) echo "%s" ;;
        *) echo %s ;;
    esac ;;
    imagebuild-status) exit %d ;;
esac
"""


def devstack(
    directory: pathlib.Path,
    *,
    status: int = 0,
    guestfs: int = 0,
    sandbox: str = 'only root may mount disks',
    key: str = 'key',
    **variables: object,
) -> phases.Devstack:
    """One whose programs do nothing.

    :param status: how ``imagebuild-status upgrade check`` ends.
    :param guestfs: how ``import guestfs`` ends.
    :param sandbox: what is missing for a sandbox.
    :param key: what a new encryption key is.
    """
    programs = directory / 'bin'
    programs.mkdir()
    for name in (
        'imagebuild-manage',
        'imagebuild-status',
        'oslopolicy-sample-generator',
        'python3',
        'uwsgi',
    ):
        program = programs / name
        program.write_text(PROGRAM % (guestfs, sandbox, key, status))
        program.chmod(0o755)
    return phases.Devstack(
        directory,
        environment={'STAND_IN_BIN_DIR': str(programs)},
        **variables,
    )


@pytest.fixture(scope='module')
def stack(tmp_path_factory: pytest.TempPathFactory) -> phases.Devstack:
    """All phases of stack.sh have been run, with our own programs."""
    directory = tmp_path_factory.mktemp('stack')
    made = phases.Devstack(
        directory,
        STAND_IN_DATABASE_URL=f'sqlite:///{directory}/db',
        IMAGEBUILD_CONDUCTORS=3,
        IMAGEBUILD_DRIVERS='fake,guestfs',
    )
    made.heat_conf.write_text('[DEFAULT]\ndebug = True\n')
    made.succeed(*phases.STACK)
    return made


@pytest.mark.parametrize('script', SCRIPTS, ids=lambda path: path.name)
def test_bash_reads_the_script(script: pathlib.Path) -> None:
    subprocess.run(['bash', '-n', script], check=True)
    text = script.read_text()
    assert 'Apache License' in text
    assert max(map(len, text.splitlines())) < 80
    assert '\t' not in text


def test_install(stack: phases.Devstack) -> None:
    assert stack.calls('stack install')[1:] == [
        [
            *('setup_develop', '-bindep', str(ROOT)),
            'client,service,ssh,mysql,postgresql',
        ],
    ]
    assert (ROOT / 'bindep.txt').is_file()


def packages(*platforms: str) -> set[str]:
    """What bindep chooses without a profile, on a host that is these."""
    lines = (ROOT / 'bindep.txt').read_text().splitlines()
    found = [re.match(r'(\S+) \[platform:(\w+)\]$', line) for line in lines]
    return {each[1] for each in found if each and each[2] in platforms}


#: Debian's package to that of the Red Hat family.
NAMES = {
    'libguestfs-tools': 'libguestfs',
    'python3-guestfs': 'python3-libguestfs',
    'qemu-utils': 'qemu-img',
    'qemu-system-x86': 'qemu-kvm-core',
    # For qemu-storage-daemon, which is beside qemu-img there.
    'qemu-system-common': 'qemu-img',
    'libnbd-bin': 'nbdfuse',
    # It is not a package of its own there.
    'gpgv': 'gnupg2',
    'fdisk': 'util-linux',
    'linux-image-cloud-amd64': 'kernel-core',
    'python3-venv': 'python3-pip',
    # With the distribution itself.
    'ca-certificates': None,
}


@pytest.mark.parametrize(
    ('platforms', 'missing'),
    [
        (('rpm', 'redhat', 'fedora'), set()),
        (('rpm', 'redhat', 'centos'), {'btrfs-progs', 'mmdebstrap'}),
        (('rpm', 'redhat', 'rocky'), {'btrfs-progs', 'mmdebstrap'}),
    ],
)
def test_the_red_hat_family_has_every_package(
    platforms: tuple[str, ...], missing: set[str]
) -> None:
    deb_packages = packages('dpkg', 'debian')
    assert {'mmdebstrap', *NAMES} <= deb_packages
    wanted = {NAMES.get(name, name) for name in deb_packages} - {None}
    assert wanted - packages(*platforms) == missing


def test_the_catalog_is_filled(stack: phases.Devstack) -> None:
    assert stack.named(
        'stack post-config',
        'create_service_user',
        'get_or_create_service',
        'get_or_create_endpoint',
    ) == [
        ['create_service_user', 'imagebuild', 'admin'],
        ['get_or_create_service', 'imagebuild', 'image-build', 'Image build'],
        ['get_or_create_endpoint', 'image-build', 'RegionOne', URL, URL, URL],
    ]


def test_conf(stack: phases.Devstack) -> None:
    conf = phases.ini(stack.conf)
    user = {
        'auth_type': 'password',
        'auth_url': 'http://192.0.2.10/identity',
        'username': 'imagebuild',
        'password': 'secretservice',
        'user_domain_name': 'Default',
        'project_name': 'service',
        'project_domain_name': 'Default',
    }
    default = dict(conf['DEFAULT'])
    assert default['state_path'] == str(stack.state)
    assert default['operating_systems_file'].startswith(str(stack.etc))
    assert default['transport_url'] == (
        'rabbit://stackrabbit:secretrabbit@127.0.0.1:5672/'
    )
    assert 'logging_context_format_string' in default
    assert dict(conf['keystone']) == user
    assert conf['keystone_authtoken'].items() >= user.items()
    assert conf['keystone_authtoken']['service_type'] == 'image-build'
    assert dict(conf['conductor']) == {
        'max_builds': '1',
        'drivers': 'fake,guestfs',
    }
    assert dict(conf['guestfs']) == {'isolation': 'auto'}
    assert stat.S_IMODE(stack.conf.stat().st_mode) == 0o600
    assert stack.state.is_dir()


@pytest.mark.parametrize(
    ('given', 'written'),
    [
        ('mysql+pymysql://h/i?charset=utf8', '?charset=utf8mb4'),
        ('mysql+pymysql://h/i?charset=utf8mb4', '?charset=utf8mb4'),
        (
            'mysql+pymysql://h/i?charset=utf8&plugin=dbcounter',
            '?charset=utf8mb4&plugin=dbcounter',
        ),
        (
            'postgresql://h/i?client_encoding=utf8',
            '?client_encoding=utf8',
        ),
    ],
)
def test_the_database_speaks_all_of_utf8(
    given: str, written: str, tmp_path: pathlib.Path
) -> None:
    made = devstack(tmp_path, STAND_IN_DATABASE_URL=given)
    made.succeed('stack post-config')
    url = phases.ini(made.conf)['database']['connection']
    assert url == given.partition('?')[0] + written


def test_the_configuration_is_accepted(stack: phases.Devstack) -> None:
    shown = stack.check_upgrade()
    assert shown.count('Result: Success') == shown.count('Check: ') > 0


def test_the_key_is_made_once(stack: phases.Devstack) -> None:
    def key() -> str:
        return phases.ini(stack.conf)['DEFAULT']['encryption_keys']

    first = key()
    assert len(first) == 44
    stack.succeed('stack post-config')
    assert key() == first


def test_the_catalogue_has_devstacks_image(stack: phases.Devstack) -> None:
    systems = catalogue.load(stack.etc / 'operating-systems.yaml')
    assert {'debian-12', 'devstack-default', 'fake'} <= set(systems.names())
    image = systems.get('devstack-default').image
    assert dict(image) == {'name': 'cirros-0.6.3-x86_64-disk'}


def test_the_policy_names_every_rule(stack: phases.Devstack) -> None:
    text = (stack.etc / 'policy.yaml').read_text()
    assert '#"image-build:builds:create"' in text
    # All of it is comments: the rules are those of the code.
    assert yaml.safe_load(text) is None


def test_the_api_is_behind_apache(stack: phases.Devstack) -> None:
    uwsgi = phases.ini(stack.etc / 'imagebuild-api-uwsgi.ini')['uwsgi']
    socket = '/var/run/uwsgi/imagebuild-api.socket'
    assert uwsgi['module'] == 'imagebuild.wsgi.api:application'
    assert uwsgi['socket'] == socket
    assert uwsgi['threads'] == '8'
    site = stack.directory / 'etc/apache2/sites-available/imagebuild-api.conf'
    assert f'ProxyPass "/image-build" "unix:{socket}|' in site.read_text()


def test_the_api_can_be_without_apache(tmp_path: pathlib.Path) -> None:
    made = devstack(tmp_path, IMAGEBUILD_BEHIND_APACHE='no')
    made.succeed('stack post-config')
    uwsgi = phases.ini(made.etc / 'imagebuild-api-uwsgi.ini')['uwsgi']
    assert uwsgi['http'] == '192.0.2.10:9797'
    assert 'socket' not in uwsgi
    [endpoint] = made.named('stack post-config', 'get_or_create_endpoint')
    assert endpoint[3:] == [DIRECT, DIRECT, DIRECT]


def test_extra_starts_everything(stack: phases.Devstack) -> None:
    programs = phases.PROGRAMS
    started = [
        [
            'run_process',
            'imagebuild-api',
            f'{programs}/uwsgi --procname-prefix imagebuild --ini '
            f'{stack.etc}/imagebuild-api-uwsgi.ini',
            *('', '', f'IMAGEBUILD_CONFIG={stack.conf}'),
        ]
    ]
    for name in conductors():
        command = (
            f'{programs}/imagebuild-conductor --config-file {stack.conf} '
            f'--config-file {stack.etc}/{name}.conf'
        )
        started.append(['run_process', name, command, '', 'root'])
    assert stack.named(
        'stack extra', 'recreate_database', 'run_process', 'wait_for_service'
    ) == [
        ['recreate_database', 'imagebuild'],
        *started,
        ['wait_for_service', '60', f'{URL}/healthcheck'],
    ]


def conductors() -> list[str]:
    return [f'imagebuild-conductor{end}' for end in ('', '-2', '-3')]


def test_conductors_differ(stack: phases.Devstack) -> None:
    sections = [
        phases.ini(stack.etc / f'{name}.conf')['conductor']
        for name in conductors()
    ]
    assert len({section['name'] for section in sections}) == 3
    assert len({section['work_dir'] for section in sections}) == 3


HEAT_CASES = [
    ('', f'{HEATS_OWN},{RESOURCES}'),
    ('plugin_dirs = /a', f'/a,{RESOURCES}'),
    ('plugin_dirs = /a, /b', f'/a, /b,{RESOURCES}'),
    (f'plugin_dirs = {RESOURCES}, /b', f'{RESOURCES}, /b'),
]


@pytest.mark.parametrize(('line', 'directories'), HEAT_CASES)
def test_heat_finds_the_resource_type(
    line: str, directories: str, tmp_path: pathlib.Path
) -> None:
    made = devstack(tmp_path)
    made.heat_conf.write_text(f'[DEFAULT]\n{line}\n')
    made.succeed('stack post-config', 'stack post-config')
    options = phases.ini(made.heat_conf)['DEFAULT']
    assert options['plugin_dirs'] == directories
    assert options['reauthentication_auth_method'] == 'trusts'
    assert options['stack_action_timeout'] == '7200'


def test_heat_keeps_what_was_set(tmp_path: pathlib.Path) -> None:
    made = devstack(tmp_path)
    made.heat_conf.write_text('[DEFAULT]\nstack_action_timeout = 60\n')
    made.succeed('stack post-config')
    options = phases.ini(made.heat_conf)['DEFAULT']
    assert options['stack_action_timeout'] == '60'


def test_heat_may_be_configured_later(tmp_path: pathlib.Path) -> None:
    made = devstack(tmp_path)
    made.succeed('stack post-config')
    assert not made.heat_conf.exists()
    made.heat_conf.write_text('[DEFAULT]\n')
    made.succeed('stack extra')
    assert str(RESOURCES) in made.heat_conf.read_text()


def test_there_may_be_no_heat(tmp_path: pathlib.Path) -> None:
    made = devstack(tmp_path, ENABLED_SERVICES='key,g-api')
    made.heat_conf.write_text('of an earlier run')
    made.succeed('stack post-config', 'stack test-config')
    assert made.heat_conf.read_text() == 'of an earlier run'
    assert not made.tempest_conf.exists()


def test_tempest_is_configured(stack: phases.Devstack) -> None:
    conf = phases.ini(stack.tempest_conf)
    assert dict(conf['service_available']) == {'image_build': 'True'}
    assert dict(conf['image_build']) == {
        'catalog_type': 'image-build',
        'endpoint_type': 'public',
        'region': 'RegionOne',
        'build_timeout': '1800',
        'operating_system': 'fake',
        'real_operating_system': '',
    }
    assert 'image_build_feature_enabled' not in conf


def test_tempest_without_the_service(tmp_path: pathlib.Path) -> None:
    """Both services are disabled, and Heat's engine is here."""
    made = devstack(
        tmp_path, DISABLED_SERVICES=',imagebuild-api,imagebuild-conductor'
    )
    made.succeed('stack test-config')
    conf = phases.ini(made.tempest_conf)
    assert {name: dict(conf[name]) for name in conf.sections()} == {
        'service_available': {'image_build': 'False'}
    }


def test_tempest_with_the_service_on_another_host(
    tmp_path: pathlib.Path,
) -> None:
    made = devstack(
        tmp_path,
        DISABLED_SERVICES=',imagebuild-api,imagebuild-conductor',
        ENDPOINT='4f0c',
    )
    made.succeed('stack test-config')
    conf = phases.ini(made.tempest_conf)
    assert dict(conf['service_available']) == {'image_build': 'True'}
    assert conf['image_build']['catalog_type'] == 'image-build'


def test_tempest_knows_the_options(tmp_path: pathlib.Path) -> None:
    made = devstack(tmp_path, ENABLED_SERVICES='key,g-api,tempest')
    made.succeed('stack test-config')
    written = phases.ini(made.tempest_conf)
    assert written['image_build']['operating_system'] == 'debian-12-minimal'
    options = cfg.ConfigOpts()
    options.register_opt(tempest.SERVICE_AVAILABLE_OPT, 'service_available')
    options.register_opts(tempest.OPTS, tempest.GROUP)
    options.register_opts(tempest.FEATURE_OPTS, tempest.FEATURE_GROUP)
    options([], default_config_files=[str(made.tempest_conf)])
    assert options.service_available.image_build
    assert not options.image_build_feature_enabled.orchestration
    for section in written.sections():
        for name in written[section]:
            options[section][name]


def test_tls(tmp_path: pathlib.Path) -> None:
    made = devstack(
        tmp_path,
        ENABLED_SERVICES='key,g-api,tls-proxy',
    )
    made.succeed('stack pre-install', 'stack post-config')
    bundle = str(tmp_path / 'data' / 'ca-bundle.pem')
    assert phases.ini(made.conf)['keystone']['cafile'] == bundle
    [endpoint] = made.named('stack post-config', 'get_or_create_endpoint')
    assert endpoint[3] == 'https://192.0.2.10/image-build'


def test_ipv6(tmp_path: pathlib.Path) -> None:
    made = devstack(
        tmp_path,
        SERVICE_HOST='[2001:db8::1]',
        DATABASE_HOST='[2001:db8::1]',
        IMAGEBUILD_BEHIND_APACHE='False',
    )
    made.succeed('stack post-config', 'clean')
    [endpoint] = made.named('stack post-config', 'get_or_create_endpoint')
    assert endpoint[3] == 'http://[2001:db8::1]:9797'
    [dropped] = made.named('clean', 'mysql')
    assert dropped[1:3] == ['-h', '2001:db8::1']


@pytest.mark.parametrize('phase', ['stack install', 'stack post-config'])
def test_devstacks_interpreter_is_used(
    phase: str, tmp_path: pathlib.Path
) -> None:
    """Plain python3 may be another one; here it is one that fails."""
    made = devstack(tmp_path)
    other = tmp_path / 'other'
    other.mkdir()
    (other / 'python3').write_text('#!/bin/sh\nexit 99\n')
    (other / 'python3').chmod(0o755)
    done = made.run(
        phase,
        before=f'export PATH={other}:$PATH',
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ('variables', 'driver'),
    [
        ({}, 'guestfs'),
        ({'IMAGEBUILD_DRIVERS': 'fake,snapshot, bootstrap'}, 'bootstrap'),
        ({'IMAGEBUILD_DRIVERS': 'fake,diskimage_builder'}, 'diskimage_bu'),
        # Whatever the sandbox can, the operator does not want it.
        ({'IMAGEBUILD_ISOLATION': 'appliance', 'sandbox': ''}, 'guestfs'),
    ],
)
def test_without_guestfs_it_ends_at_once(
    variables: dict[str, Any], driver: str, tmp_path: pathlib.Path
) -> None:
    done = devstack(tmp_path, guestfs=1, **variables).run('stack install')
    assert done.returncode == 1
    assert f'{tmp_path}/bin/python3 cannot import guestfs, which the ' in (
        done.stderr
    )
    assert f'driver {driver}' in done.stderr
    no_sandbox = '(it has no sandbox: only root may mount disks)'
    wanted = 'IMAGEBUILD_ISOLATION' not in variables
    assert (no_sandbox in done.stderr) == wanted


def test_a_sandbox_that_cannot_be_looked_for(tmp_path: pathlib.Path) -> None:
    made = devstack(tmp_path, guestfs=1)
    python = tmp_path / 'bin' / 'python3'
    python.write_text('#!/bin/sh\nexit 1\n')
    done = made.run('stack install')
    assert done.returncode == 1
    assert '(it has no sandbox: unknown)' in done.stderr


@pytest.mark.parametrize(
    'variables',
    [
        {'IMAGEBUILD_DRIVERS': 'fake'},
        {'IMAGEBUILD_DRIVERS': 'fake, snapshot'},
        {'IMAGEBUILD_DRIVERS': 'snapshot'},
        {'IMAGEBUILD_DRIVERS': 'of_another_package'},
        {'DISABLED_SERVICES': ',imagebuild-conductor'},
        {'IMAGEBUILD_ISOLATION': 'sandbox'},
        {'sandbox': ''},
        {'sandbox': '', 'IMAGEBUILD_DRIVERS': 'bootstrap'},
    ],
)
def test_not_everybody_needs_guestfs(
    variables: dict[str, Any], tmp_path: pathlib.Path
) -> None:
    said = devstack(tmp_path, guestfs=1, **variables).succeed('stack install')
    assert ('in the sandbox only' in said) == ('sandbox' in variables)


@pytest.mark.parametrize(
    ('given', 'before', 'words'),
    [
        ({'key': ''}, '', 'no encryption key'),
        ({}, 'NO_DATABASE=yes', 'knows no database'),
    ],
)
def test_no_empty_value_is_written(
    given: dict[str, str],
    before: str,
    words: str,
    tmp_path: pathlib.Path,
) -> None:
    made = devstack(tmp_path, **given)
    done = made.run('stack post-config', before=before)
    assert done.returncode == 1
    assert words in done.stderr
    assert not made.named('stack post-config', 'create_service_user')


def test_the_database_of_another_host_is_kept(tmp_path: pathlib.Path) -> None:
    made = devstack(tmp_path, ENABLED_SERVICES='key,g-api')
    made.succeed('stack post-config', 'stack extra')
    assert not made.named('stack extra', 'recreate_database')


def test_a_host_that_only_has_heat(tmp_path: pathlib.Path) -> None:
    made = devstack(
        tmp_path,
        ENABLED_SERVICES='h-eng',
        DISABLED_SERVICES=',imagebuild-api,imagebuild-conductor',
    )
    made.heat_conf.write_text('[DEFAULT]\n')
    made.succeed(*phases.STACK, 'unstack', 'clean')
    assert made.named('stack install', 'setup_develop') == [
        ['setup_develop', str(ROOT)]
    ]
    assert str(RESOURCES) in made.heat_conf.read_text()
    assert not made.etc.exists()
    assert not made.named('stack extra', 'run_process')


@pytest.mark.parametrize('phase', ['stack post-config', 'unstack'])
def test_fewer_conductors_than_before(
    phase: str, tmp_path: pathlib.Path
) -> None:
    more = devstack(tmp_path, IMAGEBUILD_CONDUCTORS=3)
    more.succeed('stack post-config')
    units = tmp_path / 'etc' / 'systemd' / 'system'
    units.mkdir(parents=True)
    for name in conductors():
        (units / f'devstack@{name}.service').touch()
    local = tmp_path / 'local.conf'
    local.write_text('IMAGEBUILD_CONDUCTORS=1\n')
    more.succeed(phase)
    gone = [
        call[1]
        for call in more.named(phase, 'stop_process')
        if call[1][-1].isdigit()
    ]
    assert gone == conductors()[1:]
    assert [path.name for path in units.iterdir()] == [
        'devstack@imagebuild-conductor.service'
    ]
    assert [path.name for path in more.etc.glob('*conductor*.conf')] == [
        'imagebuild-conductor.conf'
    ]


@pytest.mark.parametrize(
    ('services', 'shared', 'network'),
    [
        ('key,g-api,tempest,neutron-api', 'shared', 'shared'),
        ('key,g-api,tempest,q-svc', '', None),
        ('key,g-api,tempest', 'shared', None),
    ],
)
def test_tempests_network_is_one_that_it_can_see(
    services: str, shared: str, network: str | None, tmp_path: pathlib.Path
) -> None:
    made = devstack(tmp_path, ENABLED_SERVICES=services, SHARED_NETWORK=shared)
    made.succeed('stack test-config')
    conf = phases.ini(made.tempest_conf)
    assert conf['image_build'].get('network') == network


def test_a_host_that_only_builds(tmp_path: pathlib.Path) -> None:
    made = devstack(
        tmp_path,
        ENABLED_SERVICES='imagebuild-conductor',
        DISABLED_SERVICES=',imagebuild-api',
        IMAGEBUILD_ENCRYPTION_KEYS='a,b',
        IMAGEBUILD_CONDUCTOR_USER='stack',
        IMAGEBUILD_CONDUCTORS=1,
    )
    # The other host has made the tables.
    done = made.run(*phases.STACK[:4])
    assert done.returncode == 0, done.stderr
    assert phases.ini(made.conf)['DEFAULT']['encryption_keys'] == 'a,b'
    assert not (made.etc / 'imagebuild-api-uwsgi.ini').exists()
    assert not made.named('stack post-config', 'create_service_user')
    assert not made.named('stack extra', 'recreate_database', 'mysql')


def test_a_catalogue_of_ones_own(tmp_path: pathlib.Path) -> None:
    mine = tmp_path / 'mine.yaml'
    mine.write_text('mine: {image: {tag: mine}}\n')
    made = devstack(
        tmp_path, IMAGEBUILD_OPERATING_SYSTEMS=mine, IMAGEBUILD_DRIVERS='fake'
    )
    made.succeed('stack post-config')
    written = made.etc / 'operating-systems.yaml'
    assert written.read_text() == mine.read_text()


def test_installers_of_ones_own(tmp_path: pathlib.Path) -> None:
    mine = tmp_path / 'mine.yaml'
    mine.write_text('mine: {}\n')
    made = devstack(
        tmp_path,
        IMAGEBUILD_INSTALLERS=mine,
        IMAGEBUILD_DRIVERS='fake, installer',
    )
    made.succeed('stack pre-install', 'stack post-config')
    written = made.etc / 'installers.yaml'
    assert written.read_text() == mine.read_text()
    section = phases.ini(made.conf)['installer']
    assert dict(section) == {'installers_file': str(written)}


REFUSED = [
    ({'ENABLED_SERVICES': 'g-api'}, 'needs the service key'),
    ({'ENABLED_SERVICES': 'key'}, 'needs the service g-api'),
    ({'IMAGEBUILD_CONDUCTORS': '0'}, 'IMAGEBUILD_CONDUCTORS is not a number'),
    (
        {
            'ENABLED_SERVICES': 'key,g-api,tls-proxy',
            'IMAGEBUILD_BEHIND_APACHE': 'False',
        },
        'has to be behind Apache',
    ),
    (
        {'IMAGEBUILD_INSTALLERS': '/etc/hostname'},
        'which IMAGEBUILD_DRIVERS does not name: nothing',
    ),
    (
        {
            'IMAGEBUILD_INSTALLERS': '/etc/hostname',
            'IMAGEBUILD_DRIVERS': 'guestfs,installer',
            'IMAGEBUILD_CONDUCTOR_USER': 'stack',
        },
        'wants IMAGEBUILD_CONDUCTOR_USER=root',
    ),
    (
        {
            'IMAGEBUILD_INSTALLERS': '/no/such',
            'IMAGEBUILD_DRIVERS': 'installer',
        },
        'IMAGEBUILD_INSTALLERS cannot be read: /no/such',
    ),
]


@pytest.mark.parametrize(('variables', 'words'), REFUSED)
def test_what_cannot_work_is_refused_at_once(
    variables: dict[str, str], words: str, tmp_path: pathlib.Path
) -> None:
    done = devstack(tmp_path, **variables).run('stack pre-install')
    assert done.returncode == 1
    assert words in done.stderr
    assert '[ERROR]' in done.stderr


@pytest.mark.parametrize(('status', 'starts'), [(1, True), (2, False)])
def test_what_is_not_ready_is_not_started(
    status: int, starts: bool, tmp_path: pathlib.Path
) -> None:
    made = devstack(tmp_path, status=status)
    done = made.run('stack post-config', 'stack extra')
    assert done.returncode == (0 if starts else 1)
    assert ('imagebuild is not ready' in done.stderr) is not starts
    assert bool(made.named('stack extra', 'run_process')) is starts


def test_nothing_is_done_when_it_is_disabled(tmp_path: pathlib.Path) -> None:
    disabled = ',imagebuild-api,imagebuild-conductor'
    made = devstack(
        tmp_path, DISABLED_SERVICES=disabled, ENABLED_SERVICES='key,g-api'
    )
    made.succeed(*phases.STACK, 'unstack', 'clean')
    assert not any(made.calls(phase) for phase in phases.STACK)
    assert not made.etc.exists()


@pytest.mark.parametrize('state', ['-', '+'])
def test_the_trace_setting_is_kept(state: str, tmp_path: pathlib.Path) -> None:
    made = devstack(tmp_path)
    done = made.run(
        'stack pre-install',
        before=f'set {state}o xtrace',
        after='set +o | grep xtrace',
    )
    assert done.stdout.splitlines()[-1] == f'set {state}o xtrace'
    # What is done shows in stack.sh's log, as others' work does.
    assert ('+ check_imagebuild' in done.stderr) is (state == '-')


def test_unstack_stops_and_clean_removes(tmp_path: pathlib.Path) -> None:
    made = devstack(tmp_path, IMAGEBUILD_CONDUCTORS=3)
    made.succeed('stack post-config')
    assert made.etc.is_dir()
    made.succeed('unstack')
    assert made.calls('unstack') == [
        ['stop_process', name] for name in ('imagebuild-api', *conductors())
    ]
    assert made.etc.is_dir()
    made.succeed('clean')
    assert not made.etc.exists()
    assert not made.state.exists()
    assert not list(tmp_path.glob('etc/apache2/*/imagebuild*'))
    assert made.named('clean', 'remove_uwsgi_config', 'mysql') == [
        [
            'remove_uwsgi_config',
            f'{made.etc}/imagebuild-api-uwsgi.ini',
            'imagebuild-api',
        ],
        [
            *('mysql', '-h', '127.0.0.1', '-u', 'root', '-e'),
            'DROP DATABASE IF EXISTS imagebuild',
        ],
    ]
    # A second time there is nothing left to do, and no mistake.
    made.succeed('unstack', 'clean')


def test_clean_goes_on_without_the_database(tmp_path: pathlib.Path) -> None:
    made = devstack(tmp_path, DATABASE_TYPE='postgresql')
    done = made.run('clean', before='function dropdb { return 2; }')
    assert done.returncode == 0, done.stderr
    assert 'could not be dropped' in done.stdout


def test_every_variable_is_explained() -> None:
    pattern = r'\bIMAGEBUILD_[A-Z_]+\b'
    settings = ''.join(
        (phases.PLUGIN / name).read_text()
        for name in ('settings', 'upgrade/settings')
    )
    page = ROOT / 'doc' / 'source' / 'operator' / 'devstack.rst'
    assert set(re.findall(pattern, settings)) == set(
        re.findall(pattern, page.read_text())
    )
