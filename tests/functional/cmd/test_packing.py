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
import contextlib
from unittest import mock

import pytest

from imagebuild import sandbox
from imagebuild.cmd import choice
from imagebuild.cmd import console
from imagebuild.cmd import pack
from imagebuild.cmd import packing
from imagebuild.disks import create
from imagebuild.drivers import isolations
from imagebuild.drivers import open_disk


@pytest.fixture
def line(tmp_path):
    """A command line that is complete."""
    manifest, config = tmp_path / 'x.yaml', tmp_path / 'x.conf'
    manifest.write_text('validators:\n  - package: nginx\n')
    config.write_text('[guestfs]\nmemory = 900\n')
    image = tmp_path / 'image'
    create.empty_image(image, 'qcow2', 1024 * 1024)
    return [
        f'--image={image}', f'--manifest={manifest}',
        f'--config-file={config}',
    ]  # fmt: skip


def spec_of(line):
    options, conf = choice.parse(line, pack._PROGRAM)
    return pack._spec(options, conf, console.ConsoleMonitor())


@pytest.mark.parametrize(
    'more, configured, expected',
    [
        ([], '', 'auto'),
        (['--isolation', 'appliance'], '', 'appliance'),
        ([], 'isolation = appliance', 'appliance'),
        (['--isolation=sandbox'], 'isolation = appliance', 'sandbox'),
    ],
)
def test_which_isolation(line, tmp_path, more, configured, expected):
    (tmp_path / 'x.conf').write_text(f'[guestfs]\n{configured}\n')
    assert spec_of([*line, *more]).isolation == expected


def test_settings_of_the_command_line_and_the_file(line):
    settings = spec_of([*line, '--cpus=3', '--no-network']).settings.appliance
    assert (settings.memory, settings.cpus) == (900, 3)
    assert not settings.network and not settings.allow_host_network
    settings = spec_of([*line, '--memory=800']).settings.appliance
    assert settings.memory == 800 and settings.network


@pytest.mark.parametrize(
    'more, missing, choice, notices',
    [
        (['--test-only'], [], isolations.Choice('sandbox', True), []),
        (['--plan', '--isolation=sandbox'], [], None, []),
        (
            [],
            ['a', 'b'],
            isolations.Choice(reason='a; b'),
            ['The appliance is used, as this host has no sandbox: a; b.'],
        ),
        (['--isolation=appliance'], ['a'], isolations.Choice(), []),
    ],
)
def test_what_is_opened(line, monkeypatch, more, missing, choice, notices):
    """Also to look and to plan."""

    class Opened(Exception):
        pass

    openings = []

    def opened(opening, *, start, notices):
        openings.append(opening)
        with start(opening.choice.first):
            raise Opened

    monkeypatch.setattr(sandbox, 'missing', lambda: missing)
    monkeypatch.setattr(open_disk, 'opened', opened)
    monitor = mock.create_autospec(console.ConsoleMonitor, instance=True)
    with contextlib.suppress(Opened):
        packing.pack(spec_of([*line, *more]), monitor)
    [opening] = openings
    assert opening.choice == (choice or isolations.Choice('sandbox'))
    assert [call.args[0] for call in monitor.notice.mock_calls] == notices
    where = (
        'in the sandbox' if opening.choice.first == 'sandbox' else 'appliance'
    )
    assert where in monitor.doing.mock_calls[0].args[0]
    assert opening.disk.backing is not None
    assert opening.disk.path.parent == opening.workspace.path


def test_no_sandbox_is_an_error_of_this_host(line, monkeypatch, capsys):
    monkeypatch.setattr(sandbox, 'missing', lambda: ['root rights are needed'])
    assert pack.main([*line, '--isolation=sandbox']) == 3
    assert (
        capsys.readouterr()
        .err.splitlines()[-1]
        .endswith('This host has no sandbox: root rights are needed.')
    )
