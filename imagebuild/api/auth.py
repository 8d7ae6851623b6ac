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
"""Authentication: Keystone's middleware, or none on a single machine."""

from __future__ import annotations

import ipaddress
import logging
import re
from collections.abc import Collection
from collections.abc import Iterable
from collections.abc import Mapping
from typing import TYPE_CHECKING

from oslo_config import cfg
from oslo_policy import policy

from imagebuild import context
from imagebuild import exception
from imagebuild.api import local_token

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse
    from _typeshed.wsgi import WSGIApplication
    from _typeshed.wsgi import WSGIEnvironment

LOG = logging.getLogger(__name__)

#: Identity of requests without authentication.
NOAUTH_IDENTITY = {
    'HTTP_X_PROJECT_ID': 'default',
    'HTTP_X_USER_ID': 'default',
    'HTTP_X_ROLES': 'admin,member,reader',
}
_IDENTITY_HEADERS = frozenset(
    {
        'HTTP_X_IDENTITY_STATUS',
        'HTTP_X_PROJECT_ID',
        'HTTP_X_PROJECT_NAME',
        'HTTP_X_ROLES',
        'HTTP_X_TENANT_ID',
        'HTTP_X_USER_ID',
        'HTTP_X_USER_NAME',
    }
)
#: What fits the columns, and can be compared without surprises.
_IDENTIFIER = re.compile(r'[\x21-\x7e]{1,64}')
_PORT = re.compile(r':[0-9]{1,5}$')


class UnsafeBinding(exception.InvalidInput):
    """Without authentication only this host may be served."""

    msg_fmt = (
        'auth_strategy is noauth, and bind_host is %(host)s: without '
        'authentication the API only listens on the loopback interface. Set '
        '[api] bind_host to 127.0.0.1, or auth_strategy to keystone.'
    )


class LocalOnly:
    """Refuses requests that do not come from this host.

    Also those of a page in a browser of this host that reached it by another
    host name (DNS rebinding).
    """

    def __init__(self, application: WSGIApplication) -> None:
        self.application = application

    def __call__(
        self, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        address = environ.get('REMOTE_ADDR', '')
        if is_loopback(address) and is_loopback(_host(environ)):
            return self.application(environ, start_response)
        LOG.warning(
            'Refused a request from %s for %s: auth_strategy is noauth, and '
            'only this host is served',
            address or 'an unknown address',
            environ.get('HTTP_HOST'),
        )
        start_response('403 Forbidden', [('Content-Type', 'text/plain')])
        return [b'']


class NoAuth:
    """Trusts the identity headers of a request.

    Only behind :class:`imagebuild.api.local_token.TokenNeeded`.
    """

    def __init__(self, application: WSGIApplication) -> None:
        self.application = application

    def __call__(
        self, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        for name, value in NOAUTH_IDENTITY.items():
            environ.setdefault(name, value)
        environ['HTTP_X_IDENTITY_STATUS'] = 'Confirmed'
        return self.application(environ, start_response)


def is_loopback(host: str) -> bool:
    """Whether a name or address can only be this host.

    :param host: without a port.
    """
    host = host.lower().strip('[]')
    if host == 'localhost' or host.endswith('.localhost'):
        return True
    try:
        # Without the zone of a link-local address.
        address = ipaddress.ip_address(host.partition('%')[0])
    except ValueError:
        return False
    # ::ffff:127.0.0.1: where a dual-stack socket reports IPv4 peers.
    mapped = getattr(address, 'ipv4_mapped', None)
    return bool((mapped or address).is_loopback)


def _host(environ: Mapping[str, str]) -> str:
    host = environ.get('HTTP_HOST') or environ.get('SERVER_NAME', '')
    return _PORT.sub('', host)


def check_binding(conf: cfg.ConfigOpts) -> None:
    """Refuse to serve others than this host without authentication.

    :raises UnsafeBinding: ``bind_host`` is not of the loopback interface.
    """
    if conf.api.auth_strategy == 'noauth' and not is_loopback(
        conf.api.bind_host
    ):
        raise UnsafeBinding(host=conf.api.bind_host)


class Public:
    """Lets requests for public addresses pass without authentication.

    :param application: has the public addresses.
    :param protected: the same application behind the check of tokens.
    :param paths: the public addresses, without a slash at the end.
    """

    def __init__(
        self,
        application: WSGIApplication,
        protected: WSGIApplication,
        paths: Collection[str],
    ) -> None:
        self.application = application
        self.protected = protected
        self.paths = frozenset(paths)

    def __call__(
        self, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        if environ.get('PATH_INFO', '').rstrip('/') not in self.paths:
            return self.protected(environ, start_response)
        # Nobody has verified the identity headers of the request.
        for name in _IDENTITY_HEADERS & environ.keys():
            del environ[name]
        return self.application(environ, start_response)


def wrap(
    application: WSGIApplication, conf: cfg.ConfigOpts, public: Collection[str]
) -> WSGIApplication:
    """Put authentication in front of an application.

    :param public: addresses that need no token.
    :raises UnsafeBinding: see :func:`check_binding`.
    :raises UnwritablePath: see :func:`local_token.read`.
    """
    check_binding(conf)
    open_paths = [path.rstrip('/') for path in public]
    protected: WSGIApplication
    if conf.api.auth_strategy == 'noauth':
        protected = local_token.TokenNeeded(
            NoAuth(application), local_token.read(conf)
        )
        return LocalOnly(Public(application, protected, open_paths))
    # Imported only here: it needs the session and plugin options of
    # keystoneauth.
    from keystonemiddleware import auth_token

    # It could also leave the decision to us (delay_auth_decision), but then
    # a Keystone that is down looks like a bad token.
    protected = auth_token.AuthProtocol(
        application, {'oslo_config_config': conf, 'delay_auth_decision': False}
    )
    return Public(application, protected, open_paths)


def make_context(
    environ: WSGIEnvironment, enforcer: policy.Enforcer
) -> context.RequestContext:
    """Return the context of a request.

    oslo.context keeps it for this thread: log lines get the request's id.
    """
    found = context.RequestContext.from_environ(environ)
    found.enforcer = enforcer
    return found


def check_identity(
    environ: WSGIEnvironment, who: context.RequestContext
) -> None:
    """Check that a request has an identity that policies can be applied to.

    :raises Unauthenticated: there is no valid token.
    :raises Forbidden: the token is not for a project.
    :raises InvalidInput: an identity header (noauth) is not usable.
    """
    if environ.get('HTTP_X_IDENTITY_STATUS') != 'Confirmed':
        raise exception.Unauthenticated()
    if not who.project_id or not who.user_id:
        raise exception.Forbidden(
            'The token is not for a project; everything here belongs to one.'
        )
    for header, value in (
        ('X-Project-Id', who.project_id),
        ('X-User-Id', who.user_id),
    ):
        if not _IDENTIFIER.fullmatch(value):
            raise exception.InvalidInput(
                f'{header} must have 1 to 64 printable ASCII characters.'
            )
