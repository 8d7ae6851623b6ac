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
"""The tables of what is in images."""

from __future__ import annotations

import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped
from sqlalchemy.orm import mapped_column

from imagebuild.db import types
from imagebuild.db.models import MYSQL
from imagebuild.db.models import Base
from imagebuild.db.models import Id
from imagebuild.db.models import Name
from imagebuild.db.models import Project
from imagebuild.db.models import Serial
from imagebuild.db.models import Time


class Sbom(Base):
    """The document of what one build has made."""

    __tablename__ = 'sboms'
    __table_args__ = (sa.UniqueConstraint('build_id'), MYSQL)

    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    # No foreign key: the image may outlive the row of its build.
    build_id: Mapped[str] = mapped_column(Id)
    created_at: Mapped[datetime.datetime] = mapped_column(Time)
    # Compressed.
    document: Mapped[bytes] = mapped_column(types.Bytes)


class Package(Base):
    """A package at a version, once for each project that has it.

    A project's own: how many another one has makes no query slower.
    """

    __tablename__ = 'packages'
    __table_args__ = (
        sa.UniqueConstraint('digest'),
        sa.Index(None, 'name', 'project_id'),
        MYSQL,
    )

    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    # Of the other columns, which are too long for one index.
    digest: Mapped[str] = mapped_column(types.Name(64))
    project_id: Mapped[str] = mapped_column(Project)
    type: Mapped[str] = mapped_column(types.Name(16))
    name: Mapped[str] = mapped_column(Name)
    version: Mapped[str] = mapped_column(Name)
    architecture: Mapped[str] = mapped_column(types.Name(32))


class SbomPackage(Base):
    """A package is in a document."""

    __tablename__ = 'sbom_packages'
    __table_args__ = (sa.Index(None, 'sbom_id'), MYSQL)

    package_id: Mapped[int] = mapped_column(
        Serial, sa.ForeignKey('packages.id'), primary_key=True
    )
    sbom_id: Mapped[int] = mapped_column(
        Serial, sa.ForeignKey('sboms.id'), primary_key=True
    )
