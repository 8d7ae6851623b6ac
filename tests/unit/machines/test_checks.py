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
"""Many machines, each for itself; the machines are scripted."""

import threading
import time

import pytest

from imagebuild import manifest
from imagebuild.machines import checks
from imagebuild.remotes import fake
from imagebuild.remotes import ssh_connection
from imagebuild.remotes import ssh_settings

WHAT = manifest.load('validators: [file: {/etc/motd: {content: hello}}]\n')
DEBIAN = {'/etc/os-release': 'ID=debian\nVERSION_ID="12"\n'}


def check(name: str) -> checks.Check:
    target = ssh_settings.Target(ssh_settings.Address(name))
    return checks.Check(name, target, WHAT.bind())


def run(
    running: checks.Checks, *names: str
) -> tuple[dict[str, checks.Outcome], list[str]]:
    ended: list[str] = []
    outcomes = running.run(
        [check(name) for name in names],
        lambda _: manifest.Monitor(),
        lambda outcome: ended.append(outcome.name),
    )
    assert [outcome.name for outcome in outcomes] == list(names)
    return {outcome.name: outcome for outcome in outcomes}, ended


def remote(*, fits: bool = True, distro: str = 'debian') -> fake.FakeRemote:
    text = f'ID={distro}\nVERSION_ID="12"\n'
    made = fake.FakeRemote({'/etc/os-release': text})
    digest = '5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03'
    line = f'file {digest} 644 root root 0 0\n' if fits else 'absent\n'
    made.when(lambda command: True, lambda command: fake.Answer(line))
    return made


class Down(Exception):
    pass


def connect(target: ssh_settings.Target) -> fake.FakeRemote:
    name = target.address.host
    if name == 'down':
        raise ssh_connection.HostUnreachable(host=name, reason='it is down')
    return remote(
        fits=name != 'bad', distro='no' if name == 'odd' else 'debian'
    )


def test_one_report_for_each() -> None:
    found, ended = run(
        checks.Checks(connect, parallel=2), 'down', 'odd', 'bad'
    )
    assert sorted(ended) == ['bad', 'down', 'odd']
    assert found['down'].result is checks.Result.UNREACHABLE
    assert found['down'].error == 'down cannot be used: it is down.'
    assert found['odd'].result is checks.Result.FAILED
    assert found['bad'].result is checks.Result.DOES_NOT_CONFORM
    assert found['bad'].error.startswith('validators[0].file: ')
    assert found['bad'].report


@pytest.mark.parametrize(
    ('results', 'code'),
    [
        (['conforms', 'unchanged', 'reconciled'], 0),
        (['conforms', 'unreachable'], 3),
        (['does-not-conform', 'unreachable'], 1),
        (['failed', 'conforms'], 1),
    ],
)
def test_the_exit_code(results: list[str], code: int) -> None:
    outcomes = [checks.Outcome('x', checks.Result(each)) for each in results]
    assert checks.exit_code(outcomes) == code


def test_no_more_than_so_many_at_a_time() -> None:
    now, most = [], []

    def slow(target: ssh_settings.Target) -> fake.FakeRemote:
        now.append(target)
        most.append(len(now))
        time.sleep(0.05)
        now.remove(target)
        return remote()

    run(checks.Checks(slow, parallel=3), *'abcdefgh')
    assert max(most) <= 3


def test_an_interruption_closes_what_is_open() -> None:
    closed = threading.Event()

    class Hung(fake.FakeRemote):
        def read_file(self, path: str) -> bytes:
            closed.wait(120)
            raise ssh_connection.HostUnreachable(host='x', reason='closed')

        def close(self) -> None:
            closed.set()

    def end(_: checks.Outcome) -> None:
        raise KeyboardInterrupt

    def one(target: ssh_settings.Target) -> fake.FakeRemote:
        return connect(target) if target.address.host == 'down' else Hung()

    running = checks.Checks(one, parallel=2)
    with pytest.raises(KeyboardInterrupt):
        running.run(
            [check('hung'), check('down')], lambda _: manifest.Monitor(), end
        )
    assert closed.wait(60)


def test_a_defect_is_raised() -> None:
    def broken(target: ssh_settings.Target) -> fake.FakeRemote:
        raise Down

    with pytest.raises(Down):
        run(checks.Checks(broken), 'a')
