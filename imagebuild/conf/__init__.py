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

A new section is a new module with ``register_opts(conf)`` and
``list_opts()``; :mod:`imagebuild.conf.opts` finds it for the sample file,
and a line in :func:`register` makes it known to the programs.
"""

from oslo_config import cfg

from imagebuild.conf import default
from imagebuild.conf import disks
from imagebuild.conf import guestfs


def register(conf: cfg.ConfigOpts) -> None:
    """Make every option known to a configuration object.

    :param conf: the program's own; may have been registered before.
    """
    default.register_opts(conf)
    disks.register_opts(conf)
    guestfs.register_opts(conf)
