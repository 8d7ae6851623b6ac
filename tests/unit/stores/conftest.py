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
import types

import pytest
from cursive import signature_utils


@pytest.fixture
def barbican(monkeypatch):
    """A key manager: id of a secret to a certificate."""
    secrets = {}

    def get(context, id):
        found = secrets[id]
        return types.SimpleNamespace(format='X.509', get_encoded=lambda: found)

    monkeypatch.setattr(
        signature_utils.key_manager,
        'API',
        lambda: types.SimpleNamespace(get=get),
    )
    return secrets
