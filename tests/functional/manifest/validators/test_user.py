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
import pathlib

from imagebuild.manifest.validators import accounts
from imagebuild.remotes import fake
from tests.unit.manifest.validators import guest

HASH = '$6$salt$' + 'a' * 86


#: Programs of the guest, that write down how they were called.
STUBS = """
for tool in useradd usermod groupadd; do
    eval "$tool() { echo $tool \\"\\$*\\"; }"
done
chpasswd() { echo chpasswd "$*"; cat; }
getent() { [ "$2" = adm ]; }
mkdir() { :; }
"""


def test_scripts_for_real(tmp_path: pathlib.Path) -> None:
    remote = guest.debian()
    guest.local(remote, accounts.LOOK)
    loaded = guest.load('user: {root: {uid: 0}, nobody-like-this: {}}')
    assert (
        guest.failure(loaded, remote, reconcile=False)
        == 'there is no user nobody-like-this'
    )
    tmp_path /= 'directory.d'
    tmp_path.mkdir()
    script = accounts.CHANGE.text.replace('/etc/sudoers.d', str(tmp_path))
    seen = fake.FakeRemote()
    guest.local(
        seen,
        type(accounts.CHANGE)('x', script),
        prelude=STUBS,
        env={'SHADOW': HASH},
    )
    result = seen.run(
        ['/bin/sh', '-c', script, 'imagebuild', 'a.b', 'useradd', 'yes']
        + ['a.b ALL=(ALL) ALL', 'adm new', '-c', "it's $HOME"]
    )
    assert result.stdout.splitlines() == [
        'groupadd new',
        "useradd -c it's $HOME a.b",
        'chpasswd -e',
        f'a.b:{HASH}',
    ]
    [rule] = tmp_path.iterdir()
    assert rule.name == '90-imagebuild-a-dot-b'
    assert rule.read_text() == 'a.b ALL=(ALL) ALL\n'
    assert rule.stat().st_mode & 0o777 == 0o440
