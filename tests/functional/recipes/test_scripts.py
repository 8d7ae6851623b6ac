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
"""Scripts of the recipes, run here, in a directory that stands for ``/``.

What they do in a guest is in tests/integration/test_datastores.py.
"""

import hashlib
import os
import pathlib
import re
import subprocess
import tarfile

import pytest

from imagebuild.recipes import search

#: What scripts look at or make by names of their own.
SYSTEM = re.compile(
    r'(?<![\w/}])/'
    r'(?=etc/selinux/|\.autorelabel|opt/guest-agent|var/lib/imagebuild)'
)
SEMANAGE = r"""#!/bin/sh
kind=$1
shift
case "$1 $2" in
'-l -C') cat "$ROOT/$kind" 2> /dev/null; exit 0 ;;
esac
[ "$1" = -N ] || exit 1
case $kind in
fcontext)
    shift 4
    [ "$1" = -t ] || set -- -f f "$@"
    for pattern do :; done
    printf '%s all files system_u:object_r:%s:s0\n' "$pattern" etc_t
    ;;
port) printf '%s                tcp      %s\n' "$4" "$7" ;;
esac >> "$ROOT/$kind"
echo "$kind $*" >> "$ROOT/calls"
"""


class System:
    """A directory that stands for a system."""

    def __init__(self, root: pathlib.Path) -> None:
        self.root = root
        (root / 'bin').mkdir()
        (root / 'etc').mkdir()

    def program(self, name: str, text: str) -> None:
        path = self.root / 'bin' / name
        path.write_text(text)
        path.chmod(0o755)

    def run(
        self, script: str, *, test_only: bool = False, **values: str
    ) -> str:
        """Run one; returns what it complained of, '' if nothing failed."""
        text = (search.SHIPPED / script).read_text()
        done = subprocess.run(
            ['/bin/bash', '-c', SYSTEM.sub(f'{self.root}/', text), script],
            env={
                'PATH': f'{self.root}/bin:{os.environ["PATH"]}',
                'ROOT': str(self.root),
                'test_only': str(int(test_only)),
                **values,
            },
            capture_output=True,
            text=True,
        )
        assert bool(done.returncode) == bool(done.stderr), done
        return done.stderr.strip()

    def read(self, name: str) -> str:
        path = self.root / name
        return path.read_text() if path.exists() else ''


@pytest.fixture
def system(tmp_path: pathlib.Path) -> System:
    return System(tmp_path)


PLACE = 'common/data-directory-place.sh'


@pytest.mark.parametrize(
    'directory, wrong',
    [
        ('/', 'which the system itself uses'),
        ('/etc/mysql', 'which the system itself uses'),
        ('/usr/share/x', 'which the system itself uses'),
        ('/var/lib', 'which the system itself uses'),
        ('/lib64', 'which the system itself uses'),
        ('/tmp', 'which is not kept in an image'),
        ('/run/db', 'which is not kept in an image'),
        ('/var/run/db', 'which is not kept in an image'),
        ('/home/me/db', 'which the units of servers do not let them see'),
        ('/root', 'which the units of servers do not let them see'),
    ],
)
@pytest.mark.parametrize('test_only', [False, True])
def test_places_that_are_refused(system, directory, wrong, test_only) -> None:
    said = system.run(PLACE, data_directory=directory, test_only=test_only)
    assert said == f'the argument data-directory is {directory}, {wrong}'


@pytest.mark.parametrize(
    'directory, vendor',
    [
        ('', ''),
        ('/srv', ''),
        ('/srv/db', '/var/lib/x'),
        ('/var/lib/mysql', ''),
        ('/data', ''),
        ('/home/db2inst1', '/home/db2inst1'),
        ('/home/db2inst1/db', '/home/db2inst1'),
    ],
)
def test_places_that_are_good(system, directory, vendor) -> None:
    values = {'vendor_data_directory': vendor} if vendor else {}
    assert not system.run(PLACE, data_directory=directory, **values)


