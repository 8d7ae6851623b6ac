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
"""The service's programs, where its requirements may not be installed.

They are an extra of the distribution: who packs images on one machine does
without. Without them a program cannot be imported; here that is a sentence
and not a traceback.
"""

from __future__ import annotations

import importlib
import sys

from imagebuild import exception
from imagebuild import release


def conductor() -> int:
    """``imagebuild-conductor``."""
    return _launch('conductor')


def manage() -> int:
    """``imagebuild-manage``."""
    return _launch('manage')


def standalone() -> int:
    """``imagebuild-standalone``."""
    return _launch('standalone')


def status() -> int:
    """``imagebuild-status``."""
    return _launch('status')


def _launch(name: str) -> int:
    try:
        program = importlib.import_module(f'imagebuild.cmd.{name}')
    except ModuleNotFoundError as error:
        if (error.name or '').partition('.')[0] == 'imagebuild':
            raise
        print(
            f'imagebuild-{name} needs {error.name}, which is not installed; '
            f'install "{release.DISTRIBUTION}[service]".',
            file=sys.stderr,
        )
        return exception.EnvironmentFault.exit_code
    return int(program.main())
