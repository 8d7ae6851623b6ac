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
"""What is installed: asked once, remembered until something changes it."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Sequence

from imagebuild import distros
from imagebuild import exception
from imagebuild.remotes.base import OutputCallback
from imagebuild.remotes.base import Remote


class PackageCache:
    """The packages of one system during one run.

    :param distro: how to ask and to install.
    :param remote: the way in.
    :param known: every package that the manifest may ask about, so that one
        question answers them all.
    """

    def __init__(
        self,
        distro: distros.Distro,
        remote: Remote,
        known: Iterable[distros.Package] = (),
    ) -> None:
        self._distro = distro
        self._remote = remote
        self._known = set(known)
        self._state: distros.PackageState | None = None
        self._refreshed = False
        self._index_is_old = False
        self._arguments: dict[str, tuple[str, ...]] = {}

    def resume(self, *, index_fetched: bool) -> None:
        """Go on from what an earlier run knew.

        :param index_fetched: it had fetched the package index, which is on
            the disk.
        """
        self._state = None
        self._refreshed = self._index_is_old = index_fetched

    def forget(self) -> None:
        """Something ran that may have changed what is installed."""
        self._state = None

    def index_is_stale(self) -> None:
        """A repository was added: the next installation fetches the index."""
        self._refreshed = False

    def name_repository(self, url: str, arguments: Sequence[str]) -> None:
        """Say which arguments the address of a repository is made of."""
        self._arguments[url] = tuple(arguments)

    @property
    def refresh_needed(self) -> bool:
        """Whether the next installation fetches the package index."""
        return not self._refreshed

    def missing(
        self, packages: Sequence[distros.Package]
    ) -> list[distros.Package]:
        """Those that are not installed (at their version).

        :raises StepError: the package database cannot be read.
        """
        return self._current(packages).missing(packages)

    def version(self, name: str) -> str | None:
        """The installed version of a package, None when it is not."""
        return self._current([distros.Package(name)]).version(name)

    def _current(
        self, packages: Iterable[distros.Package]
    ) -> distros.PackageState:
        unknown = set(packages) - self._known
        # A name that nobody asked about before: the families with rpm look
        # up what provides a name only for those they were given.
        if self._state is None or unknown:
            self._known |= unknown
            self._state = self._distro.package_state(
                self._remote, sorted(self._known, key=str)
            )
        return self._state

    def install(
        self,
        packages: Sequence[distros.Package],
        on_output: OutputCallback | None = None,
    ) -> None:
        """Install in one transaction; the index is fetched once per run.

        An index of an earlier run may name what has gone meanwhile: it is
        fetched again when an installation fails.

        :raises RepositoryUnusable: it failed, and so did a repository.
        :raises RemoteCommandFailed: the package manager failed.
        """
        try:
            self._install(packages, on_output)
        except exception.StepError:
            if not self._index_is_old:
                raise
            self._index_is_old = self._refreshed = False
            self._install(packages, on_output)

    def _install(
        self,
        packages: Sequence[distros.Package],
        on_output: OutputCallback | None,
    ) -> None:
        refresh = not self._refreshed
        # Whatever happens, what was known holds no longer.
        self._state = None
        self._known |= set(packages)
        try:
            self._state = self._distro.install(
                self._remote,
                packages,
                refresh=refresh,
                asked_about=sorted(self._known, key=str),
                on_output=on_output,
            )
        except distros.RepositoryUnusable as error:
            raise error.naming(self._arguments) from error
        if refresh:
            self._index_is_old = False
        self._refreshed = True
