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
"""What every Remote does whose system is on a disk (DiskRemote).

Over a minimal Debian; see :mod:`tests.contract.remote_contract` for how it is
used. Where the disk is opened matters to none of it: whatever a command does
to files is on the disk afterwards as it would be from any other place, and
nothing else of it stays.
"""

import platform
import time

import pytest

from imagebuild import exception
from imagebuild.remotes import invocations
from tests.contract import remote_contract

#: Changes modes and owners. High numbers are those of containers' files.
OWNERS = """umask 022
mkdir /srv/owners; cd /srv/owners
touch setuid; chmod 4755 setuid
touch both; chown 1:8 both; chmod 6711 both
mkdir sticky; chmod 1777 sticky
mkdir setgid; chgrp mail setgid; chmod 2775 setgid; touch setgid/inherits
touch nobody; chown 65534:65534 nobody
touch high; chown 100000:200000 high
touch linked; ln linked also; ln -s /no/where link; chown -h 1:1 link
mkfifo -m 600 fifo
"""
OWNERS_AFTER = {
    'setuid': (0o104755, 0, 0),
    'both': (0o106711, 1, 8),
    'sticky': (0o041777, 0, 0),
    'setgid': (0o042775, 0, 8),
    'setgid/inherits': (0o100644, 0, 8),
    'nobody': (0o100644, 65534, 65534),
    'high': (0o100644, 100000, 200000),
    'linked': (0o100644, 0, 0),
    'link': (0o120777, 1, 1),
    'fifo': (0o010600, 0, 0),
}

#: The number of setxattr(2) in the guest, which is of this host's kind.
SETXATTR = {'x86_64': 188, 'aarch64': 5}[platform.machine()]
#: A minimal system has neither setcap nor setfacl nor setfattr; it has perl.
ATTRIBUTES = r"""
my ($set, $file) = (SETXATTR, "/srv/attributes");
open(my $f, ">", $file) or die; close $f;
sub put { my ($name, $value) = @_;
    syscall($set, $file, $name, $value, length $value, 0) == 0
        or die "$name: $!\n"; }
put("user.note", "text");
put("security.capability", pack("V5", 0x02000001, 0x2000, 0, 0, 0));
put("system.posix_acl_access", pack("V", 2) . join "", map { pack "vvV", @$_ }
    [1, 6, 0xffffffff], [2, 7, 1], [2, 4, 100000],
    [4, 4, 0xffffffff], [8, 6, 8],
    [16, 7, 0xffffffff], [32, 4, 0xffffffff]);
""".replace('SETXATTR', str(SETXATTR))
ACL = bytes.fromhex(
    '02000000'
    '01000600ffffffff'
    '0200070001000000'
    '02000400a0860100'
    '04000400ffffffff'
    '0800060008000000'
    '10000700ffffffff'
    '20000400ffffffff'
)
CAPABILITY = bytes.fromhex('0100000200200000000000000000000000000000')

#: What a command finds around it.
SURROUNDINGS = """umask
ls /proc/self/fd | sort -n | tr '\\n' ' '; echo
for each in null zero full random urandom fd/0 stdin stdout stderr; do
    [ -e /dev/$each ] || echo "no /dev/$each"
done
echo x >/dev/null && head -c 3 /dev/zero | wc -c
(: </dev/tty) 2>/dev/null && echo terminal
grep -E '^Sig(Blk|Ign)' /proc/self/status
"""
#: SIGINT and SIGQUIT: a shell ignores them in what it runs beside itself.
_BESIDE = 0x6

DAEMONS = """
setsid sh -c 'trap "" HUP TERM; exec sleep 17310' >/dev/null 2>&1 &
(setsid sleep 17310 &)
echo done
"""

NOT_TEXT = (
    'sh',
    '-c',
    "rm -f /srv/odd; ln -s \"$(printf 'a\\377')\" /srv/odd",
)


