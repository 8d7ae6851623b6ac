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
"""Column types that are the same on every database."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

_MYSQL = ('mysql', 'mariadb')


def clean(text: str) -> str:
    """Replace what a database cannot hold: NUL and lone surrogates."""
    if '\0' in text:
        text = text.replace('\0', '\N{REPLACEMENT CHARACTER}')
    # Nearly all of a log is, and the test is much faster than encoding.
    if text.isascii():
        return text
    return text.encode('utf-8', 'replace').decode('utf-8')


def _cleaned(value: str | None) -> str | None:
    return None if value is None else clean(value)


class Time(sa.TypeDecorator[Any]):
    """Naive UTC with microseconds; MySQL would drop them."""

    impl = sa.DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> Any:
        if dialect.name in _MYSQL:
            return dialect.type_descriptor(mysql.DATETIME(fsp=6))
        return dialect.type_descriptor(sa.DateTime())


class Name(sa.TypeDecorator[str]):
    """A short text; give its length in characters."""

    impl = sa.String
    cache_ok = True

    def process_bind_param(
        self, value: str | None, dialect: sa.Dialect
    ) -> str | None:
        return _cleaned(value)


class LongText(sa.TypeDecorator[str]):
    """Text of up to 16 MiB."""

    impl = sa.Text
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> Any:
        if dialect.name in _MYSQL:
            return dialect.type_descriptor(mysql.MEDIUMTEXT())
        return dialect.type_descriptor(sa.Text())

    def process_bind_param(
        self, value: str | None, dialect: sa.Dialect
    ) -> str | None:
        return _cleaned(value)


class Bytes(sa.TypeDecorator[bytes]):
    """Up to 16 MiB."""

    impl = sa.LargeBinary
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> Any:
        if dialect.name in _MYSQL:
            return dialect.type_descriptor(mysql.MEDIUMBLOB())
        return dialect.type_descriptor(sa.LargeBinary())


class Json(sa.TypeDecorator[Any]):
    """A JSON document as text: MySQL's own type loses the order of keys."""

    impl = LongText
    cache_ok = True

    def process_bind_param(
        self, value: Any, dialect: sa.Dialect
    ) -> str | None:
        return None if value is None else json.dumps(value)

    def process_result_value(
        self, value: str | None, dialect: sa.Dialect
    ) -> Any:
        return None if value is None else json.loads(value)
