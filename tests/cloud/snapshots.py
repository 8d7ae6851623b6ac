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
"""What a test of the driver ``snapshot`` needs, on a real Nova.

Servers have no network of Neutron's here. They are given one that qemu itself
serves, as the benchmark of user data does.
"""

import contextlib
import re
import threading
from collections.abc import Iterator
from typing import Any

from benchmarks.user_data import guests
from imagebuild import exception
from imagebuild.client import client as clients
from imagebuild.clients import compute
from tests.cloud import people
from tests.cloud import stacks as stack_tools
from tools.cloud import clouds
from tools.cloud import ini

#: Seconds; guests are emulated, beside other work.
WITHIN = 900
#: The network of qemu comes without anybody's asking for it.
_DHCP = {
    'path': '/etc/systemd/network/90-any.network',
    'content': '[Match]\nType=ether\n[Network]\nDHCP=yes\n',
}
#: Says on the console, before there is a login prompt, what was installed
#: when the image was made.
_UNIT = """\
[Unit]
Description=what is installed
Before=serial-getty@ttyS0.service
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'sed s/^/package:/ /etc/packages > /dev/console'
ExecStart=/bin/sh -c 'sed s/^/package:/ /etc/packages > /dev/console'
[Install]
WantedBy=multi-user.target
"""
_LIST = 'dpkg-query -W -f=\'${Package}=${Version}\\n\' | tee /etc/packages'
MANIFEST = {
    'validators': [
        {'package': 'tree'},
        {'file': {'/etc/systemd/system/said.service': {'content': _UNIT}}},
        {'script': {'enable': {'inline': 'systemctl enable said.service'}}},
        {'script': {'list': {'inline': _LIST}}},
    ]
}
PACKAGE = re.compile(r'package:(\S+=[^\s\x1b]+)')
LISTED = re.compile(r'^ {4}([a-z0-9][a-z0-9.+-]*=[0-9][^\s]*)$', re.MULTILINE)


def offer(cloud: clouds.Cloud) -> None:
    """Have the conductors of a cloud offer the driver."""
    extra = cloud.service('imagebuild-api').extra
    text = extra.read_text()
    if '[snapshot]' in text:
        return
    drivers = (
        'bootstrap, diskimage_builder, guestfs, fake, installer, snapshot'
    )
    text = text.replace('[conductor]', f'[conductor]\ndrivers = {drivers}')
    sections: ini.Sections = {
        'snapshot': {'flavor': 'm1.small', 'poll_interval': 2}
    }
    ini.write(extra, f'{text}\n{ini.text(sections)}')
    cloud.up(host_is_ready=True)


@contextlib.contextmanager
def plugged(cloud: clouds.Cloud, nova: compute.Compute) -> Iterator[None]:
    """Give every server of a build a network, within the block."""
    done: set[str] = set()
    over = threading.Event()

    def watch() -> None:
        while not over.wait(1):
            # Services are restarted meanwhile.
            with contextlib.suppress(exception.ImageBuildError):
                plug_in()

    def plug_in() -> None:
        for server in nova.servers('imagebuild-'):
            guest = guests.Guest(cloud.site.state, server['id'])
            if server['id'] not in done and guest.is_there():
                with contextlib.suppress(SystemExit):
                    guest.plug_in()
                    done.add(server['id'])

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(60)


def until(condition: Any, seconds: float = WITHIN) -> Any:
    return people.eventually(condition, seconds)


def template() -> dict[str, Any]:
    """A stack with an image, and another one of it."""
    made = stack_tools.template(
        name='snapshot',
        base_image={'get_resource': 'plain'},
        driver='snapshot',
        manifest=MANIFEST,
        reuse='never',
        # Nova boots it before it is anybody's. What is asked is asked early.
        boot_test={'commands': ['tree --version'], 'timeout': WITHIN},
    )
    made['resources']['plain'] = {
        'type': stack_tools.IMAGE,
        'properties': {'name': 'plain', 'os': 'debian-12', 'files': [_DHCP]},
    }
    return made


def by_guestfs(ours: clients.Client, base_image: str) -> str:
    """Have the same manifest built over a disk; the id of the build."""
    build = ours.builds.create(
        name='same',
        base_image=base_image,
        driver='guestfs',
        manifest=MANIFEST,
        reuse='never',
    )
    return str(build.id)


def listed_by(ours: clients.Client, build_id: str) -> set[str]:
    """What a build says is installed, when it has ended."""
    build = people.wait(ours, build_id, seconds=WITHIN)
    assert build.status == 'active', build.status_reason
    return set(LISTED.findall(ours.builds.log(build.id).text))


def says_the_same(console: str, listed: set[str]) -> bool:
    """Whether a server has said that exactly these are installed."""
    said = set(PACKAGE.findall(console))
    # The kernel speaks in between, at the ends of some.
    return listed <= said and _names(listed) == _names(said)


def _names(packages: set[str]) -> set[str]:
    return {each.partition('=')[0] for each in packages}
