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
"""What is cleaned up in an image after its manifest has run."""

from __future__ import annotations

from collections.abc import Callable

from imagebuild import distros
from imagebuild.manifest import base_facts
from imagebuild.manifest import monitors
from imagebuild.manifest import reports
from imagebuild.manifest import runnable
from imagebuild.manifest import step_cache
from imagebuild.remotes.base import Remote

# What must differ between machines made from one image. machine-id is emptied,
# not removed: systemd mounts over the file when / is read-only, and cannot
# make one then. A missing host key
# is made again by sshd's or cloud-init's first start.
#: Shell text; it removes what must differ.
GENERALIZE = """
[ -e /etc/machine-id ] && : >/etc/machine-id
[ -L /var/lib/dbus/machine-id ] || rm -f /var/lib/dbus/machine-id
rm -f /etc/ssh/ssh_host_*_key /etc/ssh/ssh_host_*_key.pub
rm -f /var/lib/systemd/random-seed /var/lib/systemd/credential.secret
rm -f /var/lib/dhcp/*.leases /var/lib/NetworkManager/*.lease
rm -f /etc/udev/rules.d/70-persistent-net.rules
rm -rf /var/lib/cloud/instance /var/lib/cloud/instances
rm -rf /var/lib/cloud/data /var/lib/cloud/sem
find /root /home -maxdepth 2 -name '.*_history' -delete 2>/dev/null
find /var/log -type f -exec sh -c ': >"$1"' - {} \\; 2>/dev/null
"""


class MachineIdentity:
    """Keeps a run from giving every later machine the same identity.

    The scripts of some packages (systemd, dbus) fill in an empty machine-id;
    all machines made from the image would then share it. Made before the
    run; :meth:`restore` after it.

    :param facts: what the system was like, when some of the steps have been
        applied to it already.
    """

    def __init__(
        self,
        remote: Remote,
        facts: base_facts.BaseFacts | None = None,
    ) -> None:
        self._remote = remote
        self._before = facts.machine_id if facts else self._read()

    def _read(self) -> bytes | None:
        return base_facts.read_machine_id(self._remote)

    def restore(self) -> None:
        """Put back what was there, unless it was a machine's own identity."""
        before = self._before
        if before not in base_facts.UNSET or self._read() == before:
            return
        if before is None:
            self._remote.remove_file(base_facts.MACHINE_ID)
        else:
            self._remote.write_file(base_facts.MACHINE_ID, before, mode=0o444)


def run(
    what: runnable.Runnable,
    remote: Remote,
    *,
    monitor: monitors.Monitor | None = None,
    keep_cache: bool = False,
    generalize: bool = False,
    before_cleanup: Callable[[], None] | None = None,
    cache: step_cache.StepCache | None = None,
) -> reports.Report:
    """Bring an image into a described state and clean up after it.

    An image that was as described already is left alone, unless it is to be
    generalized.

    :param what: is run over the remote, in reconcile.
    :param keep_cache: see :func:`clean_up`.
    :param generalize: see :func:`clean_up`.
    :param before_cleanup: called when the run was good and cleaning up
        begins; not when there is nothing to clean up.
    :param cache: see :meth:`imagebuild.manifest.Runnable.run`.
    :raises ImageBuildError: as the run does.
    :raises StepError: it could not be cleaned up.
    """
    identity = MachineIdentity(remote, cache.facts() if cache else None)
    report = what.run(remote, reconcile=True, monitor=monitor, cache=cache)
    if not report.changed and not generalize:
        return report
    if before_cleanup:
        before_cleanup()
    identity.restore()
    clean_up(remote, keep_cache=keep_cache, generalize=generalize)
    return report


def clean_up(
    remote: Remote,
    *,
    keep_cache: bool = False,
    generalize: bool = False,
) -> None:
    """Clean up: one call into the guest, none if there is nothing to do.

    :param keep_cache: leave the package manager's caches.
    :param generalize: remove what must differ between machines: machine-id,
        SSH host keys, random seed, DHCP leases, cloud-init's memory, logs
        and shell histories.
    :raises StepError: it could not be done.
    """
    script = ''
    if not keep_cache:
        script += distros.detect(remote).cache_cleanup() + '\n'
    if generalize:
        script += GENERALIZE
    if script:
        remote.run(['/bin/sh', '-c', script + '\nexit 0\n'])
