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
"""What cloud-init makes of user data, and what comes of it converted.

Each file of tests/user_data is given to the cloud-init of Debian, in a chroot
over a bootable image, and converted, packed over the same image. The two
trees must be the same, but for what is listed here.
"""

import hashlib
import json
import os
import pathlib
import re
import stat
import subprocess
import time
from collections.abc import Iterator
from concurrent import futures

import pytest

from imagebuild import conversion
from imagebuild import manifest
from tests.integration import sandboxes

pytestmark = pytest.mark.timeout(600)

DATA = pathlib.Path(__file__).parents[1] / 'user_data'
FILES = sorted(DATA.iterdir())

#: For the cloud-init of the chroot: no network, no disk of its own, and
#: nothing that a cloud would be asked for.
CONFIG = """
datasource_list: [NoCloud]
network: {config: disabled}
growpart: {mode: "off"}
resize_rootfs: false
ssh_deletekeys: false
ssh_genkeytypes: []
manage_etc_hosts: false
users: []
"""
#: In a mount, pid and uts namespace; arguments: lower, scratch, user data.
CLOUD_INIT = r"""
set -eu
mount -t tmpfs none "$2"
mkdir "$2/upper" "$2/work" "$2/root"
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" \
    "$2/root"
root=$2/root
seed=$root/var/lib/cloud/seed/nocloud
mkdir -p "$seed"
cp "$3" "$seed/user-data"
printf 'instance-id: i-1\nlocal-hostname: %s\n' "$(cat "$1/etc/hostname")" \
    > "$seed/meta-data"
printf '%s' "$CONFIG" > "$root/etc/cloud/cloud.cfg.d/99-test.cfg"
mount -t proc none "$root/proc"
mount -t sysfs -o ro none "$root/sys"
mount -t tmpfs none "$root/run"
mount -t tmpfs none "$root/tmp"
mount -t tmpfs none "$root/dev"
mknod -m 666 "$root/dev/null" c 1 3
mknod -m 666 "$root/dev/zero" c 1 5
mknod -m 666 "$root/dev/urandom" c 1 9
mknod -m 666 "$root/dev/random" c 1 8
mknod -m 666 "$root/dev/tty" c 5 0
: > "$root/dev/console"
ln -s /proc/self/fd "$root/dev/fd"
cp --remove-destination /etc/resolv.conf "$root/etc/resolv.conf"
in_root() { chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"; }
for stage in 'init --local' init 'modules --mode=config' \
        'modules --mode=final'; do
    in_root cloud-init $stage >> "$root/tmp/log" 2>&1 || :
done
umount "$root/proc" "$root/sys" "$root/run" "$root/dev"
grep -hE 'WARNING|Traceback' "$root/var/log/cloud-init.log" >&2 || :
in_root sh -s "$SINCE" < "$4"
"""
#: One line for each file that has changed, and for each name in /etc;
#: accounts by name. Argument: seconds since 1970.
STATE = r"""
set -eu
find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /run \
    -o -path /tmp -o -path /boot -o -path /var/log -o -path /var/cache \
    -o -path /var/lib/apt -o -path /var/tmp -o -path /root/.cache \) \
    -prune -o -newerct "@$1" \( -type d -printf 'd %m %u:%g - %p\n' \
    -o -type l -printf 'l - %u:%g %l %p\n' \
    -o -type f -printf 'f %m %u:%g ' -exec md5sum {} \; \) | LC_ALL=C sort
find /etc -printf 'name %p\n'
dpkg-query -W -f 'package ${Package} ${Version}\n'
sed 's/^/shadow /' /etc/shadow
sed 's/^/passwd /' /etc/passwd
sed 's/^/group /' /etc/group
cat /etc/sudoers.d/* 2>/dev/null | sed -n 's/^[^#]/sudo &/p' | sort
apt-get update --print-uris | sed 's/^/index /' | cut -d' ' -f1,2 | sort
"""
#: What cloud-init and the package managers leave that is about themselves,
#: or about one machine.
ITS_OWN = re.compile(
    r'/var/lib/cloud(?!/scripts/per-boot/)|/etc/cloud/cloud\.cfg\.d/9'
    r'|/etc/machine-id|/etc/ssh/ssh_host_|/root/\.ssh'
    r'|/etc/resolv\.conf|/var/lib/dpkg|/var/lib/ucf|/etc/ld\.so\.cache'
    r'|/etc/(?:passwd|group|g?shadow|sub[ug]id)-?$|/etc/\.pwd\.lock'
    r'|\.pyc$|__pycache__|/var/lib/systemd|/etc/\.imagebuild-'
    # The same rules and indexes are compared, wherever they are.
    r'|/etc/sudoers\.d|/etc/apt/sources\.list\.d/'
    r'|/etc/apt/apt\.conf\.d/90cloud-init-pipelining|/var/cache|/var/lib/man'
)
#: What else differs, file by file: what only the machine knows.
KNOWN: dict[str, set[str]] = {
    '09-jinja': {
        '/etc/of-the-machine',
        '/root/instance',
        'name /etc/of-the-machine',
    },
}
#: Of the first user, and of one that has keys.
EMPTY_KEYS = re.compile(r'/\.ssh(/authorized_keys)?$')
EMPTY = hashlib.md5(b'', usedforsecurity=False).hexdigest()


