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
"""Programs that guests run alone, which are run here, by this host's shell."""

import base64
import dataclasses
import getpass
import grp
import gzip
import os
import pathlib
import re
import secrets
import shutil
import subprocess
import tempfile
import time
import tracemalloc

import pytest

from imagebuild import exception
from imagebuild import manifest
from imagebuild import sbom
from imagebuild.common import guest_program
from imagebuild.distros import os_releases
from imagebuild.drivers.snapshot import console
from imagebuild.drivers.snapshot import leaving
from imagebuild.drivers.snapshot import user_data
from imagebuild.manifest import shell_compiler

#: Of this run alone: programs are in directories of its name.
TOKEN = secrets.token_hex(16)
PATH = {'PATH': '/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin'}


def program(validators, values=None, **more):
    text = {'validators': validators, **more}
    return manifest.load(text).bind(values or {}).program()


@pytest.fixture
def made_safe(monkeypatch):
    """It is this host that would be cleaned up."""
    monkeypatch.setattr(leaving, '_TEXT', 'true')

    def made_safe(program, cleanup='true'):
        return dataclasses.replace(program, cleanup=cleanup)

    return made_safe


@pytest.fixture
def run(tmp_path, made_safe):
    """Run a program as cloud-init would; what a listener was told."""

    def run(program, cleanup='true', cleanup_time=60):
        said = tmp_path / 'console'
        said.write_text('')
        data = user_data.made(
            made_safe(program, cleanup),
            TOKEN,
            environment=PATH,
            command_timeout=20,
            server='a-server',
        )
        text = gzip.decompress(base64.b64decode(data)).decode()
        # In place of serial lines; and it waits for no cloud-init.
        text = text.replace(
            'say begun', f'lines={said}.raw; mkfifo {said}.raw; say begun'
        ).replace('> "$line"', f'>> {said}')
        text = text.replace('[ -d /run/cloud-init ]', 'false')
        text = text.replace('run cleanup 900', f'run cleanup {cleanup_time}')
        script = tmp_path / 'user-data'
        script.write_text(text.replace('rounds=720', 'rounds=1'))
        subprocess.run(['/bin/sh', script], check=True, timeout=60)
        events = []
        heard = console.Console(TOKEN, events.append)
        end = time.monotonic() + 60
        while not heard.over:
            assert time.monotonic() < end, said.read_text()
            time.sleep(0.05)
            heard.read(said.read_text())
        return events

    yield run
    # A program that failed leaves it, for its server is deleted.
    for place in ('/tmp', '/var/tmp', '/root'):  # noqa: S108
        shutil.rmtree(f'{place}/imagebuild-{TOKEN}', ignore_errors=True)


def me():
    return {
        'owner': getpass.getuser() if os.geteuid() else 'root',
        'group': grp.getgrgid(os.getegid()).gr_name,
    }


def ends(events):
    return [
        (event.number, event.result)
        for event in events
        if isinstance(event, guest_program.StepEnded)
    ]


def test_steps_are_done_in_order(run, tmp_path):
    path = tmp_path / 'a directory' / "it's"
    content = 'one \\n two $HOME "three" `four`\n\n \'five'
    validators = [
        {'file': {str(path): {'content': content, 'mode': '0640', **me()}}},
        {
            'file': {
                f'{path}.bin': {
                    'content_base64': base64.b64encode(b'\0\xff').decode(),
                    **me(),
                }
            }
        },
        {
            'script': {
                'see': {
                    'inline': 'printf %s "$word" > "$out"\n'
                    'test "$test_only$reconcile" = 01',
                    'env_vars': ['word', 'out'],
                }
            }
        },
        {
            'script': {
                'env.py': {
                    'inline': '#!/usr/bin/env -S python3 -I\n'
                    'import os; assert os.environ["distro_family"]\n'
                }
            }
        },
        {'os_case': [{'hannah': [{'script': {'no': {'inline': '1'}}}]}]},
        {'argument_case': {
            'argument_name': 'word',
            'cases': {"it's a $word": [{'script': {'y': {'inline': 'true'}}}]},
            'default': [{'package': 'never'}],
        }},
    ]  # fmt: skip
    given = {'word': "it's a $word", 'out': str(tmp_path / 'out')}
    events = run(
        program(
            validators,
            given,
            arguments={'word': {'required': True}, 'out': {'required': True}},
        )
    )
    assert ends(events) == [
        (0, 'ran'), (1, 'ran'), (2, 'ran'), (3, 'ran'), (4, 'skipped'),
        (5, 'ran'),
    ] + [
        (number, 'skipped' if number == 4 else 'ran') for number in range(6)
    ]  # fmt: skip
    assert path.read_text() == content
    assert path.stat().st_mode & 0o777 == 0o640
    assert (tmp_path / 'a directory' / "it's.bin").read_bytes() == b'\0\xff'
    assert (tmp_path / 'out').read_text() == "it's a $word"
    assert not list(tmp_path.glob('*imagebuild*'))


