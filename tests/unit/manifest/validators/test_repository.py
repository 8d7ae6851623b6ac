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
import pytest

from imagebuild.manifest.validators import target_files
from imagebuild.remotes import fake
from tests.unit.manifest.validators import guest

KEY = (
    '-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nAAAA\n'
    '-----END PGP PUBLIC KEY BLOCK-----\n'
)


@pytest.mark.parametrize(
    'text, wrong',
    [
        ('repository: {}', 'repository: it must not be empty'),
        ('repository: {a: {}}', 'repository.a: "url" is missing'),
        ('repository: {"a/b": {url: "http://x"}}', 'is not a name'),
        ('repository: {a: {url: x}}', '.a.url: '),
        ('repository: {a: {url: "http://x y"}}', '.a.url: '),
        ('repository: {a: {url: "http://x", suites: []}}', '.suites: '),
        ('repository: {a: {url: "http://x", suites: ["b c"]}}', 'suites[0]'),
        ('repository: {a: {url: "http://x", key: zz}}', '.key: it is not an'),
        ('repository: {a: {url: "http://x", key_source: k}}', 'key_source: '),
        ('repository: {a: {url: "http://x", priority: x}}', '.priority: '),
        ('repository: {a: {url: "http://x", more: x}}', '.more: unknown'),
    ],
)
def test_bad_forms(text: str, wrong: str) -> None:
    [error] = guest.errors(text)
    assert wrong in error


def test_files_are_written_and_the_index_is_stale() -> None:
    remote = guest.debian()
    guest.answer(
        remote,
        target_files.LOOK,
        fake.Answer('absent\nabsent\n'),
    )
    loaded = guest.load(
        """
        repository:
          ours: {url: "http://repo.example/d", suites: stable,
                 components: [main], key_source: ours.asc}
        """,
        {'ours.asc': KEY},
    )
    reason = guest.failure(loaded, remote)
    assert 'after the change still: ' in reason
    assert remote.written == [
        '/etc/apt/keyrings/ours.asc',
        '/etc/apt/sources.list.d/ours.sources',
    ]
    remote.written.clear()
    reason = guest.failure(loaded, remote, reconcile=False)
    assert reason.endswith('/ours.sources is missing')
    assert not remote.written
