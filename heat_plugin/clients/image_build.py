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
"""How Heat reaches the image build service."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

from heat.engine.clients import client_exception
from heat.engine.clients import client_plugin
from keystoneauth1 import exceptions as keystone_exceptions
from oslo_config import cfg
from oslo_log import log as logging

from heat_plugin import failures
from heat_plugin import sentences
from imagebuild import client
from imagebuild.client import exceptions

LOG = logging.getLogger(__name__)

CLIENT_NAME = 'image_build'
SERVICE_TYPE = 'image-build'

#: Seconds for one plan, and for all plans of one validation: Heat's API waits
#: for its engine while a stack is validated.
PLAN_TIMEOUT = 10.0
PLANS_TIMEOUT = 20.0
#: Names that an error lists.
_NAMES = 20


class ImageBuildClientPlugin(client_plugin.ClientPlugin):
    """The service's client, with the credentials of the stack's owner.

    There is one for each request to Heat; threads may share it.
    """

    service_types = [SERVICE_TYPE]
    exceptions_module = exceptions

    def __init__(self, context: Any) -> None:
        super().__init__(context)
        self._plan_seconds = PLANS_TIMEOUT

    def _create(self, version: str | None = None) -> client.Client:
        return self._new(connect_retries=cfg.CONF.client_retry_limit)

    def _new(self, **options: Any) -> client.Client:
        return client.Client(
            self.context.keystone_session,
            region_name=self._get_region_name(),
            interface=self._get_client_option(CLIENT_NAME, 'endpoint_type'),
            **options,
        )

    def is_client_exception(self, ex: BaseException) -> bool:
        return isinstance(ex, exceptions.ClientError)

    def is_not_found(self, ex: BaseException) -> bool:
        return isinstance(ex, exceptions.NotFound)

    def is_over_limit(self, ex: BaseException) -> bool:
        return isinstance(ex, exceptions.QuotaExceeded | exceptions.TooLarge)

    def is_conflict(self, ex: BaseException) -> bool:
        return isinstance(ex, exceptions.Conflict)

    def find_recipe(self, name: str) -> str:
        """Return the name of a recipe that the service has.

        :raises UnknownName: it has none of this name.
        """
        return _found(
            'recipe',
            name.strip(),
            (item.name for item in self.client().recipes.list()),
        )

    def find_os(self, name: str) -> str:
        """Return the name of an operating system of the catalogue.

        :raises UnknownName: it is not in the catalogue.
        """
        listed = self.client().operating_systems.list()
        return _found(
            'operating system',
            name.strip(),
            (item.name for item in listed),
        )

    def find_base_image(self, name: str) -> str:
        """Return the id of an image in Glance by its id or name.

        As Heat's own plugin for Glance does, but what that one raises while
        Glance is away has the addresses of services in it, and is told as a
        mistake of the value.

        :raises EntityMatchNotFound: there is none, or
        :raises EntityUniqueMatchNotFound: several of the name.
        :raises NotLookedUp: Glance does not let this user ask.
        :raises GlanceAway: it is away, or something is wrong with it.
        """
        glance = self._glance()
        with _told(glance, f'the base image "{name}"'):
            return str(glance.find_image_by_name_or_id(name))

    def find_image(self, image_id: str) -> Any | None:
        """Return what Glance has of an image, None if that is nothing.

        :raises NotLookedUp: Glance does not let this user ask.
        :raises GlanceAway: it is away, or something is wrong with it.
        """
        glance = self._glance()
        with (
            _told(glance, f'the image {image_id}'),
            glance.ignore_not_found,
        ):
            return glance.client().images.get(image_id)
        return None

    def _glance(self) -> Any:
        return self.context.clients.client_plugin('glance')

    def plan(self, request: Mapping[str, Any]) -> client.Plan | None:
        """Say what a build would do, None if that cannot be known quickly.

        :raises ClientError: the service does not take the request: it is
            wrong, or not allowed.
        """
        if self._plan_seconds <= 0:
            return None
        begin = time.monotonic()
        try:
            return self._planner().builds.plan(**request)
        except failures.AWAY as error:
            # Only an early look: creating the resource tells more. The rest
            # of the stack need not wait for the same answer.
            LOG.info('The image build service could not plan: %s', error)
            self._plan_seconds = 0
            return None
        finally:
            self._plan_seconds -= time.monotonic() - begin

    def _planner(self) -> client.Client:
        return self._new(
            timeout=PLAN_TIMEOUT, connect_retries=0, status_code_retries=0
        )


@contextlib.contextmanager
def _told(glance: Any, what: str) -> Iterator[None]:
    """Raise our own errors in place of Glance's and Keystone's clients'.

    :param glance: Heat's plugin for Glance.
    :param what: is looked up.
    """
    try:
        yield
    except (
        client_exception.EntityMatchNotFound,
        client_exception.EntityUniqueMatchNotFound,
    ):
        raise
    except Exception as error:
        known = glance.is_client_exception(error)
        if not known and not isinstance(
            error, keystone_exceptions.ClientException
        ):
            raise
        LOG.warning('Looking up %s: %s', what, error)
        raise _from_glance(what, error) from None


def _from_glance(what: str, error: Exception) -> Exception:
    # Glance's errors have "code", Keystone's "http_status"; "N/A" of some.
    status = getattr(error, 'code', getattr(error, 'http_status', None))
    if not isinstance(status, int) or not status:
        return failures.GlanceAway(sentences.glance_away(what))
    if status >= 500:
        return failures.GlanceAway(sentences.glance_failed(what, error))
    return failures.NotLookedUp(sentences.glance_refused(what, error))


def _found(kind: str, name: str, known: Iterable[str]) -> str:
    names = sorted(set(known))
    if name in names:
        return name
    listed = ', '.join(names[:_NAMES]) or 'none at all'
    if len(names) > _NAMES:
        listed += f' and {len(names) - _NAMES} more'
    raise failures.UnknownName(entity=kind, name=name, known=listed)
