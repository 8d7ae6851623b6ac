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
"""Who and what is in the cloud: users, projects, the service catalog."""

import hashlib

from tools.cloud import cloud_site
from tools.cloud import identity

#: Plain people. None of them may do more than any member of a project.
PEOPLE = (
    identity.User('demo', 'demo', ('member', 'heat_stack_owner')),
    identity.User('other', 'other', ('member', 'heat_stack_owner')),
    identity.User('reader', 'demo', ('reader',)),
)

_ADMIN = identity.User('admin', 'admin', ('admin', 'heat_stack_owner'))
_SERVICE_ROLES = ('admin', 'service')
_STACK_DOMAIN = identity.DomainAdmin('heat', 'heat_domain_admin')

#: service: type in the catalog, path of its address
_SERVICES = {
    'glance': ('image', ''),
    'heat-api': ('orchestration', '/v1/%(tenant_id)s'),
    'nova-api': ('compute', '/v2.1'),
    'placement': ('placement', ''),
    'neutron': ('network', ''),
    'imagebuild-api': ('image-build', ''),
}


def seed(site: cloud_site.Site, services: list[str]) -> bool:
    """Put it into Keystone; False when it was there.

    :param services: those of this cloud; others are left out, because a
        client takes what is in the catalog to be there.
    """
    endpoints = [_endpoint(site, name) for name in services if _listed(name)]
    users = [_ADMIN, *PEOPLE, *(_service_user(one) for one in endpoints)]
    wanted = repr((users, endpoints, _STACK_DOMAIN))
    fingerprint = hashlib.sha256(wanted.encode()).hexdigest()
    if site.state.get('done', 'catalog') == fingerprint:
        return False
    keystone = identity.Identity(site)
    for endpoint in endpoints:
        keystone.add_endpoint(endpoint)
    for user in users:
        keystone.add_user(user)
    if 'heat-api' in services:
        keystone.add_domain_admin(_STACK_DOMAIN)
        # Given to users that wait conditions are signalled by.
        keystone.add_role('heat_stack_user')
    site.state.set('done', 'catalog', fingerprint)
    return True


def _listed(name: str) -> bool:
    return name in _SERVICES


def _endpoint(site: cloud_site.Site, name: str) -> identity.Endpoint:
    service_type, path = _SERVICES[name]
    project = name.removesuffix('-api')
    return identity.Endpoint(service_type, project, site.url(name) + path)


def _service_user(endpoint: identity.Endpoint) -> identity.User:
    return identity.User(endpoint.name, 'service', _SERVICE_ROLES)
