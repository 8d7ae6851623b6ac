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
"""What the real programs say: versions, and the packages of this host."""

import itertools
import subprocess

import pytest

from imagebuild import sbom
from imagebuild.remotes import fake
from imagebuild.sbom import versions

DEB = [
    '0', '1', '1.0', '1.0-1', '1.0-1~deb12u1', '1.0~rc1', '1.0~~', '1.0+b1',
    '1.0a', '1.0.', '1:0.1', '2:1', '10', '1.10', '1.09', '1.9', '1.0-0',
    '1.0-1.1', '1.0-a', '1-2-3', '3.0.15-1', '3.0.15', '3.0.9-1',
    '001', '1.0+dfsg-1', '1.0~+a',
]  # fmt: skip


def sign(number):
    return (number > 0) - (number < 0)


def output(*argv):
    return subprocess.run(
        argv, capture_output=True, text=True, check=True
    ).stdout


def test_deb_versions_as_dpkg():
    pairs = list(itertools.combinations(DEB, 2))
    script = '\n'.join(
        f'for o in lt eq gt; do dpkg --compare-versions "{one}" $o "{other}" '
        '&& echo $o; done'
        for one, other in pairs
    )
    told = output('/bin/sh', '-c', script).split()
    signs = {'lt': -1, 'eq': 0, 'gt': 1}
    assert [
        (*pair, sign(versions.compare_deb(*pair))) for pair in pairs
    ] == [
        (*pair, signs[each]) for pair, each in zip(pairs, told, strict=True)
    ]  # fmt: skip


def really(*argv):
    done = subprocess.run(argv, capture_output=True)
    return fake.Answer(done.stdout.decode('utf-8', 'replace'))


@pytest.fixture
def host():
    """This host, as if it were the system on a disk."""
    remote = fake.FakeRemote.of('debian', '12')
    remote.on(['/bin/sh', '-c'], lambda command: really(*command.argv))
    return remote


def test_all_packages_of_dpkg_are_found(host):
    listed = output(
        'dpkg-query', '-W', '-f',
        '${db:Status-Abbrev}/${Package}/${Version}/${Architecture}\n',
    ).splitlines()  # fmt: skip
    wanted = {line.split('/', 1)[1] for line in listed if line[1] != 'c'}
    contents = sbom.read(host)
    found = {
        '/'.join(each.key[1:])
        for each in contents.packages
        if each.type == 'deb'
    }
    assert found == wanted
    assert len(found) > 100
    assert contents.left_out == 0


def test_python_packages_are_found_where_people_put_them(host, tmp_path):
    """In a virtual environment; each form of metadata once."""
    places = {
        'wheel-1.0.dist-info/METADATA': 'Metadata-Version: 2.1\r\n'
        'Name: Some.Wheel\r\nVersion: 1.0+x\r\n\r\nName: not-this\r\n',
        'egg.egg-info/PKG-INFO': 'Metadata-Version: 1.0\nName: an_egg\n'
        'Version: 2.0',
        'old-3.egg-info': 'Name: old\nVersion: 3\n\nVersion: 4\n',
        'broken.dist-info/METADATA': 'x' * 100_000 + '\nName: x\n',
        'empty.dist-info/RECORD': '',
    }
    home = tmp_path / 'venv/lib/python3.11/site-packages'
    for name, text in places.items():
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())

    def here(command):
        script = command.argv[2].replace('find /opt ', f'find {tmp_path} ')
        assert script != command.argv[2]
        return really(*command.argv[:2], script)

    host.on(['/bin/sh', '-c'], here)
    contents = sbom.read(host)
    found = {each.name: each.version for each in contents.packages
             if each.type == 'pypi'}  # fmt: skip
    assert found.items() >= {
        'some-wheel': '1.0+x', 'an-egg': '2.0', 'old': '3',
    }.items()  # fmt: skip
    assert contents.left_out == 1
