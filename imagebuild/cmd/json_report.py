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
"""What ``--json`` prints: one document, whatever happens."""

from __future__ import annotations

import json
import time
from typing import Any

from imagebuild import exception


class JsonReport:
    """Collects the document of a run and prints it once.

    :ivar document: what is known so far. ``result`` and ``changed`` are
        there whenever something was tried; ``error`` after a failure.
    :ivar changed: whether the file has been written. What the steps of a
        run changed, they changed in a copy, which takes the file's place at
        the end or is removed.
    """

    def __init__(self) -> None:
        self.document: dict[str, Any] = {}
        self.changed = False
        self._start = time.monotonic()

    def failed(self, error: BaseException, message: str) -> None:
        """Say how the run ended.

        :param error: what ended it; the report of its steps is taken over.
        :param message: the error for people.
        """
        report = getattr(error, 'report', None)
        self.document |= report.to_dict() if report else {}
        conforms = not isinstance(error, exception.NotConforming)
        self.document |= {
            'result': 'failed' if conforms else 'does-not-conform',
            'error': message,
        }

    def text(self) -> str:
        """The document, or '' after ``--help``, which has no result."""
        if 'result' not in self.document:
            return ''
        seconds = round(time.monotonic() - self._start, 3)
        document = {'notices': [], **self.document}
        document |= {'changed': self.changed, 'seconds': seconds}
        return json.dumps(document, indent=2)
