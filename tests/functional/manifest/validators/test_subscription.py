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
"""Over a stub: the real subscription-manager needs an account."""

import pathlib

import pytest

from imagebuild import exception
from imagebuild import manifest
from imagebuild.manifest.validators import subscription
from imagebuild.remotes import fake
from tests.unit.manifest.validators import guest

LOGIN = 'register: {username: plain, password: secret}'


#: Stands for subscription-manager; its state is in its directory.
STUB = """#!/bin/sh
cd "${0%/*}"
case "$1" in
    identity) [ -e registered ] ;;
    register) echo "$*" >> log; : > registered ;;
    unregister) rm registered ;;
    repos)
        case "$2" in
            --list-enabled) sed 's/^/Repo ID:   /' repos ;;
            *) echo "${2#*=}" >> repos ;;
        esac ;;
    *) echo "$*" >> log ;;
esac
"""


def rhel(tmp_path: pathlib.Path) -> fake.FakeRemote:
    """A system with the stub."""
    stub = tmp_path / 'subscription-manager'
    stub.write_text(STUB)
    stub.chmod(0o755)
    remote = fake.FakeRemote.of('rhel', '9.4')
    for script in (
        subscription.LOOK,
        subscription.REGISTER,
        subscription.UNREGISTER,
    ):
        guest.local(remote, script, {'PATH': f'{tmp_path}:/usr/bin:/bin'})
    return remote


def test_with_a_stub(tmp_path: pathlib.Path) -> None:
    remote = rhel(tmp_path)
    loaded = guest.load(
        f'subscription: {{{LOGIN}, attach: [p1, p2], repos: [base]}}'
    )
    reason = guest.failure(loaded, remote, reconcile=False)
    assert 'the system is not registered; the repository base' in reason
    report = loaded.run(remote)
    assert report.steps[0].result == 'changed'
    assert (tmp_path / 'log').read_text().splitlines() == [
        'register --username=value --password=hush-hush',
        'attach --pool=p1',
        'attach --pool=p2',
    ]
    assert 'hush' not in str(report.to_dict())
    assert not any('hush' in ' '.join(c.argv) for c in remote.commands)
    assert loaded.run(remote).steps[0].result == 'ok'
    away = guest.load('subscription: {unregister: true}')
    assert 'still registered' in guest.failure(away, remote, reconcile=False)
    assert away.run(remote).steps[0].result == 'changed'
    assert away.run(remote).steps[0].result == 'ok'


MANIFEST = f"""
{guest.ARGUMENTS}
validators:
  - any: [subscription: {{{LOGIN}}}]
  - script: {{fails: {{inline: 'exit 1'}}}}
"""


def test_given_back_when_a_later_step_fails(tmp_path: pathlib.Path) -> None:
    remote = rhel(tmp_path)
    remote.when(
        lambda command: command.script is not None, fake.Answer('', '', 1)
    )
    with pytest.raises(exception.StepFailed, match=r'validators\[1\]'):
        manifest.load(MANIFEST).run(remote)
    assert (tmp_path / 'log').read_text() == (
        'register --username=value --password=hush-hush\nclean\n'
    )
    assert not (tmp_path / 'registered').exists()


def test_given_back_when_no_pool_is_found(tmp_path: pathlib.Path) -> None:
    remote = rhel(tmp_path)
    stub = tmp_path / 'subscription-manager'
    stub.write_text(
        STUB.replace('    repos)', '    attach) exit 70 ;;\n    repos)')
    )
    loaded = guest.load(f'subscription: {{{LOGIN}, attach: auto}}')
    guest.failure(loaded, remote)
    assert not (tmp_path / 'registered').exists()


def test_what_was_registered_before_stays(tmp_path: pathlib.Path) -> None:
    (tmp_path / 'registered').touch()
    remote = rhel(tmp_path)
    remote.when(
        lambda command: command.script is not None, fake.Answer('', '', 1)
    )
    with pytest.raises(exception.StepFailed, match=r'validators\[1\]'):
        manifest.load(MANIFEST).run(remote)
    assert (tmp_path / 'registered').exists()


def test_the_first_failure_is_reported(tmp_path: pathlib.Path) -> None:
    """Giving back fails, too."""
    remote = rhel(tmp_path)
    stub = tmp_path / 'subscription-manager'
    stub.write_text(STUB.replace('rm registered', 'exit 1'))
    remote.when(
        lambda command: command.script is not None, fake.Answer('', '', 1)
    )
    with pytest.raises(exception.StepFailed, match=r'validators\[1\]'):
        manifest.load(MANIFEST).run(remote)
