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
"""The disk of a server, as the build job sees it."""

from __future__ import annotations

import pathlib
import time
from typing import TYPE_CHECKING

from imagebuild import exception
from imagebuild.common import guest_program
from imagebuild.common.counts import counted
from imagebuild.drivers import base
from imagebuild.drivers.snapshot import console
from imagebuild.drivers.snapshot import server as servers
from imagebuild.drivers.snapshot import ssh_access

if TYPE_CHECKING:
    # It imports this.
    from imagebuild.drivers.snapshot import attempt as attempts
    from imagebuild.remotes import ssh_settings


class NotAccepted(exception.DistroNotAccepted):
    """The program is not for the system that the server runs."""

    msg_fmt = 'The description is not for this system: %(reason)s.'


class ServerDisk(base.OpenDisk):
    """The disk of a server, of which Nova makes an image."""

    def __init__(self, attempt: attempts.Attempt, virtual_size: int) -> None:
        self.virtual_size = virtual_size
        self._attempt = attempt

    def finish(
        self, output: pathlib.Path, disk_format: base.OutputFormat
    ) -> base.Artifact:
        """See :meth:`base.OpenDisk.finish`."""
        attempt, server = self._attempt, self._server()
        monitor = attempt.context.monitor
        with monitor.step('stop the server'):
            server.stop()
        image_id = attempt.image(server)
        with monitor.step('remove what is left in the cloud'):
            attempt.give_up()
        return base.ImageArtifact(image_id, attempt.stamp)

    def _server(self) -> servers.Server:
        if self._attempt.server is None:
            raise exception.EnvironmentFault('There is no server any more.')
        return self._attempt.server


class ProgramDisk(ServerDisk):
    """A server that configures itself."""

    def run_program(
        self,
        program: guest_program.GuestProgram,
        listener: guest_program.Listener,
    ) -> None:
        """See :meth:`base.OpenDisk.run_program`."""
        attempt = self._attempt
        token, data = attempt.program_data(program)
        attempt.make(data)
        heard = console.Console(token, listener)
        since = time.monotonic()
        while not heard.over:
            time.sleep(attempt.limits.poll_interval)
            self._look(heard, since)

    def _look(self, heard: console.Console, since: float) -> None:
        server = self._server()
        text = server.console(console.LINES)
        if text is not None:
            try:
                heard.read(text)
            except console.Refused as refused:
                raise NotAccepted(reason=refused) from refused
            except console.Unclean as unclean:
                raise exception.StepFailed(
                    f'the server was not cleaned up ({unclean})'
                ) from unclean
        if heard.over:
            return
        status = server.look().get('status')
        now, limits = time.monotonic(), self._attempt.limits
        said = heard.last_lines()
        last = f' The last of its console: {said}' if said else ''
        if status not in ('ACTIVE', 'REBOOT'):
            raise exception.StepFailed(
                f'the server is {status} before it was done.{last}'
            )
        if not heard.begun and now > since + limits.boot_timeout:
            raise exception.StepFailed(
                'the server did not begin with the description in '
                f'{counted(limits.boot_timeout, "second")}: has its image '
                f'cloud-init, and a serial console?{last}'
            )
        if heard.begun and now > heard.heard + limits.silence_timeout:
            raise exception.StepFailed(
                'nothing was heard of the server for '
                f'{counted(limits.silence_timeout, "second")}.{last}'
            )


class SshDisk(ServerDisk):
    """A server that is reached by SSH.

    :raises ServerFailed: it was not made, or has no address.
    :raises HostUnreachable: it does not let us in.
    """

    def __init__(self, attempt: attempts.Attempt, virtual_size: int) -> None:
        super().__init__(attempt, virtual_size)
        context, limits = attempt.context, attempt.limits
        self._access = ssh_access.Access()
        server = attempt.make(self._access.user_data)
        address = attempt.make_floating(server)
        with context.monitor.step('wait until the server lets us in'):
            self.remote = self._access.connect(
                ssh_access.machine_address(address)
                if address
                else ssh_access.address_of(server.look()),
                limits.ssh_port,
                seconds=limits.boot_timeout,
                command_timeout=context.settings.command_timeout,
                run_timeout=context.settings.run_timeout,
                look=server.look,
                on_lost=self._lost,
            )

    def _lost(self, loss: ssh_settings.Loss) -> Exception:
        """Whose fault it is that the server is not to be reached any more.

        Nothing runs on it but what the description says: if the server itself
        has ended its SSH server or the connection, it was that. Silence may
        be that of the network or of its host, which Nova need not know of.
        """
        seen = ''
        try:
            if self._server().look().get('status') == 'ACTIVE':
                seen = loss.again()
            # Nova may have learnt meanwhile that it is off.
            status = self._server().look().get('status')
        except exception.EnvironmentFault as found:
            return found
        is_off = status in ('REBOOT', servers.OFF) and loss.by_machine
        if not is_off and not (seen and status == 'ACTIVE'):
            return loss.error
        said = str(loss.error).rstrip('.') + (
            f'; then: {seen}' if seen else ''
        )
        return exception.GuestBroken(
            what='What ran on the server',
            reason=f'since {loss.ran} its SSH connection is lost, and Nova '
            f'has it as {status} ({said})',
        )

    def finish(
        self, output: pathlib.Path, disk_format: base.OutputFormat
    ) -> base.Artifact:
        """See :meth:`base.OpenDisk.finish`."""
        self._access.leave(self.remote, self._attempt.stamp.name)
        self.close()
        return super().finish(output, disk_format)

    def close(self) -> None:
        """Close the way in."""
        self.remote.close()
