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
"""What goes wrong in an attempt, as the reason of its end."""

from __future__ import annotations

import contextlib
import errno
import logging
import pathlib
from collections.abc import Iterator

from imagebuild import exception
from imagebuild.conductor import claims

LOG = logging.getLogger(__name__)

_FULL = {errno.ENOSPC, errno.EDQUOT}


@contextlib.contextmanager
def reported(job: str, work_dir: pathlib.Path) -> Iterator[None]:
    """Report any error of an attempt as the failure of that attempt.

    An error of the database passes: whoever called waits until it is back.

    :param job: what the attempt is of, for the log: ``build 51093f7d``.
    :param work_dir: where the conductor works, for messages.
    :raises DatabaseUnavailable: as it was raised.
    :raises Interrupted: as it was raised, or an AttemptFailed.
    """
    try:
        yield
    except (exception.DatabaseUnavailable, claims.Interrupted):
        raise
    except exception.ImageBuildError as error:
        raise claims.AttemptFailed.from_error(error) from error
    except OSError as error:
        raise claims.AttemptFailed(
            f'The conductor cannot work in {work_dir}: '
            f'{error.strerror or error}.',
            lacks_room=error.errno in _FULL,
        ) from error
    except Exception as error:
        # A defect of ours ends one attempt, not the conductor.
        LOG.exception('Unexpected error in %s', job)
        raise claims.AttemptFailed(
            f'Unexpected {type(error).__name__} in the conductor.'
        ) from error
