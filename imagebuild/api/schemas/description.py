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
"""The body that describes an image."""

from __future__ import annotations

import copy
from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

from imagebuild.api import strict_json
from imagebuild.api.schemas import base
from imagebuild.api.schemas import channels
from imagebuild.common import boot_tests
from imagebuild.common import element_names
from imagebuild.common import image_properties
from imagebuild.common import json_schema
from imagebuild.common.counts import counted
from imagebuild.description import fields
from imagebuild.description import limits
from imagebuild.exception import Problem
from imagebuild.manifest.validators import package

#: Entries of one list, as the description takes them.
_MANY = fields.MAX_ITEMS
#: Default of Glance's quotas on the tags, members and properties of an image.
_GLANCE_QUOTA = 128
#: Clouds of one request.
_DESTINATIONS = 64
#: Characters of one text; the whole body has a limit of its own.
_TEXT = fields.MAX_FILE

#: json_schema.SCALAR with bounds: a request comes from anybody.
_SCALAR: base.Schema = {
    **json_schema.SCALAR,
    'maxLength': limits.MAX_VALUE,
    'minimum': -strict_json.MAX_INT,
    'maximum': strict_json.MAX_INT,
}
#: Validated by the driver or the engine; how deep it is and how many values it
#: has is limited for the body as a whole.
_ANYTHING: base.Schema = {
    'type': 'object',
    'maxProperties': _MANY,
    'x-bounded-by': 'the limits of a body',
}
#: A name or a number, as the owner of a file is.
_WHO: base.Schema = {
    'type': ['string', 'integer'],
    'maxLength': 64,
    'minimum': 0,
    'maximum': base.MAX_INT,
}

_PACKAGE: base.Schema = {
    'title': 'a package',
    'anyOf': [
        {**base.NAME, 'title': 'a name', 'maxLength': 1024},
        {
            'title': 'a name with its version',
            'type': 'object',
            'minProperties': 1,
            'maxProperties': 1,
            'propertyNames': {**base.NAME, 'maxLength': 1024},
            'additionalProperties': {
                'type': ['object', 'null'],
                'additionalProperties': False,
                'properties': {
                    'version': base.field(
                        {**_SCALAR, 'maxLength': 1024}, 'The version wanted.'
                    )
                },
                'x-message': package.VERSION_ALONE,
            },
        },
    ],
}

_FILE: base.Schema = {
    'type': 'object',
    'additionalProperties': False,
    'required': ['path'],
    'properties': {
        'path': {
            **base.NAME,
            'maxLength': 4096,
            'description': 'Absolute path in the image.',
        },
        'content': {
            'type': 'string',
            'maxLength': _TEXT,
            'description': 'Its text.',
        },
        'content_base64': {
            'type': 'string',
            # Base64 has 4 characters for 3 bytes, and MIME a line break after
            # 76 of them.
            'maxLength': _TEXT * 3 // 2,
            'contentEncoding': 'base64',
            'description': 'Its bytes, instead of a text.',
        },
        'mode': {
            **_WHO,
            'title': 'a mode',
            'description': 'Octal digits, such as "0644".',
        },
        'owner': {
            **_WHO,
            'title': 'a user',
            'description': 'Name or number of the user who owns it.',
        },
        'group': {
            **_WHO,
            'title': 'a group',
            'description': 'Name or number of its group.',
        },
    },
}

