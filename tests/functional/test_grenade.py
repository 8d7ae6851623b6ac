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
"""The scripts of devstack/upgrade, run without devstack and grenade.

What they do to a service that really runs: tests/cloud/test_devstack.py.
"""

import pathlib

import pytest

from tests.devstack import grenade as grenades
from tests.devstack import phases
from tests.functional import test_devstack

RESOURCES = test_devstack.RESOURCES


def grenade(directory: pathlib.Path, **variables: object) -> grenades.Grenade:
    """The old release has been stacked; its programs do nothing."""
    stack = test_devstack.devstack(directory, **variables)
    stack.succeed('stack post-config')
    return grenades.Grenade(stack)


def test_settings(tmp_path: pathlib.Path) -> None:
    made = grenade(tmp_path)
    made.settings()
    calls = made.stack.calls('settings')
    assert calls[:2] == [
        ['register_project_for_upgrade', 'imagebuild'],
        ['register_db_to_save', 'imagebuild'],
    ]
    # Each release is of its own branch, as everything else of it is.
    repository = 'file:///opt/stack/imagebuild'
    enable = ['enable_plugin', 'imagebuild', repository]
    assert calls[2:4] == [
        ['devstack_localrc', 'base', *enable, 'stable/2026.1'],
        ['devstack_localrc', 'target', *enable, 'master'],
    ]
    assert ['PLUGIN_DIR', str(grenades.UPGRADE)] in calls


@pytest.mark.parametrize('name', ['resources', 'shutdown', 'upgrade'])
def test_grenade_can_run_them(name: str) -> None:
    assert (grenades.UPGRADE / f'{name}.sh').stat().st_mode & 0o111 == 0o111


def test_shutdown(tmp_path: pathlib.Path) -> None:
    made = grenade(tmp_path)
    pids = tmp_path / 'pids'
    pids.mkdir()
    names = ['imagebuild-api', *test_devstack.conductors()[:2]]
    for name in names:
        (pids / name).write_text('1')
    made.succeed('shutdown')
    assert made.stack.named('shutdown', 'stop_process') == [
        ['stop_process', name] for name in names
    ]
    assert not list(pids.iterdir())


def test_what_goes_on_to_run_is_noticed(tmp_path: pathlib.Path) -> None:
    made = grenade(tmp_path, GRENADE_TIMEOUT=0)
    # In the way of stop_process' rm.
    stuck = tmp_path / 'pids' / 'imagebuild-api'
    stuck.parent.mkdir()
    stuck.write_text('1')
    local = tmp_path / 'local.conf'
    local.write_text(local.read_text() + 'function rm { :; }\n')
    done = made.run('shutdown')
    assert done.returncode == 1
    assert 'not stopped:  imagebuild-api' in done.stderr


def test_upgrade(tmp_path: pathlib.Path) -> None:
    """stack.sh has not run here: it alone sets PYTHON."""
    made = grenade(tmp_path)
    made.succeed('upgrade', top='new')
    stack = made.stack
    started = [call[1] for call in stack.named('upgrade', 'run_process')]
    assert started == ['imagebuild-api', *test_devstack.conductors()[:2]]
    assert stack.named('upgrade', 'ensure_services_started') == [
        ['ensure_services_started', *started]
    ]
    # What is in the tables stays.
    assert not stack.named('upgrade', 'recreate_database')
    saved = tmp_path / 'save' / 'etc.imagebuild' / 'imagebuild.conf'
    assert saved.read_text() == stack.conf.read_text()


def test_the_new_release_is_installed(tmp_path: pathlib.Path) -> None:
    """It is where devstack has cloned the target's plugins to."""
    made = grenade(tmp_path)
    new = tmp_path / 'new' / 'imagebuild'
    new.symlink_to(phases.ROOT)
    made.succeed('upgrade', top='new')
    [installed] = made.stack.named('upgrade', 'setup_develop')
    assert installed[2] == str(new)


def test_what_is_not_ready_is_not_started(tmp_path: pathlib.Path) -> None:
    made = grenade(tmp_path, status=2)
    done = made.run('upgrade', top='new')
    assert done.returncode == 1
    assert 'imagebuild is not ready' in done.stderr
    assert not made.stack.named('upgrade', 'run_process')


def test_heat_loads_the_new_release(tmp_path: pathlib.Path) -> None:
    made = grenade(tmp_path)
    old = tmp_path / 'old' / 'imagebuild'
    old.symlink_to(phases.ROOT)
    was = f'{old}/heat_plugin/resources'
    made.stack.heat_conf.write_text(f'[DEFAULT]\nplugin_dirs = /a,{was},/b\n')
    pids = tmp_path / 'pids'
    pids.mkdir()
    made.succeed('upgrade', top='new')
    options = phases.ini(made.stack.heat_conf)['DEFAULT']
    assert options['plugin_dirs'] == f'/a,/b,{RESOURCES}'
    # It was upgraded later than imagebuild: it is not there yet.
    assert not made.stack.named('upgrade', 'restart_service')
    (pids / 'h-eng').write_text('1')
    made.succeed('upgrade', top='new')
    assert made.stack.named('upgrade', 'restart_service') == [
        ['restart_service', 'devstack@h-eng']
    ]


def test_a_host_that_only_builds(tmp_path: pathlib.Path) -> None:
    made = grenade(
        tmp_path,
        ENABLED_SERVICES='imagebuild-conductor',
        DISABLED_SERVICES=',imagebuild-api',
        IMAGEBUILD_ENCRYPTION_KEYS='a',
        IMAGEBUILD_CONDUCTORS=1,
    )
    made.succeed('upgrade', top='new')
    assert made.stack.named('upgrade', 'ensure_services_started') == [
        ['ensure_services_started', 'imagebuild-conductor']
    ]
    for phase in ('create', 'verify', 'verify_noapi', 'destroy'):
        assert 'nothing to do' in made.succeed('resources', phase)


def test_a_host_that_only_has_heat(tmp_path: pathlib.Path) -> None:
    made = grenade(
        tmp_path,
        ENABLED_SERVICES='h-eng',
        DISABLED_SERVICES=',imagebuild-api,imagebuild-conductor',
    )
    made.stack.heat_conf.write_text('[DEFAULT]\n')
    made.succeed('shutdown')
    made.succeed('upgrade', top='new')
    assert str(RESOURCES) in made.stack.heat_conf.read_text()
    assert not made.stack.named('upgrade', 'run_process')


def test_an_unknown_phase(tmp_path: pathlib.Path) -> None:
    made = grenade(tmp_path)
    done = made.run('resources', 'explode')
    assert done.returncode == 1
    assert 'unknown phase explode' in done.stderr
    for phase in ('early_create', 'force_destroy'):
        made.succeed('resources', phase)
