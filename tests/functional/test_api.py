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
"""The HTTP conversations of gabbits/*.yaml, one service for each file.

Gabbi's own plugin for pytest is not used: it reads the names of all tests of
the session, and breaks over those of others.
"""

import pathlib
import sys
import tempfile
import unittest

import pytest
from gabbi import fixture
from gabbi import handlers
from gabbi import suitemaker
from gabbi import utils

from tests.functional import api_service

CONVERSATIONS = pathlib.Path(__file__).parent / 'gabbits'

_current = None


class ServiceFixture(fixture.GabbiFixture):
    """A service with one conductor."""

    def start_fixture(self):
        global _current
        self._directory = tempfile.TemporaryDirectory()
        self._running = api_service.running(self._directory.name)
        _current = self._running.__enter__()

    def stop_fixture(self):
        self._running.__exit__(None, None, None)
        self._directory.cleanup()


def application():
    def wsgi(environ, start_response):
        return _current.wsgi(environ, start_response)

    return wsgi


def load(path):
    return suitemaker.test_suite_from_dict(
        unittest.TestLoader(),
        path.stem,
        utils.load_yaml(yaml_file=str(path)),
        str(path.parent),
        host='api.test',
        port=None,
        fixture_module=sys.modules[__name__],
        intercept=application,
        handlers=[handler() for handler in handlers.RESPONSE_HANDLERS],
        test_loader_name='api',
    )


@pytest.mark.parametrize(
    'path',
    sorted(CONVERSATIONS.glob('*.yaml')),
    ids=lambda path: path.stem,
)
def test_conversation(path):
    suite = load(path)
    result = unittest.TestResult()
    suite.run(result)
    failed = [*result.errors, *result.failures]
    for test, text in failed:
        print(f'{test}\n{text}')
    assert not failed, f'{len(failed)} requests went otherwise'
    assert result.testsRun > 5
