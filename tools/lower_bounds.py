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
"""Prints each lower bound of our requirements as a constraint.

With ``--installed``: fails unless these very versions are installed.

What is not ours is taken from the oldest upper constraints that we support,
so that a run is the same tomorrow.
"""

import configparser
import pathlib
import re
import sys
from collections.abc import Sequence
from importlib import metadata

ROOT = pathlib.Path(__file__).resolve().parents[1]
OLDEST = ROOT / 'tests' / 'upper_constraints' / '2025.1.txt'

_LINE = re.compile(
    r'(?P<name>[A-Za-z0-9._-]+)(?:\[[^]]*\])?\s*>=\s*(?P<version>[0-9.]+)'
)


def canonical(name: str) -> str:
    return re.sub(r'[-_.]+', '-', name).lower()


def bounds(*texts: str) -> dict[str, str]:
    """Return the lower bounds of requirements: name -> version.

    :raises ValueError: one has none.
    """
    found = {}
    for text in texts:
        for line in text.splitlines():
            line = line.partition('#')[0].strip()
            if not line:
                continue
            match = _LINE.fullmatch(line)
            if not match:
                raise ValueError(f'no lower bound: {line}')
            found[canonical(match['name'])] = match['version']
    return found


def ours() -> dict[str, str]:
    """Return those of this distribution, its extras included."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / 'setup.cfg')
    return bounds(
        (ROOT / 'requirements.txt').read_text(), *setup['extras'].values()
    )


def others() -> list[str]:
    """Return the bounds that another version is installed of."""
    # Not at the top: Debian's Python makes the constraints and has it not.
    from packaging.version import Version

    found = []
    for name, lower in ours().items():
        installed = metadata.version(name)
        if Version(installed) != Version(lower):
            found.append(f'{name}: {installed} is installed, not {lower}')
    return found


def main(argv: Sequence[str] = ()) -> int:
    """Print the constraints, or what is wrong with what is installed."""
    if '--installed' in argv:
        wrong = others()
        print('\n'.join(wrong) or f'{len(ours())} lower bounds are installed.')
        return 1 if wrong else 0
    lower = ours()
    for line in OLDEST.read_text().splitlines():
        name = line.partition('===')[0].strip()
        if name and not name.startswith('#') and canonical(name) not in lower:
            print(line)
    for name, version in lower.items():
        print(f'{name}=={version}')
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