class DiskContract(remote_contract.RemoteContract):
    """What a DiskRemote does. Subclasses provide ``remote``."""

    @pytest.fixture
    def handle(self, remote):
        """What is on the disk, not through a command."""
        return remote._handle  # noqa: SLF001

    @pytest.fixture
    def attributes(self, handle):
        """Called with a path: its extended attributes, name to bytes."""

        def attributes(path):
            return {
                item['attrname']: item['attrval']
                for item in handle.lgetxattrs(path)
            }

        return attributes

    # -- what commands do to files ------------------------------------------

    def test_modes_and_owners_are_kept(self, remote, handle):
        remote.run(['rm', '-rf', '/srv/owners'])
        remote.run(['sh', '-ec', OWNERS])
        found = {}
        for name in OWNERS_AFTER:
            status = handle.lstatns(f'/srv/owners/{name}')
            found[name] = tuple(
                status[key] for key in ('st_mode', 'st_uid', 'st_gid')
            )
        assert found == OWNERS_AFTER
        linked, also = (
            handle.statns(f'/srv/owners/{name}')['st_ino']
            for name in ('linked', 'also')
        )
        assert linked == also
        # A command sees what is on the disk.
        shown = remote.run(['stat', '-c', '%a %u %g', '/srv/owners/high'])
        assert shown.stdout == '644 100000 200000\n'

    def test_attributes_are_kept(self, remote, attributes):
        remote.run(['rm', '-f', '/srv/attributes'])
        remote.run(['perl', '-e', ATTRIBUTES])
        found = attributes('/srv/attributes')
        assert found['user.note'] == b'text'
        # Not one that only holds in a namespace.
        assert found['security.capability'] == CAPABILITY
        assert found['system.posix_acl_access'] == ACL

    def test_files_are_there_for_the_next_command(self, remote, handle):
        """A build may go on where another one ended."""
        places = ['/tmp', '/run', '/var/tmp', '/root']  # noqa: S108
        paths = [f'{place}/contract' for place in places]
        remote.run(['sh', '-ec', 'for i do echo left >$i; done', 'x', *paths])
        assert remote.run(['cat', *paths]).stdout == 'left\n' * len(paths)
        for path in paths:
            assert handle.read_file(path) == b'left\n'
            remote.remove_file(path)

    def test_a_script_needs_no_tmp(self, remote, handle):
        handle.rename('/tmp', '/tmp.kept')  # noqa: S108
        handle.ln_s('/srv/made/for/it', '/tmp')  # noqa: S108
        try:
            result = remote.run_script(remote_contract.SHOW_ZERO, name='x.sh')
            assert result.stdout.startswith('/tmp/')  # noqa: S108
            mode = handle.statns('/srv/made/for/it')['st_mode']
            assert mode == 0o041777
            assert handle.glob_expand('/srv/made/for/it/.im*') == []
        finally:
            handle.rm('/tmp')  # noqa: S108
            handle.rename('/tmp.kept', '/tmp')  # noqa: S108

    # -- what a command has around it ---------------------------------------

    def test_the_environment_is_nothing_else(self, remote):
        given = {'GIVEN': 'x', 'HOME': '/srv'}
        shown = remote.run(['env'], env=given).stdout.splitlines()
        expected = {**invocations.ENVIRONMENT, **given}
        assert dict(line.split('=', 1) for line in shown) == expected

    def test_nothing_of_the_host_comes_along(self, remote):
        """No descriptor, no signal that is blocked, no terminal."""
        umask, descriptors, *rest = remote.run(
            ['sh', '-c', SURROUNDINGS]
        ).stdout.splitlines()
        assert umask == '0022'
        # ls has its own.
        assert set(descriptors.split()) <= {'0', '1', '2', '3'}
        zeros, blocked, ignored = rest
        assert zeros == '3'
        assert int(blocked.split()[1], 16) == 0
        assert int(ignored.split()[1], 16) & ~_BESIDE == 0

    @pytest.mark.parametrize('number', [13, 15])
    def test_an_end_by_other_signals(self, remote, number):
        script = f'kill -{number} $$; sleep 5'
        result = remote.run(['sh', '-c', script], check=False)
        assert result.exit_code == 128 + number

    def test_what_cannot_be_run(self, remote):
        result = remote.run(['/etc/passwd'], check=False)
        assert result.exit_code == 126
        assert result.stderr

    def test_long_arguments(self, remote):
        longest = 'x' * invocations.LONGEST_ARGUMENT
        script = ['sh', '-c', 'echo $# ${#1} ${#GIVEN}', 'x']
        env = {'GIVEN': 'z' * 100_000}
        room = invocations.LONGEST_OF_ALL - 1000 - len(longest) - 100_000
        many = room // (1000 + 1 + invocations.POINTER)
        result = remote.run([*script, longest, *['y' * 1000] * many], env=env)
        assert result.stdout == f'{many + 1} {len(longest)} 100000\n'
        with pytest.raises(exception.StepError, match='sh '):
            remote.run([*script, longest + 'x'])

    def test_daemons_of_any_kind_end(self, remote):
        start = time.monotonic()
        assert remote.run(['sh', '-c', DAEMONS]).stdout == 'done\n'
        assert remote.run(remote_contract.COUNT_SLEEPERS).stdout == '0\n'
        assert time.monotonic() - start < 200

    # -- files --------------------------------------------------------------

    def test_a_user_that_a_command_made(self, remote):
        with pytest.raises(exception.StepError, match='contract'):
            remote.write_file('/srv/of', b'x', owner='contract')
        group = 'echo contract:x:4711: >>/etc/group'
        user = 'echo contract:x:4711:1::/: >>/etc/passwd'
        remote.run(['sh', '-ec', f'{group}; {user}'])
        remote.write_file('/srv/of', b'x', owner='contract', group='contract')
        shown = remote.run(['stat', '-c', '%u %g', '/srv/of'])
        assert shown.stdout == '4711 4711\n'

    def test_a_disk_at_rest_goes_on_afterwards(self, remote):
        remote.run(['/bin/sh', '-c', 'echo one >/srv/rest'])
        with remote.quiesced():
            pass
        remote.run(['/bin/sh', '-c', 'echo two >>/srv/rest'])
        assert remote.read_file('/srv/rest') == b'one\ntwo\n'

    def test_a_fifo_is_refused_at_once(self, remote):
        start = time.monotonic()
        remote.run(['sh', '-c', 'rm -f /srv/special; mkfifo /srv/special'])
        with pytest.raises(exception.StepError, match='not a regular file'):
            remote.write_file('/srv/special', b'x')
        with pytest.raises(exception.RemoteFileNotFound):
            remote.read_file('/srv/special')
        remote.remove_file('/srv/special')
        # It would be waited for until the time of a command is up.
        assert time.monotonic() - start < 200

    def test_what_cannot_be_removed(self, remote):
        remote.write_file('/srv/in-the-way/file', b'x')
        with pytest.raises(exception.StepError):
            remote.remove_file('/srv/in-the-way')
        remote.remove_file('/srv/in-the-way/file/x')

    def test_a_link_that_is_no_text(self, remote):
        remote.run(NOT_TEXT)
        with pytest.raises(exception.StepError, match='/srv/odd'):
            remote.write_file('/srv/odd/file', b'x')

    def test_the_merged_usr(self, remote):
        """/bin, /sbin, /lib and /var/run are links."""
        remote.write_file('/bin/hello', b'#!/bin/sh\n', mode=0o755)
        remote.write_file('/var/run/hello.pid', b'1')
        assert remote.read_file('/usr/bin/hello') == b'#!/bin/sh\n'
        assert remote.read_file('/run/hello.pid') == b'1'

    # -- what commands make of /etc/resolv.conf -----------------------------

    @pytest.fixture
    def resolver(self, remote, handle):
        """Called with a script; tells what the image has afterwards."""
        remote.remove_file('/etc/resolv.conf')
        remote.write_file('/etc/resolv.conf', b'search example.org\n')

        def after(script):
            remote.run(['sh', '-ec', script])
            if handle.is_symlink('/etc/resolv.conf'):
                return '-> ' + handle.readlink('/etc/resolv.conf')
            if not handle.exists('/etc/resolv.conf'):
                return 'none'
            return remote.read_file('/etc/resolv.conf').decode()

        yield after
        # Nothing of ours is left, whatever happened.
        assert handle.glob_expand('/etc/.im*') == []

    @pytest.mark.parametrize(
        'script, after',
        [
            ('grep nameserver /etc/resolv.conf', 'search example.org\n'),
            ('ln -snf ../run/stub /etc/resolv.conf', '-> ../run/stub'),
            ('echo nameserver 192.0.2.1 >/etc/resolv.conf',
             'nameserver 192.0.2.1\n'),
            ('echo options rotate >>/etc/resolv.conf',
             'search example.org\noptions rotate\n'),
            ('sed -i "1i options rotate" /etc/resolv.conf',
             'options rotate\n'),
            ('rm /etc/resolv.conf', 'none'),
            ('rm /etc/resolv.conf; mkfifo /etc/resolv.conf',
             'search example.org\n'),
            ('cd /etc; cp resolv.conf new; mv new resolv.conf',
             'search example.org\n'),
        ],
    )  # fmt: skip
    def test_a_resolver_is_kept(self, resolver, script, after):
        assert resolver(script).removeprefix('#\n') == after

    def test_a_package_that_moves_it_away(self, resolver, remote):
        """As systemd-resolved does, for one."""
        script = 'mv /etc/resolv.conf /etc/.resolv.conf.orig; ' + (
            'ln -s ../run/systemd/resolve/stub-resolv.conf /etc/resolv.conf'
        )
        assert resolver(script).startswith('-> ../run/systemd')
        kept = remote.read_file('/etc/.resolv.conf.orig')
        assert kept == b'search example.org\n'

    def test_a_link_to_nothing_stays_and_can_be_written(
        self, resolver, remote
    ):
        link = 'ln -snf ../run/systemd/resolve/stub-resolv.conf '
        resolver(link + '/etc/resolv.conf')
        again = resolver('cat /etc/resolv.conf; echo x >>/etc/resolv.conf')
        assert again == '-> ../run/systemd/resolve/stub-resolv.conf'
        remote.write_file('/etc/resolv.conf', b'nameserver 192.0.2.1\n')
        assert resolver('true') == 'nameserver 192.0.2.1\n'
