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
"""Debian's netboot installer, to the login prompt of what it has installed.

    python -m tests.integration.long_installer [--composed] [--mirror URL]
        [--keep DIR] [--cpus N] [--silence S] [--argument ARGUMENT]...

As root. It takes ten minutes with KVM and an hour without, so no run of the
tests has it: they go to the installer's first stage. What the installer says
is printed, with the seconds. The manifest below is packed into what was
installed, and then it is booted.

The mirror must have the installer's components (udebs) of the point release
that the package is of. Of one that has not, ``--composed`` makes one that
has, for Debian 13: see :mod:`tests.integration.composed_mirror`.
"""

import argparse
import contextlib
import json
import pathlib
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import yaml

from imagebuild import exception
from imagebuild.boot import boot_test
from imagebuild.boot import expectations
from imagebuild.boot import machine
from imagebuild.common import boot_tests
from imagebuild.disks import base_images
from imagebuild.disks import image_file
from imagebuild.disks import workspaces
from imagebuild.drivers import base
from imagebuild.drivers import installer
from tests.integration import composed_mirror
from tests.integration import netboot

_OPTIONS = {
    'installer': netboot.NAME,
    'size': 6,
    'swap': 256,
    'timezone': 'Europe/Berlin',
    'users': [{'name': 'ann', 'sudo': True}],
    'packages': ['openssh-server'],
    'late_commands': ["printf '%s' \"it's here\" >/etc/made-late"],
}
#: Seconds. Without KVM, on a machine that does other things as well.
_TIMEOUT = 4 * 3600
_COMMANDS = (
    ['grep', '-q', '^ann:', '/etc/passwd'],
    ['grep', '-q', "it's here", '/etc/made-late'],
    ['dpkg', '-s', 'openssh-server'],
    ['grep', '-q', '^root:!', '/etc/shadow'],
    # Of the CPU of the machine that it was installed in.
    ['sh', '-c', '! dpkg -l "*-microcode" 2>&1 | grep ^ii'],
    ['sh', '-c', '! grep -rF non-free /etc/apt/sources.list*'],
    ['sh', '-c', 'readlink /etc/localtime | grep Europe/Berlin'],
    # The proxy of the installation is nobody's.
    ['sh', '-c', '! grep -rF 10.0.2.2 /etc/apt'],
    ['sh', '-c', 'swapon --show || grep swap /etc/fstab'],
)


class _Monitor(base.DiskMonitor):
    def __init__(self) -> None:
        self._start = time.monotonic()

    def say(self, text: str) -> None:
        print(f'{time.monotonic() - self._start:7.1f} {text}', flush=True)

    def step_started(self, name: str) -> None:
        self.say(f'== {name}')

    def step_finished(self, name: str, seconds: float, error: str) -> None:
        if error:
            self.say(f'== {name}: {error}')

    def notice(self, message: str) -> None:
        self.say(message)

    def output(self, line: str) -> None:
        self.say(f'   {line}')


def main(argv: list[str]) -> int:
    """Do it; 0 when there was a login prompt."""
    reader = argparse.ArgumentParser(description=__doc__)
    reader.add_argument('--mirror', default='')
    reader.add_argument('--composed', action='store_true')
    reader.add_argument('--keep', default='')
    reader.add_argument('--cpus', type=int)
    reader.add_argument('--silence', type=int)
    reader.add_argument('--argument', action='append', default=[])
    chosen = reader.parse_args(argv)
    with contextlib.ExitStack() as stack:
        place = pathlib.Path(
            chosen.keep
            or stack.enter_context(
                tempfile.TemporaryDirectory(dir='/var/tmp')  # noqa: S108
            )
        )
        place.mkdir(parents=True, exist_ok=True)
        mirror = chosen.mirror or netboot.mirror()
        monitor = _Monitor()
        if chosen.composed:
            entry = stack.enter_context(_composed(mirror, place, monitor))
        else:
            entry = netboot.entry(netboot.fetched(place), mirror)
        entry.setdefault('kernel_arguments', []).extend(chosen.argument)
        file = place / 'installers.yaml'
        file.write_text(yaml.safe_dump({netboot.NAME: entry}))
        section = {
            'installers_file': str(file), 'cpus': chosen.cpus,
            'silence': chosen.silence, 'timeout': _TIMEOUT,
        }  # fmt: skip
        try:
            return _run(place, {'installer': section}, monitor)
        except exception.ImageBuildError as error:
            monitor.say(str(error))
            return 1


@contextlib.contextmanager
def _composed(
    mirror: str, place: pathlib.Path, monitor: _Monitor
) -> Iterator[dict[str, Any]]:
    monitor.say('== compose a mirror')
    made = composed_mirror.compose(mirror, place)
    monitor.say(f'   {made.directory.name}')
    for path in made.replaced:
        monitor.say(f'   of an older version: {path}')
    for path in made.missing:
        monitor.say(f'   not there: {path}')
    with composed_mirror.served(mirror, made.tree) as url:
        entry = netboot.entry(made.directory, url)
        yield {**entry, 'kernel_arguments': [composed_mirror.ARGUMENT]}


def _run(
    place: pathlib.Path,
    sections: dict[str, dict[str, Any]],
    monitor: _Monitor,
) -> int:
    driver = installer.InstallerDriver()
    driver.check_asked(_OPTIONS, _OPTIONS, sections)
    workspace = place / 'workspace'
    workspace.mkdir(mode=0o700, exist_ok=True)
    image = place / 'image.qcow2'
    context = base.BuildContext(
        base_image=base.BaseImage(),
        options=_OPTIONS,
        workspace=workspace,
        settings=base.Settings(
            base_images.Cache(place / 'cache'),
            _no_glance,
            sections=sections,
        ),
        monitor=monitor,
    )
    with driver.open(context) as disk:
        for command in _COMMANDS:
            monitor.say(f'{json.dumps(command)}: {disk.remote.run(command)}')
        disk.finish(image, 'qcow2')
    monitor.say('== boot what was installed')
    with workspaces.Workspace(image) as space:
        outcome = boot_test.run(
            image_file.inspect(image),
            boot_test.BootSpec(
                machine.MachineSettings(),
                expectations.Expectations(console=(boot_tests.LOGIN,)),
                timeout=_TIMEOUT,
            ),
            space,
            on_line=monitor.output,
        )
    monitor.say(f'passed: {outcome.passed}; {outcome.describe()}')
    return 0 if outcome.passed else 1


def _no_glance() -> None:
    raise AssertionError('there is none')


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
