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
"""The API as a server of WSGI loads it."""

import os
import subprocess
import sys


def test_the_command_line_is_the_servers(tmp_path):
    path = tmp_path / 'imagebuild.conf'
    path.write_text(
        f'[DEFAULT]\nstate_path = {tmp_path}\ntransport_url = fake://\n'
        '[api]\nauth_strategy = noauth\n'
    )
    code = (
        'import sys; sys.argv = ["uwsgi", "--no-such-option"];'
        'from imagebuild.wsgi import api; assert callable(api.application)'
    )
    subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', code],
        env={**os.environ, 'IMAGEBUILD_CONFIG': str(path)},
        check=True,
    )
