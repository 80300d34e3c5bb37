"""Counters of the deployment, in the text format of Prometheus."""

from __future__ import annotations

import bisect
import resource
from collections.abc import Mapping
from typing import Final

#: Upper bounds of the buckets of request times, in seconds.
BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)


class Metrics:
    """Counters of requests by method, route and status, and histograms of their times by method and route."""

    def __init__(self) -> None:
        self._requests: dict[tuple[str, str, int], int] = {}
        self._times: dict[tuple[str, str], list[int]] = {}
        self._seconds: dict[tuple[str, str], float] = {}

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request that ended."""
        self._requests[method, route, status] = self._requests.get((method, route, status), 0) + 1
        times = self._times.get((method, route))
        if times is None:
            times = self._times[method, route] = [0] * (len(BUCKETS) + 1)
        times[bisect.bisect_left(BUCKETS, seconds)] += 1
        self._seconds[method, route] = self._seconds.get((method, route), 0.0) + seconds

    def text(self, gauges: Mapping[str, tuple[str, float]]) -> str:
        """Return all counters, with `gauges` (name: help, value) added."""
        lines = ["# HELP arker_requests_total Requests answered.", "# TYPE arker_requests_total counter"]
        for (method, route, status), count in sorted(self._requests.items()):
            lines.append(
                f'arker_requests_total{{method="{method}",route="{route}",status="{status}"}} {count}'
            )
        lines += ["# HELP arker_request_seconds Time to answer.", "# TYPE arker_request_seconds histogram"]
        for (method, route), times in sorted(self._times.items()):
            labels, total = f'method="{method}",route="{route}"', 0
            for bound, count in zip((*map(str, BUCKETS), "+Inf"), times, strict=True):
                total += count
                lines.append(f'arker_request_seconds_bucket{{{labels},le="{bound}"}} {total}')
            lines.append(f"arker_request_seconds_sum{{{labels}}} {self._seconds[method, route]:.6f}")
            lines.append(f"arker_request_seconds_count{{{labels}}} {total}")
        usage = resource.getrusage(resource.RUSAGE_SELF)
        process = {
            "process_cpu_seconds_total": (
                "Processor time of the deployment, without computers.",
                usage.ru_utime + usage.ru_stime,
            ),
            "process_max_resident_memory_bytes": (
                "Largest resident memory of the deployment so far.",
                usage.ru_maxrss * 1024.0,
            ),
        }
        for name, (text, value) in {**gauges, **process}.items():
            kind = "counter" if name.endswith("_total") else "gauge"
            lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}", f"{name} {value:g}"]
        return "\n".join(lines) + "\n"