class TestConfiguration:
    """Where a configuration is kept."""

    SCRIPT = 'common/configuration-link.sh'

    def link(self, system: System, place: str, **more: bool) -> str:
        return system.run(
            self.SCRIPT,
            configuration_file=str(system.root / place),
            vendor_configuration=str(system.root / 'etc/server.cnf'),
            **more,
        )

    def test_it_is_moved(self, system):
        vendor = system.root / 'etc/server.cnf'
        vendor.write_text("# the vendor's\n")
        said = self.link(system, 'srv/c', test_only=True)
        assert 'does not lead to' in said
        assert not self.link(system, 'srv/c')
        assert vendor.readlink() == system.root / 'srv/c'
        assert system.read('srv/c') == "# the vendor's\n"
        assert not self.link(system, 'srv/c', test_only=True)
        assert not self.link(system, 'srv/c')

    def test_it_is_moved_again(self, system):
        """The old one is not left behind, and nothing of it is lost."""
        vendor = system.root / 'etc/server.cnf'
        vendor.write_text("# the vendor's\n")
        for place in ('a/c', 'b/c', 'a/c'):
            assert not self.link(system, place)
            assert vendor.readlink() == system.root / place
            assert system.read(place) == "# the vendor's\n"
            assert len(list(system.root.glob('[ab]/c'))) == 1

    @pytest.mark.parametrize('leads', ['', 'gone', 'no/where'])
    def test_there_is_none_yet(self, system, leads):
        if leads:
            (system.root / 'etc/server.cnf').symlink_to(system.root / leads)
        assert not self.link(system, 'srv/c')
        assert (system.root / 'srv/c').read_text() == ''

    def test_what_is_ours_may_be_there(self, system):
        (system.root / 'c').write_text('; Written by imagebuild; the ...\n')
        assert not self.link(system, 'c')

    @pytest.mark.parametrize('place', ['etc', 'etc/passwd', 'bin'])
    def test_other_files_are_not_touched(self, system, place):
        (system.root / 'etc/server.cnf').write_text('x')
        (system.root / 'etc/passwd').write_text('root:x:0:0\n')
        said = self.link(system, place)
        assert 'where there is something else already' in said
        assert system.read('etc/passwd') == 'root:x:0:0\n'
        assert system.read('etc/server.cnf') == 'x'


class TestSelinux:
    """What SELinux is told of a server."""

    SCRIPT = 'common/selinux-server.sh'
    USUAL = {
        'configuration_file': '',
        'port': '3306',
        'vendor_port': '3306',
        'selinux_port_type': 'mysqld_port_t',
    }
    OTHER = {**USUAL, 'configuration_file': '/srv/my.cnf', 'port': '330'}

    @pytest.fixture(autouse=True)
    def semanage(self, system):
        system.program('semanage', SEMANAGE)

    def test_there_is_none(self, system):
        assert not system.run(self.SCRIPT, **self.OTHER)
        assert not system.read('calls')

    def test_all_as_usual(self, system):
        (system.root / 'etc/selinux').mkdir()
        (system.root / 'etc/selinux/config').touch()
        assert not system.run(self.SCRIPT, **self.USUAL)
        assert not system.read('calls')

    def test_port_and_configuration(self, system):
        (system.root / 'etc/selinux').mkdir()
        (system.root / 'etc/selinux/config').touch()
        (system.root / 'port').write_text(
            'mysqld_port_t                  tcp      3307, 3301, 3300\n'
            'http_port_t                    tcp      330\n'
        )
        said = system.run(self.SCRIPT, **self.OTHER, test_only=True)
        assert said == 'SELinux does not know the port 330 or /srv/my.cnf'
        assert not system.run(self.SCRIPT, **self.OTHER)
        assert system.read('calls').splitlines() == [
            r'fcontext -t etc_t /srv/my\.cnf',
            'port -N -a -t mysqld_port_t -p tcp 330',
        ]
        assert (system.root / '.autorelabel').exists()
        assert not system.run(self.SCRIPT, **self.OTHER, test_only=True)
        for port in ('3307', '3301', '3300'):
            values = {**self.USUAL, 'port': port}
            assert not system.run(self.SCRIPT, **values, test_only=True)

    @pytest.mark.parametrize(
        'values, needed',
        [
            ({}, False),
            ({'port': '1'}, True),
            ({'configuration_file': '/srv/c'}, True),
            ({'data_directory': '/srv/d'}, True),
            ({'port': '1', 'vendor_port': ''}, False),
            ({'port': '1', 'selinux_type': ''}, False),
        ],
    )
    def test_when_its_tools_are_needed(self, system, values, needed):
        (system.root / 'etc/selinux').mkdir()
        (system.root / 'etc/selinux/config').touch()
        (system.root / 'bin/semanage').unlink()
        said = system.run(
            'common/selinux-tools.sh',
            **{
                **self.USUAL,
                'data_directory': '',
                'vendor_data_directory': '/var/lib/mysql',
                'selinux_type': 'mysqld_db_t',
                **values,
            },
        )
        assert bool(said) == needed


