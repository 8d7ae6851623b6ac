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
"""Errors of oslo.config, made readable."""

from __future__ import annotations

import re

from oslo_config import cfg

from imagebuild import exception

_VALUE = re.compile(
    r"Value for option \S+ from LocationInfo\(.*detail='(?P<file>.*)'\) "
    r'is not valid: (?P<reason>.*)',
    re.DOTALL,
)


def of_value(
    error: Exception, section: str, option: cfg.Opt
) -> exception.InvalidInput:
    """Make an error about a value readable.

    :param error: of oslo.config, when the value was read.
    """
    # It quotes the value.
    reason = 'the value is not valid' if option.secret else error
    return unusable(reason, f'[{section}] {option.dest}')


def unusable(error: object, option: str = '') -> exception.InvalidInput:
    """Make an error of oslo.config, or a sentence, what a program reports.

    :param option: that it is about, if known.
    """
    text = str(error).rstrip('.')
    found = _VALUE.fullmatch(text)
    if found and option:
        text = f'{found["reason"]} ({found["file"]})'
    about = f'{option}: ' if option else ''
    return exception.InvalidInput(
        f'The configuration cannot be used: {about}{text}.'
    )
