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
"""The import of the image service in memory (tests/fake_glance.py).

It answers as Glance 33 does, and goes on with each look at the image. What
Glance fetches is really fetched: from a web server, or from another of these
services, which is a region of the same cloud.
"""

import dataclasses
import json
import urllib.error
import urllib.request

INTERNAL = 'Task failed due to Internal Error'
STATES = {
    'web-download': 'queued',
    'glance-download': 'queued',
    'glance-direct': 'uploading',
    'copy-image': 'active',
}


@dataclasses.dataclass
class Imports:
    """What it offers, and how it behaves; may be changed at any time.

    :ivar methods: that it offers; None as without any import.
    :ivar stores: ids of its stores, the default one first; none without
        names.
    :ivar regions: name to address of other services like this one.
    :ivar copied: beginnings of names of properties that glance-download
        takes over.
    :ivar looks: at an image before anything more happens.
    :ivar fails: message of the task that fails, '' for one that says
        nothing at all; None for one that does not.
    :ivar failing_stores: ids of stores that nothing can be copied to.
    :ivar hangs: nothing ever happens.
    :ivar tells: whether tasks can be read.
    :ivar converts_to: disk format that an import makes.
    :ivar damages: an import changes the bytes.
    :ivar staged: id to bytes.
    :ivar tasks: every task that there was.
    :ivar running: id to the task that runs and looks that are left.
    """

    methods: list | None = None
    stores: list = dataclasses.field(default_factory=list)
    regions: dict = dataclasses.field(default_factory=dict)
    copied: tuple = ('hw_', 'trait:', 'os_distro', 'os_type')
    looks: int = 1
    fails: str | None = None
    failing_stores: tuple = ()
    hangs: bool = False
    tells: bool = True
    converts_to: str = ''
    damages: bool = False
    staged: dict = dataclasses.field(default_factory=dict)
    tasks: list = dataclasses.field(default_factory=list)
    running: dict = dataclasses.field(default_factory=dict)

    def info(self, what):
        """The answer to /v2/info; None for "not found"."""
        if what == 'import' and self.methods is not None:
            return {'import-methods': {'type': 'array', 'value': self.methods}}
        if what == 'stores' and self.stores:
            answer = [{'id': each} for each in self.stores]
            answer[0]['default'] = 'true'
            return {'stores': answer}
        return None

    def start(self, glance, record, body):
        """Begin one; gives an error's status and message, or None."""
        method = body['method']
        name = method['name']
        if name not in (self.methods or ()):
            return 400, f"Unknown import method name '{name}'."
        if record['status'] != STATES[name]:
            return 409, f"Image needs to be '{STATES[name]}' to use '{name}'"
        if 'os_glance_import_task' in record:
            return 409, 'prior operation is still in progress'
        stores = body.get('stores') or self.stores[:1]
        if any(store in self.in_stores(record) for store in stores):
            return 400, 'Image is already present at store'
        task = {
            'id': f'task-{len(self.tasks)}',
            'image_id': record['id'],
            'type': 'api_image_import',
            'status': 'processing',
            'message': '',
            'input': {'image_id': record['id'], 'import_req': body},
            'created_at': f'2026-01-01T00:00:{len(self.tasks):02d}Z',
        }
        self.tasks.append(task)
        record['os_glance_import_task'] = task['id']
        self.running[record['id']] = [task, self.looks, stores]
        return None

    def look(self, glance, record):
        """Somebody looks at an image: go on with it."""
        running = self.running.get(record['id'])
        if running is None or self.hangs:
            return
        task, left, stores = running
        if left > 0:
            running[1] -= 1
            if STATES[self.method(task)] != 'active':
                record['status'] = 'importing'
            record['os_glance_importing_to_stores'] = ','.join(stores)
            return
        del self.running[record['id']]
        del record['os_glance_import_task']
        record['os_glance_importing_to_stores'] = ''
        try:
            if self.fails is not None:
                raise OSError(self.fails)
            self._finish(glance, record, task, stores)
            task['status'] = 'success'
        except OSError as error:
            if isinstance(error, urllib.error.HTTPError):
                error.close()
            if self.fails != '':
                task.update(status='failure', message=self.fails or INTERNAL)
            if self.method(task) != 'copy-image':
                record['status'] = 'queued'
            if self.fails != '':
                record['os_glance_failed_import'] = ','.join(stores)
        self.staged.pop(record['id'], None)

    def method(self, task):
        return task['input']['import_req']['method']['name']

    def in_stores(self, record):
        return [each for each in record.get('stores', '').split(',') if each]

    def _finish(self, glance, record, task, stores):
        method = task['input']['import_req']['method']
        if method['name'] == 'copy-image':
            bad = [each for each in stores if each in self.failing_stores]
            if bad:
                record['os_glance_failed_import'] = ','.join(bad)
                if task['input']['import_req'].get('all_stores_must_succeed'):
                    raise OSError('a store')
            good = [each for each in stores if each not in bad]
            record['stores'] = ','.join([*self.in_stores(record), *good])
            return
        content = self._content(record, method)
        if self.damages:
            content = content[:-1] + b'!'
        if self.converts_to:
            record['disk_format'] = self.converts_to
            content = b'converted' + content
        glance.store(record['id'], content)
        if stores:
            record['stores'] = ','.join(stores)

    def _content(self, record, method):
        if method['name'] == 'glance-direct':
            return self.staged[record['id']]
        if method['name'] == 'web-download':
            return _fetched(method['uri'])
        url = self.regions[method['glance_region']]
        url = f'{url}/v2/images/{method["glance_image_id"]}'
        there = json.loads(_fetched(url))
        if there['status'] != 'active':
            raise OSError('Source image status should be active')
        for name, value in there.items():
            if name.startswith(self.copied):
                record[name] = value
        for name in ('disk_format', 'container_format'):
            record[name] = there[name]
        return _fetched(f'{url}/file')


def _fetched(url):
    with urllib.request.urlopen(url, timeout=60) as answer:
        return answer.read()