_SOURCE: Mapping[str, base.Schema] = {
    'os': {
        'anyOf': [
            {**base.NAME, 'title': 'a name'},
            {
                'title': 'a channel',
                'type': 'object',
                'additionalProperties': False,
                'required': ['channel', 'name'],
                'properties': {
                    'channel': base.field(
                        channels.NAME, 'Name of the channel.'
                    ),
                    'name': base.field(base.NAME, 'Name of its images.'),
                },
            },
        ],
        'description': 'Name of one of /v1/operating-systems; or a channel of '
        'the project, whose current image is the base.',
    },
    'base_image': base.field(
        base.NAME,
        'Id or name of an image, instead of the one that "os" names.',
    ),
    'driver': {
        **base.NAME,
        'maxLength': 64,
        'description': "What makes the disk; the operating system's by "
        'default.',
    },
    'driver_options': base.field(
        _ANYTHING,
        "For the driver, over the operating system's own; GET /v1/drivers has "
        'a JSON schema of them.',
    ),
}
_CONTENT: Mapping[str, base.Schema] = {
    'elements': base.array(
        {
            'type': 'string',
            'maxLength': 64,
            'pattern': element_names.PATTERN,
        },
        'Elements of diskimage-builder that the disk is made of, besides '
        'those of the operating system; for drivers that make one.',
        maxItems=element_names.MOST,
        uniqueItems=True,
    ),
    'packages': base.array(
        _PACKAGE,
        'Packages of the distribution, each a name or {name: {version: ...}}.',
        maxItems=_MANY,
    ),
    'pip_packages': base.array(
        {**base.NAME, 'maxLength': 1024},
        'Requirements, as pip reads them.',
        maxItems=_MANY,
    ),
    'files': base.array(_FILE, 'Files to write.', maxItems=_MANY),
    'recipe': base.field(base.NAME, 'Name of one of /v1/recipes.'),
    'recipe_version': base.field(base.NAME, 'Version of the recipe.'),
    'manifest': base.field(_ANYTHING, 'A manifest, instead of a recipe.'),
    'resources': base.mapping(
        _MANY,
        {'type': 'string', 'maxLength': _TEXT},
        description='The scripts and files that the manifest names.',
    ),
    'arguments': base.mapping(
        _MANY,
        _SCALAR,
        description='Values of the arguments of the recipe or manifest. '
        'Hidden ones are kept encrypted and are not shown again.',
    ),
}
_IMAGE: Mapping[str, base.Schema] = {
    'disk_format': {
        # No default: a destination may have a format of its own.
        'enum': ['qcow2', 'raw', 'vmdk', 'vhd', 'vdi'],
        'description': 'Format of the image; by default that of the '
        'destination, "qcow2" where it has none.',
    },
    'container_format': {
        'enum': ['bare', 'ovf', 'ova', 'docker', 'compressed'],
        'description': 'Container format of the image in the image service; '
        'by default that of the destination, "bare" where it has none.',
    },
    'min_disk': base.integer(
        'GiB of disk that a server needs at least; never less than what the '
        'operating system and the recipe need.'
    ),
    'min_ram': base.integer('MiB of memory that a server needs at least.'),
    'visibility': {
        'enum': ['private', 'shared', 'community', 'public'],
        'default': 'shared',
        'description': 'Who sees the image.',
    },
    'protected': {
        'type': 'boolean',
        'default': False,
        'description': 'Whether the image can not be deleted.',
    },
    'tags': base.array(
        channels.OTHER_TAG,
        'Tags of the image.',
        maxItems=_GLANCE_QUOTA,
        uniqueItems=True,
        default=[],
    ),
    'members': base.array(
        base.NAME,
        'Ids of the projects that the image is shared with.',
        maxItems=_GLANCE_QUOTA,
        uniqueItems=True,
        default=[],
    ),
    'properties': {
        'type': 'object',
        'maxProperties': _GLANCE_QUOTA,
        'propertyNames': base.NAME,
        'additionalProperties': {'type': 'string', 'maxLength': 65535},
        'default': {},
        'description': 'Further properties of the image, such as os_distro.',
    },
}
_BUILD: Mapping[str, base.Schema] = {
    'destinations': base.array(
        base.LABEL,
        'Names of the clouds to upload to, "" for this one; this one alone by '
        'default.',
        uniqueItems=True,
        minItems=1,
        maxItems=_DESTINATIONS,
    ),
    'reuse': {
        'enum': ['always', 'never'],
        'default': 'always',
        'description': 'Whether an image of the same content will do.',
    },
    'max_age': base.integer(
        'Seconds; an image older than that is not reused.'
    ),
    'timeout': base.integer('Seconds for the build.', minimum=1),
    'boot_test': base.field(
        boot_tests.SCHEMA,
        'Boot the image once before it is uploaded, in a machine that is '
        'thrown away; true: as the operator has set it. If it does not boot '
        'as expected, the build ends in "error".',
    ),
}

DESCRIPTION: base.Schema = {
    'type': 'object',
    'additionalProperties': False,
    'required': ['name'],
    'properties': {
        'name': base.field(base.NAME, 'Name of the image.'),
        **_SOURCE,
        **_CONTENT,
        **_IMAGE,
        **_BUILD,
    },
    'examples': [{'name': 'web', 'os': 'debian-12', 'packages': ['nginx']}],
    # The service names both when they are missing; for readers of the
    # OpenAPI document.
    'x-needs': 'one of os and base_image',
}

#: Fields of an image that exists which can change.
CHANGEABLE = (
    *('name', 'visibility', 'protected', 'tags', 'members', 'properties'),
    *('min_disk', 'min_ram'),
)
CHANGES: base.Schema = {
    'type': 'object',
    'additionalProperties': False,
    'minProperties': 1,
    'examples': [{'name': 'web-2', 'tags': ['tested']}],
    'properties': {
        # Without defaults: a field that is not given stays as it is.
        name: {
            key: value
            for key, value in DESCRIPTION['properties'][name].items()
            if key != 'default'
        }
        for name in CHANGEABLE
    },
}

#: Every field.
FIELDS = frozenset(DESCRIPTION['properties'])
#: Those that decide what is in the image.
CONTENT_FIELDS = frozenset(_CONTENT)


def with_defaults(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return a body that passed the schema with its defaults spelled out.

    Integers become int: JSON schema takes 1.0 for an integer.
    """
    properties = DESCRIPTION['properties']
    request = {
        name: copy.deepcopy(field['default'])
        for name, field in properties.items()
        if 'default' in field
    }
    return request | with_integers(body)


def with_integers(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return a body that passed the schema, with 1.0 as 1."""
    properties = DESCRIPTION['properties']
    return {
        name: int(value)
        if properties[name].get('type') == 'integer'
        else value
        for name, value in body.items()
    }


def problems(
    request: Mapping[str, Any],
    *,
    given: Collection[str],
    max_timeout: int,
    rules: image_properties.Rules,
) -> Iterator[Problem]:
    """Find the problems that a JSON schema cannot describe well.

    :param request: with its defaults, without the fields that are wrong.
    :param given: every field that was given.
    :param max_timeout: seconds that a build may be given.
    :param rules: which properties an image may have.
    """
    if 'os' not in given and 'base_image' not in given:
        yield Problem('os', 'an operating system or a "base_image" is needed')
    if request.get('timeout', 0) > max_timeout:
        yield Problem(
            'timeout',
            f'a build may take at most {counted(max_timeout, "second")}',
        )
    yield from image_problems(request, rules)


def image_problems(
    request: Mapping[str, Any], rules: image_properties.Rules
) -> Iterator[Problem]:
    """The same for the fields of the image that can change.

    :param request: with its defaults, without the fields that are wrong.
    :param rules: which properties an image may have.
    """
    if request['members'] and request['visibility'] != 'shared':
        yield Problem(
            'members', 'only an image of visibility "shared" has members'
        )
    for name in request['properties']:
        if wrong := rules.error(name):
            yield Problem(json_schema.join('properties', name), wrong)
