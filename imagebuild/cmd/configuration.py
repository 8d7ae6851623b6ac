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
"""Reading configuration files and, where oslo.config does, command lines."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Collection
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from oslo_config import cfg

from imagebuild import exception
from imagebuild.common import release
from imagebuild.common.config_options import Pairs
from imagebuild.conf import destination
from imagebuild.conf import errors
from imagebuild.conf import extensions
from imagebuild.conf import opts


def read(
    conf: cfg.ConfigOpts,
    argv: Sequence[str],
    name: str,
    *,
    groups: Collection[str] | None = None,
    pairs: Pairs = (),
    stores: Mapping[str, Pairs] | None = None,
    **sources: Any,
) -> None:
    """Read a command line and configuration files.

    :param conf: with all options registered.
    :param argv: the arguments that oslo.config reads.
    :param name: of the program.
    :param groups: whose values are checked now; None for all of ours. The
        others are read, and refused, when they are used.
    :param pairs: options of extensions, as for
        :func:`imagebuild.conf.register`.
    :param stores: that are installed, with what they read; None for programs
        that have none.
    :param sources: ``default_config_files``, ``default_config_dirs``.
    :raises InvalidInput: of any mistake. oslo.config would print its usage
        and end the process.
    """
    printed = io.StringIO()
    try:
        with contextlib.redirect_stderr(printed):
            conf(
                list(argv),
                project='imagebuild',
                prog=name,
                version=f'{name} {release.version()}',
                **sources,
            )
    except cfg.Error as error:
        raise errors.unusable(error) from error
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise exception.InvalidInput(
            _refusal(printed.getvalue(), name)
        ) from None
    if printed.getvalue():
        sys.stderr.write(printed.getvalue())
    check(conf, groups, pairs)
    if stores is not None:
        destination.check(conf, stores)


def _refusal(printed: str, name: str) -> str:
    last = (printed.splitlines() or [''])[-1].rstrip('.')
    _, of_argparse, message = last.partition(': error: ')
    if of_argparse:
        return f'{message}; see "{name} --help".'
    # Of a file, about an option that the command line has as well.
    return f'The configuration cannot be used: {last}.'


def check(
    conf: cfg.ConfigOpts,
    groups: Collection[str] | None = None,
    pairs: Pairs = (),
) -> None:
    """Read the values of our options, which oslo.config checks only then.

    :raises InvalidInput: one is not valid.
    """
    for group, options in opts.list_opts():
        section = group.name if isinstance(group, cfg.OptGroup) else group
        if groups is not None and section not in groups:
            continue
        for option in options:
            try:
                if section == 'DEFAULT':
                    getattr(conf, option.dest)
                else:
                    getattr(conf[section], option.dest)
            except (cfg.Error, ValueError) as error:
                raise errors.of_value(error, section, option) from None
    extensions.values(conf, pairs)
