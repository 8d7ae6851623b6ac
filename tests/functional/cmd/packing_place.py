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
"""Where imagebuild-pack --base is run, with all but the packing itself."""

from imagebuild.cmd import pack
from imagebuild.cmd import packing


class Place:
    """A user's directory.

    :ivar printed: what the last one printed on standard output.
    :ivar packed: what the copies had in them that were packed.
    """

    def __init__(self, path, capsys, monkeypatch):
        self.path = path
        self.packed = []
        self.printed = ''
        self._capsys = capsys
        monkeypatch.setattr(packing, 'pack', self._pack)
        (path / 'm.yaml').write_text('validators: []\n')
        (path / 'out').mkdir()

    def _pack(self, spec, monitor):
        self.packed.append(spec.image.read_bytes())
        return packing.Outcome('packed')

    def catalogue(self, text):
        (self.path / 'os.yaml').write_text(text)

    def pack(self, base, *options, output='out/x.img'):
        """Returns the exit code and what was printed on standard error."""
        (self.path / 'a.conf').write_text(
            f'[DEFAULT]\noperating_systems_file = {self.path}/os.yaml\n'
            f'[disks]\ncache_dir = {self.path}/cache\n'
        )
        code = pack.main(
            [
                '--config-file', f'{self.path}/a.conf',
                '--manifest', f'{self.path}/m.yaml',
                '--base', str(base), '--output', str(self.path / output),
                *map(str, options),
            ]
        )  # fmt: skip
        self.printed, told = self._capsys.readouterr()
        return code, told

    def left(self):
        """What is where the new file should be."""
        return sorted(path.name for path in (self.path / 'out').iterdir())
