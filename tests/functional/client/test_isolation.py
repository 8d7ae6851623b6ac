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
"""The client runs where nothing of the service is installed."""

import subprocess
import sys
import textwrap

PROGRAM = """
    import sys

    class Blocker:
        def find_spec(self, name, path=None, target=None):
            top, _, rest = name.partition('.')
            if top == 'imagebuild':
                allowed = rest.split('.')[0] in (
                    '', 'client', 'common', 'exception'
                )
            else:
                allowed = top not in BLOCKED
            if not allowed:
                raise ImportError(f'{name} is not for the client')

    BLOCKED = {blocked!r}
    sys.meta_path.insert(0, Blocker())
    from keystoneauth1 import noauth, session
    from imagebuild import client
    builder = client.Client(
        session.Session(auth=noauth.NoAuth(endpoint='http://127.0.0.1:1')),
        connect_retries=0,
    )
    try:
        builder.builds.get('x')
    except client.exceptions.ConnectionFailed as error:
        print(error)
    ours = sorted(
        name for name in sys.modules if name.startswith('imagebuild.')
    )
    print(*ours)
"""
#: What a service has, and what the commands have.
BLOCKED = {
    'alembic', 'cliff', 'cryptography', 'eventlet', 'flask', 'glanceclient',
    'guestfs', 'jsonschema', 'keystonemiddleware', 'openstack',
    'openstackclient', 'osc_lib', 'oslo_concurrency', 'oslo_config',
    'oslo_context', 'oslo_db', 'oslo_messaging', 'oslo_policy',
    'oslo_service', 'rich', 'sqlalchemy', 'werkzeug', 'yaml',
}  # fmt: skip


def test_needs_nothing_of_the_service():
    program = textwrap.dedent(PROGRAM).replace('{blocked!r}', repr(BLOCKED))
    done = subprocess.run(
        [sys.executable, '-c', program],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said, modules = done.stdout.splitlines()
    assert said.endswith('Connection refused.')
    assert {name.split('.')[1] for name in modules.split()} == {
        'client',
        'common',
        'exception',
    }
    assert 'imagebuild.client.osc' not in modules
