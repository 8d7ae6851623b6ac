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
"""An image of elements of diskimage-builder, from a command to its login."""

import json
import pathlib
import subprocess
import sys

from tests.cloud import people
from tools.cloud import clouds

#: Seconds until a login prompt; emulated, and beside other work.
_BOOTED_WITHIN = 600
COMMAND = (
    *('image', 'build', 'create', '--os', 'debian-12'),
    *('--driver', 'diskimage_builder'),
    *('--element', 'vm', '--element', 'openssh-server'),
    *('--driver-option', 'base=false'),
    *('--driver-option', 'file_system=xfs'),
    *('--driver-option', 'partition_table=mbr'),
    *('--package', 'tree'),
)


def test_a_forbidden_element_is_named(glance_cloud: clouds.Cloud) -> None:
    refused = people.openstack(
        glance_cloud, *COMMAND, '--element', 'local-config', 'never'
    )
    assert refused.returncode == 1
    assert 'elements[2]' in refused.stderr
    assert '"local-config" is not among those' in refused.stderr
    made = people.openstack(
        glance_cloud, *COMMAND[:5], '--element', 'vm', 'never'
    )
    assert made.returncode == 1
    assert '"bootstrap" makes nothing of elements' in made.stderr


def test_debian_of_elements_boots(
    glance_cloud: clouds.Cloud, tmp_path: pathlib.Path
) -> None:
    """Debian is made by the real thing: 120 s on an idle machine."""
    done = people.openstack(
        glance_cloud, *COMMAND, '--wait', '-f', 'json', 'dib'
    )
    assert done.returncode == 0, done.stderr[-4000:]
    build = json.loads(done.stdout)
    assert build['status'] == 'active'
    ours = people.client(glance_cloud)
    log = ours.builds.log(build['id']).text
    assert 'Building elements: debian-minimal vm openssh-server' in log
    steps = [step.path for step in ours.builds.steps(build['id'])]
    assert 'packages' in steps[0]
    images = people.glance(glance_cloud, 'demo').images
    assert images.get(build['image_id'])['status'] == 'active'
    image = tmp_path / 'dib.qcow2'
    with image.open('wb') as file:
        for chunk in images.data(build['image_id']):
            file.write(chunk)
    for each in [_booting(image, firmware) for firmware in ('bios', 'uefi')]:
        with each:
            out, err = each.communicate()
        assert each.returncode == 0, out + err
    ours.builds.delete(build['id'])
    people.assert_nothing_left(glance_cloud)


def _booting(image: pathlib.Path, firmware: str) -> 'subprocess.Popen[str]':
    return subprocess.Popen(
        [sys.executable, '-m', 'imagebuild.cmd.boot', '--image', str(image)]
        + ['--firmware', firmware, '--memory', '1024', '--cpus', '2']
        # Of the root's own systemd; what follows is the same.
        + ['--expect', 'Debian GNU/Linux 12 (bookworm)']
        + (['--expect', 'debian login: '] if firmware == 'bios' else [])
        + ['--timeout', str(_BOOTED_WITHIN)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
