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
"""An SSH server of this process, for tests of what machines may do to us.

The other end of the same library; what holds over OpenSSH's sshd is in
tests/integration/test_ssh.py. Its commands run on this host, as whoever runs
the tests, and find that they are root.
"""

import asyncio
import contextlib
import os
import signal
import threading

import asyncssh

PASSWORD = 'right horse'
#: What makes whoever runs the tests root, if he is not.
_AS_ROOT = [] if os.geteuid() == 0 else ['unshare', '--map-root-user']
#: Runs $1 as sshd does.
SHELL = 'exec /bin/sh -c "$1"'


class SshServer:
    """A server.

    :param shell: shell text that is given a command as ``$1``.
    :param key: its host key; a new one by default.
    :param opens: the ports to which it forwards, as a jump host.
    :param options: more for the library.
    :ivar port: of 127.0.0.1, or of ``host``.
    :ivar commands: that it was told to run.
    :ivar connections: those that were made, in order.
    """

    def __init__(
        self,
        shell=SHELL,
        *,
        key=None,
        host='127.0.0.1',
        opens=(),
        users=(),
        **options,
    ):
        self.shell = shell
        self._options = options
        self.key = key or asyncssh.generate_private_key('ssh-ed25519')
        self.host = host
        self.opens = list(opens)
        #: Public keys that may log in.
        self.users = list(users)
        self.commands = []
        self.connections = []
        self.forwarded = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, daemon=True
        )
        self._thread.start()
        self._call(self._listen())

    @property
    def fingerprint(self):
        return self.key.get_fingerprint()

    @property
    def known(self):
        """Its line of a file of known hosts."""
        public = self.key.export_public_key().decode().split()[:2]
        return f'[{self.host}]:{self.port} {" ".join(public)}\n'

    def _call(self, work):
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        return future.result(30)

    async def _listen(self, port=0):
        self._listener = await asyncssh.listen(
            self.host,
            port,
            server_factory=lambda: _Login(self),
            server_host_keys=[self.key],
            process_factory=self._run,
            encoding=None,
            **self._options,
        )
        self.port = self._listener.get_port()

    async def _run(self, process):
        self.commands.append(process.command)
        child = await asyncio.create_subprocess_exec(
            *(*_AS_ROOT, '/bin/sh', '-c', self.shell, 'sh', process.command),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        reads = asyncio.ensure_future(_copy(process.stdin, child.stdin))
        try:
            await asyncio.gather(
                _copy(child.stdout, process.stdout),
                _copy(child.stderr, process.stderr),
            )
            code = await child.wait()
        except asyncio.CancelledError:
            # The server is closed: some shells would never end.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            raise
        finally:
            reads.cancel()
            # Or the garbage collector does so, without a loop.
            child._transport.close()
            await child.wait()
        process.exit(code)

    def change_key(self):
        """What it presents from now on: as a machine that was made again."""
        self.key = asyncssh.generate_private_key('ssh-ed25519')

        async def again():
            port = self.port
            self._listener.close()
            await self._listener.wait_closed()
            await self._listen(port)

        self._call(again())

    def cut(self, *, stop=False):
        """Break all connections, as a machine that reboots.

        :param stop: and listen no more, as one whose sshd is killed.
        """

        async def cut():
            if stop:
                self._listener.close()
            for each in self.connections:
                each.abort()

        self._call(cut())

    def close(self):
        async def close():
            self._listener.close()
            for each in self.connections:
                each.abort()
            await asyncio.sleep(0)
            if tasks := asyncio.all_tasks() - {asyncio.current_task()}:
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks, timeout=5)
            await asyncio.sleep(0)

        with contextlib.suppress(Exception):
            self._call(close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.close()


async def _copy(reader, writer):
    """Until the end of either; what is read from us is closed then."""
    with contextlib.suppress(asyncssh.Error, OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    if isinstance(writer, asyncio.StreamWriter):
        writer.close()


class _Login(asyncssh.SSHServer):
    def __init__(self, server):
        self._server = server

    def connection_made(self, conn):
        self._server.connections.append(conn)

    def password_auth_supported(self):
        return True

    def validate_password(self, username, password):
        return password == PASSWORD

    def public_key_auth_supported(self):
        return bool(self._server.users)

    def validate_public_key(self, username, key):
        return key in self._server.users

    def connection_requested(self, dest_host, dest_port, *_origin):
        self._server.forwarded.append((dest_host, dest_port))
        return dest_port in self._server.opens
