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
"""What a system says of its packages, and what is made of it."""

import contextlib
import datetime
import json
import tracemalloc

import pytest
from packageurl import PackageURL
from spdx_tools.spdx.model import RelationshipType
from spdx_tools.spdx.parser.jsonlikedict import json_like_dict_parser
from spdx_tools.spdx.validation import document_validator

from imagebuild import exception
from imagebuild import sbom
from imagebuild.remotes import fake
from imagebuild.sbom import dpkg_status
from imagebuild.sbom import packages
from imagebuild.sbom import reading
from imagebuild.sbom import spdx

ID = '3a1f9e6c-0d5b-4b52-9f0e-7d1b6a4f2c11'
NOW = datetime.datetime(2026, 11, 27, 10, 25, 52, tzinfo=datetime.UTC)

DEB = (
    'database\tdeb\n'
    'deb\tii \tlibssl3\t3.0.15-1~deb12u1\tamd64\topenssl\t3.0.15-1~deb12u1\n'
    'deb\tii \tlogin\t1:4.13+dfsg1-1+b1\tamd64\tshadow\t1:4.13+dfsg1-1\n'
    'deb\tiU \thalf\t1.0\tall\thalf\t1.0\n'
    'deb\trc \tremoved\t1.0\tall\tremoved\t1.0\n'
)
RPM = (
    'database\trpm\n'
    'rpm\topenssl-libs\t1\t3.0.7\t27.el9\tx86_64\t'
    'openssl-3.0.7-27.el9.src.rpm\tASL 2.0\n'
    'rpm\tbash\t0\t5.1.8\t9.el9\tx86_64\tbash-5.1.8-9.el9.src.rpm\tGPLv3+\n'
    'rpm\tgpg-pubkey\t0\t8483c65d\t5ccc5b19\t(none)\t(none)\tpubkey\n'
)
PYPI = 'pypi\tPyYAML\t6.0\r\npypi\tzope.interface\t5.5\r\n'


def system(answer, *release):
    remote = fake.FakeRemote.of(*(release or ('debian', '12')))
    remote.on(['/bin/sh', '-c'], fake.Answer(answer))
    return remote


def read(answer, *release):
    return sbom.read(system(answer, *release))


def document(contents, name='web'):
    subject = sbom.Subject(name, ID, NOW, {'sha512': 'ab' * 64})
    return sbom.document(contents, subject)


def parsed(made):
    """What the SPDX tools find in a document that has no fault."""
    found = json_like_dict_parser.JsonLikeDictParser().parse(
        json.loads(json.dumps(made))
    )
    assert document_validator.validate_full_spdx_document(found) == []
    return found


# -- what the system says ---------------------------------------------------


def test_packages_of_dpkg_and_pip():
    contents = read(DEB + PYPI)
    assert [each.key for each in contents.packages] == [
        ('deb', 'half', '1.0', 'all'),
        ('deb', 'libssl3', '3.0.15-1~deb12u1', 'amd64'),
        ('deb', 'login', '1:4.13+dfsg1-1+b1', 'amd64'),
        ('pypi', 'pyyaml', '6.0', ''),
        ('pypi', 'zope-interface', '5.5', ''),
    ]
    half, libssl, login = contents.packages[:3]
    assert (half.source, half.source_version) == ('', '')
    assert (libssl.source, libssl.source_version) == (
        'openssl',
        '3.0.15-1~deb12u1',
    )
    assert login.source_version == '1:4.13+dfsg1-1'
    assert (contents.os_id, contents.os_version) == ('debian', '12')
    assert contents.left_out == 0


def test_packages_of_rpm():
    contents = read(RPM, 'centos', '9')
    assert [each.key[1:] for each in contents.packages] == [
        ('bash', '5.1.8-9.el9', 'x86_64'),
        ('gpg-pubkey', '8483c65d-5ccc5b19', ''),
        ('openssl-libs', '1:3.0.7-27.el9', 'x86_64'),
    ]
    assert contents.packages[2].source == 'openssl'
    assert contents.packages[2].source_version == '3.0.7-27.el9'
    assert contents.packages[0].license == 'GPLv3+'


@pytest.mark.parametrize(
    'line',
    [
        'deb\tii \t../etc/passwd\t1\tall\tx\t1',
        'deb\tii \tna me\t1\tall\tx\t1',
        'deb\tii \tx\x1b[2J\t1\tall\tx\t1',
        'deb\tii \tx\ufffd\t1\tall\tx\t1',
        'deb\tii \t\t1\tall\tx\t1',
        'deb\tii \tx\t<script>\tall\tx\t1',
        'deb\tii \tx\t\tall\tx\t1',
        'deb\tii \tx\t1\ta/b\tx\t1',
        f'deb\tii \t{"x" * 256}\t1\tall\tx\t1',
        f'deb\tii \tx\t{"1" * 256}\tall\tx\t1',
        'deb\tii \tx',
        'rpm\tx\t1',
        'pypi\tx',
        'pypi\t-\t1',
        'pypi\tx\t',
    ],
)
def test_what_cannot_be_a_package_is_left_out_and_counted(line):
    contents = read(f'{DEB}{line}\n')
    assert len(contents.packages) == 3
    assert contents.left_out == 1
    made = document(contents)
    assert made['comment'].startswith('Without 1 entry of the package ')
    parsed(made)


