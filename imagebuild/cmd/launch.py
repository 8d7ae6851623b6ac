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
"""The programs as they are installed.

A program's modules are imported here, so that a signal, or a requirement that
is not installed, ends with a message while they are: the service's
requirements are an extra of the distribution, and who packs images on one
machine does without.
"""

from __future__ import annotations

import importlib
import sys

from imagebuild.cmd import json_report
from imagebuild.cmd import program
from imagebuild.common import eventlet_warnings
from imagebuild.common import extras

#: With ``--json``.
_REPORTING = ('boot', 'bootstrap', 'pack', 'validate')
#: The extra of the distribution that has a program's requirements.
_EXTRAS = {
    'boot': '',
    'bootstrap': '',
    'convert': '',
    'pack': '',
    'validate': 'ssh',
}


def boot() -> int:
    """``imagebuild-boot``."""
    return _launch('boot')


def bootstrap() -> int:
    """``imagebuild-bootstrap``."""
    return _launch('bootstrap')


def conductor() -> int:
    """``imagebuild-conductor``."""
    return _launch('conductor')


def convert() -> int:
    """``imagebuild-convert``."""
    return _launch('convert')


def manage() -> int:
    """``imagebuild-manage``."""
    return _launch('manage')


def pack() -> int:
    """``imagebuild-pack``."""
    return _launch('pack')


def standalone() -> int:
    """``imagebuild-standalone``."""
    return _launch('standalone')


def status() -> int:
    """``imagebuild-status``."""
    return _launch('status')


def validate() -> int:
    """``imagebuild-validate``."""
    return _launch('validate')


def _launch(name: str) -> int:
    eventlet_warnings.ignore()
    reporting = name in _REPORTING and '--json' in sys.argv
    return program.run(
        lambda: _run(name),
        debug='--debug' in sys.argv,
        report=json_report.JsonReport() if reporting else None,
    )


def _run(name: str) -> int:
    with extras.needed(f'imagebuild-{name}', _EXTRAS.get(name, 'service')):
        module = importlib.import_module(f'imagebuild.cmd.{name}')
    return int(module.main())
