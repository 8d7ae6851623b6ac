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
"""CORS: what browsers may send and read, unless operators configure it.

Apart from the application: oslo-config-generator and the documentation call
:func:`set_defaults` by the entry point ``oslo.config.opts.defaults``, in
processes whose oslo.service has another backend than ours. The application
needs that backend, so nothing of it may be imported here.
"""

from __future__ import annotations

from oslo_middleware import cors
from oslo_middleware import request_id

from imagebuild.api import microversion

#: Of all routes; the unit tests compare.
METHODS = ('DELETE', 'GET', 'PATCH', 'POST')


def set_defaults() -> None:
    """Set our defaults in oslo.middleware, for the API and for the sample."""
    cors.set_defaults(
        allow_methods=list(METHODS),
        allow_headers=['X-Auth-Token', microversion.HEADER],
        expose_headers=[
            microversion.HEADER,
            'Location',
            'Retry-After',
            'X-Next-Offset',
            request_id.HTTP_RESP_HEADER_REQUEST_ID,
        ],
    )
