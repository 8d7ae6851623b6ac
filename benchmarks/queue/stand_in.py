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
"""A job that only speaks the protocol: starts in 20 ms instead of 300.

It builds a file of 4 KiB and puts it where the store ``file`` would, under
the same name, so that a conductor finds it again. It never fails.
"""

import hashlib
import json
import os
import pathlib
import signal
import sys
import threading
import time
import uuid

SIZE = 4096


def say(event: str, **values: object) -> None:
    """Write an event."""
    os.write(1, json.dumps({'event': event, **values}).encode() + b'\n')


def build(document: dict) -> dict:
    """Sleep as long as is wanted, and write the file."""
    time.sleep(document['driver_options']['seconds'])
    output = pathlib.Path(document['output'])
    data = document['build_id'].encode().ljust(SIZE, b'\0')
    output.write_bytes(data)
    digests = {
        name: hashlib.new(name, data).hexdigest()
        for name in ('sha256', 'sha512')
    }
    return {
        'path': str(output),
        'size': SIZE,
        'virtual_size': SIZE,
        'checksum': digests,
        'report': {},
    }


def upload(document: dict) -> dict:
    """Put the file where imagebuild.stores.file puts it."""
    stamp = document['stamp']
    image_id = str(uuid.uuid5(uuid.NAMESPACE_OID, stamp['upload_id']))
    data = pathlib.Path(document['path']).read_bytes()
    stored = {
        'id': image_id,
        'size': len(data),
        'os_hash_algo': 'sha512',
        'os_hash_value': hashlib.sha512(data).hexdigest(),
    }
    metadata = {f'imagebuild_{name}': value for name, value in stamp.items()}
    made = pathlib.Path('made')
    made.mkdir()
    (made / 'image').write_bytes(data)
    (made / 'metadata.json').write_text(json.dumps({**metadata, **stored}))
    target = pathlib.Path(document['config']['file_store']['folder'], image_id)
    target.parent.mkdir(exist_ok=True)
    # It fails when there is one: an image is never made twice.
    os.rename(made, target)
    stored['image_id'] = stored.pop('id')
    return stored


def watch_parent() -> None:
    """End with the conductor."""

    def wait() -> None:
        sys.stdin.buffer.read()
        os.killpg(os.getpgrp(), signal.SIGKILL)

    threading.Thread(target=wait, daemon=True).start()


if __name__ == '__main__':
    asked = json.loads(sys.stdin.buffer.readline())
    watch_parent()
    say('started', pid=os.getpid())
    act = {'build': build, 'upload': upload}[asked['action']]
    say('finished', result=act(asked))
    # Not sys.exit(): a thread waits for standard input.
    os._exit(0)
