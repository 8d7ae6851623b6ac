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
"""The application: Flask without extensions, and its middleware."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import TYPE_CHECKING
from typing import Any

import flask
from oslo_config import cfg
from oslo_middleware import cors
from oslo_middleware import http_proxy_to_wsgi
from oslo_middleware import request_id

from imagebuild import db
from imagebuild import exception
from imagebuild import policies
from imagebuild.api import api_call
from imagebuild.api import auth
from imagebuild.api import cors_defaults
from imagebuild.api import errors
from imagebuild.api import microversion
from imagebuild.api import route
from imagebuild.api import routes
from imagebuild.api import strict_json
from imagebuild.api import validation
from imagebuild.api.api_call import Call
from imagebuild.api.api_call import Service
from imagebuild.conf import boot_test
from imagebuild.conf import promotion
from imagebuild.messaging import notifications
from imagebuild.messaging import rpcapi

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


def create_app(
    conf: cfg.ConfigOpts,
    *,
    database: db.Database,
    conductor_api: rpcapi.ConductorAPI,
    notifier: notifications.Notifier,
    bus_probe: rpcapi.ConductorAPI | None = None,
) -> WSGIApplication:
    """Assemble the API; it opens no connections.

    :param conf: registered (:func:`imagebuild.conf.register`) and read.
    :param conductor_api: calls the conductors.
    :param notifier: sends notifications of builds that end without a
        conductor.
    :param bus_probe: the same with a short time limit, for /healthcheck;
        default: ``conductor_api``.
    :returns: a WSGI application; may be used by many threads at once.
    :raises UnsafeBinding: without authentication it would not be local.
    :raises InvalidInput: options contradict each other.
    """
    for problem in (*boot_test.problems(conf), *promotion.problems(conf)):
        raise exception.InvalidInput(problem)
    service = Service(
        conf=conf,
        routes=routes.ROUTES,
        database=database,
        conductor_api=conductor_api,
        bus_probe=bus_probe or conductor_api,
        notifier=notifier,
        enforcer=policies.make_enforcer(conf),
        catalogue=api_call.CatalogueFile(conf.operating_systems_file),
    )
    return _with_middleware(make_flask(service).wsgi_app, conf)


def _with_middleware(
    application: WSGIApplication, conf: cfg.ConfigOpts
) -> WSGIApplication:
    """Stack the middleware, the innermost first."""
    # Innermost: authentication must see the address of the client, which
    # HTTPProxyToWSGI takes from the headers of proxies, and its own errors
    # must pass through ErrorFormatter.
    public = {entry.path for entry in routes.ROUTES if entry.public}
    application = auth.wrap(application, conf, public)
    application = errors.ErrorFormatter(application)
    application = http_proxy_to_wsgi.HTTPProxyToWSGI(application, conf)
    # Before authentication: preflight requests of browsers have no token,
    # and browsers must be able to read errors.
    cors_defaults.set_defaults()
    application = cors.CORS(application, conf)
    if conf.api.auth_strategy == 'noauth':
        # Once more, outside of HTTPProxyToWSGI: headers of a proxy could
        # claim that a request comes from this host.
        application = auth.LocalOnly(application)
        application = errors.ErrorFormatter(application)
    # Outermost: a refused request needs an id, too.
    return request_id.RequestId(application, conf)


def make_flask(service: Service) -> flask.Flask:
    """Make the Flask application, without middleware."""
    # The instance directory is not used; looking for it fails where the
    # current directory has one of our name.
    app = flask.Flask(
        'imagebuild.api', static_folder=None, instance_path=os.sep
    )
    app.config['MAX_CONTENT_LENGTH'] = service.conf.api.max_request_size
    # A redirect would be HTML, and clients do not repeat a POST.
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False
    for entry in service.routes:
        app.add_url_rule(
            entry.path,
            f'{entry.method} {entry.path}',
            _view(service, entry),
            methods=[entry.method],
            provide_automatic_options=False,
        )
    errors.register(app, lambda: service.paths)
    app.after_request(_finish)
    return app


def _view(
    service: Service, entry: route.Route
) -> Callable[..., flask.Response]:
    """Make Flask's view of a route: authenticate, validate, handle."""

    def view(**parameters: str) -> flask.Response:
        request = flask.request
        who = auth.make_context(request.environ, service.enforcer)
        if not entry.public:
            auth.check_identity(request.environ, who)
        for value in parameters.values():
            # No name or id is longer; the database could refuse them.
            if len(value) > 255 or strict_json.text_error(value):
                flask.abort(404)
        version = flask.g.version = microversion.parse(
            request.headers.get(microversion.HEADER)
        )
        query = validation.query(request, entry.query)
        call = Call(
            service=service,
            context=who,
            version=version,
            query=query,
            read=functools.partial(_body, request, entry),
            root=request.url_root.rstrip('/'),
        )
        return entry.handler(call, **parameters)

    return view


def _body(request: flask.Request, entry: route.Route) -> api_call.Body:
    if entry.body is None:
        return {}, ()
    return validation.body(request, entry.body)


def _finish(response: flask.Response) -> flask.Response:
    flask.request.environ[errors.ANSWERED] = True
    version: Any = flask.g.get('version', microversion.MIN)
    response.headers[microversion.HEADER] = f'{microversion.SERVICE} {version}'
    response.vary.add(microversion.HEADER)
    return response
