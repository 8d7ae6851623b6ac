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
"""The sections of the configuration that a destination's store is given.

They have the same names and form for every destination: a store, and a job,
read ``keystone``, ``glance`` and the store's own sections and need not know
which cloud they are of.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from oslo_config import cfg

from imagebuild import exception
from imagebuild import extension_options
from imagebuild.clients import clouds
from imagebuild.conf import SECRETS
from imagebuild.conf import destination
from imagebuild.destinations import Destination

Sections = Mapping[str, Mapping[str, Any]]

#: Options of [glance] that are about one cloud: where it is, and whose images
#: may be built from.
_OF_ONE_CLOUD = (
    'region_name',
    'valid_interfaces',
    'endpoint_override',
    'trusted_projects',
)


def laid_over(
    conf: cfg.ConfigOpts, sections: Sections, name: str
) -> dict[str, Any]:
    """Make the sections those of a destination.

    :param sections: of this cloud, as
        :func:`imagebuild.conductor.conductor_context.job_config` has them.
    :param name: of the destination.
    :returns: the same sections and ``destination``, the document of a
        :class:`imagebuild.destinations.Destination`.
    :raises InvalidInput: there is no such destination, or it cannot be used:
        its section or the cloud that it names.
    :raises MissingDependency: openstacksdk is not installed.
    """
    found = destination.get(conf, name)
    result = {title: dict(values) for title, values in sections.items()}
    result['destination'] = found.to_document()
    if not name:
        return result
    # The certificate is in the Barbican of this cloud.
    result.pop('signing', None)
    if found.cloud:
        _log_in(result, found)
    if found.region_name:
        result['glance']['region_name'] = found.region_name
    if found.valid_interfaces:
        result['glance']['valid_interfaces'] = list(found.valid_interfaces)
    pairs = extension_options.of_stores().get(found.store, ())
    for title, values in destination.of_store(conf, name, pairs).items():
        result.setdefault(title, {}).update(values)
    return result


def _log_in(result: dict[str, dict[str, Any]], found: Destination) -> None:
    """Put another cloud in the place of the service user's."""
    try:
        of_cloud = clouds.sections(
            found.cloud,
            clouds_file=found.clouds_file,
            region_name=found.region_name,
        )
    except exception.InvalidInput as error:
        raise exception.InvalidInput(
            f'[{destination.section(found.name)}] cloud: {error}'
        ) from error
    # How long is waited for an answer is the same for all, unless it says.
    waiting = {'timeout': result['keystone'].get('timeout')}
    result['keystone'] = {**waiting, **of_cloud['keystone']}
    kept = {
        name: value
        for name, value in result['glance'].items()
        if name not in _OF_ONE_CLOUD
    }
    result['glance'] = {**kept, **of_cloud['glance']}
    result[SECRETS] = {**result[SECRETS], **of_cloud[SECRETS]}
