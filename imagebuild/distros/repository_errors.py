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
"""What is wrong with repositories, in what a package manager printed.

apt goes on without a repository that does not answer and then does not know
a package; what people must read stands far above.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import ClassVar
from typing import Literal

from imagebuild import exception

# Of apt: the address and the reason.
_APT = (
    re.compile(r'^[EW]: Failed to fetch (\S+)  (.+)$', re.M),
    re.compile(r"^E: The repository '(\S+)[^']*' (.+)$", re.M),
    re.compile(r'^E: Release file for (\S+) (is [a-z ]+ \([^)]*\))', re.M),
    # It goes on with what it had before.
    re.compile(r'^W: An error occurred .*GPG error: (\S+)[^:]*: (.+)$', re.M),
)
# A warning alone, of a repository that is trusted as it is.
_SIGNATURE = re.compile(r'^W: GPG error: (\S+)[^:]*: (.+)$', re.M)
# Of dnf and yum: the reason comes first.
_DNF = (
    re.compile(r'Curl error \([0-9]+\): (.+) for (\S+?)(?: \[.*\])?$', re.M),
    re.compile(r'(Status code: [0-9]+) for (\S+)', re.M),
    re.compile(r'\[Errno 14\] (.+?) ?- (\S+)$', re.M),
)
_WRONG_KEY = re.compile(
    r'^The GPG keys listed for the "([^"]+)" repository (are .+)$', re.M
)
# The key is known by the name of its repository.
_NO_KEY = re.compile(
    r'(Public key for \S+ is not installed)\. Failing.*\n'
    r' GPG Keys are configured as: \S*/RPM-GPG-KEY-(\S+)$',
    re.M,
)
# Behind the address of a repository: that of one of its lists.
_LIST = re.compile(r'/(?:dists/.*|repodata/[^/]*|(?:In)?Release(?:\.gpg)?)$')
_UNREACHABLE = re.compile(
    r"[Cc]ould not (?:connect|resolve)|[Cc]ouldn't (?:connect|resolve)"
    r'|[Tt]imed out|[Tt]imeout|Temporary failure|unreachable|refused'
    r'|(?:Status code: |^)5[0-9][0-9]|Connection failed'
)
_MOST = 3


@dataclasses.dataclass(frozen=True)
class RepositoryProblem:
    """Why a repository was not used.

    :ivar url: of the repository, or of a file in it; of dnf, whose message
        has no other, its name.
    :ivar reason: as the package manager says it.
    """

    url: str
    reason: str

    @property
    def unreachable(self) -> bool:
        """Whether nothing answered."""
        return _UNREACHABLE.search(self.reason) is not None


class RepositoryUnusable(exception.StepFailed):
    """Packages were not installed, and a repository could not be used.

    :ivar unknown: which packages are not known, as a message; may be empty.
    :ivar problems: of the repositories.
    """

    unknown: str = ''
    problems: tuple[RepositoryProblem, ...] = ()

    def naming(
        self, arguments: Mapping[str, Sequence[str]]
    ) -> RepositoryUnusable:
        """The same error, with the arguments that say where to look.

        :param arguments: the address of a repository to the arguments that
            it is made of.
        """
        return make(
            self.problems,
            self.unknown,
            arguments,
            command=self.command,
            command_exit_code=self.command_exit_code,
            output=self.output,
        )


class RepositoryUnreachable(RepositoryUnusable):
    """One of them did not answer; later it may."""

    fault: ClassVar[Literal['user', 'service']] = (
        exception.EnvironmentFault.fault
    )
    exit_code: ClassVar[int] = exception.EnvironmentFault.exit_code


def make(
    problems: Sequence[RepositoryProblem],
    unknown: str,
    arguments: Mapping[str, Sequence[str]],
    *,
    command: str,
    command_exit_code: int | None,
    output: str,
) -> RepositoryUnusable:
    """Make the error of what was found; see :class:`RepositoryUnusable`."""
    what = '; '.join(
        _sentence(problem, arguments) for problem in problems[:_MOST]
    )
    kind = (
        RepositoryUnreachable
        if any(problem.unreachable for problem in problems)
        else RepositoryUnusable
    )
    error = kind(
        f'{unknown}: {what}' if unknown else what,
        command=command,
        command_exit_code=command_exit_code,
        output=output,
    )
    error.unknown, error.problems = unknown, tuple(problems)
    return error


def find(output: str) -> list[RepositoryProblem]:
    """The problems of repositories, each address once."""
    signatures = dict(_SIGNATURE.findall(output))
    found: dict[str, RepositoryProblem] = {}
    for address, told in _found(output):
        reason = told.rstrip(' .')
        if address in signatures:
            reason += f': {signatures[address].rstrip(" .")}'
        url = _LIST.sub('', address)
        found.setdefault(url, RepositoryProblem(url, reason))
    return list(found.values())


def _found(output: str) -> Iterator[tuple[str, str]]:
    """Addresses and reasons, as they were printed."""
    for pattern in (*_APT, _WRONG_KEY):
        for match in pattern.finditer(output):
            yield match[1], match[2]
    for pattern in (*_DNF, _NO_KEY):
        for match in pattern.finditer(output):
            yield match[2], match[1]


def _sentence(
    problem: RepositoryProblem, arguments: Mapping[str, Sequence[str]]
) -> str:
    names = [
        name
        for url, listed in arguments.items()
        if problem.url.startswith(url.replace('file:///', 'file:/'))
        or problem.url.startswith(url)
        for name in listed
    ]
    named = ', '.join(f'"{name}"' for name in dict.fromkeys(names))
    whose = f' (from the argument {named})' if named else ''
    return (
        f'the repository {problem.url}{whose} cannot be used: {problem.reason}'
    )
