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

from imagebuild.remotes import fake
from tests.unit.manifest.validators import guest

CONFIG = '/etc/selinux/config'
TEXT = b'# SELINUX= is\nSELINUX=disabled\nSELINUXTYPE=targeted'
CONTEXTS = '/etc/selinux/targeted/contexts/files/file_contexts'


def system() -> fake.FakeRemote:
    remote = fake.FakeRemote.of('rocky', '9')
    remote.files[CONFIG] = fake.File(TEXT)
    remote.files[CONTEXTS] = fake.File()
    return remote


@pytest.mark.parametrize(
    'text, wrong',
    [
        ('selinux: off', 'selinux: '),
        ('selinux: {}', 'it must not be empty'),
        ('selinux: {mode: on}', 'selinux.mode: '),
        ('selinux: {policy: A/b}', 'is not the name of a policy'),
        ('selinux: {relabel: maybe}', 'selinux.relabel: '),
        ('selinux: {ports: 1}', 'unknown key'),
    ],
)
def test_bad_forms(text: str, wrong: str) -> None:
    [error] = guest.errors(text)
    assert wrong in error


def test_without_selinux() -> None:
    for reconcile in (True, False):
        reason = guest.failure(
            guest.load('selinux: permissive'),
            guest.debian(),
            reconcile=reconcile,
        )
        assert reason.startswith('SELinux is not installed')


def test_both_modes() -> None:
    remote = system()
    loaded = guest.load('selinux: {mode: enforcing, policy: targeted}')
    assert guest.failure(loaded, remote, reconcile=False) == (
        '/etc/selinux/config has SELINUX=disabled, not enforcing'
    )
    assert not remote.written
    assert loaded.run(remote).steps[0].result == 'changed'
    assert remote.files[CONFIG].content == TEXT.replace(
        b'SELINUX=disabled', b'SELINUX=enforcing'
    )
    # There were no labels before.
    assert '/.autorelabel' in remote.files
    assert loaded.run(remote).steps[0].result == 'ok'
    assert not remote.commands


def test_relabel_alone() -> None:
    remote = system()
    loaded = guest.load('selinux: {relabel: true}')
    loaded.run(remote)
    assert remote.written == ['/.autorelabel']
    loaded.run(remote, reconcile=False)


def test_no_relabel_and_a_line_that_was_missing() -> None:
    remote = system()
    remote.files[CONFIG].content = b'SELINUX=disabled'
    guest.load(
        'selinux: {mode: permissive, policy: targeted, relabel: false}'
    ).run(remote)
    assert remote.files[CONFIG].content == (
        b'SELINUX=permissive\nSELINUXTYPE=targeted\n'
    )
    assert '/.autorelabel' not in remote.files


def test_policy_that_is_not_there() -> None:
    loaded = guest.load('selinux: {policy: mls}')
    assert '"mls" is not installed' in guest.failure(loaded, system())
