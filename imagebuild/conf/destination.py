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

import contextlib
import copy
import glob
import os
import re
from collections.abc import Mapping
from typing import Any

from oslo_config import cfg
from oslo_config import types

from imagebuild import exception
from imagebuild.common.config_options import Pairs
from imagebuild.conf import errors
from imagebuild.conf import extensions
from imagebuild.conf import file_store
from imagebuild.conf import glance
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
"destinations"; it has letters, digits, "-", "_" and ".". Besides the options
below a section may have those of its store, [file_store] folder or [glance]
retry_timeout say; they hold for this destination alone. A section without
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
    cfg.BoolOpt(
        'hide_undeletable',
        sample_default='$conductor.hide_undeletable',
        mutable=True,
        help="""
Whether images there that cannot be deleted yet are hidden.

By default [conductor] hide_undeletable.
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
        sample_default=['glance-direct', 'upload'],
        mutable=True,
        help="""
Ways in which images get into Glance, the preferred one first.

``glance-download``, ``web-download``, ``upload`` and ``glance-direct``, as in
[glance] import_methods, whose value holds by default. Name some where one of
them is offered and does not work, or where that cloud shall import images.
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
_NAMES = frozenset(option.dest for option in OPTS)

#: What our stores read, by their names.
OF_STORES: dict[str, Pairs] = {
    'file': [(file_store.GROUP, file_store.OPTS)],
    'glance': [(glance.GROUP, glance.OPTS)],
}


def get(conf: cfg.ConfigOpts, name: str) -> Destination:
    """A destination; no other section than its own is looked at.

    :param conf: its files have been read.
    :param name: '' for this cloud.
    :raises InvalidInput: there is none, or its section has a value that it
        cannot have.
    """
    usual = {
        'timeout': conf.conductor.upload_timeout,
        'attempts': conf.conductor.upload_attempts,
        'hide_undeletable': conf.conductor.hide_undeletable,
    }
    if name == HERE:
        return Destination(HERE, store=conf.conductor.store, **usual)
    title = section(name)
    values = _values(conf, title) if title in _titles(conf) else {}
    if not values:
        raise exception.InvalidInput(f'There is no destination "{name}".')
    return Destination.from_document(
        {
            **usual,
            **{key: each for key, each in values.items() if each is not None},
            'name': name,
        }
    )


def names(conf: cfg.ConfigOpts) -> list[str]:
    """The names of all destinations, of those that cannot be used as well."""
    titles = (title for title in _titles(conf) if _has_values(conf, title))
    further = (title.removeprefix(PREFIX) for title in titles)
    return [HERE, *filter(NAME.fullmatch, further)]


def read(conf: cfg.ConfigOpts) -> dict[str, Destination]:
    """The destinations that are configured, by their names.

    :param conf: its files have been read.
    :returns: this cloud ('') among them, those that are not enabled as well.
    :raises InvalidInput: a section has a name or a value that it cannot have.
    """
    for title in _titles(conf):
        name = title.removeprefix(PREFIX)
        if not NAME.fullmatch(name) and _has_values(conf, title):
            raise errors.unusable(
                'the name of a destination has up to 63 letters, digits, "-", '
                '"_" and ".", and begins with a letter or digit',
                f'[{title}]',
            )
    found: dict[str, Destination] = {}
    for name in names(conf):
        for other in found:
            # For oslo.config they are one section.
            if other.lower() == name.lower():
                raise errors.unusable(
                    f'[{section(name)}] and [{section(other)}] differ in '
                    'upper and lower case alone'
                )
        found[name] = get(conf, name)
    return found


def section(name: str) -> str:
    """The name of a destination's section."""
    return f'{PREFIX}{name}'


def of_store(
    conf: cfg.ConfigOpts, name: str, pairs: Pairs
) -> dict[str, dict[str, Any]]:
    """The options of its store that a destination's section sets.

    :param name: of the destination.
    :param pairs: what the store reads.
    :returns: section to option to value, to be laid over the store's own.
    :raises InvalidInput: a value is not valid.
    """
    title = section(name)
    found: dict[str, dict[str, Any]] = {}
    for group, options in pairs:
        for option in options:
            if option.dest in _NAMES:
                continue
            value = _value(conf, title, _without_default(option))
            if value is not None:
                found.setdefault(extensions.section_name(group), {})[
                    option.dest
                ] = value
    return found


def paths(conf: cfg.ConfigOpts) -> dict[str, str]:
    """Paths of this host in the sections, and what users see instead."""
    found = {}
    for name in names(conf):
        with contextlib.suppress(exception.InvalidInput):
            each = get(conf, name)
            if each.clouds_file:
                found[each.clouds_file] = 'clouds.yaml'
            for values in of_store(conf, name, OF_STORES['file']).values():
                found[values['folder']] = 'image store'
    return found


def check(conf: cfg.ConfigOpts, stores: Mapping[str, Pairs]) -> None:
    """Refuse a section that names a store or an option that there is not.

    :param conf: its files have been read.
    :param stores: that are installed, with what they read.
    :raises InvalidInput: one does, or has a value that is not valid.
    """
    found = read(conf)
    for name, each in found.items():
        if each.store not in stores:
            raise errors.unusable(
                f'there is no store "{each.store}"; found: '
                f'{", ".join(sorted(stores))}',
                f'[{section(name) if name else "conductor"}] store',
            )
    by_title = {section(name).lower(): name for name in found if name}
    for title, keys in _written(conf).items():
        name = by_title.get(title.lower(), '')
        pairs = stores[found[name].store] if name else ()
        of_store(conf, name, pairs)
        known = _NAMES.union(
            option.dest for _group, options in pairs for option in options
        )
        for key in sorted(set(keys) - known):
            of_its_store = (
                f', nor of the store "{found[name].store}"' if name else ''
            )
            raise errors.unusable(
                f'there is no such option of destinations{of_its_store}',
                f'[{title}] {key}',
            )


def _written(conf: cfg.ConfigOpts) -> dict[str, list[str]]:
    """Names of what stands in the files, by the titles of sections.

    What is not known, too, which oslo.config passes over.
    """
    sections: dict[str, dict[str, Any]] = {}
    for path in _files(conf):
        cfg.ConfigParser(path, sections).parse()
    return {
        title: [key.replace('-', '_') for key in values]
        for title, values in sections.items()
        if title.startswith(PREFIX)
    }


def _files(conf: cfg.ConfigOpts) -> list[str]:
    found = [str(path) for path in conf.config_file or ()]
    for directory in conf.config_dir or ():
        found.extend(sorted(glob.glob(os.path.join(directory, '*.conf'))))
    return found


def _titles(conf: cfg.ConfigOpts) -> list[str]:
    return [
        title for title in conf.list_all_sections() if title.startswith(PREFIX)
    ]


def _has_values(conf: cfg.ConfigOpts, title: str) -> bool:
    """Whether a section is a destination.

    The one of the sample is none, nor is one that a reload has removed.
    """
    try:
        return bool(_values(conf, title))
    except exception.InvalidInput:
        return True


def _values(conf: cfg.ConfigOpts, title: str) -> dict[str, Any]:
    """The values of a section, without those that are the default."""
    values = {}
    for option in OPTS:
        value = _value(conf, title, option)
        if value != option.default:
            values[option.dest] = value
    if 'max_image_size' in values:
        values['max_image_size'] *= 1024**3
    return values


def _value(conf: cfg.ConfigOpts, title: str, option: cfg.Opt) -> Any:
    conf.register_group(cfg.OptGroup(title))
    try:
        conf.register_opt(option, group=title)
        return conf[title][option.dest]
    except (cfg.Error, ValueError) as error:
        raise errors.of_value(error, title, option) from None


def _without_default(option: cfg.Opt) -> cfg.Opt:
    """The same option where nothing is said unless it is set."""
    found = copy.copy(option)
    found.default = None
    found.required = False
    found.mutable = True
    return found
