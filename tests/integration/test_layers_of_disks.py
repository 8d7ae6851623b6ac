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
"""One manifest makes one image, however it is packed.

From layers or from nothing, in the sandbox or in the appliance: the trees of
the images are compared, all of them. In the sandbox a pack takes some seconds,
in the appliance twenty, so everything is looked at in one go.
"""

import json
import pathlib
import shutil
import subprocess
import sys
import time

import pytest

from tests.contract import disk_contract
from tests.integration import trees

pytestmark = pytest.mark.timeout(900)

PROGRAM = pathlib.Path(sys.executable).parent / 'imagebuild-pack'

#: A package, made and installed, whose scripts do what packages' scripts do.
PACKAGE = r"""
mkdir -p /srv/p/DEBIAN /srv/p/usr/bin /srv/p/usr/lib/p; cd /srv
cp /bin/true p/usr/bin/p-setuid; chgrp games p/usr/bin/p-setuid
chmod 6755 p/usr/bin/p-setuid; ln p/usr/bin/p-setuid p/usr/lib/p/hard
cp /bin/cat p/usr/bin/p-pager
find p -exec touch -hd 2020-02-02T02:02:02 {} +
printf '%s\n' 'Package: p' 'Version: 1' 'Architecture: all' \
    'Maintainer: P <p@example.org>' 'Description: p' >p/DEBIAN/control
cat >p/DEBIAN/postinst <<'END'
#!/bin/sh
set -e
useradd --system --user-group --home-dir /var/lib/p --create-home p
chown -R p:p /var/lib/p; chmod 2750 /var/lib/p
update-alternatives --install /usr/bin/pager pager /usr/bin/p-pager 99
dpkg-divert --add --rename --divert /usr/bin/tac.p /usr/bin/tac
dpkg-trigger --no-await ldconfig
perl -e 'my ($f, $n) = ("/usr/bin/p-pager", "security.capability");
    my $v = pack("V5", 0x02000001, 0x2000, 0, 0, 0);
    syscall(SETXATTR, $f, $n, $v, length $v, 0) == 0 or die "$!"'
invoke-rc.d p start || :
END
chmod 755 p/DEBIAN/postinst
dpkg-deb -b p p.deb; dpkg -i p.deb; rm -r p p.deb
"""
#: Everything else that a step may leave on a file system.
LEAVES = r"""
mkdir -p /srv/layers; cd /srv/layers
head -c 3M /dev/zero | tr '\0' x >big
touch setuid; chown 1:8 setuid; chmod 4755 setuid
mkdir sticky setgid; chmod 1777 sticky; chgrp 8 setgid; chmod 2775 setgid
mkdir setgid/below; touch setgid/file
touch high; chown 2000000:2000001 high; touch -d 2001-02-03T04:05:06 old
ln -s /no/where link; ln -s ../relative other; chown -h 33:33 other
ln big hard; mkfifo -m 620 fifo; truncate -s 1G sparse; echo end >>sparse
perl -MIO::Socket::UNIX -e 'IO::Socket::UNIX->new(Local => "socket",
    Listen => 1) or die'
perl -e 'sub put { my ($f, $n, $v) = @_;
    syscall(SETXATTR, $f, $n, $v, length $v, 0) == 0 or die "$n: $!" }
    put("setuid", "user.note", "kept");
    my $acl = pack("V", 2) . join "", map { pack "vvV", @$_ } [1, 6, ~0],
    [2, 7, 100000], [4, 4, ~0], [8, 6, 8], [16, 7, ~0], [32, 4, ~0];
    put("big", "system.posix_acl_access", $acl);
    put("setgid", "system.posix_acl_default", $acl)'
touch setgid/inherits "$(printf 'odd\nname')"
rm -rf /usr/share/doc/adduser
echo 'left in tmp' >/tmp/layers; mkdir -m 700 /run/layers; umask >umask
"""
SYSTEM = r"""
ln -sf /usr/share/zoneinfo/Asia/Tokyo /etc/localtime
echo layers >/etc/hostname; hostname >/etc/seen-hostname
ischroot; echo $? >/etc/seen-chroot
rm /etc/resolv.conf; ln -s ../run/resolvconf/resolv.conf /etc/resolv.conf
"""
KEY = (
    'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQ'
    'YHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f'
)


def script(name: str, text: str, **more: object) -> dict[str, object]:
    text = text.replace('SETXATTR', str(disk_contract.SETXATTR))
    return {'script': {name: {'inline': text, **more}}}


