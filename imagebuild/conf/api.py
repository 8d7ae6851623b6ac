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
"""Options of the API."""

from oslo_config import cfg

GROUP = cfg.OptGroup(
    'api',
    title='The REST API',
    help='Authentication, addresses and limits of requests.',
)

OPTS: list[cfg.Opt] = [
    cfg.StrOpt(
        'auth_strategy',
        default='keystone',
        choices=[
            ('keystone', 'Tokens of the Identity service are asked for.'),
            (
                'noauth',
                'Everyone who has the token of the file "token" in '
                'state_path is an operator. Only connections from this '
                'host are served.',
            ),
        ],
        help="""
How the API authenticates its users.

Keep the default, with a section [keystone_authtoken], wherever there is an
Identity service. ``noauth`` is for one machine and one person: project, user
and roles are then what the headers X-Project-Id, X-User-Id and X-Roles say,
and an operator of the project ``default`` when they say nothing. The header
X-Auth-Token must have the token that is made at the first start, in a file
that only the service's user can read; our client finds it by itself, or
where the variable IMAGEBUILD_TOKEN_FILE names it.
""",
    ),
    cfg.StrOpt(
        'bind_host',
        default='127.0.0.1',
        help="""
Address that imagebuild-standalone listens on.

A WSGI server (uWSGI, gunicorn, mod_wsgi) has its own setting for it and does
not read this one. With ``noauth`` it must be an address of this host's
loopback interface.
""",
    ),
    cfg.PortOpt(
        'bind_port',
        default=9797,
        help="""
Port that imagebuild-standalone listens on.

A WSGI server has its own setting for it and does not read this one. Change
it when another program has the port; 0 takes any that is free.
""",
    ),
    cfg.IntOpt(
        'max_request_size',
        default=1024**2,
        min=1024,
        help="""
Maximum size of the body of a request, in bytes.

A body is a description of an image with the texts of its files and scripts.
Raise it when those are larger than the default of 1 MiB; each request being
served takes several times its size in memory, and the description is kept in
the database.
""",
    ),
    cfg.IntOpt(
        'default_limit',
        default=100,
        min=1,
        help="""
How many items a list holds when the request has no limit.

The rest is found under the ``next`` link of the answer. A larger page costs
memory and database time in proportion.
""",
    ),
    cfg.IntOpt(
        'max_limit',
        default=1000,
        min=1,
        help="""
How many items a list holds at most, whatever the request asks for.

A request for more is not refused: it is answered with this many and a link
to the rest. A larger page costs memory and database time in proportion.
""",
    ),
    cfg.IntOpt(
        'check_timeout',
        default=20,
        min=1,
        help="""
Seconds that a conductor may take to check a request before it is queued.

It looks for the base image meanwhile. After a quarter of the time another
conductor that can build it is asked as well, if there is one. If none answers
in time the request is answered with 503 and the header Retry-After. Raise it
where the Image service is slow; a request waits no longer than this, and takes
a thread of the API as long as it waits.
""",
    ),
    cfg.IntOpt(
        'max_build_timeout',
        default=86400,
        min=1,
        help="""
Seconds that a request may ask for as the limit of its build.

A build that hangs holds its place on a conductor for that long. Lower it to
keep places from being held; a request for more is refused.
""",
    ),
    cfg.IntOpt(
        'min_free_disk',
        default=100,
        min=0,
        help="""
MiB that must be free in [DEFAULT] state_path for the service to be healthy.

With less, GET /healthcheck answers 503, so that a load balancer sends the
requests elsewhere. 0 switches this check off.
""",
    ),
]
