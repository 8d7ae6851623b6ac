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
"""The client itself."""

from __future__ import annotations

from typing import TypedDict
from typing import Unpack

import keystoneauth1.adapter
import keystoneauth1.plugin
import keystoneauth1.session

from imagebuild.client import builds
from imagebuild.client import channels
from imagebuild.client import http
from imagebuild.client import listings
from imagebuild.client import pipelines
from imagebuild.client import validations

SERVICE_TYPE = 'image-build'
#: What this client is written for.
MICROVERSION = '1.0'
#: Seconds. The service asks a conductor before it answers.
TIMEOUT = 60.0


class Endpoint(TypedDict, total=False):
    """Which service is meant, as keystoneauth's Adapter takes it.

    :ivar region_name: which region's service.
    :ivar interface: which of its endpoints; public by default.
    :ivar endpoint_override: its address, with or without ``/v1``, in place
        of the catalogue's.
    :ivar service_type: what the catalogue calls it.
    :ivar auth: authentication plugin, in place of the session's.
    :ivar global_request_id: ``req-`` and a UUID that all requests carry.
    """

    region_name: str | None
    interface: str | list[str] | None
    endpoint_override: str | None
    service_type: str
    service_name: str | None
    auth: keystoneauth1.plugin.BaseAuthPlugin | None
    global_request_id: str | None


class Client:
    """The image build service.

    Threads may share one.

    :param session: a keystoneauth session. With the authentication type
        ``none`` and an endpoint it reaches a service without Keystone.
    :param microversion: the version of the API to ask for, None for the
        service's default.
    :param timeout: seconds until an answer must come.
    :param connect_retries: how often a request is sent again when no answer
        comes; only requests that may be done twice are.
    :param status_code_retries: the same after an answer of 503.
    :param retry_delay: seconds between; by default longer each time.
    :param endpoint: which service, and as whom.
    """

    def __init__(
        self,
        session: keystoneauth1.session.Session,
        *,
        microversion: str | None = MICROVERSION,
        timeout: float = TIMEOUT,
        connect_retries: int = 3,
        status_code_retries: int = 3,
        retry_delay: float | None = None,
        **endpoint: Unpack[Endpoint],
    ) -> None:
        endpoint.setdefault('service_type', SERVICE_TYPE)
        adapter = keystoneauth1.adapter.Adapter(
            session,
            default_microversion=microversion,
            client_name='imagebuild.client',
            client_version=MICROVERSION,
            **endpoint,
        )
        transport = http.Transport(
            adapter,
            timeout=timeout,
            connect_retries=connect_retries,
            status_code_retries=status_code_retries,
            retry_delay=retry_delay,
        )
        self.builds = builds.BuildManager(transport)
        self.channels = channels.ChannelManager(transport)
        self.pipelines = pipelines.PipelineManager(transport)
        self.validations = validations.ValidationManager(transport)
        self.recipes = listings.RecipeManager(transport)
        self.destinations = listings.DestinationManager(transport)
        self.drivers = listings.DriverManager(transport)
        self.operating_systems = listings.OperatingSystemManager(transport)
        self.packages = listings.PackageManager(transport)
        self.conductors = listings.ConductorManager(transport)
        self.uploads = listings.UploadManager(transport)
