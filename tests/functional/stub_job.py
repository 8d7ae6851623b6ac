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
"""The job as a program, with a driver that does what a test tells it.

Its options: ``sleep`` (seconds in the run), ``hold`` (a file for which the run
waits), ``time_up`` (seconds from the
beginning of the step to the end of the build's time, however long the start
took), ``child`` (start a program in a
session of its own), ``file`` (a file that is there while the disk is open),
``raise`` (name of an exception), ``print`` (a text for standard output, by
Python and by a program), ``format`` (of the disk), ``guest`` (the run lasts as
long as a program does, and the host is slow to find processes).
"""

import contextlib
import os
import signal
import subprocess
import sys
import time

from imagebuild import exception
from imagebuild.drivers import base
from imagebuild.drivers import registry
from imagebuild.job import main
from imagebuild.job import termination
from imagebuild.remotes import fake


class StubDisk(base.OpenDisk):
    virtual_size = 2 * 1024**3

    def __init__(self, remote):
        self.remote = remote

    def finish(self, output, disk_format):
        output.write_bytes(b'a disk')
        return base.FileArtifact(output, disk_format, self.virtual_size)


class StubDriver(base.Driver):
    name = 'stub'
    wants_base = False
    options = base.Options

    def missing(self, *args, **kw):
        return ()

    def validate(self, options):
        if 'wrong' in options:
            raise base.InvalidDriverOptions(
                [exception.Problem('wrong', 'it is not known')]
            )

    @contextlib.contextmanager
    def open(self, context):
        options, monitor = context.options, context.monitor
        if 'raise' in options:
            kind = getattr(exception, options['raise'], None) or getattr(
                __builtins__, options['raise']
            )
            raise kind(options.get('message', 'no reason'))
        present = context.workspace / 'open'
        present.touch()
        with monitor.step('fetch the base image'):
            monitor.progress(1, 2, 'download')
            monitor.progress(2, 2, 'download')
        if 'print' in options:
            print(options['print'])
            subprocess.run(['echo', options['print']], check=True)
        if 'child' in options:
            child = subprocess.Popen(['sleep', '321'], start_new_session=True)
            monitor.notice(f'child {child.pid}')
        try:
            yield StubDisk(remote(options))
        finally:
            present.unlink()


def remote(options):
    made = fake.FakeRemote.of('debian', '12')
    made.on(['/bin/sh'])

    def expire():
        # As the deadline does itself, which counts from the start of the job.
        if 'time_up' in options:
            signal.setitimer(signal.ITIMER_REAL, options['time_up'])

    def slow(command):
        expire()
        if 'guest' in options:
            raise lost_guest()
        time.sleep(float(options.get('sleep', 0)))
        while 'hold' in options and not os.path.exists(options['hold']):
            time.sleep(0.02)
        return fake.Answer('slept\n')

    made.on_script('slow', slow)
    made.on_script(
        'bad', fake.Answer('', f'no good: {options.get("says", "")}\n', 3)
    )
    made.on_script('hung', fake.Answer('half\n', times_out=True))
    made.on_script(
        'say',
        lambda command: fake.Answer(
            ''.join(f'{key}={value}\n' for key, value in command.env.items())
        ),
    )

    def flood(command):
        expire()
        return fake.Answer('y\n' * 500_000)

    made.on_script('flood', flood)
    made.on_script('late', fake.Answer('waiting\n', error=timeout()))
    made.on_script(
        'broken',
        fake.Answer(error=exception.ApplianceFailed(reason='it is gone')),
    )
    return made


def lost_guest():
    """Wait for a program as for a guest, on a loaded host."""
    quickly = termination.descendants

    def slowly(of):
        found = quickly(of)
        # Some are killed now; the next look is late.
        if not found:
            time.sleep(1)
        return found

    termination.descendants = slowly
    subprocess.run(['sleep', '320'], check=False)
    return exception.ApplianceFailed(reason='it is gone')


def timeout():
    return exception.RunTimeout(seconds=5)


def install():
    registry.drivers = lambda: {'stub': StubDriver()}


if __name__ == '__main__':
    install()
    code = main.main()
    sys.stdout.flush()
    os._exit(code)
