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
"""The text of imagebuild/remotes/base.py as tests.

A module that has a Remote makes it pass them like this::

    class TestMyRemote(remote_contract.RemoteContract):
        @pytest.fixture
        def remote(self): ...

The commands are what a small Linux system has: sh, coreutils, awk.
"""

import time

import pytest

from imagebuild import exception

#: Prints the variables that every command has, one per line.
SHOW_ENVIRONMENT = (
    'sh',
    '-c',
    'echo "$PATH"; echo "$HOME"; echo "$LC_ALL"; echo "$DEBIAN_FRONTEND"',
)
#: Prints the variables that it is given, each as it is.
SHOW_GIVEN = (
    'sh',
    '-c',
    'for n in $NUMBERS; do eval "printf \'[%s]\' \\"\\$V$n\\""; done',
)
APART = ('sh', '-c', 'echo out; echo err >&2; exit 3')
SLOW = ('sh', '-c', 'echo a; sleep 2; echo b')
SPLIT = ('sh', '-c', r"printf '\303'; sleep 1; printf '\251\n'")
NOT_UTF8 = ('sh', '-c', r"printf 'a\377b'")
LARGE = ('sh', '-c', 'head -c 1048576 /dev/zero | tr "\\0" x')
BOTH_LARGE = (
    'sh',
    '-c',
    'head -c 300000 /dev/zero | tr "\\0" x; '
    'head -c 300000 /dev/zero | tr "\\0" y >&2',
)
#: The number tells it from everything else that may sleep.
NEVER_ENDS = ('sh', '-c', 'echo begun; sleep 17310 & sleep 17310')
IGNORES_TERM = ('sh', '-c', 'trap "" TERM; while :; do sleep 17310; done')
#: By one program: it is asked often, and a loop forks for each process.
COUNT_SLEEPERS = (
    'sh',
    '-c',
    "grep -lazs '^17310$' /proc/[0-9]*/cmdline | wc -l",
)
DAEMON = ('sh', '-c', 'sleep 60 & echo done')
KILLED = ('sh', '-c', 'kill -9 $$')
WHERE = ('pwd',)
WHO = ('id', '-u')
TERMINAL = ('sh', '-c', 'test -t 0 || test -t 1 || test -t 2')
NO_SUCH_PROGRAM = ('imagebuild-no-such-program',)

WORDS = [
    'plain',
    'two words',
    '',
    ' around ',
    '$HOME `id` $(id)',
    "it's",
    '"quoted"',
    'back\\slash',
    'new\nline',
    'tab\there',
    '-e',
    '--',
    '*',
    '~',
    ';|&<>',
    'ünïcödé – 漢字 🐧',
]

SH = b'#!/bin/sh\necho "sh $#"\n'
BASH = b'#!/bin/bash\n[[ a == a ]] && echo "${BASH_VERSION:+bash}"\n'
AWK = b'#!/usr/bin/awk -f\nBEGIN { print 6 * 7 }\n'
NO_SHEBANG = (
    b'test -x /bin/bash || BASH_VERSION=y\necho "${BASH_VERSION:+y}"\n'
)
FAILING = b'#!/bin/sh\necho out\necho err >&2\nexit 4\n'
SHOW_ZERO = b'#!/bin/sh\necho "$0"\n'
REOPEN = b'#!/bin/sh\necho one >/dev/stdout\necho two >/dev/stderr\n'
SURROUNDINGS = (
    b'#!/bin/sh\npwd\nid -u\necho "$GIVEN"\necho "$DEBIAN_FRONTEND"\n'
    b'test -t 0 || test -t 1 || test -t 2 || echo no terminal\ncat\n'
)
#: Names that shell texts on the way could use, each with its own as a value.
GIVEN_NAMES = {
    name: name
    for name in (
        *('first', 'file', 'own', 'with', 'set', 'token', 'mark', 'room'),
        *('made', 'length', 'odd', 'input', 'command', 'session', 'found'),
        *('code', 'watch', 'word', 'nl', 'p', 'l', 'out', 'err', 'stop'),
    )
}
SHOW_NAMES = (
    f'#!/bin/sh\nfor n in {" ".join(GIVEN_NAMES)}; do\n'
    'eval "echo \\"\\$$n\\""\ndone\n'
).encode()
SCRIPT_NEVER_ENDS = b'#!/bin/sh\nsleep 17310 &\nsleep 17310\n'
SCRIPT_SLOW = b'#!/bin/sh\necho a\nsleep 2\necho b\n'
NAME = '../some directory/my script.sh'

