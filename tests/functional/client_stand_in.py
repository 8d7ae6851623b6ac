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
"""A small service that answers as the REST API is documented.

It builds nothing: a build goes on by one step each time it is looked at. For
tests of the client that want a real connection and a service they can steer.
"""

import http.server
import json
import re
import threading
import urllib.parse
import uuid

RECIPES = [
    {'name': 'redis', 'version': '7', 'description': 'A Redis server'},
    {'name': 'web', 'version': '1', 'description': 'A web server'},
    {'name': 'web', 'version': '2', 'description': 'A web server'},
]
SYSTEMS = [
    {
        'name': 'debian-12',
        'description': 'Debian 12',
        'architecture': 'x86_64',
        'driver': 'guestfs',
        'min_disk': 0,
    }
]
DRIVERS = [
    {
        'name': 'guestfs',
        'options': {
            'type': 'object',
            'properties': {'size': {'type': 'integer'}},
        },
    }
]
DESTINATIONS = [
    {
        'name': 'west',
        'description': 'Our cloud in the west',
        'disk_format': 'raw',
        'container_format': 'bare',
        'max_image_size': 0,
    }
]
CONDUCTORS = [
    {
        'name': 'builder-1',
        'status': 'up',
        'alive': True,
        'drivers': ['guestfs', 'fake'],
        'operating_systems': [],
        'architecture': 'x86_64',
        'isolations': {'appliance': [], 'sandbox': ['no slirp4netns']},
        'architectures': ['x86_64'],
        'destinations': ['east'],
        'accelerator': 'kvm',
        'free_disk': 53687091200,
        'free_memory': None,
        'cached_bases': ['sha256:' + 'a' * 64],
        'cached_layers': {'sha256:' + 'a' * 64: 3},
        'slots': 2,
        'running': 1,
        'heartbeat_at': '2026-01-01T00:00:00Z',
    }
]
STEPS = ['package nginx', 'file /etc/motd', 'script setup.sh']
PAGE = 2


class StandIn(http.server.ThreadingHTTPServer):
    """The service.

    :ivar builds: what was asked for, by id.
    :ivar requests: method, path and body of every request.
    :ivar failures: statuses to answer the next requests with, 0 to break
        the connection off.
    """

    daemon_threads = True
    # The default of five drops connections of a test with many threads.
    request_queue_size = 128

    def __init__(self):
        super().__init__(('127.0.0.1', 0), _Handler)
        self.builds = {}
        self.requests = []
        self.headers = []
        self.failures = []
        self.lock = threading.RLock()

    @property
    def url(self):
        return f'http://127.0.0.1:{self.server_port}'

    def create(self, request):
        build = {
            'id': str(uuid.uuid4()),
            'name': request['name'],
            'status': 'queued',
            'status_reason': '',
            'fault': None,
            'project_id': 'p',
            'user_id': 'u',
            'os': request.get('os'),
            'driver': request.get('driver', 'guestfs'),
            'content_key': 'c' * 64,
            'reused_from': None,
            'image_id': None,
            'images': [],
            'checksum': {'os_hash_algo': None, 'os_hash_value': None},
            'size': None,
            'conductor': None,
            'progress': {'done': 0, 'total': 0, 'step': ''},
            'created_at': '2026-01-01T00:00:00Z',
            'started_at': None,
            'finished_at': None,
            'request': request,
            'log': '',
        }
        self.builds[build['id']] = build
        return build

    def advance(self, build):
        """Do one step."""
        progress = build['progress']
        if build['status'] == 'queued':
            build.update(status='building', conductor='builder-1')
            build['progress'] = {'done': 0, 'total': 3, 'step': STEPS[0]}
            build['log'] += 'building, Grüße ✓\n'
        elif build['status'] == 'building':
            if build['name'] == 'broken' and progress['done'] == 2:
                build.update(
                    status='error',
                    fault='user',
                    status_reason='A script failed.',
                )
                return
            build['log'] += f'done {progress["step"]}\n'
            done = progress['done'] + 1
            if done == 3:
                build['status'] = 'uploading'
            build['progress'] = {
                'done': done,
                'total': 3,
                'step': STEPS[done] if done < 3 else '',
            }
        elif build['status'] == 'uploading':
            image = str(uuid.uuid4())
            build['log'] += 'uploaded\n'
            build.update(
                status='active',
                image_id=image,
                size=1024,
                checksum={'os_hash_algo': 'sha512', 'os_hash_value': 'ab'},
                images=[
                    {
                        'destination': '',
                        'image_id': image,
                        'disk_format': 'qcow2',
                        'status': 'active',
                    }
                ],
            )