class TestMysqlsFamily:
    """Servers that exclude each other."""

    SCRIPT = 'common/mysql-others.sh'

    @pytest.mark.parametrize('family', ['debian', 'redhat'])
    @pytest.mark.parametrize(
        'installed, packages, wrong',
        [
            ('bash', 'mariadb-server mariadb-backup', ''),
            ('mariadb-server', 'mariadb-server mariadb-backup', ''),
            ('percona-xtradb-cluster-server', 'percona-xtradb-cluster', ''),
            (
                'mysql-community-server',
                'mariadb-server mariadb-backup',
                'the image has mysql-community-server already, which cannot '
                'be there together with mariadb-server',
            ),
            (
                'percona-server-server',
                'percona-xtradb-cluster',
                'the image has percona-server-server already, which cannot '
                'be there together with percona-xtradb-cluster',
            ),
        ],
    )
    def test_it(self, system, family, installed, packages, wrong):
        system.program(
            'dpkg-query',
            '#!/bin/sh\n'
            f'[ "$4" = {installed} ] || exit 1\n'
            'printf "install ok installed"\n',
        )
        system.program('rpm', f'#!/bin/sh\n[ "$2" = {installed} ]\n')
        said = system.run(self.SCRIPT, packages=packages, distro_family=family)
        assert said == wrong


def test_couchbase_is_given_another_directory(system):
    """The link of before is no directory with data."""
    conf = system.root / 'etc/static_config'
    conf.write_text('{rest_port, 8091}.\n')
    vendor = system.root / 'opt/data'
    vendor.mkdir(parents=True)
    for name in ('one', 'two', 'two'):
        place = system.root / name
        place.mkdir(exist_ok=True)
        assert not system.run(
            'couchbase/7.6/couchbase.sh',
            data_directory=str(place),
            vendor_data_directory=str(vendor),
            vendor_configuration=str(conf),
            port='9091',
        )
        assert vendor.readlink() == place
    assert conf.read_text() == '{rest_port, 9091}.\n'
    assert not list((system.root / 'one').iterdir())


class TestFetch:
    """A vendor's file, by an address of one's own."""

    DIGEST = hashlib.sha256(b'archive').hexdigest()

    def fetch(self, system, archive, digest=DIGEST, **more):
        return system.run(
            'common/fetch.sh',
            archive=archive,
            archive_sha256=digest,
            fetched_for=str(system.root / 'done'),
            fetched_file=str(system.root / 'cache/archive'),
            **more,
        )

    def test_of_the_image(self, system):
        (system.root / 'a').write_bytes(b'archive')
        address = f'file://{system.root}/a'
        assert 'is not there' in self.fetch(system, address, test_only=True)
        for _ in range(2):
            assert not self.fetch(system, address)
            assert system.read('cache/archive') == 'archive'
        (system.root / 'done').touch()
        assert not self.fetch(system, address, test_only=True)

    def test_another_file(self, system):
        (system.root / 'a').write_bytes(b'archive')
        address = f'file://{system.root}/a'
        said = self.fetch(system, address, digest='0' * 64)
        assert said == (
            f'the argument archive: {address} is another file, its SHA-256 '
            f'is {self.DIGEST}'
        )
        assert not (system.root / 'cache/archive').exists()

    @pytest.mark.parametrize(
        'address', ['http://127.0.0.1:9/a', 'file:///none/a']
    )
    def test_none(self, system, address):
        said = self.fetch(system, address)
        assert said.splitlines()[-1] == (
            f'the argument archive: {address} cannot be fetched'
        )

    def test_not_given(self, system):
        assert 'the argument archive is empty' in self.fetch(system, '')


