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
"""Sections of drivers and stores that other packages have brought.

They are handed in by the program that knows what is installed: nothing here
imports a driver or a store.
"""

from __future__ import annotations

import json
from typing import Any

from oslo_config import cfg

from imagebuild.common.config_options import Pairs
from imagebuild.conf import errors


def register(conf: cfg.ConfigOpts, pairs: Pairs) -> None:
    """Register the options; may have been done before.

    :raises cfg.DuplicateOptError: two options have one name.
    """
    for group, options in pairs:
        name = section_name(group)
        if isinstance(group, cfg.OptGroup):
            # A group of its own, as for our sections.
            conf.register_group(cfg.OptGroup(name, group.title, group.help))
        conf.register_opts(list(options), group=name)


def values(conf: cfg.ConfigOpts, pairs: Pairs) -> dict[str, dict[str, Any]]:
    """The sections as plain values that can be written as JSON.

    :param conf: its files have been read.
    :raises InvalidInput: a value is not valid, or JSON would change it.
    """
    register(conf, pairs)
    found: dict[str, dict[str, Any]] = {}
    for group, options in pairs:
        section = found.setdefault(section_name(group), {})
        for option in options:
            section[option.dest] = _value(conf, section_name(group), option)
    return found


def section_name(group: cfg.OptGroup | str) -> str:
    """The name of a section."""
    return group.name if isinstance(group, cfg.OptGroup) else group


def _value(conf: cfg.ConfigOpts, section: str, option: cfg.Opt) -> Any:
    try:
        value = conf[section][option.dest]
    except (cfg.Error, ValueError) as error:
        raise errors.of_value(error, section, option) from None
    try:
        same = json.loads(json.dumps(value)) == value
    except (TypeError, ValueError):
        same = False
    if not same:
        # Without the value, which may be a secret.
        raise errors.unusable(
            f'its type ({type(value).__name__}) cannot be given to a job: use '
            'texts, numbers, booleans, lists and dictionaries of them',
            f'[{section}] {option.dest}',
        )
    return value
