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
"""What a family of distributions is: the same verbs, other commands.

A family is one file in this directory and one line under the entry point
``imagebuild.distros``; another package can add one the same way. Every
method that reaches into the system is one call, since a call costs half a
second under emulation whatever it carries.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Iterable
from collections.abc import Sequence
from typing import ClassVar

from imagebuild.distros import os_releases
from imagebuild.remotes.base import OutputCallback
from imagebuild.remotes.base import Remote


@dataclasses.dataclass(frozen=True, order=True)
class Package:
    """A package that is wanted.

    :ivar name: as the package manager takes it; may be a virtual or
        provided name, and may carry an architecture.
    :ivar version: exactly this one, in the package manager's own spelling;
        None for any.
    """

    name: str
    version: str | None = None

    def __str__(self) -> str:
        return f'{self.name} ({self.version})' if self.version else self.name


class PackageState(abc.ABC):
    """A snapshot of what is installed, taken in one call."""

    @abc.abstractmethod
    def satisfies(self, package: Package) -> bool:
        """Whether a package is installed, at its version if it names one.

        A virtual name counts when something installed provides it.
        """

    @abc.abstractmethod
    def version(self, name: str) -> str | None:
        """The installed version of a package, None when it is not."""

    def missing(self, packages: Iterable[Package]) -> list[Package]:
        """Those that are not satisfied, in the order given."""
        return [item for item in packages if not self.satisfies(item)]


@dataclasses.dataclass(frozen=True)
class Repository:
    """A package repository to be added.

    :ivar name: file name without its ending; letters, digits, ``_-``.
    :ivar url: base URL.
    :ivar suites: apt suites; not used by other families.
    :ivar components: apt components.
    :ivar key: armoured OpenPGP key, '' for none.
    :ivar trusted: accept packages without a signature.
    :ivar priority: the family's own priority number, None for its default.
    """

    name: str
    url: str
    suites: tuple[str, ...] = ()
    components: tuple[str, ...] = ()
    key: str = ''
    trusted: bool = False
    priority: int | None = None


@dataclasses.dataclass(frozen=True)
class ConfigFile:
    """A file that must have a content.

    :ivar path: absolute.
    :ivar content: bytes.
    :ivar mode: permission bits.
    """

    path: str
    content: bytes
    mode: int = 0o644


class Distro(abc.ABC):
    """One family, bound to the release found in a system.

    :cvar family: its name, as ``os_case`` uses it.
    :cvar ids: os-release IDs that belong to it even when their ``ID_LIKE``
        does not say so.
    """

    family: ClassVar[str]
    ids: ClassVar[frozenset[str]]

    def __init__(self, os_release: os_releases.OsRelease) -> None:
        self.os_release = os_release

    def names(self) -> tuple[str, ...]:
        """Everything that ``os_case`` may call this system."""
        return (*self.os_release.names(), self.family)

    @abc.abstractmethod
    def package_state(
        self,
        remote: Remote,
        packages: Iterable[Package],
    ) -> PackageState:
        """Look at what is installed, without any network: one call.

        :param packages: the names that will be asked about.
        :raises StepError: the package database cannot be read.
        """

    @abc.abstractmethod
    def install(
        self,
        remote: Remote,
        packages: Sequence[Package],
        *,
        refresh: bool,
        asked_about: Iterable[Package] = (),
        on_output: OutputCallback | None = None,
    ) -> PackageState:
        """Install packages in one transaction and look again: one call.

        No service is started by it.

        :param packages: what is missing, at least one.
        :param refresh: fetch the package index first.
        :param asked_about: further names the returned state must know.
        :returns: what is installed afterwards.
        :raises RemoteCommandFailed: the package manager failed; its
            ``stderr`` is what it printed.
        """

    @abc.abstractmethod
    def install_plan(
        self, packages: Sequence[Package], *, refresh: bool
    ) -> list[list[str]]:
        """The commands :meth:`install` would run, for people to read."""

    @abc.abstractmethod
    def repository_files(self, repository: Repository) -> list[ConfigFile]:
        """The files that make a repository known to the package manager."""

    @abc.abstractmethod
    def cache_cleanup(self) -> str:
        """Shell commands that remove the package manager's caches.

        They are run with ``/bin/sh`` inside the system, together with other
        clean-up, and must not fail when there is nothing to remove.
        """

    #: Shell text for a guest that nobody reaches from outside: it is true
    #: when the package ``$1`` is installed, at the version ``$2`` unless that
    #: is empty. Families without it cannot be used there.
    look_script: ClassVar[str] = ''
    #: Packages that make Python virtual environments and pip work.
    pip_packages: ClassVar[tuple[Package, ...]] = ()