def test_a_place_is_not_asked_for(system):
    """By a recipe of somebody else, which has no such argument."""
    assert not system.run(PLACE)


def test_a_cluster_of_another_version(system):
    data = system.root / 'data'
    data.mkdir()
    (data / 'PG_VERSION').write_text('15\n')
    said = system.run(
        'postgresql/common/postgresql-data.sh',
        data_directory=str(data),
        vendor_data_directory='/none',
        main_configuration='',
        program_directory='/none',
        vendor_configuration='/none',
        datastore_version='16',
    )
    assert said == (
        f'{data} holds a database cluster of PostgreSQL 15, which 16 does '
        'not read'
    )


class TestPackageDirectory:
    """Package files of a directory."""

    SCRIPT = 'common/package-directory.sh'

    def install(self, system, directory, packages='server tools', **more):
        return system.run(
            self.SCRIPT,
            package_directory=str(directory),
            packages=packages,
            distro_family='debian',
            **more,
        )

    @pytest.fixture(autouse=True)
    def dpkg(self, system):
        """What apt-get is given is installed, but for the tools."""
        system.program(
            'dpkg-query',
            '#!/bin/sh\n[ -e "$ROOT/$4.installed" ] || exit 1\n'
            'cat "$ROOT/$4.installed"\n',
        )
        system.program(
            'apt-get',
            '#!/bin/sh\nfor file do\n'
            'case $file in *server*)'
            ' echo "install ok installed" > "$ROOT/server.installed" ;;\n'
            'esac\ndone\n',
        )

    def test_what_is_wrong_with_it(self, system):
        said = self.install(system, '', test_only=True)
        assert said == 'not all of these are installed: server tools'
        said = self.install(system, '')
        assert said == 'the argument package-directory is empty'
        said = self.install(system, '/none')
        assert said == 'there are no .deb files in /none'
        (system.root / 'server_1.deb').touch()
        said = self.install(system, system.root)
        assert said.endswith('does not hold all of these: server tools')
        (system.root / 'tools.installed').write_text('deinstall ok config\n')
        said = self.install(system, '', test_only=True)
        assert said == 'not all of these are installed: server tools'

    def test_good(self, system):
        (system.root / 'server_1.deb').touch()
        assert not self.install(system, system.root, 'server')
        assert not self.install(system, '', 'server', test_only=True)


class TestDb2:
    """What IBM gives."""

    def install(self, system, **more):
        return system.run(
            'db2/11.5/db2-install.sh',
            fetched_file=str(system.root / 'cache/db2.tar.gz'),
            fetched_for=str(system.root / 'opt/bin'),
            **more,
        )

    def test_the_licence(self, system):
        said = self.install(system, license='refused', test_only=True)
        assert said == 'Db2 is not installed'
        said = self.install(system, license='refused')
        assert 'only if its licence is accepted' in said

    def test_another_archive(self, system):
        (system.root / 'cache').mkdir()
        with tarfile.open(system.root / 'cache/db2.tar.gz', 'w:gz'):
            pass
        said = self.install(system, license='accepted')
        assert said == 'the archive holds no db2_install'


