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
"""Start an appliance and keep it on a leash.

libguestfs calls block inside C: a hung guest would hold the program for
ever, and Ctrl-C would wait for it. So every call runs in a worker thread
while the caller's thread watches the clock, the disk space and the signals,
and ends the appliance's qemu when one of them asks for it.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import logging
import os
import pathlib
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from collections.abc import Sequence
from typing import Any
from typing import TypeVar

from imagebuild import exception
from imagebuild.appliance import accelerator
from imagebuild.appliance import appliance_settings
from imagebuild.appliance import network
from imagebuild.common import space
from imagebuild.common.counts import counted

LOG = logging.getLogger(__name__)
T = TypeVar('T')

#: python -I -S restricted.py resolv.conf qemu
_BEFORE_QEMU = 6

_TICK = 0.25

# What makes emulation bearable, measured with qemu 7.2:
# norandmaps: qemu finds translated code again by its virtual address, so
#   address space randomisation makes it translate every library again at
#   every exec; fork + exec falls from 33 ms to 5 ms without.
# init_on_alloc=0, -erms: zeroing pages with rep stosb is a byte at a time.
# mitigations=off: nothing else runs on an emulated CPU.
_TCG_KERNEL = 'norandmaps init_on_alloc=0 mitigations=off'
#: Packages write the name of their machine into files: as in the sandbox, and
#: not "(none)".
_KERNEL = 'hostname=localhost'
_TCG_CPU = 'max,la57=off,-erms'


@dataclasses.dataclass(frozen=True)
class Drive:
    """A disk given to the appliance.

    :ivar path: the image file.
    :ivar format: ``qcow2`` or ``raw``; never guessed (a guest could write a
        qcow2 header into a raw disk and so name files of the host).
    :ivar readonly: qemu then puts a throw-away overlay of its own over it.
    :ivar server: unix socket of the NBD server that holds the file open; the
        appliance opens it there, as a raw disk, in place of the file.
    :ivar export: its name there.
    """

    path: pathlib.Path
    format: str
    readonly: bool = False
    server: pathlib.Path | None = None
    export: str = ''

    def options(self) -> tuple[str, dict[str, Any]]:
        """The arguments of libguestfs' ``add_drive_opts``."""
        options: dict[str, Any] = {
            'format': self.format,
            'readonly': self.readonly,
        }
        if not self.readonly:
            # unsafe: no flush while the guest works. The overlay is of no
            # use after a crash, and is brought to the disk at the end.
            options['cachemode'] = 'unsafe'
            # Without it nothing that is trimmed reaches the file.
            options['discard'] = 'besteffort'
        if self.server is None:
            return str(self.path), options
        options['format'] = 'raw'
        options['protocol'] = 'nbd'
        options['server'] = [f'unix:{self.server}']
        return self.export, options


def import_guestfs() -> Any:
    """Import libguestfs' Python binding.

    :raises MissingDependency: it is not installed. It is not on PyPI; it
        belongs to the distribution's own Python.
    """
    try:
        import guestfs  # type: ignore[import-not-found]
    except ImportError:
        raise exception.MissingDependency(
            what="libguestfs' Python binding",
            remedy='install the package python3-guestfs and use a virtual '
            'environment made by the system Python with '
            '--system-site-packages',
        ) from None
    return guestfs


