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
from imagebuild.manifest.validators import service
from tests.unit.manifest.validators import guest

SSH = 'service: {ssh: enabled, x.timer: disabled}'


STUB = 'systemctl() { [ "$2" != is-enabled ] || echo "st-$3"; }\n'


def test_scripts_for_real_with_a_stub() -> None:
    remote = guest.debian()
    guest.local(remote, service.LOOK, prelude=STUB)
    reason = guest.failure(guest.load(SSH), remote, reconcile=False)
    assert 'ssh.service is st-ssh.service, not enabled' in reason
    guest.local(remote, service.LOOK, prelude='command() { return 1; }\n')
    reason = guest.failure(guest.load(SSH), remote, reconcile=False)
    assert reason == 'systemd is not installed'
