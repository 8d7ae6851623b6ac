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
"""Heat's client plugin for the image build service."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

from heat.engine.clients import client_exception
from heat.engine.clients import client_plugin
from keystoneauth1.exceptions import ClientException
from oslo_config import cfg
from oslo_log import log as logging

from heat_plugin import exceptions
from heat_plugin import messages
from imagebuild import client

LOG = logging.getLogger(__name__)

CLIENT_NAME = 'image_build'
SERVICE_TYPE = 'image-build'

#: Seconds for one plan, and for all plans of one validation: Heat's API waits
#: for heat-engine while a stack is validated.
PLAN_TIMEOUT = 10.0
PLANS_TIMEOUT = 20.0
#: Number of names that an error lists.
_MAX_NAMES = 20


class ImageBuildClientPlugin(client_plugin.ClientPlugin):
    """The service's client, with the credentials of the stack's owner.

    Heat makes one for each of its requests; threads may share it.
    """

    service_types = [SERVICE_TYPE]
    exceptions_module = exceptions

    def __init__(self, context: Any) -> None:
        super().__init__(context)
        self._plan_time_left = PLANS_TIMEOUT

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
        return isinstance(ex, client.exceptions.ClientError)

    def is_not_found(self, ex: BaseException) -> bool:
        return isinstance(ex, client.exceptions.NotFound)

    def is_over_limit(self, ex: BaseException) -> bool:
        return isinstance(
            ex, client.exceptions.QuotaExceeded | client.exceptions.TooLarge
        )

    def is_conflict(self, ex: BaseException) -> bool:
        return isinstance(ex, client.exceptions.Conflict)

    def find_recipe(self, name: str) -> str:
        """Return the name of a recipe that the service has.

        :raises UnknownName: it has none of this name.
        """
        return _find_name(
            'recipe',
            name.strip(),
            (item.name for item in self.client().recipes.list()),
        )

    def find_os(self, name: str) -> str:
        """Return the name of an operating system of the catalogue.

        :raises UnknownName: it is not in the catalogue.
        """
        listed = self.client().operating_systems.list()
        return _find_name(
            'operating system',
            name.strip(),
            (item.name for item in listed),
        )

    def find_channel(self, name: str) -> str:
        """Return the name of a channel that can be promoted to.

        :raises UnknownName: there is none of this name.
        """
        available = self.client().channels.available()
        return _find_name('channel', name.strip(), available)

    def find_base_image(self, name: str) -> str:
        """Return the id of an image in Glance by its id or name.

        As Heat's own plugin for Glance does. But what that one raises while
        Glance is unavailable has the URLs of services in it, and is reported
        as a mistake of the value.

        :raises EntityMatchNotFound: there is none, or
        :raises EntityUniqueMatchNotFound: several of the name.
        :raises LookupFailed: Glance refuses the request of this user.
        :raises GlanceUnavailable: Glance does not answer, or fails.
        """
        glance = self._glance()
        with _translate_errors(glance, f'the base image "{name}"'):
            return str(glance.find_image_by_name_or_id(name))

    def find_image(self, image_id: str) -> Any | None:
        """Return Glance's image, None if there is none.

        :raises LookupFailed: Glance refuses the request of this user.
        :raises GlanceUnavailable: Glance does not answer, or fails.
        """
        glance = self._glance()
        with (
            _translate_errors(glance, f'the image {image_id}'),
            glance.ignore_not_found,
        ):
            return glance.client().images.get(image_id)
        return None

    def _glance(self) -> Any:
        return self.context.clients.client_plugin('glance')

    def plan(self, request: Mapping[str, Any]) -> client.Plan | None:
        """Return what a build would do, None if that takes too long.

        :raises ClientError: the service refuses the request: it is wrong,
            or not allowed.
        """
        if self._plan_time_left <= 0:
            return None
        begin = time.monotonic()
        try:
            return self._plan_client().builds.plan(**request)
        except exceptions.UNAVAILABLE as error:
            # Only an early check: creating the resource reports the error. The
            # other images of the stack need not wait for the same answer.
            LOG.info('The image build service could not plan: %s', error)
            self._plan_time_left = 0
            return None
        finally:
            self._plan_time_left -= time.monotonic() - begin

    def _plan_client(self) -> client.Client:
        # No retries: they would use up the time of the other plans.
        return self._new(
            timeout=PLAN_TIMEOUT, connect_retries=0, status_code_retries=0
        )


@contextlib.contextmanager
def _translate_errors(glance: Any, what: str) -> Iterator[None]:
    """Translate errors of Glance's and Keystone's clients to our own.

    :param glance: Heat's plugin for Glance.
    :param what: to name in the message, such as 'the image 5'.
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
        if not known and not isinstance(error, ClientException):
            raise
        LOG.warning('Looking up %s: %s', what, error)
        raise _glance_error(what, error) from None


def _glance_error(what: str, error: Exception) -> Exception:
    # Glance's errors have "code", Keystone's "http_status"; some have "N/A".
    status = getattr(error, 'code', getattr(error, 'http_status', None))
    if not isinstance(status, int) or not status:
        return exceptions.GlanceUnavailable(messages.glance_unavailable(what))
    if status >= 500 or status == 429:
        return exceptions.GlanceUnavailable(
            messages.glance_failed(what, error)
        )
    return exceptions.LookupFailed(messages.glance_refused(what, error))


def _find_name(kind: str, name: str, known: Iterable[str]) -> str:
    names = sorted(set(known))
    if name in names:
        return name
    listed = ', '.join(names[:_MAX_NAMES]) or 'none at all'
    if len(names) > _MAX_NAMES:
        listed += f' and {len(names) - _MAX_NAMES} more'
    raise exceptions.UnknownName(entity=kind, name=name, known=listed)
