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
"""A guest of the Red Hat family, without a Red Hat mirror.

Its os-release says CentOS 9; rpm and dnf in it are Debian's, which are the
real ones. A repository inside it, /srv/repo, holds a few tiny packages:

===============  =======  ==================================================
demo-tool        1.0-1    needs demo-lib; /usr/bin/demo-tool says its version
demo-tool        2.0-1    the same
demo-lib         1.0-1    provides virtual-demo
nfs-utils        2.5.4-1  nothing
redis            7.2-1    /etc/redis/redis.conf, redis.service; the user
                          redis is there from the beginning
broken-demo      1.0-1    its %pre fails
===============  =======  ==================================================
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import pathlib
import shutil
import subprocess
from collections.abc import Sequence

import pytest

from imagebuild.common import space
from imagebuild.disks import bootable
from imagebuild.disks import disk_plan
from imagebuild.drivers import bootstrap
from imagebuild.drivers.bootstrap import apt_sources
from imagebuild.drivers.bootstrap import archives
from imagebuild.drivers.bootstrap import releases
from imagebuild.drivers.bootstrap import trees

#: Program -> the Debian package it is in.
PROGRAMS = {'rpmbuild': 'rpm', 'createrepo_c': 'createrepo-c'}
#: Debian packages in the guest; systemd for systemctl.
# Python makes virtual environments where its own is the distribution's.
_PACKAGES = (
    *('ca-certificates', 'dnf', 'passwd', 'python3-venv', 'rpm', 'systemd'),
)
_RELEASE = releases.RELEASES['debian-12']
_SIZE = 4 * space.GIB

_OS_RELEASE = """\
NAME="CentOS Stream"
VERSION="9"
ID="centos"
ID_LIKE="rhel fedora"
VERSION_ID="9"
PLATFORM_ID="platform:el9"
PRETTY_NAME="CentOS Stream 9"
"""
_LOCAL_REPO = """\
[local]
name=Local
baseurl=file:///srv/repo
enabled=1
gpgcheck=0
"""
_FILES = {
    'usr/lib/os-release': _OS_RELEASE,
    'etc/redhat-release': 'CentOS Stream release 9\n',
    'etc/yum.repos.d/local.repo': _LOCAL_REPO,
    # Debian's rpm keeps its database in root's home.
    'etc/rpm/macros.imagebuild': '%_dbpath /var/lib/rpm\n',
    # Without it dnf looks for a package that names the release.
    'etc/dnf/vars/releasever': '9\n',
    'etc/machine-id': '',
    'etc/hostname': 'centos\n',
    'etc/hosts': '127.0.0.1 localhost\n::1 localhost\n',
}
#: What makes a system look like Debian, and what Debian's tools leave.
_REMOVED = (
    'etc/debian_version',
    'etc/dpkg',
    'etc/apt',
    'usr/bin/apt*',
    'usr/bin/dpkg*',
    'usr/lib/apt',
    'usr/lib/dpkg',
    'usr/share/doc/*',
    'usr/share/locale/*',
    'var/cache/apt',
    'var/lib/apt',
    'var/lib/dpkg',
    'var/log/apt',
    'var/log/*.log',
)

_SPEC = """\
Name: {name}
Version: {version}
Release: {release}
Summary: For tests
License: Apache-2.0
BuildArch: noarch
AutoReqProv: no
{header}
%description
For tests.
%install
{install}
{scripts}
%files
{files}
"""
_REDIS_UNIT = """\
[Unit]
Description=Redis
[Service]
User=redis
ExecStart=/usr/bin/redis-server /etc/redis/redis.conf
[Install]
WantedBy=multi-user.target
"""


def _spec(
    name: str,
    version: str,
    *,
    header: str = '',
    contents: dict[str, tuple[int, str]] | None = None,
    scripts: str = '',
) -> str:
    install, files = [], []
    for path, (mode, text) in (contents or {}).items():
        install += [
            f'mkdir -p %{{buildroot}}{os.path.dirname(path)}',
            f"cat > %{{buildroot}}{path} <<'END'\n{text}END",
        ]
        config = '%config(noreplace) ' if path.startswith('/etc') else ''
        files.append(f'%attr({mode:o},root,root) {config}{path}')
    number, _, release = version.partition('-')
    return _SPEC.format(
        name=name,
        version=number,
        release=release,
        header=header,
        install='\n'.join(install) or 'true',
        scripts=scripts,
        files='\n'.join(files),
    )


def _demo_tool(version: str) -> str:
    says = f'#!/bin/sh\necho demo-tool {version}\n'
    return _spec(
        'demo-tool',
        version,
        header='Requires: demo-lib',
        contents={'/usr/bin/demo-tool': (0o755, says)},
    )


SPECS = (
    _demo_tool('1.0-1'),
    _demo_tool('2.0-1'),
    _spec('demo-lib', '1.0-1', header='Provides: virtual-demo'),
    _spec('nfs-utils', '2.5.4-1'),
    _spec(
        'redis',
        '7.2-1',
        contents={
            '/etc/redis/redis.conf': (0o644, 'bind 127.0.0.1\nport 6379\n'),
            '/usr/bin/redis-server': (0o755, '#!/bin/sh\nexit 0\n'),
            '/usr/lib/systemd/system/redis.service': (0o644, _REDIS_UNIT),
        },
    ),
    # In Lua: the guest's shell is not known to its rpm.
    _spec(
        'broken-demo',
        '1.0-1',
        scripts='%pre -p <lua>\nerror("broken-demo is broken")\n',
    ),
)


@pytest.fixture(scope='session')
def redhat_image(
    image_cache: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> pathlib.Path:
    """The guest's image: a qcow2 file, read only. About 40 s."""
    assert not missing(), missing()
    # One that was made otherwise is another image.
    made_by = hashlib.sha256(pathlib.Path(__file__).read_bytes()).hexdigest()
    image = image_cache / f'redhat-{made_by[:8]}.qcow2'
    with (image_cache / '.redhat.lock').open('w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not image.exists():
            workspace = tmp_path_factory.mktemp('redhat')
            build(image, workspace)
            image.chmod(0o444)
            shutil.rmtree(workspace)
    return image


def missing() -> list[str]:
    """What this machine lacks to make it."""
    return [
        *bootstrap.BootstrapDriver().missing(),
        *(
            package
            for program, package in PROGRAMS.items()
            if shutil.which(program) is None
        ),
    ]


def build(image: pathlib.Path, workspace: pathlib.Path) -> None:
    """Make the guest's image, a qcow2 file. Root only; about a minute.

    :param image: the file to make.
    :param workspace: an empty directory for what is thrown away afterwards.
    """
    tree, raw = workspace / 'tree', workspace / 'disk.raw'
    plan = disk_plan.DiskPlan(_SIZE, bootable=False)
    proxies = archives.read_proxies()
    archive = archives.find(_RELEASE, apt_sources.read(), proxies)
    trees.make(
        tree,
        workspace,
        trees.TreePlan(
            release=_RELEASE,
            sources=archive.sources,
            packages=_PACKAGES,
            fstab=plan.fstab(),
            services=(),
            proxies=proxies,
        ),
    )
    _finish(tree)
    _make_repository(tree / 'srv' / 'repo', workspace / 'rpmbuild')
    bootable.make(tree, raw, plan, _run, workspace=workspace)
    made = workspace / 'image.qcow2'
    _run(['qemu-img', 'convert', '-O', 'qcow2', str(raw), str(made)])
    shutil.move(made, image)


def _finish(tree: pathlib.Path) -> None:
    _run(['useradd', '--root', str(tree), '--system', 'redis'])
    for pattern in _REMOVED:
        for path in tree.glob(pattern):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
    for name, content in _FILES.items():
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_text(content)
    (tree / 'var/lib/rpm').mkdir(exist_ok=True)
    _run(['chroot', str(tree), 'rpm', '--initdb'])


def _make_repository(repository: pathlib.Path, topdir: pathlib.Path) -> None:
    topdir.mkdir()
    repository.mkdir(parents=True)
    specs = []
    for number, text in enumerate(SPECS):
        spec = topdir / f'{number}.spec'
        spec.write_text(text)
        specs.append(str(spec))
    _run(
        [
            'rpmbuild', '-bb', '--quiet',
            '--define', f'_topdir {topdir}',
            '--define', f'_rpmdir {repository}',
            '--define', f'_dbpath {topdir}/db',
            *specs,
        ]
    )  # fmt: skip
    _run(['createrepo_c', '--quiet', str(repository)])


def _run(
    argv: Sequence[str], *, input_file: pathlib.Path | None = None
) -> None:
    done = subprocess.run(
        argv,
        input=input_file.read_text() if input_file else '',
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        raise RuntimeError(f'{argv} failed: {done.stdout}{done.stderr}')
