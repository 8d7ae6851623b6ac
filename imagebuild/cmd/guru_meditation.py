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
"""Guru meditation: what a program of the service does, printed at SIGUSR2.

On standard error: the version, the stack of every thread, and all options;
those that are secret are masked.
"""

from __future__ import annotations

import oslo_reports.generators.conf
import oslo_reports.opts
from oslo_config import cfg
from oslo_reports import guru_meditation_report

from imagebuild.common import release

_PROJECT = 'imagebuild'


class _Version:
    """What a report wants to know.

    :param program: its name.
    """

    def __init__(self, program: str) -> None:
        self._program = program

    def vendor_string(self) -> str:
        return _PROJECT

    def product_string(self) -> str:
        return self._program

    def version_string_with_package(self) -> str:
        return release.version()


def register_options(conf: cfg.ConfigOpts) -> None:
    """Register what a configuration may say of reports."""
    oslo_reports.opts.set_defaults(conf)


def set_up(conf: cfg.ConfigOpts, program: str) -> None:
    """Print a report whenever SIGUSR2 comes, and go on.

    :param conf: with the options of :func:`register_options`.
    :param program: its name.
    """
    report = guru_meditation_report.TextGuruMeditation
    # Its own section shows the global object, which we do not use.
    report.register_section(
        'Options', oslo_reports.generators.conf.ConfigReportGenerator(conf)
    )
    report.setup_autorun(_Version(program), service_name=program, conf=conf)
