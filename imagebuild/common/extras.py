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
"""Libraries that only some installations have.

What needs them imports them inside of :func:`needed`, so that whoever lacks
them reads what to install.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from imagebuild import exception
from imagebuild.common import release


@contextlib.contextmanager
def needed(what: str, extra: str = '') -> Iterator[None]:
    """Import libraries.

    :param what: what needs them, as a sentence begins.
    :param extra: the extra of the distribution that has them, such as
        ``ssh``; '' for what every installation should have.
    :raises MissingDependency: one of them is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or '').partition('.')[0] == 'imagebuild':
            # Not a requirement: a defect of ours.
            raise
        wanted = release.DISTRIBUTION + (f'[{extra}]' if extra else '')
        raise exception.MissingDependency(
            f'{what} needs {error.name}, which is not installed; install '
            f'"{wanted}".'
        ) from None
