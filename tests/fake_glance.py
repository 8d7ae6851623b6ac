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
"""An image service in memory, behind real HTTP.

What the real python-glanceclient and keystoneauth ask is answered as Glance
33 answers it, and it can be made to fail as Glance fails. The same contract
tests pass against it (tests/functional/stores) and against the real one
(tests/cloud).

::

    with FakeGlance() as glance:
        client = Glance.from_config(glance.config)
        glance.fail('PUT', '/file', 503)
"""

import dataclasses
import hashlib
import http.server
import json
import re
import threading
import time
import urllib.parse
import uuid

from tests import fake_glance_imports

FORMATS = ['ami', 'iso', 'qcow2', 'raw', 'vdi', 'vhd', 'vhdx', 'vmdk', None]
TEXT = {'type': ['null', 'string']}
SCHEMAS = {
    'image': {
        'name': 'image',
        'properties': {
            'id': {'type': 'string'},
            'name': TEXT,
            'status': {'type': 'string'},
            'owner': TEXT,
            'visibility': {
                'enum': ['community', 'public', 'private', 'shared'],
                'type': 'string',
            },
            'protected': {'type': 'boolean'},
            'os_hidden': {'type': 'boolean'},
            'disk_format': {'enum': FORMATS, 'type': ['null', 'string']},
            'container_format': {
                'enum': ['bare', 'ovf', 'ova', None],
                'type': ['null', 'string'],
            },
            'min_disk': {'type': 'integer'},
            'min_ram': {'type': 'integer'},
            'size': {'type': ['null', 'integer']},
            'os_hash_algo': TEXT,
            'os_hash_value': TEXT,
            'tags': {'type': 'array', 'items': {'type': 'string'}},
        },
        'additionalProperties': {'type': 'string'},
    },
    'member': {
        'name': 'member',
        'properties': {
            name: {'type': 'string'}
            for name in ('member_id', 'image_id', 'status', 'schema')
        },
    },
}
RESERVED = ('id', 'status', 'size', 'os_hash_algo', 'os_hash_value')
_PAGING = ('limit', 'sort', 'sort_key', 'sort_dir', 'marker', 'os_hidden')
IMAGE = re.compile(
    r'/v2/images/([^/]+)(/file|/stage|/import|/tasks|/members|/tags)?(?:/([^/]+))?'
)


#: A status: there is no answer, and the connection stays.
HANG = -1


@dataclasses.dataclass
class Fault:
    """A failure to come.

    :ivar method: of the request.
    :ivar path: regular expression, searched for in the path.
    :ivar status: the answer, 0 to close the connection, HANG for none.
    :ivar times: how often.
    :ivar after: bytes that are taken or sent before it.
    """

    method: str
    path: str
    status: int
    message: str = ''
    times: int = 1
    after: int = 0


