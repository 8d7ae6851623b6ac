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
"""Put what is wanted into Keystone, whatever is there already."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from tools.cloud import cloud_site

_DEFAULT_DOMAIN = 'default'


@dataclasses.dataclass(frozen=True)
class User:
    """A user and the roles it has in a project."""

    name: str
    project: str
    roles: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Endpoint:
    """A service of the catalog; the same address for everybody."""

    service_type: str
    name: str
    url: str
    region: str = cloud_site.REGION


@dataclasses.dataclass(frozen=True)
class DomainAdmin:
    """A domain with the user that rules over it (Heat wants one)."""

    domain: str
    user: str


class Identity:
    """Keystone's API, as its administrator."""

    def __init__(self, site: cloud_site.Site) -> None:
        self._site = site
        self._known: dict[str, list[dict[str, Any]]] = {}

    def add_endpoint(self, endpoint: Endpoint) -> None:
        """Add to the catalog; a wrong address is updated."""
        service = self._ensure(
            'services', type=endpoint.service_type, name=endpoint.name
        )
        self._ensure('regions', id=endpoint.region)
        for interface in ('public', 'internal', 'admin'):
            found = self._ensure(
                'endpoints',
                service_id=service,
                interface=interface,
                region_id=endpoint.region,
                extra={'url': endpoint.url},
            )
            self._change('endpoints', found, {'url': endpoint.url})

    def remove_region(self, region: str) -> None:
        """Remove a region and what is in it."""
        for one in self._json('GET', '/endpoints')['endpoints']:
            if one['region_id'] == region:
                self._json('DELETE', f'/endpoints/{one["id"]}')
        self._json('DELETE', f'/regions/{region}')
        self._known = {}

    def remove_service(self, name: str) -> None:
        """Remove a service from the catalog."""
        for one in self._json('GET', '/services')['services']:
            if one['name'] == name:
                self._json('DELETE', f'/services/{one["id"]}')
        self._known = {}

    def add_user(self, user: User) -> None:
        """Add a user, its project and its roles."""
        project = self._ensure(
            'projects', name=user.project, domain_id=_DEFAULT_DOMAIN
        )
        found = self._user(user.name, _DEFAULT_DOMAIN)
        for name in user.roles:
            role = self._ensure('roles', name=name)
            self._json(
                'PUT', f'/projects/{project}/users/{found}/roles/{role}'
            )

    def add_role(self, name: str) -> None:
        """Add a role."""
        self._ensure('roles', name=name)

    def add_domain_admin(self, admin: DomainAdmin) -> None:
        """Add a domain and its administrator."""
        domain = self._ensure('domains', name=admin.domain)
        found = self._user(admin.user, domain)
        role = self._ensure('roles', name='admin')
        self._json('PUT', f'/domains/{domain}/users/{found}/roles/{role}')

    def _user(self, name: str, domain: str) -> str:
        return self._ensure(
            'users',
            name=name,
            domain_id=domain,
            extra={'password': self._site.password(name)},
        )

    def _ensure(
        self,
        kind: str,
        *,
        extra: Mapping[str, str] | None = None,
        **wanted: str,
    ) -> str:
        """The id of the one with these values; made when there is none."""
        if kind not in self._known:
            self._known[kind] = self._json('GET', f'/{kind}')[kind]
        for one in self._known[kind]:
            if all(one.get(name) == value for name, value in wanted.items()):
                return str(one['id'])
        body = {kind.removesuffix('s'): {**wanted, **(extra or {})}}
        made = self._json('POST', f'/{kind}', body)[kind.removesuffix('s')]
        self._known[kind].append(made)
        return str(made['id'])

    def _change(self, kind: str, found: str, values: dict[str, str]) -> None:
        one = next(o for o in self._known[kind] if o['id'] == found)
        if any(one[name] != value for name, value in values.items()):
            self._json(
                'PATCH', f'/{kind}/{found}', {kind.removesuffix('s'): values}
            )

    def _json(self, method: str, path: str, body: Any = None) -> Any:
        return self._site.rest.call(
            method, f'{self._site.auth_url}{path}', body
        )
