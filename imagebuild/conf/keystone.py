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
"""Options of the service user, as whom other services are asked."""

from typing import Any

from oslo_config import cfg

GROUP = cfg.OptGroup(
    'keystone',
    title='The service user',
    help='Credentials of the service user. It stores images for other '
    'projects, so it needs the role admin (or policies of Glance that let it '
    'set the owner of an image and see those of all projects).',
)

_USER: list[cfg.Opt] = [
    cfg.StrOpt(
        'auth_type',
        default='password',
        sample_default='password',
        help="""
Which plugin of keystoneauth makes the tokens.

The default takes the user name and password below. Any other plugin that is
installed will do, such as v3applicationcredential; its own options
(application_credential_id and so on) are then written into this section,
too.
""",
    ),
    cfg.URIOpt(
        'auth_url',
        schemes=['https', 'http'],
        sample_default='https://keystone.example.com/v3',
        help="""
URL of Keystone.

There is no default: without it the service runs only where images are kept
in a directory and base images come from files and URLs.
""",
    ),
    cfg.StrOpt(
        'username',
        sample_default='imagebuild',
        help="""
Name of the service user.

Create it for this service alone, so that its requests can be distinguished
from others in the logs of Glance.
""",
    ),
    cfg.StrOpt(
        'password',
        secret=True,
        help="""
Password of the service user.

It is handed to each build job on its standard input, and stands in no
command line, environment or file but this one. Keep this file readable for
the service's own account only.
""",
    ),
    cfg.StrOpt(
        'project_name',
        sample_default='service',
        help="""
Project that the service user acts in.

Images are owned by the project that asked for them, never by this one.
""",
    ),
    cfg.StrOpt(
        'user_domain_name',
        default='Default',
        help="""
Domain of the service user.

The default is the domain that Keystone's bootstrap makes.
""",
    ),
    cfg.StrOpt(
        'project_domain_name',
        default='Default',
        help="""
Domain of the service user's project.

The default is the domain that Keystone's bootstrap makes.
""",
    ),
]

_CONNECTION: list[cfg.Opt] = [
    cfg.StrOpt(
        'cafile',
        sample_default='/etc/ssl/certs/ca-certificates.crt',
        help="""
Certificates that Keystone's and Glance's are verified with.

By default those that the Python library trusts. Name a file when your cloud
has a certificate authority of its own.
""",
    ),
    cfg.StrOpt(
        'certfile',
        help="""
Certificate that the service shows.

Only needed where Keystone or Glance ask for one.
""",
    ),
    cfg.StrOpt(
        'keyfile',
        help="""
Key that belongs to certfile.

Not needed when certfile holds both.
""",
    ),
    cfg.BoolOpt(
        'insecure',
        default=False,
        help="""
Whether certificates are not verified.

Leave it off: with it on, whoever stands between the service and Keystone
gets the service user's password.
""",
    ),
    cfg.IntOpt(
        'timeout',
        default=60,
        min=1,
        help="""
Seconds to wait for an answer of Keystone or Glance.

It is also the longest pause in an upload or download, not the longest
transfer. Raise it where Glance writes to slow storage and answers late.
""",
    ),
]

OPTS: list[cfg.Opt] = [*_USER, *_CONNECTION]


def values(conf: cfg.ConfigOpts) -> dict[str, Any]:
    """The section as :func:`imagebuild.clients.keystone.session` takes it.

    :param conf: its files have been read. The options of the plugin that
        ``auth_type`` names are made known to it.
    :returns: plain values that can be written as JSON; a secret is among
        them.
    """
    section = conf[GROUP.name]
    for option in of_plugin(section.auth_type):
        if option.dest not in section:
            conf.register_opt(option, group=GROUP.name)
    return {
        name: section[name] for name in section if section[name] is not None
    }


def of_plugin(name: str) -> list[cfg.Opt]:
    """The options of a plugin of keystoneauth.

    :param name: of the plugin, as in ``auth_type``.
    """
    # Here, not above: the programs for one machine do without keystoneauth.
    from keystoneauth1 import loading

    found: list[cfg.Opt] = loading.get_auth_plugin_conf_options(name)
    return found
