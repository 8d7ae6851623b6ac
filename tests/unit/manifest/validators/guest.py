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
"""What the tests of the validators for states share."""

import subprocess
from collections.abc import Mapping
from typing import Any

import pytest
import yaml

from imagebuild import exception
from imagebuild import manifest
from imagebuild.manifest.validators import shell
from imagebuild.remotes import fake

#: An argument and a hidden one, for every manifest.
ARGUMENTS = """
arguments:
  plain: {default: value}
  secret: {default: hush-hush, hidden: true}
"""


def load(
    text: str, resources: Mapping[str, str | bytes] | None = None
) -> manifest.Manifest:
    """Load one step, written in YAML, with the arguments above."""
    lines = ''.join(f'    {line}\n' for line in text.strip().splitlines())
    return manifest.load(
        f'{ARGUMENTS}\nvalidators:\n  -\n{lines}', resources=resources
    )


def errors(
    text: str, resources: Mapping[str, str | bytes] | None = None
) -> list[str]:
    """Everything that is wrong with one step, paths below the step."""
    with pytest.raises(exception.InvalidManifest) as caught:
        load(text, resources)
    return [
        str(error).removeprefix('validators[0].')
        for error in caught.value.errors
    ]


def debian() -> fake.FakeRemote:
    return fake.FakeRemote.of('debian', '12')


def answer(
    remote: fake.FakeRemote, script: shell.Script, *replies: fake.Reply
) -> None:
    """Answer one of the fixed scripts."""
    remote.on(['/bin/sh', '-c', script.text], *replies)


def local(
    remote: fake.FakeRemote,
    script: shell.Script,
    env: Mapping[str, str] | None = None,
    prelude: str = '',
) -> None:
    """Run one of the fixed scripts for real, on this machine.

    :param prelude: shell text before it, such as stubs of programs.
    """

    def reply(command: fake.Command) -> fake.Answer:
        argv = list(command.argv)
        argv[2] = prelude + argv[2]
        done = subprocess.run(
            argv,
            input=command.stdin,
            capture_output=True,
            env={'PATH': '/usr/sbin:/usr/bin:/sbin:/bin'}
            | dict(command.env)
            | dict(env or {}),
            check=False,
        )
        return fake.Answer(
            done.stdout.decode(), done.stderr.decode(), done.returncode
        )

    answer(remote, script, reply)


def failure(
    loaded: manifest.Manifest, remote: fake.FakeRemote, **kwargs: Any
) -> str:
    """The reason of the one step that fails."""
    with pytest.raises(exception.StepError) as caught:
        loaded.run(remote, **kwargs)
    error = caught.value
    if isinstance(error, exception.NotConforming):
        [error] = error.failures
    assert isinstance(error, exception.StepFailed)
    return error.reason


def quoted(text: str) -> str:
    return yaml.safe_dump(text, width=10**6).splitlines()[0]