def test_what_is_no_line_of_ours_is_passed_over():
    contents = read(f'warning: x\n\n\t\t\ndeb\n{DEB}nonsense\tdeb\n')
    assert len(contents.packages) == 3


def test_a_source_or_licence_of_nonsense_costs_no_package():
    contents = read(
        'database\tdeb\ndeb\tii \tx\t1\tall\t../y\t1\n'
        'rpm\ty\t0\t1\t1\tnoarch\tz-1-1.src.rpm\tGPL\x1b[2J\u2028\x00v2'
        f'{"!" * 1000}\n'
    )
    first, second = contents.packages
    assert (first.source, first.source_version) == ('', '')
    assert second.source == 'z'
    assert second.license.startswith('GPL [2J v2!')
    assert len(second.license) == 255
    parsed(document(contents))


def test_more_packages_than_anybody_has():
    lines = (f'deb\tii \tx{n}\t1\tall\tx{n}\t1' for n in range(20_001))
    with pytest.raises(sbom.Unreadable, match='more than 20000 packages'):
        read('database\tdeb\n' + '\n'.join(lines))


def test_more_versions_than_a_package_has():
    lines = [f'deb\tii \tx\t1.{n}\tall\tx\t1' for n in range(500)]
    assert len(read('database\tdeb\n' + '\n'.join(lines)).packages) == 500
    lines.append('deb\tii \tx\t2\tall\tx\t1')
    with pytest.raises(sbom.Unreadable, match='than 500 versions of one'):
        read('database\tdeb\n' + '\n'.join(lines))


@pytest.mark.parametrize(
    'line', ['\n', 'a{}\n', 'database\t{}\n', 'pypi\ta\t1\n', 'deb\n', '\t']
)
def test_what_a_guest_prints_takes_no_memory(line):
    answer = ''.join(line.format(number) for number in range(100_000))
    tracemalloc.start()
    try:
        listed = reading.Listing(answer)
        with contextlib.suppress(sbom.Unreadable):
            sbom.Contents.of(listed.packages())
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # It was 30 times as much as the answer, of which 16 MiB are kept.
    assert most < max(2 * len(answer), 200_000)


@pytest.mark.parametrize(
    ('answer', 'reason'),
    [
        ('', 'it has no package database'),
        ('database\trpm\nbroken\trpm\n', 'its rpm database cannot be read'),
        ('unread\trpm\n' + PYPI, 'its rpm database cannot be read'),
        ('broken\tdeb\nbroken\trpm\n', 'its deb and rpm database cannot'),
    ],
)
def test_a_list_that_would_lack_something_is_none(answer, reason):
    with pytest.raises(sbom.Unreadable, match=reason):
        read(answer)


def test_a_database_without_packages_is_one():
    assert read('database\trpm\n').packages == ()


def test_a_system_that_does_not_answer():
    remote = system('')
    remote.on(['/bin/sh', '-c'], fake.Answer(times_out=True))
    with pytest.raises(sbom.Unreadable, match='did not end|longer than|600'):
        sbom.read(remote)


def test_a_fault_of_the_appliance_is_no_missing_list():
    remote = system('')
    remote.on(
        ['/bin/sh', '-c'],
        fake.Answer(error=exception.EnvironmentFault('it is gone')),
    )
    with pytest.raises(exception.EnvironmentFault, match='it is gone'):
        sbom.read(remote)


STATUS = """\
Package: libc6
Status: install ok installed
Architecture: amd64
Source: glibc
Version: 2.36-9
Description: GNU C Library
 Package: not-this
 Version: 0

Package: gone
Status: deinstall ok config-files
Architecture: all
Version: 1

Package: login
Status: install ok installed
Architecture: amd64
Source: shadow (1:4.13)
Version: 1:4.13+b1
"""


def test_the_status_file_where_nothing_can_be_run():
    remote = system('')
    remote.on(['/bin/sh', '-c'], fake.Answer(exit_code=127))
    remote.files[dpkg_status.PATH] = fake.File(STATUS.encode())
    found = sbom.read(remote).packages
    assert [(each.name, each.version, each.source) for each in found] == [
        ('libc6', '2.36-9', 'glibc'),
        ('login', '1:4.13+b1', 'shadow'),
    ]
    assert found[1].source_version == '1:4.13'


