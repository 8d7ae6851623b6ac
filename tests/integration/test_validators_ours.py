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
"""The validators for states, in both modes, on a real disk.

One guest for the whole module: its tests run in the order written.
"""

import base64
import io
import pathlib
import zipfile
from collections.abc import Iterator

import pytest

from imagebuild import exception
from imagebuild import manifest
from imagebuild.drivers import isolations
from imagebuild.manifest.validators import cloud_init
from imagebuild.remotes import base as remotes_base
from tests.integration import guests

pytestmark = pytest.mark.timeout(900)

_KIND = b'ssh-ed25519'
KEY = (
    'ssh-ed25519 '
    + base64.b64encode(
        len(_KIND).to_bytes(4, 'big') + _KIND + b'\0\0\0\x20' + b'k' * 32
    ).decode()
)
#: Stands for subscription-manager, which needs an account.
STUB = b"""#!/bin/sh
# STUB of subscription-manager, placed by test_validators_ours.py
case "$1" in
    identity) [ -e /var/stub-registered ] ;;
    register) : > /var/stub-registered ;;
    unregister) rm /var/stub-registered ;;
esac
"""
PACKAGES = """
validators:
  - package: [systemd, systemd-timesyncd, cron, sudo]
  - package: [cloud-init, python3-pip, python3-venv]
"""
ROWS = {
    'file': 'file: {/etc/a/b: {content: "{{ distro }}", template: true,'
    ' mode: 0600, owner: daemon, group: 1}}',
    'service': 'service: {cron: disabled, systemd-timesyncd: masked,'
    ' getty@tty2: enabled}',
    'user': 'user: {amy: {uid: 1500, groups: [adm, brandnew],'
    ' shell: /bin/bash, password_hash: "$6$abcdefgh$abc", locked: true,'
    ' sudo: true}, svc.x: {system: true}}',
    'ssh_key': f'ssh_key: {{amy: ["{KEY} c"], root: ["{KEY}"]}}',
    'cloud_init': 'cloud_init: {datasources: [NoCloud, None],'
    ' config: {ssh_pwauth: no}}',
    'selinux': 'selinux: {mode: enforcing, relabel: true}',
    'repository': 'repository: {ours: {url: "http://repo.example/d",'
    ' suites: stable, trusted: true, priority: 100}}',
    'pip': 'pip: {virtualenv: /opt/v, requirements: [demo>=1],'
    ' index_url: "file:///srv/simple"}',
}


def demo_wheel() -> bytes:
    """A distribution named demo, without anything in it."""
    info = 'demo-1.0.dist-info'
    files = {
        f'{info}/METADATA': 'Metadata-Version: 2.1\n'
        'Name: demo\nVersion: 1.0\n',
        f'{info}/WHEEL': 'Wheel-Version: 1.0\nGenerator: test\n'
        'Root-Is-Purelib: true\nTag: py3-none-any\n',
        f'{info}/RECORD': '',
    }
    content = io.BytesIO()
    with zipfile.ZipFile(content, 'w') as wheel:
        for name, text in files.items():
            wheel.writestr(name, text)
    return content.getvalue()


@pytest.fixture(scope='module')
def remote(
    isolation: isolations.Isolation,
    bootable_image: pathlib.Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[remotes_base.Remote]:
    # It has systemd, cloud-init and sudo: a third of the installation.
    directory = tmp_path_factory.mktemp('ours')
    with guests.opened(isolation, bootable_image, directory) as opened:
        yield opened


def _load(step: str) -> manifest.Manifest:
    return manifest.load(f'validators:\n  - {step}\n')


def test_what_is_not_installed_is_said(
    isolation: isolations.Isolation,
    minimal_image: pathlib.Path,
    tmp_path: pathlib.Path,
) -> None:
    with guests.opened(isolation, minimal_image, tmp_path) as bare:
        for name, message in (
            ('service', 'systemd is not installed'),
            ('cloud_init', 'cloud-init is not installed'),
            ('selinux', 'SELinux is not installed'),
        ):
            with pytest.raises(exception.NotConforming, match=message):
                _load(ROWS[name]).run(bare, reconcile=False)


def test_prepare(remote: remotes_base.Remote) -> None:
    # pip recommends a compiler.
    remote.write_file(
        '/etc/apt/apt.conf.d/lean', b'APT::Install-Recommends "false";\n'
    )
    manifest.load(PACKAGES).run(remote)
    remote.write_file('/etc/selinux/config', b'SELINUX=disabled\n')
    wheel = 'demo-1.0-py3-none-any.whl'
    remote.write_file(f'/srv/simple/demo/{wheel}', demo_wheel())
    remote.write_file(
        '/srv/simple/demo/index.html', f'<a href="{wheel}">x</a>'.encode()
    )


@pytest.mark.parametrize('name', ROWS)
def test_row(remote: remotes_base.Remote, name: str) -> None:
    loaded = _load(ROWS[name])
    with pytest.raises(exception.NotConforming):
        loaded.run(remote, reconcile=False)
    # Looking changed nothing.
    with pytest.raises(exception.NotConforming):
        loaded.run(remote, reconcile=False)
    assert loaded.run(remote).steps[0].result == 'changed'
    assert loaded.run(remote).steps[0].result == 'ok'
    assert loaded.run(remote, reconcile=False).steps[0].result == 'ok'
    assert [step.state for step in loaded.plan(remote)] == ['holds']


def test_missing_unit_is_named(remote: remotes_base.Remote) -> None:
    with pytest.raises(exception.StepFailed, match='no such unit: nope'):
        _load('service: {nope: enabled}').run(remote)


def test_cloud_init_file(remote: remotes_base.Remote) -> None:
    assert b'ssh_pwauth: no' in remote.read_file(cloud_init.TARGET)


def test_subscription_with_a_stub(remote: remotes_base.Remote) -> None:
    """Last: the system calls itself RHEL from here on."""
    remote.write_file('/usr/bin/subscription-manager', STUB, mode=0o755)
    remote.remove_file('/etc/os-release')
    remote.write_file('/etc/os-release', b'ID=rhel\nVERSION_ID=9.4\n')
    register = manifest.load(
        """
arguments:
  login: {default: me}
  password: {default: hush-hush, hidden: true}
validators:
  - subscription: {register: {username: login, password: password}}
"""
    )
    with pytest.raises(exception.NotConforming, match='not registered'):
        register.run(remote, reconcile=False)
    assert register.run(remote).steps[0].result == 'changed'
    assert register.run(remote, reconcile=False).steps[0].result == 'ok'
    unregister = _load('subscription: {unregister: true}')
    with pytest.raises(exception.NotConforming, match='still registered'):
        unregister.run(remote, reconcile=False)
    assert unregister.run(remote).steps[0].result == 'changed'
    assert unregister.run(remote).steps[0].result == 'ok'
