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
"""A connection to a machine by SSH, with all that can go wrong on the way.

The library is asyncssh. Each connection has an event loop in a thread of its
own, so that a machine that floods us hinders nobody else's; callers wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import fcntl
import functools
import os
import pathlib
import socket
import threading
import time
from collections.abc import Callable
from collections.abc import Coroutine
from typing import Any
from typing import TypeVar

import asyncssh
import tenacity

from imagebuild import exception
from imagebuild.common import control_characters
from imagebuild.common.counts import counted
from imagebuild.remotes import ssh_channel
from imagebuild.remotes import ssh_settings

T = TypeVar('T')

#: Characters of a message of the far end that are repeated.
_LONGEST = 200
#: Seconds for a channel, which is no more than a question and an answer.
_CHANNEL = 30.0
#: Seconds that the library may be late with what has a limit of its own.
_LATE = 5.0
#: Seconds for closing what the far end need not agree to.
_CLOSING = 2.0
#: Attempts to connect, of which all but the last were dropped, and the longest
#: pause between them, in seconds.
_ATTEMPTS = 3
_PAUSE = 2.0
#: Seconds for one attempt to get into a machine that was lost.
_AGAIN = 8.0
#: The library's word for the end of a connection by the other side; its own
#: limits (keepalive, login) have errors of the same class.
_CLOSED = 'Connection lost'
#: What a dropped connection looks like, besides the library's own error.
_DROPPED = (BrokenPipeError, ConnectionAbortedError, ConnectionResetError)


class HostUnreachable(exception.EnvironmentFault):
    """A machine cannot be reached, or does not let us in.

    :ivar by_machine: whether the machine has said so, or has ended the
        connection: silence may be that of the network.
    """

    by_machine = False
    msg_fmt = '%(host)s cannot be used: %(reason)s.'


def said(error: object) -> str:
    """What somebody else says, on one line, without control characters."""
    text = ' '.join(str(error).split()) or type(error).__name__
    return control_characters.escaped(text)[:_LONGEST].rstrip('.')


def unreachable(
    address: object, reason: str, *, by_machine: bool = False
) -> HostUnreachable:
    """The error of a machine that cannot be used."""
    error = HostUnreachable(host=str(address), reason=reason)
    error.by_machine = by_machine
    return error


def is_by_machine(error: BaseException | None) -> bool:
    """Whether a machine has ended or refused a connection by itself.

    :param error: None for an end without one.
    """
    if isinstance(error, asyncssh.ConnectionLost):
        return error.reason == _CLOSED
    ends = (ConnectionRefusedError, *_DROPPED, asyncssh.PermissionDenied)
    return error is None or isinstance(error, ends)


def again(target: ssh_settings.Target, seconds: float, lost: bool) -> str:
    """Try to get into a machine that is not to be reached any more.

    :param seconds: as long as nothing is heard of it.
    :param lost: whether the machine itself had ended what we had there.
    :returns: what shows that the machine is to blame, '' for nothing: it
        refuses us; or it lets us in, so that no network has ended the rest.
    """
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        settings = dataclasses.replace(
            target.settings, connect_timeout=max(min(left, _AGAIN), 1.0)
        )
        try:
            Connection(dataclasses.replace(target, settings=settings)).close()
        except HostUnreachable as error:
            if error.by_machine:
                return str(error.kwargs['reason'])
        else:
            return 'it lets us in again' if lost else ''
        time.sleep(min(left, _PAUSE))
    return ''


class Connection:
    """A machine that has let us in.

    :param target: the machine and how to get in.
    :raises HostUnreachable: it does not let us in.
    :raises InvalidInput: a key cannot be used.
    """

    def __init__(self, target: ssh_settings.Target) -> None:
        self._target = target
        self._keys = [
            private_key(text, target.login.passphrase)
            for text in target.login.keys
        ]
        self._connections: list[asyncssh.SSHClientConnection] = []
        self._silent = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever,
            name=f'ssh {target.address}',
            daemon=True,
        )
        self._lock = threading.Lock()
        self._closed = False
        self._thread.start()
        try:
            for address in (*target.jumps, target.address):
                self._connections.append(
                    self._call(
                        self._connect(address),
                        target.settings.connect_timeout + _LATE,
                    )
                )
        except TimeoutError:
            # This host is too busy, or is flooded.
            self.close()
            raise unreachable(
                target.address, 'there was no time to talk to it'
            ) from None
        except BaseException:
            self.close()
            raise

    def open(self, command: str) -> ssh_channel.Channel:
        """Start a command.

        :raises HostUnreachable: the connection is lost, or the machine
            refuses.
        """
        address = self._target.address
        if self._closed:
            raise unreachable(address, 'the connection is closed')
        connection = self._connections[-1]

        async def start() -> ssh_channel.Channel:
            channel = ssh_channel.Channel(self._loop)
            await asyncio.wait_for(
                connection.create_session(
                    lambda: channel,
                    command,
                    encoding=None,
                    env=(),
                    send_env=(),
                    term_type=None,
                ),
                _CHANNEL,
            )
            return channel

        try:
            return self._call(start(), _CHANNEL + _LATE)
        except TimeoutError:
            raise unreachable(
                address, f'it did not answer for {_CHANNEL:.0f} seconds'
            ) from None
        except (asyncssh.Error, OSError) as error:
            raise unreachable(
                address,
                f'it starts no command ({said(error)})',
                by_machine=not self._silent,
            ) from error

    def _call(self, work: Coroutine[Any, Any, T], timeout: float) -> T:
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(timeout)
        except BaseException:
            # Also when whoever waits is interrupted.
            future.cancel()
            raise

    async def _connect(
        self, address: ssh_settings.Address
    ) -> asyncssh.SSHClientConnection:
        target = self._target
        limit = target.settings.connect_timeout
        keys = target.host_keys
        if len(self._connections) < len(target.jumps):
            # The fingerprint is that of the machine behind it.
            keys = dataclasses.replace(keys, pinned=None)
        client = _Client(address, keys, self._note_end)
        by_machine = False
        try:
            return await asyncio.wait_for(
                self._attempts(address, client), limit
            )
        except TimeoutError:
            reason = f'it did not let us in within {counted(limit, "second")}'
            if client.drop:
                reason += f', and before: {client.drop}'
        except asyncssh.PermissionDenied as error:
            by_machine = True
            reason = self._refused(error)
        except asyncssh.HostKeyNotVerifiable as error:
            reason = client.refusal or f'its key is refused: {said(error)}'
        except asyncssh.ChannelOpenError as error:
            before = target.jumps[len(self._connections) - 1]
            reason = f'{before} does not get there ({said(error)})'
        except (asyncssh.Error, OSError, ValueError) as error:
            by_machine = is_by_machine(error)
            reason = _reason(error)
            if client.was_dropped(error):
                reason += f', {_ATTEMPTS} times'
        if len(self._connections) < len(target.jumps):
            by_machine = False
            reason = f'the jump host {address}: {reason}'
        raise unreachable(target.address, reason, by_machine=by_machine)

    def _note_end(self, error: Exception | None) -> None:
        self._silent |= not is_by_machine(error)

    async def _attempts(
        self, address: ssh_settings.Address, client: _Client
    ) -> asyncssh.SSHClientConnection:
        """Connect, and do so again if the connection is dropped at once.

        sshd drops connections at random when many are not logged in yet
        (``MaxStartups`` of sshd_config(5), 10:30:100), and all while it is
        started again. No login was offered then.
        """

        async def connect() -> asyncssh.SSHClientConnection:
            return await asyncssh.connect(
                address.host,
                client_factory=lambda: client,
                tunnel=self._connections[-1] if self._connections else (),
                known_hosts=client.known,
                **self._options(address),
            )

        return await tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception(client.was_dropped),
            stop=tenacity.stop_after_attempt(_ATTEMPTS),
            wait=tenacity.wait_random(_PAUSE / 4, _PAUSE),
            before_sleep=client.note_drop,
            reraise=True,
        )(connect)

    def _options(self, address: ssh_settings.Address) -> dict[str, Any]:
        login = self._target.login
        settings = self._target.settings
        options: dict[str, Any] = {
            'keepalive_interval': settings.keepalive,
            'keepalive_count_max': 3,
            'login_timeout': settings.connect_timeout,
            'agent_forwarding': False,
            'x11_forwarding': False,
            'gss_host': None,
            # What a packet grows to would be for the machine to say.
            'compression_algs': ['none'],
            'password': login.password,
        }
        if self._keys:
            options['client_keys'] = self._keys
        if not login.own:
            options |= {'config': None, 'agent_path': None}
            options.setdefault('client_keys', None)
        if address.port is not None:
            options['port'] = address.port
        if address.user is not None:
            options['username'] = address.user
        return options

    def _refused(self, error: Exception) -> str:
        login = self._target.login
        tried = [
            *(['the given key'] if login.keys else []),
            *(['the agent and the keys of ~/.ssh'] if login.own else []),
            *(['the password'] if login.password is not None else []),
        ]
        return (
            'it refuses the login with '
            f'{" and ".join(tried) or "nothing"} ({said(error)})'
        )

    def close(self) -> None:
        """Close everything; from any thread, and again without error."""
        with self._lock:
            if self._closed:
                return
            self._closed = True

        async def close() -> None:
            for connection in reversed(self._connections):
                connection.abort()
            # Sockets are closed, and channels hear of it, in later turns.
            with contextlib.suppress(Exception):
                await asyncio.wait_for(
                    asyncio.gather(
                        *(each.wait_closed() for each in self._connections),
                        return_exceptions=True,
                    ),
                    _CLOSING,
                )
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
            await asyncio.sleep(0)
            self._loop.stop()

        asyncio.run_coroutine_threadsafe(close(), self._loop)
        self._thread.join(_CLOSING + 5)
        if not self._thread.is_alive():
            self._loop.close()


def _reason(error: Exception) -> str:
    """Why a connection was not made; asyncio leaves the words out."""
    if isinstance(error, asyncssh.ConnectionLost):
        return 'it closed the connection before it let us in'
    number = getattr(error, 'errno', None)
    if isinstance(number, int) and not isinstance(error, socket.gaierror):
        return os.strerror(number)
    return said(getattr(error, 'strerror', None) or error)


@functools.lru_cache(maxsize=64)
def private_key(text: str, passphrase: str | None = None) -> asyncssh.SSHKey:
    """Read a private key; opening one takes a second, so it is kept.

    :param text: as in its file.
    :raises InvalidInput: it is none, or is protected by another passphrase.
    """
    try:
        return asyncssh.import_private_key(text, passphrase)
    except asyncssh.KeyEncryptionError:
        raise exception.InvalidInput(
            'The passphrase does not open the private key.'
        ) from None
    except (asyncssh.KeyImportError, ValueError) as error:
        if passphrase is None and 'passphrase' in str(error).lower():
            raise exception.InvalidInput(
                'The private key is protected by a passphrase, and none is '
                'given.'
            ) from None
        raise exception.InvalidInput(
            'What is given as a private key is none.'
        ) from None


class _Client(asyncssh.SSHClient):
    """Judges the key of a machine.

    :param on_end: called with why the connection ended.
    :ivar refusal: why it was refused.
    :ivar drop: how the connection of an earlier attempt ended.
    """

    def __init__(
        self,
        address: ssh_settings.Address,
        host_keys: ssh_settings.HostKeys,
        on_end: Callable[[Exception | None], None],
    ) -> None:
        self._address = address
        self._on_end = on_end
        self._host_keys = host_keys
        self._is_known = False
        self._connection: asyncssh.SSHClientConnection | None = None
        self.refusal = ''
        self.drop = ''

    def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
        """Called by the library."""
        self._connection = conn

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the library."""
        self._on_end(exc)

    def was_dropped(self, error: BaseException) -> bool:
        """Whether a connection ended before anything was agreed upon."""
        if not isinstance(error, (asyncssh.ConnectionLost, *_DROPPED)):
            return False
        made = self._connection
        return made is None or made.get_extra_info('send_cipher') is None

    def note_drop(self, state: tenacity.RetryCallState) -> None:
        """Remember why another attempt is made."""
        error = state.outcome and state.outcome.exception()
        if isinstance(error, Exception):
            self.drop = _reason(error)

    def known(self, host: str, addr: str, port: int | None) -> Any:
        """What is known of it; called by the library."""
        if self._host_keys.pinned:
            return [], [], []
        found: list[list[Any]] = [[], [], [], [], [], [], []]
        for path in self._host_keys.files:
            if not path.is_file():
                continue
            try:
                known = asyncssh.read_known_hosts(str(path))
            except (OSError, ValueError) as error:
                raise ValueError(f'{path}: {said(error)}') from None
            matched = known.match(host, addr, port)
            for whole, part in zip(found, matched, strict=True):
                whole.extend(part)
        self._is_known = any(found[:2])
        return tuple(found)

    def validate_host_public_key(
        self, host: str, addr: str, port: int, key: asyncssh.SSHKey
    ) -> bool:
        """Called with a key that is not among those that are known."""
        fingerprint = key.get_fingerprint()
        kind = key.get_algorithm()
        pinned = self._host_keys.pinned
        if pinned:
            self.refusal = (
                f'its key {fingerprint} ({kind}) is not the expected {pinned}'
            )
            return fingerprint == pinned
        if self._is_known:
            self.refusal = (
                f'its key {fingerprint} ({kind}) is not the one that is '
                f'known{self._where()}: the machine was made again, or '
                'somebody is in between; remove the old key if it was'
            )
            return False
        if self._host_keys.accept_new:
            self._remember(host, port, key)
            return True
        self.refusal = (
            f'its key {fingerprint} ({kind}) is not known{self._where()}: '
            'compare it with the one on the machine, and accept it with '
            '--accept-new'
        )
        return False

    def _where(self) -> str:
        files = [str(path) for path in self._host_keys.files]
        return f' in {" or ".join(files)}' if files else ''

    def _remember(self, host: str, port: int, key: asyncssh.SSHKey) -> None:
        if not self._host_keys.files:
            return
        name = host if port == ssh_settings.PORT else f'[{host}]:{port}'
        public = key.export_public_key().decode().split()[:2]
        _append(self._host_keys.files[0], ' '.join([name, *public]) + '\n')


def _append(path: pathlib.Path, line: str) -> None:
    """Add a line to a file; several programs may do it at once."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT
    with open(os.open(path, flags, 0o600), 'r+b') as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        content = file.read()
        if line.encode() in content:
            return
        start = b'\n' if content and not content.endswith(b'\n') else b''
        file.write(start + line.encode())
