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
from imagebuild.manifest.validators import pip_state
from tests.unit.manifest.validators import guest


def test_the_look_for_real() -> None:
    remote = guest.debian()
    guest.local(remote, pip_state.LOOK)
    loaded = guest.load('pip: ["no-such-thing-at-all>=1"]')
    assert (
        guest.failure(loaded, remote, reconcile=False)
        == 'no-such-thing-at-all is not installed'
    )
    loaded = guest.load('pip: {requirements: [a], virtualenv: /no/where}')
    assert guest.failure(loaded, remote, reconcile=False).startswith('a is')
