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
"""Clouds of clouds.yaml, as plain values.

openstacksdk reads the file, so that everything means what it means to every
other client; nothing else of it is used. What comes of it has the form of the
sections ``keystone`` and ``glance`` of the configuration: a job, and
everything that asks Glance, need not know where their values are from.
"""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import keystoneauth1.exceptions
import requests
import yaml
from keystoneauth1 import loading

from imagebuild import exception
from imagebuild.common import extras
from imagebuild.common import os_errors

_SERVICE = 'image'


def sections(
    cloud: str,
    *,
    clouds_file: str = '',
    region_name: str = '',
    environment: bool = False,
) -> dict[str, dict[str, Any]]:
    """How to log in to a cloud, and where its image service is.

    Nothing is contacted, unless the file names a ``profile`` of a vendor that
    is fetched.

    :param cloud: its name; with ``environment``, '' for the one that this
        names, or for the only one that there is.
    :param clouds_file: where it is; '' for where every client looks.
    :param region_name: of the cloud; '' for the one that the file names.
    :param environment: whether the environment (``OS_*``) is looked at.
    :returns: ``keystone`` (see :func:`imagebuild.clients.keystone.session`)
        and ``glance`` (see :meth:`imagebuild.clients.glance.Glance`), with
        what the file says and nothing else; and ``secret_options``, which
        has the names of secrets. All can be written as JSON.
    :raises InvalidInput: there is no such cloud or region, or what the file
        says of it cannot be used.
    :raises MissingDependency: openstacksdk is not installed.
    """
    found = _found(cloud, clouds_file, region_name, environment)
    auth_type = str(found.config.get('auth_type') or 'password')
    interface = found.get_interface(_SERVICE)
    return {
        'keystone': {
            **_plain(found.config.get('auth') or {}),
            **_connection(found),
            'auth_type': auth_type,
        },
        'glance': _given(
            region_name=region_name or found.get_region_name(_SERVICE),
            valid_interfaces=(
                [interface] if isinstance(interface, str) else interface
            ),
            endpoint_override=found.get_endpoint(_SERVICE),
            service_name=found.get_service_name(_SERVICE),
        ),
        'secret_options': {'keystone': _secrets(auth_type)},
    }


def _found(
    cloud: str, clouds_file: str, region_name: str, environment: bool
) -> Any:
    with extras.needed('clouds.yaml', 'clouds'):
        from openstack import exceptions
        from openstack.config import loader
    try:
        config_files, secure_files = _files(clouds_file)
        config = loader.OpenStackConfig(
            config_files=config_files,
            secure_files=secure_files,
            load_envvars=environment,
        )
        return config.get_one(
            cloud=cloud or _named_elsewhere(config),
            region_name=region_name or None,
        )
    except (
        exceptions.SDKException,
        keystoneauth1.exceptions.ClientException,
        requests.RequestException,
        OSError,
        # What it makes of a file that is something else.
        AttributeError,
        KeyError,
        TypeError,
        ValueError,
    ) as error:
        where = (
            f'"{cloud}" of {clouds_file or "clouds.yaml"}'
            if cloud
            else 'of the environment (OS_...)'
        )
        raise exception.InvalidInput(
            f'The cloud {where} cannot be used: {_reason(error)}.'
        ) from None


def _named_elsewhere(config: Any) -> str:
    """The cloud of the environment, or the only one.

    :raises InvalidInput: there is none.
    """
    # openstacksdk has one without anything in it for those who pass options.
    names = [name for name in config.get_cloud_names() if name != 'defaults']
    if config.default_cloud in (None, '', 'defaults'):
        known = ', '.join(sorted(names))
        there = f'clouds.yaml has {known}' if known else 'none was found'
        raise exception.InvalidInput(
            'No cloud is named, by --os-cloud NAME, OS_CLOUD or the other '
            f'OS_... variables of the environment ({there}).'
        )
    return str(config.default_cloud)


def _reason(error: Exception) -> str:
    if isinstance(error, AttributeError | KeyError | TypeError | ValueError):
        # Its text may hold any value of the file.
        return f'it is not what openstacksdk wants ({type(error).__name__})'
    return str(error).rstrip('.')


def _files(clouds_file: str) -> tuple[list[str] | None, list[str] | None]:
    """Which files are read: clouds and their secrets; None for the usual.

    :raises InvalidInput: the one that is named cannot be.
    """
    if not clouds_file:
        return None, None
    path = pathlib.Path(clouds_file)
    try:
        # openstacksdk takes one that is broken for an empty one.
        yaml.safe_load(path.read_bytes())
    except OSError as error:
        raise exception.InvalidInput(
            f'{clouds_file} cannot be read: {os_errors.reason_of(error)}.'
        ) from error
    except (yaml.YAMLError, ValueError) as error:
        # Without the lines around it: there are passwords in them.
        mark = getattr(error, 'problem_mark', None)
        line = f', see line {mark.line + 1}' if mark else ''
        raise exception.InvalidInput(
            f'{clouds_file} is not YAML{line}.'
        ) from None
    return [str(path)], [str(path.with_name('secure.yaml'))]


def _connection(found: Any) -> dict[str, Any]:
    verify, certificate = found.get_requests_verify_args()
    certfile, keyfile = (
        certificate if isinstance(certificate, tuple) else (certificate, None)
    )
    return _given(
        insecure=verify is False,
        cafile=verify if isinstance(verify, str) else None,
        certfile=certfile,
        keyfile=keyfile,
        timeout=found.config.get('api_timeout'),
    )


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value}


def _plain(auth: Mapping[str, Any]) -> dict[str, Any]:
    return {
        str(name).replace('-', '_'): value
        for name, value in auth.items()
        if value is not None
    }


def _secrets(auth_type: str) -> Sequence[str]:
    options = loading.get_plugin_loader(auth_type).get_options()
    return [option.dest for option in options if option.secret]
