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
"""From an exception to the event ``failed``."""

from __future__ import annotations

import errno
import logging
from typing import Any

from imagebuild import exception
from imagebuild.job import job_monitor

LOG = logging.getLogger(__name__)

_LONGEST_REASON = 2000
_FULL = (errno.ENOSPC, errno.EDQUOT)


class InvalidDocument(exception.EnvironmentFault):
    """The conductor and the job do not understand each other."""

    msg_fmt = 'The job was started with a wrong document: %(reason)s.'


class NotAccepted(exception.EnvironmentFault):
    """What the API accepted is refused here."""

    msg_fmt = (
        'This conductor refuses what the API accepted; their recipes or '
        'versions differ: %(reason)s'
    )


def event(error: Exception, monitor: job_monitor.JobMonitor) -> dict[str, Any]:
    """Describe an exception for the last event.

    What we did not expect is logged with its traceback.

    :returns: ``fault``, ``reason``, ``step`` and ``lacks_room``.
    """
    lacks_room = _lacks_room(error)
    if not isinstance(error, exception.ImageBuildError):
        LOG.error('Unexpected during: %s', monitor.doing, exc_info=error)
        return {
            'fault': 'service',
            'reason': _unexpected(error, monitor.doing),
            'step': monitor.running_step(),
            'lacks_room': lacks_room,
        }
    LOG.info('Failed: %s', error)
    return {
        'fault': error.fault,
        'reason': _sentence(str(error)),
        'step': _step(error) or monitor.running_step(),
        'lacks_room': lacks_room,
    }


def _lacks_room(error: BaseException | None) -> bool:
    """Whether a disk of this host being full is the reason."""
    while error is not None:
        if isinstance(error, exception.LackOfRoom):
            return True
        if isinstance(error, OSError) and error.errno in _FULL:
            return True
        if isinstance(error, exception.InvalidInput | exception.StepError):
            # The disk of the guest may be full for reasons of its own.
            return False
        error = error.__cause__
    return False


def _step(error: exception.ImageBuildError) -> dict[str, Any] | None:
    if not isinstance(error, exception.StepFailed) or not error.path:
        return None
    return {
        'path': error.path,
        'validator': error.validator,
        'command': error.command,
        'exit_code': error.command_exit_code,
        'output': error.output,
    }


def _unexpected(error: Exception, doing: str) -> str:
    if isinstance(error, MemoryError):
        return f'The memory of the conductor ran out during: {doing}.'
    if isinstance(error, OSError):
        return _sentence(f'The system refused during: {doing}: {error}.')
    return _sentence(
        f'Unexpected {type(error).__name__} during: {doing}: {error}.'
    )


def _sentence(text: str) -> str:
    text = ' '.join(text.split())
    if len(text) > _LONGEST_REASON:
        return f'{text[:_LONGEST_REASON]}...'
    return text