@pytest.fixture(scope='module')
def lower(
    bootable_image: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[pathlib.Path]:
    """The tree of the image, read only."""
    directory = tmp_path_factory.mktemp('lower')
    raw = directory / 'disk.raw'
    subprocess.run(
        ['qemu-img', 'convert', '-O', 'raw', bootable_image, raw], check=True
    )
    table = json.loads(
        subprocess.run(
            ['sfdisk', '--json', raw], check=True, capture_output=True
        ).stdout
    )['partitiontable']
    last = max(table['partitions'], key=lambda part: part['size'])
    root = directory / 'root'
    root.mkdir()
    options = f'ro,loop,offset={last["start"] * 512}'
    subprocess.run(['mount', '-o', options, raw, root], check=True)
    try:
        yield root
    finally:
        subprocess.run(['umount', root], check=True)


def state_of(text: str) -> dict[str, str]:
    """Lines of STATE by what they are about.

    Without the default user, who is made on each machine.
    """
    found = {}
    for line in text.splitlines():
        kind, _, rest = line.partition(' ')
        if kind == 'f':
            mode, owner, digest, path = rest.split(None, 3)
            found[path] = f'f {mode} {owner} {digest}'
        elif kind in ('d', 'l'):
            mode, owner, target, path = rest.split(None, 3)
            found[path] = f'{kind} {mode} {owner} {target}'
        elif kind == 'group':
            name, _, number, members = rest.split(':')
            present = sorted(set(members.split(',')) - {'debian'})
            found[f'group {name}'] = f'{number} {",".join(present)}'
        elif kind in ('passwd', 'shadow'):
            found[f'{kind} {rest.partition(":")[0]}'] = rest
        else:
            found[line] = ''
    return {
        name: value
        for name, value in found.items()
        if not re.search(
            '^(passwd|shadow|group) debian$|/home/debian|^group netdev$'
            '|^sudo debian |^name /etc/(sudoers|apt/sources.list).d',
            name,
        )
    }


def before(lower: pathlib.Path, name: str) -> str | None:
    """What the image has at a path."""
    path = lower / name.lstrip('/')
    if not name.startswith('/') or not os.path.lexists(path):
        return None
    state = path.lstat()
    users = (lower / 'etc/passwd').read_text().splitlines()
    groups = (lower / 'etc/group').read_text().splitlines()
    owner = ':'.join(
        next(
            line.split(':')[0]
            for line in lines
            if line.split(':')[2] == str(number)
        )
        for lines, number in ((users, state.st_uid), (groups, state.st_gid))
    )
    mode = f'{state.st_mode & 0o7777:o}'
    if stat.S_ISDIR(state.st_mode):
        return f'd {mode} {owner} -'
    if stat.S_ISLNK(state.st_mode):
        return f'l - {owner} {path.readlink()}'
    digest = hashlib.md5(path.read_bytes(), usedforsecurity=False)
    return f'f {mode} {owner} {digest.hexdigest()}'


def by_cloud_init(
    lower: pathlib.Path, data: pathlib.Path, scratch: pathlib.Path, since: str
) -> dict[str, str]:
    script = scratch / 'state.sh'
    script.write_text(STATE)
    tree = scratch / 'tree'
    tree.mkdir()
    done = subprocess.run(
        ['unshare', '--mount', '--pid', '--fork', '--uts', '--ipc',
         'sh', '-c', CLOUD_INIT, 'sh', lower, tree, data, script],
        capture_output=True, text=True, check=False,
        env={**os.environ, 'CONFIG': CONFIG, 'SINCE': since},
    )  # fmt: skip
    print(done.stderr[-3000:])
    assert done.returncode == 0
    return state_of(done.stdout)


def by_us(
    image: pathlib.Path, data: pathlib.Path, scratch: pathlib.Path, since: str
) -> dict[str, str]:
    made = conversion.convert(data)
    print(made.text)
    loaded = manifest.load(made.text)
    # Installing packages takes long on a busy machine.
    with sandboxes.opened(image, scratch, command_timeout=300.0) as remote:
        loaded.run(remote)
        # It conforms, and packing again is no failure.
        loaded.run(remote, reconcile=False)
        return state_of(remote.run(['sh', '-c', STATE, 'sh', since]).stdout)


def differences(
    lower: pathlib.Path, theirs: dict[str, str], ours: dict[str, str]
) -> dict[str, tuple[str | None, str | None]]:
    found = {}
    for name in sorted(theirs.keys() | ours.keys()):
        if theirs.get(name) == ours.get(name) or ITS_OWN.search(name):
            continue
        # What only one of them has touched.
        pair = (
            theirs.get(name) or before(lower, name),
            ours.get(name) or before(lower, name),
        )
        if pair[0] == pair[1] and name.startswith('/'):
            continue
        # It makes an empty file of keys for the first user.
        if (
            EMPTY_KEYS.search(name)
            and pair[1] is None
            and not (pair[0].startswith('f') and EMPTY not in pair[0])
        ):
            continue
        found[name] = pair
    return found


@pytest.mark.parametrize('data', FILES, ids=[file.stem for file in FILES])
def test_the_same_state(
    lower: pathlib.Path,
    bootable_image: pathlib.Path,
    tmp_path: pathlib.Path,
    data: pathlib.Path,
) -> None:
    since = str(int(time.time()) - 1)
    with futures.ThreadPoolExecutor(1) as pool:
        asked = pool.submit(by_cloud_init, lower, data, tmp_path, since)
        ours = by_us(bootable_image, data, tmp_path, since)
        theirs = asked.result()
    found = differences(lower, theirs, ours)
    for name, (one, other) in found.items():
        print(f'{name}: {one} != {other}')
    assert found.keys() == KNOWN.get(data.stem, set())
