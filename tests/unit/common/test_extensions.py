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
"""Extensions that load, and those that do not."""

import pytest

from imagebuild import exception
from imagebuild.common import extensions


class Extension:
    def __init__(self, name, plugin=None):
        self.name = name
        self.plugin = plugin


@pytest.fixture
def load(monkeypatch):
    def load(*found, failing=None, prepare=lambda plugin: plugin):
        def manager(namespace, invoke_on_load, on_load_failure_callback):
            if failing:
                on_load_failure_callback(
                    None, Extension('bad'), ImportError(failing)
                )
            return found

        monkeypatch.setattr('stevedore.ExtensionManager', manager)
        return extensions.installed('imagebuild.x', prepare)

    return load


def test_are_in_alphabetical_order(load):
    found = load(Extension('b', 2), Extension('a', 1))
    assert list(found.usable.items()) == [('a', 1), ('b', 2)]
    assert found.broken == {}
    assert found.broken_one('a') is None


def test_one_that_does_not_load_is_left_out_and_told(load, caplog):
    found = load(Extension('a', 1), failing='no module x')
    assert found.usable == {'a': 1}
    assert found.broken == {'bad': 'it does not load (no module x)'}
    error = found.broken_one('bad')
    assert isinstance(error, exception.MissingDependency)
    assert 'extension "bad" of imagebuild.x' in str(error)
    assert 'The extension "bad" of imagebuild.x is not used' in caplog.text


def test_one_that_cannot_be_made_is_left_out(load):
    def prepare(plugin):
        return 1 / plugin

    found = load(Extension('a', 1), Extension('b', 0), prepare=prepare)
    assert found.usable == {'a': 1}
    assert 'ZeroDivisionError' in found.broken['b']


def test_a_signal_while_one_is_loaded_is_none_that_does_not_load(load):
    def prepare(plugin):
        raise exception.Interrupted(signal='SIGTERM')

    with pytest.raises(exception.Interrupted):
        load(Extension('a', 1), prepare=prepare)


def test_one_that_is_refused_later(load):
    found = load(Extension('a', 1), Extension('b', 2))
    found.refuse('a', 'of its options')
    assert found.usable == {'b': 2}
    assert found.broken == {'a': 'of its options'}
