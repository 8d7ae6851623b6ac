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

import json

import pytest

from imagebuild.manifest.validators import configuration
from imagebuild.manifest.validators import configuration_tools as tools
from imagebuild.remotes import fake
from imagebuild.remotes import fake_answers
from tests.unit.manifest.validators import guest

ANSIBLE = """
configuration:
  ansible:
    source: site.yml
    files: [templates/page.j2]
    variables: [plain, secret]
"""
FILES = {'site.yml': '- hosts: all', 'templates/page.j2': '{{ plain }}'}
RECAP = 'localhost : ok={ok}    changed={changed}    unreachable=0  failed=0'


def system(*replies: fake.Reply) -> fake.FakeRemote:
    remote = guest.debian()
    remote.on(['/bin/sh', '-c', configuration.RUN], *replies)
    remote.on(['rm', '-rf', '--'], fake.Answer())
    return remote


def recap(changed: int) -> fake.Answer:
    return fake.Answer(f'PLAY RECAP\n{RECAP.format(ok=3, changed=changed)}\n')


@pytest.mark.parametrize(
    'text, wrong',
    [
        ('configuration: {}', 'it must not be empty'),
        ('configuration: {cfengine: {source: x}}', 'cfengine'),
        ('configuration: {ansible: {}}', '"source" is missing'),
        ('configuration: {ansible: {source: ../x}}', 'not the relative path'),
        ('configuration: {ansible: {source: -x}}', 'not the relative path'),
        ('configuration: {ansible: {source: none.yml}}', 'there is no file'),
        (
            'configuration: {salt: {source: site.yml, files: [site.yml/x]}}',
            'is a file, and a directory',
        ),
    ],
)
def test_bad_forms(text: str, wrong: str) -> None:
    resources = {'site.yml': 'x', 'site.yml/x': 'x'}
    assert any(wrong in error for error in guest.errors(text, resources))


def test_both_modes() -> None:
    seen = []
    remote = system()

    def answer(command: fake_answers.Command) -> fake.Answer:
        directory, *argv = command.argv[4:]
        seen.append((argv, dict(command.env)))
        assert directory.startswith('/var/tmp/imagebuild-configuration-')
        for name, content in FILES.items():
            assert remote.files[f'{directory}/{name}'].content == (
                content.encode()
            )
        values = remote.files[f'{directory}/{tools.VARIABLES}']
        assert values.mode == 0o600
        found = json.loads(values.content)
        assert (found['plain'], found['secret']) == ('value', 'hush-hush')
        return recap(0 if len(seen) == 3 else 2)

    remote.on(['/bin/sh', '-c', configuration.RUN], answer)
    loaded = guest.load(ANSIBLE, FILES)
    assert guest.failure(loaded, remote, reconcile=False) == (
        'ansible would change 2 things'
    )
    [step] = loaded.run(remote).steps
    assert (str(step.result), step.message) == (
        'changed', 'ansible changed 2'
    )  # fmt: skip
    [step] = loaded.run(remote).steps
    assert str(step.result) == 'ok'
    assert [('--check' in argv) for argv, _ in seen] == [True, False, False]
    assert seen[0][0][0] == 'ansible-playbook'
    assert seen[0][0][-2:] == ['--', 'site.yml']
    # Secrets are in no list of processes.
    assert 'hush-hush' not in str(seen)


def test_what_fails() -> None:
    remote = system(fake.Answer('fatal: it is hush-hush\n', exit_code=2))
    reason = guest.failure(guest.load(ANSIBLE, FILES), remote)
    assert reason == 'ansible failed with exit code 2'


@pytest.mark.parametrize(
    ('name', 'printed', 'changes'),
    [
        ('ansible', RECAP.format(ok=12, changed=10), 10),
        (
            'puppet',
            "Notice: /Stage[main]/Main/File[/a]/ensure: current_value 'absent'"
            ", should be 'file' (noop)\nNotice: Class[Main]: Would have "
            "triggered 'refresh' from 2 events\n",
            1,
        ),
        (
            'puppet',
            'Notice: Compiled catalog for vm in environment production\n'
            "Notice: /Stage[main]/Main/File[/a]/ensure: defined content as '"
            "{sha256}x'\nNotice: /Stage[main]/Main/Exec[t]/returns: executed "
            'successfully\nNotice: Applied catalog in 0.01 seconds\n',
            2,
        ),
        ('puppet', 'Notice: Applied catalog in 0.01 seconds\n', 0),
        ('chef', 'Infra Phase complete, 3/10 resources updated in 02', 3),
        ('chef', '1/2 resources would have been updated', 1),
        ('salt', 'Succeeded: 2 (changed=1)\nFailed: 0', 1),
        ('salt', 'Succeeded: 2 (unchanged=2)\nFailed: 0', 2),
        ('salt', 'Succeeded: 2\nFailed: 0', 0),
    ],
)
def test_what_tools_print(name: str, printed: str, changes: int) -> None:
    assert tools.TOOLS[name].changed(printed) == changes


@pytest.mark.parametrize('name', tools.TOOLS)
def test_what_only_looks_like_a_number(name: str) -> None:
    """It would be read in time that grows with its square, or not at all."""
    digits = '1' * 200_000
    for printed in (
        digits,
        f'ok=1  changed={digits}',
        f'{digits}/1 resources',
    ):
        tools.TOOLS[name].changed(printed)


@pytest.mark.parametrize('name', tools.TOOLS)
def test_commands(name: str) -> None:
    tool = tools.TOOLS[name]
    apply = tool.command(tools.Call('a/b.x', check=False))
    check = tool.command(tools.Call('a/b.x', check=True))
    assert apply[0] == check[0] == tool.program
    assert len(check) == len(apply) + 1
    environment = tool.environment({'plain': 'value'}, '/d')
    assert all(isinstance(each, str) for each in environment.values())


def test_the_files_decide_the_key() -> None:
    first = guest.load(ANSIBLE, FILES).content_key()
    other = {**FILES, 'templates/page.j2': 'x'}
    assert guest.load(ANSIBLE, other).content_key() != first
    assert guest.load(ANSIBLE, FILES).content_key() == first


def test_in_a_guest_alone() -> None:
    manifest = guest.load(ANSIBLE.replace(', secret', ''), FILES)
    [step] = manifest.bind().program().steps
    assert 'ansible-playbook --connection local' in step.script
    assert '--check' not in step.script
    puppet = 'configuration: {puppet: {source: site.yml}}'
    [step] = guest.load(puppet, FILES).bind().program().steps
    assert '0|2) ;;' in step.script