def test_neither_programs_nor_a_status_file():
    remote = system('')
    remote.on(['/bin/sh', '-c'], fake.Answer(exit_code=126))
    with pytest.raises(sbom.Unreadable, match='no program that lists'):
        sbom.read(remote)


def test_a_status_file_of_noise():
    text = 'Package\n\n:\n\n x\n\nPackage: x\n\n\x00\ufffd: 1\nVersion: \n'
    found = [packages.Package.of('deb', *each[:3])
             for each in dpkg_status.installed(text)]  # fmt: skip
    assert set(found) == {None}


# -- from one process to another --------------------------------------------


def test_contents_as_json():
    contents = read(DEB + RPM + PYPI)
    text = json.dumps(contents.to_document())
    assert sbom.Contents.from_document(json.loads(text)) == contents


@pytest.mark.parametrize(
    'made',
    [
        {},
        {'os': [], 'packages': [], 'left_out': 0},
        {'os': ['a', 'b'], 'packages': [1], 'left_out': 0},
        {'os': ['a', 'b'], 'packages': [['deb']], 'left_out': 0},
    ],
)
def test_what_is_none(made):
    with pytest.raises((KeyError, TypeError, ValueError)):
        sbom.Contents.from_document(made)


# -- the document -----------------------------------------------------------


def test_the_tools_read_the_document():
    contents = read(DEB + RPM + PYPI)
    found = parsed(document(contents, name='web\x1b[2J "\u202e'))
    image, *others = found.packages
    assert {(each.name, each.version) for each in others} == {
        (each.name, each.version) for each in contents.packages
    }
    assert image.checksums[0].value == 'ab' * 64
    assert found.creation_info.name == 'web\\x1b[2J "\\u202e'
    assert found.creation_info.document_namespace.endswith(ID)
    assert found.creation_info.created == NOW.replace(tzinfo=None)
    assert 'imagebuild-' in str(found.creation_info.creators[0])
    kinds = [each.relationship_type for each in found.relationships]
    assert kinds[0] == RelationshipType.DESCRIBES
    assert set(kinds[1:]) == {RelationshipType.CONTAINS}
    assert len(kinds) == len(found.packages)


def test_an_image_of_nothing():
    parsed(document(read('database\tdeb\n'), name=''))


def test_package_urls():
    debian, centos = read(DEB + PYPI), read(RPM, 'centos', '9')
    urls = [spdx.purl(each, debian) for each in debian.packages] + [
        spdx.purl(each, centos) for each in centos.packages
    ]
    assert urls == [
        'pkg:deb/debian/half@1.0?arch=all&distro=debian-12',
        'pkg:deb/debian/libssl3@3.0.15-1~deb12u1?arch=amd64'
        '&distro=debian-12&upstream=openssl',
        'pkg:deb/debian/login@1:4.13%2Bdfsg1-1%2Bb1?arch=amd64'
        '&distro=debian-12&upstream=shadow',
        'pkg:pypi/pyyaml@6.0',
        'pkg:pypi/zope-interface@5.5',
        'pkg:rpm/centos/bash@5.1.8-9.el9?arch=x86_64&distro=centos-9',
        'pkg:rpm/centos/gpg-pubkey@8483c65d-5ccc5b19?distro=centos-9',
        'pkg:rpm/centos/openssl-libs@3.0.7-27.el9?arch=x86_64'
        '&distro=centos-9&epoch=1&upstream=openssl',
    ]
    for url in urls:
        assert PackageURL.from_string(url).to_string() == url


def test_a_release_of_nonsense_is_in_no_url():
    contents = read(DEB, 'ev/il?', '1 2')
    assert spdx.purl(contents.packages[0], contents) == (
        'pkg:deb/debian/half@1.0?arch=all'
    )


def test_what_a_system_tells_alone():
    contents = sbom.told(f'release\tdebian\t12\n{DEB}{PYPI}complete\n')
    assert (contents.os_id, contents.os_version) == ('debian', '12')
    assert {each.name for each in contents.packages} == {
        'libssl3', 'login', 'half', 'pyyaml', 'zope-interface'
    }  # fmt: skip
    contents = sbom.told(f'release\t; rm\n{DEB}complete\n')
    assert (contents.os_id, contents.os_version) == ('', '')
    assert len(contents.packages) == 3


@pytest.mark.parametrize(
    ('told', 'reason'),
    [
        ('', 'was not done'),
        (f'{DEB}', 'was not done'),
        (f'{DEB}deb\tii \tcomp', 'was not done'),
        (f'{DEB}complete\nmore', 'was not done'),
        ('release\talpine\t3\ncomplete\n', 'no package database'),
        ('database\tdeb\nbroken\tdeb\ncomplete\n', 'deb database'),
        ('unread\trpm\ncomplete\n', 'rpm database cannot be read'),
    ],
)
def test_what_a_system_tells_badly(told, reason):
    with pytest.raises(sbom.Unreadable, match=reason):
        sbom.told(told)
