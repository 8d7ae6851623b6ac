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
"""Options of the image service: where it is, and how long it is waited for."""

from typing import Any

from oslo_config import cfg
from oslo_config import types

GROUP = cfg.OptGroup(
    'glance',
    title='The image service',
    help='Where base images come from and finished images go.',
)

OPTS: list[cfg.Opt] = [
    cfg.StrOpt(
        'region_name',
        sample_default='RegionOne',
        help="""
Region whose image service is used.

Only needed when the catalog of Keystone has several.
""",
    ),
    cfg.ListOpt(
        'valid_interfaces',
        default=['internal', 'public'],
        help="""
Endpoints of the catalog that are tried, in this order.

The default keeps large transfers on the internal network where there is one.
""",
    ),
    cfg.URIOpt(
        'endpoint_override',
        schemes=['https', 'http'],
        sample_default='http://glance.example.com:9292',
        help="""
URL of the image service, instead of the one in the catalog.

Without the version. Set it where this host reaches Glance by another way
than everybody else.
""",
    ),
    cfg.ListOpt(
        'trusted_projects',
        default=[],
        sample_default='<id of the project with your base images>',
        help="""
Ids of projects whose images the catalogue of operating systems may name.

Besides them it may name public images, and no others: every member of the
cloud can make an image of any name and with any tag, and it would be built
from for everybody. The default is the service user's own project. Name the
project here that holds your private base images; who may upload images there
decides what everybody's builds start from.
""",
    ),
    cfg.IntOpt(
        'retry_timeout',
        default=300,
        min=0,
        help="""
Seconds for which an image service that is away is waited for.

A download or upload is retried until then, from where it stopped if
Glance can do that; then the build or upload has failed with fault "service".
The default outlasts a restart and most upgrades. Raise it for longer
maintenance; a build that waits keeps its slot on the conductor.
""",
    ),
    cfg.IntOpt(
        'activation_timeout',
        default=600,
        min=1,
        help="""
Seconds from the end of an upload until Glance must say that it is active.

Nearly always that is at once. Raise it where the store behind Glance takes
long to have an image complete.
""",
    ),
    cfg.ListOpt(
        'import_methods',
        default=[],
        item_type=types.String(
            choices=[
                'glance-download',
                'web-download',
                'upload',
                'glance-direct',
            ]
        ),
        sample_default=['glance-direct'],
        help="""
Ways in which images get into Glance, the preferred one first.

``glance-download`` has Glance fetch an image that another region has
already, ``web-download`` has it fetch the file from ``web_download_url``,
``upload`` sends the file to the store behind Glance, ``glance-direct`` sends
it to Glance's staging area and imports it from there, so that Glance's
plugins act on it. By default all of them, in this order: those that Glance
does not offer or that do not suit an image are left out, and one that fails
is followed by the next. Name ``glance-direct`` alone where Glance shall
convert images.
""",
    ),
    cfg.ListOpt(
        'import_stores',
        default=[],
        sample_default=['fast', 'edge'],
        help="""
Ids of the stores of Glance that each image shall be in.

It is sent to the first one; Glance copies it to the others (copy-image, which
it must offer). By default each image is in Glance's default store.
""",
    ),
    cfg.BoolOpt(
        'all_stores_must_succeed',
        default=True,
        help="""
Whether an image that could not be copied to all import_stores is an error.

If not, an upload is done when the image is in the first one, and what could
not be copied is noted in the log of the build.
""",
    ),
    cfg.URIOpt(
        'web_download_url',
        schemes=['https', 'http'],
        sample_default='https://images.example.com/finished',
        help="""
URL at which Glance finds the directory of finished images of this host.

A web server that the operator runs, which serves [repository] directory (the
files ``artifacts/*/image`` in it, and to Glance alone: they are images of all
projects); each conductor has its own. Without it there is no web-download. It
may hold no password and no query: Glance writes URLs into its log. Glance
asks only hosts and ports of its [import_filtering_opts].
""",
    ),
    cfg.BoolOpt(
        'accept_converted',
        default=False,
        help="""
Whether an image may become another format in Glance.

Where Glance has its plugin image_conversion, an import changes the bytes:
the checksum of the image is then the one that Glance computes, and cannot be
compared with what was built. Such an image is refused by default, and the
next method is tried; ``upload`` converts nothing.
""",
    ),
    cfg.IntOpt(
        'import_timeout',
        default=2700,
        min=1,
        help="""
Seconds that Glance may take for all imports and copies of one upload.

What it has not finished by then has failed, with its last state as the
reason. [conductor] upload_timeout bounds the whole attempt, the sending with
it: keep this below, and raise both for large images.
""",
    ),
    cfg.IntOpt(
        'import_stall_timeout',
        default=900,
        min=1,
        help="""
Seconds for which an import may show no progress.

Glance tells how much it has stored once a minute, and nothing while it
downloads or converts: leave time for these. An import whose Glance was killed
never ends by itself, and is given up after this time.
""",
    ),
    cfg.StrOpt(
        'service_id',
        default='',
        sample_default='<id of the service user>',
        help="""
What this service marks its images with, to find those that it has lost.

Images are deleted as leaks only when they have this mark and no row of the
database knows them. The default is the id of the service user. Two imagebuild
services in one cloud (production and staging, say) that log in as the same
user must set it to different values, or each takes the images of the other
for its own leaks. Whoever changes it later has the images from before left
alone.
""",
    ),
    cfg.ListOpt(
        'denied_properties',
        default=[],
        sample_default='kernel_id,ramdisk_id,hw_*',
        help="""
Properties that no request may give an image, as shell patterns.

Images are made by the service user, for whom property protections of Glance
do not act; repeat here what they keep ordinary users from writing. Names that
Glance, Cinder and Nova reserve are refused without it. Upper and lower case
are the same.
""",
    ),
    cfg.ListOpt(
        'allowed_properties',
        default=[],
        sample_default='img_signature*',
        help="""
Properties that requests may set although Cinder or Nova reserve them.

Shell patterns. Other services then trust values that any user can set; an
operator has few reasons to do this.
""",
    ),
]


def values(conf: cfg.ConfigOpts) -> dict[str, Any]:
    """The section as :class:`imagebuild.clients.glance.Glance` takes it.

    :returns: plain values that can be written as JSON.
    """
    section = conf[GROUP.name]
    return {name: section[name] for name in section}
