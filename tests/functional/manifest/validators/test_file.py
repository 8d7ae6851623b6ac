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
import os
import pathlib
import pwd
import subprocess

import pytest

from imagebuild.manifest.validators import accounts
from imagebuild.manifest.validators import pip_state
from imagebuild.manifest.validators import service
from imagebuild.manifest.validators import shell
from imagebuild.manifest.validators import ssh_key
from imagebuild.manifest.validators import subscription
from imagebuild.manifest.validators import target_files
from tests.unit.manifest.validators import guest


@pytest.mark.parametrize(
    'script',
    [
        value
        for module in (
            accounts,
            pip_state,
            service,
            ssh_key,
            subscription,
            target_files,
        )
        for value in vars(module).values()
        if isinstance(value, shell.Script)
    ],
    ids=lambda script: script.name,
)
def test_shell_syntax(script: shell.Script) -> None:
    subprocess.run(['sh', '-n', '-c', script.text], check=True)


def test_the_look_for_real(tmp_path: pathlib.Path) -> None:
    user = pwd.getpwuid(os.getuid()).pw_name
    path = tmp_path / "it's $(odd); name"
    path.write_text('hello')
    path.chmod(0o640)
    (tmp_path / 'link').symlink_to(path)
    (tmp_path / 'broken').symlink_to(tmp_path / 'nowhere')
    remote = guest.debian()
    guest.local(remote, target_files.LOOK)
    good = {'content': 'hello', 'mode': '640', 'owner': user}
    good['group'] = str(os.getgid())
    loaded = guest.load(
        f'file: {{{guest.quoted(str(path))}: {good}, '
        f'{tmp_path}/link: {good}, {tmp_path}/no: {{absent: true}}}}'
    )
    loaded.run(remote, reconcile=False)
    loaded = guest.load(
        f'file: {{{tmp_path}/broken: {{absent: true}}, '
        f'{tmp_path}: {{content: a}}, {tmp_path}/nix: {{content: a}}}}'
    )
    assert guest.failure(loaded, remote, reconcile=False) == (
        f'{tmp_path}/broken is there; {tmp_path} is not a regular file; '
        f'{tmp_path}/nix is missing'
    )
