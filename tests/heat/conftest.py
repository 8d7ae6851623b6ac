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
"""Tests of heat_plugin in Heat's own engine.

Heat is not among the requirements of this project: these tests need an
interpreter that has it, and pytest, pytest-timeout, fixtures, testscenarios
and testtools (requests-mock too, for test_wire)::

    python -m pytest tests/heat

Elsewhere they are left out. The entry points are those of setup.cfg, whether
the project is installed for that interpreter or not.
"""

import configparser
import importlib.metadata
import importlib.util
import pathlib
import sys
import tempfile

ROOT = pathlib.Path(__file__).parents[2]


def entry_points():
    """Return setup.cfg's entry points for Heat: lines of each group."""
    parser = configparser.ConfigParser(delimiters=('=',))
    parser.optionxform = str
    parser.read(ROOT / 'setup.cfg')
    return {
        group: parser['entry_points'].get(group, '').strip().splitlines()
        for group in ('heat.clients', 'heat.constraints')
    }


def _missing():
    """Return those that no installation has, or only an older one lacks."""
    return {
        group: [
            line
            for line in lines
            if line.partition('=')[0].strip()
            not in importlib.metadata.entry_points(group=group).names
        ]
        for group, lines in entry_points().items()
    }


def _announce():
    """Let Heat find the entry points without an installation."""
    missing = _missing()
    if not any(missing.values()):
        return
    directory = pathlib.Path(tempfile.mkdtemp(prefix='heat-plugin-'))
    info = directory / 'heat_plugin_under_test-0.dist-info'
    info.mkdir()
    (info / 'METADATA').write_text(
        'Metadata-Version: 2.1\nName: heat-plugin-under-test\nVersion: 0\n'
    )
    (info / 'entry_points.txt').write_text(
        ''.join(
            '\n'.join([f'[{group}]', *lines, ''])
            for group, lines in missing.items()
        )
    )
    sys.path.insert(0, str(directory))


def _start():
    """Load Heat's resources, ours among them, as heat-engine does."""
    from oslo_service import backend

    # What is imported first decides, and Heat's tests fail where it was not
    # this one, heat-engine's.
    backend.init_backend(backend.BackendType.THREADING)
    from heat.common import config  # noqa: F401
    from heat.engine import resources
    from oslo_config import cfg

    # Where pip puts what is /etc/heat elsewhere.
    directory = pathlib.Path(sys.prefix, 'etc', 'heat', 'environment.d')
    cfg.CONF.set_default('environment_dir', str(directory))
    cfg.CONF.set_default(
        'plugin_dirs', [str(ROOT / 'heat_plugin' / 'resources')]
    )
    resources.initialise()


if importlib.util.find_spec('heat') is None:
    collect_ignore_glob = ['test_*.py']
else:
    _announce()
    _start()
