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
"""Client of the image-build API, version 1."""

import json
from urllib import parse

from tempest.lib import exceptions as lib_exc
from tempest.lib.common import rest_client


class ImageBuildClient(rest_client.RestClient):
    """Builds, and what they are made of.

    What a method returns is the JSON of the answer; its headers are in
    ``response``. An answer of another status than the documented one raises.
    """

    #: Microversion that is asked for; None asks for none.
    microversion = '1.0'

    def get_headers(self, accept_type=None, send_type=None):
        """See RestClient: with our microversion."""
        headers = super().get_headers(accept_type, send_type)
        if self.microversion:
            headers['OpenStack-API-Version'] = (
                f'image-build {self.microversion}'
            )
        return headers

    # -- the service --------------------------------------------------------

    def list_versions(self):
        """GET /"""
        return self._get('')

    def show_version(self):
        """GET /v1"""
        return self._get('v1')

    def show_openapi(self):
        """GET /openapi.json"""
        return self._get('openapi.json')

    def show_health(self):
        """GET /healthcheck"""
        return self._get('healthcheck')

    # -- builds -------------------------------------------------------------

    def create_build(self, **request):
        """POST /v1/builds"""
        return self._send('POST', 'v1/builds', request, 202)

    def plan_build(self, **request):
        """POST /v1/builds/plan"""
        return self._send('POST', 'v1/builds/plan', request, 200)

    def list_builds(self, **params):
        """GET /v1/builds"""
        return self._get('v1/builds', params)

    def show_build(self, build_id):
        """GET /v1/builds/{build_id}"""
        return self._get(f'v1/builds/{build_id}')

    def update_build(self, build_id, **changes):
        """PATCH /v1/builds/{build_id}"""
        return self._send('PATCH', f'v1/builds/{build_id}', changes, 200)

    def delete_build(self, build_id):
        """DELETE /v1/builds/{build_id}"""
        resp, body = self.delete(f'v1/builds/{build_id}')
        self.expected_success(204, resp.status)
        return rest_client.ResponseBody(resp, body)

    def cancel_build(self, build_id):
        """POST /v1/builds/{build_id}/cancel"""
        return self._send('POST', f'v1/builds/{build_id}/cancel', None, 202)

    def show_build_log(self, build_id, **params):
        """GET /v1/builds/{build_id}/log: the text in ``data``."""
        resp, body = self.get(_url(f'v1/builds/{build_id}/log', params))
        self.expected_success(200, resp.status)
        if isinstance(body, bytes):
            body = body.decode()
        return rest_client.ResponseBodyData(resp, body)

    def list_build_steps(self, build_id):
        """GET /v1/builds/{build_id}/steps"""
        return self._get(f'v1/builds/{build_id}/steps')

    # -- what there is ------------------------------------------------------

    def list_recipes(self):
        """GET /v1/recipes"""
        return self._get('v1/recipes')

    def show_recipe(self, name, version):
        """GET /v1/recipes/{name}/{version}"""
        return self._get(f'v1/recipes/{name}/{version}')

    def list_operating_systems(self):
        """GET /v1/operating-systems"""
        return self._get('v1/operating-systems')

    def list_conductors(self):
        """GET /v1/conductors"""
        return self._get('v1/conductors')

    def list_uploads(self, **params):
        """GET /v1/uploads"""
        return self._get('v1/uploads', params)

    # -- what RestClient asks for -------------------------------------------

    def is_resource_deleted(self, id):
        """Whether a build is gone."""
        try:
            self.show_build(id)
        except lib_exc.NotFound:
            return True
        return False

    @property
    def resource_type(self):
        """What the id of wait_for_resource_deletion is of."""
        return 'build'

    def _get(self, path, params=None):
        resp, body = self.get(_url(path, params or {}))
        self.expected_success(200, resp.status)
        return rest_client.ResponseBody(resp, json.loads(body))

    def _send(self, method, path, content, status):
        body = None if content is None else json.dumps(content)
        resp, body = self.request(method, path, body=body)
        self.expected_success(status, resp.status)
        return rest_client.ResponseBody(resp, json.loads(body))


def _url(path, params):
    words = {
        name: str(value).lower() if isinstance(value, bool) else value
        for name, value in params.items()
    }
    return f'{path}?{parse.urlencode(words)}' if words else path
