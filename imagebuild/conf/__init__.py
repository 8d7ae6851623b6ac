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
"""Configuration options, one module for each section.

There is no global configuration object. A program makes its own
``cfg.ConfigOpts()``, calls :func:`register` on it, reads its files, and
passes on the values that the code below it asks for. So a library user
never meets oslo.config, and a test sets an option by passing an argument.

A new section is a new module with ``GROUP`` and ``OPTS``:
:mod:`imagebuild.conf.opts` finds it for the sample file, and a line in
``_SECTIONS`` makes it known to the programs.
"""

import os
import pathlib
from typing import Any

from oslo_config import cfg

from imagebuild.common.config_options import Pairs
from imagebuild.conf import api
from imagebuild.conf import boot_test
from imagebuild.conf import conductor
from imagebuild.conf import database
from imagebuild.conf import default
from imagebuild.conf import destination
from imagebuild.conf import disks
from imagebuild.conf import extensions
from imagebuild.conf import file_store
from imagebuild.conf import glance
from imagebuild.conf import guestfs
from imagebuild.conf import keystone
from imagebuild.conf import layers
from imagebuild.conf import pipelines
from imagebuild.conf import promotion
from imagebuild.conf import quota
from imagebuild.conf import repository
from imagebuild.conf import signing
from imagebuild.conf import validation

#: A section of what jobs are given that names their secrets.
SECRETS = 'secret_options'

_SECTIONS: tuple[Any, ...] = (
    api,
    boot_test,
    conductor,
    database,
    destination,
    disks,
    file_store,
    glance,
    guestfs,
    keystone,
    layers,
    pipelines,
    promotion,
    quota,
    repository,
    signing,
    validation,
)


def register(conf: cfg.ConfigOpts, pairs: Pairs = ()) -> None:
    """Register every option with a configuration object.

    :param conf: the program's own; may have been registered before.
    :param pairs: of drivers and stores of other packages, see
        :mod:`imagebuild.extension_options`.
    """
    conf.register_opts(default.OPTS)
    for module in _SECTIONS:
        # A group of its own: oslo.config copies the one it is given, but
        # not the options in it, so that two objects would share overrides.
        group = module.GROUP
        conf.register_group(cfg.OptGroup(group.name, group.title, group.help))
        conf.register_opts(module.OPTS, group=group.name)
    extensions.register(conf, pairs)


def for_jobs(
    conf: cfg.ConfigOpts, pairs: Pairs = ()
) -> dict[str, dict[str, Any]]:
    """Return the sections that drivers and stores read, as plain values.

    :param conf: registered, its files read.
    :param pairs: as for :func:`register`.
    :returns: section to option to value; can be written as JSON. The
        service user's password is among them; what :data:`SECRETS` has is
        the names of such options, by their sections.
    :raises InvalidInput: an option of an extension has no value that can be
        written so.
    """
    return {
        SECRETS: _secrets(conf, pairs),
        **extensions.values(conf, pairs),
        'boot_test': boot_test.values(conf),
        'disks': disks.values(conf),
        'file_store': file_store.values(conf),
        'glance': glance.values(conf),
        'guestfs': dict(conf.guestfs),
        'keystone': keystone.values(conf),
        'layers': layers.values(conf),
        'repository': repository.values(conf),
        'signing': dict(conf.signing),
    }


def _secrets(conf: cfg.ConfigOpts, pairs: Pairs) -> dict[str, list[str]]:
    sections = [
        *((module.GROUP, module.OPTS) for module in _SECTIONS),
        (keystone.GROUP, keystone.of_plugin(conf.keystone.auth_type)),
        *pairs,
    ]
    found: dict[str, list[str]] = {}
    for group, options in sections:
        names = [option.dest for option in options if option.secret]
        if names:
            found.setdefault(extensions.section_name(group), []).extend(names)
    return found


def own_paths(conf: cfg.ConfigOpts) -> dict[str, str]:
    """Paths of the service on this host, which users must not see.

    :returns: path -> what replaces it in messages; see
        :class:`imagebuild.common.host_paths.HostPaths`.
    """
    jobs = for_jobs(conf)
    work_dir = conf.conductor.work_dir or os.path.join(conf.state_path, 'work')
    return {
        str(pathlib.Path(__file__).parents[1]): 'imagebuild',
        conf.operating_systems_file: 'catalogue',
        **dict.fromkeys(conf.recipe_path, 'recipes'),
        **destination.paths(conf),
        conf.state_path: 'state directory',
        jobs['file_store']['folder']: 'image store',
        jobs['disks']['cache_dir']: 'cache',
        jobs['layers']['directory']: 'layers',
        jobs['repository']['directory']: 'repository',
        work_dir: 'work directory',
    }
