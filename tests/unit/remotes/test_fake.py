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
import time

import pytest

from imagebuild import exception
from imagebuild.distros import os_releases
from imagebuild.remotes import fake
from tests.contract import remote_contract as contract

Answer = fake.Answer


def slowly():
    yield 'stdout', 'a\n'
    time.sleep(1.2)
    yield 'stdout', 'b\n'


def environment(command):
    home = command.env.get('HOME', '/root')
    return Answer(
        f'/usr/sbin:/usr/bin:/sbin:/bin\n{home}\nC.UTF-8\nnoninteractive\n'
    )


class TestFakeRemote(contract.RemoteContract):
    """The fake, told what a real system would do."""

    # It has no directories.
    test_new_parents_belong_to_the_owner = None

    @pytest.fixture
    def remote(self):
        remote = fake.FakeRemote.of('debian', '12')
        remote.users.add('daemon')
        remote.groups.add('mail')
        failure = Answer('out\n', 'err\n', exit_code=3)
        never = Answer('begun\n', times_out=True)
        for argv, reply in {
            contract.SHOW_ENVIRONMENT: environment,
            contract.SHOW_GIVEN: lambda it: Answer(
                ''.join(
                    f'[{it.env[f"V{n}"]}]' for n in it.env['NUMBERS'].split()
                )
            ),
            contract.APART: failure,
            contract.SLOW: lambda it: Answer(pieces=slowly()),
            contract.SPLIT: Answer('é\n'),
            contract.NOT_UTF8: Answer('a\N{REPLACEMENT CHARACTER}b'),
            contract.LARGE: Answer('x' * 1048576),
            contract.BOTH_LARGE: Answer('x' * 300000, 'y' * 300000),
            contract.NEVER_ENDS: never,
            contract.IGNORES_TERM: never,
            contract.COUNT_SLEEPERS: Answer('0\n'),
            contract.DAEMON: Answer('done\n'),
            contract.KILLED: Answer(exit_code=137),
            contract.WHERE: Answer('/\n'),
            contract.WHO: Answer('0\n'),
            contract.TERMINAL: Answer(exit_code=1),
            contract.NO_SUCH_PROGRAM: Answer('', 'not found', 127),
            ('true',): Answer(),
            ('cat',): lambda it: Answer(it.stdin.decode()),
            ('wc', '-c'): lambda it: Answer(f'{len(it.stdin)}\n'),
        }.items():
            remote.on_exact(argv, reply)
        remote.on(
            ['printf', '[%s]'],
            lambda it: Answer(''.join(f'[{word}]' for word in it.argv[2:])),
        )
        for content, reply in {
            contract.SH: Answer('sh 0\n'),
            contract.BASH: Answer('bash\n'),
            contract.AWK: Answer('42\n'),
            contract.NO_SHEBANG: Answer('y\n'),
            contract.FAILING: Answer('out\n', 'err\n', 4),
            contract.SHOW_ZERO: Answer('/tmp/x/my script.sh\n'),
            contract.REOPEN: Answer('one\n', 'two\n'),
            contract.SURROUNDINGS: lambda it: Answer(
                f'/\n0\n{it.env["GIVEN"]}\nnoninteractive\nno terminal\n'
            ),
            contract.SHOW_NAMES: lambda it: Answer(
                '\n'.join(it.env[name] for name in contract.GIVEN_NAMES)
            ),
            contract.SCRIPT_NEVER_ENDS: never,
            contract.SCRIPT_SLOW: lambda it: Answer(pieces=slowly()),
        }.items():
            remote.on_script(content, reply)

        names = {'1': 'daemon', '8': 'mail'}

        def stat(command):
            shown = ''
            for path in command.argv[4:]:
                file = remote.files[path]
                owner = names.get(file.owner, file.owner)
                group = names.get(file.group, file.group)
                shown += f'{file.mode:o} {owner} {group}\n'
            return Answer(shown)

        def link(command):
            remote.links[command.argv[3]] = command.argv[2]
            return Answer()

        remote.on(['stat'], stat)
        remote.on(['ln', '-s'], link)
        return remote


