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
"""Plugins that run at the same time, each in a thread of its own."""

import concurrent.futures
import logging
import sys
import threading

import pytest

from imagebuild import manifest
from imagebuild.recipes import plugin as plugins
from imagebuild.remotes import fake

LOG = logging.getLogger('gadget.inner')


class Lines(manifest.Monitor):
    """What one machine's run printed."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def output(self, step, stream, line):
        self.lines.append(f'{stream}: {line}')
        # A monitor may print: that is no output of the plugin's.
        print('monitor:', line)


class Gadget:
    """Prints and logs its secret, when as many as are wanted run."""

    def __init__(self, several):
        self.barrier = threading.Barrier(several, timeout=60)

    def get_image_arguments(self, _version):
        return [manifest.Argument('secret', hidden=True)]

    def pack_image(self, _version, _remote, reconcile, image_arguments):
        secret = image_arguments['secret']
        self.barrier.wait()
        print('printed', secret)
        LOG.info('logged %s', secret)
        thread = threading.Thread(target=print, args=('in a thread', secret))
        thread.start()
        thread.join()
        self.barrier.wait()
        if secret == 'raises':
            raise RuntimeError(secret)


def run(several, *values):
    recipe = plugins.PluginRecipe('gadget', '1', Gadget(several))
    monitors = [Lines() for _ in values]

    def one(value, monitor):
        bound = recipe.bound({'secret': value})
        return bound.run(fake.FakeRemote.of('debian', '12'), monitor=monitor)

    with concurrent.futures.ThreadPoolExecutor(len(values)) as pool:
        started = [*map(pool.submit, [one] * len(values), values, monitors)]
    return [monitor.lines for monitor in monitors], [
        future.exception() for future in started
    ]


@pytest.fixture(autouse=True)
def root(caplog):
    """Another handler, as --debug has one."""
    caplog.set_level(logging.DEBUG)
    yield
    assert not [each for each in caplog.records if 'logged' in each.msg]


def test_each_has_its_own(capsys):
    before = sys.stdout
    found, errors = run(3, 'first', 'second', 'raises')
    assert found == [['stdout: printed ***', 'stderr: logged ***']] * 3
    assert [type(error) for error in errors[:2]] == [type(None)] * 2
    assert '***' in str(errors[2])
    # All of it is as it was, and nothing of the secrets is anywhere.
    assert sys.stdout is before
    print('a report')
    out, err = capsys.readouterr()
    assert sorted(set(out.splitlines())) == [
        'a report', 'monitor: logged ***', 'monitor: printed ***',
    ]  # fmt: skip
    assert err == ''
    logger = logging.getLogger('gadget')
    assert (logger.handlers, logger.propagate) == ([], True)
    assert logger.level == logging.NOTSET


def test_threads_of_one_that_runs_alone():
    [lines], _ = run(1, 'alone')
    assert lines == [
        'stdout: printed ***',
        'stderr: logged ***',
        'stdout: in a thread ***',
    ]


def test_reports_are_printed_while_plugins_run(capsys):
    gadget = Gadget(2)
    recipe = plugins.PluginRecipe('gadget', '1', gadget)

    def one():
        recipe.bound({'secret': 'x'}).run(fake.FakeRemote.of('debian', '12'))

    worker = threading.Thread(target=one)
    worker.start()
    gadget.barrier.wait()
    print('a report')
    gadget.barrier.wait()
    worker.join()
    assert capsys.readouterr().out == 'a report\n'