class Appliance:
    """A running appliance.

    :ivar handle: the ``guestfs.GuestFS`` handle; reach it through
        :meth:`call`.
    :ivar accelerator: ``kvm`` or ``tcg``.
    :param worker: the one thread that the handle was made in. libguestfs
        keeps an error handler for each thread: in any other one it prints
        each error on standard error as well.
    """

    def __init__(
        self,
        handle: Any,
        accelerator_used: str,
        tmpdir: pathlib.Path,
        watched: pathlib.Path | None,
        worker: concurrent.futures.ThreadPoolExecutor,
    ) -> None:
        self.handle = handle
        self.accelerator = accelerator_used
        self.tmpdir = tmpdir
        self._watched = watched
        self._pid: int | None = None
        self._killed = False
        self._console: list[str] = []
        self._worker = worker

    def call(
        self,
        function: Callable[..., T],
        *args: Any,
        timeout: float | None = None,
        on_timeout: Callable[[], Exception] | None = None,
        on_tick: Callable[[], None] | None = None,
        **kwargs: Any,
    ) -> T:
        """Run one libguestfs call and watch over it.

        :param function: a bound method of :attr:`handle`, or a function
            that makes several calls.
        :param timeout: seconds; afterwards the appliance is ended, since
            nothing else stops a call.
        :param on_timeout: makes the exception raised in that case.
        :param on_tick: called a few times a second, in the caller's thread,
            while the call runs.
        :raises ApplianceFailed: the appliance is gone.
        :raises DiskFull: the disk under the overlay ran full.
        :raises RuntimeError: libguestfs' own error, to be translated by
            the caller who knows what was meant; or an answer that is not
            UTF-8, whose cause is the UnicodeDecodeError.
        """
        if self._killed:
            raise exception.ApplianceFailed(reason='it has been stopped')
        future = self._worker.submit(function, *args, **kwargs)
        try:
            self._watch(future, timeout, on_timeout, on_tick)
        except BaseException:
            # Also KeyboardInterrupt: never leave the call running.
            self.kill()
            concurrent.futures.wait([future], 10)
            raise
        try:
            return future.result()
        except (
            RuntimeError,
            UnicodeDecodeError,
            exception.ImageBuildError,
        ) as error:
            # A function of several calls may take the end of the appliance
            # for a guest that lacks something.
            if isinstance(error, exception.EnvironmentFault):
                raise
            self._check_space()
            if self._is_gone(str(error)):
                self.kill()
                raise exception.ApplianceFailed(
                    reason=first_line(error.__cause__ or error)
                ) from error
            if isinstance(error, UnicodeDecodeError):
                # A name or a message of the guest's.
                raise RuntimeError(f'it is no text: {error}') from error
            raise

    def _watch(
        self,
        future: concurrent.futures.Future[T],
        timeout: float | None,
        on_timeout: Callable[[], Exception] | None,
        on_tick: Callable[[], None] | None,
    ) -> None:
        """Wait for the end of a call; see :meth:`call`."""
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            done, _ = concurrent.futures.wait([future], _TICK)
            if on_tick:
                on_tick()
            if done:
                return
            if end is not None and time.monotonic() > end:
                self.kill()
                raise (
                    on_timeout()
                    if on_timeout
                    else exception.ApplianceFailed(
                        reason='no answer within '
                        f'{counted(timeout or 0, "second")}'
                    )
                )
            self._check_space()

    def _check_space(self) -> None:
        if self._watched is None:
            return
        # qemu pauses a guest for ever when a write finds no room.
        if space.free(self._watched) < space.FULL:
            self.kill()
            raise exception.DiskFull(path=self._watched)

    def _is_gone(self, message: str) -> bool:
        if 'appliance closed the connection' in message:
            return True
        return self._pid is not None and not _alive(self._pid)

    def started(self) -> None:
        """Note the process behind the handle, once it is known."""
        self._pid = self._worker.submit(self.handle.get_pid).result()

    @property
    def pid(self) -> int | None:
        """Process id of the appliance's qemu."""
        return self._pid

    @property
    def console(self) -> str:
        """The last that the appliance's kernel printed."""
        return ''.join(self._console)

    def forget_console(self) -> None:
        """Forget what it has printed so far."""
        self._console.clear()

    def listen(self, console: list[str]) -> None:
        """Take the list that pieces of the console are put into."""
        self._console = console

    def kill(self) -> None:
        """End the appliance at once; its disk may be left half written."""
        self._killed = True
        pid = self._pid
        if pid is None:
            # Not from the handle: its lock is held while it launches.
            pid = _child_that_names(self._watched or self.tmpdir)
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def shutdown(self) -> None:
        """End the appliance in good order: everything is on the disk.

        :raises ApplianceFailed: it did not; the disk must not be used.
        """
        try:
            self.call(self.handle.shutdown, timeout=120)
        except RuntimeError as error:
            raise exception.ApplianceFailed(
                reason=f'its disk could not be closed: {first_line(error)}'
            ) from error

    def close(self) -> None:
        """Free everything. The appliance is ended if it still runs."""
        self._killed = True
        # close() hangs in C when qemu does not go.
        with contextlib.suppress(Exception):
            self._worker.submit(self.handle.close).result(30)
        self._worker.shutdown(wait=False)
        shutil.rmtree(self.tmpdir, ignore_errors=True)

    def __enter__(self) -> Appliance:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def launch(
    drives: Sequence[Drive],
    settings: appliance_settings.ApplianceSettings | None = None,
    *,
    workspace: pathlib.Path | None = None,
    configure: Callable[[Any], None] | None = None,
    on_console: Callable[[str], None] | None = None,
    on_notice: Callable[[str], None] | None = None,
) -> Appliance:
    """Start an appliance over some disks.

    :param drives: the disks, in the order of their names (/dev/sda, ...).
    :param settings: its size and accelerator.
    :param workspace: directory for libguestfs' own files, and the file system
        whose free space is watched; a temporary directory by default.
    :param configure: called with the handle before the start, for more
        devices.
    :param on_console: called with pieces of the guest kernel's console.
    :param on_notice: called with a message for the user (emulation
        instead of KVM).
    :raises MissingDependency: libguestfs or slirp4netns is not installed.
    :raises ApplianceFailed: it does not start; the reason names the disk
        when that is what is wrong.
    """
    settings = settings or appliance_settings.ApplianceSettings()
    network.check(settings)
    chosen, why = accelerator.choose(settings.accelerator)
    if why:
        LOG.info(why)
        if on_notice:
            on_notice(why)
    options = _Options(drives, settings, workspace, configure, on_console)
    try:
        return options.start(chosen)
    except exception.ApplianceFailed as error:
        if chosen != 'kvm' or settings.accelerator != 'auto':
            raise
        why = f'The appliance does not start on KVM ({error}); emulating.'
        LOG.warning(why)
        if on_notice:
            on_notice(why)
        return options.start('tcg')


