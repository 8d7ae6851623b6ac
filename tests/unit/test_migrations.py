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
"""Two branches that each add a migration meet here, and not in a database."""

import pathlib
import re

from imagebuild.db import migrations

VERSIONS = pathlib.Path(migrations.__file__).parent / 'versions'


def revisions():
    """Of each migration its file's number, its revision and the one before."""
    for path in sorted(VERSIONS.glob('[0-9]*.py')):
        found = dict(
            re.findall(
                r"^(revision|down_revision) = '?(\w+)'?$",
                path.read_text(),
                re.MULTILINE,
            )
        )
        yield path.name[:4], found['revision'], found['down_revision']


def test_each_migration_has_its_own_number_and_follows_the_one_before():
    before = 'None'
    for number, (name, revision, down) in enumerate(revisions(), start=1):
        assert (name, revision, down) == (f'{number:04}', name, before)
        before = revision
