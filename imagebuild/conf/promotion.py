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
"""``[promotion]``."""

from __future__ import annotations

import re

from oslo_config import cfg
from oslo_config import types

GROUP = cfg.OptGroup(
    'promotion',
    title='Promotion',
    help='Channels: which image of a name is the one for development, for '
    'tests, for production.',
)

#: What channels may be called.
CHANNEL_NAME = r'^[A-Za-z0-9][A-Za-z0-9._-]*$(?!\n)'
LONGEST_NAME = 32


class _Channel(types.String):
    """The name of a channel."""

    def __call__(self, value: object) -> str:
        name = str(super().__call__(value)).strip()
        if len(name) > LONGEST_NAME or not re.match(CHANNEL_NAME, name):
            raise ValueError(
                f'"{name}" is no name of a channel: at most {LONGEST_NAME} '
                'letters, digits, ".", "_" and "-"'
            )
        return name


OPTS: list[cfg.Opt] = [
    cfg.ListOpt(
        'channels',
        item_type=_Channel(),
        default=['dev', 'test', 'prod'],
        mutable=True,
        help="""
Channels that builds can be promoted to.

Each project has its own, for each name of an image. What is in a channel that
is taken off this list stays there: it can be looked at, rolled back and
deleted. Names have at most 32 letters, digits, ".", "_" and "-".
""",
    ),
    cfg.ListOpt(
        'require_boot_test',
        item_type=_Channel(),
        default=[],
        mutable=True,
        sample_default=['prod'],
        help="""
Channels that take only images that have passed a boot test.

None by default.
A build has one when it is asked for, or when [boot_test] required is true; it
must have expected at least what [boot_test] expects by default. A rollback is
not held up by it.
""",
    ),
    cfg.IntOpt(
        'check_interval',
        default=600,
        min=10,
        mutable=True,
        help="""
Seconds after which a conductor looks at the tags of a channel again.

They are changed at once when something is promoted. This repairs them when
somebody else has changed them, and has an image that was uploaded to a further
cloud get them. Each look is one request to Glance for each image of a channel.
""",
    ),
]


def is_known(conf: cfg.ConfigOpts, channel: str) -> bool:
    """Whether builds can be promoted to a channel."""
    return channel in conf.promotion.channels


def needs_boot_test(conf: cfg.ConfigOpts, channel: str) -> bool:
    """Whether a channel takes only images that have passed a boot test."""
    return channel in conf.promotion.require_boot_test


def problems(conf: cfg.ConfigOpts) -> list[str]:
    """What is wrong with the options together, as sentences."""
    unknown = [
        name
        for name in conf.promotion.require_boot_test
        if not is_known(conf, name)
    ]
    return [
        f'[promotion] require_boot_test names "{name}", which is none of '
        '[promotion] channels.'
        for name in unknown
    ]
