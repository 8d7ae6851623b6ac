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
"""A package of another project, installed for real."""

import os
import pathlib
import subprocess
import sys
import textwrap

ROOT = pathlib.Path(__file__).parents[1]


def write(directory, **files):
    """Write Python modules; the keys are their names."""
    for name, text in files.items():
        path = directory / f'{name}.py'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip())


def install(directory, **files):
    """Install a package by pip.

    :param directory: for everything.
    :param files: its modules, ``setup`` among them.
    :returns: the environment of a program that has it.
    """
    write(directory / 'package', **files)
    target = directory / 'site'
    subprocess.run(
        [
            sys.executable, '-m', 'pip', 'install', '--quiet', '--no-deps',
            '--no-index', '--no-build-isolation', '--no-cache-dir',
            '--disable-pip-version-check', '--target', target,
            directory / 'package',
        ],
        check=True,
        cwd=directory,
    )  # fmt: skip
    return {
        **os.environ,
        'PYTHONPATH': f'{target}{os.pathsep}{ROOT}',
        # stevedore remembers entry points by sys.path.
        'XDG_CACHE_HOME': str(directory / 'cache'),
    }
