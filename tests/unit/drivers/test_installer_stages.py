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
"""What installers say on their consoles, and what is made of it."""

import itertools
import pathlib
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest

from imagebuild import exception
from imagebuild.common import space
from imagebuild.drivers.installer import InstallerOptions
from imagebuild.drivers.installer import answers
from imagebuild.drivers.installer import run
from imagebuild.drivers.installer import settings
from imagebuild.drivers.installer import stages
from tests.contract import driver_contract

WORD = 'imagebuild-0123456789abcdef'
#: Of Debian 12's netboot installer with the text frontend, recorded.
DEBIAN = """\
Starting system log daemon: syslogd, klogd.
mount: mounting /dev/fd0 on /media failed: No such file or directory
Detecting network hardware  ... 2%... 95%... 100%
Detecting link on ens2; please wait...  ... 0%
Waiting for link-local address...  ... 16%... 25%... 100%
Configuring the network with DHCP  ... 4%... 100%
Checking the Debian archive mirror  ... 25%... 50%... 75%... 100%
"""
ASKED = """\
Loading additional components
Download installer components
-----------------------------

The installer failed to download a file from the mirror. This may be a problem
with your network, or with the mirror. You can choose to retry the download,
select a different mirror, or cancel and choose another installation method.
Downloading a file failed:
  1: Retry [*],  2: Change mirror,      3: Cancel,
Prompt: '?' for help, default=1> """
#: Of Debian 13's, recorded. What is typed would not be seen.
ASKED_FOR_A_PASSWORD = """\
Set up users and passwords
--------------------------

Some account needs to be available with administrative super-user privileges.
The password for that account should be something that cannot be guessed.

Note: what you type here will be hidden (unless you select to show it).
Root password:
"""
#: Of Debian 13's, recorded; a bar is one line from its begin to its end.
DEBIAN_LATER = """\
Loading additional components  ... 0%... 10%... 47%... 90%... 100%
Detecting disks and all other hardware  ... 2%... 95%... 100%
Loading additional components  ... 12%... 25%... 87%... 100%
Starting up the partitioner  ... 4%... 13%... 91%... 100%
Guided partitioning  ... 20%... 40%... 60%... 80%
Partitions formatting  ... 33%
Partitions formatting
Installing the base system  ... 0%... 3%... 79%... 83%... 91%... 100%
Configuring apt  ... 7%... 14%... 14%... 92%... 100%
Select and install software  ... 1%... 80%... 77%... 81%... 90%... 100%
Installing GRUB boot loader  ... 16%... 33%... 50%... 83%... 100%
Finishing the installation  ... 3%... 11%
"""
#: Of reports of users of Anaconda; not recorded by us.
ANACONDA = """\
Starting installer, one moment...
anaconda 34.25.4.9-1.el9 for Red Hat Enterprise Linux 9.4 started.
Setting up the installation environment
Configuring storage
Creating disklabel on /dev/vda
Running pre-installation scripts
[   33.517655] anaconda[2628]: Starting package installation process
Installing boot loader
Performing post-installation setup tasks
Running post-installation scripts
"""
ANACONDA_FAILED = """\
Running post-installation scripts
[   34.520412] anaconda[2628]: The installation was stopped due to an error
[   34.520580] anaconda[2628]: Non interactive installation failed: The command
"""
#: Names of Subiquity's events; not recorded by us.
SUBIQUITY = """\
start: subiquity/Early/apply_autoinstall_config
start: subiquity/Install/install/curtin_install/run_curtin_step: \
executing curtin install partitioning step
curtin command block-meta
curtin command extract
curtin command curthooks
start: subiquity/Late/run: running late commands
"""


def read(family: settings.Family, text: str) -> tuple[stages.Stages, list]:
    """Read lines; the last one is whole when it has its end."""
    found = stages.Stages(family, WORD)
    reached = [found.stage]
    *lines, last = text.split('\n')
    for line, whole in [*((each, True) for each in lines), (last, False)]:
        found.add(line, whole)
        if found.stage != reached[-1]:
            reached.append(found.stage)
    return found, reached


def test_stages_of_debian() -> None:
    found, reached = read('debian', DEBIAN + DEBIAN_LATER)
    assert reached == [
        'boot the installer',
        'start the installer',
        'set up the network of the installer',
        'load the installer',
        'partition the disk',
        'install the base system',
        'install packages with the installer',
        'install the boot loader',
        'finish the installation',
    ]
    assert not found.question
    assert not found.fatal
    # A bar that was seen before does not lead back.
    found.add('Loading additional components  ... 5%')
    assert found.stage == stages.FINISH


