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
"""Plugin classes of OpenStack Sahara as recipes.

An entry point ``imagebuild.recipes`` may name a provisioning plugin of Sahara
as it is. Sahara calls ``pack_image(version, remote, test_only, ...)`` with a
remote of its own (``sahara.cli.image_pack.api.ImageRemote`` in Sahara 19);
both are translated here. What the plugin sets in Python, such as defaults and
choices of each version, is what counts.
"""

from __future__ import annotations

import inspect
import shlex
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from imagebuild import exception
from imagebuild.recipes import base

#: What libguestfs, which Sahara asks, calls a distribution whose ID in
#: os-release differs (guestfs(3), inspect_get_distro).
_DISTROS = {
    'ol': 'oraclelinux',
    'opensuse-leap': 'opensuse',
    'sles': 'sles',
}


class CommandFailed(RuntimeError):
    """A command failed, as Sahara's own remote raises it: a RuntimeError.

    Sahara's validators catch it to find out that a package is missing.
    """


class Remote:
    """What Sahara's validators ask of a system.

    :param remote: an ``imagebuild.remotes.base.Remote``.
    """

    def __init__(self, remote: base.Remote) -> None:
        self._remote = remote

    def execute_command(
        self,
        cmd: str,
        run_as_root: bool = False,
        get_stderr: bool = False,
        raise_when_error: bool = True,
        timeout: float | None = None,
    ) -> tuple[int, str] | tuple[int, str, str]:
        """Run a command line in a shell, as root.

        :param timeout: ignored, as Sahara's remote for images does: a
            package may take longer than the 300 seconds that it defaults to.
        :raises CommandFailed: it failed and ``raise_when_error`` is set.
        """
        del run_as_root, timeout
        done = self._remote.run(['/bin/sh', '-c', cmd], check=False)
        if done.exit_code and raise_when_error:
            raise CommandFailed(
                f'exit code {done.exit_code}: {cmd}\n{done.output}'
            )
        if get_stderr:
            return done.exit_code, done.stdout, done.stderr
        return done.exit_code, done.stdout

    def write_file_to(
        self, path: str, script: str | bytes, run_as_root: bool = False
    ) -> tuple[int, None]:
        """Write a file."""
        del run_as_root
        content = script if isinstance(script, bytes) else script.encode()
        self._remote.write_file(path, content)
        return 0, None

    def read_file_from(self, path: str, run_as_root: bool = False) -> str:
        """Read a file."""
        del run_as_root
        content: bytes = self._remote.read_file(path)
        return content.decode(errors='replace')

    def get_os_distrib(self) -> str:
        """Name the distribution as libguestfs does: ``ubuntu``."""
        for path in ('/etc/os-release', '/usr/lib/os-release'):
            try:
                content = self._remote.read_file(path).decode(errors='replace')
            except exception.RemoteFileNotFound:
                continue
            for line in content.splitlines():
                if line.startswith('ID='):
                    [*values] = shlex.split(line[3:])
                    name = values[0] if values else ''
                    return _DISTROS.get(name, name)
        return 'unknown'


class Plugin:
    """A plugin of Sahara, with the methods that plugins of ours have."""

    def __init__(self, plugin: Any) -> None:
        self._plugin = plugin

    @property
    def description(self) -> str:
        """The plugin's title, '' when it has none."""
        title = getattr(self._plugin, 'get_title', None)
        return str(title()) if callable(title) else ''

    def get_versions(self) -> Sequence[str]:
        """The versions that there are."""
        return list(self._plugin.get_versions())

    def get_image_arguments(self, version: str) -> Any:
        """The arguments, NotImplemented when there are no images of it."""
        return self._plugin.get_image_arguments(version)

    def pack_image(
        self,
        version: str,
        remote: base.Remote,
        reconcile: bool = True,
        image_arguments: Mapping[str, str] | None = None,
    ) -> None:
        """Pack, or check: to Sahara that is ``test_only``."""
        self._plugin.pack_image(
            version,
            Remote(remote),
            test_only=not reconcile,
            image_arguments=dict(image_arguments or {}),
        )


def is_one(plugin: Any) -> bool:
    """Whether an object is a plugin of Sahara.

    It is known by what ``pack_image`` takes, for Sahara need not be here.
    """
    try:
        taken = inspect.signature(plugin.pack_image).parameters
    except (AttributeError, TypeError, ValueError):
        return False
    return 'test_only' in taken and 'reconcile' not in taken
