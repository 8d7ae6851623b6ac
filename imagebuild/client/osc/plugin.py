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
"""What python-openstackclient asks a plugin for."""

from __future__ import annotations

import argparse
import logging
import re
from typing import Any
from typing import TypeVar
from typing import cast

from osc_lib import exceptions
from osc_lib import utils
from osc_lib.command import command

from imagebuild.client import client

#: Major version; "1" means the microversion that the client is written for.
DEFAULT_API_VERSION = '1'
API_VERSION_OPTION = 'os_image_build_api_version'
API_NAME = 'image_build'
API_VERSIONS = ('1',)

#: Where osc-lib and cliff log the command line.
_LOGGERS = ('osc_lib.shell', 'openstackclient.shell', 'cliff.app')

ParserT = TypeVar('ParserT', bound=argparse.ArgumentParser)


def make_client(instance: Any) -> client.Client:
    """Make the client for the commands.

    :param instance: osc-lib's ClientManager.
    """
    logging.getLogger('keystoneauth.session').addFilter(shorten_retries)
    version = instance._api_version[API_NAME]
    override = instance.get_configuration().get(
        'image_build_endpoint_override'
    )
    return client.Client(
        instance.session,
        region_name=instance.region_name,
        interface=instance.interface,
        endpoint_override=override,
        microversion=client.MICROVERSION if version == '1' else version,
    )


def client_of(caller: command.Command) -> client.Client:
    """Return the client of a command; it is made on first use."""
    manager: Any = caller.app.client_manager
    return cast(client.Client, getattr(manager, API_NAME))


def build_option_parser(parser: ParserT) -> ParserT:
    """Add the global options."""
    parser.add_argument(
        '--os-image-build-api-version',
        metavar='<image-build-api-version>',
        default=utils.env(
            'OS_IMAGE_BUILD_API_VERSION', default=DEFAULT_API_VERSION
        ),
        help='Image build API version, default: '
        f'{DEFAULT_API_VERSION} (Env: OS_IMAGE_BUILD_API_VERSION)',
    )
    _leave_os_to_commands(parser)
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(hide_arguments)
    return parser


def _leave_os_to_commands(parser: argparse.ArgumentParser) -> None:
    """Keep the program from taking ``--os`` for one of its own options.

    It looks for those in the whole command line and lets them be abbreviated:
    "--os" would be an ambiguous beginning of "--os-cloud" and many more. Of
    argparse's public switches there is only one that forbids all
    abbreviations, and those of other options are not ours to forbid.
    """
    abbreviated = parser._get_option_tuples

    def without_os(option_string: str) -> list[Any]:
        if option_string.partition('=')[0] == '--os':
            return []
        return list(abbreviated(option_string))

    parser._get_option_tuples = without_os  # type: ignore[method-assign]


def check_api_version(version: str) -> bool:
    """Check a version of the API.

    :raises CommandError: it is not a version of API 1.
    """
    if not re.fullmatch(r'1(\.\d+)?', version):
        raise exceptions.CommandError(
            f'"{version}" is not a version of the image build API, such as '
            f'{client.MICROVERSION}.'
        )
    return True


def shorten_retries(record: logging.LogRecord) -> bool:
    """Shorten the warning of a retry, which who waits may see often.

    keystoneauth quotes three nested exceptions each time.
    """
    if str(record.msg).startswith('Failure: %(e)s. Retrying'):
        record.msg = (
            'The service cannot be reached; the next attempt is in '
            '%(delay).1f s.'
        )
    return True


def hide_arguments(record: logging.LogRecord) -> bool:
    """Keep values of ``--argument`` out of the logged command line.

    osc-lib logs it with ``--verbose``, ``--debug`` and into log files, joined
    by spaces: the end of a value cannot be found, so all the rest is left out.
    """
    if isinstance(record.args, tuple):
        record.args = tuple(
            _cut(item) if isinstance(item, str) else item
            for item in record.args
        )
    return True


def _cut(text: str) -> str:
    before, found, _ = text.partition(' --argument')
    # "--arguments-file PATH" has no secret, but one may follow.
    return f'{before}{found} ***' if found else text
