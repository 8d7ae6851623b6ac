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
import pytest
from cryptography import fernet

from imagebuild import exception
from imagebuild import layers
from imagebuild import sandbox
from imagebuild.cmd import status
from imagebuild.db import migration
from imagebuild.drivers import overlay_disk
from imagebuild.drivers import registry


@pytest.fixture
def check(tmp_path, capsys):
    def check(
        *,
        keys='',
        catalogue='debian-12: {driver: fake}\n',
        drivers='fake',
        isolation='auto',
        destinations='',
    ):
        if catalogue is not None:
            (tmp_path / 'os.yaml').write_text(catalogue)
        conf = tmp_path / 'imagebuild.conf'
        conf.write_text(
            f'[DEFAULT]\nstate_path = {tmp_path}\nencryption_keys = {keys}\n'
            f'operating_systems_file = {tmp_path}/os.yaml\n'
            f'[conductor]\ndrivers = {drivers}\n'
            f'[guestfs]\nisolation = {isolation}\n{destinations}'
        )
        code = status.main(['--config-file', str(conf), 'upgrade', 'check'])
        printed = ''.join(capsys.readouterr())
        return code, ' '.join(printed.replace('|', '').split())

    return check


@pytest.fixture
def tables(tmp_path):
    migration.upgrade(f'sqlite:///{tmp_path}/imagebuild.sqlite')


@pytest.fixture
def key():
    return fernet.Fernet.generate_key().decode()


def test_all_is_well(check, tables, key):
    code, output = check(keys=key)
    assert code == 0, output
    assert output.count('Success') == 8


def test_old_tables(check, key):
    code, output = check(keys=key)
    assert code == 2
    assert 'imagebuild-manage db sync' in output


def test_a_check_that_fails_itself(check, tables, key, monkeypatch):
    """The others say what they have found."""

    def raises(*args):
        raise OSError(5, 'Input/output error')

    monkeypatch.setattr(status.catalogue, 'load', raises)
    code, output = check(keys=key)
    assert code == 2
    assert (
        'could not be looked at: OSError: [Errno 5] Input/output error'
        in output
    )
    assert 'Traceback' not in output
    assert output.count('Success') == 7


def test_a_destination_that_cannot_be_used(check, tables, key):
    code, output = check(
        keys=key,
        destinations='[destination:here]\nstore = file\n'
        '[destination:west]\ncloud = west\nclouds_file = /nowhere.yaml\n',
    )
    assert code == 1
    assert '[destination:west] cloud: /nowhere.yaml cannot be read' in output
    assert 'destination:here' not in output


@pytest.mark.parametrize(
    'section, message',
    [
        (
            'store = file\nfoldr = x\n',
            '[destination:a] foldr: there is no such option of destinations, '
            'nor of the store "file".',
        ),
        (
            'folder = x\n',
            '[destination:a] folder: there is no such option of destinations.',
        ),
        (
            'store = fil\n',
            '[destination:a] store: there is no store "fil"; found: file, '
            'glance.',
        ),
        (
            'cloud = west\nretry_timeout = long\n',
            '[destination:a] retry_timeout: invalid literal for int() with ',
        ),
    ],
)
def test_a_section_that_no_destination_can_have(check, section, message):
    code, output = check(destinations=f'[destination:a]\n{section}')
    assert code == 2
    assert output.startswith('The configuration cannot be used: ')
    assert message in output


def test_no_keys_are_a_warning(check, tables):
    code, output = check()
    assert code == 1
    assert 'encryption_keys is empty' in output


def test_bad_keys(check, tables):
    code, output = check(keys='short')
    assert code == 2
    assert 'URL-safe base64' in output


def test_broken_catalogue(check, tables, key):
    code, output = check(keys=key, catalogue='debian-12: [x]\n')
    assert code == 2
    assert 'catalogue' in output


def test_a_host_without_a_catalogue(check, tables, key):
    """Such as one of a conductor, which needs none."""
    code, output = check(keys=key, catalogue=None)
    assert code == 1
    assert 'API servers need it' in output


def test_empty_catalogue(check, tables, key):
    assert check(keys=key, catalogue='')[0] == 1


def test_no_driver_can_be_used(check, tables, key, monkeypatch):
    class Broken:
        by_default = True

        def missing(self, isolation):
            return ['the package python3-guestfs']

    monkeypatch.setattr(registry, 'drivers', lambda: {'guestfs': Broken()})
    code, output = check(keys=key, drivers='')
    assert code == 1
    assert 'No driver can be used on this host' in output
    assert 'guestfs: missing: the package python3-guestfs' in output


def test_one_of_the_drivers_is_unknown(check, tables, key):
    code, output = check(keys=key, drivers='fake,nonsense')
    assert code == 1
    assert 'nonsense: not installed' in output


def test_extensions_that_do_not_load(check, tables, key, monkeypatch):
    def drivers():
        raise exception.MissingDependency(what='the extension x', remedy='y')

    monkeypatch.setattr(registry, 'drivers', drivers)
    code, output = check(keys=key)
    assert code == 1
    assert 'the extension x' in output


@pytest.mark.parametrize(
    'isolation, missing, code',
    [
        ('auto', [], 0),
        ('auto', ['no slirp4netns'], 0),
        ('appliance', ['no slirp4netns'], 0),
        ('sandbox', ['no slirp4netns'], 1),
        ('sandbox', [], 0),
    ],
)
def test_isolation(check, tables, key, monkeypatch, isolation, missing, code):
    monkeypatch.setattr(overlay_disk, '_without_appliance', list)
    monkeypatch.setattr(sandbox, 'missing', lambda: missing)
    found, output = check(keys=key, isolation=isolation)
    assert found == code, output
    assert f'[guestfs] isolation is {isolation}.' in output
    if missing:
        assert 'in: appliance, not in the sandbox (no slirp4netns)' in output
    else:
        assert 'in: appliance and sandbox;' in output


@pytest.mark.parametrize(
    'isolation, code', [('auto', 0), ('sandbox', 0), ('appliance', 1)]
)
def test_a_host_without_libguestfs(
    check, tables, key, monkeypatch, isolation, code
):
    """It builds where its sandbox may be used, and says what it cannot."""
    monkeypatch.setattr(overlay_disk, '_without_appliance', lambda: ['qemu'])
    monkeypatch.setattr(sandbox, 'missing', list)
    found, output = check(keys=key, isolation=isolation, drivers='guestfs')
    assert found == code, output
    assert ('guestfs: missing: qemu' in output) == bool(code)
    assert 'Base images that requests name, and disks with LVM' in output


def test_layers_take_room(check, tables, key, tmp_path):
    layers.Store(tmp_path / 'layers')
    code, output = check(keys=key)
    assert code == 0
    assert 'They take 0 bytes in /' in output


def test_layers_cannot_be_kept(check, tables, key, tmp_path):
    (tmp_path / 'layers').mkdir()
    (tmp_path / 'layers').chmod(0o777)
    code, output = check(keys=key)
    assert code == 1
    assert 'it must belong to you, and nobody else may write to it' in output
    assert 'Builds of this user run every step' in output
