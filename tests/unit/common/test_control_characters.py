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
import io
import logging
import re
import sys

import pytest

from imagebuild.api.schemas import builds
from imagebuild.common import control_characters
from imagebuild.common import json_schema

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
def test_nothing_behind_a_log_line_acts(factory, text):
    """A traceback quotes the exception; colours are the format's own."""
    stream = io.StringIO()
    handler = logging.StreamHandler(control_characters.EscapingStream(stream))
    handler.setFormatter(logging.Formatter('\x1b[01;31m%(message)s %(who)s'))
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        control_characters.protect_logs()
        try:
            raise ValueError(text)
        except ValueError:
            logging.getLogger('x').exception('no', extra={'who': text})
    finally:
        root.removeHandler(handler)
    found = stream.getvalue().removeprefix('\x1b[01;31mno ')
    assert not control_characters.found_in(re.sub(r'[\n\t]', '', found))
    assert 'ValueError: a' in found or text == '\x00'


def test_what_is_printed_is_escaped_for_a_while(capsys):
    before = sys.stdout
    with control_characters.protect_output():
        with control_characters.protect_output():
            print('a\x1b\n\tb')
        print('\x1b', file=sys.stderr)
    assert sys.stdout is before
    assert capsys.readouterr() == ('a\\x1b\n\tb\n', '\\x1b\n')


@pytest.mark.parametrize('text', HOSTILE)
@pytest.mark.parametrize('where', ['name', 'tags', 'members', 'os'])
def test_refused_in_names_and_tags(text, where):
    value = [text] if where in ('tags', 'members') else text
    body = {'name': 'web', 'os': 'debian-12', where: value}
    [problem] = json_schema.check(body, builds.CREATE, "")
    assert problem.path.split('[')[0] == where
    assert 'control character' in problem.message
    assert text not in problem.message
