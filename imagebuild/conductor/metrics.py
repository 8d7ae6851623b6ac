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
"""Metrics of a conductor, for Prometheus.

They are in prometheus_client's default registry: ``[conductor] metrics_port``
shows them, and so does /metrics of an API that runs in the same process
(imagebuild-standalone). What the whole service has (builds by status, the
queue) is counted in the database by the API.
"""

import prometheus_client

STEP_SECONDS = prometheus_client.Histogram(
    'imagebuild_step_seconds',
    'Seconds that the steps of manifests took.',
    ['validator'],
    buckets=(0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800),
)
ATTEMPTS = prometheus_client.Counter(
    'imagebuild_attempts_total',
    'Attempts of builds by how they ended.',
    ['outcome'],
)
BOOT_SECONDS = prometheus_client.Histogram(
    'imagebuild_boot_test_seconds',
    'Seconds that boot tests took, from the start of the machine.',
    buckets=(1, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600),
)
BOOT_FAILURES = prometheus_client.Counter(
    'imagebuild_boot_test_failures_total',
    'Images that did not boot as expected.',
)
BUILD_SECONDS = prometheus_client.Histogram(
    'imagebuild_job_seconds',
    'Seconds that jobs took.',
    ['action'],
    buckets=(0.1, 1, 5, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200),
)
UPLOAD_BYTES = prometheus_client.Counter(
    'imagebuild_upload_bytes_total', 'Bytes of images that were uploaded.'
)
DELETIONS = prometheus_client.Counter(
    'imagebuild_deletions_total',
    'Attempts at deleting an image by how they ended.',
    ['outcome'],
)
LEAKS = prometheus_client.Counter(
    'imagebuild_leaked_images_total',
    'Images of this service that no row of the database knew.',
    ['outcome'],
)
REAPED = prometheus_client.Counter(
    'imagebuild_reaped_things_total',
    'What attempts had left in a cloud and was removed, by driver.',
    ['driver'],
)
CACHE = prometheus_client.Counter(
    'imagebuild_base_image_cache_total',
    'Base images that builds asked the cache for, by hit or miss.',
    ['result'],
)
CACHED_STEPS = prometheus_client.Counter(
    'imagebuild_cached_steps_total',
    'Steps that were not run, since a layer had what they do.',
    ['validator'],
)
SBOMS = prometheus_client.Counter(
    'imagebuild_sboms_total',
    'Images that were made, by whether what is in them is kept.',
    ['outcome'],
)
LAYER_BYTES = prometheus_client.Gauge(
    'imagebuild_layer_bytes', 'Bytes that the layers of this host take.'
)
RUNNING = prometheus_client.Gauge(
    'imagebuild_running_builds', 'Builds that this conductor runs.'
)


def serve(port: int, host: str) -> None:
    """Show the metrics over HTTP, from a thread of their own.

    :raises OSError: the address is not available.
    """
    prometheus_client.start_http_server(port, host)