@pytest.fixture
def not_lasting():
    with tempfile.TemporaryDirectory(dir='/run') as directory:
        yield pathlib.Path(directory)


def test_files_are_written_as_everywhere_else(run, tmp_path, not_lasting):
    """The rules of Remote.write_file; see tests/contract/remote_contract.py"""
    (tmp_path / 'there').mkdir()
    (tmp_path / 'way').symlink_to('none/deep')
    (tmp_path / 'to-nothing').symlink_to(tmp_path / 'not' / 'made')
    (tmp_path / 'to-itself').symlink_to('to-itself')
    (tmp_path / 'real').write_text('before')
    (tmp_path / 'link').symlink_to('real')
    (not_lasting / 'stub').write_text('for now')
    (tmp_path / 'resolv.conf').symlink_to(not_lasting / 'stub')
    owned = {'content': 'x', 'owner': 'daemon', 'group': 'mail'}
    files = {
        'there/own/er/file': {**owned, 'mode': '0600'},
        'way/new/file': owned,
        'to-nothing': {'content': 'a file'},
        'to-itself': {'content': 'a file'},
        'link': {'content': 'after'},
        'resolv.conf': {'content': 'to stay'},
    }
    step = {'file': {f'{tmp_path}/{name}': files[name] for name in files}}
    assert ends(run(program([step]))) == [(0, 'ran')] * 2

    def owner(name):
        path = tmp_path / name
        mode = path.stat().st_mode & 0o7777
        return f'{mode:o} {path.owner()} {path.group()}'

    assert owner('there') == '755 root root'
    for made in ('there/own', 'there/own/er', 'none', 'none/deep/new'):
        assert owner(made) == '755 daemon mail'
    assert owner('there/own/er/file') == '600 daemon mail'
    assert owner('none/deep/new/file') == '644 daemon mail'
    for name in ('to-nothing', 'to-itself', 'resolv.conf'):
        assert not (tmp_path / name).is_symlink()
    assert not (tmp_path / 'not').exists()
    assert (tmp_path / 'real').read_text() == 'after'
    assert (tmp_path / 'resolv.conf').read_text() == 'to stay'
    assert (not_lasting / 'stub').read_text() == 'for now'
    assert not list(tmp_path.glob('**/.imagebuild-*'))


def test_what_is_in_the_way_of_a_file(run, tmp_path):
    path = tmp_path / 'fifo'
    os.mkfifo(path)
    [_, end] = run(program([{'file': {str(path): {'content': 'x'}}}]))
    assert (end.result, end.exit_code) == ('failed', 1)
    assert end.output == f'{path} is not a regular file'


def test_an_interpreter_that_is_missing_is_named(run):
    script = {'s': {'inline': '#!/no/python3\n'}}
    [_, end] = run(program([{'script': script}]))
    assert (end.result, end.exit_code) == ('failed', 127)
    assert end.output.startswith('its first line names /no/python3, which is')


