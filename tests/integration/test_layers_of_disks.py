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
"""What a pack over layers leaves is what a pack from nothing leaves.

In the sandbox each pack takes some seconds, in the appliance twenty, so
everything is looked at in one go.
"""

import json
import pathlib
import shutil
import subprocess
import sys

import pytest

pytestmark = pytest.mark.timeout(900)

PROGRAM = pathlib.Path(sys.executable).parent / 'imagebuild-pack'

#: Everything that a step may leave on a file system.
LEAVES = r"""
mkdir -p /srv/layers; cd /srv/layers
head -c 3M /dev/zero | tr '\0' x >big
touch setuid; chown 1:8 setuid; chmod 4755 setuid
ln -s /no/where link; ln big hard
perl -e 'my ($set, $f, $n, $v) = (188, "setuid", "user.note", "kept");
    syscall($set, $f, $n, $v, length $v, 0) == 0 or die "$!"'
rm -rf /usr/share/doc/adduser
echo 'left in tmp' >/tmp/layers
"""
#: Names, modes, owners and contents of the whole tree, and an attribute.
LOOKS = r"""
{ find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /run \
    -o -path /var/log -o -path /tmp/.imagebuild-\* -o -path /etc/resolv.conf \
    -o -path /.imagebuild\* \) -prune -o \( ! -type d -printf \
    '%p %m %U %G %s %l %n\n' -o -printf '%p %m %U %G\n' \) | LC_ALL=C sort
find /etc /srv /usr/bin -xdev -type f ! -path /etc/resolv.conf \
    -exec sha256sum {} + | LC_ALL=C sort -k 2; } | sha256sum
perl -e 'my ($get, $f, $n, $v) = (191, "/srv/layers/setuid", "user.note",
    "\0" x 9); my $l = syscall($get, $f, $n, $v, 9); print "$v $l\n"'
cat /tmp/layers
"""


def manifest(last: str) -> str:
    def script(name: str, text: str, **more: str) -> dict[str, object]:
        return {'script': {name: {'inline': text, **more}}}

    # As JSON, which is YAML: the steps are long.
    return json.dumps(
        {
            'validators': [
                {'script': {'leaves': {'inline': LEAVES}}},
                script('tells', 'echo found', output='word'),
                {
                    'script': {
                        'looks': {
                            'inline': f'echo {last} "$word" >/srv/last\n'
                            + LOOKS,
                            'env_vars': ['word'],
                        }
                    }
                },
            ]
        }
    )


@pytest.fixture
def pack(minimal_image, tmp_path):
    """Pack a copy of the minimal image.

    :returns: the steps of the report.
    """
    config = tmp_path / 'imagebuild.conf'
    config.write_text('[layers]\nmin_seconds = 0\n')
    copies = iter(range(10))

    def pack(last, isolation, *options):
        number = next(copies)
        image = tmp_path / f'copy{number}.qcow2'
        shutil.copyfile(minimal_image, image)
        described = tmp_path / f'manifest{number}.yaml'
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
        image.unlink()
        return found['steps']

    return pack


@pytest.mark.both_isolations
def test_an_edit_of_the_last_step(pack, isolation, tmp_path):
    cache = ('--cache', str(tmp_path / 'layers'))
    first = pack('one', isolation, *cache)
    assert [step['result'] for step in first] == ['ran', 'ran', 'ran']
    # The files of the pack that made them are gone, and its base too.
    edited = pack('two', isolation, *cache)
    assert [step['result'] for step in edited] == ['cached', 'cached', 'ran']
    found = edited[2]['output']
    assert 'kept' in found and 'left in tmp' in found
    if isolation == 'appliance':
        # Each of its packs takes twenty seconds.
        return
    assert pack('two', isolation)[2]['output'] == found
    # A layer that is cut short is built again.
    for layer in (tmp_path / 'layers' / 'layers').iterdir():
        with (layer / 'disk.qcow2').open('r+b') as file:
            file.truncate(1000)
    again = pack('two', isolation, *cache)
    assert [step['result'] for step in again] == ['ran', 'ran', 'ran']
