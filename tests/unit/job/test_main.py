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
"""What a job says before it has read what it is to do."""

import json
import os
import tracemalloc

import pytest

from imagebuild.job import channel
from imagebuild.job import main
from imagebuild.job import masking
from imagebuild.manifest import hiding


@pytest.fixture
def last(monkeypatch):
    """The last event, and the bytes that it took."""
    # It is pytest's process whose signals would be ignored.
    monkeypatch.setattr(main, '_end_signals', lambda: None)
    monkeypatch.setattr(masking.Formatter, 'masker', masking.Masker())

    def last(arguments):
        document = {
            'action': 'build',
            'config': {},
            'request': {'arguments': arguments},
        }
        incoming, outgoing = os.pipe()
        events = channel.Events(outgoing, lambda: None)
        tracemalloc.start()
        try:
            assert main.work(document, events) == 1
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        events.close()
        with open(incoming, 'rb') as file:
            return json.loads(file.readlines()[-1]), most

    return last


def test_each_argument_may_be_hidden(last):
    event, _ = last({'a': 'hush', 'b': 'KeyError'})
    assert event['reason'].startswith(
        'The job was started with a wrong document: ***'
    )


def test_more_arguments_than_are_looked_for(last):
    """The most that the API accepts, in lines of one form each."""
    text = ''.join(f'{number:04x}\n' for number in range(20_000))
    event, most = last({f'a{number}': text for number in range(10)})
    assert event['reason'] == (
        '*** (not shown: it is not known yet which arguments are hidden, and '
        'all of them are too much to be looked for. This may be the reason: '
        f'hidden values may have {hiding.MAX_CHARACTERS} characters and '
        f'{hiding.MAX_LINES} lines together, since all output is searched for '
        'them; these have 1000000 characters and 200000 lines, whether hidden '
        'or not. With less in them, the reason is shown.)'
    )
    assert event['fault'] == 'service'
    assert most < 16 * 1024**2
