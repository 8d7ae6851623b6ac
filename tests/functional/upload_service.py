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
"""An API and a conductor of this process, with several destinations."""

import json
import shutil

from imagebuild.conductor import process
from tests.functional import api_service
from tests.functional import conductors

DESTINATIONS = """
[destination:archive]
store = file
folder = {directory}/archive
[destination:as-raw]
store = file
folder = {directory}/as-raw
disk_format = raw
[destination:unwritable]
store = file
folder = /proc/unwritable
attempts = 2
[destination:theirs]
store = file
folder = {directory}/theirs
projects = another
"""


class Service:
    """An API and a conductor with destinations."""

    def __init__(self, directory, **conductor):
        self.conf = api_service.make_conf(directory)
        self.database = conductors.make_database(directory)
        path = conductors.write_conf(
            directory, 'c1', drivers='fake', max_attempts=1, **conductor
        )
        path.write_text(
            path.read_text() + DESTINATIONS.format(directory=directory)
        )
        self._path, self.directory = path, directory
        self._client = api_service.over_bus(self.conf, self.database)
        self.conductor = None

    def add_conf(self, *lines):
        """Add lines to the conductor's configuration, before it starts."""
        text = '\n'.join(lines)
        self._path.write_text(f'{self._path.read_text()}{text}\n')

    def start(self):
        self.conductor = process.from_conf(conductors.read_conf(self._path))
        self.conductor.start()
        conductors.wait_until(lambda: self.conductor._server, what='the bus')

    def stop(self):
        if self.conductor:
            self.conductor.stop()
            self.conductor = None

    def ask(self, method, path, **body):
        return self._client.open(
            path, method=method, json=body if body else None
        )

    def build(self, **request):
        answer = self.ask(
            'POST', '/v1/builds', name='x', os='fake-os', **request
        )
        assert answer.status_code == 202, answer.json
        return conductors.wait_for(
            self.database, answer.json['id'], 'active', 'error'
        )

    def upload(self, build, destination, **body):
        return self.ask(
            'POST', '/v1/uploads',
            build_id=build.id, destination=destination, **body,
        )  # fmt: skip

    def ended(self, upload_id):
        def look():
            found = self.ask('GET', f'/v1/uploads/{upload_id}').json
            return found if found['status'] in ('active', 'error') else None

        conductors.wait_until(look, what='the upload')
        return look()

    def gone(self, upload_id):
        """Wait until there is no such upload."""
        conductors.wait_until(
            lambda: (
                self.ask('GET', f'/v1/uploads/{upload_id}').status_code == 404
            ),
            what='the end of the upload',
        )

    def protect(self, name, protected=True):
        """Protect the image in a store of files, as its owner would."""
        [path] = (self.directory / name).glob('*/metadata.json')
        values = {**json.loads(path.read_text()), 'protected': protected}
        path.write_text(json.dumps(values))

    def lose_files(self, build):
        """Remove the files of a build from the repository."""
        for each in self.database.list_artifacts(build_id=build.id):
            self.database.mark_artifact(each.id, 'lost')
        for each in (self.directory / 'repository/artifacts').iterdir():
            shutil.rmtree(each)

    def stored(self, name):
        return [
            json.loads(each.read_text())
            for each in (self.directory / name).glob('*/metadata.json')
        ]
