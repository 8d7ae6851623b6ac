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
"""Metrics for Prometheus.

They are read from the database at each scrape, so any API process returns the
same ones. They go down when builds are purged.
What a conductor counts itself (histograms, base images found in its cache) is
at its own port ([conductor] metrics_port), and here too where it is in the
same process (imagebuild-standalone).
"""

from __future__ import annotations

import collections
import datetime
from collections.abc import Iterator

import prometheus_client
from prometheus_client import core
from prometheus_client import registry

from imagebuild.api.api_call import Service
from imagebuild.common import statuses
from imagebuild.destinations import HERE


def collect(service: Service) -> registry.CollectorRegistry:
    """Return a registry that reads the database when it is collected."""
    found = registry.CollectorRegistry(auto_describe=False)
    found.register(_Collector(service))
    return found


class _Collector(registry.Collector):
    def __init__(self, service: Service) -> None:
        self.service = service

    def describe(self) -> Iterator[core.Metric]:
        # Without it the registry would collect once to learn the names.
        yield from ()

    def collect(self) -> Iterator[core.Metric]:
        builds = self.service.database.count_builds()
        yield _builds(builds)
        yield from _queue(self.service, builds)
        yield from _conductors(self.service)
        yield _uploads(self.service)
        yield _deleting(self.service)
        yield _pipelines(self.service)
        yield _channels(self.service)
        yield from _statistics(self.service)
        # In imagebuild-standalone the conductor shares this process, and its
        # metrics are in the global registry, with those of Python itself.
        for family in prometheus_client.REGISTRY.collect():
            if family.name.startswith('imagebuild_'):
                yield family


def _builds(
    counts: dict[tuple[str, str | None], int],
) -> core.GaugeMetricFamily:
    family = core.GaugeMetricFamily(
        'imagebuild_builds',
        'Builds that are not deleted, by status and whose fault an error is',
        labels=['status', 'fault'],
    )
    # Zeros as well: an absent series looks like a failed scrape.
    shown = {(status, ''): 0 for status in statuses.ALL if status != 'error'}
    shown |= {('error', 'user'): 0, ('error', 'service'): 0}
    for (status, fault), count in counts.items():
        shown[status, fault or ''] = count
    for labels, count in sorted(shown.items()):
        family.add_metric(labels, count)
    return family


def _queue(
    service: Service, counts: dict[tuple[str, str | None], int]
) -> Iterator[core.GaugeMetricFamily]:
    oldest = service.database.oldest_queued()
    age = 0.0
    if oldest is not None:
        now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
        age = max(0.0, (now - oldest).total_seconds())
    yield core.GaugeMetricFamily(
        'imagebuild_queue_length',
        'Builds that wait for a conductor or for a build of the same content',
        value=sum(
            count for (status, _), count in counts.items()
            if status == 'queued'
        ),
    )  # fmt: skip
    yield core.GaugeMetricFamily(
        'imagebuild_queue_oldest_seconds',
        'How long the oldest waiting build has waited',
        value=age,
    )


def _conductors(service: Service) -> Iterator[core.GaugeMetricFamily]:
    alive = service.database.list_conductors(
        alive_within=service.conf.conductor.dead_after
    )
    known = len(service.database.list_conductors())
    counts = collections.Counter(conductor.status for conductor in alive)
    family = core.GaugeMetricFamily(
        'imagebuild_conductors', 'Conductors by status', labels=['status']
    )
    family.add_metric(['up'], counts['up'])
    family.add_metric(['draining'], counts['draining'])
    family.add_metric(['down'], known - len(alive))
    yield family
    yield core.GaugeMetricFamily(
        'imagebuild_slots',
        'Builds that the conductors which are up run at once',
        value=sum(each.slots for each in alive if each.status == 'up'),
    )
    yield core.GaugeMetricFamily(
        'imagebuild_slots_used',
        'Builds that those conductors run',
        value=sum(each.running for each in alive if each.status == 'up'),
    )


def _statistics(service: Service) -> Iterator[core.GaugeMetricFamily]:
    done = service.database.statistics()
    steps = core.GaugeMetricFamily(
        'imagebuild_steps', 'Steps that builds ran', labels=['validator']
    )
    seconds = core.GaugeMetricFamily(
        'imagebuild_steps_seconds',
        'Seconds that those steps took',
        labels=['validator'],
    )
    for validator, (number, took) in sorted(done.steps.items()):
        steps.add_metric([validator], number)
        seconds.add_metric([validator], took)
    yield steps
    yield seconds
    yield core.GaugeMetricFamily(
        'imagebuild_builds_reused',
        'Builds that were given an image of the same content',
        value=done.reused,
    )
    yield core.GaugeMetricFamily(
        'imagebuild_uploaded_bytes',
        'Bytes of images that were uploaded',
        value=done.uploaded_bytes,
    )


def _uploads(service: Service) -> core.GaugeMetricFamily:
    family = core.GaugeMetricFamily(
        'imagebuild_uploads',
        'Uploads that are waiting or under way, by status',
        labels=['status'],
    )
    found = service.database.list_uploads(status=statuses.UPLOAD_PENDING)
    counts = collections.Counter(upload.status for upload in found)
    for status in statuses.UPLOAD_PENDING:
        family.add_metric([status], counts[status])
    return family


def _deleting(service: Service) -> core.GaugeMetricFamily:
    family = core.GaugeMetricFamily(
        'imagebuild_deleting_images',
        'Images that are to be deleted and are still there, by destination',
        labels=['destination'],
    )
    counts = {HERE: 0, **service.database.count_deleting_images()}
    for destination, number in sorted(counts.items()):
        family.add_metric([destination], number)
    return family


def _pipelines(service: Service) -> core.GaugeMetricFamily:
    family = core.GaugeMetricFamily(
        'imagebuild_pipelines',
        'Pipelines by status; those in "error" have stopped',
        labels=['status'],
    )
    counts = service.database.count_pipelines()
    for status in statuses.PIPELINE:
        family.add_metric([status], counts.get(status, 0))
    return family


def _channels(service: Service) -> core.GaugeMetricFamily:
    family = core.GaugeMetricFamily(
        'imagebuild_channels',
        'Channels; those that are "waiting" have images whose tags are not '
        'as they should be',
        labels=['tags'],
    )
    for tags, number in sorted(service.database.count_channels().items()):
        family.add_metric([tags], number)
    return family
