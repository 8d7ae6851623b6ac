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

import json
import os
import pathlib
from unittest import mock

import pytest

from imagebuild import exception
from imagebuild.cmd import bootstrap as program
from imagebuild.disks import confined
from imagebuild.disks import host_command
from imagebuild.drivers import base
from imagebuild.drivers import bootstrap
from imagebuild.drivers.bootstrap import apt_sources
from imagebuild.drivers.bootstrap import releases
from imagebuild.drivers.bootstrap import trees


class Recorder(base.DiskMonitor):
    def __init__(self) -> None:
        self.events: list[tuple[str, ...]] = []

    def step_started(self, name: str) -> None:
        self.events.append(('started', name))

    def step_finished(self, name: str, seconds: float, error: str) -> None:
        self.events.append(('finished', name, error))


def test_a_step_is_told_twice() -> None:
    recorder = Recorder()
    with recorder.step('one'):
        pass
    with pytest.raises(ValueError), recorder.step('two'):
        raise ValueError('because')
    assert recorder.events == [
        ('started', 'one'),
        ('finished', 'one', ''),
        ('started', 'two'),
        ('finished', 'two', 'because'),
    ]


# -- mmdebstrap -------------------------------------------------------------


def test_mmdebstrap_is_confined_and_told_everything(
    tmp_path: pathlib.Path,
) -> None:
    source = apt_sources.AptSource('http://m.example/debian', 's', ('main',))
    with mock.patch.object(host_command, 'run', autospec=True) as run:
        trees.make(
            tmp_path / 'a tree',
            tmp_path,
            trees.TreePlan(
                release=releases.RELEASES['debian-12'],
                sources=[source],
                packages=['one', 'two'],
                fstab='FSTAB\n',
                services=['a.service', 'b.service'],
                proxies={'http': 'http://p.example'},
            ),
        )
    (argv,) = run.call_args.args
    assert argv[0] == 'setpriv'
    assert {'--kill-child', '--mount', '--pid'} < set(argv)
    # Packages are downloaded.
    assert '--net' not in argv
    assert 'http_proxy=http://p.example' in argv
    assert '--include=one,two' in argv
    assert any('enable a.service b.service' in word for word in argv)
    assert argv[-3:] == [
        'bookworm',
        str(tmp_path / 'a tree'),
        str(tmp_path / 'bootstrap.sources'),
    ]
    assert (tmp_path / 'fstab').read_text() == 'FSTAB\n'
    written = (tmp_path / 'bootstrap.sources').read_text()
    assert apt_sources.parse_deb822(written) == [source]


def commands_of(tmp_path: pathlib.Path, *, kernel: bool) -> str:
    with mock.patch.object(host_command, 'run', autospec=True) as run:
        trees.make(
            tmp_path / 'tree',
            tmp_path,
            trees.TreePlan(
                release=releases.RELEASES['debian-12'],
                sources=[],
                packages=['one'],
                fstab='',
                kernel=kernel,
            ),
        )
    return '\n'.join(run.call_args.args[0])


def test_the_initramfs_is_made_once(tmp_path: pathlib.Path) -> None:
    made = commands_of(tmp_path, kernel=True)
    # Not by the kernel's package, and once when all others are there.
    assert 'INITRD=No\n' in made
    assert made.count('update-initramfs -c -k all') == 1
    assert 'linux-update-symlinks install' in made


def test_no_kernel_no_initramfs(tmp_path: pathlib.Path) -> None:
    assert 'INITRD' not in commands_of(tmp_path, kernel=False)


@pytest.mark.parametrize(
    ('stderr', 'expected'),
    [
        (
            'W: hm\nE: Unable to locate package x\nE: setup failed: E: '
            'apt-get install x failed\nE: mmdebstrap failed to run\n',
            'Unable to locate package x',
        ),
        (
            'dpkg: error processing package x (--configure):\n script\n'
            'E: Sub-process env returned an error code (1)\n',
            'processing package x (--configure):; '
            'Sub-process env returned an error code (1)',
        ),
        ('E: a\nE: a\nE: b\nE: c\nE: d\n', 'a; b; c'),
        ('no table\n', 'no table'),
    ],
)
def test_why(stderr: str, expected: str) -> None:
    assert confined.why(stderr) == expected


def test_a_failure_names_the_program(tmp_path: pathlib.Path) -> None:
    failed = exception.HostCommandFailed(
        program='setpriv', exit_code=25, reason='E: no\n'
    )
    with mock.patch.object(
        host_command, 'run', autospec=True, side_effect=failed
    ):
        with pytest.raises(
            exception.HostCommandFailed,
            match=r'^mmdebstrap failed \(exit code 25\): no$',
        ):
            confined.run(['mmdebstrap'], writes_to=tmp_path)


# -- the driver -------------------------------------------------------------


def test_not_for_everybody(tmp_path: pathlib.Path) -> None:
    driver = bootstrap.BootstrapDriver()
    with mock.patch.object(os, 'geteuid', autospec=True, return_value=1000):
        assert 'root rights' in driver.missing()
        with pytest.raises(exception.EnvironmentFault, match='by root only'):
            driver.create_disk({'os': 'debian-12'}, tmp_path / 'x')


def test_what_is_not_installed_is_named(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr('shutil.which', lambda *_args, **_kwargs: None)
    # It asks for root first.
    monkeypatch.setattr('os.geteuid', lambda: 0)
    with pytest.raises(exception.MissingDependency, match='fdisk') as caught:
        bootstrap.BootstrapDriver().create_disk(
            {'os': 'debian-12', 'minimal': True}, tmp_path / 'x'
        )
    assert 'apt-get install' in str(caught.value)


# -- the program ------------------------------------------------------------


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--os', 'debian-3'], 'known are debian-11, debian-12'),
        (['--os', 'debian-12', '--size', '0'], '0 is not an integer'),
        (['--os', 'debian-12'], 'is there already'),
    ],
)
def test_bad_usage(
    arguments: list[str],
    message: str,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = tmp_path / 'image.qcow2'
    output.write_text('precious')
    assert program.main([*arguments, '--output', str(output)]) == 2
    assert message in capsys.readouterr().err
    assert output.read_text() == 'precious'


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (lambda path: path.mkdir(), 'is not a file'),
        (lambda path: path.symlink_to('x'), 'is a link'),
    ],
)
def test_output_that_is_no_file(
    make: object,
    message: str,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert callable(make)
    output = tmp_path / 'image'
    make(output)
    arguments = ['--os', 'debian-12', '--force', '--output', str(output)]
    assert program.main(arguments) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ('name', 'disk_format'),
    [
        ('image.qcow2', 'qcow2'),
        ('image', 'qcow2'),
        ('image.raw', 'raw'),
        ('image.IMG', 'raw'),
    ],
)
def test_the_name_says_the_format(
    name: str,
    disk_format: bootstrap.DiskFormat,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = tmp_path / name

    def make(
        _self: object, _options: object, path: pathlib.Path, **_kwargs: object
    ) -> bootstrap.FileArtifact:
        path.write_text('disk')
        return bootstrap.FileArtifact(path, disk_format, 1)

    with mock.patch.object(
        bootstrap.BootstrapDriver,
        'create_disk',
        autospec=True,
        side_effect=make,
    ) as create:
        arguments = ['--os', 'debian-12', '--json', '--output', str(output)]
        assert program.main(arguments) == 0
    assert create.call_args.kwargs['disk_format'] == disk_format
    report = json.loads(capsys.readouterr().out)
    assert report['result'] == 'done'
    assert report['format'] == disk_format
    assert report['size'] == 4
