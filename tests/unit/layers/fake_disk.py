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
"""A disk whose files are text, for everything but qemu."""

import json

from imagebuild.disks import image_file
from imagebuild.remotes import fake
from tests.unit.manifest import layered


def image(path, size=1024, backing=None):
    return image_file.ImageInfo(path, 'qcow2', size, 0, backing=backing)


class FakeDisk:
    """What a system has written, in a chain of files.

    Each file holds what its disk was like, whole, and the name of the file
    under it; it is opened only over that one.

    :param under: the image that its overlay is made over.
    """

    def __init__(self, under, directory):
        self.chain = [item.path for item in reversed(under.chain)]
        self.top = directory / 'overlay.qcow2'
        self.snapshots = 0
        self.system = layered.system()
        for path in self.chain:
            self._read(path)
        self._write()

    def _read(self, path):
        known = json.loads(path.read_text())
        before = [item.name for item in self.chain[: self.chain.index(path)]]
        assert known['over'] == len(before)
        self.system.files = {
            name: fake.File(content.encode())
            for name, content in known['files'].items()
        }
        self.system.installed = known['installed']

    def _write(self):
        self.top.write_text(
            json.dumps(
                {
                    'over': len(self.chain),
                    'files': {
                        name: file.content.decode()
                        for name, file in self.system.files.items()
                    },
                    'installed': self.system.installed,
                }
            )
        )

    def snapshot(self, path):
        assert path.parent == self.top.parent
        assert not path.exists()
        self._write()
        self.chain.append(self.top)
        self.top = path
        self.snapshots += 1
        self._write()


def base(path, system=None):
    """Make a base image."""
    path.write_text(
        json.dumps(
            {
                'over': 0,
                'files': {
                    name: file.content.decode()
                    for name, file in (
                        system or layered.system()
                    ).files.items()
                },
                'installed': {},
            }
        )
    )
    return image(path)
