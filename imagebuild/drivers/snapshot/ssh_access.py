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
"""A way into a server by SSH.

Its user data have the key that may log in as root, which is made for the
attempt, and the key by which the server is known: so nobody in between can be
taken for it, and there is no key pair in Nova that could be left. Neither is
in the image.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import ipaddress
import json
import time
from collections.abc import Callable
from collections.abc import Mapping
from typing import TYPE_CHECKING
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from imagebuild import exception
from imagebuild.drivers.snapshot import leaving
from imagebuild.drivers.snapshot import resource
from imagebuild.remotes.base import Remote

if TYPE_CHECKING:
    from imagebuild.remotes import ssh_settings

#: See :class:`imagebuild.remotes.ssh.SshRemote`.
OnLost = Callable[['ssh_settings.Loss'], Exception]
#: Seconds for one attempt to connect.
_CONNECT = 30.0
#: Waits until cloud-init has ended, in a machine that has it.
_CLOUD_INIT = """
left=$1
while [ "$left" -gt 0 ] && [ -d /run/cloud-init ] &&
    ! [ -e /run/cloud-init/result.json ]; do
    left=$((left - 2))
    sleep 2
done
"""
#: Argument: the public key.
_FORGET = r"""
keys=~root/.ssh/authorized_keys
if [ -e "$keys" ]; then
    left=$(grep -vF -- "$1" "$keys")
    if [ -n "$left" ]; then
        printf '%s\n' "$left" > "$keys"
    else
        rm -f "$keys"
    fi
fi
sync
exit 0
"""


class Access:
    """Keys of one attempt.

    :ivar user_data: for the server, base64.
    :ivar fingerprint: of the key by which the server is known.
    :raises MissingDependency: the library is not installed.
    """

    def __init__(self) -> None:
        # Before a server is made.
        self._ssh, self._ssh_settings = _library()
        login, host = _Key(), _Key()
        self.private_key = login.private
        self.public_key = login.public
        self.fingerprint = host.fingerprint
        config = {
            # No user but root; the users of the image's cloud-init come when
            # it is booted the next time.
            'users': [],
            'disable_root': False,
            'ssh_authorized_keys': [login.public],
            'ssh_deletekeys': True,
            'ssh_genkeytypes': [],
            'ssh_keys': {
                'ed25519_private': host.private,
                'ed25519_public': host.public,
            },
        }
        # JSON is YAML.
        text = f'#cloud-config\n{json.dumps(config)}\n'
        self.user_data = base64.b64encode(text.encode()).decode()

    def connect(
        self,
        address: str,
        port: int,
        *,
        seconds: float,
        command_timeout: float,
        run_timeout: float | None,
        look: Callable[[], object],
        on_lost: OnLost,
    ) -> Remote:
        """Get in, as soon as the server lets us.

        :param seconds: until then.
        :param look: called between two tries; raises when it is in vain.
        :param on_lost: of the Remote, from when it is returned.
        :raises HostUnreachable: it does not let us in.
        """
        ssh, settings = self._ssh, self._ssh_settings
        target = settings.Target(
            settings.Address(address, port, 'root'),
            settings.Login(keys=[self.private_key]),
            settings.HostKeys(pinned=self.fingerprint),
            settings=settings.SshSettings(
                connect_timeout=_CONNECT,
                command_timeout=command_timeout,
                run_timeout=run_timeout,
            ),
        )
        is_in = False

        def lost(loss: ssh_settings.Loss) -> Exception:
            return on_lost(loss) if is_in else loss.error

        end = time.monotonic() + seconds
        while True:
            look()
            remote: Remote | None = None
            try:
                remote = ssh.SshRemote(target, on_lost=lost)
                left = max(end - time.monotonic(), 1.0)
                remote.run(
                    ['/bin/sh', '-c', _CLOUD_INIT, 'sh', f'{left:.0f}'],
                    timeout=left + _CONNECT,
                )
                is_in = True
                return remote
            except exception.EnvironmentFault:
                # It boots.
                if remote is not None:
                    remote.close()
                if time.monotonic() > end:
                    raise
                time.sleep(1)

    def leave(self, remote: Remote, server: str) -> None:
        """Remove from a server what must not be in an image of it.

        :param server: its name.
        """
        text = leaving.text(server) + _FORGET
        remote.run(['/bin/sh', '-c', text, 'sh', self.public_key])


class _Key:
    def __init__(self) -> None:
        key = ed25519.Ed25519PrivateKey.generate()
        self.private = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.OpenSSH,
            serialization.NoEncryption(),
        ).decode()
        self.public = (
            key.public_key()
            .public_bytes(
                serialization.Encoding.OpenSSH,
                serialization.PublicFormat.OpenSSH,
            )
            .decode()
        )
        content = base64.b64decode(self.public.split()[1])
        digest = base64.b64encode(hashlib.sha256(content).digest())
        self.fingerprint = f'SHA256:{digest.decode().rstrip("=")}'


def address_of(found: Mapping[str, Any]) -> str:
    """The address at which a server is reached.

    :param found: the server, as Nova has it.
    :raises ServerFailed: it has none, or one that is no machine's.
    """
    try:
        addresses = [
            ipaddress.ip_address(each['addr'])
            for network in (found.get('addresses') or {}).values()
            for each in network
        ]
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise resource.ServerFailed(
            reason='What Nova says of the addresses of the server cannot be '
            'understood.'
        ) from error
    for version in (4, 6):
        for address in addresses:
            if address.version == version and not _is_apart(address):
                return str(address)
    raise resource.ServerFailed(
        reason='The server has no address at which it could be reached.'
    )


def machine_address(address: str) -> str:
    """A floating address.

    :raises ServerFailed: it is none that a machine could have.
    """
    with contextlib.suppress(ValueError):
        if not _is_apart(ipaddress.ip_address(address)):
            return address
    raise resource.ServerFailed(
        reason='What Neutron says of the floating address cannot be '
        'understood.'
    )


def _is_apart(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return (
        address.is_loopback
        or address.is_link_local
        or address.is_multicast
        or address.is_unspecified
    )


def _library() -> tuple[Any, Any]:
    try:
        from imagebuild.remotes import ssh
        from imagebuild.remotes import ssh_settings
    except ModuleNotFoundError as error:
        raise exception.MissingDependency(
            what=error.name,
            remedy='install the extra "ssh" on the conductors',
        ) from error
    return ssh, ssh_settings