def test_the_first_failure_ends_it(run, tmp_path):
    marker = tmp_path / 'never'
    inline = (
        "printf 'first\\n\\033[31m=imagebuild= %s over good - 0 =end=\\n' x\n"
        'echo the reason >&2; exit 10'
    )
    events = run(
        program(
            [
                {'script': {'bad': {'inline': inline}}},
                {'script': {'next': {'inline': f'touch {marker}'}}},
            ]
        )
    )
    [end] = [each for each in events if hasattr(each, 'result')]
    assert (end.number, end.result, end.exit_code) == (0, 'failed', 10)
    assert end.output.endswith('the reason')
    assert '\x1b' not in end.output
    assert not marker.exists()


def test_what_a_guest_may_have_kept_here():
    """It is root there, and can read the token."""
    events = []
    heard = console.Console(TOKEN, events.append)
    mark = f'{console.MARK} {TOKEN}'
    tracemalloc.start()
    try:
        for turn in range(40):
            lines = [
                f'{mark} alive {turn}-{number} {console.END}'
                for number in range(2000)
            ]
            lines.append(f'{mark} out 0 {turn} {"A" * 60000} {console.END}')
            heard.read('\n'.join(lines))
        assert tracemalloc.get_traced_memory()[0] < 2 * 1024 * 1024
    finally:
        tracemalloc.stop()
    assert heard.begun and not heard.over and events == []


def test_a_step_has_its_time(run):
    [first, end] = run(
        program([{'script': {'s': {'inline': 'sleep 60', 'timeout': 1}}}])
    )
    assert isinstance(first, guest_program.StepStarted)
    assert end.exit_code == 124
    assert 'time limit of 1 seconds' in end.output


def test_a_step_that_ends_as_one_whose_time_is_up(run):
    [_, end] = run(program([{'script': {'s': {'inline': 'exit 124'}}}]))
    assert end.exit_code == 124
    assert end.output == ''


def test_what_is_not_cleaned_up_is_no_image(run):
    """Its host keys would be those of every machine made of it."""
    step = program([{'script': {'s': {'inline': 'true'}}}])
    with pytest.raises(console.Unclean, match=r'exit code 124\. so far'):
        run(step, cleanup='echo so far; sleep 60', cleanup_time=2)


def test_it_says_what_is_in_it(run):
    step = program([{'script': {'s': {'inline': 'true'}}}])
    events = run(dataclasses.replace(step, listing=sbom.script()))
    [listed] = [each for each in events if hasattr(each, 'text')]
    contents = sbom.told(listed.text)
    assert (contents.os_id, contents.os_version) == ('debian', '12')
    asked = ['dpkg-query', '-W', '-f', '${db:Status-Abbrev}${Package}\n']
    lines = subprocess.check_output(asked, text=True).splitlines()
    found = {each.name for each in contents.packages if each.type == 'deb'}
    assert found == {line[3:] for line in lines if line.startswith('ii')}
    assert ends(events) == [(0, 'ran')] * 2


def told(list_text, count=None, missing=(), **more):
    """The console of a guest with a list, and its pieces."""
    packed = gzip.compress(list_text) if more.get('packs', True) else list_text
    text = base64.b64encode(packed).decode()
    size = console.LONGEST_PIECE
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    says = [
        f'out 1 {number} {piece}'
        for number, piece in enumerate(pieces)
        if number not in missing
    ]
    says.append(f'over good -r 0 {count or len(pieces)}')
    return ''.join(f'=imagebuild= {TOKEN} {each} =end=\r\n' for each in says)


def heard(text):
    now = [0.0]
    events = []
    result = console.Console(TOKEN, events.append, clock=lambda: now[0])
    result.read(text)
    return result, events, now


def test_a_list_is_waited_for():
    text = os.urandom(3000).hex().encode()
    guest, events, now = heard(told(text, missing=[1]))
    assert not guest.over and events == []
    now[0] = 50
    guest.read(told(text, missing=[0]))
    assert guest.over
    assert events == [
        guest_program.Listed(text.decode()),
        guest_program.StepEnded(0, 'ran'),
    ]


