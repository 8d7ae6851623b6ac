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
"""Sections of further destinations: ``[destination:<name>]``, one for each.

Their names are what the operator chooses, so their options are registered
when the files have been read (:func:`read`), and again after a reload.
"""

from __future__ import annotations

import re
from typing import Any

from oslo_config import cfg
from oslo_config import types

from imagebuild.conf import errors
from imagebuild.destinations import HERE
from imagebuild.destinations import Destination

PREFIX = 'destination:'
#: What names may be: they stand in requests, URLs and logs.
NAME = re.compile(r'[A-Za-z0-9][A-Za-z0-9._-]{0,62}')

GROUP = cfg.OptGroup(
    # Stands for all of them in the sample and in the documentation.
    f'{PREFIX}<name>',
    title='A further destination of images',
    help="""
Another cloud, region or store that images can be uploaded to.

There may be any number of these sections. Requests say <name> in
"destinations"; it has letters, digits, "-", "_" and ".". A section without
any value is no destination.""",
)

_WHERE: list[cfg.Opt] = [
    cfg.StrOpt(
        'description',
        sample_default='Our cloud in the west',
        mutable=True,
        help="""
What users are shown beside the name.

A sentence that says whose cloud it is, or what is special about it.
""",
    ),
    cfg.BoolOpt(
        'enabled',
        default=True,
        mutable=True,
        help="""
Whether new images may go there.

Set it to false before a cloud is taken out of use. Requests that name it are
then refused; images that are there are still deleted with their builds, for
as long as the section is there.
""",
    ),
    cfg.ListOpt(
        'projects',
        default=[],
        sample_default=['<id of a project>'],
        mutable=True,
        help="""
Ids of the projects that may use it.

By default all. To others it is as if it were not there.
""",
    ),
    cfg.StrOpt(
        'store',
        sample_default='glance',
        mutable=True,
        help="""
Where its images are put: ``glance``, ``file`` or an installed plugin.

By default ``glance``.
""",
    ),
    cfg.StrOpt(
        'cloud',
        sample_default='west',
        mutable=True,
        help="""
Name of the cloud in ``clouds.yaml`` whose credentials are used.

By default those of section [keystone], which suit another region of the same
cloud. The account wants the rights of the service user: it makes images for
other projects. Needs openstacksdk, which reads that file.
""",
    ),
    cfg.StrOpt(
        'clouds_file',
        sample_default='/etc/imagebuild/clouds.yaml',
        mutable=True,
        help="""
The file in which that cloud is.

By default ``clouds.yaml`` and ``secure.yaml`` are looked for where every
client does: the working directory, ``~/.config/openstack`` of the service's
account, ``/etc/openstack``. With it, a ``secure.yaml`` beside it counts, too.
Keep it readable for the service's account only.
""",
    ),
    cfg.StrOpt(
        'region_name',
        sample_default='RegionTwo',
        mutable=True,
        help="""
Region whose image service is used.

By default what ``clouds.yaml`` says of the cloud; without a cloud that of
section [glance].
""",
    ),
    cfg.ListOpt(
        'valid_interfaces',
        sample_default=['internal', 'public'],
        mutable=True,
        help="""
Endpoints of the catalog that are tried, in this order.

By default what ``clouds.yaml`` says of the cloud, ``public`` mostly; without a
cloud those of section [glance].
""",
    ),
]

_WHAT: list[cfg.Opt] = [
    cfg.StrOpt(
        'disk_format',
        choices=['qcow2', 'raw', 'vmdk', 'vhd', 'vdi'],
        sample_default='raw',
        mutable=True,
        help="""
Format of the images whose request has none.

By default ``qcow2``. A cloud whose servers start from Ceph wants ``raw``.
""",
    ),
    cfg.StrOpt(
        'container_format',
        sample_default='bare',
        mutable=True,
        help="""
Container format of the images whose request has none.

By default ``bare``, which is right for everything that this service makes.
""",
    ),
    cfg.ListOpt(
        'import_methods',
        default=[],
        item_type=types.String(regex=re.compile(r'^[a-z0-9_-]+$')),
        sample_default=['glance-direct', 'web-download'],
        mutable=True,
        help="""
Methods of Glance's import that may be used, the preferred one first.

By default those that the cloud offers, as suits the image. Name some where
one of them is offered and does not work.
""",
    ),
    cfg.IntOpt(
        'max_image_size',
        default=0,
        min=0,
        mutable=True,
        help="""
Size that the file of an image may have, in GiB.

A larger one is not sent: the upload has failed. Set it to what that cloud
takes (image_size_cap of Glance) to save the way there. 0 sets no limit.
""",
    ),
]

_TIMES: list[cfg.Opt] = [
    cfg.IntOpt(
        'timeout',
        min=1,
        sample_default='$conductor.upload_timeout',
        mutable=True,
        help="""
Time limit of one attempt to upload an image there, in seconds.

By default [conductor] upload_timeout. Raise it for a cloud behind a slow
link.
""",
    ),
    cfg.IntOpt(
        'attempts',
        min=1,
        sample_default='$conductor.upload_attempts',
        mutable=True,
        help="""
Attempts at an upload before it has failed.

By default [conductor] upload_attempts. Raise it for a cloud that is often
away.
""",
    ),
]

OPTS: list[cfg.Opt] = [*_WHERE, *_WHAT, *_TIMES]


def read(conf: cfg.ConfigOpts) -> dict[str, Destination]:
    """The destinations that are configured, by their names.

    :param conf: its files have been read.
    :returns: this cloud ('') among them, those that are not enabled as well.
    :raises InvalidInput: a section has a name or a value that it cannot have.
    """
    conductor = conf.conductor
    usual = {
        'timeout': conductor.upload_timeout,
        'attempts': conductor.upload_attempts,
    }
    here = Destination(HERE, store=conductor.store, **usual)
    further = {
        name: Destination.from_document(
            {**usual, **_without_none(values), 'name': name}
        )
        for name, values in _sections(conf).items()
    }
    return {HERE: here, **further}


def section(name: str) -> str:
    """The name of a destination's section."""
    return f'{PREFIX}{name}'


def _sections(conf: cfg.ConfigOpts) -> dict[str, dict[str, Any]]:
    """What has a value, by the names of destinations."""
    found: dict[str, dict[str, Any]] = {}
    for title in conf.list_all_sections():
        if not title.startswith(PREFIX):
            continue
        values = _values(conf, title)
        if not values:
            # As in the sample, or removed before a reload.
            continue
        name = title.removeprefix(PREFIX)
        if not NAME.fullmatch(name):
            raise errors.unusable(
                'the name of a destination has up to 63 letters, digits, "-", '
                '"_" and ".", and begins with a letter or digit',
                f'[{title}]',
            )
        for other in found:
            # For oslo.config they are one section.
            if other.lower() == name.lower():
                raise errors.unusable(
                    f'[{title}] and [{section(other)}] differ in upper and '
                    'lower case alone'
                )
        found[name] = values
    return found


def _values(conf: cfg.ConfigOpts, title: str) -> dict[str, Any]:
    """The values of a section, without those that are the default."""
    conf.register_group(cfg.OptGroup(title))
    conf.register_opts(OPTS, group=title)
    values = {}
    for option in OPTS:
        try:
            value = conf[title][option.dest]
        except (cfg.Error, ValueError) as error:
            raise errors.unusable(error, f'[{title}] {option.dest}') from error
        if value != option.default:
            values[option.dest] = value
    if 'max_image_size' in values:
        values['max_image_size'] *= 1024**3
    return values


def _without_none(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
