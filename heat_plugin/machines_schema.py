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
"""Properties and attributes of ``OS::ImageBuild::Validation``."""

from __future__ import annotations

from typing import Any

from heat.common.i18n import _
from heat.engine import attributes
from heat.engine import constraints
from heat.engine import properties

from heat_plugin import schema

Schema = properties.Schema

PROPERTY_NAMES = (
    NAME, SERVERS, HOSTS, CREDENTIAL, USER, PORT, HOST_KEYS, RECONCILE,
    TIMEOUT, TRIGGERS,
) = (
    'name', 'servers', 'hosts', 'credential', 'user', 'port', 'host_keys',
    'reconcile', 'timeout', 'triggers',
)  # fmt: skip
#: Of ``credential``.
CREDENTIALS = (
    'key', 'secret', 'passphrase_secret', 'password_secret',
    'sudo_password_secret',
)  # fmt: skip
#: Properties of an image that say what is in a machine.
CONTENT = schema.IN_A_SYSTEM

ATTRIBUTES = (STATUS, STATUS_REASON, RESULTS) = (
    'status', 'status_reason', 'results',
)  # fmt: skip

PROPERTIES: dict[str, Any] = {
    NAME: Schema(
        Schema.STRING,
        _('Name of the validation.'),
        constraints=[constraints.Length(min=1, max=255)],
    ),
    SERVERS: Schema(
        Schema.LIST,
        _('Servers of Nova that are looked at.'),
        schema=Schema(Schema.STRING),
        default=[],
    ),
    HOSTS: Schema(
        Schema.LIST,
        _('IP addresses of machines that are looked at.'),
        schema=Schema(Schema.STRING),
        default=[],
    ),
    CREDENTIAL: Schema(
        Schema.MAP,
        _(
            'By what one gets in: the name of a "key" of the operator, or '
            'secrets of Barbican by their addresses.'
        ),
        schema={name: Schema(Schema.STRING) for name in CREDENTIALS},
        required=True,
    ),
    USER: Schema(
        Schema.STRING,
        _('Who logs in; whoever is not root becomes it by sudo.'),
        default='root',
    ),
    PORT: Schema(
        Schema.INTEGER,
        _('Port of their sshd.'),
        default=22,
        constraints=[constraints.Range(min=1, max=65535)],
    ),
    HOST_KEYS: Schema(
        Schema.MAP,
        _(
            'Fingerprints of the keys of machines, by server or address. '
            'Needed unless the operator does without.'
        ),
        default={},
    ),
    RECONCILE: Schema(
        Schema.BOOLEAN,
        _('Whether to change what does not hold.'),
        default=False,
    ),
    TIMEOUT: Schema(
        Schema.INTEGER,
        _('Seconds for all of it.'),
        constraints=[constraints.Range(min=1)],
    ),
    TRIGGERS: Schema(
        Schema.LIST,
        _(
            'The machines are looked at again, by another validation, when '
            'one of these values changes, or any other property.'
        ),
        default=[],
    ),
    **{name: schema.PROPERTIES[name] for name in CONTENT},
}

ATTRIBUTES_SCHEMA: dict[str, Any] = {
    STATUS: attributes.Schema(
        _('passed, failed, error or cancelled.'),
        type=attributes.Schema.STRING,
    ),
    STATUS_REASON: attributes.Schema(
        _('The machines that are not as described, and why.'),
        type=attributes.Schema.STRING,
    ),
    RESULTS: attributes.Schema(
        _('What came out for each machine.'),
        type=attributes.Schema.LIST,
    ),
}
