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

from imagebuild import exception
from imagebuild import manifest
from imagebuild.manifest.validators import service
from imagebuild.remotes import fake
from tests.unit.manifest.validators import guest

SSH = 'service: {ssh: enabled, x.timer: disabled}'


@pytest.mark.parametrize(
    'text, wrong',
    [
        ('service: {}', 'it must not be empty'),
        ('service: {ssh: on}', 'service.ssh: '),
        ('service: {-ssh: enabled}', 'is not the name of a unit'),
        ('service: {"a b": enabled}', 'is not the name of a unit'),
        ('service: {a: enabled, a.service: masked}', 'duplicate key'),
        ('service: [ssh]', "is not of type 'object'"),
    ],
)
def test_bad_forms(text: str, wrong: str) -> None:
    [error] = guest.errors(text)
    assert wrong in error


@pytest.mark.parametrize(
    'wanted, found, holds',
    [
        ('enabled', 'enabled', True),
        ('enabled', 'static', True),
        ('enabled', 'alias', True),
        ('enabled', 'indirect', True),
        ('enabled', 'generated', True),
        ('enabled', 'enabled-runtime', False),
        ('enabled', 'masked', False),
        ('disabled', 'disabled', True),
        ('disabled', 'indirect', True),
        ('disabled', 'static', False),
        ('disabled', 'masked', False),
        ('masked', 'masked', True),
        ('masked', 'masked-runtime', False),
        ('masked', 'disabled', False),
    ],
)
def test_states(wanted: str, found: str, holds: bool) -> None:
    remote = guest.debian()
    guest.answer(remote, service.LOOK, fake.Answer(f'a.service {found}\n'))
    loaded = guest.load(f'service: {{a: {wanted}}}')
    if holds:
        assert loaded.run(remote).steps[0].result == 'ok'
    else:
        reason = guest.failure(loaded, remote, reconcile=False)
        assert f'a.service is {found}' in reason
    assert len(remote.commands) == 1


def test_change() -> None:
    remote = guest.debian()
    guest.answer(
        remote,
        service.LOOK,
        fake.Answer('ssh.service masked\nx.timer enabled\n'),
        fake.Answer('ssh.service enabled\nx.timer disabled\n'),
    )
    guest.answer(remote, service.CHANGE)
    assert guest.load(SSH).run(remote).steps[0].result == 'changed'
    assert remote.commands[1].argv[4:] == (
        'unmask', 'ssh.service', 'enable', 'ssh.service',
        'unmask', 'x.timer', 'disable', 'x.timer',
    )  # fmt: skip


def test_missing_units_and_missing_systemd() -> None:
    remote = guest.debian()
    guest.answer(
        remote,
        service.LOOK,
        fake.Answer('ssh.service enabled\nx.timer not-found\n'),
        fake.Answer(stderr='systemd is not installed\n', exit_code=1),
    )
    loaded = guest.load(SSH)
    assert guest.failure(loaded, remote) == 'there is no such unit: x.timer'
    assert guest.failure(loaded, remote) == 'systemd is not installed'


STATE = """
arguments:
  state: {default: enabled, choices: [enabled, disabled]}
validators: [service: {cron: '{{ state }}'}]
"""


@pytest.mark.parametrize('state', ['enabled', 'disabled'])
def test_an_argument_names_the_state(state: str) -> None:
    remote = guest.debian()
    guest.answer(remote, service.LOOK, fake.Answer(f'cron.service {state}\n'))
    loaded = manifest.load(STATE)
    assert not loaded.run(remote, {'state': state}).changed
    other = {'enabled': 'disabled', 'disabled': 'enabled'}[state]
    reason = guest.failure(
        loaded, remote, values={'state': other}, reconcile=False
    )
    assert reason.endswith(f'cron.service is {state}, not {other}')


@pytest.mark.parametrize(
    'text, wrong',
    [
        ('service: {cron: "{{ plain }}x"}', 'is not one of'),
        ('service: {cron: "{{ nobody }}"}', 'neither declared nor'),
    ],
)
def test_a_state_that_is_none(text: str, wrong: str) -> None:
    assert wrong in guest.errors(text)[0]


def test_choices_are_states() -> None:
    text = STATE.replace('disabled]', 'off]')
    with pytest.raises(exception.InvalidManifest, match='other choices than'):
        manifest.load(text)
    free = STATE.replace(', choices: [enabled, disabled]', '')
    remote = guest.debian()
    reason = guest.failure(manifest.load(free), remote, values={'state': 'x'})
    assert reason == (
        'the state of cron.service is not one of: enabled, disabled, masked'
    )
