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
"""One job, from its document to its last event."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Callable
from collections.abc import Mapping
from typing import Any

import imagebuild.job
from imagebuild import exception
from imagebuild.job import build
from imagebuild.job import channel
from imagebuild.job import failure
from imagebuild.job import job_monitor
from imagebuild.job import limits
from imagebuild.job import masking
from imagebuild.job import reap
from imagebuild.job import specs
from imagebuild.job import termination
from imagebuild.job import upload
from imagebuild.manifest import hiding
from imagebuild.manifest.document import as_text
from imagebuild.manifest.document import is_scalar

LOG = logging.getLogger(__name__)

_STDIN, _STDOUT, _STDERR = 0, 1, 2
_FORMAT = '%(asctime)s %(levelname)s %(name)s %(message)s'
#: Their debug lines hold tokens and bodies.
_TALKATIVE = ('keystoneauth', 'urllib3', 'glanceclient', 'stevedore')


def _validate(*args: Any) -> dict[str, Any]:
    # Its library is an extra, which builds do without.
    try:
        from imagebuild.job import validate
    except ModuleNotFoundError as error:
        raise exception.MissingDependency(
            what=error.name,
            remedy='install the extra "ssh" on the conductors',
        ) from error
    return validate.run(*args)


#: How a document of each action is read, and what is done with it.
ACTIONS: Mapping[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    'build': (specs.BuildSpec.from_document, build.run),
    'upload': (specs.UploadSpec.from_document, upload.run),
    'reap': (specs.ReapSpec.from_document, reap.run),
    'validate': (specs.ValidationSpec.from_document, _validate),
}


#: In place of the reason why a request with many arguments is refused.
_EXCESS = (
    'This may be the reason: {excess}, whether hidden or not. With less in '
    'them, the reason is shown'
)
#: What is raised when the time of an action is up, where it is no upload.
_TIMEOUTS: Mapping[str, type[exception.ImageBuildError]] = {
    'reap': reap.ReapTimeout
}


def main() -> int:
    """Do the job that the first line of standard input asks for.

    :returns: exit code.
    """
    termination.own_group()
    incoming, outgoing = _private_pipes()
    _log_to_stderr()
    events = channel.Events(outgoing, termination.kill_everything)
    try:
        limits.on_sigterm(termination.kill_everything)
        return _from(incoming, events)
    except exception.Interrupted as error:
        LOG.info('%s', error)
        return imagebuild.job.STOPPED
    finally:
        termination.wait_if_killing()
        events.close()
        termination.kill_descendants()


def _from(incoming: int, events: channel.Events) -> int:
    try:
        document = channel.read_document(incoming)
    except ValueError as error:
        return _fail(events, failure.InvalidDocument(reason=error))
    if document is None:
        LOG.info('No document came.')
        return 1
    channel.watch_parent(incoming, _conductor_is_gone)
    return work(document, events)


def work(document: Any, events: channel.Events) -> int:
    """Do what a document asks for, and send the last event.

    :returns: exit code.
    :raises Interrupted: the job was told to stop.
    """
    monitor = job_monitor.JobMonitor(events)
    try:
        spec, run = _read(document, events)
        events.send('started', pid=os.getpid())
        deadline = _deadline(document, monitor)
        with deadline.running():
            result = run(spec, events, monitor, deadline)
    except Exception as error:
        return _fail(events, error, monitor)
    _end_signals()
    events.send_last('finished', result=result)
    return 0


def _deadline(
    document: Mapping[str, Any], monitor: job_monitor.JobMonitor
) -> limits.Deadline:
    seconds = document.get('timeout')
    if document['action'] == 'build':
        return limits.Deadline(seconds, lambda: monitor.doing)
    # There is no guest, whose clock would ring first.
    return limits.Deadline(
        seconds,
        lambda: monitor.doing,
        head_start=0,
        timeout=_TIMEOUTS.get(document['action'], exception.UploadTimeout),
    )


def _fail(
    events: channel.Events,
    error: Exception,
    monitor: job_monitor.JobMonitor | None = None,
) -> int:
    _end_signals()
    termination.wait_if_killing()
    monitor = monitor or job_monitor.JobMonitor(events)
    events.send_last('failed', **failure.event(error, monitor))
    return 1


def _read(
    document: Any, events: channel.Events
) -> tuple[Any, Callable[..., dict[str, Any]]]:
    """Read the specification in a document.

    :raises InvalidDocument: it is none.
    """
    try:
        _until_known(document, events)
        read, run = ACTIONS[document['action']]
        return read(document), run
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise failure.InvalidDocument(
            reason=f'{type(error).__name__} {error}'
        ) from error


def _until_known(document: Mapping[str, Any], events: channel.Events) -> None:
    """Treat every argument as a secret until it is known which are."""
    events.always = [
        *masking.of_config(document['config']),
        *masking.of_config((document.get('source') or {}).get('config', {})),
        *(document.get('credentials') or {}).values(),
    ]
    given = (document.get('request') or {}).get('arguments')
    secrets = [
        as_text(value)
        for value in (given if isinstance(given, dict) else {}).values()
        if is_scalar(value)
    ]
    if excess := hiding.excess(secrets):
        # Those that are hidden are few enough, or will be refused.
        events.withhold(_EXCESS.format(excess=excess))
    else:
        events.hide(secrets)
    if document['config'].get('DEFAULT', {}).get('debug'):
        logging.getLogger('imagebuild').setLevel(logging.DEBUG)


def _end_signals() -> None:
    """The last event is being sent: it is too late to stop."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


def _conductor_is_gone() -> None:
    LOG.warning('The conductor is gone.')
    termination.kill_everything()


def _private_pipes() -> tuple[int, int]:
    """Take the two pipes for ourselves.

    Whatever a library or a program prints goes to standard error, and
    programs that are started read nothing; the copies are not inherited.
    """
    incoming, outgoing = os.dup(_STDIN), os.dup(_STDOUT)
    null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    os.dup2(null, _STDIN)
    os.close(null)
    os.dup2(_STDERR, _STDOUT)
    sys.stdout = sys.stderr
    return incoming, outgoing


def _log_to_stderr() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(masking.Formatter(_FORMAT))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.captureWarnings(True)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
