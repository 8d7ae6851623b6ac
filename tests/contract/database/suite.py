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
"""The contract but for crowds, for modules that run it on a database.

They import the classes; pytest runs them there, with that module's fixtures.
Crowds take their time and are asked for by name.
"""

from tests.contract.database import artifacts
from tests.contract.database import channels
from tests.contract.database import contents
from tests.contract.database import deletion
from tests.contract.database import history
from tests.contract.database import leaks
from tests.contract.database import lifecycle
from tests.contract.database import lost_commits
from tests.contract.database import pipelines
from tests.contract.database import queue
from tests.contract.database import requests
from tests.contract.database import tables
from tests.contract.database import uploads
from tests.contract.database import validations


class TestTables(tables.TablesContract):
    pass


class TestRequests(requests.RequestContract):
    pass


class TestQueue(queue.QueueContract):
    pass


class TestConductors(queue.ConductorContract):
    pass


class TestLifecycle(lifecycle.LifecycleContract):
    pass


class TestLogs(history.LogContract):
    pass


class TestHistory(history.HistoryContract):
    pass


class TestContents(contents.ContentsContract):
    pass


class TestUploads(history.UploadContract):
    pass


class TestArtifacts(artifacts.ArtifactContract):
    pass


class TestUploadJobs(uploads.UploadJobContract):
    pass


class TestValidations(validations.ValidationContract):
    pass


class TestDeletion(deletion.DeletionContract):
    pass


class TestLostDeletionCommits(deletion.LostDeletionCommitContract):
    pass


class TestLeaks(leaks.LeakContract):
    pass


class TestLostLeakCommits(leaks.LostLeakCommitContract):
    pass


class TestPurge(history.PurgeContract):
    pass


class TestLostCommits(lost_commits.LostCommitContract):
    pass


class TestPipelines(pipelines.PipelineContract):
    pass


class TestLostPipelineCommits(pipelines.LostPipelineCommitContract):
    pass


class TestChannels(channels.ChannelContract):
    pass


class TestChannelTags(channels.ChannelTagContract):
    pass


class TestLostChannelCommits(channels.LostChannelCommitContract):
    pass
