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

import pytest

from imagebuild.job import masking


@pytest.mark.parametrize(
    'secret, text, masked',
    [
        ('hush', 'a hush b hushhush', 'a *** b ******'),
        ('one\ntwo words', 'x two words y one', 'x *** y ***'),
        ('a"b\\c', 'a"b\\c "a\\"b\\\\c"', '*** "***"'),
        ("it's", "+ x='it'\\''s'", "+ x='***'"),
        ("it's", "'it'\"'\"'s'", '***'),
        ('a b&c', '?p=a+b%26c&q=a%20b%26c', '?p=***&q=***'),
        ('ü', '\\u00fc ü', '*** ***'),
        # base64 of "correct battery", of "u:correct battery" and of
        # "us:correct battery!".
        ('correct battery', 'Y29ycmVjdCBiYXR0ZXJ5', '***'),
        (
            'correct battery',
            'Basic dTpjb3JyZWN0IGJhdHRlcnk=',
            'Basic dTp***',
        ),
        ('correct battery', 'dXM6Y29ycmVjdCBiYXR0ZXJ5IQ==', 'dXM6***IQ=='),
        ('short', 'c2hvcnQ=', 'c2hvcnQ='),
        ('', 'nothing', 'nothing'),
        ('\n \n', 'nothing at all', 'nothing at all'),
    ],
)
def test_text(secret, text, masked):
    assert masking.Masker([secret]).text(text) == masked


def test_the_longer_secret_goes_first():
    assert masking.Masker(['ab', 'abcd']).text('abcd ab') == '*** ***'


@pytest.mark.parametrize(
    'path, masked',
    [
        ('manifest.validators[0].script', 'manifest.validators[0].script'),
        ('a.cases.hush[0].package', 'a.cases.***[0].package'),
        ('a.cases["7"][7].package', 'a.cases["***"][7].package'),
        ('a.cases["my hush."][0]', 'a.cases["***"][0]'),
        ('/var/lib/hush/7', '/var/lib/hush/7'),
    ],
)
def test_path(path, masked):
    assert masking.Masker(['hush', '7']).path(path) == masked


def test_event():
    masker = masking.Masker(['ok', 'failed', 'ab'])
    assert masker.event(
        {
            'event': 'failed',
            'fault': 'ok',
            'reason': 'it failed',
            'step': {'command': 'ab', 'exit_code': 3, 'path': 'x'},
            'number': 1,
            'nothing': None,
            'report': {'steps': [{'result': 'ok', 'output': 'ab'}]},
            'checksum': {'md5': 'ab'},
            'list': ['ab', ['cab']],
        }
    ) == {
        'event': 'failed',
        'fault': 'ok',
        'reason': 'it ***',
        'step': {'command': '***', 'exit_code': 3, 'path': 'x'},
        'number': 1,
        'nothing': None,
        'report': {'steps': [{'result': 'ok', 'output': '***'}]},
        'checksum': {'md5': 'ab'},
        'list': ['***', ['cab']],
    }


def test_secrets_of_the_service():
    config = {
        'keystone': {'password': 'a', 'username': 'b', 'token': None},
        'glance': {'application_credential_secret': 'c', 'region': ''},
    }
    assert masking.of_config(config) == ['a', 'c']


def test_secrets_that_are_declared():
    config = {
        'secret_options': {'acme': ['api_key', 'pins', 'codes', 'none']},
        'acme': {
            'api_key': 'a',
            'pins': ['b', 2],
            'codes': {'x': 'c', 'y': {'z': ['d']}},
            'none': None,
            'url': 'e',
        },
        'other': {'api_key': 'f', 'auth_token': 'g'},
    }
    assert masking.of_config(config) == ['a', 'b', '2', 'c', 'd', 'g']


def test_tracebacks_are_masked_in_the_log(monkeypatch):
    monkeypatch.setattr(masking.Formatter, 'masker', masking.Masker(['hush']))
    try:
        raise RuntimeError('hush')
    except RuntimeError as error:
        record = logging.LogRecord(
            'a', logging.ERROR, 'b', 1, 'say %s', ('hush',),
            (type(error), error, error.__traceback__),
        )  # fmt: skip
    told = masking.Formatter().format(record)
    assert 'RuntimeError: ***' in told
    assert 'hush' not in told.replace("RuntimeError('hush')", '')
