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
"""What the families share: one call that installs and then looks again.

The script runs in a shell of the guest. What people read goes to standard
error, and only what is parsed here goes to standard output, by descriptor 3.
Packages reach it as arguments; no shell interprets them.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence

from imagebuild import exception
from imagebuild.distros import repository_errors
from imagebuild.remotes.base import OutputCallback
from imagebuild.remotes.base import Remote
from imagebuild.remotes.base import Stream

#: First line of an installing script.
SPLIT_OUTPUT = 'exec 3>&1 1>&2 </dev/null'
REFRESH = 'refresh'
KEEP = 'keep'


def shell(script: str, *arguments: str) -> list[str]:
    """The command that runs a shell script with arguments."""
    return ['/bin/sh', '-c', script, 'imagebuild', *arguments]


def install(
    remote: Remote,
    argv: Sequence[str],
    shown: Sequence[str],
    unknown: Callable[[str], str],
    *,
    env: Mapping[str, str] | None = None,
    on_output: OutputCallback | None = None,
) -> str:
    """Run an installing script.

    :param argv: the whole command.
    :param shown: what to call it in errors.
    :param unknown: finds in what was printed which packages are not known,
        as a message or ''.
    :param env: further variables.
    :param on_output: called with what people read, nothing of what is parsed.
    :returns: what it wrote to descriptor 3.
    :raises RepositoryUnusable: it failed, and so did a repository.
    :raises RemoteCommandFailed: it failed; ``stderr`` is what the package
        manager printed.
    """
    try:
        result = remote.run(argv, env=env, on_output=_only_errors(on_output))
    except exception.RemoteCommandFailed as error:
        problems = repository_errors.find(error.stderr)
        if problems:
            raise repository_errors.make(
                problems,
                unknown(error.stderr),
                {},
                command=' '.join(shown),
                command_exit_code=error.exit_code_of_command,
                output=error.stderr,
            ) from error
        raise exception.RemoteCommandFailed(
            shown,
            error.exit_code_of_command,
            stderr=error.stderr,
            reason=unknown(error.stderr),
        ) from error
    return result.stdout


def _only_errors(
    on_output: OutputCallback | None,
) -> OutputCallback | None:
    if on_output is None:
        return None
    callback = on_output

    def pass_on(stream: Stream, text: str) -> None:
        if stream == 'stderr':
            callback(stream, text)

    return pass_on