@pytest.mark.parametrize(
    'family, text, last', [
        ('redhat', ANACONDA, 5),
        ('ubuntu', SUBIQUITY, 6),
    ],
)  # fmt: skip
def test_stages_of_others(
    family: settings.Family, text: str, last: int
) -> None:
    found, reached = read(family, text)
    assert len(reached) == last + 1 - (family == 'ubuntu')
    assert reached[-1] == stages.FINISH
    assert not found.question


def test_a_question() -> None:
    found, _ = read('debian', DEBIAN + ASKED)
    assert found.question.startswith(
        'Download installer components: The installer failed to download'
    )
    assert 'Retry' in found.question
    found, _ = read('debian', DEBIAN + ASKED_FOR_A_PASSWORD)
    assert found.question.startswith('Set up users and passwords: Some')
    assert found.question.endswith('Root password:')
    found, _ = read('redhat', ANACONDA + ANACONDA_FAILED)
    assert 'Non interactive installation failed' in found.question
    found, _ = read('ubuntu', 'Continue with autoinstall? (yes|no)')
    assert found.question


def test_kernel_panic() -> None:
    text = '[    1.0] Kernel panic - not syncing: VFS: Unable to mount\n'
    found, _ = read('debian', text)
    assert found.fatal.startswith('the kernel panicked: VFS')


def test_report() -> None:
    found, _ = read('debian', f'bar ... 5%{WORD} runs 1\n')
    assert found.report == stages.Report(running=1)
    found.add(f'{WORD} done')
    assert found.report == stages.Report(done=True)
    found, _ = read('debian', 'nothing yet\n')
    # A number of which the rest is still to come is not believed.
    found.add(f'{WORD} failed 1 1', whole=False)
    assert found.report == stages.Report()
    assert not found.add(f'{WORD} failed 1 12')
    assert found.report == stages.Report(failed=1, code=12)
    found, _ = read('debian', f'x {WORD} done\n')
    assert found.report.done
    other = WORD.replace('0', '1')
    found, _ = read('debian', f'{other} done\n{WORD}done\n')
    assert not found.report.done


class Machine:
    """Says what it is told to, and then nothing, or ends."""

    def __init__(self, *pieces: bytes | None) -> None:
        self._pieces = iter(pieces)
        self.checked = False

    def read(self, timeout: float) -> bytes | None:
        return next(self._pieces, b'')

    def check(self) -> None:
        self.checked = True


class Network:
    def __init__(self, *lines: str, failed: str = '') -> None:
        self._lines = lines
        self.failed = failed

    def said(self) -> list[str]:
        return [*self._lines]


@pytest.fixture
def clock() -> Iterator[None]:
    """A second passes with every look."""
    with mock.patch.object(run.time, 'monotonic', autospec=True) as monotonic:
        monotonic.side_effect = itertools.count(0.0, 1.0)
        yield


def watched(
    *pieces: bytes | None,
    network: Any = None,
    timeout: float = 10_000,
    silence: float = 1000,
) -> tuple[run.Watch, driver_contract.Listener]:
    """Watch what a machine of Debian says."""
    installer = settings.Installer(
        'one',
        'debian',
        settings.InputFile(pathlib.Path('/k')),
        settings.InputFile(pathlib.Path('/i')),
    )
    options = InstallerOptions.parse({'installer': 'one'})
    listener = driver_contract.Listener()
    watch = run.Watch(
        answers.Request(options, installer, WORD),
        run.Limits(timeout, silence),
        listener,
        network,
    )
    watch.watch(Machine(*pieces))  # type: ignore
    return watch, listener


def failure(
    watch: run.Watch, tmp_path: pathlib.Path
) -> exception.ImageBuildError:
    with pytest.raises(exception.ImageBuildError) as caught:
        watch.check(tmp_path)
    return caught.value


DONE = f'{DEBIAN}{DEBIAN_LATER}\n{WORD} done\n'.encode()


def test_it_ends(clock: None, tmp_path: pathlib.Path) -> None:
    watch, listener = watched(DONE, b'Power down\r\n', None)
    watch.check(tmp_path)
    assert listener.started == [name for name, _ in listener.finished]
    assert listener.started[0] == 'boot the installer'
    assert listener.started[-1] == 'finish the installation'
    assert not any(error for _, error in listener.finished)


def test_it_is_switched_off_early(clock: None, tmp_path: pathlib.Path) -> None:
    watch, listener = watched(DEBIAN.encode(), None)
    error = failure(watch, tmp_path)
    assert isinstance(error, exception.EnvironmentFault)
    assert 'switched off before the installation had ended' in str(error)
    assert '"load the installer"' in str(error)
    assert listener.finished[-1][1]