def manifest(last: str) -> str:
    motd = {'content': 'hello\n', 'mode': '0640', 'owner': 'games'}
    steps = [
        script('package', PACKAGE),
        script('leaves', LEAVES),
        {'file': {'/etc/motd': motd}},
        {'user': {'worker': {'groups': ['adm'], 'password_hash': '$6$a$b'}}},
        {'ssh_key': {'worker': [f'{KEY} w']}},
        script('tells', 'echo found', output='word'),
        script('system', SYSTEM),
        script('removes', 'rm /srv/layers/hard /etc/issue; cat /tmp/layers'),
        script('moves', 'mv /srv/layers/setgid /srv/moved'),
        script('last', f'echo {last} "$word" >/srv/last', env_vars=['word']),
    ]
    # As JSON, which is YAML: the steps are long.
    return json.dumps({'validators': steps})


@pytest.fixture(scope='module')
def pack(minimal_image, tmp_path_factory):
    """Pack a copy of the minimal image.

    :returns: the results of the steps, and the image's tree.
    """
    directory = tmp_path_factory.mktemp('packs')
    config = directory / 'imagebuild.conf'
    config.write_text('[layers]\nmin_seconds = 0\n')
    copies = iter(range(10))

    def pack(last, isolation, *options):
        number = next(copies)
        image = directory / f'copy{number}.qcow2'
        shutil.copyfile(minimal_image, image)
        described = directory / f'manifest{number}.yaml'
        described.write_text(manifest(last))
        done = subprocess.run(
            [
                *(str(PROGRAM), '--image', str(image), '--json'),
                *('--manifest', str(described), '--isolation', isolation),
                *('--config-file', str(config), '--no-network', *options),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        assert found['result'] == 'packed'
        look = subprocess.run(
            ['qemu-img', 'info', '--output=json', str(image)],
            capture_output=True,
            text=True,
            check=True,
        )
        assert 'backing-filename' not in json.loads(look.stdout)
        subprocess.run(['qemu-img', 'check', '-q', str(image)], check=True)
        tree = trees.of(image)
        image.unlink()
        return [step['result'] for step in found['steps']], tree

    return pack


@pytest.fixture(scope='module')
def started():
    return time.time()


@pytest.fixture(scope='module')
def reference(started, pack):
    """What the sandbox makes without layers."""
    results, tree = pack('two', 'sandbox')
    assert 'cached' not in results and len(results) == 10
    return tree


def test_what_is_compared(reference):
    """Nothing would be found to differ where nothing is."""
    made = reference['/srv/moved/inherits']
    assert set(made['attributes']) == {'system.posix_acl_access'}
    assert reference['/srv/layers/high']['owner'] == '2000000:2000001'
    assert 'user.note' in reference['/srv/layers/setuid']['attributes']
    assert reference['/usr/bin/p-setuid']['mode'] == '0o106755'
    assert reference['/usr/bin/p-setuid']['links'] == 2
    held = reference['/usr/bin/p-pager']['attributes']
    assert held == {
        'security.capability': '0100000200200000000000000000000000000000'
    }
    assert '/usr/bin/tac.p' in reference
    assert reference['/etc/resolv.conf']['target'].startswith('../run/')
    changed = {**reference, '/x': reference['/']}
    del changed['/etc/motd']
    assert trees.differences(reference, changed, since=0) == [
        '/etc/motd: only in the first',
        '/x: only in the second',
    ]
    # What an archive holds is of the whole second in which it was made.
    one, other = (
        {**reference, '/x': {**reference['/'], 'mtime': seconds * 10**9}}
        for seconds in (7, 8)
    )
    assert trees.differences(one, other, since=7.9) == []
    assert len(trees.differences(one, other, since=8.1)) == 1


@pytest.mark.both_isolations
def test_an_edit_of_the_last_step(
    pack, isolation, tmp_path, reference, started
):
    cache = ('--cache', str(tmp_path / 'layers'))
    results, _ = pack('one', isolation, *cache)
    assert 'cached' not in results
    # The files of the pack that made them are gone, and its base too.
    results, tree = pack('two', isolation, *cache)
    assert results == [*['cached'] * 9, 'ran']
    # The appliance's is so compared with the sandbox's, too.
    assert trees.differences(reference, tree, since=started) == []
    if isolation == 'appliance':
        # Each of its packs takes twenty seconds.
        return
    # A layer that is cut short is built again.
    for layer in (tmp_path / 'layers' / 'layers').iterdir():
        with (layer / 'disk.qcow2').open('r+b') as file:
            file.truncate(1000)
    results, _ = pack('two', isolation, *cache)
    assert 'cached' not in results