# -- what only the fake does ------------------------------------------------


@pytest.fixture
def remote():
    return fake.FakeRemote.of('ubuntu', '22.04')


def test_what_nobody_scripted_is_an_error_that_names_it(remote):
    remote.on(['apt-get', 'install'])
    with pytest.raises(fake.UnscriptedCommand, match="'apt-get' 'remove'"):
        remote.run(['apt-get', 'remove', 'x'])
    with pytest.raises(AssertionError, match="the script 'setup.sh'"):
        remote.run_script(b'', name='setup.sh')


def test_an_error_of_the_fake_is_none_of_ours():
    # The engine must not take it for a failed step.
    assert not issubclass(fake.UnscriptedCommand, exception.ImageBuildError)


def test_the_last_rule_wins_and_replies_go_one_by_one(remote):
    remote.on(['a'], Answer('general'))
    remote.on(['a', 'b'], Answer('first'), Answer('then'))
    told = [remote.run(['a', 'b', 'c']).stdout for _ in range(3)]
    assert told == ['first', 'then', 'then']
    assert remote.run(['a', 'c']).stdout == 'general'


def test_a_command_is_no_script(remote):
    remote.on(['setup.sh'], Answer('command'))
    remote.on_script('setup.sh', Answer('script'))
    assert remote.run(['setup.sh']).stdout == 'command'
    assert remote.run_script(b'x', name='setup.sh').stdout == 'script'


def test_everything_is_recorded(remote):
    remote.when(lambda command: True)
    remote.run(['a'], env={'b': 'c'}, stdin=b'd', timeout=5)
    remote.run_script(b'text', name='n', env={'e': 'f'})
    remote.write_file('/x', b'')
    remote.remove_file('/x')
    assert remote.commands == [
        fake.Command(('a',), {'b': 'c'}, b'd', 5),
        fake.Command(('n',), {'e': 'f'}, script=b'text'),
    ]
    assert (remote.written, remote.removed) == (['/x'], ['/x'])


def test_time_is_up_by_the_clock_it_pretends_to_have(remote):
    remote.on(['slow'], Answer(seconds=30))
    assert remote.run(['slow']).seconds == 30
    with pytest.raises(exception.RemoteCommandTimeout) as caught:
        remote.run(['slow'], timeout=20)
    assert str(caught.value) == 'slow was stopped after 20 seconds.'
    remote.limit = 10
    with pytest.raises(exception.RemoteCommandTimeout):
        remote.run(['slow'])


def test_the_environment_can_fail(remote):
    remote.on(['a'], Answer(error=exception.RunTimeout(seconds=3)))
    with pytest.raises(exception.RunTimeout):
        remote.run(['a'])


def test_output_comes_in_small_pieces(remote):
    remote.on(['a'], Answer('a secret word'))
    seen = contract.Pieces()
    remote.run(['a'], on_output=seen)
    assert len(seen.pieces) > 1


def test_links_that_never_end(remote):
    remote.links.update({'/a': '/b', '/b': '/a'})
    with pytest.raises(exception.StepError):
        remote.read_file('/a')


def test_a_link_may_be_relative_and_a_directory(remote):
    remote.links['/var/run'] = '../run'
    remote.write_file('/var/run/x', b'1')
    assert remote.read_file('/run/x') == b'1'


def test_paths_are_absolute(remote):
    with pytest.raises(ValueError, match='absolute'):
        remote.read_file('etc/os-release')


@pytest.mark.parametrize(
    'name, version, like',
    [
        ('debian', '12', ()),
        ('ubuntu', '22.04', ('debian',)),
        ('centos', '9', ('rhel', 'fedora')),
        ('arch', '', ()),
    ],
)
def test_presets(name, version, like):
    found = os_releases.read(fake.FakeRemote.of(name, version))
    assert (found.id, found.version_id, found.id_like) == (
        name,
        version,
        like,
    )
