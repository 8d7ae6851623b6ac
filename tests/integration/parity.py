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
"""One manifest packed in the sandbox and in the appliance, the long form.

``python -m tests.integration.parity`` packs a bootable Debian in both with
real packages and a script that does what scripts do, compares the trees and
boots both. Ten minutes where guests are emulated; root, and a package mirror.
The short form is ``test_layers_of_disks.py``.
"""

import argparse
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

from imagebuild.disks import image_file
from tests.integration import trees
from tests.integration.native_disk import Native

MANIFEST = r"""
validators:
- package: [iputils-ping, sudo, policykit-1, dbus, cron, man-db, acl, attr,
    libcap2-bin, e2fsprogs, python3-venv, openresolv, postfix, dnsmasq-base,
    fuse3, ntpsec, locales, vim-tiny]
- user: {worker: {groups: [sudo]}}
- service: {cron: enabled, ssh: enabled, getty@tty2: disabled}
- file: {/etc/motd: {content: hello, mode: '0640', owner: worker}}
- script:
    files:
      inline: |
        set -e
        python3 -m venv /opt/venv
        mkdir -p /tmp/pkg /srv/p; cd /tmp/pkg; echo x=1 >mod.py
        printf '%s\n' 'from setuptools import setup' \
            'setup(name="mod", version="1", py_modules=["mod"])' >setup.py
        /opt/venv/bin/pip install --no-index --no-build-isolation /tmp/pkg
        cd /srv/p; mkfifo fifo
        ln -s relative rel; ln -s /absolute/x abs
        echo one >hard1; ln hard1 hard2; truncate -s 1G sparse
        touch huge; chown 2000000:2000001 huge
        touch acl; setfacl -m u:worker:rw,g:mail:r acl
        mkdir sticky; chmod 1777 sticky; setfacl -d -m u:worker:rwx sticky
        touch xattr; setfattr -n user.note -v kept xattr
        cp /bin/true capable; setcap cap_net_raw,cap_net_admin=ep capable
        chown 33 capable; setcap cap_net_bind_service=ep capable
        touch nodump; chattr +dA nodump; echo t >/tmp/left; mkdir /run/left
        touch -d '2001-02-03 04:05:06' old; umask >umask
- script:
    system:
      inline: |
        set -e
        ln -sf /usr/share/zoneinfo/Europe/Berlin /etc/localtime
        echo 'de_DE.UTF-8 UTF-8' >>/etc/locale.gen; locale-gen
        echo parity >/etc/hostname; : >/etc/machine-id
        update-alternatives --set editor /usr/bin/vim.tiny
        dpkg-divert --local --rename --add /usr/bin/vim.tiny
        update-initramfs -u; update-grub
        systemctl enable systemd-networkd; systemctl mask nothing.service
        systemctl start cron; systemctl restart ssh; systemctl daemon-reload
        service cron restart; invoke-rc.d cron reload; ischroot
        runuser -u worker -- id; ping -c 1 -W 1 127.0.0.1
        useradd -m -u 1500 other; passwd --expire other; groupadd -g 999999 big
        sysctl -w net.ipv4.ip_forward=1 || :
"""
#: What else may differ here, see doc/source/user/isolation.rst.
EXPLAINED = {
    '/boot/grub/grub.cfg': 'hints about where the disk was',
    '/var/cache/debconf/*': 'names of the machine, where its kernel is old',
    '/etc/postfix/main.cf': 'the same',
    '/etc/mailname': 'the same',
}


def pack(image: pathlib.Path, isolation: str, manifest: str) -> None:
    described = image.with_suffix('.yaml')
    described.write_text(manifest)
    subprocess.run(
        [
            *(sys.executable, '-m', 'imagebuild.cmd.pack', '--image', image),
            *('--manifest', described, '--isolation', isolation),
        ],
        check=True,
    )


def states(image: pathlib.Path) -> str:
    """What dpkg has of every package."""
    with tempfile.TemporaryDirectory(dir=image.parent) as directory:
        chain = tuple(reversed(image_file.inspect(image).chain))
        with Native(pathlib.Path(directory), chain, readonly=True) as native:
            native.mount()
            found = native.child.sh(
                'dpkg-query --admindir=root/var/lib/dpkg -W '
                "-f '${Package} ${Version} ${db:Status-Abbrev}\\n'"
            )
            native.finish()
    return str(found)


def main() -> int:
    # Which starts qemu; a test module that imports this does it itself.
    from tests.integration.test_bootstrap import boot

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('image', type=pathlib.Path, help='a bootable Debian')
    parser.add_argument('directory', type=pathlib.Path, help='for the copies')
    options = parser.parse_args()
    started, found, packages = time.time(), [], []
    trees.EXPLAINED.update(EXPLAINED)
    for isolation in ('sandbox', 'appliance'):
        image = options.directory / f'{isolation}.qcow2'
        shutil.copyfile(options.image, image)
        pack(image, isolation, MANIFEST)
        found.append(trees.of(image))
        packages.append(states(image))
    differences = trees.differences(*found, since=started)
    print('\n'.join(differences) or f'{len(found[0])} files are the same')
    same = packages[0] == packages[1]
    print(f'{packages[0].count(chr(10))} packages, the same: {same}')
    for isolation in ('sandbox', 'appliance'):
        directory = options.directory / isolation
        directory.mkdir()
        image = options.directory / f'{isolation}.qcow2'
        print(isolation, 'boots:', boot(image, directory, efi=False))
    return bool(differences) or not same


if __name__ == '__main__':
    sys.exit(main())