def test_it_asks(clock: None, tmp_path: pathlib.Path) -> None:
    said = '404 Not Found: GET http://mirror.example/x.udeb'
    watch, _ = watched((DEBIAN + ASKED).encode(), network=Network(said))
    error = failure(watch, tmp_path)
    assert isinstance(error, exception.EnvironmentFault)
    assert 'it stopped to ask (Download installer components' in str(error)
    assert said in str(error)


def test_whose_fault_a_question_is(
    clock: None, tmp_path: pathlib.Path
) -> None:
    """A package that there is not will not be there next time."""
    text = (DEBIAN + DEBIAN_LATER.split('Installing GRUB')[0] + ASKED).encode()
    watch, _ = watched(text, network=Network())
    assert watch.stages.stage == stages.PACKAGES
    assert isinstance(failure(watch, tmp_path), exception.StepError)
    watch, _ = watched(text, network=Network('502 Bad Gateway: GET x'))
    assert isinstance(failure(watch, tmp_path), exception.EnvironmentFault)


@pytest.mark.parametrize('asks', [True, False])
def test_the_way_to_the_mirror_has_ended(
    clock: None, tmp_path: pathlib.Path, asks: bool
) -> None:
    """Neither a package nor a command of the request is to blame."""
    text = DEBIAN + DEBIAN_LATER.split('Installing GRUB')[0] + ASKED
    if not asks:
        text = f'{DEBIAN}{DEBIAN_LATER}\n{WORD} failed 2 100\n'
    ended = Network(failed='it was ended by signal 9')
    watch, _ = watched(text.encode(), network=ended)
    error = failure(watch, tmp_path)
    assert isinstance(error, exception.EnvironmentFault)
    assert (
        'The proxy that leads to its mirrors was not there to the end: it '
        'was ended by signal 9.'
    ) in str(error)


def test_a_command_fails(clock: None, tmp_path: pathlib.Path) -> None:
    text = f'{DEBIAN}{DEBIAN_LATER}\nno such thing\n{WORD} failed 2 7\n'
    watch, _ = watched(text.encode())
    error = failure(watch, tmp_path)
    assert isinstance(error, run.InstallationFailed)
    assert 'late command 2 failed with exit code 7' in str(error)


@pytest.mark.parametrize(
    'pieces, what',
    [
        ((), 'it hangs: it has written nothing for 30 seconds'),
        ((b'. ',) * 200, 'its time of 60 seconds is up'),
        ((None,), 'the machine was switched off before'),
    ],
)
def test_a_command_has_no_end(
    clock: None, tmp_path: pathlib.Path, pieces: Any, what: str
) -> None:
    """It would not have one at another attempt."""
    text = f'{DEBIAN}{DEBIAN_LATER}\n{WORD} runs 3\n'
    watch, _ = watched(text.encode(), *pieces, timeout=60, silence=30)
    error = failure(watch, tmp_path)
    assert isinstance(error, run.InstallationFailed)
    assert f'{what}' in str(error)
    assert 'while late command 3 ran' in str(error)


def test_a_command_asks_nothing(clock: None, tmp_path: pathlib.Path) -> None:
    """Whatever it prints, nobody waits for an answer."""
    text = (
        f"{DEBIAN}{DEBIAN_LATER}\n{WORD} runs 1\nPrompt: '?' for help> \n"
        f'[Press enter to continue]\n{WORD} done\n'
    )
    watch, _ = watched(text.encode(), None)
    watch.check(tmp_path)


def test_it_hangs(clock: None, tmp_path: pathlib.Path) -> None:
    watch, listener = watched(DEBIAN.encode(), silence=30)
    error = failure(watch, tmp_path)
    assert 'it hangs: it has written nothing for 30 seconds' in str(error)
    assert 'Checking the Debian archive mirror' in str(error)
    assert 'it hangs' in listener.finished[-1][1]


def test_its_time_is_up(clock: None, tmp_path: pathlib.Path) -> None:
    watch, _ = watched(*(b'. ' for _ in range(200)), timeout=60)
    error = failure(watch, tmp_path)
    assert 'its time of 60 seconds is up' in str(error)


def test_the_disk_of_the_host_is_full(
    clock: None, tmp_path: pathlib.Path
) -> None:
    watch, _ = watched(DEBIAN.encode(), None)
    with mock.patch.object(space, 'free', autospec=True, return_value=1024):
        assert isinstance(failure(watch, tmp_path), exception.DiskFull)


def test_nothing_drives_a_terminal(
    clock: None, tmp_path: pathlib.Path
) -> None:
    text = b'\x1b[31merror: \x07x\x1b]0;title\x07y\r\n' + DEBIAN.encode()
    watch, _ = watched(text, None)
    assert '\x1b' not in str(failure(watch, tmp_path))
