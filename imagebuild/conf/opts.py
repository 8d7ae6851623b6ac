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
"""Finds every option of this package, for oslo-config-generator.

The generator and the documentation reach :func:`list_opts` through the entry
point ``oslo.config.opts``.
"""

import importlib
import pkgutil
from collections.abc import Iterable

from oslo_config import cfg

from imagebuild import conf

_NO_SECTIONS = ('errors', 'extensions', 'opts')


def list_opts() -> Iterable[tuple[cfg.OptGroup | str, list[cfg.Opt]]]:
    """Return every option of every section.

    :returns: pairs of a section and its options.
    :raises AttributeError: a module of this package has no ``OPTS``.
    """
    modules = (
        importlib.import_module(f'{conf.__name__}.{name}')
        for name in _module_names()
    )
    return [
        (getattr(module, 'GROUP', 'DEFAULT'), module.OPTS)
        for module in modules
    ]


def _module_names() -> list[str]:
    return sorted(
        module.name
        for module in pkgutil.iter_modules(conf.__path__)
        if module.name not in _NO_SECTIONS
    )