#: A path with everything that is awkward.
AWKWARD = '/srv/new directory/dæmön/it\'s "$HOME".conf'
BINARY = bytes(range(256)) + b'\r\n\n'


def stat(*paths):
    """The command that tells mode, owner and group of each path."""
    return ('stat', '-L', '-c', '%a %U %G', *paths)


def link(target, path):
    """The command that makes a symbolic link."""
    return ('ln', '-s', target, path)


class Pieces:
    """An ``on_output`` that remembers what came and when."""

    def __init__(self):
        self.pieces = []
        self.times = []

    def __call__(self, stream, text):
        self.pieces.append((stream, text))
        self.times.append(time.monotonic())

    def of(self, stream):
        return ''.join(text for name, text in self.pieces if name == stream)


def comes_while_it_runs(run):
    """Whether the first piece comes well before the end.

    It may be late once, on a host that stands still for a while.

    :param run: runs something that takes 2 s, given the ``on_output``.
    """
    for _ in range(5):
        seen = Pieces()
        run(seen)
        if time.monotonic() - seen.times[0] > 1:
            return True
    return False


class RemoteContract:
    """What every Remote does. Subclasses provide the fixture ``remote``."""

    # -- run ----------------------------------------------------------------

    def test_the_streams_and_the_exit_code_are_kept_apart(self, remote):
        result = remote.run(APART, check=False)
        assert result.argv == APART
        assert (result.exit_code, result.stdout, result.stderr) == (
            3,
            'out\n',
            'err\n',
        )
        assert result.seconds >= 0

    def test_a_failure_is_raised_unless_told_otherwise(self, remote):
        with pytest.raises(exception.RemoteCommandFailed) as caught:
            remote.run(APART)
        assert caught.value.argv == APART
        assert caught.value.exit_code_of_command == 3
        assert caught.value.stdout == 'out\n'
        assert caught.value.stderr == 'err\n'

    def test_a_program_that_is_not_there_is_a_failed_command(self, remote):
        with pytest.raises(exception.RemoteCommandFailed) as caught:
            remote.run(NO_SUCH_PROGRAM)
        assert caught.value.exit_code_of_command in (126, 127)

    def test_a_list_is_as_good_as_a_tuple(self, remote):
        assert remote.run(list(WHERE)).argv == WHERE

    def test_the_working_directory_is_the_root(self, remote):
        assert remote.run(WHERE).stdout == '/\n'

    def test_the_user_is_root(self, remote):
        assert remote.run(WHO).stdout == '0\n'

    def test_there_is_no_terminal(self, remote):
        assert remote.run(TERMINAL, check=False).exit_code == 1

    def test_the_environment_is_complete(self, remote):
        path, home, locale, frontend = remote.run(
            SHOW_ENVIRONMENT
        ).stdout.splitlines()
        assert {'/usr/sbin', '/usr/bin', '/sbin', '/bin'} <= set(
            path.split(':')
        )
        assert home == '/root'
        assert locale.startswith('C')
        assert frontend == 'noninteractive'

    def test_variables_arrive_as_they_are(self, remote):
        given = {f'V{number}': word for number, word in enumerate(WORDS)}
        given['NUMBERS'] = ' '.join(
            str(number) for number in range(len(WORDS))
        )
        result = remote.run(SHOW_GIVEN, env=given)
        assert result.stdout == ''.join(f'[{word}]' for word in WORDS)

    def test_given_variables_win(self, remote):
        shown = remote.run(SHOW_ENVIRONMENT, env={'HOME': '/srv'}).stdout
        assert shown.splitlines()[1] == '/srv'

    def test_arguments_arrive_as_they_are(self, remote):
        result = remote.run(['printf', '[%s]', *WORDS])
        assert result.stdout == ''.join(f'[{word}]' for word in WORDS)

    def test_standard_input_is_empty(self, remote):
        assert remote.run(['cat']).stdout == ''

    def test_standard_input_can_be_given(self, remote):
        given = 'ünïcödé\nno newline at the end'
        assert remote.run(['cat'], stdin=given.encode()).stdout == given

    def test_standard_input_may_be_large(self, remote):
        result = remote.run(['wc', '-c'], stdin=b'x' * 1_000_000)
        assert result.stdout.strip() == '1000000'

    def test_standard_input_need_not_be_read(self, remote):
        assert remote.run(['true'], stdin=b'x' * 1_000_000).exit_code == 0

    def test_output_that_is_not_utf8_is_replaced(self, remote):
        assert remote.run(NOT_UTF8).stdout == 'a\N{REPLACEMENT CHARACTER}b'

    def test_output_may_be_large(self, remote):
        assert remote.run(LARGE).stdout == 'x' * 1048576

    def test_both_streams_may_be_large(self, remote):
        result = remote.run(BOTH_LARGE)
        assert result.stdout == 'x' * 300000
        assert result.stderr == 'y' * 300000

    def test_output_comes_while_the_command_runs(self, remote):
        def run(seen):
            result = remote.run(SLOW, on_output=seen)
            assert seen.of('stdout') == result.stdout == 'a\nb\n'

        assert comes_while_it_runs(run)

    def test_both_streams_come_with_their_names(self, remote):
        seen = Pieces()
        remote.run(APART, check=False, on_output=seen)
        assert seen.of('stdout') == 'out\n'
        assert seen.of('stderr') == 'err\n'

    def test_pieces_are_whole_characters(self, remote):
        seen = Pieces()
        assert remote.run(SPLIT, on_output=seen).stdout == 'é\n'
        assert seen.of('stdout') == 'é\n'

    def test_a_timeout_stops_everything_that_was_started(self, remote):
        for _ in range(3):
            seen = Pieces()
            start = time.monotonic()
            with pytest.raises(exception.RemoteCommandTimeout):
                remote.run(NEVER_ENDS, timeout=2, on_output=seen)
            assert time.monotonic() - start < 60
            # On a host that stands still it may not even begin.
            if seen.pieces:
                break
        assert seen.of('stdout') == 'begun\n'
        assert remote.run(COUNT_SLEEPERS).stdout == '0\n'

    def test_a_timeout_stops_what_does_not_want_to(self, remote):
        with pytest.raises(exception.RemoteCommandTimeout):
            remote.run(IGNORES_TERM, timeout=2)
        assert remote.run(COUNT_SLEEPERS).stdout == '0\n'

    def test_a_timeout_is_raised_whether_checked_or_not(self, remote):
        with pytest.raises(exception.RemoteCommandTimeout):
            remote.run(NEVER_ENDS, timeout=1, check=False)

    def test_a_daemon_left_behind_does_not_hold_the_call(self, remote):
        start = time.monotonic()
        assert remote.run(DAEMON).stdout == 'done\n'
        assert time.monotonic() - start < 50

    def test_an_end_by_signal_is_told(self, remote):
        assert remote.run(KILLED, check=False).exit_code == 128 + 9

    # -- run_script ---------------------------------------------------------

    @pytest.mark.parametrize(
        'content, stdout',
        [
            (SH, 'sh 0\n'),
            (BASH, 'bash\n'),
            (AWK, '42\n'),
            (NO_SHEBANG, 'y\n'),
        ],
        ids=['sh', 'bash', 'awk', 'none'],
    )
    def test_the_shebang_decides(self, remote, content, stdout):
        assert remote.run_script(content, name='x').stdout == stdout

    def test_a_script_is_called_by_its_name(self, remote):
        assert remote.run_script(SH, name=NAME).argv == (NAME,)

    def test_a_script_that_fails_is_raised(self, remote):
        with pytest.raises(exception.RemoteCommandFailed) as caught:
            remote.run_script(FAILING, name=NAME)
        assert caught.value.argv == (NAME,)
        assert caught.value.exit_code_of_command == 4
        assert caught.value.stdout == 'out\n'
        assert caught.value.stderr == 'err\n'

    def test_a_script_that_fails_unchecked(self, remote):
        result = remote.run_script(FAILING, name=NAME, check=False)
        assert (result.exit_code, result.stderr) == (4, 'err\n')

    def test_a_script_is_a_file_that_is_removed(self, remote):
        where = remote.run_script(SHOW_ZERO, name=NAME).stdout.rstrip('\n')
        assert where.startswith('/')
        assert where.rpartition('/')[2].endswith('my script.sh')
        assert '/some directory/' not in where
        with pytest.raises(exception.RemoteFileNotFound):
            remote.read_file(where)

    def test_a_script_may_open_its_streams_again(self, remote):
        result = remote.run_script(REOPEN, name='reopen.sh')
        assert (result.stdout, result.stderr) == ('one\n', 'two\n')

    def test_a_script_has_the_surroundings_of_a_command(self, remote):
        result = remote.run_script(
            SURROUNDINGS, name='x.sh', env={'GIVEN': WORDS[4]}
        )
        assert result.stdout.splitlines() == [
            '/',
            '0',
            WORDS[4],
            'noninteractive',
            'no terminal',
        ]

    def test_a_script_may_be_given_any_name(self, remote):
        """Nothing on the way to it takes a name for itself."""
        result = remote.run_script(SHOW_NAMES, name='x.sh', env=GIVEN_NAMES)
        assert result.stdout.split() == [*GIVEN_NAMES]

    def test_a_script_is_stopped_with_everything_it_started(self, remote):
        with pytest.raises(exception.RemoteCommandTimeout):
            remote.run_script(SCRIPT_NEVER_ENDS, name='x.sh', timeout=2)
        assert remote.run(COUNT_SLEEPERS).stdout == '0\n'

    def test_the_output_of_a_script_comes_while_it_runs(self, remote):
        def run(seen):
            remote.run_script(SCRIPT_SLOW, name='x.sh', on_output=seen)
            assert seen.of('stdout') == 'a\nb\n'

        assert comes_while_it_runs(run)

    # -- files --------------------------------------------------------------

    @pytest.mark.parametrize('content', [b'', b'text\n', BINARY])
    def test_what_is_written_can_be_read(self, remote, content):
        remote.write_file('/srv/contract', content)
        assert remote.read_file('/srv/contract') == content

    def test_a_file_may_be_large(self, remote):
        remote.write_file('/srv/contract', BINARY * 4096)
        assert remote.read_file('/srv/contract') == BINARY * 4096

    def test_a_file_may_be_larger_than_a_message(self, remote):
        content = BINARY * (5 * 4096 + 1)
        remote.write_file('/srv/contract', content)
        assert remote.read_file('/srv/contract') == content

    def test_a_file_is_written_whole(self, remote):
        remote.write_file('/srv/contract', b'a long text')
        remote.write_file('/srv/contract', b'short')
        assert remote.read_file('/srv/contract') == b'short'

    def test_parents_are_made_and_any_name_will_do(self, remote):
        remote.write_file(AWKWARD, b'here')
        assert remote.read_file(AWKWARD) == b'here'
        remote.remove_file(AWKWARD)
        with pytest.raises(exception.RemoteFileNotFound):
            remote.read_file(AWKWARD)

    def test_mode_owner_and_group(self, remote):
        wanted = [
            ({}, '644 root root'),
            ({'mode': 0o600}, '600 root root'),
            ({'mode': 0o4755}, '4755 root root'),
            ({'owner': 'daemon', 'group': 'mail'}, '644 daemon mail'),
            ({'owner': '1', 'group': '8'}, '644 daemon mail'),
            ({'mode': 0o6750, 'owner': 'daemon'}, '6750 daemon root'),
        ]
        paths = [f'/srv/contract-{number}' for number in range(len(wanted))]
        for path, (given, _) in zip(paths, wanted, strict=True):
            remote.write_file(path, b'x', **given)
        shown = remote.run(stat(*paths)).stdout.splitlines()
        assert shown == [line for _, line in wanted]

    def test_mode_and_owner_of_a_file_that_is_there(self, remote):
        remote.write_file('/srv/contract', b'x', mode=0o755, owner='daemon')
        remote.write_file('/srv/contract', b'x', mode=0o640)
        assert remote.run(stat('/srv/contract')).stdout == '640 root root\n'

    def test_new_parents_belong_to_the_owner(self, remote):
        """As cloud-init's write_files makes them."""
        remote.write_file(
            '/srv/own/er/file', b'x', mode=0o600, owner='daemon', group='mail'
        )
        paths = ['/srv', '/srv/own', '/srv/own/er', '/srv/own/er/file']
        assert remote.run(stat(*paths)).stdout.splitlines() == [
            '755 root root',
            '755 daemon mail',
            '755 daemon mail',
            '600 daemon mail',
        ]

    @pytest.mark.parametrize('what', ['owner', 'group'])
    def test_an_unknown_owner_is_a_step_error(self, remote, what):
        with pytest.raises(exception.StepError):
            remote.write_file('/srv/unowned', b'x', **{what: 'nobody-there'})

    def test_a_directory_in_the_way_is_a_step_error(self, remote):
        remote.write_file('/srv/in-the-way/file', b'x')
        with pytest.raises(exception.StepError):
            remote.write_file('/srv/in-the-way', b'x')

    @pytest.mark.parametrize('path', ['/srv/nothing', '/no/such/directory/x'])
    def test_a_missing_file_is_told(self, remote, path):
        with pytest.raises(exception.RemoteFileNotFound) as caught:
            remote.read_file(path)
        assert path in str(caught.value)

    def test_a_directory_is_no_file(self, remote):
        remote.write_file('/srv/in-the-way/file', b'x')
        with pytest.raises(exception.RemoteFileNotFound):
            remote.read_file('/srv/in-the-way')

    def test_removing_nothing_is_no_error(self, remote):
        remote.remove_file('/srv/nothing')
        remote.remove_file('/no/such/directory/x')

    def test_links_are_followed_inside(self, remote):
        remote.write_file('/srv/real/target', b'before')
        remote.remove_file('/srv/link')
        remote.run(link('/srv/real/target', '/srv/link'))
        assert remote.read_file('/srv/link') == b'before'
        remote.write_file('/srv/link', b'after')
        assert remote.read_file('/srv/real/target') == b'after'

    @pytest.mark.parametrize(
        'target', ['/srv/inside', 'inside', '../../../../srv/inside']
    )
    def test_a_directory_may_be_a_link(self, remote, target):
        remote.write_file('/srv/inside/there', b'')
        remote.remove_file('/srv/way')
        remote.run(link(target, '/srv/way'))
        remote.write_file('/srv/way/file', target.encode())
        remote.write_file('/srv/way/new/file', b'deeper')
        assert remote.read_file('/srv/inside/file') == target.encode()
        assert remote.read_file('/srv/inside/new/file') == b'deeper'

    @pytest.mark.parametrize(
        'target', ['/srv/none-1/deep', '../srv/none-2', '../../srv/./none-3/']
    )
    def test_what_a_directories_link_leads_to_is_made(self, remote, target):
        remote.remove_file('/srv/way')
        remote.run(link(target, '/srv/way'))
        remote.write_file('/srv/way/new/file', b'x')
        real = '/' + target.lstrip('./').replace('/./', '/').rstrip('/')
        assert remote.read_file(f'{real}/new/file') == b'x'

    @pytest.mark.parametrize(
        'target', ['/srv/no/such', '../run/none/stub', 'to-itself']
    )
    def test_a_link_to_nothing_is_replaced(self, remote, target):
        remote.remove_file('/srv/to-itself')
        remote.run(link(target, '/srv/to-itself'))
        remote.write_file('/srv/to-itself', b'a file')
        assert remote.read_file('/srv/to-itself') == b'a file'
        for path in ('/srv/no/such', '/run/none/stub'):
            with pytest.raises(exception.RemoteFileNotFound):
                remote.read_file(path)

    def test_a_link_into_run_is_replaced(self, remote):
        """What is there is gone at the next start."""
        remote.write_file('/run/for-now/stub', b'for now')
        remote.remove_file('/srv/to-run')
        remote.run(link('../run/for-now/stub', '/srv/to-run'))
        remote.write_file('/srv/to-run', b'to stay')
        assert remote.read_file('/srv/to-run') == b'to stay'
        assert remote.read_file('/run/for-now/stub') == b'for now'
        remote.write_file('/run/for-now/stub', b'as wished')
        assert remote.read_file('/run/for-now/stub') == b'as wished'

    def test_directories_whose_links_never_end(self, remote):
        for one, other in (('a', 'b'), ('b', 'a')):
            remote.remove_file(f'/srv/loop-{one}')
            remote.run(link(f'loop-{other}/x', f'/srv/loop-{one}'))
        with pytest.raises(exception.StepError):
            remote.write_file('/srv/loop-a/file', b'x')

    def test_a_file_where_a_directory_should_be(self, remote):
        remote.write_file('/srv/in-the-way-2', b'x')
        with pytest.raises(exception.StepError, match='/srv/in-the-way-2'):
            remote.write_file('/srv/in-the-way-2/file', b'x')

    def test_removing_a_link_leaves_its_target(self, remote):
        remote.write_file('/srv/real/target', b'x')
        remote.remove_file('/srv/link')
        remote.run(link('/srv/real/target', '/srv/link'))
        remote.remove_file('/srv/link')
        assert remote.read_file('/srv/real/target') == b'x'
        with pytest.raises(exception.RemoteFileNotFound):
            remote.read_file('/srv/link')

    # -- the end ------------------------------------------------------------

    def test_with_closes_and_close_may_be_called_again(self, fresh_remote):
        with fresh_remote as same:
            assert same is fresh_remote
        with pytest.raises(exception.EnvironmentFault):
            fresh_remote.read_file('/etc/os-release')
        fresh_remote.close()
        fresh_remote.close()
        with pytest.raises(exception.EnvironmentFault):
            fresh_remote.run(WHERE)

    @pytest.fixture
    def fresh_remote(self, remote):
        """One that may be closed; override it where ``remote`` is shared."""
        return remote
