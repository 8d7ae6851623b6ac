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
"""What the tests do as people of the cloud: ask, wait, look."""

import collections
import contextlib
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import glanceclient
from keystoneauth1 import loading
from keystoneauth1 import session as ksa_session

from imagebuild.client import client as clients
from imagebuild.clients import compute
from tools.cloud import cloud_site
from tools.cloud import clouds
from tools.cloud import credentials
from tools.cloud import ini
from tools.cloud.servers import imagebuild as our_service

PROGRAM = pathlib.Path(sys.executable).with_name('openstack')

_BASE_IMAGE = 'debian-12-minimal-base'

#: Added to the catalogue; ``tiny`` is an image in Glance.
SYSTEMS = """
tiny:
  description: Debian 12 without kernel, in Glance
  image: {name: debian-12-minimal-base}
slow:
  description: nothing at all, in some seconds
  driver: fake
  driver_options: {seconds: 15}
short:
  description: nothing at all, in a few seconds
  driver: fake
  driver_options: {seconds: 8}
endless:
  description: nothing at all, in ten minutes
  driver: fake
  driver_options: {seconds: 600}
failing:
  description: it fails, and the user is to blame
  driver: fake
  driver_options: {fail: It cannot be done.}
unlucky:
  description: nothing at all, since the service fails
  driver: fake
  driver_options: {fail: The disk is broken., fault: service}
east:
  description: nothing at all, from one conductor of several
  driver: fake
west:
  description: nothing at all, from another one
  driver: fake
anywhere:
  description: nothing at all, from any conductor
  driver: fake
heavy:
  description: a file that takes time to upload
  driver: fake
  driver_options: {size: 600}
"""


def session(cloud: clouds.Cloud, user: str) -> ksa_session.Session:
    """A Keystone session of this user, with the catalog as it is now."""
    site = cloud.site
    auth = site.credentials(user, credentials.PEOPLE[user])
    loader = loading.get_plugin_loader(auth.pop('auth_type'))
    return ksa_session.Session(auth=loader.load_from_options(**auth))


def client(cloud: clouds.Cloud, user: str = 'demo') -> clients.Client:
    """Our client as this user."""
    return clients.Client(session(cloud, user), connect_retries=5)


def glance(cloud: clouds.Cloud, user: str = 'imagebuild') -> Any:
    """Glance's client as this user; our service user sees all images."""
    return glanceclient.Client('2', session=session(cloud, user))


def nova(cloud: clouds.Cloud, user: str = 'imagebuild') -> compute.Compute:
    """What this user has in Nova."""
    region = cloud_site.REGION
    return compute.Compute(session(cloud, user), region_name=region)


def openstack(
    cloud: clouds.Cloud, *arguments: str, user: str = 'demo'
) -> 'subprocess.CompletedProcess[str]':
    """Run the openstack program that has our commands."""
    return subprocess.run(
        [PROGRAM, *arguments],
        env={
            'PATH': os.environ['PATH'],
            'HOME': os.environ.get('HOME', '/'),
            'PYTHONWARNINGS': 'ignore',
            **cloud.environment(user),
        },
        capture_output=True,
        text=True,
    )


def eventually(
    look: Callable[[], Any],
    seconds: float = 300,
    instead: Callable[[], Any] = lambda: None,
) -> Any:
    """Look until there is something to see, ever more rarely.

    What is waited for, services and emulated guests, has the processors that
    frequent questions would take.

    :param instead: says what there is, when time is up.
    :returns: the first thing that is true.
    """
    end, pause = time.monotonic() + seconds, 0.2
    while not (found := look()):
        assert time.monotonic() < end, instead()
        time.sleep(pause)
        pause = min(pause * 1.3, 1.5)
    return found


def ended(build: Any) -> bool:
    return build.status in ('active', 'error', 'cancelled')


def wait(
    ours: clients.Client,
    build_id: str,
    until: Callable[[Any], bool] = ended,
    seconds: float = 600,
) -> Any:
    """Wait until a build is like this."""

    def look() -> Any:
        build = ours.builds.get(build_id)
        if until(build):
            return build
        assert not ended(build), build
        return None

    return eventually(look, seconds, lambda: ours.builds.get(build_id))


def stamped(cloud: clouds.Cloud, build_id: str) -> list[Any]:
    """The images in Glance that this build made, whatever their status."""
    return [
        image
        for image in glance(cloud).images.list()
        if image.get('imagebuild_build_id') == build_id
    ]


def statuses(ours: clients.Client, **filters: str) -> collections.Counter[str]:
    return collections.Counter(
        build.status for build in ours.builds.list(**filters)
    )


def left_over(cloud: clouds.Cloud) -> list[str]:
    """Workspaces of builds, and processes that name their directory."""
    directory = cloud.directory / 'imagebuild'
    # A name with a dot is the lock of a conductor that is up.
    found = [str(path) for path in directory.glob('work-*/[!.]*')]
    needle = os.fsencode(directory) + b'/work-'
    for process in pathlib.Path('/proc').glob('[0-9]*/cmdline'):
        with contextlib.suppress(OSError):
            line = process.read_bytes()
            if needle in line:
                found.append(line.replace(b'\0', b' ').decode()[:200])
    return found


def assert_nothing_left(cloud: clouds.Cloud, seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while left := left_over(cloud):
        assert time.monotonic() < end, left
        time.sleep(1)


def offer_base_image(cloud: clouds.Cloud, file: pathlib.Path) -> None:
    """Have Glance hold the image of "tiny", if it does not yet."""
    images = glance(cloud)
    if [*images.images.list(filters={'name': _BASE_IMAGE})]:
        return
    image = images.images.create(
        name=_BASE_IMAGE,
        disk_format='qcow2',
        container_format='bare',
        visibility='community',
    )
    with file.open('rb') as stream:
        images.images.upload(image['id'], stream)


def write_systems(cloud: clouds.Cloud) -> bool:
    """Write SYSTEMS to a cloud's catalogue; False if they are in there."""
    path = cloud.service('imagebuild-api').catalogue
    text = path.read_text() if path.exists() else our_service.OPERATING_SYSTEMS
    if SYSTEMS in text:
        return False
    ini.write(path, text + SYSTEMS)
    return True


def offer_systems(cloud: clouds.Cloud) -> clouds.Cloud:
    """Have a cloud offer SYSTEMS, if it does not yet.

    :returns: the cloud.
    """
    if write_systems(cloud):
        cloud.up(host_is_ready=True)
    return cloud
