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
"""What other services answer, as a line for people."""

from __future__ import annotations

import re
from typing import Any

_LONGEST = 500


def message_of(text: Any) -> str:
    """The message in an answer's body, without HTML.

    :param text: text, HTML, or what an exception carries.
    """
    plain = re.sub(
        r'<(style|script|title|h1).*?</\1>', ' ', str(text), flags=re.S
    )
    plain = ' '.join(re.sub(r'<[^>]*>', ' ', plain).split())
    # glanceclient puts the status before the message.
    plain = re.sub(r'^(HTTP )?\d{3} \w[\w ]*?: ', '', plain)
    return plain[:_LONGEST].rstrip(' .')