class FakeGlance:
    """The service; its state can be looked at and changed.

    :ivar images: id to record.
    :ivar data: id to bytes.
    :ivar members: image id to {project id: status}.
    :ivar requests: method and path of everything that was asked.
    :ivar ranges: whether it can send from the middle of a file.
    :ivar hash_algo: what it computes.
    :ivar corrupt: bytes that arrive are stored with a wrong one.
    :ivar limit: bytes of an image that it takes.
    :ivar slow: looks at an image before it is active.
    :ivar storing: seconds from the last byte until it answers.
    :ivar imports: what it offers to import, and how that goes.
    :ivar page: images of one page at most.
    :ivar chunked: the last upload did not say how long it is.
    """

    def __init__(self):
        self.images = {}
        self.data = {}
        self.members = {}
        self.requests = []
        self.ranges = True
        self.hash_algo = 'sha512'
        self.corrupt = False
        self.limit = 0
        self.slow = 0
        self.storing = 0.0
        self.imports = fake_glance_imports.Imports()
        self.page = 1000
        self.chunked = None
        self.lock = threading.RLock()
        self.over = threading.Event()
        self._faults = []
        self._server = None

    def __enter__(self):
        outer = self

        class Handler(_Handler):
            glance = outer

        self._server = _Server(('127.0.0.1', 0), Handler)
        self.url = f'http://127.0.0.1:{self._server.server_port}'
        thread = threading.Thread(
            target=self._server.serve_forever, args=(0.01,), daemon=True
        )
        thread.start()
        return self

    def __exit__(self, *exc_info):
        self.over.set()
        self._server.shutdown()
        self._server.server_close()

    @property
    def config(self):
        """Sections of a configuration that lead here."""
        return {
            'keystone': {'auth_type': 'none', 'endpoint': self.url},
            'glance': {
                'endpoint_override': self.url,
                'retry_timeout': 5,
                # There is no user whose id it could be.
                'service_id': 'this-service',
            },
        }

    def fail(self, method, path, status, message='', *, times=1, after=0):
        """Have requests fail that are still to come."""
        fault = Fault(method, path, status, message, times, after)
        self._faults.append(fault)

    def fault(self, method, path):
        with self.lock:
            for fault in self._faults:
                if (
                    fault.times
                    and fault.method == method
                    and re.search(fault.path, path)
                ):
                    fault.times -= 1
                    return fault
        return None

    def add(self, content=b'', **values):
        """Have an image; active when there is content."""
        image_id = values.get('id') or str(uuid.uuid4())
        record = {
            'id': image_id,
            'name': None,
            'status': 'active' if content else 'queued',
            'owner': 'somebody',
            'visibility': 'private',
            'protected': False,
            'os_hidden': False,
            'disk_format': 'qcow2',
            'container_format': 'bare',
            'min_disk': 0,
            'min_ram': 0,
            'size': None,
            'tags': [],
            'os_hash_algo': None,
            'os_hash_value': None,
            'created_at': f'2026-01-01T00:00:{len(self.images):02d}Z',
            'schema': '/v2/schemas/image',
            **values,
        }
        self.images[image_id] = record
        if content:
            self.store(image_id, content)
            record['status'] = values.get('status', 'active')
        return record

    def store(self, image_id, content):
        if self.corrupt:
            content = b'x' + content[1:]
        self.data[image_id] = content
        digest = (
            hashlib.new(self.hash_algo, content) if self.hash_algo else None
        )
        self.images[image_id].update(
            size=len(content),
            os_hash_algo=self.hash_algo,
            os_hash_value=digest and digest.hexdigest(),
            status='active',
        )


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """Clients that are made to break off are no news."""


