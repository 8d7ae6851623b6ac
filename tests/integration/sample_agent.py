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
"""The sources of a small guest agent, which is built without any help.

Its program, sample-agent, prints what it is told to say.
"""

_PYPROJECT = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""
_BACKEND = r"""
import zipfile
SAYS = 'the guest agent is up'
INFO = 'sample_agent-1.0.dist-info/'
FILES = {
    'sample_agent.py': f"def main():\n    print('{SAYS}')\n",
    INFO + 'METADATA': (
        'Metadata-Version: 2.1\nName: sample-agent\nVersion: 1.0\n'
    ),
    INFO + 'WHEEL': (
        'Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n'
    ),
    INFO + 'entry_points.txt': (
        '[console_scripts]\nsample-agent = sample_agent:main\n'
    ),
    INFO + 'RECORD': '',
}
def build_wheel(directory, *_):
    name = 'sample_agent-1.0-py3-none-any.whl'
    with zipfile.ZipFile(f'{directory}/{name}', 'w') as wheel:
        for path, text in FILES.items():
            wheel.writestr(path, text)
    return name
"""
#: Name to content.
SOURCES = {'pyproject.toml': _PYPROJECT, 'backend.py': _BACKEND}
