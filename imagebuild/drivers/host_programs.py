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
"""The programs of this host that drivers want."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from collections.abc import Sequence

from imagebuild.disks import confined


def not_installed(programs: Mapping[str, str]) -> list[str]:
    """Look which programs are not there.

    :param programs: names -> what to install, or what to say of it.
    :returns: the values of those that are missing, each once, sorted.
    """
    path = confined.search_path()
    return sorted(
        {
            wanted
            for program, wanted in programs.items()
            if shutil.which(program, path=path) is None
        }
    )


def remedy(missing: Sequence[str]) -> str:
    """What to do about it.

    :param missing: names of packages; what has a blank in it is none.
    """
    packages = [name for name in missing if ' ' not in name]
    if not packages:
        return 'install it'
    return f'run: apt-get install {" ".join(packages)}'
