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
"""The small OpenStack itself: it starts, stops and says what is wrong."""

import json
import os
import pathlib
import signal
import subprocess
import time

import pytest

from tools.cloud import clouds
from tools.cloud import errors
from tools.cloud import venv

UP = venv.ROOT / 'tools' / 'cloud' / 'up'


def test_a_member_stores_an_image(
    glance_cloud: clouds.Cloud, tmp_path: pathlib.Path
) -> None:
    file = tmp_path / 'image'
    # More than one chunk of python-glanceclient's.
    file.write_bytes(os.urandom(3 * 1024 * 1024))
    image = json.loads(
        glance_cloud.openstack(
            *('image', 'create', '--file', str(file), '-f', 'json'),
            *('--disk-format', 'raw', '--container-format', 'bare', 'one'),
        )
    )
    assert image['status'] == 'active'
    seen = glance_cloud.openstack(
        'image', 'list', '-f', 'value', '-c', 'ID', user='other'
    )
    assert image['id'] not in seen.split()
    glance_cloud.openstack('image', 'delete', image['id'])


def test_a_service_user_gives_an_image_to_a_project(
    glance_cloud: clouds.Cloud,
) -> None:
    project = glance_cloud.openstack(
        *('token', 'issue', '-f', 'value', '-c', 'project_id')
    )
    image = glance_cloud.site.rest.call(
        'POST',
        f'{glance_cloud.service("glance").url}/v2/images',
        {'name': 'given', 'owner': project},
    )
    assert image['owner'] == project
    glance_cloud.openstack('image', 'delete', image['id'])


def test_a_second_up_touches_nothing(glance_cloud: clouds.Cloud) -> None:
    before = glance_cloud.status()
    assert all(pid for pid, _ in before.values())
    begin = time.monotonic()
    clouds.Cloud(glance_cloud.directory).up(host_is_ready=True)
    assert time.monotonic() - begin < 100
    assert glance_cloud.status() == before


def test_up_mends_what_has_crashed(glance_cloud: clouds.Cloud) -> None:
    before = glance_cloud.status()
    glance_cloud.service('glance').kill()
    pid = glance_cloud.service('keystone').pid
    os.kill(pid, signal.SIGKILL)
    glance_cloud.up(host_is_ready=True)
    after = glance_cloud.status()
    assert {name for name in after if after[name] != before[name]} == {
        'glance',
        'keystone',
    }
    glance_cloud.openstack('image', 'list')


def test_a_failure_is_one_sentence_and_the_log(
    glance_cloud: clouds.Cloud,
) -> None:
    glance = glance_cloud.service('glance')
    glance.stop()
    config = glance.config_file
    glance.prepare()
    broken = glance.program().argv[0]
    assert broken
    glance.module = 'glance.wsgi.no_such_module'
    try:
        with pytest.raises(errors.CloudError) as caught:
            glance.start()
    finally:
        del glance.module
    text = str(caught.value)
    assert text.startswith('glance ended while it was starting.')
    assert 'no_such_module' in text
    assert config.exists()
    glance.start()


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGKILL])
def test_down_clears_a_broken_up(
    number: signal.Signals, tmp_path: pathlib.Path
) -> None:
    directory = tmp_path / 'cloud'
    up = subprocess.Popen(
        [UP, '--state', directory, '--with', 'glance', '--no-setup'],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert up.stdout
    said = ['']
    while 'mariadb is up' not in said[-1]:
        said.append(up.stdout.readline())
        assert said[-1], said
    time.sleep(1)
    begin = time.monotonic()
    up.send_signal(number)
    text, _ = up.communicate(timeout=300)
    assert time.monotonic() - begin < 120
    if number == signal.SIGINT:
        assert up.returncode == 1
        assert 'interrupted' in text
        assert 'Traceback' not in text
    cloud = clouds.Cloud(directory)
    assert cloud.status()
    cloud.down(wipe=True)
    assert not directory.exists()
    assert not _mentioning(directory)


def _mentioning(directory: pathlib.Path) -> list[str]:
    """Processes that have this directory on their command line."""
    found = []
    for entry in pathlib.Path('/proc').iterdir():
        try:
            words = (entry / 'cmdline').read_bytes()
        except OSError:
            continue
        if bytes(directory) in words:
            found.append(words.decode())
    return found