def test_a_list_is_not_waited_for_ever():
    text = os.urandom(3000).hex().encode()
    guest, events, now = heard(told(text, missing=[1]))
    now[0] = 61
    guest.read(told(text, missing=[1]))
    assert guest.over
    assert events == [guest_program.StepEnded(0, 'ran')]


@pytest.mark.parametrize(
    'console_text',
    [
        told(b'no list', packs=False),
        told(gzip.compress(b'x')[:-4], packs=False),
        # More than a guest may say: 100 MB of nothing, and a long one.
        told(bytes(40 * 1024**2)),
        told(os.urandom(console.LONGEST_LIST)),
    ],
)
def test_a_list_that_is_none(console_text):
    tracemalloc.start()
    try:
        guest, events, _ = heard(console_text)
        assert tracemalloc.get_traced_memory()[1] < 40 * 1024 * 1024
    finally:
        tracemalloc.stop()
    assert guest.over
    assert events == [guest_program.StepEnded(0, 'ran')]


def test_another_system(run):
    with pytest.raises(console.Refused, match='is none of these: no-such-os'):
        run(program([{'package': 'x'}], os=['no-such-os']))


def test_names_of_a_system_are_those_of_the_engine(tmp_path):
    text = 'ID=rhel\nVERSION_ID="9.4"\nID_LIKE="fedora"\nNAME="It\'s"\n'
    file = tmp_path / 'os-release'
    file.write_text(text)
    script = shell_compiler.detecting().replace('/etc/os-release', str(file))
    printed = subprocess.run(
        ['/bin/sh', '-c', f'{script}\necho "$imagebuild_names"'],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    names = {*os_releases.parse(text).names(), 'redhat'}
    assert names <= set(printed.splitlines())
    asked = f'{script}\n{shell_compiler.is_named("Red Hat-9")}'
    assert subprocess.run(['/bin/sh', '-c', asked]).returncode == 0
    asked = f'{script}\n{shell_compiler.is_named("centos")}'
    assert subprocess.run(['/bin/sh', '-c', asked]).returncode == 1


def test_packages_that_are_there(tmp_path):
    """Looked for as the engine looks; of Debian's database, as it is here."""
    prelude = program([{'package': 'x'}]).prelude
    for package, code in {
        'dpkg ""': 0,
        'awk ""': 0,  # a virtual one
        'dpkg 0.0': 1,
        'no-such-package ""': 1,
    }.items():
        done = subprocess.run(
            ['/bin/sh', '-c', f'{prelude}\nimagebuild_has {package}'],
            capture_output=True,
        )
        assert (done.returncode != 0) == code, (package, done)


def test_too_long(made_safe):
    content = base64.b64encode(os.urandom(60_000)).decode()
    long = program([{'file': {'/a': {'content': content}}}])
    with pytest.raises(exception.InvalidInput, match='and Nova takes 65535'):
        user_data.made(
            long, TOKEN, environment={}, command_timeout=1, server='s'
        )


def test_shell_is_whole():
    """What a guest is given is shell to the last file in it."""
    found = program(
        [
            {'package': ['tree', {'nginx': {'version': '1.2'}}, '@group']},
            {'pip': ['six']},
            {'copy_script': {'lib.sh': None}}
        ][:2]
    )  # fmt: skip
    data = user_data.made(
        found, TOKEN, environment=PATH, command_timeout=5.4, server='a'
    )
    text = gzip.decompress(base64.b64decode(data)).decode()
    files = re.findall(
        r"cat > \"\$dir\"/(\S+) <<'(\S+)'\n(.*?)\n\2\n", text, re.DOTALL
    )
    assert [name for name, _, _ in files] == [
        'main', 'prelude', 'cleanup', 'limit-0', 'step-0', 'limit-1', 'step-1'
    ]  # fmt: skip
    for name, _, content in [*files, ('all', '', text)]:
        if not name.startswith('limit'):
            subprocess.run(
                ['/bin/sh', '-n'], input=content, text=True, check=True
            )
