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
"""Options of tempest.conf."""

from oslo_config import cfg

SERVICE_AVAILABLE_OPT = cfg.BoolOpt(
    'image_build',
    default=True,
    help='Whether the cloud has the image-build service.',
)

GROUP = cfg.OptGroup(name='image_build', title='Image build service options')

OPTS = [
    cfg.StrOpt(
        'catalog_type',
        default='image-build',
        help='Type of the service in the catalog.',
    ),
    cfg.StrOpt(
        'region',
        default='',
        help='Region of the service; empty: that of [identity].',
    ),
    cfg.StrOpt(
        'endpoint_type',
        default='publicURL',
        choices=[
            *('public', 'admin', 'internal'),
            *('publicURL', 'adminURL', 'internalURL'),
        ],
        help='Endpoint of the service to use.',
    ),
    cfg.IntOpt(
        'build_timeout',
        default=1800,
        min=1,
        help='Seconds that a build, a stack or a deletion may take.',
    ),
    cfg.IntOpt(
        'build_interval',
        default=1,
        min=1,
        help='Seconds between two looks at it.',
    ),
    cfg.StrOpt(
        'operating_system',
        default='debian-12',
        help="""
Operating system that the tests build images of.

Some sixty images are made: choose the quickest one of the catalogue. One of
the driver "fake" will do.
""",
    ),
    cfg.StrOpt(
        'real_operating_system',
        default='',
        help="""
Operating system for the scenario, one whose image boots.

The server's console must show the content of the image then, where
[compute-feature-enabled] console_output is on. Empty: the scenario uses
operating_system, and the server only has to be ACTIVE.
""",
    ),
    cfg.StrOpt(
        'recipe',
        default='redis',
        help='Recipe that the operating system is good for; empty: none, '
        'and the tests that need one are skipped.',
    ),
    cfg.StrOpt(
        'recipe_version',
        default='7',
        help='Version of the recipe.',
    ),
    cfg.StrOpt(
        'flavor',
        default='',
        help='Flavor of servers, id or name; empty: [compute] flavor_ref.',
    ),
    cfg.StrOpt(
        'network',
        default='',
        help='Network of servers, id or name; empty: servers without one.',
    ),
    cfg.StrOpt(
        'orchestration_catalog_type',
        default='orchestration',
        help='Type of the orchestration service (Heat) in the catalog.',
    ),
]

FEATURE_GROUP = cfg.OptGroup(
    name='image_build_feature_enabled',
    title='What there is around the image build service',
)

FEATURE_OPTS = [
    cfg.BoolOpt(
        'orchestration',
        default=True,
        help='Whether Heat is there and has OS::ImageBuild::Image.',
    ),
]
