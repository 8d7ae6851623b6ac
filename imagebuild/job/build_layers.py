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
"""The layers of a build."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

from imagebuild import exception
from imagebuild import layers
from imagebuild.drivers import base as drivers

LOG = logging.getLogger(__name__)


@contextlib.contextmanager
def session(
    driver: drivers.Driver,
    context: drivers.BuildContext,
    *,
    config: Mapping[str, Mapping[str, Any]],
    request: Mapping[str, Any],
) -> Iterator[layers.Session | None]:
    """Make the session of a build.

    :param context: of the build, with what was prepared.
    :param config: the sections that the job was given.
    :param request: ``reuse`` and ``max_age`` of it.
    :returns: None where no layers are kept, or cannot be: that is no error
        of the build.
    """
    known = layers.Settings.from_config(config)
    base = context.base_image
    isolations = driver.possible_isolations(context) if known else ()
    if (
        known is None
        or not isolations
        or not base.identity
        or not context.project_id
    ):
        yield None
        return
    try:
        store = known.store()
    except exception.ImageBuildError as error:
        LOG.warning('No layers are kept: %s', error)
        yield None
        return
    with layers.Session(
        store,
        layers.Base(
            base.identity,
            {'driver': driver.name, 'options': dict(context.options)}
            | context.settings.guest_facts(),
            # A name in the catalogue: no user has a say in what it means.
            from_operator=bool(base.os),
        ),
        scope=context.project_id,
        isolations=isolations,
        policy=known.policy_for(
            use=request.get('reuse') != 'never',
            max_age=request.get('max_age'),
        ),
    ) as made:
        yield made