class _Error(Exception):
    def __init__(self, code, title, message, errors=()):
        self.code = code
        self.body = {
            'error': {
                'code': code,
                'title': title,
                'message': message,
                'errors': list(errors),
            }
        }


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def log_message(self, *_):
        pass

    def _answer(self):
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        size = int(self.headers.get('Content-Length') or 0)
        body = json.loads(self.rfile.read(size)) if size else None
        server = self.server
        with server.lock:
            server.requests.append((self.command, self.path, body))
            server.headers.append(dict(self.headers))
            failure = server.failures.pop(0) if server.failures else None
            if failure == 0:
                self.close_connection = True
                return
            try:
                if failure:
                    raise _Error(failure, 'Made up', 'It was told to fail.')
                code, answer = self._route(url.path, query, body)
            except _Error as error:
                code, answer = error.code, error.body
            content = (
                answer if isinstance(answer, bytes) else json.dumps(answer)
            )
        if isinstance(content, str):
            content = content.encode()
            kind = 'application/json'
        else:
            kind = 'text/plain; charset=utf-8'
        self.send_response(code)
        if code != 204:
            self.send_header('Content-Type', kind)
            self.send_header('Content-Length', str(len(content)))
        self.end_headers()
        if code != 204:
            self.wfile.write(content)

    do_GET = do_POST = do_DELETE = _answer  # noqa: N815

    def _route(self, path, query, body):
        server = self.server
        match [self.command, *path.removeprefix('/v1/').split('/')]:
            case ['POST', 'builds']:
                return 202, self._create(body)
            case ['POST', 'builds', 'plan']:
                return 200, {
                    'content_key': 'c' * 64,
                    'driver': 'guestfs',
                    'would_build': True,
                    'reuse': {'image_id': None, 'build_id': None},
                    'steps': [{'description': step} for step in STEPS],
                    'conductors': ['builder-1'],
                }
            case ['GET', 'builds']:
                return 200, self._list(query)
            case ['GET', 'builds', build_id]:
                build = self._build(build_id)
                server.advance(build)
                return 200, _shown(build)
            case ['DELETE', 'builds', build_id]:
                del server.builds[self._build(build_id)['id']]
                return 204, None
            case ['POST', 'builds', build_id, 'cancel']:
                build = self._build(build_id)
                if build['status'] == 'active':
                    raise _Error(409, 'Conflict', 'The build is done.')
                build['status'] = 'cancelled'
                return 202, None
            case ['GET', 'builds', build_id, 'log']:
                log = self._build(build_id)['log'].encode()
                offset = int(query.get('offset', 0))
                # Parts that end within a character.
                return 200, log[offset : offset + 15]
            case ['GET', 'builds', build_id, 'steps']:
                return 200, {'steps': _steps(self._build(build_id))}
            case ['GET', 'recipes']:
                return 200, {'recipes': RECIPES}
            case ['GET', 'recipes', name, version]:
                for item in RECIPES:
                    if (item['name'], item['version']) == (name, version):
                        return 200, {**item, 'arguments': {'type': 'object'}}
            case ['GET', 'operating-systems']:
                return 200, {'operating_systems': SYSTEMS}
            case ['GET', 'drivers']:
                return 200, {'drivers': DRIVERS}
            case ['GET', 'destinations']:
                return 200, {'destinations': DESTINATIONS}
            case ['GET', 'conductors']:
                return 200, {'conductors': CONDUCTORS}
            case ['GET', 'uploads']:
                return 200, {'uploads': []}
        raise _Error(404, 'Not Found', 'There is nothing here.')

    def _create(self, body):
        problems = []
        if body.get('os', 'debian-12') != 'debian-12':
            problems.append(('os', 'there is none of this name'))
        for index, name in enumerate(body.get('packages', [])):
            if not isinstance(name, str | dict):
                problems.append((f'packages[{index}]', 'is not a name'))
        if 'port' in body.get('arguments', {}):
            problems.append(('arguments.port', 'is not a port'))
        if problems:
            raise _Error(
                400,
                'Bad Request',
                'The request is not valid.',
                [{'path': path, 'message': what} for path, what in problems],
            )
        if body['name'] == 'too-many':
            raise _Error(
                403, 'Forbidden', 'The quota of project p is used up.'
            )
        return _shown(self.server.create(body))

    def _build(self, build_id):
        try:
            return self.server.builds[build_id]
        except KeyError:
            raise _Error(
                404, 'Not Found', f'There is no build {build_id}.'
            ) from None

    def _list(self, query):
        found = [
            _shown(build)
            for build in self.server.builds.values()
            if query.get('name') in (None, build['name'])
            and query.get('status') in (None, build['status'])
        ]
        ids = [build['id'] for build in found]
        begin = ids.index(query['marker']) + 1 if 'marker' in query else 0
        page = found[begin : begin + min(PAGE, int(query.get('limit', PAGE)))]
        body = {'builds': page}
        if page and page[-1] is not found[-1]:
            query['marker'] = page[-1]['id']
            body['next'] = f'/v1/builds?{urllib.parse.urlencode(query)}'
        return body


def _shown(build):
    request = dict(build['request'])
    if 'arguments' in request:
        request['arguments'] = {
            name: '***' if re.match('pass', name) else value
            for name, value in request['arguments'].items()
        }
    return {**build, 'request': request, 'log': None, 'new_field': 1}


def _steps(build):
    done = build['progress']['done']
    steps = [
        {
            'attempt': 1,
            'number': number,
            'path': f'validators[{number - 1}]',
            'validator': step.split()[0],
            'description': step,
            'result': 'changed' if number <= done else 'skipped',
            'seconds': 1.5,
            'message': '',
            'output': '',
        }
        for number, step in enumerate(STEPS, 1)
    ]
    if build['status'] == 'error':
        steps[done].update(
            result='failed',
            message='command failed with exit code 3',
            output='one\ntwo\nno such port\n',
        )
    return steps
