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
import hashlib

import pytest

from imagebuild import exception
from imagebuild import manifest
from imagebuild.manifest.validators import target_files
from imagebuild.remotes import fake
from tests.unit.manifest.validators import guest

HELLO = 'file: {/etc/hello: {content: hello}}'


@pytest.mark.parametrize(
    'text, wrong',
    [
        ('file: {etc/x: {content: a}}', 'it is not an absolute path'),
        ('file: {/etc/../x: {content: a}}', 'normalized path'),
        ('file: {//etc/x: {content: a}}', 'normalized path'),
        ('file: {/etc/: {content: a}}', 'normalized path'),
        ('file: {/: {content: a}}', 'normalized path'),
        ('file: {"/a\\nb": {content: a}}', 'cannot be printed'),
        ('file: {/x: {}}', 'exactly one of "content"'),
        ('file: {/x: {content: a, source: b}}', 'exactly one of "content"'),
        ('file: {/x: {source: b}}', '.source: there is no file "b"'),
        ('file: {/x: {content_base64: "=a"}}', '.content_base64: it is not'),
        ('file: {/x: {content: a, mode: 888}}', '.mode: "888" is not a mode'),
        ('file: {/x: {content: a, mode: u+x}}', '.mode: "u+x" is not a mode'),
        ('file: {/x: {content: a, mode: 07}}', '.mode: "07" is not a mode'),
        ('file: {/x: {content: a, mode: 123456}}', '.mode: "123456" is not'),
        ('file: {/x: {content: a, owner: -x}}', '.owner: '),
        ('file: {/x: {content: a, group: "a b"}}', '.group: '),
        ('file: {/x: {content: a, colour: b}}', '.colour: unknown key'),
        ('file: {/x: {absent: true, mode: 600}}', '"absent" stands alone'),
        ('file: {}', 'it must not be empty'),
        (
            'file: {/x: {content: "{{ other }}", template: true}}',
            'the argument "other" is neither declared',
        ),
    ],
)
def test_bad_forms(text: str, wrong: str) -> None:
    [error] = guest.errors(text)
    assert error.startswith('file')
    assert wrong in error


@pytest.mark.parametrize(
    'mode, number',
    [
        ('0644', 0o644),
        ("'0640'", 0o640),
        ('755', 0o755),
        ('0o600', 0o600),
        ('04755', 0o4755),
        ('1777', 0o1777),
    ],
)
def test_modes_are_octal_by_their_text(mode: str, number: int) -> None:
    loaded = guest.load(f'file: {{/x: {{content: a, mode: {mode}}}}}')
    [step] = loaded.validators
    assert step.wanted[0].file.mode == number  # type: ignore[attr-defined]


def test_a_mode_that_is_a_number_of_another_language_is_refused() -> None:
    # 0644 of a YAML 1.1 reader.
    with pytest.raises(exception.InvalidManifest, match='"0644"'):
        manifest.load(
            {'validators': [{'file': {'/x': {'content': 'a', 'mode': 420}}}]}
        )


def test_everything_wrong_is_told_at_once() -> None:
    assert len(guest.errors('file: {a: {mode: 9}, b: {owner: 1}}')) == 5


def _state(remote: fake.FakeRemote) -> None:
    """Answer looks from the files of the fake."""

    def reply(command: fake.Command) -> fake.Answer:
        lines = []
        for path in command.argv[4:]:
            file = remote.files.get(path)
            if file is None:
                lines.append('absent')
                continue
            digest = hashlib.sha256(file.content).hexdigest()
            lines.append(
                f'file {digest} {file.mode:o} 0 0 {file.owner} {file.group}'
            )
        return fake.Answer('\n'.join(lines) + '\n')

    guest.answer(remote, target_files.LOOK, reply)


