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
"""Texts for users name no path of this host."""

import errno
from unittest import mock

import pytest

from imagebuild import exception
from imagebuild.common import host_paths
from imagebuild.job import failure
from imagebuild.job import job_monitor

PATHS = host_paths.HostPaths(
    {
        '/var/lib/imagebuild': 'state directory',
        '/var/lib/imagebuild/work': 'work directory',
        '/usr': 'never',
        'relative': 'never',
    }
)
WORK = '/var/lib/imagebuild/work'
HOST = '/host/secret/place'


@pytest.mark.parametrize(
    'text, shown',
    [
        (f'No room in {WORK}: 1 GiB.', 'No room in <work directory>: 1 GiB.'),
        (f'{WORK}/b-1 is full.', '<work directory>/b-1 is full.'),
        (f"in '{WORK}/b-1/disk/a.img'.", "in '<work directory>/a.img'."),
        ('In /var/lib/imagebuild/x.', 'In <state directory>/x.'),
        ('/tmp/libguestfsA1/a.sock', '<temporary directory>/a.sock'),
        ('/var/tmp/.guestfs-0/kernel', '<temporary directory>/kernel'),
        # The image's own.
        ('/var/lib/imagebuild-2/x', '/var/lib/imagebuild-2/x'),
        ('/usr/bin/a: /etc/b, /tmp/c', '/usr/bin/a: /etc/b, /tmp/c'),
        ('files["/etc/motd"]', 'files["/etc/motd"]'),
        ('no path', 'no path'),
    ],
)  # fmt: skip
def test_own_paths_have_names(text, shown):
    assert PATHS.hide(text) == shown
    assert PATHS.hide(shown) == shown


@pytest.mark.parametrize(
    'text, shown',
    [
        ('qemu-img: /srv/a/b.img: no', 'qemu-img: <host>/b.img: no'),
        ('--path=/opt/x', '--path=<host>/x'),
        ('(/opt/x/y)', '(<host>/y)'),
        ('file:///srv/a.img', '<host>/a.img'),
        ('http://h:9292/v2/images/1', 'http://h:9292/v2/images/1'),
        ('and/or 3/4 /', 'and/or 3/4 /'),
        (f'In {WORK}/a and /opt/y.', 'In <work directory>/a and <host>/y.'),
    ],
)
def test_in_faults_of_the_service_no_path_stays(text, shown):
    assert PATHS.hide(text, of_host=True) == shown
    assert PATHS.hide(shown, of_host=True) == shown


def test_links_are_followed(tmp_path):
    (tmp_path / 'real').mkdir()
    (tmp_path / 'link').symlink_to('real')
    paths = host_paths.HostPaths({str(tmp_path / 'link'): 'cache'})
    for name in ('link', 'real'):
        assert paths.hide(f'{tmp_path}/{name}/a') == '<cache>/a'


def test_more_can_be_known():
    paths = PATHS.also({'/srv/images/a.qcow2': 'base image'})
    text = f'/srv/images/a.qcow2 cannot be read; {WORK} is there.'
    assert paths.hide(text) == (
        '<base image> cannot be read; <work directory> is there.'
    )


ERRORS = [
    exception.NoSpace(path=HOST, needed='1 GiB', free='0 bytes'),
    exception.DiskFull(path=HOST),
    exception.UnwritablePath(path=HOST, reason='permission denied'),
    exception.ImageBusy(path=HOST, by=f' ({HOST})'),
    exception.ChecksumMismatch(what=HOST, found='a', expected='b'),
    exception.ApplianceFailed(reason=f'{HOST}/qemu: no such file'),
    exception.MissingDependency(what=HOST, remedy='install it'),
    exception.HostCommandFailed(
        program='qemu-img', exit_code=1, reason=f"Could not open '{HOST}'"
    ),
    exception.ServiceUnavailable(service='image', reason=f'{HOST}: bad'),
    exception.InvalidImage(path=f'{WORK}/a', reason='it is broken'),
    exception.UnsafeImage(path=f'{WORK}/a', reason=f'it names {WORK}/b'),
    exception.NoOperatingSystem(path=f'{WORK}/a'),
    exception.InvalidRecipe(name='x', reason=f'{WORK}/image.yaml: no'),
    failure.NotAccepted(reason=f'{HOST}/image.yaml: no'),
    failure.InvalidDocument(reason=HOST),
    OSError(errno.EACCES, 'Permission denied', HOST),
    RuntimeError(f'/tmp/libguestfsAB/x.sock and {HOST}'),
]


@pytest.mark.parametrize('error', ERRORS, ids=lambda each: type(each).__name__)
def test_no_error_of_a_job_names_one(error):
    monitor = mock.Mock(spec=job_monitor.JobMonitor, doing='opening the disk')
    monitor.running_step.return_value = None
    event = failure.event(error, monitor)
    shown = PATHS.hide(event['reason'], of_host=event['fault'] == 'service')
    for word in ('/host', 'secret', '/var', '/tmp'):
        assert word not in shown
