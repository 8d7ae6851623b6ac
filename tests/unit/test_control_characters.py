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
import logging
import re

import pytest

from imagebuild import control_characters
from imagebuild.api.schemas import builds
from imagebuild.manifest import schema

HOSTILE = ['a\x1b[2Jb', 'a\nb', 'a\rb', 'a\x9b31mb', 'a\u202eb', '\x00', 'a\n']


@pytest.fixture
def factory():
    before = logging.getLogRecordFactory()
    yield
    logging.setLogRecordFactory(before)


@pytest.mark.parametrize('text', HOSTILE)
def test_found_and_escaped(text):
    assert control_characters.found_in(text)
    assert not re.match(control_characters.PATTERN, text)
    shown = control_characters.escaped(text)
    assert shown.isprintable()
    assert not control_characters.found_in(shown)


def test_layout_is_kept():
    text = 'a\n\tb\x1b[2J'
    shown = control_characters.escaped(text, layout=True)
    assert shown == 'a\n\tb\\x1b[2J'


@pytest.mark.parametrize('text', ['', 'web', 'Zürich, 東京', 'a b'])
def test_others_are_left_alone(text):
    assert not control_characters.found_in(text)
    assert control_characters.escaped(text) == text
    assert re.match(control_characters.PATTERN, text)


@pytest.mark.parametrize('text', HOSTILE)
def test_nothing_in_a_log_line_acts(factory, caplog, text):
    control_characters.protect_logs()
    control_characters.protect_logs()
    logging.getLogger('imagebuild.test').warning('The name is %s!', text)
    [record] = caplog.records
    assert record.getMessage() == (
        f'The name is {control_characters.escaped(text)}!'
    )


def test_a_message_that_cannot_be_formatted_is_no_error(factory):
    control_characters.protect_logs()
    make = logging.getLogRecordFactory()
    record = make('n', logging.INFO, 'f', 1, '%d', ('x',), None)
    assert record.args == ('x',)


@pytest.mark.parametrize('text', HOSTILE)
@pytest.mark.parametrize('where', ['name', 'tags', 'members', 'os'])
def test_refused_in_names_and_tags(text, where):
    value = [text] if where in ('tags', 'members') else text
    body = {'name': 'web', 'os': 'debian-12', where: value}
    [problem] = schema.check(body, builds.CREATE, "")
    assert problem.path.split('[')[0] == where
    assert 'control character' in problem.message
    assert text not in problem.message
