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
"""Kickstarts, read by the parser that Anaconda itself uses."""

import pathlib
from typing import Any

import pytest
from pykickstart import constants
from pykickstart import parser
from pykickstart import version

from imagebuild.boot import mirror_network
from imagebuild.drivers.installer import InstallerOptions
from imagebuild.drivers.installer import answers
from imagebuild.drivers.installer import kickstart
from imagebuild.drivers.installer import settings

#: Ends a section, a quote, a line and a document.
HOSTILE = (
    'echo \'"$(id)"\'\n%end\nrootpw --plaintext x\n%post\n'
    'rootpw x\nEOF\n%include /etc/passwd\n'
)
FULL: dict[str, Any] = {
    'installer': 'one',
    'swap': 512,
    'locale': 'de_DE.UTF-8',
    'keyboard': 'de',
    'timezone': 'Europe/Berlin',
    'hostname': 'web-1',
    'users': [{'name': 'ann', 'ssh_keys': [], 'sudo': True}],
    'packages': ['vim', 'libc++-dev=1:2~3'],
    'late_commands': ['true', HOSTILE],
}


@pytest.mark.parametrize('name', ['RHEL8', 'RHEL9', 'RHEL10', 'F40'])
@pytest.mark.parametrize('mirror', ['http://mirror.example/os', ''])
def test_kickstart(name: str, mirror: str) -> None:
    installer = settings.Installer(
        'one',
        'redhat',
        settings.InputFile(pathlib.Path('/kernel')),
        settings.InputFile(pathlib.Path('/initrd')),
        mirror=mirror,
        more_mirrors=('http://other.example',),
    )
    asked = answers.Request(
        InstallerOptions.parse(FULL), installer, 'imagebuild-word'
    )
    handler = version.makeVersion(name)
    reader = parser.KickstartParser(handler, errorsAreFatal=True)
    reader.readKickstartFromString(kickstart.kickstart(asked))
    assert handler.rootpw.lock
    assert not handler.rootpw.password
    assert sorted(handler.packages.packageList) == sorted(FULL['packages'])
    assert handler.packages.groupList[0].name == 'core'
    parts = [each.mountpoint for each in handler.partition.partitions]
    assert parts == ['swap', '/']
    assert handler.timezone.timezone == 'Europe/Berlin'
    assert handler.lang.lang == 'de_DE.UTF-8'
    assert handler.network.hostname == 'web-1'
    (script,) = handler.scripts
    assert script.type == constants.KS_SCRIPT_POST
    assert script.errorOnFail
    if mirror:
        assert handler.url.url == mirror
        assert handler.url.proxy == mirror_network.PROXY
        (more,) = handler.repo.repoList
        assert more.baseurl == 'http://other.example'
    else:
        assert handler.method.method == 'cdrom'