class _Refused(Exception):  # noqa: N818
    def __init__(self, status, message):
        self.status = status
        self.message = message


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    # Headers and body are two packets: 40 ms for each answer with it.
    disable_nagle_algorithm = True
    glance: FakeGlance

    def log_message(self, *args):
        pass

    def _serve(self):
        url = urllib.parse.urlsplit(self.path)
        self.glance.requests.append((self.command, self.path))
        self._fault = self.glance.fault(self.command, self.path)
        try:
            if self._fault and not self._fault.after:
                raise _Refused(self._fault.status, self._fault.message)
            with self.glance.lock:
                self._dispatch(url.path, urllib.parse.parse_qsl(url.query))
        except _Refused as refused:
            self._refuse(refused)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815

    def _refuse(self, refused):
        if refused.status == HANG:
            self.glance.over.wait(120)
        if refused.status == HANG or not refused.status:
            self.close_connection = True
            self.connection.close()
            return
        # What is still to come of the request is not read. The client is
        # told, or it may send its next request into a closing connection.
        headers = {} if self.command == 'GET' else {'Connection': 'close'}
        title = f'{refused.status} No'
        text = (
            f'<html>\n <head>\n  <title>{title}</title>\n </head>\n <body>\n'
            f'  <h1>{title}</h1>\n  {refused.message}<br /><br />\n\n\n'
            ' </body>\n</html>'
        )
        self._answer(refused.status, text.encode(), 'text/html', **headers)

    def _answer(self, status, body=b'', kind='application/json', **headers):
        self.send_response(status)
        if body:
            self.send_header('Content-Type', kind)
        self.send_header('Content-Length', str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace('_', '-'), value)
        self.end_headers()
        self.wfile.write(body)

    def _json(self, status, value):
        self._answer(status, json.dumps(value).encode())

    def _dispatch(self, path, query):
        schema = path.rpartition('/')[2]
        if path.startswith('/v2/schemas/'):
            self._json(200, SCHEMAS[schema])
        elif path.startswith('/v2/info/'):
            answer = self.glance.imports.info(schema)
            if answer is None:
                raise _Refused(404, 'not here')
            self._json(200, answer)
        elif path.startswith('/v2/tasks/'):
            self._json(200, self._tasks(id=schema)[0])
        elif path == '/v2/images':
            self._create() if self.command == 'POST' else self._list(query)
        elif match := IMAGE.fullmatch(path):
            record = self.glance.images.get(match[1])
            if record is None:
                raise _Refused(404, f'No image found with ID {match[1]}')
            what = self.command.lower() + (match[2] or '').replace('/', '_')
            getattr(self, what)(record, *filter(None, [match[3]]))
        else:
            raise _Refused(404, 'not a path of this fake')

    def _body(self):
        length = int(self.headers.get('Content-Length') or 0)
        return self.rfile.read(length)

    # -- records ------------------------------------------------------------

    def _list(self, query):
        asked = dict(query)
        hidden = asked.pop('os_hidden', 'false') == 'true'
        found = [
            one
            for one in self.glance.images.values()
            if one['os_hidden'] is hidden
        ]
        for name, value in query:
            if name in _PAGING:
                continue
            if name == 'visibility' and value == 'all':
                continue
            if name == 'tag':
                found = [one for one in found if value in one['tags']]
            else:
                found = [one for one in found if one.get(name) == value]
        if ('visibility', 'all') not in query:
            found = [one for one in found if one['visibility'] != 'community']
        found.sort(
            key=lambda one: (one['created_at'], one['id']),
            reverse='created_at:asc' not in asked.get('sort', ''),
        )
        answer = {'schema': '/v2/schemas/images'}
        if 'marker' in asked:
            ids = [one['id'] for one in found]
            if asked['marker'] not in ids:
                raise _Refused(400, 'Invalid marker. Image could not be found')
            found = found[ids.index(asked['marker']) + 1 :]
        limit = min(self.glance.page, int(asked.get('limit', 1000)))
        if len(found) > limit:
            found = found[:limit]
            following = {**asked, 'marker': found[-1]['id']}
            if hidden:
                following['os_hidden'] = 'true'
            answer['next'] = '/v2/images?' + urllib.parse.urlencode(following)
        self._json(200, {**answer, 'images': found})

    def _create(self):
        values = json.loads(self._body())
        for name in values:
            if name in RESERVED and name != 'id':
                raise _Refused(403, f"Attribute '{name}' is read-only.")
            if name.startswith('os_glance_'):
                raise _Refused(403, f"Attribute '{name}' is reserved.")
        self._json(201, self.glance.add(**values))

    def _tasks(self, **wanted):
        if not self.glance.imports.tells:
            raise _Refused(403, 'not for you')
        found = self.glance.imports.tasks
        return [task for task in found if wanted.items() <= task.items()]

    def get_tasks(self, record):
        self._json(200, {'tasks': self._tasks(image_id=record['id'])})

    def post_import(self, record):
        body = json.loads(self._body())
        refused = self.glance.imports.start(self.glance, record, body)
        if refused:
            raise _Refused(*refused)
        self._answer(202)

    def get(self, record):
        self.glance.imports.look(self.glance, record)
        if record['status'] == 'saving' and self.glance.slow:
            self.glance.slow -= 1
            if not self.glance.slow:
                record['status'] = 'active'
        self._json(200, record)

    def patch(self, record):
        for change in json.loads(self._body()):
            name = change['path'].lstrip('/')
            name = name.replace('~1', '/').replace('~0', '~')
            if change['op'] == 'remove':
                del record[name]
            else:
                record[name] = change['value']
        self._json(200, record)

    def put_tags(self, record, tag):
        tag = urllib.parse.unquote(tag)
        if '/' in tag:
            raise _Refused(404, 'no route')
        record['tags'] = sorted({*record['tags'], tag})
        self._answer(204)

    def delete(self, record):
        if record['protected']:
            raise _Refused(
                403,
                f'Image {record["id"]} is protected and cannot be deleted.',
            )
        for one in (self.glance.images, self.glance.data, self.glance.members):
            one.pop(record['id'], None)
        self._answer(204)

    # -- members ------------------------------------------------------------

    def get_members(self, record):
        self._require_shared(record)
        found = self.glance.members.get(record['id'], {})
        self._json(
            200,
            {
                'members': [
                    {
                        'member_id': name,
                        'image_id': record['id'],
                        'status': status,
                        'schema': '/v2/schemas/member',
                    }
                    for name, status in found.items()
                ]
            },
        )

    def _require_shared(self, record):
        if record['visibility'] != 'shared':
            raise _Refused(403, 'Only shared images have members.')

    def post_members(self, record):
        member = json.loads(self._body())['member']
        self._require_shared(record)
        found = self.glance.members.setdefault(record['id'], {})
        if member in found:
            raise _Refused(409, f'Member {member} is duplicated')
        found[member] = 'pending'
        self._json(
            200,
            {
                'member_id': member,
                'image_id': record['id'],
                'status': 'pending',
                'schema': '/v2/schemas/member',
            },
        )

    def delete_members(self, record, member):
        self._require_shared(record)
        if self.glance.members.get(record['id'], {}).pop(member, None) is None:
            raise _Refused(404, f'{member} not found in the member list')
        self._answer(204)

    # -- bytes --------------------------------------------------------------

    def put_stage(self, record):
        content = self._taken(record, 'uploading')
        self.glance.imports.staged[record['id']] = content
        record['size'] = len(content)
        self._answer(204)

    def put_file(self, record):
        content = self._taken(record, 'saving')
        self.glance.store(record['id'], content)
        if self.glance.imports.stores:
            record['stores'] = (
                self.headers.get('x-image-meta-store')
                or self.glance.imports.stores[0]
            )
        if self.glance.slow:
            record['status'] = 'saving'
        self._answer(204)

    def _taken(self, record, status):
        if record['status'] != 'queued':
            raise _Refused(
                409,
                f'Image status transition from {record["status"]} to {status} '
                'is not allowed',
            )
        length = self.headers.get('Content-Length')
        self.glance.chunked = length is None
        record['status'] = status
        content = bytearray()
        for piece in self._pieces(length):
            content += piece
            if self._fault and len(content) > self._fault.after:
                # Killed in the middle: Glance itself stays "saving".
                raise _Refused(self._fault.status, self._fault.message)
            if self.glance.limit and len(content) > self.glance.limit:
                record['status'] = 'queued'
                raise _Refused(413, 'The image is larger than the limit.')
        time.sleep(self.glance.storing)
        return bytes(content)

    def _pieces(self, length):
        if length is not None:
            left = int(length)
            while left:
                piece = self.rfile.read(min(left, 65536))
                if not piece:
                    raise _Refused(0, '')
                left -= len(piece)
                yield piece
            return
        while size := int(self.rfile.readline(), 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def get_file(self, record):
        content = self.glance.data.get(record['id'])
        if content is None:
            self._answer(204)
            return
        start, status, headers = 0, 200, {}
        wanted = re.fullmatch(r'bytes=(\d+)-', self.headers.get('Range') or '')
        if wanted and self.glance.ranges:
            start, total = int(wanted[1]), len(content)
            if start >= total:
                self._answer(416, Content_Range=f'bytes */{total}')
                return
            status = 206
            headers = {'Content_Range': f'bytes {start}-{total - 1}/{total}'}
        self._send(status, content[start:], headers)

    def _send(self, status, content, headers):
        self.send_response(status)
        self.send_header('Content-Type', 'application/octet-stream')
        self.send_header('Content-Length', str(len(content)))
        for name, value in headers.items():
            self.send_header(name.replace('_', '-'), value)
        self.end_headers()
        if self._fault:
            self.wfile.write(content[: self._fault.after])
            self.wfile.flush()
            self.close_connection = True
            time.sleep(0.05)
            self.connection.close()
            return
        self.wfile.write(content)
