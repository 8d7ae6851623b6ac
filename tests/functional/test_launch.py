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
"""The programs as they are installed: --version, and what is not there."""

import importlib
import subprocess
import sys
from importlib import metadata

import pytest

from imagebuild.cmd import launch
from imagebuild.common import release

PROGRAMS = sorted(
    point.name
    for point in metadata.entry_points(group='console_scripts')
    if point.name.startswith('imagebuild-')
)

#: What only the extra "service" brings.
SERVICE = (
    'alembic',
    'cryptography',
    'flask',
    'glanceclient',
    'keystoneauth1',
    'keystonemiddleware',
    'oslo_db',
    'oslo_log',
    'oslo_messaging',
    'oslo_middleware',
    'oslo_policy',
    'oslo_service',
    'oslo_upgradecheck',
    'prometheus_client',
    'sqlalchemy',
    'waitress',
)
#: What else is an extra.
OTHERS = ('asyncssh', 'diskimage_builder', 'hcl2', 'openstack', 'psutil')

WITHOUT = """\
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in {names!r}:
            raise ModuleNotFoundError(f'No module named {{name!r}}', name=name)

sys.meta_path.insert(0, Absent())
sys.argv = {argv!r}
from importlib import metadata
[point] = metadata.entry_points(group='console_scripts', name=sys.argv[0])
sys.exit(point.load()())
"""


def run(
    *argv: str, without: tuple[str, ...] = (), warnings: str = 'ignore'
) -> tuple[int, str, str]:
    code = WITHOUT.format(names=without, argv=list(argv))
    done = subprocess.run(
        [sys.executable, '-W', warnings, '-c', code],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_all_programs_are_known():
    assert {
        'imagebuild-boot',
        'imagebuild-bootstrap',
        'imagebuild-conductor',
        'imagebuild-convert',
        'imagebuild-manage',
        'imagebuild-pack',
        'imagebuild-standalone',
        'imagebuild-status',
    } <= set(PROGRAMS)


@pytest.mark.parametrize('program', PROGRAMS)
def test_version_and_nothing_about_eventlet(program):
    """Libraries import it where it is installed, and it warns."""
    code, output, error = run(program, '--version', warnings='default')
    assert code == 0, error
    assert output == f'{program} {release.version()}\n'
    assert 'eventlet' not in error.lower()


@pytest.mark.parametrize(
    'program',
    [
        'imagebuild-pack',
        'imagebuild-boot',
        'imagebuild-bootstrap',
        'imagebuild-convert',
    ],
)
def test_what_works_on_one_machine_needs_no_service(program):
    code, output, error = run(program, '--help', without=SERVICE)
    assert code == 0, error
    assert output.startswith('usage: ')


@pytest.mark.parametrize(
    'program',
    [
        'imagebuild-conductor',
        'imagebuild-manage',
        'imagebuild-standalone',
        'imagebuild-status',
    ],
)
def test_the_service_says_what_it_needs(program):
    code, output, error = run(program, '--version', without=SERVICE)
    assert code == 3
    assert output == ''
    assert error.startswith(f'{program} needs ')
    assert error.endswith('install "openstack-imagebuild[service]".\n')
    assert 'Traceback' not in error


@pytest.mark.parametrize('absent', ['requests', 'tenacity'])
def test_a_base_image_says_what_it_needs(tmp_path, absent):
    """These are requirements, and a distribution may split them off."""
    (tmp_path / 'm.yaml').write_text('validators: []\n')
    code, _, error = run(
        'imagebuild-pack', '--base', 'http://127.0.0.1:1/x', '--base-checksum',
        f'sha256:{"0" * 64}', '--manifest', str(tmp_path / 'm.yaml'),
        '--output', str(tmp_path / 'x.img'), without=(absent,),
    )  # fmt: skip
    assert code == 3
    assert error == (
        f'--base needs {absent}, which is not installed; install '
        '"openstack-imagebuild".\n'
    )
    assert [path.name for path in tmp_path.iterdir()] == ['m.yaml']


def test_a_base_image_needs_no_extra(tmp_path):
    (tmp_path / 'm.yaml').write_text('validators: []\n')
    code, _, error = run(
        'imagebuild-pack', '--base', '/none', '--manifest',
        str(tmp_path / 'm.yaml'), '--output', str(tmp_path / 'x.img'),
        without=SERVICE + OTHERS,
    )  # fmt: skip
    assert code == 2
    assert error.splitlines()[-1].startswith('/none cannot be used: ')


@pytest.mark.parametrize(
    'absent, what',
    [
        ('glanceclient', 'A base image of a cloud'),
        ('openstack', 'clouds.yaml'),
    ],
)
def test_a_base_image_of_a_cloud_says_what_it_needs(tmp_path, absent, what):
    (tmp_path / 'm.yaml').write_text('validators: []\n')
    code, _, error = run(
        'imagebuild-pack', '--base', 'glance:x', '--manifest',
        str(tmp_path / 'm.yaml'), '--output', str(tmp_path / 'x.img'),
        without=(absent,),
    )  # fmt: skip
    assert code == 3
    assert error == (
        f'{what} needs {absent}, which is not installed; '
        'install "openstack-imagebuild[clouds]".\n'
    )


def test_a_template_in_hcl_says_what_it_needs(tmp_path):
    (tmp_path / 'a.pkr.hcl').write_text('source "qemu" "x" {}\n')
    code, _, error = run(
        'imagebuild-convert', str(tmp_path / 'a.pkr.hcl'), without=OTHERS
    )
    assert code == 3
    assert error.endswith('install "openstack-imagebuild[packer]".\n')


def test_validate_says_what_it_needs():
    code, _, error = run('imagebuild-validate', '--help', without=OTHERS)
    assert code == 3
    assert error.endswith('install "openstack-imagebuild[ssh]".\n')


def test_a_module_of_ours_that_is_missing_is_no_matter_of_extras(
    monkeypatch, capsys
):
    def missing(name):
        raise ModuleNotFoundError(name, name='imagebuild.nonsense')

    monkeypatch.setattr(importlib, 'import_module', missing)
    assert launch.conductor() == 3
    error = capsys.readouterr().err
    assert error.startswith('Unexpected ModuleNotFoundError: ')
    assert 'install' not in error
