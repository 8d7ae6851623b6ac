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

import pytest

from imagebuild.manifest.validators import accounts
from imagebuild.remotes import fake
from tests.unit.manifest.validators import guest

HASH = '$6$salt$' + 'a' * 86
AMY = """user:amy
passwd:amy:x:1000:1000:Amy A.:/home/amy:/bin/sh
shadow:amy:!:19000:0:99999:7:::
groups:amy adm
"""


@pytest.mark.parametrize(
    'text, wrong',
    [
        ('user: {}', 'it must not be empty'),
        ('user: {-x: {}}', 'is not the name of a user'),
        ('user: {"a:b": {}}', 'is not the name of a user'),
        ('user: {a: {uid: -1}}', 'user.a.uid: '),
        ('user: {a: {uid: x}}', 'user.a.uid: '),
        ('user: {a: {groups: [b c]}}', 'user.a.groups[0]: '),
        ('user: {a: {shell: sh}}', 'is not an absolute path'),
        ('user: {a: {home: "/h:x"}}', 'is not an absolute path'),
        ('user: {a: {comment: "a:b"}}', 'holds ":"'),
        ('user: {a: {password_hash: secret}}', 'it is not a password hash'),
        ('user: {a: {password_hash: "{{ no }}"}}', 'neither declared'),
        ('user: {a: {sudo: "x\\ny"}}', 'user.a.sudo: '),
        ('user: {a: {sudo: 3}}', 'user.a.sudo: '),
        ('user: {a: {name: b}}', 'unknown key'),
    ],
)
def test_bad_forms(text: str, wrong: str) -> None:
    errors = guest.errors(text.replace('"x\\ny"', '"x\\ny"'))
    assert any(wrong in error for error in errors)


@pytest.mark.parametrize(
    'properties, wrong',
    [
        ('{uid: 1000, home: /home/amy, shell: /bin/sh}', ''),
        ('{comment: Amy A., groups: [adm], locked: true}', ''),
        ('{sudo: false}', ''),
        ('', ''),
        ('{uid: 7}', 'amy has uid "1000", not "7"'),
        ('{groups: [adm, kvm]}', 'amy is not in group kvm'),
        ('{locked: false}', 'amy has another password or lock'),
        (f'{{password_hash: "{HASH}"}}', 'amy has another password or lock'),
        ('{sudo: true}', 'amy has another rule for sudo'),
    ],
)
def test_differences(properties: str, wrong: str) -> None:
    remote = guest.debian()
    guest.answer(remote, accounts.LOOK, fake.Answer(AMY))
    loaded = guest.load(f'user: {{amy: {properties}}}')
    if wrong:
        assert guest.failure(loaded, remote, reconcile=False) == wrong
    else:
        assert loaded.run(remote).steps[0].result == 'ok'
    assert len(remote.commands) == 1


@pytest.mark.parametrize('uid', ['', 'x', '9' * 5000, '²', '-1'])
def test_a_user_whose_number_is_none(uid: str) -> None:
    remote = guest.debian()
    told = fake.Answer(AMY.replace(':1000:1000:', f':{uid}:1000:'))
    guest.answer(remote, accounts.LOOK, told)
    loaded = guest.load('user: {amy: {uid: 7}}')
    reason = guest.failure(loaded, remote, reconcile=False)
    assert reason == 'the user amy of the image has no number'


def test_missing_users_are_all_told() -> None:
    remote = guest.debian()
    guest.answer(remote, accounts.LOOK, fake.Answer('user:amy\nuser:bob\n'))
    assert (
        guest.failure(
            guest.load('user: {amy: {}, bob: {}}'), remote, reconcile=False
        )
        == 'there is no user amy; there is no user bob'
    )


def test_creation_keeps_the_hash_out_of_sight() -> None:
    remote = guest.debian()
    guest.answer(
        remote,
        accounts.LOOK,
        fake.Answer('user:amy\n'),
        fake.Answer('user:amy\n'),
        fake.Answer(AMY.replace('amy:!:', f'amy:!{HASH}:')),
    )
    guest.answer(remote, accounts.CHANGE)
    loaded = guest.load(
        f"""
        user:
          amy: {{groups: [adm], uid: 1000, locked: true,
                password_hash: "{HASH}"}}
        """
    )
    report = loaded.run(remote)
    assert report.steps[0].result == 'changed'
    [change] = [item for item in remote.commands if 'SHADOW' in item.env]
    assert change.env['SHADOW'] == f'!{HASH}'
    assert change.argv[4:] == (
        'amy', 'useradd', '', '', 'adm', '-m', '-u', '1000', '-G', 'adm',
    )  # fmt: skip
    assert HASH not in str(report.to_dict())
    assert HASH not in ' '.join(change.argv)
    assert HASH not in str(loaded.validators[0].key())


def test_hidden_hash_that_is_none() -> None:
    remote = guest.debian()
    guest.answer(remote, accounts.LOOK, fake.Answer(AMY))
    loaded = guest.load('user: {amy: {password_hash: "{{ secret }}"}}')
    reason = guest.failure(loaded, remote, reconcile=False)
    assert reason == 'what is given for amy is not a password hash'