@dataclasses.dataclass(frozen=True)
class _Options:
    drives: Sequence[Drive]
    settings: appliance_settings.ApplianceSettings
    workspace: pathlib.Path | None
    configure: Callable[[Any], None] | None
    on_console: Callable[[str], None] | None

    def start(self, chosen: str) -> Appliance:
        guestfs = import_guestfs()
        tmpdir = pathlib.Path(
            tempfile.mkdtemp(prefix='appliance-', dir=self.workspace)
        )
        appliance: Appliance | None = None
        console: list[str] = []
        worker = concurrent.futures.ThreadPoolExecutor(
            1, thread_name_prefix='guestfs'
        )
        try:
            handle = worker.submit(
                guestfs.GuestFS, python_return_dict=True
            ).result()
            appliance = Appliance(
                handle, chosen, tmpdir, self.workspace, worker
            )
            appliance.listen(console)
            worker.submit(
                self._set_up, guestfs, handle, chosen, tmpdir, console
            ).result()
            appliance.call(handle.launch, timeout=self.settings.launch_timeout)
            appliance.started()
            return appliance
        except BaseException as error:
            if appliance is not None:
                appliance.close()
            else:
                worker.shutdown(wait=False)
            shutil.rmtree(tmpdir, ignore_errors=True)
            if isinstance(error, RuntimeError):
                raise exception.ApplianceFailed(
                    reason=_launch_reason(error, ''.join(console))
                ) from error
            raise

    def _set_up(
        self,
        guestfs: Any,
        handle: Any,
        chosen: str,
        tmpdir: pathlib.Path,
        console: list[str],
    ) -> None:
        # Not libvirt, which LIBGUESTFS_BACKEND may name: it starts qemu where
        # neither our namespaces nor our watch reach it.
        handle.set_backend('direct')
        handle.set_backend_settings([f'force_{chosen}'])
        handle.set_tmpdir(str(tmpdir))
        handle.set_memsize(self.settings.memory)
        handle.set_smp(self.settings.cpus)
        handle.set_network(self.settings.network)
        if network.is_restricted(self.settings):
            handle.set_hv(str(network.hypervisor(handle.get_hv())))
        parameters = [_KERNEL]
        if chosen == 'tcg':
            parameters.append(_TCG_KERNEL)
            handle.config('-cpu', _TCG_CPU)
        handle.set_append(' '.join(parameters))

        def listen(event: int, _handle: int, buf: str, _array: Any) -> None:
            console.append(buf)
            del console[:-200]
            if self.on_console:
                self.on_console(buf)

        handle.set_event_callback(listen, guestfs.EVENT_APPLIANCE)
        for drive in self.drives:
            name, options = drive.options()
            handle.add_drive_opts(name, **options)
        if self.configure:
            self.configure(handle)


def _launch_reason(error: Exception, console: str) -> str:
    # libguestfs' own message is a page about LIBGUESTFS_DEBUG; qemu's
    # message about the disk is on the console.
    for line in console.splitlines():
        if line.startswith(network.ERROR_PREFIX):
            reason = line.removeprefix(network.ERROR_PREFIX).strip()
            return f'its network cannot be kept from this host: {reason}'
        if 'qemu-system' in line and ': ' in line:
            return line.partition(': ')[2].strip()
    return first_line(error)


def first_line(error: BaseException) -> str:
    """The first line of an error's text, without the final full stop."""
    lines = str(error).strip().splitlines() or ['no reason given']
    return lines[0].rstrip('.')


def _child_that_names(directory: pathlib.Path) -> int | None:
    """The qemu of ours that has a file of this directory open."""
    wanted = os.fsencode(directory) + b'/'
    ours = pathlib.Path('/proc/self/cmdline').read_bytes()
    for name in os.listdir('/proc'):
        if not name.isdigit():
            continue
        with contextlib.suppress(OSError, IndexError):
            process = pathlib.Path('/proc', name)
            fields = (process / 'stat').read_text().rpartition(')')[2].split()
            line = (process / 'cmdline').read_bytes()
            # The watcher that libguestfs forks has our own command line;
            # what becomes qemu names it among its first arguments.
            programs = line.split(b'\0')[:_BEFORE_QEMU]
            if (
                int(fields[1]) == os.getpid()
                and line != ours
                and any(b'qemu' in os.path.basename(p) for p in programs)
                and wanted in line
            ):
                return int(name)
    return None


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
