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
"""What is in images."""

from __future__ import annotations

from imagebuild.api.schemas import base

#: Such as ">=3.0,<3.0.15"; sbom.versions reads it.
#: Blanks can be read in one way only: with two the time of a refusal would
#: grow with each condition ninetyfold.
_ONE = (
    r'\s*(?:(?:<=|>=|==|<|>|=)\s*)?'
    r'[A-Za-z0-9][A-Za-z0-9.+:~^_!-]{0,254}\s*'
)
_CONDITIONS: base.Schema = {
    'type': 'string',
    'maxLength': 1000,
    'pattern': rf'^{_ONE}(?:,{_ONE}){{0,9}}$(?!\n)',
    'x-pattern-message': 'is not a version, or an operator (<, <=, =, >=, >) '
    'and a version, such as "<3.0.15"; in a URL a plus sign is "%2B"',
}
_PLACE: base.Schema = {
    'type': 'string',
    'maxLength': 80,
    'pattern': r'^[0-9]{1,18}-[0-9]{1,18}-[0-9a-f-]{36}$(?!\n)',
    'x-message': 'is not the id of an item',
}
_TYPE: base.Schema = {'enum': ['deb', 'pypi', 'rpm']}

SBOM: base.Schema = {
    'type': 'object',
    'description': 'A document of SPDX 2.3.',
    'required': [
        *('spdxVersion', 'SPDXID', 'name', 'documentNamespace'),
        *('creationInfo', 'packages', 'relationships'),
    ],
    'properties': {
        'spdxVersion': base.text('Its version.', 'SPDX-2.3'),
        'SPDXID': base.text('Its id.', 'SPDXRef-DOCUMENT'),
        'name': base.text('Name of the image.', 'web'),
        'documentNamespace': base.text(
            'A name that no other document has.',
            'https://spdx.org/spdxdocs/imagebuild-'
            '3a1f9e6c-0d5b-4b52-9f0e-7d1b6a4f2c11',
        ),
        'creationInfo': base.field(
            {'type': 'object'}, 'When and by what it was made.'
        ),
        'packages': base.array(
            {'type': 'object'}, 'The image, and the packages in it.'
        ),
        'relationships': base.array(
            {'type': 'object'},
            'That the document describes the image, which contains the '
            'packages.',
        ),
    },
}

PROVENANCE: base.Schema = base.closed(
    {
        '_type': base.text('Its type.', 'https://in-toto.io/Statement/v1'),
        'subject': base.array(
            {'type': 'object'}, 'The images, each with its digest.'
        ),
        'predicateType': base.text(
            'Type of the predicate.', 'https://slsa.dev/provenance/v1'
        ),
        'predicate': base.field(
            {'type': 'object'},
            'What was built of what, and by whom; values of hidden arguments '
            'are masked.',
        ),
    },
    description='A statement of in-toto.',
)

PACKAGE: base.Schema = base.closed(
    {
        'id': base.field(
            _PLACE,
            'Id of the item, for "marker".',
            '412-7-9b0c7a52-3f6e-4d43-8a61-0c1de2a7b5f4',
        ),
        'name': base.text('Name of the package.', 'openssl'),
        'version': base.text('Its version.', '3.0.14-1~deb12u1'),
        'type': base.field(_TYPE, 'Of what it is a package.', 'deb'),
        'architecture': base.maybe_text('Its architecture.', 'amd64'),
        'image_id': base.text(
            'Id of an active image that holds it.',
            'c1b7f0a8-6f4f-4a55-9a3b-1a0d2c3e4f50',
        ),
        'destination': base.text(
            'The cloud that has the image, "" for this one.', ''
        ),
        'disk_format': base.text('Format of the image.', 'qcow2'),
        'build_id': base.field(
            base.MAYBE_UUID,
            'A build that has the image.',
            '3a1f9e6c-0d5b-4b52-9f0e-7d1b6a4f2c11',
        ),
        'build_name': base.maybe_text('Name of that build.', 'web'),
        'project_id': base.text(
            'Id of the project that it belongs to.',
            '478077fd6842449f845658aee5509589',
        ),
    }
)

LIST: base.Schema = base.listing('packages', 'Package')

LIST_QUERY = (
    base.Parameter(
        'name', 'Name of the package, exactly.', base.NAME, required=True
    ),
    base.Parameter(
        'version',
        'A version, or conditions such as "<3.0.15" or ">=3.0,<3.0.15", '
        "compared by the rules of the package's type.",
        _CONDITIONS,
    ),
    base.Parameter('type', 'Of what it is a package.', _TYPE),
    base.LIMIT,
    base.Parameter(
        'marker', 'The id of the last item of the page before.', _PLACE
    ),
    base.ALL_PROJECTS,
    base.PROJECT_ID,
)
