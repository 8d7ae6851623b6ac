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
"""The application: Flask without extensions, and what stands before it."""

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
    """Put the API together; nothing is connected to.

    :param conf: registered (:func:`imagebuild.conf.register`) and read.
    :param conductor_api: asks the conductors.
    :param notifier: told of builds that end before a conductor has them.
    :param bus_probe: the same with a short time limit, for /healthcheck;
        without it, ``conductor_api`` asks there too.
    :returns: a WSGI application; may be used by many threads at once.
    :raises UnsafeBinding: without authentication it would not be local.
    """
    service = api_call.Service(
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
    # Innermost, so that who asks is judged by what proxies say of the
    # connection, and its own errors pass through ErrorFormatter.
    public = {entry.path for entry in routes.ROUTES if entry.public}
    application = auth.wrap(application, conf, public)
    application = errors.ErrorFormatter(application)
    application = http_proxy_to_wsgi.HTTPProxyToWSGI(application, conf)
    # Browsers ask it before they send a token, and must be able to read
    # errors.
    cors_defaults.set_defaults()
    application = cors.CORS(application, conf)
    if conf.api.auth_strategy == 'noauth':
        # Again, before a proxy's headers may say where a request is from.
        application = auth.LocalOnly(application)
        application = errors.ErrorFormatter(application)
    # Outside of all that refuses: a refused request has an id, too.
    return request_id.RequestId(application, conf)


def make_flask(service: api_call.Service) -> flask.Flask:
    """Make the Flask application, without middleware."""
    # The instance folder is not used; finding it fails where the current
    # folder has one of our name.
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
    service: api_call.Service, entry: route.Route
) -> Callable[..., flask.Response]:
    """Make Flask's view of a route: let in, check, call the handler."""

    def view(**parameters: str) -> flask.Response:
        request = flask.request
        who = auth.make_context(request.environ, service.enforcer)
        if not entry.public:
            auth.check_identity(request.environ, who)
        for value in parameters.values():
            if len(value) > 255 or strict_json.text_error(value):
                flask.abort(404)
        version = flask.g.version = microversion.parse(
            request.headers.get(microversion.HEADER)
        )
        query = validation.query(request, entry.query)
        call = api_call.Call(
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
