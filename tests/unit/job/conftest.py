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
import sys

import pytest

from tests.unit.job import job_process


@pytest.fixture
def start(tmp_path):
    """Start a job; by default one with the stub driver."""
    jobs = []

    def start(document=None, program=None):
        stub = [sys.executable, '-m', 'tests.unit.job.stub_job']
        job = job_process.Job(
            program or stub, tmp_path / f'stderr-{len(jobs)}'
        )
        jobs.append(job)
        if document is not None:
            job.send(document)
        return job

    yield start
    for job in jobs:
        job.close()


@pytest.fixture
def document(tmp_path):
    """Make a document for a build by the stub driver."""
    workspace = tmp_path / 'workspace'
    workspace.mkdir()

    def document(script='slow', timeout=None, arguments=None, **options):
        names = list(arguments or {})
        return {
            'action': 'build',
            'build_id': 'b1',
            'attempt': 1,
            'workspace': str(workspace),
            'request': {
                'manifest': {
                    'arguments': {
                        name: {'required': True, 'hidden': name != 'plain'}
                        for name in names
                    },
                    'validators': [{'script': {script: {'env_vars': names}}}],
                },
                'resources': {script: 'true'},
                'arguments': arguments or {},
            },
            'base': {'kind': 'none', 'driver': 'stub'},
            'driver': 'stub',
            'driver_options': options,
            'timeout': timeout,
            'output': str(workspace / 'image'),
            'disk_format': 'qcow2',
            'config': {'disks': {'cache_dir': str(tmp_path / 'cache')}},
        }

    return document
