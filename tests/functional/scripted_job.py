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
"""A stand-in for the job: speaks its protocol, does what it is told.

``driver_options`` of the request say what: ``seconds`` to work, ``lines`` to
print, and ``end``: ``ok``, ``user`` or ``service`` (it fails), ``crash``,
``hang`` (deaf to SIGTERM, with a daemon of its own), ``garbage``, ``full``
(no room on the disk). ``text`` is said in all that users see. ``until`` names
a file: before it exists, ``end`` is done; afterwards it is ``ok``. ``hold``
names a file without which it does not go on. ``made`` is what it says of an
image that a cloud has made.
``tags`` of the image say what the upload does: ``hold:<file>`` (as above),
``refuse``, ``away:<file>`` (fails until the file exists).

test_job_protocol.py holds it to the protocol, as it does the real job.
"""

import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

SIZE = 4096


def say(event, **values):
    os.write(1, json.dumps({'event': event, **values}).encode() + b'\n')


def watch_parent(stdin):
    def wait():
        stdin.read()
        os.killpg(os.getpgrp(), signal.SIGKILL)

    threading.Thread(target=wait, daemon=True).start()


def fail(fault, reason, step=None, *, lacks_room=False):
    say(
        'failed',
        fault=fault,
        reason=reason,
        step=step,
        lacks_room=lacks_room,
    )
    return 1


def hold(path):
    """Wait for a file: however long a test takes to get there."""
    while not os.path.exists(path):
        time.sleep(0.05)


def build(document):
    options = document['driver_options']
    say('phase', phase='base_image', what='get the base image')
    say('progress', done=SIZE, total=SIZE, what='download base image')
    say('phase', phase='appliance', what='start the appliance')
    say('phase', phase='steps', what='')
    say('plan', total=1)
    say(
        'step_started',
        number=1,
        total=1,
        path='validators[0].script',
        validator='script',
        description='run the script',
    )
    for number in range(options.get('lines', 1)):
        say('output', stream='stdout', line=f'line {number}')
    arguments = document['request'].get('arguments') or {}
    pathlib.Path('arguments').write_text(json.dumps(arguments))
    if 'grow' in options:
        with open('grown', 'wb') as file:
            os.posix_fallocate(file.fileno(), 0, options['grow'])
    time.sleep(options.get('seconds', 0))
    if 'hold' in options:
        hold(options['hold'])
    end = options.get('end', 'ok')
    if 'until' in options and os.path.exists(options['until']):
        end = 'ok'
    speak(options)
    failure = end_badly(end, options.get('text'))
    if failure is not None:
        return failure
    say(
        'step_finished',
        number=1,
        path='validators[0].script',
        validator='script',
        description='run the script',
        result='ran',
        seconds=0.1,
        message='',
        output='',
    )
    return finish(document)


def speak(options):
    """Put a text into everything that becomes a user's."""
    text = options.get('text')
    if text is None:
        return
    say('notice', message=text)
    say('phase', phase='base_image', what=text)
    say('output', stream='stdout', line=text)
    say(
        'step_finished',
        number=1,
        path=text if text.startswith('/') else f'manifest {text}',
        validator='script',
        description=text,
        result='failed',
        seconds=0.1,
        message=text,
        output=text,
    )


def end_badly(end, text):
    if text is not None and end in ('user', 'service'):
        return fail(end, f'It failed: {text}.')
    if end == 'user':
        step = {
            'path': 'validators[0].script',
            'validator': 'script',
            'command': './install.sh',
            'exit_code': 3,
            'output': 'no such package',
        }
        return fail('user', 'validators[0].script: exit code 3', step)
    if end == 'service':
        return fail('service', 'The appliance failed.')
    if end == 'full':
        return fail('service', 'The disk is full.', lacks_room=True)
    if end == 'garbage':
        os.write(1, b'{"event": \xff\xfe' + b'x' * 3_000_000 + b'\n[1]\n\n')
    if end == 'crash':
        print('Segmentation fault is near', file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGSEGV)
    if end == 'hang':
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        subprocess.Popen(['sleep', '600'], start_new_session=True)
        time.sleep(600)
    return None


def finish(document):
    say('phase', phase='convert', what='write the qcow2 file')
    made = document['driver_options'].get('made')
    if made:
        say('finished', result={'image': made, 'report': {}})
        return 0
    output = pathlib.Path(document['output'])
    data = document['build_id'].encode().ljust(SIZE, b'\0')
    output.write_bytes(data)
    say(
        'finished',
        result={
            'path': str(output),
            'size': len(data),
            'virtual_size': len(data),
            'report': {},
        },
    )
    return 0


def upload(document):
    from imagebuild import repository
    from imagebuild.job import specs
    from imagebuild.stores import file

    for tag in document['image'].get('tags') or ():
        what, _, value = tag.partition(':')
        if what == 'refuse':
            return fail('user', 'Glance refuses it.')
        if what == 'away' and not os.path.exists(value):
            return fail('service', 'Glance is away.')
        if what == 'hold':
            say('progress', done=SIZE // 2, total=SIZE, what='upload')
            hold(value)
    spec = specs.UploadSpec.from_document(document)
    images = repository.Repository(spec.repository)
    with images.hold(spec.artifact) as held:
        stored = file.FileStore.from_config(spec.config).upload(
            held.path,
            spec.properties,
            spec.stamp,
            checksum=held.artifact.checksum,
        )
    say(
        'finished',
        result={
            'image_id': stored.image_id,
            'size': stored.size,
            'os_hash_algo': stored.os_hash_algo,
            'os_hash_value': stored.os_hash_value,
        },
    )
    return 0


def main():
    document = json.loads(sys.stdin.buffer.readline())
    watch_parent(sys.stdin.buffer)
    say('started', pid=os.getpid())
    return {'build': build, 'upload': upload}[document['action']](document)


if __name__ == '__main__':
    code = main()
    sys.stdout.flush()
    # The thread that waits for standard input would be waited for.
    os._exit(code)
