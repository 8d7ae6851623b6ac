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


def test_with_a_stub(tmp_path: pathlib.Path) -> None:
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
