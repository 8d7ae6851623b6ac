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
import base64
import os
import pathlib

import pytest

from imagebuild.manifest.validators import ssh_key
from imagebuild.remotes import fake
from tests.unit.manifest.validators import guest


def key(seed: int) -> str:
    kind = b'ssh-ed25519'
    blob = len(kind).to_bytes(4, 'big') + kind
    blob += (32).to_bytes(4, 'big') + bytes([seed]) * 32
    return f'ssh-ed25519 {base64.b64encode(blob).decode()}'


ONE, TWO = key(1), key(2)


@pytest.mark.parametrize(
    'text, wrong',
    [
        ('ssh_key: {}', 'it must not be empty'),
        ('ssh_key: {amy: []}', 'it must not be empty'),
        ('ssh_key: {amy: {}}', '"keys" or "key_sources" is needed'),
        ('ssh_key: {"a b": [x]}', 'is not the name of a user'),
        ('ssh_key: {amy: [ssh-rsa]}', 'ssh_key.amy[0]: it is not a public'),
        ('ssh_key: {amy: ["ssh-rsa %%"]}', 'the key is not base64'),
        ('ssh_key: {amy: ["ssh-rsa AAAA"]}', 'cut off or not of type'),
        (f'ssh_key: {{amy: ["{ONE[:-20]}AAAA x"]}}', 'cut off or not'),
        ('ssh_key: {amy: ["-----BEGIN PRIVATE KEY"]}', 'a private key'),
        ('ssh_key: {amy: ["{{ nope }}"]}', 'neither declared'),
        ('ssh_key: {amy: {key_sources: [k]}}', 'key_sources[0]: line 2: '),
    ],
)
def test_bad_forms(text: str, wrong: str) -> None:
    [error] = guest.errors(text, {'k': '# note\nrubbish\n'})
    assert wrong in error


def _real(remote: fake.FakeRemote, home: pathlib.Path) -> None:
    prelude = (
        f'getent() {{ [ "$2" = amy ] && '
        f'echo "amy:x:{os.getuid()}:{os.getgid()}::{home}:/bin/sh"; }}\n'
    )
    guest.local(remote, ssh_key.LOOK, prelude=prelude)
    guest.local(remote, ssh_key.CHANGE, prelude=prelude)


def test_for_real(tmp_path: pathlib.Path) -> None:
    remote = guest.debian()
    _real(remote, tmp_path)
    loaded = guest.load(
        f"""
        ssh_key:
          amy: {{keys: ["{ONE} one"], key_sources: [two.pub]}}
        """,
        {'two.pub': f'# note\n{TWO} two\n'},
    )
    reason = guest.failure(loaded, remote, reconcile=False)
    assert reason == 'amy lacks keys: 2 of 2'
    assert not list(tmp_path.iterdir())
    file = tmp_path / '.ssh/authorized_keys'
    file.parent.mkdir()
    file.write_text(f'# mine\nrestrict {ONE} other')
    assert loaded.run(remote).steps[0].result == 'changed'
    assert file.read_text() == f'# mine\nrestrict {ONE} other\n{TWO} two\n'
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    remote.commands.clear()
    assert loaded.run(remote).steps[0].result == 'ok'
    assert len(remote.commands) == 1
    exclusive = guest.load(
        f'ssh_key: {{amy: {{keys: ["{TWO}"], exclusive: true}}}}'
    )
    assert 'lets other keys in' in guest.failure(
        exclusive, remote, reconcile=False
    )
    exclusive.run(remote)
    assert file.read_text() == f'{TWO}\n'
    assert [item.name for item in file.parent.iterdir()] == [file.name]


@pytest.mark.parametrize('what', ['.ssh', '.ssh/authorized_keys'])
def test_links_are_not_followed(tmp_path: pathlib.Path, what: str) -> None:
    outside = tmp_path / 'outside'
    home = tmp_path / 'home'
    (home / what).parent.mkdir(parents=True)
    outside.mkdir()
    (home / what).symlink_to(outside)
    remote = guest.debian()
    _real(remote, home)
    loaded = guest.load(f'ssh_key: {{amy: ["{ONE}"]}}')
    assert 'is a symbolic link' in guest.failure(loaded, remote)
    done = remote.run(
        ['/bin/sh', '-c', ssh_key.CHANGE.text, 'imagebuild', 'amy'],
        check=False,
    )
    assert done.exit_code == 1
    assert not list(outside.iterdir())


def test_no_user_and_no_key() -> None:
    remote = guest.debian()
    guest.local(remote, ssh_key.LOOK)
    loaded = guest.load(f'ssh_key: {{nobody-like-this: ["{ONE}"]}}')
    assert (
        guest.failure(loaded, remote)
        == 'there is no such user: nobody-like-this'
    )
    guest.answer(remote, ssh_key.LOOK, fake.Answer('user:a\nowner:1:1\n'))
    loaded = guest.load('ssh_key: {a: ["{{ secret }}"]}')
    reason = guest.failure(loaded, remote)
    assert reason.startswith('a key of a: it is not a public key')
