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
"""The log of the service's programs."""

from __future__ import annotations

from oslo_config import cfg
from oslo_log import log

from imagebuild import exception
from imagebuild.common import control_characters


def set_up(conf: cfg.ConfigOpts) -> None:
    """Begin to log as configured, with control characters escaped.

    :raises InvalidInput: the options name a place that cannot be logged to.
    """
    try:
        log.setup(conf, 'imagebuild')
    except (OSError, log.LogConfigError) as error:
        raise exception.InvalidInput(
            f'The options of the log cannot be used: {error}.'
        ) from error
    control_characters.protect_logs()
