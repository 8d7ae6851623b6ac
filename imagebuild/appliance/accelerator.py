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
"""Does KVM really run guests on this machine?

``/dev/kvm`` may exist, open and answer while every guest hangs on it (seen
on nested hosts: "KVM internal error. Suberror: 1" early in the guest's
kernel). libguestfs believes the device and waits ten minutes. So a guest is
started once per boot of the host, in a process of its own with a short time
limit, and the answer is remembered.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import pathlib
import subprocess
import sys
import tempfile

from imagebuild.appliance import appliance_settings

LOG = logging.getLogger(__name__)

#: A guest that boots on KVM needs 2 to 6 s; a busy host twice that.
PROBE_TIMEOUT = 30.0

_KVM = pathlib.Path('/dev/kvm')
_BOOT_ID = pathlib.Path('/proc/sys/kernel/random/boot_id')


def choose(wanted: appliance_settings.Accelerator) -> tuple[str, str]:
    """Decide what the appliance runs on.

    :param wanted: what the operator asked for.
    :returns: ``('kvm' | 'tcg', reason)``; the reason is a message for the
        user when emulation is used although KVM might be expected, else ''.
    """
    if wanted != 'auto':
        return wanted, ''
    if 'force_tcg' in os.environ.get('LIBGUESTFS_BACKEND_SETTINGS', ''):
        return 'tcg', ''
    if not _KVM.exists():
        return 'tcg', (
            'There is no /dev/kvm on this machine; guests are emulated, '
            'which is several times slower.'
        )
    if not os.access(_KVM, os.R_OK | os.W_OK):
        return 'tcg', (
            '/dev/kvm may not be opened by this user; guests are emulated, '
            'which is several times slower.'
        )
    if _remembered_or_probed():
        return 'kvm', ''
    return 'tcg', (
        '/dev/kvm is there but guests do not run on it; guests are '
        'emulated, which is several times slower.'
    )


def known(wanted: appliance_settings.Accelerator) -> str:
    """What :func:`choose` would say, as far as no guest has to be started.

    :returns: ``kvm``, ``tcg``, or '' when nobody has tried it yet.
    """
    if (
        wanted != 'auto'
        or not os.access(_KVM, os.R_OK | os.W_OK)
        or 'force_tcg' in os.environ.get('LIBGUESTFS_BACKEND_SETTINGS', '')
    ):
        return choose(wanted)[0]
    works = _remembered(_boot_id())
    return '' if works is None else ('kvm' if works else 'tcg')


def cache_file() -> pathlib.Path:
    """Where the answer is remembered, one file for each user."""
    base = os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache')
    return pathlib.Path(base, 'imagebuild', 'kvm.json')


def _boot_id() -> str:
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ''


def _remembered_or_probed() -> bool:
    boot = _boot_id()
    works = _remembered(boot)
    if works is None:
        works = probe()
        if boot:
            _remember(boot, works)
    return works


def _remembered(boot: str) -> bool | None:
    """What was found out since this boot, None for nothing."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        found = json.loads(cache_file().read_text())
        if boot and found['boot_id'] == boot:
            return bool(found['works'])
    return None


def _remember(boot: str, works: bool) -> None:
    # Written beside and renamed: two programs may probe at once.
    path = cache_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            'w', dir=path.parent, delete=False
        ) as stream:
            json.dump({'boot_id': boot, 'works': works}, stream)
        os.replace(stream.name, path)
    except OSError as error:
        LOG.debug('The KVM probe could not be remembered: %s', error)


def probe(timeout: float = PROBE_TIMEOUT) -> bool:
    """Start a guest on KVM and see whether it comes up.

    :param timeout: seconds.
    :returns: True when the appliance came up on KVM within the time.
    """
    LOG.info('Trying once whether guests run on /dev/kvm.')
    command = [sys.executable, '-m', 'imagebuild.appliance.kvm_probe']
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            return process.wait(timeout) == 0
        except subprocess.TimeoutExpired:
            return False
        finally:
            # The group: qemu is a child of the probe.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, 9)
            process.wait()
