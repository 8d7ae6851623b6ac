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
"""Sessions of the service user.

A build outlives its user's token, so every service is asked as the service
user of ``[keystone]``. Its credentials come as a plain mapping
(:func:`imagebuild.conf.keystone.values`): a job has no configuration file,
it reads what it needs from its standard input.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keystoneauth1.exceptions
import keystoneauth1.session
from keystoneauth1 import loading

from imagebuild import exception

#: Seconds for one answer, when ``timeout`` is not set. It is also the
#: longest pause while data flow, not the longest transfer.
_TIMEOUT = 60


def session(config: Mapping[str, Any]) -> keystoneauth1.session.Session:
    """Make a session; nothing is contacted before it is used.

    :param config: ``auth_type`` (``password`` when missing), the options of
        that plugin (``auth_url``, ``username``, ``password``,
        ``project_name``, ``user_domain_name``, ...) and of the connection
        (``cafile``, ``certfile``, ``keyfile``, ``insecure``, ``timeout``);
        others are left out.
    :raises EnvironmentFault: the credentials are not complete.
    """
    name = config.get('auth_type') or 'password'
    try:
        loader: Any = loading.get_plugin_loader(name)
        auth = loader.load_from_options_getter(
            lambda option: config.get(option.dest)
        )
    except keystoneauth1.exceptions.ClientException as error:
        raise exception.EnvironmentFault(
            'This service is not connected to an Image service: the '
            f'credentials in [keystone] cannot be used: {error}.'
        ) from error
    connection = loading.session.Session().load_from_options(
        insecure=bool(config.get('insecure')),
        cacert=config.get('cafile'),
        cert=config.get('certfile'),
        key=config.get('keyfile'),
        timeout=config.get('timeout') or _TIMEOUT,
        auth=auth,
    )
    return connection
