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
"""Software bills of materials: SPDX 2.3, as JSON.

A document is a mapping of a dozen kinds of keys; ``spdx-tools``, which would
write it through its own model, is what the tests read and validate it with.
"""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import re
import urllib.parse
from typing import Any

from imagebuild.common import control_characters
from imagebuild.common import release
from imagebuild.common.counts import counted
from imagebuild.sbom import packages

_DOCUMENT = 'SPDXRef-DOCUMENT'
_IMAGE = 'SPDXRef-Image'
_UNKNOWN = 'NOASSERTION'
#: Whose packages they are where the system does not say.
_VENDORS = {'deb': 'debian'}


@dataclasses.dataclass(frozen=True)
class Subject:
    """The image that a document is about.

    :ivar name: for people.
    :ivar id: a UUID that no other document has.
    :ivar created: UTC.
    :ivar checksums: algorithm, such as ``sha512``, to hex digest, of the
        file; empty when nobody has computed one.
    """

    name: str
    id: str
    created: datetime.datetime
    checksums: dict[str, str] = dataclasses.field(default_factory=dict)


def document(contents: packages.Contents, subject: Subject) -> dict[str, Any]:
    """The document of an image: it DESCRIBES it, which CONTAINS packages."""
    name = control_characters.escaped(subject.name) or 'image'
    identifiers = [_identifier(each) for each in contents.packages]
    result: dict[str, Any] = {
        'spdxVersion': 'SPDX-2.3',
        'dataLicense': 'CC0-1.0',
        'SPDXID': _DOCUMENT,
        'name': name,
        'documentNamespace': 'https://spdx.org/spdxdocs/'
        f'imagebuild-{subject.id}',
        'creationInfo': {
            'created': f'{subject.created:%Y-%m-%dT%H:%M:%SZ}',
            'creators': [f'Tool: imagebuild-{release.version()}'],
        },
        'packages': [
            _image(name, contents, subject),
            *(
                _package(each, identifier, contents)
                for each, identifier in zip(
                    contents.packages, identifiers, strict=True
                )
            ),
        ],
        'relationships': [
            _relationship(_DOCUMENT, 'DESCRIBES', _IMAGE),
            *(
                _relationship(_IMAGE, 'CONTAINS', identifier)
                for identifier in identifiers
            ),
        ],
    }
    if contents.left_out:
        result['comment'] = (
            f'Without {counted(contents.left_out, "entry", "entries")} of the '
            'package databases with names, versions or architectures that '
            'cannot be those of packages.'
        )
    return result


def _image(
    name: str, contents: packages.Contents, subject: Subject
) -> dict[str, Any]:
    image: dict[str, Any] = {
        'SPDXID': _IMAGE,
        'name': name,
        'primaryPackagePurpose': 'OPERATING-SYSTEM',
        **_nothing_known(),
    }
    if contents.os_version:
        image['versionInfo'] = contents.os_version
    if contents.os_id:
        image['summary'] = _distro(contents)
    if subject.checksums:
        image['checksums'] = [
            {'algorithm': algorithm.upper(), 'checksumValue': value}
            for algorithm, value in sorted(subject.checksums.items())
        ]
    return image


def _package(
    package: packages.Package, identifier: str, contents: packages.Contents
) -> dict[str, Any]:
    made: dict[str, Any] = {
        'SPDXID': identifier,
        'name': package.name,
        'versionInfo': package.version,
        **_nothing_known(),
        'externalRefs': [
            {
                'referenceCategory': 'PACKAGE-MANAGER',
                'referenceType': 'purl',
                'referenceLocator': purl(package, contents),
            }
        ],
    }
    if package.source:
        source = f'{package.source} {package.source_version}'.strip()
        made['sourceInfo'] = f'built from the source package {source}'
    if package.license:
        made['licenseComments'] = f'The package says: {package.license}'
    return made


def _nothing_known() -> dict[str, Any]:
    return {
        'downloadLocation': _UNKNOWN,
        'filesAnalyzed': False,
        'licenseConcluded': _UNKNOWN,
        'licenseDeclared': _UNKNOWN,
        'copyrightText': _UNKNOWN,
    }


def _relationship(of: str, kind: str, to: str) -> dict[str, str]:
    return {
        'spdxElementId': of,
        'relationshipType': kind,
        'relatedSpdxElement': to,
    }


def _identifier(package: packages.Package) -> str:
    """Its id in a document: the same one in each that lists it."""
    name = re.sub('[^A-Za-z0-9.-]', '-', package.name)
    digest = hashlib.sha256('\n'.join(package.key).encode()).hexdigest()
    return f'SPDXRef-{package.type}-{name}-{digest[:16]}'


def purl(package: packages.Package, contents: packages.Contents) -> str:
    """Its package URL, such as ``pkg:deb/debian/openssl@3.0.15-1?arch=...``.

    :param contents: of whose system.
    """
    version, qualifiers = package.version, {}
    parts = [package.type, package.name]
    if package.type != 'pypi':
        vendor = contents.os_id or _VENDORS.get(package.type, '')
        parts[1:1] = [vendor] if vendor else []
        qualifiers = {
            'arch': package.architecture,
            'distro': _distro(contents),
            'upstream': package.source,
        }
    if package.type == 'rpm' and ':' in version:
        qualifiers['epoch'], _, version = version.partition(':')
    query = '&'.join(
        f'{name}={_quoted(value)}'
        for name, value in sorted(qualifiers.items())
        if value
    )
    path = '/'.join(map(_quoted, parts))
    return f'pkg:{path}@{_quoted(version)}' + (query and f'?{query}')


def _distro(contents: packages.Contents) -> str:
    return '-'.join(filter(None, (contents.os_id, contents.os_version)))


def _quoted(part: str) -> str:
    # A colon is not escaped in package URLs.
    return urllib.parse.quote(part, safe=':')
