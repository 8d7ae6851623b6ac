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
"""Validations of running machines."""

from __future__ import annotations

from imagebuild.api.schemas import base
from imagebuild.api.schemas import description
from imagebuild.common import statuses

_CONTENT = (
    *('packages', 'pip_packages', 'files', 'recipe', 'recipe_version'),
    *('manifest', 'resources', 'arguments'),
)
#: Fields of a description that say what is to be true of a machine.
CONTENT: base.Schema = {
    name: description.DESCRIPTION['properties'][name] for name in _CONTENT
}
#: Field of "credential" -> what the secret is.
SECRETS = {
    'secret': 'private_key',
    'passphrase_secret': 'passphrase',
    'password_secret': 'password',
    'sudo_password_secret': 'sudo_password',
}
_REFERENCE: base.Schema = {
    **base.LABEL,
    'minLength': 36,
    'pattern': r'^[!-~]+$(?!\n)',
    'x-pattern-message': 'is not the address of a secret',
}
_USER: base.Schema = {
    'type': 'string',
    'maxLength': 64,
    'pattern': r'^[A-Za-z0-9_][A-Za-z0-9_.-]*$(?!\n)',
    'x-message': 'is not the name of a user',
}
_HOST_KEY: base.Schema = {
    'type': 'string',
    'maxLength': 50,
    'pattern': '^SHA256:[A-Za-z0-9+/]{43}$',
    'x-message': 'is not a fingerprint such as "SHA256:..."',
}
_FINGERPRINT = 'SHA256:8yHlAu3NRVvRrGr3UF3gHgKJD8BhVKGOH4VSSkDGmWg'
_HREF = (
    'https://key-manager.example.org/v1/secrets/'
    '25f1b4b2-7e27-4f0b-a1f4-5a7b7f3b2f0e'
)

_HOST: base.Schema = {
    'type': 'object',
    'additionalProperties': False,
    'properties': {
        'address': base.field(
            {'type': 'string', 'maxLength': 45},
            'IP address of the machine.',
            '203.0.113.7',
        ),
        'server': base.field(
            base.UUID, 'Id of a server of Nova, instead of an address.'
        ),
        'port': {
            **base.integer('Port of its sshd.', minimum=1),
            'maximum': 65535,
            'default': 22,
        },
        'user': base.field(
            {**_USER, 'default': 'root'},
            'Who logs in; whoever is not root becomes it by sudo.',
        ),
        'host_key': base.field(
            _HOST_KEY,
            'Fingerprint of its key; needed unless the operator does without.',
            _FINGERPRINT,
        ),
    },
}
_CREDENTIAL: base.Schema = {
    'type': 'object',
    'additionalProperties': False,
    'minProperties': 1,
    'properties': {
        'key': base.field(
            base.NAME, "Name of a private key of this service's operator."
        ),
        'secret': base.field(
            _REFERENCE, 'Secret of Barbican: a private key.', _HREF
        ),
        'passphrase_secret': base.field(
            _REFERENCE, 'Secret of Barbican: the passphrase of that key.'
        ),
        'password_secret': base.field(
            _REFERENCE, 'Secret of Barbican: the password of the login.'
        ),
        'sudo_password_secret': base.field(
            _REFERENCE,
            "Secret of Barbican: the password for sudo; the login's without "
            'it.',
        ),
    },
    'description': 'By what one gets in: references, never the secrets.',
    'examples': [{'secret': _HREF}],
}

CREATE: base.Schema = {
    'type': 'object',
    'additionalProperties': False,
    'required': ['hosts', 'credential'],
    'properties': {
        'name': base.field(base.NAME, 'A name, for people.'),
        'hosts': {
            'type': 'array',
            'minItems': 1,
            'maxItems': 1000,
            'items': _HOST,
            'description': 'The machines.',
        },
        'credential': _CREDENTIAL,
        'reconcile': {
            **base.BOOLEAN,
            'default': False,
            'description': 'Whether to change what does not hold.',
        },
        'timeout': base.integer('Seconds for all of it.', minimum=1),
        **CONTENT,
    },
    'examples': [
        {
            'hosts': [{'address': '203.0.113.7', 'host_key': _FINGERPRINT}],
            'credential': {'secret': _HREF},
            'packages': ['nginx'],
        }
    ],
}

_RESULTS = (
    'conforms', 'unchanged', 'reconciled', 'does-not-conform', 'failed',
    'unreachable',
)  # fmt: skip

RESULT: base.Schema = base.closed(
    {
        'name': base.text('The machine: its name and address.', 'web (::1)'),
        'result': base.field(
            {'enum': list(_RESULTS)}, 'What came out.', 'does-not-conform'
        ),
        'reason': base.text(
            'Why: the steps that do not hold, one a line; or why it could '
            'not be reached.',
            'validators[0].package: nginx is not installed',
        ),
        'changed': base.field(base.BOOLEAN, 'Whether it may have changed.'),
        'distro': base.text('Its distribution; "" if that is not known.'),
        'release': base.text('The release of that.'),
        'seconds': base.field({'type': 'number'}, 'How long it took.', 1.5),
        'steps': base.array(
            {'type': 'object'},
            'Its steps, as of a build; those that failed first where there '
            'are many.',
        ),
    }
)

VALIDATION: base.Schema = base.closed(
    {
        'id': base.field(
            base.UUID,
            "The validation's id.",
            '9b0c7a52-3f6e-4d43-8a61-0c1de2a7b5f4',
        ),
        'name': base.maybe_text('Its name.', 'web servers'),
        'status': base.field(
            {'enum': list(statuses.VALIDATION)},
            '"queued"; "running"; "passed": every machine is as described; '
            '"failed": one is not; "error": of one nothing is known; '
            '"cancelled".',
            'failed',
        ),
        'status_reason': base.maybe_text(
            'The machines that are not as described, and why.', None
        ),
        'project_id': base.text(
            'Id of the project that it belongs to.',
            '478077fd6842449f845658aee5509589',
        ),
        'user_id': base.text(
            'Id of the user who asked.', 'a743f4479cea470fa1d8ccd7579516e9'
        ),
        'request': base.field(
            {'type': 'object'},
            'What was asked for; values of hidden arguments are masked.',
        ),
        'results': base.array(
            RESULT, 'What came out for each machine that has ended.'
        ),
        'timeout': base.count('Seconds that it may take.', 3600),
        'created_at': base.time('When it was made.'),
        'started_at': base.maybe_time('When it began.'),
        'finished_at': base.maybe_time('When it ended.'),
        'updated_at': base.time('When it last changed.'),
        'links': base.LINKS,
    }
)

LIST: base.Schema = base.listing('validations', 'Validation')

LIST_QUERY = (
    base.Parameter(
        'status', 'Of this status.', {'enum': list(statuses.VALIDATION)}
    ),
    base.LIMIT,
    base.MARKER,
    base.ALL_PROJECTS,
    base.PROJECT_ID,
)
