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
"""A server of HTTP on the loopback interface, for as long as a block lasts."""

import contextlib
import http.server
import socketserver
import threading
from collections.abc import Callable
from collections.abc import Iterator


@contextlib.contextmanager
def serving(
    handler: Callable[..., socketserver.BaseRequestHandler],
) -> Iterator[str]:
    """Serve.

    :param handler: answers each request, as of :mod:`http.server`.
    :returns: its URL, without a slash at the end.
    """
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f'http://127.0.0.1:{server.server_address[1]}'
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