def test_reconcile_then_nothing_to_do() -> None:
    remote = guest.debian()
    _state(remote)
    loaded = guest.load(
        """
        file:
          /etc/one: {content: "{{ plain }} {{distro}}", template: true}
          /etc/two: {source: two.txt, mode: 0600}
          /etc/three: {absent: true}
        """,
        {'two.txt': b'\0two'},
    )
    remote.files['/etc/three'] = fake.File(b'away')
    report = loaded.run(remote)
    assert report.steps[0].result == 'changed'
    assert remote.files['/etc/one'].content == b'value debian'
    assert remote.files['/etc/two'].mode == 0o600
    assert '/etc/three' not in remote.files
    remote.commands.clear()
    assert loaded.run(remote).steps[0].result == 'ok'
    assert loaded.run(remote, reconcile=False).steps[0].result == 'ok'
    assert len(remote.commands) == 2
    assert [step.state for step in loaded.plan(remote)] == ['holds']


@pytest.mark.parametrize('mode', ['x', '9' * 5000, '-644'])
def test_a_guest_whose_stat_says_anything(mode: str) -> None:
    remote = guest.debian()
    digest = hashlib.sha256(b'y').hexdigest()
    told = fake.Answer(f'file {digest} {mode} 0 0 root root\n')
    guest.answer(remote, target_files.LOOK, told)
    loaded = guest.load('file: {/a: {content: y}}')
    reason = guest.failure(loaded, remote, reconcile=False)
    assert reason == f'/a has mode {mode.zfill(4)[:9]}, not 0644'


def test_check_reports_all_and_writes_nothing() -> None:
    remote = guest.debian()
    _state(remote)
    remote.files['/a'] = fake.File(b'x', 0o600, 'daemon', 'bin')
    loaded = guest.load('file: {/a: {content: y}, /b: {content: z}}')
    reason = guest.failure(loaded, remote, reconcile=False)
    assert reason == (
        '/a has another content; /a has mode 0600, not 0644; '
        '/a belongs to user daemon, not root; '
        '/a belongs to group bin, not root; /b is missing'
    )
    assert not remote.written
    assert [step.state for step in loaded.plan(remote)] == ['missing']


def test_only_what_is_wrong_is_written() -> None:
    remote = guest.debian()
    _state(remote)
    remote.files['/a'] = fake.File(b'a')
    guest.load('file: {/a: {content: a}, /b: {content: b}}').run(remote)
    assert remote.written == ['/b']


def test_value_that_is_missing_at_run() -> None:
    loaded = guest.load(
        """
        any:
          - script: {one: {inline: "false", output: late}}
          - file: {/a: {content: "{{ late }}", template: true}}
        """
    )
    remote = guest.debian()
    remote.on_script('one', fake.Answer(exit_code=1))
    assert 'no value is set for: late' in guest.failure(loaded, remote)


def test_key_follows_content_not_names() -> None:
    key = guest.load(HELLO).content_key()
    same = guest.load(
        'file: {/etc/hello: {source: x}}', {'x': 'hello'}
    ).content_key()
    other = guest.load(HELLO.replace('hello}', 'bye}')).content_key()
    assert key == same != other


PLACE = """
arguments:
  place: {default: /etc/a}
  word: {default: geheim, hidden: true}
validators:
  - file:
      '{{ place }}.conf':
        content: '{{ word|sha256 }} {{ distro }}{{distro_codename}}'
        template: true
"""


def test_paths_and_digests_by_arguments() -> None:
    remote = guest.debian()
    guest.answer(remote, target_files.LOOK, fake.Answer('absent\n'))
    reason = guest.failure(
        manifest.load(PLACE), remote, values={'place': '/srv/b'}
    )
    assert reason == 'after the change still: /srv/b.conf is missing'
    digest = hashlib.sha256(b'geheim').hexdigest()
    assert remote.files['/srv/b.conf'].content.decode() == f'{digest} debian'


@pytest.mark.parametrize('place', ['srv', '/srv/../x', '//x', '/a\x07'])
def test_a_path_that_is_none(place: str) -> None:
    remote = guest.debian()
    reason = guest.failure(
        manifest.load(PLACE), remote, values={'place': place}
    )
    assert reason.startswith('{{ place }}.conf: ')
    assert not remote.written


def test_a_path_that_names_nobody() -> None:
    [error] = guest.errors('file: {"{{ nobody }}": {content: x}}')
    assert 'neither declared nor set' in error