class TestMysqlData:
    """A server that does not do as it is told."""

    def make(self, system, server, *, password="it's", **more):
        system.program('chown', '#!/bin/sh\n')
        system.program('mysqld', f'#!/bin/bash\n{server}\n')
        return system.run(
            'common/mysql-data.sh',
            data_directory=str(system.root / 'data'),
            server_program=str(system.root / 'bin/mysqld'),
            install_program='',
            root_password=password,
            **more,
        )

    def test_two_lines(self, system):
        said = self.make(system, 'exit 9', password='a\nb')
        assert said == 'the password of root holds a line break'

    def test_no_data_directory(self, system):
        said = self.make(system, 'echo "no room"; exit 1')
        assert said == 'no room'

    def test_it_does_not_start(self, system):
        (system.root / 'data/mysql').mkdir(parents=True)
        said = self.make(system, "echo \"ALTER USER 'it''s'\"; exit 1")
        # Neither the statement nor the password.
        assert said == (
            f'the server could not be started with {system.root}/data'
        )

    def test_the_statement_is_refused(self, system):
        (system.root / 'data/mysql').mkdir(parents=True)
        said = self.make(
            system,
            'for option do case $option in --init-file=*)'
            ' cat "${option#*=}" > /dev/null ;; esac; done;'
            'echo "[ERROR] near ALTER"',
        )
        assert said == 'the password of root could not be set'
        said = self.make(system, '', test_only=True)
        assert 'or root has another password' in said


class TestGuestAgent:
    """Sources that do not bring one."""

    USUAL = {
        'guest_agent': 'directory',
        'guest_agent_repository': 'https://example.org/x',
        'guest_agent_ref': 'master',
        'guest_agent_directory': '',
        'guest_agent_distribution': 'x',
        'guest_agent_requirements': '',
        'guest_agent_constraints': '',
        'guest_agent_index': '',
        'guest_agent_program': 'agent',
    }

    def install(self, system, **values):
        return system.run('common/guest-agent.sh', **{**self.USUAL, **values})

    def test_no_directory(self, system):
        said = self.install(system, guest_agent_directory='/none')
        assert said == 'there is no directory /none'
        said = self.install(system, test_only=True)
        assert said.startswith('the guest agent is not installed from: dir')

    def test_no_repository(self, system):
        said = self.install(
            system,
            guest_agent='git',
            guest_agent_repository=f'file://{system.root}/none',
        )
        assert 'none' in said
        said = self.install(
            system, guest_agent_repository='https://me:pw@example.org/x'
        )
        assert 'would be left in the image' in said

    def test_another_program(self, system):
        """And names that begin as options do are names."""
        system.program(
            'python3',
            '#!/bin/sh\nmkdir -p "$3/bin"\ncp "$ROOT/bin/pip" "$3/bin/pip"\n',
        )
        system.program('pip', '#!/bin/sh\necho "$*" >> "$ROOT/calls"\n')
        said = self.install(
            system, guest_agent='pypi', guest_agent_distribution='-e x'
        )
        assert said == 'the guest agent brought no program agent'
        assert system.read('calls') == 'install -q -- -e x\n'


def test_a_data_directory_that_is_none(system):
    place = system.root / 'data'
    place.touch()
    said = system.run(
        'common/data-directory.sh',
        data_directory=str(place),
        vendor_data_directory='/none',
        data_owner='root:root',
        data_mode='700',
        selinux_type='',
    )
    assert said == f'{place} is not a directory'


@pytest.mark.parametrize(
    'values, wrong',
    [
        ({'clients': 'all; x'}, 'the argument clients is not a network'),
        ({'root_password': 'a\nb'}, 'the password holds a line break'),
    ],
)
def test_who_is_let_in(system, values, wrong):
    (system.root / 'pg_hba.conf').write_text('local all all peer\n')
    said = system.run(
        'postgresql/common/postgresql-access.sh',
        **{
            'data_directory': str(system.root),
            'vendor_data_directory': '',
            'main_configuration': '',
            'program_directory': '/none',
            'clients': '',
            'root_password': '',
            **values,
        },
    )
    assert said == wrong
