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
"""Further clouds that images can be uploaded to."""

from __future__ import annotations

import flask

from imagebuild import policies
from imagebuild.api import offers
from imagebuild.api import responses
from imagebuild.api import views
from imagebuild.api.api_call import Call


def index(call: Call) -> flask.Response:
    """GET /v1/destinations"""
    call.context.can(policies.destinations.LIST)
    return responses.ok(
        {
            'destinations': [
                views.destination(each)
                for each in offers.destinations(
                    call, call.service.conductors(accepting=False)
                )
            ]
        }
    )
