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
"""All that is in the files of a disk, and how two disks differ.

As a script it prints what is below a directory; it is run beside the mounts
of a disk, as root of this host.
"""

import fcntl
import fnmatch
import hashlib
import json
import os
import pathlib
import stat
import struct
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

_GETFLAGS = 0x80086601
#: Of lsattr(1), what says how a file is stored: extents, an index.
_STORAGE = 0x81000

Tree = dict[str, dict[str, Any]]

#: What holds the time or chance, in whatever it was made.
EXPLAINED = {
    '/var/log/*': 'when it was done',
    '/etc/shadow*': 'salts',
    '/boot/initrd.img-*': 'times of the files in it',
    '/var/cache/ldconfig/aux-cache': 'numbers of files',
    '/etc/ssl/*ssl-cert-snakeoil.*': 'a key',
    '/etc/ssl/certs/????????.0': 'a name that is made of a certificate',
    '/etc/aliases.db': 'a hash table',
    '*/__pycache__/*.pyc': 'times of files that a script has made',
    '/etc/machine-id': 'chance',
    '/run/*.pid': 'numbers of processes',
}


def of(image: pathlib.Path) -> Tree:
    """Mount a disk, nothing of which is changed, and look at all of it."""
    # What is only needed for this is not imported by the script.
    from imagebuild.disks import image_file
    from tests.integration.native_disk import Native

    chain = tuple(reversed(image_file.inspect(image).chain))
    with tempfile.TemporaryDirectory(dir=image.parent) as directory:
        with Native(pathlib.Path(directory), chain, readonly=True) as native:
            native.mount()
            listed = native.child.sh(f'{sys.executable} {__file__} root')
            native.finish()
    tree: Tree = json.loads(listed)
    return tree


def differences(one: Tree, other: Tree, *, since: float) -> list[str]:
    """How two trees differ, but for what is explained.

    :param since: seconds since 1970; times after that are no matter. Its
        fraction is not looked at: an archive, and so a package, holds times
        in whole seconds, and one made at once has a time before ``since``.
    """
    first, second = _with_links(one), _with_links(other)
    found = []
    for path in sorted(first.keys() | second.keys()):
        if any(fnmatch.fnmatch(path, each) for each in EXPLAINED):
            continue
        if path not in first or path not in second:
            found.append(f'{path}: only in the {_place(path in first)}')
            continue
        for name, values in _values(first[path], second[path], since):
            found.append(f'{path}: {name}: {values[0]} and {values[1]}')
    return found


def _place(first: bool) -> str:
    return 'first' if first else 'second'


def _values(
    one: dict[str, Any], other: dict[str, Any], since: float
) -> Iterator[tuple[str, tuple[Any, Any]]]:
    for name in sorted(one.keys() | other.keys()):
        values = one.get(name), other.get(name)
        if (
            name == 'mtime'
            and min(one[name], other[name]) >= int(since) * 10**9
        ):
            continue
        if name != 'inode' and values[0] != values[1]:
            yield name, values


def _with_links(tree: Tree) -> Tree:
    """With the first name of each file that has several."""
    names: dict[int, str] = {}
    for path in sorted(tree):
        names.setdefault(tree[path]['inode'], path)
    return {
        path: {**entry, 'first name': names[entry['inode']]}
        for path, entry in tree.items()
    }


# -- as a script -------------------------------------------------------------


def entry(path: bytes) -> dict[str, Any]:
    status = os.lstat(path)
    kind = stat.S_IFMT(status.st_mode)
    found: dict[str, Any] = {
        'mode': oct(status.st_mode),
        'owner': f'{status.st_uid}:{status.st_gid}',
        'mtime': status.st_mtime_ns,
        'inode': status.st_ino,
        'attributes': {
            name: os.getxattr(path, name, follow_symlinks=False).hex()
            for name in os.listxattr(path, follow_symlinks=False)
        },
    }
    if kind != stat.S_IFDIR:
        found['links'] = status.st_nlink
    if kind == stat.S_IFLNK:
        found['target'] = os.fsdecode(os.readlink(path))
    if kind in (stat.S_IFBLK, stat.S_IFCHR):
        found['device'] = status.st_rdev
    if kind in (stat.S_IFREG, stat.S_IFDIR):
        found |= _opened(path, kind)
    return found


def _opened(path: bytes, kind: int) -> dict[str, Any]:
    file = os.open(path, os.O_RDONLY | os.O_NOATIME)
    try:
        raw = fcntl.ioctl(file, _GETFLAGS, struct.pack('@l', 0))
        flags = struct.unpack('@l', raw)[0] & ~_STORAGE
        found: dict[str, Any] = {'flags': hex(flags)}
        if kind == stat.S_IFREG:
            found['size'] = os.fstat(file).st_size
            with open(file, 'rb', closefd=False) as content:
                digest = hashlib.file_digest(content, 'sha256')
            found['content'] = digest.hexdigest()
        return found
    finally:
        os.close(file)


def listed(root: bytes) -> Tree:
    found = {'/': entry(root)}
    for directory, directories, files in os.walk(root):
        for name in (*directories, *files):
            path = os.path.join(directory, name)
            found[os.fsdecode(path[len(root) :])] = entry(path)
    return found


if __name__ == '__main__':
    json.dump(listed(os.fsencode(sys.argv[1])), sys.stdout)
